//! `fghack COMMAND ARG…`: stays in the foreground until COMMAND and all that came from it have ended,
//! and passes signals on to what is left of them.
#![forbid(unsafe_code)]

mod machine;
mod pipe;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use servicedir::foreground::{Entered, Foreground};
use servicedir::guard::Rest;
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};

use machine::{Action, Event, Machine};
use pipe::Pipe;

const REPORTER: Reporter = Reporter::new("fghack");

const HELP: &str = "\
usage: fghack [--die-with-me] COMMAND [ARG...]
       fghack --help | --version

Runs COMMAND, and stays in the foreground until COMMAND and all that came from
it have ended: for a daemon that puts itself in the background and has no pid
file. Signals are passed on: TERM, INT, QUIT and CONT to all that is left, any
other to COMMAND, or to the daemon once COMMAND has ended.

  --die-with-me  if fghack is killed with SIGKILL, what it runs is killed too

Exit codes: COMMAND's own if it failed, else that of the last one that ended;
128 + N if signal N killed it; 100 wrong usage, 111 a system call failed or
COMMAND could not be run. See fghack(8).
";

fn main() -> ExitCode {
    REPORTER.finish(run())
}

fn run() -> Result<u8, Failure> {
    let Some(arguments) = arguments()? else {
        return Ok(exit::DONE);
    };
    match Foreground::enter(REPORTER, arguments.die_with_me.then_some(Rest::Killed))? {
        Entered::Over(code) => Ok(code),
        Entered::Foreground(foreground) => stay(foreground, &arguments.command),
    }
}

/// What the command line says.
struct Arguments {
    die_with_me: bool,
    command: Vec<OsString>,
}

/// The command line; `None` if the answer was printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    use lexopt::prelude::*;
    let mut die_with_me = false;
    let mut command = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return print_help(HELP).map(|_| None),
            Long("version") => return print_version("fghack").map(|_| None),
            Long("die-with-me") => die_with_me = true,
            Value(name) => {
                command.push(name);
                command.extend(parser.raw_args()?);
            }
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if command.is_empty() {
        return Err(Failure::usage("no command; see --help"));
    }
    Ok(Some(Arguments {
        die_with_me,
        command,
    }))
}

/// Starts the command and stays until nothing is left.
fn stay(mut foreground: Foreground, command: &[OsString]) -> Result<u8, Failure> {
    let mut pipe = fallback(&foreground)?;
    let pid = foreground.start(command)?;
    if let Some(pipe) = &mut pipe {
        pipe.handed_over();
    }
    let mut machine = Machine::new(rustix::process::getpid(), pid);
    loop {
        let further: Vec<_> = pipe.iter().map(AsFd::as_fd).collect();
        let woken = foreground.wait(&further, None)?;
        for signal in woken.signals {
            machine.step(Event::Signalled(signal));
        }
        if pipe.as_ref().is_some_and(Pipe::is_closed) {
            pipe = None;
        }
        let ends: Vec<_> = std::iter::from_fn(|| foreground.reap()).collect();
        if !ends.is_empty() {
            machine.step(Event::Ended(ends));
        }
        if pipe.is_none() && foreground.is_alone() {
            machine.step(Event::Alone);
        }
        if let Some(code) = perform(&mut machine, &foreground, pipe.as_ref()) {
            return Ok(code);
        }
    }
}

/// Does what the machine asks for; the exit code, if that was to leave.
fn perform(machine: &mut Machine, foreground: &Foreground, pipe: Option<&Pipe>) -> Option<u8> {
    while let Some(action) = machine.next_action() {
        match action {
            Action::Look => {
                let left = pipe.map_or_else(|| foreground.left(), Pipe::holders);
                machine.step(Event::Left(left));
            }
            Action::Send(kin, signal) => foreground.send(&kin, signal),
            Action::Leave(code) => return Some(code),
        }
    }
    None
}

/// The pipe of the original, where orphans do not become our children.
fn fallback(foreground: &Foreground) -> Result<Option<Pipe>, Failure> {
    let Some(errno) = foreground.blind() else {
        return Ok(None);
    };
    REPORTER.warning(format_args!(
        "unable to become a child subreaper: {}; watching for the end of a pipe instead",
        Why::from(errno)
    ));
    Pipe::new()
        .map(Some)
        .map_err(|errno| Failure::system("unable to make a pipe", errno))
}
