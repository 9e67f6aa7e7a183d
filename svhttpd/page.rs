//! The pages: what the snapshot holds, in the templates of `page/`.

mod text;

use std::collections::BTreeMap;

use minijinja::{AutoEscape, Environment, Error, Value, context};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use servicedir::journal::Entry;
use servicedir::report::Why;
use servicedir::status::State;
use servicedir::supervisor::logs::{self, Channel};
use servicedir::supervisor::process::ProcessState;

use crate::door::Door;
use crate::history;
use crate::site::Site;
use crate::snapshot::{Seen, Snapshot};

pub(crate) use text::{plain_log, size};

/// How much of a log's end is shown, in bytes.
const LOG_BYTES: u64 = 32 << 10;

/// What stands for itself in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// The templates that are one part of a page each.
const PARTS: [(&str, &str); 4] = [
    (
        "happened",
        "{% from 'parts.html' import happened %}{{ happened(entry) }}",
    ),
    (
        "row",
        "{% from 'parts.html' import row %}{{ row(service, control) }}",
    ),
    (
        "facts",
        "{% from 'parts.html' import facts %}{{ facts(service, control) }}",
    ),
    (
        "counts",
        "{% from 'parts.html' import counts %}{{ counts(tally) }}",
    ),
];

/// The templates.
#[derive(Debug)]
pub(crate) struct Pages(Environment<'static>);

/// Who looks at a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    /// What is served.
    pub(crate) site: &'a Site,
    /// The door that the reader came through.
    pub(crate) door: &'a Door,
    /// The token of its forms.
    pub(crate) token: &'a str,
    /// What its last action came to; empty for nothing.
    pub(crate) message: &'a str,
}

impl Pages {
    /// Compiles the templates.
    ///
    /// # Errors
    /// A template is wrong, which the tests would have found.
    pub(crate) fn new() -> Result<Self, Error> {
        let mut templates = Environment::new();
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.add_template("base.html", include_str!("page/base.html"))?;
        templates.add_template("parts.html", include_str!("page/parts.html"))?;
        templates.add_template("services.html", include_str!("page/services.html"))?;
        templates.add_template("service.html", include_str!("page/service.html"))?;
        for (name, text) in PARTS {
            templates.add_template(name, text)?;
        }
        Ok(Self(templates))
    }

    /// The page of all services.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn services(
        &self,
        reader: Reader<'_>,
        snapshot: &Snapshot,
    ) -> Result<String, Error> {
        self.0.get_template("services.html")?.render(context! {
            total => snapshot.services.len(),
            tally => tally(snapshot.services.iter().map(|seen| seen.info.state)),
            groups => groups(snapshot),
            ..common(reader, snapshot.now.unix_seconds())
        })
    }

    /// The page of one service.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn service(
        &self,
        reader: Reader<'_>,
        seen: &Seen,
        channel: Channel,
        now: u64,
    ) -> Result<String, Error> {
        let file = logs::file(&seen.process.layout, channel);
        let log = file.as_ref().map(|file| {
            let read = logs::read(file, |size| {
                let length = size.min(LOG_BYTES);
                ((size - length, length), ())
            });
            read.map_or_else(
                |error| Why::from(&error).to_string(),
                |(bytes, ())| plain_log(&bytes),
            )
        });
        let (history, _) = history::latest(&seen.process.layout);
        self.0.get_template("service.html")?.render(context! {
            service => shown(seen, now),
            channel => name_of(channel),
            log_file => file.map(|file| file.to_string_lossy().into_owned()),
            log => log,
            after => history.first().map_or(0, |entry| entry.number),
            history => history.iter().map(told).collect::<Value>(),
            ..common(reader, now)
        })
    }

    /// A row of the table.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn row(&self, seen: &Seen, control: bool, now: u64) -> Result<String, Error> {
        self.part(
            "row",
            context! { service => shown(seen, now), control => control },
        )
    }

    /// What stands above the log on the page of one service.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn facts(&self, seen: &Seen, control: bool, now: u64) -> Result<String, Error> {
        self.part(
            "facts",
            context! { service => shown(seen, now), control => control },
        )
    }

    /// A row of the history.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn happened(&self, entry: &Entry) -> Result<String, Error> {
        self.part("happened", context! { entry => told(entry) })
    }

    /// How many services are in each state.
    ///
    /// # Errors
    /// See [`Pages::new`].
    pub(crate) fn counts(
        &self,
        states: impl IntoIterator<Item = ProcessState>,
    ) -> Result<String, Error> {
        self.part("counts", context! { tally => tally(states) })
    }

    fn part(&self, name: &str, context: Value) -> Result<String, Error> {
        self.0.get_template(name)?.render(context)
    }
}

/// The name of an output, as in a URL.
pub(crate) fn name_of(channel: Channel) -> &'static str {
    match channel {
        Channel::Stdout => "stdout",
        Channel::Stderr => "stderr",
    }
}

/// What every page needs.
fn common(reader: Reader<'_>, now: u64) -> Value {
    context! {
        server => reader.site.name.as_str(),
        dir => reader.site.dir.to_string_lossy(),
        version => env!("CARGO_PKG_VERSION"),
        control => reader.door.rights.control,
        token => reader.token,
        message => reader.message,
        now => now,
    }
}

/// How many services are in each state, those first that need a look.
fn tally(states: impl IntoIterator<Item = ProcessState>) -> Value {
    const ORDER: [ProcessState; 8] = [
        ProcessState::Known(State::Fatal),
        ProcessState::Known(State::Backoff),
        ProcessState::Known(State::Starting),
        ProcessState::Known(State::Stopping),
        ProcessState::Known(State::Running),
        ProcessState::Known(State::Exited),
        ProcessState::Known(State::Stopped),
        ProcessState::Unknown,
    ];
    let mut counts = BTreeMap::<i32, usize>::new();
    for state in states {
        *counts.entry(state.number()).or_default() += 1;
    }
    ORDER
        .iter()
        .filter_map(|state| {
            let count = counts.get(&state.number())?;
            Some(context! { state => state.name().to_ascii_lowercase(), count => count })
        })
        .collect()
}

/// The services by group. Those that are alone in a group of their name stand together, without a heading.
fn groups(snapshot: &Snapshot) -> Value {
    let now = snapshot.now.unix_seconds();
    let mut alone = Vec::new();
    let mut named = BTreeMap::<&str, Vec<Value>>::new();
    for seen in &snapshot.services {
        if seen.info.group == seen.info.name {
            alone.push(shown(seen, now));
        } else {
            named
                .entry(&seen.info.group)
                .or_default()
                .push(shown(seen, now));
        }
    }
    let first = (!alone.is_empty()).then(|| context! { named => false, services => alone });
    let others = named
        .into_iter()
        .map(|(name, services)| context! { named => true, name => name, services => services });
    first.into_iter().chain(others).collect()
}

/// A service as the templates show it.
fn shown(seen: &Seen, now: u64) -> Value {
    let info = &seen.info;
    let name = info.namespec();
    let record = seen.record();
    let starts = seen.starts();
    context! {
        path => utf8_percent_encode(&name, PATH).to_string(),
        name => name,
        short => info.name.as_str(),
        group => info.group.as_str(),
        state => info.state.name(),
        notes => notes(seen),
        pid => info.pid,
        started => info.start,
        uptime => text::uptime(now.saturating_sub(info.start)),
        restarts => starts.saturating_sub(1),
        starts => starts,
        failed_starts => record.map_or(0, |record| record.failed_starts),
        memory => seen.memory.map(size).unwrap_or_default(),
        problem => seen.problem(),
        words => seen.words(),
        actions => actions(info.state),
        started_at => text::local(info.start),
        ended_at => text::local(info.stop),
        last_end => record.and_then(|record| record.last_end).map(|end| end.to_string()),
        directory => seen.process.layout.dir.to_string_lossy(),
    }
}

/// A line of the journal as the templates show it.
fn told(entry: &Entry) -> Value {
    context! {
        time => text::local(entry.stamp.unix_seconds()),
        state => entry.state.name().to_ascii_lowercase(),
        words => history::words(entry),
    }
}

/// What qualifies the state.
fn notes(seen: &Seen) -> String {
    let tells = seen.record().is_some_and(|record| record.tells_ready);
    let running = seen.info.state == ProcessState::Known(State::Running);
    let notes = [
        (seen.is_paused(), "paused"),
        (running && tells && !seen.is_ready(), "not ready"),
        (running && tells && seen.is_ready(), "ready"),
    ];
    let notes: Vec<&str> = notes
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, note)| note)
        .collect();
    notes.join(", ")
}

/// What can be done in a state.
fn actions(state: ProcessState) -> Value {
    let actions: &[&str] = match state {
        ProcessState::Known(State::Starting | State::Running | State::Backoff) => {
            &["restart", "stop"]
        }
        ProcessState::Known(State::Stopping) | ProcessState::Unknown => &[],
        ProcessState::Known(State::Stopped | State::Exited | State::Fatal) => &["start"],
    };
    actions.iter().copied().collect()
}
