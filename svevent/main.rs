//! `svevent`: feeds Supervisor's event listeners from the journals of services.
//!
//! What happened is on the disk: the journals of the services, and the spools of svcapture. svevent reads
//! them from where its cursor file ends, and keeps nothing else: it can be killed and started again.
#![forbid(unsafe_code)]

mod args;
mod cursor;
mod event;
mod event_loop;
mod feed;
mod folders;
mod kind;
mod lane;
mod message;
mod protocol;
mod script;
mod ticks;
mod worker;

use std::process::ExitCode;

use args::Job;
use servicedir::report::{Failure, print_help, print_version};

const HELP: &str = "\
usage: svevent [OPTION...] EVENT[,EVENT...] COMMAND [ARG...]

Gives the events of a scan directory to COMMAND by Supervisor's listener
protocol. It is the last line of the run of a service of its own.

      --lines         give one line an event on stdin, without answers
      --each          run COMMAND once for each event; exit code 0 is done
  -p, --pool N        run N processes of COMMAND (1)
  -n, --name NAME     the pool's name in the header (the service's name)
      --server NAME   the server's name in the header (supervisor)
  -d, --dir DIR       the scan directory ($SVDIR, else /service)
  -c, --cursor FILE   how far events have been processed (cursor)
      --from-start    without a FILE, begin with all that is recorded
  -t, --timeout TIME  kill a COMMAND that takes longer for one event
  -h, --help          show this text
      --version       show the version

EVENT is a type of Supervisor: EVENT (all), PROCESS_STATE, PROCESS_STATE_FATAL,
PROCESS_COMMUNICATION, PROCESS_LOG, PROCESS_GROUP, REMOTE_COMMUNICATION,
SUPERVISOR_STATE_CHANGE, TICK, TICK_5, TICK_60, TICK_3600 and the rest.

Exit codes: 0 told to stop, 100 wrong usage, 111 a system call failed.
See svevent(8).
";

fn main() -> ExitCode {
    message::REPORTER.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svevent"),
        Job::Run(args) => event_loop::run(&args),
    }
}
