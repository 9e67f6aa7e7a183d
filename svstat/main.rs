//! `svstat`: shows the state of services.
#![forbid(unsafe_code)]

mod args;
mod djb;
mod history;
mod json;
mod line;
mod look;
mod presence;
mod scan;
mod table;
mod watch;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use args::{Args, Job, View};
use look::{Problem, Seen, Service, look};
use servicedir::report::{Failure, Reporter, exit, print_bytes, print_help, print_version};
use servicedir::tai64n::Tai64n;

const REPORT: Reporter = Reporter::new("svstat");

const HELP: &str = "\
usage: svstat [-l | --json] [--watch] [DIR...]
       svstat -q [--ready] [DIR...]
       svstat --history [-n N] [--follow] [--json] [DIR...]

Shows the state of the services in the directories DIR. A DIR without a slash that is no directory
here is looked up in $SVDIR (/service). With an option and without DIR: all services of $SVDIR.

  -l, --long     a table
      --json     one array with all that is known
      --watch    again whenever something changes, until interrupted
      --history  what their journals tell, all in the order of time
  -n, --lines N  of the history, the last N lines
      --follow   what happens from now on, until interrupted
  -q, --quiet    print nothing: exit 0 when all are up
      --ready    with -q: exit 0 when all are ready
      --help     show this text
      --version  show the version

Exit status: 0 whatever the state; with -q 102 where a service is not up (or not ready), 100 where no
supervise is there; 100 wrong usage; 111 a system call failed. The worst counts.
";

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(lexopt::Parser::from_env())? {
        Job::Help => print_help(HELP),
        Job::Version => print_version("svstat"),
        Job::Show(
            args @ Args {
                history: Some(history),
                ..
            },
        ) => history::run(args, history),
        Job::Show(args) if args.watch => watch::run(&args),
        Job::Show(args) => show(args),
    }
}

/// Looks once at every service, and shows all in one write.
fn show(args: Args) -> Result<u8, Failure> {
    let names = if args.means_all() {
        scan::all_services()?
    } else {
        args.dirs
    };
    let last = args.view == View::Json;
    let seen: Vec<(Service, Seen)> = names
        .into_iter()
        .map(|typed: OsString| {
            let service = Service::named(typed);
            let seen = look(&service, last);
            (service, seen)
        })
        .collect();
    match args.view {
        View::QuietUp => return Ok(worst(&seen, Seen::is_up)),
        View::QuietReady => return Ok(worst(&seen, Seen::is_ready)),
        View::Lines | View::Table => report_damage(&seen),
        View::Json => {}
    }
    let colours = args.view == View::Table && wants_colours();
    print_bytes(&render(args.view, &seen, Tai64n::now(), colours))?;
    Ok(exit::DONE)
}

/// The text of a view.
fn render(view: View, seen: &[(Service, Seen)], now: Tai64n, colours: bool) -> Vec<u8> {
    match view {
        View::Lines => {
            let mut out = Vec::with_capacity(64 * seen.len());
            for (service, seen) in seen {
                line::push(&mut out, service, seen, now);
            }
            out
        }
        View::Table => table::render(seen, now, colours && wants_colours()).into_bytes(),
        View::Json => json::render(seen, now).into_bytes(),
        View::QuietUp | View::QuietReady => Vec::new(),
    }
}

/// Whether stdout is a terminal, and its user did not ask for no colours (<https://no-color.org>).
fn wants_colours() -> bool {
    let set = |name| env::var_os(name).is_some_and(|value: OsString| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The line shows what can be shown of a damaged status; that it is damaged is told beside it.
fn report_damage(seen: &[(Service, Seen)]) {
    for (service, seen) in seen {
        let typed = service.typed.display();
        if let Some(damage) = seen.reading.as_ref().and_then(|reading| reading.damage) {
            REPORT.warning(format_args!(
                "{typed}: status: {damage}: only its first 20 bytes are shown"
            ));
        }
        if let Some(Problem::BadFormat(path, bad)) = &seen.problem {
            REPORT.warning(format_args!("{typed}: {}: {bad}", path.display()));
        }
    }
}

/// The exit code of `-q`.
fn worst(seen: &[(Service, Seen)], is_well: impl Fn(&Seen) -> bool) -> u8 {
    let code = |seen: &Seen| match &seen.problem {
        Some(Problem::Absent(absent)) if absent.is_certain() => exit::USAGE,
        Some(_) => exit::SYSTEM,
        None if is_well(seen) => exit::DONE,
        None => exit::SERVICE_FAILED,
    };
    seen.iter()
        .map(|(_, seen)| code(seen))
        .max()
        .unwrap_or(exit::DONE)
}
