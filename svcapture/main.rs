//! `svcapture`: cuts what stands between Supervisor's tokens out of a log, and offers it as events.
//!
//! It stands before the logger, `exec svcapture svlogd -tt ./main`, and passes on everything else as it
//! is.
#![forbid(unsafe_code)]

mod args;
mod cutter;
mod message;
mod offer;
mod relay;
mod rest;

use std::process::ExitCode;

use args::Job;
use servicedir::report::{Failure, print_help, print_version};

const HELP: &str = "\
usage: svcapture [OPTION...] COMMAND [ARG...]

Passes stdin on to COMMAND, a logger, without what stands between the tokens
<!--XSUPERVISOR:BEGIN--> and <!--XSUPERVISOR:END-->, which it offers to svevent
as PROCESS_COMMUNICATION events.

  -l, --log        offer all output too, as PROCESS_LOG events
  -m, --max BYTES  the longest text between tokens (1048576); a longer one
                   stays in the log
  -s, --spool DIR  where events are offered (capture)
  -h, --help       show this text
      --version    show the version

Exit codes: that of COMMAND, 128 + N for signal N; 100 wrong usage, 111 a
system call failed. See svcapture(8).
";

fn main() -> ExitCode {
    message::REPORTER.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svcapture"),
        Job::Run(args) => relay::run(&args),
    }
}
