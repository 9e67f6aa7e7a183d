//! The pipe of a log that another svscan made.
//!
//! The ends of a log's pipe are copied out of `/proc/PID/fd` of any process that has one: the log's
//! supervise, its logger, the service's supervise, the service.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::Pid;
use servicedir::control;
use servicedir::layout::Layout;
use servicedir::process::World;

use crate::pipes::Pipe;
use crate::process::{Supervised, process_of, supervise_of};
use crate::scan::Stream;

/// A copy of the pipe of a log, from any process that has an end of it. A log's stdin is its pipe for
/// certain; a service's output is so only if it is not what svscan itself writes to.
pub(crate) fn find_pipe<'a>(
    log: &Layout,
    writers: impl Iterator<Item = (&'a Layout, Stream)>,
    world: &World,
) -> Option<Pipe> {
    let processes = |layout: &Layout| {
        let supervise = match supervise_of(layout) {
            Ok(Supervised::By(process)) => Some(process.pid),
            Ok(Supervised::No | Supervised::Unknown) | Err(_) => None,
        };
        let service = process_of(layout, world).map(|process| process.pid);
        supervise.into_iter().chain(service).collect::<Vec<_>>()
    };
    if let Some(pipe) = processes(log).into_iter().find_map(|pid| copy_pipe(pid, 0)) {
        return Some(pipe);
    }
    for (writer, stream) in writers {
        let number = match stream {
            Stream::Out => 1,
            Stream::Err => 2,
        };
        let pipe = processes(writer)
            .into_iter()
            .find_map(|pid| copy_pipe(pid, number));
        if let Some(pipe) = pipe.filter(|pipe| !is_own_output(pipe)) {
            return Some(pipe);
        }
    }
    None
}
/// Both ends of the pipe that a process has as that descriptor.
fn copy_pipe(pid: Pid, number: u8) -> Option<Pipe> {
    let path = format!("/proc/{}/fd/{number}", pid.as_raw_nonzero());
    let read = open_end(&path, OFlags::RDONLY).ok()?;
    let write = open_end(&path, OFlags::WRONLY).ok()?;
    let (one, other) = (
        rustix::fs::fstat(&read).ok()?,
        rustix::fs::fstat(&write).ok()?,
    );
    let same = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino);
    same.then_some(Pipe { read, write })
}

/// Opens a FIFO by its link in /proc, without waiting for its other end. The new descriptor is an open
/// file of its own, so that making it blocking again changes nothing for others.
fn open_end(path: &str, direction: OFlags) -> io::Result<OwnedFd> {
    if !FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode).is_fifo() {
        return Err(rustix::io::Errno::INVAL.into());
    }
    let end = rustix::fs::open(
        path,
        direction | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    control::require_fifo(&end)?;
    rustix::fs::fcntl_setfl(&end, direction)?;
    Ok(end)
}

fn is_own_output(pipe: &Pipe) -> bool {
    let id = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let pipe = rustix::fs::fstat(&pipe.write).map(id);
    let out = rustix::fs::fstat(rustix::stdio::stdout()).map(id);
    let err = rustix::fs::fstat(rustix::stdio::stderr()).map(id);
    pipe == out || pipe == err
}
