//! `supervise DIR`: runs one service, restarts it, stops it, records its state, obeys its control FIFO.
//!
//! `machine` decides, `supervisor` does what it asks for, `event_loop` feeds it. The order in `run` is
//! that of daemontools: the lock before the FIFOs, the status before `ok`, so that a program that
//! finds `ok` open finds all the rest.

#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod child;
#[cfg(all(not(test), target_env = "gnu"))]
mod entry;
mod event;
mod event_loop;
mod files;
mod launcher;
mod machine;
mod message;
mod processes;
mod readiness;
mod signals;
mod supervisor;
mod take_over;

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use servicedir::layout::{DOWN, ERRLOG, LOG, Layout};
use servicedir::process::World;
use servicedir::report::{Failure, exit, print_help, print_version};

use child::closer::Closers;
use event::Event;
use files::journal::JournalFile;
use files::published::Published;
use files::state_dir::StateDir;
use launcher::Launcher;
use machine::Machine;
use message::{Message, REPORTER};
use readiness::source::Readiness;
use supervisor::{Supervisor, now};

const HELP: &str = "\
usage: supervise DIR
       supervise --help | --version

Runs the service in the directory DIR: starts ./run, restarts it when it ends,
stops it, records its state in DIR/supervise/status and obeys the commands that
svc writes to DIR/supervise/control.

TERM and INT make it stop the service and exit; other signals do nothing.
If it is killed, the service goes on, and the next supervise adopts it.

Environment:
  SUPERVISEDIR  where the state is kept instead of DIR/supervise

Exit codes: 0 told to exit, 100 wrong usage, 111 a system call failed or the
service has a supervise already. See supervise(8) and servicedir(5).
";

/// musl hands the arguments to Rust's start-up code alone.
#[cfg(all(not(test), not(target_env = "gnu")))]
fn main() -> std::process::ExitCode {
    finish().into()
}

/// The exit code, after the reason for it was said.
#[cfg_attr(
    test,
    expect(dead_code, reason = "called by the entry, which tests do not have")
)]
fn finish() -> u8 {
    run().unwrap_or_else(|failure| {
        REPORTER.fatal(&failure);
        failure.code
    })
}

/// Set-up steps are `inline(never)`: inlined, their locals would stay in this frame while the loop
/// runs, one page per supervise.
fn run() -> Result<u8, Failure> {
    let Some(dir) = arguments()? else {
        return Ok(exit::DONE);
    };
    let (files, launcher) = enter(dir)?;
    let signals =
        signals::Signals::catch().map_err(|error| Message::NoSignals(error.into()).fatal())?;
    let world = World::read().map_err(|error| Message::NoWorld(error.into()).fatal())?;
    let found = take_over::left_behind(&files, &launcher.shown, &world)?;
    let mut supervisor = Supervisor {
        machine: Machine::new(world, rustix::process::getpid(), now()),
        files,
        published: Published::default(),
        journal: JournalFile::default(),
        launcher,
        adopted: None,
        group: None,
        readiness: Readiness::None,
        closers: Closers::default(),
        held: None,
        unsent: Vec::new(),
        leaving: false,
        is_runsv: is_runsv(),
        _log_pipes: log_pipes(),
    };
    go_on_numbering(&mut supervisor);
    match found {
        Some((status, record)) => take_over::resume(&mut supervisor, &status, &record)?,
        None => {
            let down = std::fs::symlink_metadata(DOWN).is_ok();
            supervisor.handle(Event::Begin { down });
        }
    }
    event_loop::run(&mut supervisor, &signals)?;
    Ok(exit::DONE)
}

/// Whether the program was called by the name of runit's `runsv`, by `runsv` itself or `runsvdir`.
#[inline(never)]
fn is_runsv() -> bool {
    let name = std::env::args_os().next().unwrap_or_default();
    Path::new(&name)
        .file_name()
        .is_some_and(|name| name == "runsv")
}

/// The one argument; `None` if the answer was printed.
#[inline(never)]
fn arguments() -> Result<Option<PathBuf>, Failure> {
    use lexopt::prelude::*;
    let mut dir = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return print_help(HELP).map(|_| None),
            Long("version") => return print_version("supervise").map(|_| None),
            Value(value) if dir.is_none() => dir = Some(PathBuf::from(value)),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    dir.filter(|dir| !dir.as_os_str().is_empty())
        .map(Some)
        .ok_or_else(|| Failure::usage("expected one service directory; see --help"))
}

/// The journal's numbers go on where the last supervise of the service stopped.
#[inline(never)]
fn go_on_numbering(supervisor: &mut Supervisor) {
    let (journal, last) = JournalFile::find_end(&supervisor.files);
    supervisor.journal = journal;
    if let Some(last) = last {
        supervisor.machine.journal_ends(last.number, last.state);
    }
}

/// Enters the service directory, and takes its lock.
#[inline(never)]
fn enter(dir: PathBuf) -> Result<(StateDir, Launcher), Failure> {
    let unable = |verb, error: std::io::Error| {
        Message::NoDirectory {
            verb,
            dir: dir.clone(),
            why: error.into(),
        }
        .fatal()
    };
    let layout = Layout::of(&dir).map_err(|error| unable("find", error))?;
    std::env::set_current_dir(&dir).map_err(|error| unable("chdir to", error))?;
    // For the modes of the state directory's files; the services get the umask back.
    let umask = rustix::process::umask(Mode::from_raw_mode(0o022));
    let state = layout
        .state
        .strip_prefix(&layout.dir)
        .unwrap_or(&layout.state);
    let files = StateDir::open(state, &layout.state)?;
    let launcher = Launcher {
        shown: dir,
        layout,
        umask,
    };
    Ok((files, launcher))
}

/// The pipes to the log services, open for reading too, so that each outlives svscan and its logger.
#[inline(never)]
fn log_pipes() -> Vec<OwnedFd> {
    let logged = [(1, LOG), (2, ERRLOG)]
        .into_iter()
        .filter(|(_, log)| Path::new(log).is_dir());
    logged
        .filter_map(|(descriptor, _)| open_pipe(descriptor))
        .collect()
}

fn open_pipe(descriptor: i32) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{descriptor}");
    if !std::fs::metadata(&path).is_ok_and(|meta| meta.file_type().is_fifo()) {
        return None;
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}
