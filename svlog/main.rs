//! svlog: the logs of services by name, their files as one, in the order of time.
#![forbid(unsafe_code)]

mod args;
mod content;
mod directory;
mod follow;
mod line;
mod show;
mod source;
mod stream;
mod tail;
mod when;

use std::collections::VecDeque;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;

use lexopt::Parser;
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};
use servicedir::supervisor::local_time;
use servicedir::tai64n::Tai64n;
use tz::TimeZone;

use args::{Options, Task};
use directory::Files;
use show::Show;
use source::{Service, Source};
use stream::{Entry, Stream, last_lines, merged};

const REPORT: Reporter = Reporter::new("svlog");

const HELP: &str = "\
usage: svlog [-f] [-n N] [--since TIME] [--until TIME] [-g RE] NAME...

Prints the logs of services: the files that svlogd or multilog keeps, old ones
and `current`, as one; those of several services in the order of time, with the
service's name in each line. Time stamps become local time. NAME is a service
directory, a name in $SVDIR (/service), or a log directory.

  -f, --follow       print what is added, over rotations, until Ctrl-C; begins
                     with the last 10 lines unless -n or --since says otherwise
  -n, --lines N      the last N lines only
      --since TIME   from this time on
      --until TIME   up to this time
  -g, --grep RE      only lines whose text the regular expression RE matches
  -i, --ignore-case  RE matches upper case as lower case
      --utc          times are read and printed in UTC
      --raw          control characters as they are, on a terminal too
      --names        the service's name in each line, of one service too;
      --no-names     of several services neither
  -h, --help         this text
      --version      the version

TIME is 2026-11-25, \"2026-11-25 18:00\", 18:00:05, today, yesterday, now, 10m
(ago) or a TAI64N label.
Exit codes: 0 done, 100 wrong usage, 111 a log cannot be read. See svlog(8).
";

/// The lines that `-f` begins with.
const LINES_BEFORE: usize = 10;

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    match args::parse(Parser::from_env())? {
        Task::Help => print_help(HELP),
        Task::Version => print_version("svlog"),
        Task::Show(options) => show(&options),
    }
}

fn show(options: &Options) -> Result<u8, Failure> {
    let services = options
        .names
        .iter()
        .map(|name| Service::named(name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sources = Vec::new();
    let mut code = exit::DONE;
    for service in &services {
        let found = service.sources();
        if found.is_empty() && !options.follow {
            let failure = service.nothing();
            REPORT.warning(&failure);
            code = failure.code;
        }
        sources.extend(found);
    }
    let show = how(options, services.len())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let result = match options.follow {
        true => follow::follow(&services, sources, &show, lines(options), &mut out),
        false => past(&sources, &show, lines(options), &mut out),
    };
    match result.and_then(|()| out.flush()) {
        Ok(()) => Ok(code),
        // `svlog web | head`: the reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &io::Error) -> Failure {
    const WHAT: &str = "unable to copy a log";
    match error.raw_os_error() {
        Some(errno) => Failure::system(WHAT, Why(errno)),
        None => Failure::new(exit::SYSTEM, format!("{WHAT}: {error}")),
    }
}

/// How many lines of the past; `None` for all.
fn lines(options: &Options) -> Option<usize> {
    let few = options.follow && options.since.is_none();
    options.lines.or(few.then_some(LINES_BEFORE))
}

fn how(options: &Options, services: usize) -> Result<Show, Failure> {
    let zone = match options.utc {
        true => TimeZone::utc(),
        false => local_time::zone(),
    };
    let now = Tai64n::now();
    let time = |option: &str, word: &Option<String>| match word {
        None => Ok(None),
        Some(word) => when::parse(word, now, &zone)
            .map(Some)
            .ok_or_else(|| Failure::usage(format_args!("{option} \"{word}\": {}", when::FORMS))),
    };
    Ok(Show {
        with_names: options.with_names.unwrap_or(services > 1),
        escaped: !options.raw && io::stdout().is_terminal(),
        grep: options.grep.clone(),
        since: time("--since", &options.since)?,
        until: time("--until", &options.until)?,
        zone,
    })
}

type Out<'a> = BufWriter<StdoutLock<'a>>;

/// Prints what the logs hold.
fn past(
    sources: &[Source],
    show: &Show,
    lines: Option<usize>,
    out: &mut Out<'_>,
) -> io::Result<()> {
    let mut files = Vec::new();
    for source in sources {
        files.push(open(source)?);
    }
    print_past(files, sources, show, lines, out)
}

fn open(source: &Source) -> io::Result<Files> {
    let opened = Files::of(&source.folder);
    opened.map_err(|refused| io::Error::other(format!("{}: {refused}", source.folder.display())))
}

/// Prints the lines of the files, or the last ones of them.
fn print_past(
    files: Vec<Files>,
    sources: &[Source],
    show: &Show,
    lines: Option<usize>,
    out: &mut Out<'_>,
) -> io::Result<()> {
    match lines {
        Some(count) if show.since.is_none() && show.until.is_none() => {
            let mut found = Vec::new();
            for (source, files) in files.into_iter().enumerate() {
                found.extend(last_lines(source, files, count, &|text| show.wants(text))?);
            }
            found.sort_by_key(|entry| entry.time);
            found
                .dedup_by(|one, other| one.source != other.source && stream::is_double(one, other));
            let first = found.len().saturating_sub(count);
            let last = found.get(first..).unwrap_or_default();
            last.iter()
                .try_for_each(|entry| show.print(out, sources, entry))
        }
        Some(count) => {
            let mut last: VecDeque<Entry> = VecDeque::new();
            each(files, sources, show, |entry| {
                last.push_back(entry.clone());
                if last.len() > count {
                    last.pop_front();
                }
                Ok(())
            })?;
            last.iter()
                .try_for_each(|entry| show.print(out, sources, entry))
        }
        None => each(files, sources, show, |entry| {
            show.print(out, sources, entry)
        }),
    }
}

/// Calls `see` with each line that was asked for.
fn each(
    files: Vec<Files>,
    sources: &[Source],
    show: &Show,
    mut see: impl FnMut(&Entry) -> io::Result<()>,
) -> io::Result<()> {
    let streams = files.into_iter().enumerate();
    let streams = streams.map(|(source, files)| Stream::new(source, files, show.since));
    let name = |at: usize| sources.get(at).map(|source| &source.name);
    let mut seen = Ok(());
    merged(
        streams.collect(),
        |one, other| name(one) == name(other),
        |entry| {
            if show.is_past(entry) {
                return false;
            }
            if show.wants(&entry.text) {
                seen = see(entry);
            }
            seen.is_ok()
        },
    )?;
    seen
}
