//! Supervises and pipes of a svscan before this one.
//!
//! A supervise that lives is found through its `ok` FIFO and its lock, and watched by a pidfd. The
//! ends of a log's pipe are copied out of `/proc/PID/fd` of any process that has one: the log's
//! supervise, its logger, the service's supervise, the service.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use servicedir::layout::{LOCK, Layout, OK, STATUS};
use servicedir::process::{Identity, World};
use servicedir::status::{Record, Status};
use servicedir::{control, lock};

use crate::pipes::Pipe;
use crate::unit::Stream;

/// A process, and the descriptor that means it whatever becomes of its pid.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its pid.
    pub(crate) pid: Pid,
    /// Polls readable when it has ended.
    pub(crate) pidfd: OwnedFd,
}

/// Who supervises a service.
#[derive(Debug)]
pub(crate) enum Supervised {
    /// Nobody.
    No,
    /// This process.
    By(Process),
    /// Somebody who could not be found out.
    Unknown,
}

/// Who supervises the service of that layout.
pub(crate) fn supervise_of(layout: &Layout) -> Supervised {
    match control::is_supervised(&layout.state_file(OK)) {
        Ok(false) => Supervised::No,
        // A FIFO that cannot be opened tells nothing; the lock will.
        Err(_) => Supervised::No,
        Ok(true) => match lock_holder(layout) {
            Some(process) => Supervised::By(process),
            // It may have ended since.
            None if is_gone(layout) => Supervised::No,
            None => Supervised::Unknown,
        },
    }
}

fn is_gone(layout: &Layout) -> bool {
    control::is_supervised(&layout.state_file(OK)).is_ok_and(|there| !there)
}

/// The process that holds the lock: the one that the file names, as this suite's supervise writes
/// it, or else the one that the kernel names.
fn lock_holder(layout: &Layout) -> Option<Process> {
    let path = layout.state_file(LOCK);
    let file = fs::metadata(&path).ok()?;
    let named = lock::holder(&path);
    let process = named
        .and_then(open)
        .filter(|process| has_open(process.pid, &file));
    process.or_else(|| open(kernel_holder(&file)?))
}

fn open(pid: Pid) -> Option<Process> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    Some(Process { pid, pidfd })
}

/// Whether a process has that file open.
fn has_open(pid: Pid, file: &fs::Metadata) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    descriptors.into_iter().flatten().flatten().any(|entry| {
        fs::metadata(entry.path())
            .is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
    })
}

/// The holder of a file's flock(2), as /proc/locks tells it: the fifth field is the pid, the sixth ends
/// with the inode. Its device is not that of stat(2) on every file system, so the process is asked.
fn kernel_holder(file: &fs::Metadata) -> Option<Pid> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let inode = format!(":{}", file.ino());
    let holders = locks.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (kind, pid, place) = (fields.next()?, fields.nth(2)?, fields.next()?);
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        pid.filter(|_| kind == "FLOCK" && place.ends_with(&inode))
    });
    holders.into_iter().find(|pid| has_open(*pid, file))
}

/// What stands in the status file of a service, if this suite wrote it.
pub(crate) fn status_of(layout: &Layout) -> Option<(Status, Record)> {
    let mut status = Status::unpack(&fs::read(layout.state_file(STATUS)).ok()?).ok()?;
    let record = status.record.take()?;
    Some((status, record))
}

/// The process of a service (its run, or its finish), if it lives in this world.
pub(crate) fn process_of(layout: &Layout, world: &World) -> Option<Process> {
    let (status, record) = status_of(layout)?;
    let pid = status.pid.filter(|_| world.is(&record.world))?;
    let pidfd = Identity {
        pid,
        start: record.pid_start,
    }
    .open()
    .ok()?;
    Some(Process { pid, pidfd })
}

/// A copy of the pipe of a log, from whoever has an end of it. A log's stdin is its pipe for certain;
/// a service's output is so only if it is not what svscan itself writes to.
pub(crate) fn find_pipe<'a>(
    log: &Layout,
    writers: impl Iterator<Item = (&'a Layout, Stream)>,
    world: &World,
) -> Option<Pipe> {
    let processes = |layout: &Layout| {
        let supervise = match supervise_of(layout) {
            Supervised::By(process) => Some(process.pid),
            Supervised::No | Supervised::Unknown => None,
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
