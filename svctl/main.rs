//! `svctl`, also `supervisorctl`: Supervisor's commands on a scan directory.
#![forbid(unsafe_code)]

mod await_all;
mod changes;
mod controller;
mod follow;
mod help;
mod lifecycle;
mod shell;
mod show;
mod tail;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use controller::Controller;
use lexopt::prelude::*;
use servicedir::report::{Failure, Reporter, print_help, print_version};
use servicedir::supervisor::scan;

const REPORT: Reporter = Reporter::new("svctl");

const HELP: &str = "\
usage: svctl [--svdir DIR] [OPTION]... [ACTION [ARGUMENT]...]

Controls the services of the scan directory DIR ($SVDIR, else /service) with
Supervisor's commands. Without an action it is a shell that takes them.

      --svdir DIR   the scan directory
  -i                a shell, also where there is an action
  -r FILE           keep the shell's history in FILE
  -c FILE, -u USER, -p PASSWORD
                    accepted and not used: there is no server to ask
  -s URL            accepted where it names this machine
  -h, --help        show this text
      --version     show the version

Actions: add avail clear exit fg help maintail open pid quit reload remove
reread restart shutdown signal start status stop tail update version.
\"svctl help ACTION\" explains one.

Exit status: 0 done; 1 failed; 2 wrong usage; 3 status: something is not
running; 4 no svscan, or status: unknown name; 7 not running, or failed to
start.
";

/// supervisorctl's exit code for a command line that it cannot read.
const WRONG_USAGE: u8 = 2;

/// The command line.
#[derive(Default)]
struct Args {
    svdir: Option<PathBuf>,
    interactive: bool,
    history: Option<PathBuf>,
    action: Vec<OsString>,
}

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    let mut args = Args::default();
    let mut parser = lexopt::Parser::from_env();
    let usage =
        |error: lexopt::Error| Failure::new(WRONG_USAGE, format_args!("{error}; see --help"));
    while let Some(argument) = parser.next().map_err(usage)? {
        match argument {
            Short('h' | '?') | Long("help") => return print_help(HELP),
            Long("version") => return print_version("svctl"),
            Long("svdir") => args.svdir = Some(parser.value().map_err(usage)?.into()),
            Short('i') | Long("interactive") => args.interactive = true,
            Short('r') | Long("history-file") => {
                args.history = Some(parser.value().map_err(usage)?.into());
            }
            Short('c' | 'u' | 'p') | Long("configuration" | "username" | "password") => {
                parser.value().map_err(usage)?;
            }
            Short('s') | Long("serverurl") => {
                let url = parser.value().map_err(usage)?;
                refuse_elsewhere(&url.to_string_lossy())?;
            }
            // What follows the action is its own: `tail -f web`.
            Value(action) => {
                args.action.push(action);
                args.action.extend(parser.raw_args().map_err(usage)?);
            }
            other @ (Short(_) | Long(_)) => return Err(usage(other.unexpected())),
        }
    }
    let mut controller = Controller::new(args.svdir.unwrap_or_else(scan::directory));
    if args.action.is_empty() || args.interactive && args.action.is_empty() {
        return shell::run(&mut controller, args.history.as_deref());
    }
    let words: Vec<_> = args
        .action
        .iter()
        .map(|word| word.to_string_lossy())
        .collect();
    controller.line(&words.join(" "));
    Ok(controller.exit)
}

/// A server on another machine is not this scan directory.
fn refuse_elsewhere(url: &str) -> Result<(), Failure> {
    let host = url.strip_prefix("http://").map(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        host.rsplit_once(':').map_or(host, |(host, _)| host)
    });
    match host {
        None => Ok(()),
        Some(host) if host == "localhost" || host.starts_with("127.") || host == "[::1]" => Ok(()),
        Some(_) => Err(Failure::new(
            WRONG_USAGE,
            format_args!(
                "-s {url}: svctl controls the scan directory of this machine; Supervisor's own supervisorctl reaches a svhttpd elsewhere"
            ),
        )),
    }
}
