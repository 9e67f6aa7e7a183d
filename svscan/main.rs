//! svscan: keeps one supervise running for every service directory in a scan directory, and one for
//! its log.
#![cfg_attr(all(not(test), target_env = "gnu"), no_main)]

mod directories;
mod essential;
mod event_loop;
mod holdings;
mod links;
mod lock_file;
mod log_pipe;
mod message;
mod names;
mod notify;
mod pipes;
mod process;
mod replace;
mod runsvdir;
mod scan;
mod scan_dir;
mod settle;
mod spawn;
mod start;
mod stop;
mod supervises;
mod survey;
mod upgrade;
mod watches;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg;
use servicedir::report::{self, Failure, Reporter};

use crate::event_loop::EventLoop;
use crate::message::{Message, Messages};
use crate::replace::Invocation;
use crate::runsvdir::{CommandLine, Manners};
use crate::scan::Scan;
use crate::scan_dir::ScanDir;
use crate::spawn::{Spawner, find_supervise};
use crate::survey::Survey;
use crate::upgrade::upgrade;

const REPORT: Reporter = Reporter::new("svscan");

const HELP: &str = "\
usage: svscan [OPTION]... [DIR]
       svscan --upgrade [DIR]

Keeps a supervise running for every service directory in DIR (default: .), and
one for its log. Stops them all on TERM and INT; scans DIR again on HUP; leaves
them running on QUIT.

      --supervise PATH            the supervise to start (default: the one beside
                                  svscan, else the one on PATH)
      --rescan TIME               how often to look at everything, in case a
                                  change was missed (default: 5m)
      --stop-removed              stop a service when it is removed from DIR
      --shutdown-timeout TIME     kill what is not down by then (default: unlimited)
      --upgrade                   replace the svscan of DIR and every supervise by
                                  what is installed now, and touch no service
      --help                      show this help
      --version                   show the version
";

/// The command line.
#[derive(Debug)]
struct Arguments {
    dir: PathBuf,
    supervise: Option<PathBuf>,
    rescan: Duration,
    stop_removed: bool,
    shutdown_timeout: Option<Duration>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("."),
            supervise: None,
            rescan: Duration::from_secs(300),
            stop_removed: false,
            shutdown_timeout: None,
        }
    }
}

/// What the command line asks for.
#[derive(Debug)]
enum Request {
    Scan(Arguments),
    Upgrade(PathBuf),
    Help,
    Version,
}

servicedir::entry!(finish);

/// The exit code, after the reason for it was reported.
fn finish() -> u8 {
    run(std::env::args_os()).unwrap_or_else(|failure| {
        REPORT.fatal(&failure);
        failure.code
    })
}

fn run(args: impl IntoIterator<Item = OsString>) -> Result<u8, Failure> {
    let args: Vec<OsString> = args.into_iter().collect();
    let manners = args
        .first()
        .map_or(Manners::Svscan, |name| Manners::of(name));
    let request = match manners {
        Manners::Svscan => parse(args)?,
        Manners::Runsvdir => match parse_as_runsvdir(args)? {
            Some(request) => request,
            None => {
                REPORT.plain(runsvdir::USAGE);
                return Ok(runsvdir::USAGE_CODE);
            }
        },
    };
    let arguments = match request {
        Request::Help => return report::print_help(HELP),
        Request::Version => return report::print_version("svscan"),
        Request::Upgrade(dir) => return upgrade(&dir, &Messages::new(REPORT)),
        Request::Scan(arguments) => arguments,
    };
    let invocation = Invocation::remember();
    let supervise = find_supervise(arguments.supervise)?;
    let scan_dir = ScanDir::enter(arguments.dir)?;
    // An orphan of a service is svscan's to reap. It cannot fail on a kernel that has pidfds.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
    let spawner = Spawner::new(supervise, manners.supervise())
        .map_err(|errno| Message::UnableToPrepare(errno.into()))?;
    let scan = Scan::new(arguments.stop_removed, arguments.shutdown_timeout);
    let survey = Survey::new(scan_dir, arguments.rescan);
    EventLoop::new(
        scan,
        survey,
        spawner,
        Messages::new(REPORT),
        invocation,
        manners,
    )?
    .run()
}

/// The command line of `runsvdir`; `None` if it is wrong.
fn parse_as_runsvdir(args: Vec<OsString>) -> Result<Option<Request>, Failure> {
    let (help, version) = (OsStr::new("--help"), OsStr::new("--version"));
    let first = args.get(1).map(OsString::as_os_str);
    if first == Some(help) || first == Some(version) {
        return parse(args).map(Some);
    }
    let Some(line) = CommandLine::read(args.into_iter().skip(1)) else {
        return Ok(None);
    };
    if let Some(log) = &line.log
        && let Err(message) = runsvdir::show_in_arguments(log)
    {
        Messages::new(REPORT).warn(&message);
    }
    Ok(Some(Request::Scan(Arguments {
        dir: line.dir,
        stop_removed: true,
        ..Arguments::default()
    })))
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, Failure> {
    let mut arguments = Arguments::default();
    let (mut dir, mut upgrade) = (None, false);
    let mut parser = lexopt::Parser::from_iter(args);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") => return Ok(Request::Help),
            Arg::Long("version") => return Ok(Request::Version),
            Arg::Long("supervise") => arguments.supervise = Some(parser.value()?.into()),
            Arg::Long("rescan") => {
                arguments.rescan = duration("--rescan", &parser.value()?)?
                    .filter(|every| !every.is_zero())
                    .ok_or_else(|| Failure::usage("--rescan: expected a time above 0"))?;
            }
            Arg::Long("upgrade") => upgrade = true,
            Arg::Long("stop-removed") => arguments.stop_removed = true,
            Arg::Long("shutdown-timeout") => {
                arguments.shutdown_timeout = duration("--shutdown-timeout", &parser.value()?)?;
            }
            Arg::Value(value) if dir.is_none() => dir = Some(PathBuf::from(value)),
            Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => {
                return Err(argument.unexpected().into());
            }
        }
    }
    arguments.dir = dir.unwrap_or(arguments.dir);
    Ok(match upgrade {
        true => Request::Upgrade(arguments.dir),
        false => Request::Scan(arguments),
    })
}

/// The duration that an option says; `unlimited` is none.
fn duration(option: &str, text: &OsString) -> Result<Option<Duration>, Failure> {
    servicedir::duration::parse_or_unlimited(text).ok_or_else(|| {
        Failure::usage(format_args!(
            "{option} {}: expected a time like 30s, or unlimited",
            text.display()
        ))
    })
}
