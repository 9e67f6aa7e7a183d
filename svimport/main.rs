//! `svimport`: a supervisord.conf as service directories.
#![forbid(unsafe_code)]

mod config;
mod disk;
mod expand;
mod ini;
mod manifest;
mod message;
mod output;
mod plan;
mod program;
mod service;
mod source;
mod tree;
mod value;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::{Config, Surroundings};
use lexopt::prelude::*;
use manifest::Manifest;
use message::{Level, Message, What};
use plan::Plan;
use servicedir::report::{Failure, Reporter, exit, print, print_help, print_version};
use servicedir::supervisor::scan;
use tree::Tree;

const REPORT: Reporter = Reporter::new("svimport");

const HELP: &str = "\
usage: svimport FILE [--into DIR] [--check] [--cwd DIR]

Writes the programs of FILE, a supervisord.conf, and of the files that it
includes, as service directories into the scan directory DIR ($SVDIR, else
/service), and prints what it changes first. Run again after a change of FILE,
it makes just the difference, and keeps what was changed by hand.

      --into DIR   the scan directory
      --check      print messages and changes, and write nothing
      --cwd DIR    the directory that supervisord was started in (/): relative
                   paths begin there, and so do programs without directory=
  -h, --help       show this text
      --version    show the version

Exit status: 0 all is carried over; 102 something in FILE is at fault (nothing
is written then), or is not carried over (the rest is); 100 wrong usage;
111 a system call failed.
";

/// The command line.
#[derive(Default)]
struct Args {
    file: Option<PathBuf>,
    into: Option<PathBuf>,
    check: bool,
    cwd: Option<String>,
}

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    let mut args = Args::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return print_help(HELP),
            Long("version") => return print_version("svimport"),
            Long("into") => args.into = Some(parser.value()?.into()),
            Long("check") => args.check = true,
            Long("cwd") => args.cwd = Some(parser.value()?.string()?),
            Value(file) if args.file.is_none() => args.file = Some(file.into()),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    match args.file.take() {
        Some(file) => import(&file, &args),
        None => Err(Failure::usage("no FILE given; see --help")),
    }
}

/// Reads, compares, shows, writes.
fn import(file: &Path, args: &Args) -> Result<u8, Failure> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|error| {
            Failure::system(format_args!("unable to find {}", path.display()), error)
        })
    };
    let file = absolute(file)?;
    let into = absolute(&args.into.clone().unwrap_or_else(scan::directory))?;
    let before = disk::manifest(&into)?;
    let cwd = args
        .cwd
        .clone()
        .or_else(|| Some(before.as_ref()?.cwd.clone()));
    let cwd = cwd.unwrap_or_else(|| "/".to_owned());
    let name = file.to_string_lossy().into_owned();
    if let Some(other) = before.as_ref().filter(|before| before.file != name) {
        return Err(Failure::usage(format_args!(
            "{} holds the import of {}: give another directory with --into",
            into.display(),
            other.file
        )));
    }
    let before = before.unwrap_or_default().written;
    let mut messages = Vec::new();
    let wanted = wanted(&file, &into, &cwd, &mut messages);
    let worst = report(&messages);
    let Some(wanted) = wanted.filter(|_| worst < Some(Level::Fault)) else {
        return Ok(exit::SERVICE_FAILED);
    };
    let found = disk::found(&into, &wanted, &before);
    let live = scan::svscan(&into).is_some();
    let plan = plan::plan(&wanted, &before, &found, live);
    print(plan::show(&plan, &wanted, &found))?;
    finish(
        &into,
        plan,
        &wanted,
        args.check,
        live,
        Manifest {
            file: name,
            cwd,
            written: before,
        },
    )?;
    Ok(match worst {
        Some(Level::Refused | Level::Fault) => exit::SERVICE_FAILED,
        Some(Level::Info | Level::Warning) | None => exit::DONE,
    })
}

/// Carries the plan out, unless only a check is asked for, and says what is left to do.
fn finish(
    into: &Path,
    mut plan: Plan,
    wanted: &Tree,
    check: bool,
    live: bool,
    mut manifest: Manifest,
) -> Result<(), Failure> {
    if plan.is_empty() && plan.written == manifest.written {
        return print(format_args!("nothing to change in {}\n", into.display()));
    }
    if check {
        return print("nothing written: --check\n");
    }
    manifest.written = std::mem::take(&mut plan.written);
    disk::apply(into, &plan, wanted, &manifest)?;
    if live {
        return print(
            "svscan runs here: \"svctl update\" starts, restarts and stops what has changed\n",
        );
    }
    Ok(())
}

/// The files that the configuration asks for; `None` where it is at fault.
fn wanted(file: &Path, into: &Path, cwd: &str, messages: &mut Vec<Message>) -> Option<Tree> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let folder = file.parent().unwrap_or(Path::new("/"));
    let around = Surroundings {
        environment: std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect(),
        host: host.trim_end().to_owned(),
        here: folder.to_string_lossy().into_owned(),
        cwd: cwd.to_owned(),
    };
    let ini = source::read(file, &around, messages);
    let faulty = messages
        .iter()
        .any(|message| message.what.level() == Level::Fault);
    if faulty {
        return None;
    }
    let config = config::read(&ini, &around, messages);
    warn_of_users(&config, messages);
    Some(service::tree(&config, &into.to_string_lossy(), messages))
}

/// supervisord refuses a user that does not exist; here it may be made before the service is started.
fn warn_of_users(config: &Config, messages: &mut Vec<Message>) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = |user: &str| {
        passwd.lines().any(|line| {
            let mut fields = line.split(':');
            fields.next() == Some(user) || fields.nth(1) == Some(user)
        })
    };
    for program in &config.programs {
        if let Some(user) = program.user.as_ref().filter(|user| !known(user)) {
            let message = service::about(program, What::NoUser(user.clone()));
            if !messages.contains(&message) {
                messages.push(message);
            }
        }
    }
}

/// Prints the messages, and returns the weight of the heaviest.
fn report(messages: &[Message]) -> Option<Level> {
    for message in messages {
        match message.what.level() {
            Level::Fault => REPORT.fatal(message),
            Level::Refused | Level::Warning => REPORT.warning(message),
            Level::Info => REPORT.info(message),
        }
    }
    messages.iter().map(|message| message.what.level()).max()
}
