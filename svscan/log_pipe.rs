//! The pipe of a log that another svscan made.
//!
//! It is copied out of `/proc/PID/fd` of a process that has it. A supervise that runs as this process
//! does is believed: its descriptors are those that a svscan gave it. A service is not: it may have
//! anything there, the control FIFO of another service, or a pipe of its own. Of its descriptors, and
//! of those of its session, only the pipe counts whose inode was written down when it was made.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, fstatfs};
use rustix::process::{Pid, geteuid};
use servicedir::layout::Layout;
use servicedir::process::{Place, World, user};

use crate::pipes::Pipe;
use crate::process::{Supervised, open_files, process_of, supervise_of};
use crate::scan::Stream;

/// The file system of pipes, as statfs(2) names it (`PIPEFS_MAGIC` of linux/magic.h).
const PIPEFS: i128 = 0x5049_5045;

/// A search for the pipe of a log.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    /// The log.
    pub(crate) log: &'a Layout,
    /// The services that write to it.
    pub(crate) writers: &'a [(Layout, Stream)],
    /// The inode of its pipe, if it was written down.
    pub(crate) recorded: Option<u64>,
    /// This boot and pid namespace.
    pub(crate) world: &'a World,
}

/// What a search found.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The pipe.
    Found(Pipe),
    /// No process has one.
    None,
    /// A service writes to a pipe that may be anything.
    Lost,
}

impl Search<'_> {
    /// Searches.
    pub(crate) fn run(&self) -> Outcome {
        let writers = self.writers.iter().map(|(layout, stream)| {
            let number = match stream {
                Stream::Out => 1,
                Stream::Err => 2,
            };
            (layout, number)
        });
        let mut supervises = [(self.log, 0)].into_iter().chain(writers);
        let pipe = supervises.find_map(|(layout, number)| pipe_of_supervise(layout, number));
        if let Some(pipe) = pipe.or_else(|| self.recorded_pipe()) {
            return Outcome::Found(pipe);
        }
        let is_alive = |layout: &Layout| matches!(process_of(layout, self.world), Ok(Some(_)));
        match self.writers.iter().any(|(layout, _)| is_alive(layout)) {
            true => Outcome::Lost,
            false => Outcome::None,
        }
    }

    /// The pipe that was written down, from any process of the log's or the services' sessions.
    fn recorded_pipe(&self) -> Option<Pipe> {
        let inode = self.recorded?;
        let layouts = [self.log].into_iter();
        let layouts = layouts.chain(self.writers.iter().map(|(layout, _)| layout));
        let services: Vec<Pid> = layouts
            .filter_map(|layout| process_of(layout, self.world).ok().flatten())
            .map(|process| process.pid)
            .collect();
        let has_it = |pid: &Pid| recorded_pipe_of(*pid, inode);
        services.iter().find_map(has_it).or_else(|| {
            let sessions = session_members(&services);
            sessions.iter().find_map(has_it)
        })
    }
}

/// The pipe that the supervise of a service has as that descriptor.
fn pipe_of_supervise(layout: &Layout, number: i32) -> Option<Pipe> {
    let Ok(Supervised::By(process)) = supervise_of(layout) else {
        return None;
    };
    let own = geteuid().as_raw();
    user(process.pid).filter(|user| *user == own || *user == 0)?;
    let handle = pipe_handle(process.pid, &number.to_string())?;
    // A service without a log has svscan's own output.
    let outputs = [rustix::stdio::stdout(), rustix::stdio::stderr()];
    let inode = fstat(&handle).ok()?.st_ino;
    let is_own = outputs
        .iter()
        .any(|output| fstat(output).is_ok_and(|stat| stat.st_ino == inode) && is_pipe(output));
    if is_own {
        return None;
    }
    Pipe::copy(&handle).ok()
}

fn recorded_pipe_of(pid: Pid, inode: u64) -> Option<Pipe> {
    let mut files = open_files(pid);
    files.find_map(|(number, _)| {
        let handle = pipe_handle(pid, &number)?;
        fstat(&handle).ok().filter(|stat| stat.st_ino == inode)?;
        Pipe::copy(&handle).ok()
    })
}

/// A handle of the pipe that a process has as that descriptor; none of anything else. Opening a
/// handle has no effect on what it leads to, and it leads there whatever the process does meanwhile.
fn pipe_handle(pid: Pid, number: &str) -> Option<OwnedFd> {
    let path = format!("/proc/{}/fd/{number}", pid.as_raw_nonzero());
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let handle = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    is_pipe(&handle).then_some(handle)
}

fn is_pipe(descriptor: impl AsFd) -> bool {
    fstatfs(descriptor).is_ok_and(|stat| i128::from(stat.f_type) == PIPEFS)
}

/// The processes of these sessions.
fn session_members(sessions: &[Pid]) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_member = |pid: &Pid| {
        let session = Place::of(*pid).and_then(|place| place.session);
        session.is_some_and(|session| sessions.contains(&session))
    };
    pids.filter_map(Pid::from_raw).filter(is_member).collect()
}
