//! `svc`: commands services, and can wait for what becomes of it.
#![forbid(unsafe_code)]

mod args;
mod outcome;
mod send;
mod wait;

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use args::{Args, Job};
use outcome::Asked;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use send::Unsent;
use servicedir::layout::{self, Layout};
use servicedir::reading::read_status;
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};
use servicedir::state_folder::{StateFolder, is_supervised};
use servicedir::wait::StatusWatch;
use wait::{Awaited, Wait};

const REPORT: Reporter = Reporter::new("svc");

/// How many descriptors are left for looking at services while their FIFOs are kept open.
const SPARE: u64 = 8;

/// How long all services together have to make room in full control FIFOs.
const ROOM: Duration = Duration::from_secs(2);

/// The commands that no older suite's supervise knows.
const OURS: &[u8] = b"rz";

const HELP: &str = "\
usage: svc [-udoxpchaitkq12r] [--winch] [--detach] [-w | --wait[=STATE]] [-T TIME] DIR...

Sends commands to the supervises of the services in the directories DIR, in the order written. A DIR
without a slash that is no directory here is looked up in $SVDIR (/service).

  -u  up: start, and restart when it ends      -p  pause: send STOP
  -d  down: stop (TERM, then CONT)             -c  continue: send CONT
  -o  once: start, and do not restart          -h  send HUP        -q  send QUIT
  -r  restart: stop, then start                -a  send ALRM       -1  send USR1
  -x  exit: supervise exits once it is down    -i  send INT        -2  send USR2
                                               -t  send TERM       -k  send KILL
      --winch           send WINCH
      --detach          supervise exits now and leaves the service running
  -w, --wait            wait for what the commands mean, and say why not
      --wait=STATE      wait until the service is up, ready or down, or its supervise has exited:
                        STATE is up, ready, down or exited
  -T, --timeout TIME    wait no longer than TIME: 10s, 1m 30s, or a number of seconds
      --help            show this text
      --version         show the version

Exit status: 0 done; 99 timed out; 100 wrong usage, or no supervise there; 102 the service failed;
111 a system call failed. All DIRs are tried, and the worst counts.
";

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svc"),
        Job::Control(args) => control(&args),
    }
}

/// Sends to all, then waits for all.
fn control(args: &Args) -> Result<u8, Failure> {
    let Some(wait) = args.wait else {
        return Ok(each(args, |layout, _, room| {
            send_to(&layout, &args.letters, room)
        }));
    };
    keep_many_open();
    let mut watch = StatusWatch::new();
    let mut awaited = Vec::new();
    let worst = each(args, |layout, typed, room| {
        watch.add(&layout.state, awaited.len());
        let fifo = open_for_wait(&layout, &args.letters)?;
        let service = Awaited::new(typed.to_owned(), layout, fifo);
        service.send(&args.letters, room)?;
        awaited.push(service);
        Ok(())
    });
    let asked = Asked::new(&args.letters, wait);
    let code = Wait::new(asked, &mut awaited, &watch, REPORT).run(args.timeout)?;
    Ok(worst.max(code))
}

/// Calls `command` for every service, reports what went wrong, and returns the worst exit code.
fn each(args: &Args, mut command: impl FnMut(Layout, &OsStr, Instant) -> Result<(), Unsent>) -> u8 {
    let room = Instant::now() + ROOM;
    let mut worst = exit::DONE;
    for typed in &args.dirs {
        let layout = Layout::of(&layout::find_service(typed)).map_err(|error| failed(&error));
        if let Err(unsent) = layout.and_then(|layout| command(layout, typed, room)) {
            REPORT.warning(format_args!(
                "unable to control {}: {unsent}",
                typed.display()
            ));
            worst = worst.max(unsent.code());
        }
    }
    worst
}

/// Sends the commands, and waits for nothing.
fn send_to(layout: &Layout, letters: &[u8], room: Instant) -> Result<(), Unsent> {
    let fifo = send::open(layout)?;
    refuse_unknown(layout, letters)?;
    send::write(&fifo, letters, room)
}

/// The control FIFO; a wait alone needs no right to control the service.
fn open_for_wait(layout: &Layout, letters: &[u8]) -> Result<Option<OwnedFd>, Unsent> {
    if letters.is_empty() {
        rustix::fs::stat(&layout.dir).map_err(Unsent::Failed)?;
        is_supervised(layout)?;
        return Ok(None);
    }
    let fifo = send::open(layout)?;
    refuse_unknown(layout, letters)?;
    // A FIFO that is kept open must leave room to look: without it a living supervise would seem gone.
    let limit = getrlimit(Resource::Nofile).current;
    let number = u64::from(fifo.as_raw_fd().unsigned_abs());
    if limit.is_some_and(|limit| number + SPARE >= limit) {
        return Err(Unsent::Failed(Errno::MFILE));
    }
    Ok(Some(fifo))
}

fn failed(error: &io::Error) -> Unsent {
    Unsent::Failed(Errno::from_io_error(error).unwrap_or(Errno::IO))
}

/// Raises the limit on open files: a wait keeps a FIFO a service open.
fn keep_many_open() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that fails, the services beyond the old limit are reported one by one.
    setrlimit(Resource::Nofile, limit).unwrap_or_default();
}

/// A byte that the supervise there ignores would be no command, and no answer would ever come.
fn refuse_unknown(layout: &Layout, letters: &[u8]) -> Result<(), Unsent> {
    let Some(byte) = letters.iter().find(|letter| OURS.contains(letter)) else {
        return Ok(());
    };
    match read_status(&StateFolder::open(layout)?) {
        Ok(reading) if reading.damage.is_none() && reading.status.record.is_none() => {
            Err(Unsent::Unknown(*byte))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
