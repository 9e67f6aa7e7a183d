//! `svok`: whether a supervise is there.
#![forbid(unsafe_code)]

mod djb;
mod presence;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use lexopt::prelude::*;
use presence::{Absent, enter, probe};
use rustix::io::Errno;
use servicedir::layout::{self, Layout};
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

const REPORT: Reporter = Reporter::new("svok");

const HELP: &str = "\
usage: svok DIR

Says by its exit status whether a supervise runs for the service directory DIR. A DIR without a
slash that is no directory here is looked up in $SVDIR (/service).

      --help     show this text
      --version  show the version

Exit status: 0 it runs; 100 it does not, or wrong usage; 111 no such directory, or a system call
failed.
";

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    let mut dirs: Vec<OsString> = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") => return print_help(HELP),
            Long("version") => return print_version("svok"),
            Value(dir) => dirs.push(dir),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    match dirs.as_slice() {
        [dir] => supervised(Path::new(dir), &layout::find_service(dir)),
        [] => Err(Failure::usage("expected a service directory; see --help")),
        _ => Err(Failure::usage("expected one service directory; see --help")),
    }
}

/// Exit 0 or 100, without a word; a failure for what is no service directory.
fn supervised(typed: &Path, dir: &Path) -> Result<u8, Failure> {
    let failed = |absent: Absent| {
        let typed = typed.display();
        let message = match absent {
            Absent::Chdir(errno) => format!("unable to chdir to {typed}: {}", djb::words(errno)),
            Absent::OpenOk(path, refused) => {
                format!(
                    "unable to open {typed}/{}: {}",
                    path.display(),
                    djb::refused(refused)
                )
            }
            Absent::NotRunning => format!("{typed}: {absent}"),
        };
        Failure::new(exit::SYSTEM, message)
    };
    enter(dir).map_err(failed)?;
    let layout = Layout::of(dir).map_err(|error| {
        failed(Absent::Chdir(
            Errno::from_io_error(&error).unwrap_or(Errno::IO),
        ))
    })?;
    match probe(&layout) {
        Ok(_) => Ok(exit::DONE),
        Err(absent) if absent.is_certain() => Ok(exit::USAGE),
        Err(absent) => Err(failed(absent)),
    }
}
