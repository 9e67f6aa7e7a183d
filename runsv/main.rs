//! `runsv DIR`: runit's name for a supervise, which keeps the service's log running too.
//!
//! A service without a log needs no second process: this one becomes its supervise. With a log, this
//! process holds the pipe between the two and keeps a supervise for each.
#![forbid(unsafe_code)]

mod pair;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::io::Errno;
use servicedir::error_words::ErrorWords;
use servicedir::layout::LOG;
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

const REPORT: Reporter = Reporter::new("runsv");

/// The exit code of a wrong command line, as runit has it.
const USAGE: u8 = 1;

/// The name that tells supervise that `x` stops the service, as in runit.
const NAME: &str = "runsv";

const HELP: &str = "\
usage: runsv DIR

Runs the service in the directory DIR, and the one in DIR/log, which reads what
the first one writes. TERM, and the control byte x, stop the service, let its
log read to the end, and end runsv. See runsv(8).

      --help     show this text
      --version  show the version

Exit status: 0 told to exit; 1 wrong usage; 111 a system call failed, or the
service has a supervise already.
";

/// Why runsv ends, in runit's words.
#[derive(Debug)]
pub(crate) enum Fatal {
    /// The service directory cannot be entered.
    Chdir(Errno),
    /// supervise cannot be executed.
    Supervise(std::io::Error),
    /// No pipe, no process, or no memory.
    System(&'static str, std::io::Error),
}

impl Fatal {
    fn line(&self, dir: &Path) -> String {
        let (what, why) = match self {
            Self::Chdir(errno) => ("change to directory", ErrorWords::from(*errno)),
            Self::Supervise(error) => ("start supervise", ErrorWords::from(error)),
            Self::System(what, error) => (*what, ErrorWords::from(error)),
        };
        format!("runsv {}: fatal: unable to {what}: {why}\n", dir.display())
    }
}

fn main() -> ExitCode {
    REPORT.finish(run(std::env::args_os().skip(1).collect()))
}

fn run(arguments: Vec<OsString>) -> Result<u8, Failure> {
    match arguments.as_slice() {
        [only] if only == "--help" => print_help(HELP),
        [only] if only == "--version" => print_version(NAME),
        [dir] if !dir.is_empty() => Ok(supervise(Path::new(dir)).unwrap_or_else(|fatal| {
            REPORT.plain(&fatal.line(Path::new(dir)));
            exit::SYSTEM
        })),
        _ => {
            REPORT.plain("usage: runsv dir\n\n");
            Ok(USAGE)
        }
    }
}

fn supervise(dir: &Path) -> Result<u8, Fatal> {
    // The look-up of `.` needs what chdir(2) needs: a directory, and the right to search it.
    rustix::fs::stat(dir.join(".")).map_err(Fatal::Chdir)?;
    if dir.join(LOG).is_dir() {
        return pair::run(dir);
    }
    Err(Fatal::Supervise(command(NAME, dir).exec()))
}

/// The command that starts a supervise under this name: the program beside this one, else the one on
/// PATH.
pub(crate) fn command(name: &str, dir: &Path) -> Command {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name("supervise"))
        .filter(|path| path.exists());
    let mut command = Command::new(beside.unwrap_or_else(|| PathBuf::from("supervise")));
    // A directory whose name begins with a dash is not an option.
    let dash = dir.as_os_str().as_encoded_bytes().starts_with(b"-");
    let dir = if dash {
        Path::new(".").join(dir)
    } else {
        dir.to_path_buf()
    };
    command.arg0(name).arg(dir);
    command
}
