//! All that is known of services, as JSON.

use std::fmt::{self, Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::Pid;
use servicedir::status::{End, Phase, Record, Status, Want};
use servicedir::tai64n::Tai64n;
use servicedir::words::seconds;

use crate::look::{Seen, Service};

/// One array, an object a service, each on a line of its own.
pub(crate) fn render(seen: &[(Service, Seen)], now: Tai64n) -> String {
    let mut out = String::from("[");
    for (index, (service, seen)) in seen.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        let mut object = Object::begin(&mut out);
        describe(&mut object, service, seen, now);
        object.end();
    }
    out.push_str(if seen.is_empty() { "]\n" } else { "\n]\n" });
    out
}

/// The same keys for every service: null is what is not known, or does not exist.
fn describe(object: &mut Object<'_>, service: &Service, seen: &Seen, now: Tai64n) {
    let layout = service.layout.as_ref().ok();
    let status = seen.reading.as_ref().map(|reading| &reading.status);
    object.text("service", Some(service.typed.display()));
    object.text("name", layout.map(|layout| layout.name.display()));
    object.text(
        "instance",
        layout.and_then(|layout| layout.instance.as_ref().map(|name| name.display())),
    );
    object.plain("supervised", Some(seen.is_supervised()));
    object.text("problem", seen.problem.as_ref());
    let damage = seen.reading.as_ref().and_then(|reading| reading.damage);
    object.text("damage", damage);
    object.plain("up", Some(seen.is_up()));
    let normally = seen.normally_up.map(|up| if up { "up" } else { "down" });
    object.text("normally", normally);
    prefix(object, status, now);
    let record = status.and_then(|status| status.record.as_ref());
    state(object, record);
    history(object, record);
    identity(object, record);
}

/// The fields that every suite's status has.
fn prefix(object: &mut Object<'_>, status: Option<&Status>, now: Tai64n) {
    object.plain("pid", status.and_then(|status| number(status.pid)));
    let phase = status.map(|status| match status.phase {
        Phase::Down => "down",
        Phase::Run => "run",
        Phase::Finish => "finish",
    });
    object.text("phase", phase);
    object.plain("seconds", status.map(|status| seconds(status, now)));
    object.text("since", status.and_then(|status| time(status.stamp)));
    object.plain("paused", status.map(|status| status.paused));
    let want = status.map(|status| match status.want {
        Want::Up => "up",
        Want::Down => "down",
        Want::Once => "once",
    });
    object.text("want", want);
    object.plain("term_sent", status.map(|status| status.term_sent));
}

fn state(object: &mut Object<'_>, record: Option<&Record>) {
    object.text("state", record.map(|record| record.state.name()));
    object.plain("state_number", record.map(|record| record.state.number()));
    object.text(
        "state_since",
        record.and_then(|record| time(record.state_stamp)),
    );
    object.plain("ready", record.map(|record| record.ready));
    object.text(
        "ready_since",
        record.and_then(|record| time(record.ready_stamp)),
    );
    object.plain("tells_ready", record.map(|record| record.tells_ready));
    object.plain("restarting", record.map(|record| record.restarting));
    object.plain("exiting", record.map(|record| record.exiting));
    object.plain("left", record.map(|record| record.left));
    object.plain("options_fault", record.map(|record| record.options_fault));
    object.text("reason", record.map(|record| &record.reason));
    object.text("message", record.map(|record| &record.message));
    let watchdog = record.and_then(|record| record.watchdog);
    object.plain(
        "watchdog_usec",
        watchdog.map(|interval| interval.as_micros()),
    );
}

fn history(object: &mut Object<'_>, record: Option<&Record>) {
    match record.and_then(|record| record.last_end) {
        None => object.plain("last_end", None::<u8>),
        Some(last) => {
            object.key("last_end");
            let mut inner = Object::begin(object.out);
            end(&mut inner, last);
            inner.end();
        }
    }
    object.plain("failed_starts", record.map(|record| record.failed_starts));
    object.plain(
        "start_retries",
        record.and_then(|record| record.start_retries),
    );
    object.plain("total_starts", record.map(|record| record.total_starts));
    let next = record.and_then(|record| record.next_start);
    object.text("next_start", next.and_then(time));
    object.plain("commands", record.map(|record| record.commands));
    let run_started = record.and_then(|record| record.run_started);
    object.text("run_started", run_started.and_then(time));
    let run_ended = record.and_then(|record| record.run_ended);
    object.text("run_ended", run_ended.and_then(time));
    object.plain("journal", record.map(|record| record.journal));
}

fn identity(object: &mut Object<'_>, record: Option<&Record>) {
    object.plain("pid_start", record.map(|record| record.pid_start));
    object.plain(
        "process_group",
        record.and_then(|record| number(record.group)),
    );
    object.plain(
        "supervise_pid",
        record.and_then(|record| number(record.supervise)),
    );
    object.text("boot", record.map(|record| Hex(record.world.boot)));
    object.plain(
        "pid_namespace",
        record.map(|record| record.world.pid_namespace),
    );
}

fn end(object: &mut Object<'_>, end: End) {
    let (how, code, signal, core, errno) = match end {
        End::Exited(code) => ("exited", Some(code), None, None, None),
        End::Killed { signal, core } => ("killed", None, Some(signal), Some(core), None),
        End::NotStarted(errno) => ("not started", None, None, None, Some(errno)),
        End::Unknown => ("unknown", None, None, None, None),
    };
    object.text("how", Some(how));
    object.plain("code", code);
    object.text("signal", signal);
    object.plain("core", core);
    object.plain("errno", errno);
    object.text("words", Some(end));
}

fn number(pid: Option<Pid>) -> Option<i32> {
    pid.map(|pid| pid.as_raw_nonzero().get())
}

/// A label as RFC 3339 writes a time, in UTC; `None` for one that is unset or beyond the year 9999.
pub(crate) fn time(label: Tai64n) -> Option<String> {
    let since = Duration::new(label.unix_seconds(), label.nanos().min(999_999_999));
    let set = label != Tai64n::default() && since.as_secs() < 253_402_300_800;
    let time = UNIX_EPOCH.checked_add(since).filter(|_| set)?;
    Some(humantime::format_rfc3339_nanos(time).to_string())
}

/// Bytes in hexadecimal.
struct Hex([u8; 16]);

impl Display for Hex {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// An object that is being written.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, empty: true }
    }

    pub(crate) fn end(self) {
        self.out.push('}');
    }

    /// A key; its value is to follow. Keys are plain words.
    fn key(&mut self, key: &str) {
        if !self.empty {
            self.out.push_str(", ");
        }
        self.empty = false;
        self.out.push('"');
        self.out.push_str(key);
        self.out.push_str("\": ");
    }

    /// A number or a boolean.
    pub(crate) fn plain(&mut self, key: &str, value: Option<impl Display>) {
        self.key(key);
        // Writing to memory cannot fail.
        let written = match value {
            Some(value) => write!(self.out, "{value}"),
            None => self.out.write_str("null"),
        };
        written.unwrap_or_default();
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            None => self.plain(key, None::<u8>),
            Some(value) => {
                self.key(key);
                quote(self.out, &value.to_string());
            }
        }
    }
}

/// A JSON string (RFC 8259, section 7).
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => {
                write!(out, "\\u{:04x}", u32::from(control)).unwrap_or_default();
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        let mut out = String::new();
        quote(&mut out, "a\"b\\c\nd\u{1b}[2J\u{7f}é");
        assert_eq!(out, r#""a\"b\\c\nd\u001b[2J\u007fé""#);
    }

    #[test]
    fn no_services_are_an_empty_array() {
        assert_eq!(render(&[], Tai64n::default()), "[]\n");
    }

    #[test]
    fn an_unset_label_is_no_time() {
        assert_eq!(time(Tai64n::default()), None);
        assert_eq!(time(Tai64n::from_unix(u64::MAX >> 3, 0)), None);
        assert_eq!(
            time(Tai64n::from_unix(1_795_262_400, 5)).as_deref(),
            Some("2026-11-21T12:00:00.000000005Z")
        );
    }
}
