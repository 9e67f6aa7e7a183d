//! `sv`: runit's client. Under any other name it is that service's LSB init script.
#![forbid(unsafe_code)]

mod args;
mod check;
mod line;
mod outcome;
mod request;
mod service;
mod status;
mod wait;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use args::{Args, Job};
use request::Act;
use servicedir::report::{Failure, Reporter, print, print_help, print_version};

/// The program's own name; any other name is a service's.
const SV: &str = "sv";

const REPORT: Reporter = Reporter::new(SV);

/// The exit code of what neither a service nor the command line is to blame for.
const FATAL: u8 = 100;

/// As [`FATAL`], as an init script.
const LSB_FATAL: u8 = 151;

const HELP: &str = "\
usage: sv [-v] [-w SEC] COMMAND SERVICE...
       /etc/init.d/SERVICE [-w SEC] COMMAND

Reports the state of services, and controls them, as runit's sv does. A
SERVICE that neither begins with a dot or slash nor ends with a slash is looked
up in $SVDIR (/service, or else /etc/service).

  status                         report the state
  up down once exit              start; stop; start once; stop, supervise too
  pause cont hup alarm interrupt quit 1 2 term kill      send the signal
  start stop restart shutdown    as up, down, term and up, exit; and wait
  reload check try-restart       hup; await the wanted state; restart if up
  force-stop force-restart force-reload force-shutdown
                                 as stop, restart, try-restart, shutdown; then
                                 kill

  -v         wait for what the command means, and report the state
  -w SEC     wait no longer than SEC seconds (7, or $SVWAIT); implies -v
  --help     show this text
  --version  show the version

Exit status: how many services failed or timed out, at most 99; 100 wrong
usage. As an init script: 1 failed; 2 wrong usage; with status 0 up, 3 down, 4
unknown.
";

fn main() -> ExitCode {
    let name = env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or(OsStr::new(SV));
    let service = (name != SV).then(|| name.to_os_string());
    let fatal = if service.is_some() { LSB_FATAL } else { FATAL };
    match run(service) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            REPORT.fatal(&failure);
            ExitCode::from(fatal)
        }
    }
}

fn run(script: Option<OsString>) -> Result<u8, Failure> {
    match args::parse(script, env::args_os().skip(1), env::var_os("SVWAIT")) {
        Job::Help => print_help(HELP),
        Job::Version => print_version(SV),
        Job::Wrong { complaint, code } => {
            REPORT.plain(&complaint);
            Ok(code)
        }
        Job::Do(args) => act(&args),
    }
}

fn act(args: &Args) -> Result<u8, Failure> {
    if args.request.act != Act::Status {
        return wait::run(args);
    }
    let mut failed = 0;
    for name in &args.services {
        let report = status::report(name);
        print(&report.text)?;
        if args.is_script {
            return Ok(report.lsb_code());
        }
        failed += usize::from(!report.complete);
    }
    Ok(args.code(failed))
}
