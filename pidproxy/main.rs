//! `pidproxy PIDFILE COMMAND ARG…`: starts COMMAND, passes signals on to the process that PIDFILE
//! names, and ends when that process has ended, as that ended.
#![forbid(unsafe_code)]

mod event;
mod event_loop;
mod machine;
mod pid_file;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use servicedir::duration;
use servicedir::foreground::{Entered, Foreground};
use servicedir::guard::Rest;
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

use event_loop::Proxy;
use machine::Rules;
use pid_file::PidFile;

const REPORTER: Reporter = Reporter::new("pidproxy");

const HELP: &str = "\
usage: pidproxy [OPTION...] PIDFILE COMMAND [ARG...]
       pidproxy --help | --version

Runs COMMAND, passes every signal on to the process that PIDFILE names (to
COMMAND while it names none yet), and ends when that process has ended, with
its exit code. Only processes that came from COMMAND get signals.

  --timeout TIME  how long PIDFILE may take to name a process: 30s, 1m 30s;
                  a bare number is seconds (default: unlimited)
  --leave-rest    what else came from COMMAND is left alone when the daemon has
                  ended; else it gets TERM, and KILL 5 seconds later
  --die-with-me   if pidproxy is killed with SIGKILL, what it runs is killed too

Exit codes: the daemon's, or COMMAND's if that failed before there was one;
128 + N if signal N killed it; 99 PIDFILE named no process in time; 100 wrong
usage; 111 a system call failed or COMMAND could not be run. See pidproxy(8).
";

fn main() -> ExitCode {
    REPORTER.finish(run())
}

fn run() -> Result<u8, Failure> {
    let Some(arguments) = arguments()? else {
        return Ok(exit::DONE);
    };
    let rest = match arguments.rules.leave_rest {
        true => Rest::Left,
        false => Rest::Killed,
    };
    let foreground = match Foreground::enter(REPORTER, arguments.die_with_me.then_some(rest))? {
        Entered::Over(code) => return Ok(code),
        Entered::Foreground(foreground) => foreground,
    };
    if let Some(errno) = foreground.blind() {
        let what = "unable to become a child subreaper";
        return Err(Failure::system(what, errno));
    }
    // Before the command is started: what it writes must be seen as new.
    let file = PidFile::new(arguments.pid_file);
    let command = foreground.start(&arguments.command)?;
    Proxy::new(REPORTER, foreground, file, command, arguments.rules).run()
}

/// What the command line says.
struct Arguments {
    rules: Rules,
    die_with_me: bool,
    pid_file: PathBuf,
    command: Vec<OsString>,
}

/// The command line; `None` if the answer was printed.
fn arguments() -> Result<Option<Arguments>, Failure> {
    use lexopt::prelude::*;
    let mut rules = Rules::default();
    let mut die_with_me = false;
    let mut words = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return print_help(HELP).map(|_| None),
            Long("version") => return print_version("pidproxy").map(|_| None),
            Long("timeout") => rules.timeout = timeout(&parser.value()?)?,
            Long("leave-rest") => rules.leave_rest = true,
            Long("die-with-me") => die_with_me = true,
            Value(word) => {
                words.push(word);
                words.extend(parser.raw_args()?);
            }
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    let mut words = words.into_iter();
    let Some(pid_file) = words.next().filter(|word| !word.is_empty()) else {
        return Err(Failure::usage("no pid file; see --help"));
    };
    let command: Vec<OsString> = words.collect();
    if command.is_empty() {
        return Err(Failure::usage("no command; see --help"));
    }
    Ok(Some(Arguments {
        rules,
        die_with_me,
        pid_file: pid_file.into(),
        command,
    }))
}

/// A duration as the options of services have it, or `unlimited`.
fn timeout(text: &OsStr) -> Result<Option<Duration>, Failure> {
    duration::parse_or_unlimited(text).ok_or_else(|| {
        Failure::usage(format_args!(
            "--timeout {}: expected a duration, as 30s or 1m 30s, or unlimited",
            text.display()
        ))
    })
}
