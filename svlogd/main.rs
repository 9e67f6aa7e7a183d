//! svlogd: stdin to log directories, stamped, selected, rotated.
#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod access;
mod age;
mod archive;
mod calendar;
mod config;
mod current;
mod directory;
mod event_loop;
mod input;
mod limit;
mod line;
mod message;
mod multilog;
mod processor;
mod retry;
mod rotate;
mod seal;
mod select;
mod settings;
mod spawn;
mod stamp;
mod store;
mod udp;
mod wake;
mod writer;
mod zone;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lexopt::{Arg, Parser, ValueExt};
use servicedir::report::{Failure, Reporter, Why, print_help, print_version};

use crate::directory::Directory;
use crate::event_loop::EventLoop;
use crate::input::Waiter;
use crate::line::Replacement;
use crate::message::{Fault, Message, Reason};
use crate::settings::Settings;
use crate::stamp::{Form, LENGTH, Stamper};

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
  -v, --verbose          report each step
  -h, --help             print this text
      --version          print the version

The settings of a DIR are in its file config: see svlogd(8).
Exit codes: 0 the input has ended, or TERM came; 100 wrong usage; 111 a system
call failed, or no directory could be opened.
";

/// The default of `-l`, in bytes.
const DEFAULT_LEN: usize = 1000;
/// The default of `-b`, in bytes.
const DEFAULT_BUFFER: usize = 1024;

/// The mode of a log directory that is made, less the umask.
const DIR_MODE: u32 = 0o755;
/// A lock that is held at the start is tried again for this long, and so often.
const LOCK_WAIT: Duration = Duration::from_secs(1);
const LOCK_STEP: Duration = Duration::from_millis(5);

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

/// The command line's task: print something, or log.
enum Task {
    Help,
    Version,
    Log(Options),
}

servicedir::entry!(start);

/// Runs the program that the first argument names; returns the exit code.
fn start() -> u8 {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let is_multilog = arguments
        .first()
        .is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new("multilog")));
    let (report, outcome) = if is_multilog {
        let actions = arguments.get(1..).unwrap_or_default();
        (multilog::REPORT, multilog::run(actions))
    } else {
        (REPORT, run(arguments))
    };
    outcome.unwrap_or_else(|failure| {
        report.fatal(&failure);
        failure.code
    })
}

fn run(arguments: Vec<OsString>) -> Result<u8, Failure> {
    match parse(Parser::from_iter(arguments))? {
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
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
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
        return Err(Message::SmallBuffer(options.buffer, options.len).into());
    }
    if options.directories.is_empty() {
        return Err(Message::NoDirectory.into());
    }
    Ok(options)
}

fn one_byte(text: &OsString) -> Result<u8, Failure> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Message::NotOneCharacter(text.clone()).into()),
    }
}

fn log(options: Options) -> Result<u8, Failure> {
    let waiter = Waiter::new().map_err(|error| Message::UnableToCatchSignals(Why::from(error)))?;
    let stamper = match options.stamps {
        0 => None,
        1 => Some(Stamper::new(Form::Label)),
        2 => Some(Stamper::new(Form::Utc)),
        _ => Some(Stamper::new(Form::Iso)),
    };
    let settings = Settings {
        len: options.len,
        slack: options.len,
        stamp: if stamper.is_some() { LENGTH } else { 0 },
        patterns_see_stamps: false,
        dir_mode: DIR_MODE,
        verbose: options.verbose,
        report: REPORT,
    };
    let replacement = (options.replace.is_some() || !options.also.is_empty())
        .then(|| Replacement::new(options.replace.unwrap_or(b'_'), &options.also));
    let mut directories: Vec<Directory> = options
        .directories
        .into_iter()
        .map(|path| Directory::new(path, settings, None))
        .collect();
    if !open(&mut directories, &waiter) {
        return Err(Message::NoneUsable.into());
    }
    EventLoop::new(settings, waiter, directories, stamper, replacement).run()
}

/// Opens the directories; returns whether any could be opened.
fn open(directories: &mut [Directory], waiter: &Waiter) -> bool {
    let start = Instant::now();
    let mut opened = false;
    for directory in directories {
        let outcome = open_unless_held(directory, waiter, start);
        opened |= outcome.is_ok();
        directory.report(outcome, Instant::now());
    }
    opened
}

/// Opens a directory.
///
/// A logger that was killed has its lock until the kernel has taken it apart, and its children for as
/// long as they need to close it. So a lock that is held is tried again until [`LOCK_WAIT`] after the
/// start.
fn open_unless_held(
    directory: &mut Directory,
    waiter: &Waiter,
    start: Instant,
) -> Result<(), Fault> {
    loop {
        let now = Instant::now();
        let outcome = directory.try_to_open(now);
        let held = matches!(&outcome, Err(fault) if fault.reason == Reason::Held);
        if !held || now >= start + LOCK_WAIT {
            return outcome;
        }
        waiter.poll(false, Some(now + LOCK_STEP), now);
    }
}
