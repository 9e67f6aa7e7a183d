//! `supervise DIR`: runs one service, restarts it, stops it, records its state, obeys its control FIFO.
//!
//! `machine` decides, `event_loop` does. The order in `run` is that of daemontools: the lock before
//! the FIFOs, the status before `ok`, so that whoever finds `ok` open finds all the rest.

#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod account;
mod adopt;
mod announce;
mod context;
mod datagram;
#[cfg(all(not(test), target_env = "gnu"))]
mod entry;
mod event;
mod event_loop;
mod inherited;
mod journal_file;
mod kinship;
mod launch;
mod machine;
mod notify;
mod notify_socket;
mod process;
mod readiness;
mod spawn;
mod state_dir;

use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use servicedir::layout::{DOWN, ERRLOG, LOG, Layout};
use servicedir::options;
use servicedir::process::{Identity, World};
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};
use servicedir::signal::{Signal, WakePipe};
use servicedir::status::{End, Record, State, Status};

use adopt::{Adopted, left_behind};
use announce::Announced;
use event::{Event, Notice};
use event_loop::{Signals, Supervisor, now};
use journal_file::JournalFile;
use launch::Launcher;
use machine::Machine;
use readiness::Readiness;
use state_dir::StateDir;

/// The signals that mean something to supervise.
const CAUGHT: [Signal; 3] = [Signal::CHLD, Signal::TERM, Signal::INT];

const REPORTER: Reporter = Reporter::new("supervise");

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

/// What is done once is called and not inlined: else it would lie on the stack under the event loop
/// for ever, a page in each supervise.
fn run() -> Result<u8, Failure> {
    let Some(dir) = arguments()? else {
        return Ok(exit::DONE);
    };
    let (files, launcher) = enter(dir)?;
    let signals =
        catch_signals().map_err(|error| Failure::system("unable to catch signals", error))?;
    let world = World::here();
    let found = left_behind(&files, &world)?;
    let mut supervisor = Supervisor {
        machine: Machine::new(world, rustix::process::getpid(), now()),
        files,
        signals,
        launcher,
        reporter: REPORTER,
        adopted: None,
        readiness: Readiness::None,
        held: None,
        barriers: Vec::new(),
        announced: Announced::default(),
        journal: JournalFile::default(),
        leaving: false,
        _log_pipes: log_pipes(),
    };
    go_on_numbering(&mut supervisor);
    begin(&mut supervisor, found)?;
    supervisor.run()?;
    Ok(exit::DONE)
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

/// Enters the service directory, and takes its lock.
#[inline(never)]
fn enter(dir: PathBuf) -> Result<(StateDir, Launcher), Failure> {
    let unable = |what: &str| format!("unable to {what} {}", dir.display());
    let layout = Layout::of(&dir).map_err(|error| Failure::system(unable("find"), error))?;
    std::env::set_current_dir(&dir).map_err(|error| Failure::system(unable("chdir to"), error))?;
    // What is made here has the modes that it should have; the services get the umask back.
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

/// The journal's numbers go on where the last supervise of the service stopped.
#[inline(never)]
fn go_on_numbering(supervisor: &mut Supervisor) {
    let (journal, last) = JournalFile::find_end(&supervisor.files);
    supervisor.journal = journal;
    if let Some(last) = last {
        supervisor.machine.journal_ends(last.number, last.state);
    }
}

/// Starts the service, unless it is to be down; or goes on where another supervise was killed, or
/// detached itself.
fn begin(supervisor: &mut Supervisor, found: Option<(Status, Record)>) -> Result<(), Failure> {
    if let Some((status, record)) = found {
        return resume(supervisor, &status, &record);
    }
    let down = std::fs::symlink_metadata(DOWN).is_ok();
    supervisor.happen(Event::Begin { down });
    Ok(())
}

#[inline(never)]
fn resume(supervisor: &mut Supervisor, status: &Status, record: &Record) -> Result<(), Failure> {
    let moment = now();
    let options = options::read(Path::new("."))
        .map(Box::new)
        .map_err(|fault| fault.to_string());
    let process = status.pid.map(|pid| Identity {
        pid,
        start: record.pid_start,
    });
    let started = match process {
        Some(process) => process.started(moment.clock),
        None => moment
            .clock
            .checked_sub(status.stamp.age(moment.label))
            .unwrap_or(moment.clock),
    };
    supervisor.adopted = process.map(adopt).transpose()?.flatten();
    supervisor
        .machine
        .resume(status, record, options, started, moment);
    match (process, &supervisor.adopted) {
        (Some(process), None) => {
            supervisor.inform(&format!(
                "process {} ended while no supervise was there",
                process.pid.as_raw_nonzero()
            ));
            supervisor.happen(Event::Ended(process.pid, End::Unknown));
        }
        (Some(process), Some(_)) => {
            listen_again(supervisor, process, record);
            supervisor.drain();
        }
        (None, _) => supervisor.drain(),
    }
    Ok(())
}

/// The process, if it is still there. When that cannot be known, to go on might start a second one.
fn adopt(process: Identity) -> Result<Option<Adopted>, Failure> {
    match Adopted::new(process) {
        Ok(adopted) => Ok(Some(adopted)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(errno) => {
            let what = format!("unable to adopt process {}", process.pid.as_raw_nonzero());
            Err(Failure::system(what, errno))
        }
    }
}

/// Takes up the readiness source of the adopted service.
fn listen_again(supervisor: &mut Supervisor, process: Identity, record: &Record) {
    let options = supervisor.machine.options();
    let awaited = record.state == State::Starting && !record.ready;
    match Readiness::adopted(process, options, &supervisor.files, awaited) {
        Ok(readiness) => supervisor.readiness = readiness,
        Err(error) => {
            REPORTER.warning(format_args!(
                "{}: unable to bind the notify socket again: {}; the service is not heard",
                supervisor.launcher.shown.display(),
                Why::from(error)
            ));
            // Nobody would hear that it feeds its watchdog.
            supervisor.happen(Event::Notice(Notice::WatchdogInterval(None)));
        }
    }
}

/// TERM and INT are commands, CHLD tells of ends. The others are to do nothing: they are blocked, and
/// stay pending; what is forked gets an empty mask. Those that tell of a fault of supervise's own
/// stay as they are.
#[inline(never)]
fn catch_signals() -> std::io::Result<Signals> {
    use nix::sys::signal::{SigSet, Signal as Nix};
    // First: what was ignored until now must not end supervise before it is blocked, and a TERM waits
    // for its handler.
    SigSet::all()
        .thread_set_mask()
        .map_err(std::io::Error::from)?;
    inherited::default_dispositions((1..=64).filter_map(Signal::from_number));
    let [child, terminate, interrupt] = CAUGHT;
    let signals = Signals {
        children: WakePipe::catching(&[child])?,
        terminate: WakePipe::catching(&[terminate, interrupt])?,
    };
    let open = [
        Nix::SIGCHLD,
        Nix::SIGTERM,
        Nix::SIGINT,
        Nix::SIGSEGV,
        Nix::SIGBUS,
        Nix::SIGILL,
        Nix::SIGFPE,
        Nix::SIGTRAP,
        Nix::SIGSYS,
        Nix::SIGABRT,
    ];
    let mut blocked = SigSet::all();
    open.into_iter().for_each(|signal| blocked.remove(signal));
    // The whole mask, because supervise may have been started with CHLD or TERM blocked.
    blocked.thread_set_mask().map_err(std::io::Error::from)?;
    Ok(signals)
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
