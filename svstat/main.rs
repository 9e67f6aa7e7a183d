//! `svstat`: shows the state of services.
#![forbid(unsafe_code)]

mod args;
mod djb;
mod line;
mod look;
mod presence;

use std::process::ExitCode;

use args::{Args, Job};
use look::{Service, look};
use servicedir::report::{Failure, Reporter, exit, print_bytes, print_help, print_version};
use servicedir::tai64n::Tai64n;

const REPORT: Reporter = Reporter::new("svstat");

const HELP: &str = "\
usage: svstat [DIR...]

Shows the state of the services in the directories DIR. A DIR without a slash that is no directory
here is looked up in $SVDIR (/service).

      --help     show this text
      --version  show the version

Exit status: 0 whatever the state; 100 wrong usage; 111 a system call failed.
";

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svstat"),
        Job::Show(args) => lines(args),
    }
}

/// The line of each service, all in one write.
fn lines(args: Args) -> Result<u8, Failure> {
    let mut out = Vec::new();
    for typed in args.dirs {
        let service = Service::named(typed);
        let seen = look(&service, false);
        line::push(&mut out, &service, &seen, Tai64n::now());
    }
    print_bytes(&out)?;
    Ok(exit::DONE)
}
