//! `--history` and `--follow`: what the journals of services tell, merged by time.

use std::fmt::Write;

use servicedir::journal::Entry;
use servicedir::journal::merge::by_time;
use servicedir::journal::reader::{Found, Reader, Start};
use servicedir::journal::watch::{Changed, JournalWatch};
use servicedir::journal::words::Words;
use servicedir::report::{Failure, exit, print_bytes};
use servicedir::supervisor::local_time;
use servicedir::tai64n::Tai64n;
use tz::{DateTime, TimeZone};

use crate::REPORT;
use crate::args::{Args, History, View};
use crate::json::{self, Object};
use crate::look::Service;
use crate::scan;

/// How many lines are read of one service at once while they are followed.
const AT_ONCE: usize = 1000;

/// One service, and how far its journal has been read.
struct Source {
    service: Service,
    reader: Reader,
    /// A warning has told that its journal cannot be read.
    failing: bool,
}

/// Shows the past of services, then goes on with what happens, where that was asked for.
pub(crate) fn run(args: Args, history: History) -> Result<u8, Failure> {
    let names = if args.dirs.is_empty() {
        scan::all_services()?
    } else {
        args.dirs
    };
    let start = if history.past {
        Start::Beginning
    } else {
        Start::End
    };
    let mut sources: Vec<Source> = names
        .into_iter()
        .map(|typed| Source {
            service: Service::named(typed),
            reader: Reader::new(start),
            failing: false,
        })
        .collect();
    let mut watch = JournalWatch::new();
    if history.follow {
        // Before the first look, so that no line falls in between.
        for (index, source) in sources.iter().enumerate() {
            if let Ok(layout) = &source.service.layout {
                watch.add(layout.clone(), index);
            }
        }
    }
    let mut code = exit::DONE;
    let mut past = Vec::new();
    for source in &mut sources {
        past.push(source.rest(usize::MAX));
        if source.failing {
            code = exit::SYSTEM;
        }
    }
    let mut past = by_time(past, stamp);
    if let Some(count) = history.count {
        past.drain(..past.len().saturating_sub(count));
    }
    let form = Form {
        zone: local_time::zone(),
        json: args.view == View::Json,
        array: args.view == View::Json && !history.follow,
    };
    print_bytes(form.render(&sources, &past).as_bytes())?;
    if history.follow {
        follow(&mut sources, &mut watch, &form)?;
    }
    Ok(code)
}

/// Shows new lines as they come, until interrupted.
fn follow(sources: &mut [Source], watch: &mut JournalWatch, form: &Form) -> Result<(), Failure> {
    loop {
        let changed = watch
            .wait(None)
            .map_err(|errno| Failure::system("unable to poll", errno))?;
        let news = sources
            .iter_mut()
            .enumerate()
            .map(|(index, source)| match &changed {
                Changed::Some(indices) if !indices.contains(&index) => Vec::new(),
                Changed::Some(_) | Changed::Any => source.rest(AT_ONCE),
            })
            .collect();
        let news = by_time(news, stamp);
        if !news.is_empty() {
            print_bytes(form.render(sources, &news).as_bytes())?;
        }
        if !is_read() {
            return Ok(());
        }
    }
}

/// Whether anyone still reads stdout: a pipe without a reader polls with an error.
fn is_read() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::from_borrowed_fd(
        rustix::stdio::stdout(),
        PollFlags::empty(),
    )];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready == 0)
}

impl Source {
    /// What was not read yet, each with the label by which it is merged.
    fn rest(&mut self, at_once: usize) -> Vec<(Tai64n, Found)> {
        let layout = match &self.service.layout {
            Ok(layout) => layout,
            Err(errno) => {
                self.fail(servicedir::report::Why::from(*errno).to_string());
                return Vec::new();
            }
        };
        let mut rest = Vec::new();
        loop {
            match self.reader.read(layout, at_once) {
                Ok(found) if found.is_empty() => break,
                Ok(found) => rest.extend(found),
                Err(refused) => {
                    self.fail(refused.to_string());
                    break;
                }
            }
        }
        labelled(rest)
    }

    fn fail(&mut self, why: String) {
        if !self.failing {
            let typed = self.service.typed.display();
            REPORT.warning(format_args!("{typed}: unable to read the journal: {why}"));
        }
        self.failing = true;
    }
}

/// A gap has the label of the line behind it.
fn labelled(found: Vec<Found>) -> Vec<(Tai64n, Found)> {
    let mut label = Tai64n::default();
    let mut labelled: Vec<(Tai64n, Found)> = found
        .into_iter()
        .rev()
        .map(|found| {
            if let Found::Entry(entry) = &found {
                label = entry.stamp;
            }
            (label, found)
        })
        .collect();
    labelled.reverse();
    labelled
}

fn stamp((label, _): &(Tai64n, Found)) -> Tai64n {
    *label
}

/// How lines are shown.
struct Form {
    zone: TimeZone,
    json: bool,
    /// One array; else an object a line.
    array: bool,
}

impl Form {
    fn render(&self, sources: &[Source], found: &[(usize, (Tai64n, Found))]) -> String {
        let mut out = String::from(if self.array { "[" } else { "" });
        for (at, (index, (label, found))) in found.iter().enumerate() {
            let Some(source) = sources.get(*index) else {
                continue;
            };
            if self.array {
                out.push_str(if at == 0 { "\n" } else { ",\n" });
            }
            if self.json {
                self.push_object(&mut out, &source.service, *label, found);
            } else {
                self.push_line(&mut out, &source.service, *label, found);
            }
            if !self.array {
                out.push('\n');
            }
        }
        if self.array {
            out.push_str(if found.is_empty() { "]\n" } else { "\n]\n" });
        }
        out
    }

    fn push_line(&self, out: &mut String, service: &Service, label: Tai64n, found: &Found) {
        push_time(out, label, &self.zone);
        let typed = service.typed.to_string_lossy();
        // Writing to a string does not fail.
        write!(out, " {}: ", servicedir::report::Escaped(&typed)).ok();
        match found {
            Found::Entry(entry) => write!(out, "{}", Words(entry)).ok(),
            Found::Missed { first, last } => {
                write!(out, "{} missing here", lines(*first, *last)).ok()
            }
            Found::Restarted => write!(out, "the state directory was made again").ok(),
        };
    }

    fn push_object(&self, out: &mut String, service: &Service, label: Tai64n, found: &Found) {
        let mut object = Object::begin(out);
        object.text("service", Some(service.typed.display()));
        object.text("time", json::time(label));
        match found {
            Found::Entry(entry) => push_fields(&mut object, entry),
            Found::Missed { first, last } => {
                object.plain("missing_from", Some(first));
                object.plain("missing_to", Some(last));
            }
            Found::Restarted => object.plain("restarted", Some(true)),
        }
        object.end();
    }
}

fn lines(first: u64, last: u64) -> String {
    if first == last {
        format!("line {first} is")
    } else {
        format!("lines {first} to {last} are")
    }
}

/// The keys of the journal's line; one that the line has not is not there.
fn push_fields(object: &mut Object<'_>, entry: &Entry) {
    let mut text = |key: &str, value: Option<String>| {
        if value.is_some() {
            object.text(key, value);
        }
    };
    text("label", Some(entry.stamp.to_string()));
    text("state", Some(entry.state.name().to_owned()));
    text("from", entry.from.map(|from| from.name().to_owned()));
    text(
        "command",
        entry.command.map(|byte| char::from(byte).to_string()),
    );
    text("sent", entry.sent.map(|signal| signal.to_string()));
    text("end", entry.end.map(|end| end.to_string()));
    text("next_start", entry.next_start.and_then(json::time));
    text(
        "reason",
        Some(entry.reason.clone()).filter(|reason| !reason.is_empty()),
    );
    let mut plain = |key: &str, value: Option<String>| {
        if value.is_some() {
            object.plain(key, value);
        }
    };
    let pid = |pid: rustix::process::Pid| pid.as_raw_nonzero().to_string();
    plain("number", Some(entry.number.to_string()));
    plain("pid", entry.pid.map(pid));
    plain("expected", entry.expected.map(|yes| yes.to_string()));
    plain("tries", entry.tries.map(|tries| tries.to_string()));
    plain("ready", entry.ready.map(|yes| yes.to_string()));
    plain("paused", entry.paused.map(|yes| yes.to_string()));
    plain(
        "failed_checks",
        entry.failed_checks.map(|count| count.to_string()),
    );
    plain("supervise", entry.supervise.map(pid));
    plain("adopted", entry.adopted.then(|| true.to_string()));
    plain("told_to_exit", entry.terminated.then(|| true.to_string()));
    plain("left", entry.left.then(|| true.to_string()));
}

/// `2026-11-25 19:50:01.123456` in local time.
fn push_time(out: &mut String, label: Tai64n, zone: &TimeZone) {
    let seconds = i64::try_from(label.unix_seconds()).unwrap_or(i64::MAX);
    let Ok(time) = DateTime::from_timespec(seconds, label.nanos().min(999_999_999), zone.as_ref())
    else {
        write!(out, "{label}").ok();
        return;
    };
    write!(
        out,
        "{}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        time.year(),
        time.month(),
        time.month_day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.nanoseconds() / 1000
    )
    .ok();
}
