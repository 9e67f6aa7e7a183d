//! `svc`: commands services, and can wait for what becomes of it.
#![forbid(unsafe_code)]

mod args;
mod message;
mod outcome;
mod send;
mod service;
mod wait;

use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use args::{Args, Job};
use message::Message;
use outcome::Asked;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};
use send::Unsent;
use service::Awaited;
use servicedir::layout::{self, Layout};
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};
use servicedir::wait::StatusWatch;
use wait::Wait;

const REPORT: Reporter = Reporter::new("svc");

/// How long all services together have to make room in full control FIFOs.
const ROOM: Duration = Duration::from_secs(2);

const HELP: &str = "\
usage: svc [-udoxpchaitkq12r] [--winch] [--detach] [-w | --wait[=STATE]]
           [-T TIME] DIR...

Sends commands to the supervises of the services in the directories DIR, in the
order written. A DIR without a slash that is no directory here is looked up in
$SVDIR (/service).

  -u  up: start, and restart when it ends      -p  pause: send STOP
  -d  down: stop (TERM, then CONT)             -c  continue: send CONT
  -o  once: start, and do not restart          -h  send HUP        -q  send QUIT
  -r  restart: stop, then start                -a  send ALRM       -1  send USR1
  -x  exit: supervise exits once it is down    -i  send INT        -2  send USR2
                                               -t  send TERM       -k  send KILL
      --winch           send WINCH
      --detach          supervise exits now and leaves the service running
  -w, --wait            wait for what the commands mean, and say why not
      --wait=STATE      wait until the service is up, ready or down, or its
                        supervise has exited: STATE is up, ready, down or exited
  -T, --timeout TIME    wait no longer than TIME (10s, 1m 30s, or a number of
                        seconds), and so long for a supervise to come
      --help            show this text
      --version         show the version

Exit status: 0 done; 99 timed out; 100 wrong usage, or no supervise there; 102
the service failed; 111 a system call failed. All DIRs are tried, and the worst
counts.
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
            let fifo = send::open(&layout, &args.commands)?;
            send::write(&fifo, &args.commands, room)
        }));
    };
    keep_many_open();
    let mut watch = StatusWatch::new();
    let mut awaited: Vec<Awaited> = Vec::new();
    let patience = args.timeout.is_some();
    let worst = each(args, |layout, typed, room| {
        let mut service = Awaited::new(typed.to_owned(), layout);
        service.begin(&args.commands, room, patience)?;
        if !service.is_unsent() {
            watch.add(&service.layout().state, awaited.len());
        }
        awaited.push(service);
        Ok(())
    });
    let asked = Asked::new(&args.commands, wait);
    let wait = Wait::new(&args.commands, asked, &mut awaited, watch, REPORT);
    Ok(worst.max(wait.run(args.timeout)?))
}

/// Calls `command` for every service, reports what went wrong, and returns the worst exit code.
fn each(args: &Args, mut command: impl FnMut(Layout, &OsStr, Instant) -> Result<(), Unsent>) -> u8 {
    let room = Instant::now() + ROOM;
    let mut worst = exit::DONE;
    for typed in &args.dirs {
        let layout = Layout::of(&layout::find_service(typed)).map_err(|error| failed(&error));
        if let Err(unsent) = layout.and_then(|layout| command(layout, typed, room)) {
            REPORT.warning(Message::Uncontrolled(typed, unsent));
            worst = worst.max(unsent.code());
        }
    }
    worst
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
