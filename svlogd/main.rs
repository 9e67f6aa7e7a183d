//! svlogd: stdin to log directories, stamped, selected, rotated.

mod config;
mod directory;
mod event_loop;
mod input;
mod limit;
mod line;
mod processor;
mod rotate;
mod seal;
mod select;
mod stamp;
mod store;
mod trouble;
mod udp;
mod wake;
mod writer;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use lexopt::{Arg, Parser, ValueExt};
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

use crate::directory::Directory;
use crate::event_loop::EventLoop;
use crate::input::Waiter;
use crate::line::Replacement;
use crate::stamp::{Form, LENGTH, Stamper};
use crate::writer::Settings;

const REPORT: Reporter = Reporter::new("svlogd");

const HELP: &str = "\
usage: svlogd [-tttv] [-r CHAR] [-R CHARS] [-l LEN] [-b SIZE] DIR...

Writes the lines that it reads from stdin to log directories, which it rotates.

  -t, --timestamp        a TAI64N label before each line
  -tt, --utc             2026-11-21_12:34:56.78901 instead
  -ttt, --iso            2026-11-21T12:34:56.78901 instead
  -r, --replace CHAR     CHAR for each character that is not printable ASCII
  -R, --replace-also CHARS
                         the same for CHARS (_ without -r)
  -l, --length LEN       patterns, stderr and UDP see LEN bytes of a line (1000)
  -b, --buffer SIZE      as in runit: must exceed LEN, and has no other effect
  -v, --verbose          say what is done
      --help             this text
      --version          the version

What is kept is said by the file DIR/config: see svlogd(8).
Exit codes: 0 the input has ended, or TERM came; 100 wrong usage; 111 a system
call failed, or no directory could be opened.
";

/// The default of `-l`, in bytes.
const DEFAULT_LEN: usize = 1000;
/// The default of `-b`, in bytes.
const DEFAULT_BUFFER: usize = 1024;

/// What the command line asks for.
#[derive(Default)]
struct Options {
    stamps: u8,
    verbose: bool,
    replace: Option<u8>,
    also: Vec<u8>,
    len: usize,
    buffer: usize,
    directories: Vec<PathBuf>,
}

/// What is to be done: print something, or log.
enum Task {
    Help,
    Version,
    Log(Options),
}

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match parse(Parser::from_env())? {
        Task::Help => print_help(HELP),
        Task::Version => print_version("svlogd"),
        Task::Log(options) => log(options),
    }
}

fn parse(mut arguments: Parser) -> Result<Task, Failure> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Short('t') | Arg::Long("timestamp") => {
                options.stamps += u8::from(options.stamps < 3)
            }
            Arg::Long("utc") => options.stamps = 2,
            Arg::Long("iso") => options.stamps = 3,
            Arg::Short('r') | Arg::Long("replace") => {
                options.replace = Some(one_byte(&arguments.value()?)?);
            }
            Arg::Short('R') | Arg::Long("replace-also") => {
                options.also = arguments.value()?.as_bytes().to_vec();
            }
            Arg::Short('l') | Arg::Long("length") => options.len = arguments.value()?.parse()?,
            Arg::Short('b') | Arg::Long("buffer") => options.buffer = arguments.value()?.parse()?,
            Arg::Short('v') | Arg::Long("verbose") => options.verbose = true,
            Arg::Long("help") => return Ok(Task::Help),
            Arg::Long("version") => return Ok(Task::Version),
            Arg::Value(directory) => options.directories.push(directory.into()),
            Arg::Short(_) | Arg::Long(_) => return Err(argument.unexpected().into()),
        }
    }
    check(options).map(Task::Log)
}

/// Fills in the defaults; 0 means the default, as in runit.
fn check(mut options: Options) -> Result<Options, Failure> {
    if options.len == 0 {
        options.len = DEFAULT_LEN;
    }
    if options.buffer == 0 {
        options.buffer = DEFAULT_BUFFER;
    }
    if options.buffer <= options.len {
        let Options { buffer, len, .. } = options;
        let message = format!("-b {buffer} must be greater than -l {len}; see --help");
        return Err(Failure::usage(message));
    }
    if options.directories.is_empty() {
        return Err(Failure::usage("no log directory given; see --help"));
    }
    Ok(options)
}

fn one_byte(text: &OsString) -> Result<u8, Failure> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Failure::usage(format_args!(
            "-r takes one ASCII character, not \"{}\"",
            text.display()
        ))),
    }
}

fn log(options: Options) -> Result<u8, Failure> {
    let waiter =
        Waiter::new().map_err(|error| Failure::system("unable to catch signals", error))?;
    let stamper = match options.stamps {
        0 => None,
        1 => Some(Stamper::new(Form::Label)),
        2 => Some(Stamper::new(Form::Utc)),
        _ => Some(Stamper::new(Form::Iso)),
    };
    let settings = Settings {
        len: options.len,
        stamp: if stamper.is_some() { LENGTH } else { 0 },
        verbose: options.verbose,
        report: REPORT,
    };
    let replacement = (options.replace.is_some() || !options.also.is_empty())
        .then(|| Replacement::new(options.replace.unwrap_or(b'_'), &options.also));
    let now = Instant::now();
    let mut directories = Vec::with_capacity(options.directories.len());
    let mut opened = false;
    for path in options.directories {
        let mut directory = Directory::new(path, settings);
        opened |= directory.open(now);
        directories.push(directory);
    }
    if !opened {
        return Err(Failure::new(exit::SYSTEM, "no log directory can be used"));
    }
    EventLoop::new(
        REPORT,
        options.verbose,
        waiter,
        directories,
        stamper,
        replacement,
    )
    .run()
}
