//! An event: its payload as Supervisor writes it, and its fields for scripts.

use servicedir::journal::Entry;
use servicedir::status::{End, State};
use servicedir::tai64n::Tai64n;

use crate::kind::{Channel, Kind, Period};

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    /// When it happened: events of several services are given in this order.
    pub(crate) stamp: Tai64n,
    /// Its type.
    pub(crate) kind: Kind,
    /// The `key:value` tokens of the payload's first line.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// What follows the first line and its newline.
    pub(crate) data: Option<Vec<u8>>,
    /// What Supervisor's payload has no room for: shown to scripts only.
    pub(crate) extra: Vec<(&'static str, String)>,
}

/// A service, as events name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name {
    pub(crate) process: String,
    pub(crate) group: String,
}

impl Name {
    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("processname", self.process.clone()),
            ("groupname", self.group.clone()),
        ]
    }
}

impl Event {
    fn new(stamp: Tai64n, kind: Kind, fields: Vec<(&'static str, String)>) -> Self {
        Self {
            stamp,
            kind,
            fields,
            data: None,
            extra: Vec::new(),
        }
    }

    /// The event that a line of a journal stands for; none for a line that changes no state.
    pub(crate) fn of_entry(entry: &Entry, name: &Name) -> Option<Self> {
        // A supervise that takes a line back has entered no state.
        let from = entry.from.filter(|_| entry.supervise.is_none())?;
        let mut fields = name.fields();
        fields.push(("from_state", from.name().to_owned()));
        let pid = || entry.pid.map_or(0, |pid| pid.as_raw_nonzero().get());
        match entry.state {
            State::Starting | State::Backoff => {
                fields.push(("tries", entry.tries.unwrap_or(0).to_string()));
            }
            State::Exited => {
                let expected = entry.expected.unwrap_or(false);
                fields.push(("expected", u8::from(expected).to_string()));
                fields.push(("pid", pid().to_string()));
            }
            State::Running | State::Stopping | State::Stopped => {
                fields.push(("pid", pid().to_string()));
            }
            State::Fatal => {}
        }
        let mut event = Self::new(entry.stamp, Kind::ProcessState(entry.state), fields);
        event.extra = extra(entry);
        Some(event)
    }

    /// What a service wrote, cut out or as it came.
    pub(crate) fn of_output(
        stamp: Tai64n,
        captured: bool,
        channel: Channel,
        name: &Name,
        pid: u32,
        data: Vec<u8>,
    ) -> Self {
        let mut fields = name.fields();
        fields.push(("pid", pid.to_string()));
        let kind = if captured {
            Kind::Communication(channel)
        } else {
            fields.push(("channel", channel.name().to_owned()));
            Kind::Log(channel)
        };
        let mut event = Self::new(stamp, kind, fields);
        event.data = Some(data);
        event
    }

    /// A message of a remote client.
    pub(crate) fn of_remote(stamp: Tai64n, kind: &[u8], data: Vec<u8>) -> Self {
        let kind = String::from_utf8_lossy(kind).into_owned();
        let mut event = Self::new(stamp, Kind::Remote, vec![("type", kind)]);
        event.data = Some(data);
        event
    }

    /// A multiple of the period has been reached.
    pub(crate) fn of_tick(stamp: Tai64n, period: Period, when: u64) -> Self {
        Self::new(stamp, Kind::Tick(period), vec![("when", when.to_string())])
    }

    /// A group came or went.
    pub(crate) fn of_group(stamp: Tai64n, added: bool, group: &str) -> Self {
        let kind = if added {
            Kind::GroupAdded
        } else {
            Kind::GroupRemoved
        };
        let mut event = Self::new(stamp, kind, vec![("groupname", group.to_owned())]);
        // Its payload ends in a newline.
        event.data = Some(Vec::new());
        event
    }

    /// svscan has begun, or is about to end.
    pub(crate) fn of_svscan(stamp: Tai64n, running: bool) -> Self {
        let kind = if running {
            Kind::SupervisorRunning
        } else {
            Kind::SupervisorStopping
        };
        Self::new(stamp, kind, Vec::new())
    }

    /// The payload. Data that is not UTF-8 is written as Supervisor writes it: `Undecodable: b'\xff'`.
    pub(crate) fn payload(&self) -> String {
        let tokens: Vec<String> = self
            .fields
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect();
        let mut payload = tokens.join(" ");
        if let Some(data) = &self.data {
            payload.push('\n');
            match std::str::from_utf8(data) {
                Ok(text) => payload.push_str(text),
                Err(_) => {
                    payload.push_str("Undecodable: ");
                    push_python_bytes(&mut payload, data);
                }
            }
        }
        payload
    }
}

/// What a line tells beside Supervisor's fields.
fn extra(entry: &Entry) -> Vec<(&'static str, String)> {
    let mut extra = Vec::new();
    match entry.end {
        Some(End::Exited(code)) => extra.push(("exit", code.to_string())),
        Some(End::Killed { signal, .. }) => extra.push(("signal", signal.to_string())),
        Some(End::NotStarted(errno)) => extra.push(("errno", errno.to_string())),
        Some(End::Unknown) | None => {}
    }
    if !entry.reason.is_empty() {
        extra.push(("reason", entry.reason.clone()));
    }
    extra
}

/// Bytes as Python's repr() shows them.
fn push_python_bytes(out: &mut String, bytes: &[u8]) {
    let double = bytes.contains(&b'\'') && !bytes.contains(&b'"');
    let quote = if double { '"' } else { '\'' };
    out.push('b');
    out.push(quote);
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\t' => out.push_str("\\t"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\'' if !double => out.push_str("\\'"),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Name {
        Name {
            process: "web".to_owned(),
            group: "www".to_owned(),
        }
    }

    fn payload(line: &str) -> Option<String> {
        let line = format!("@400000000000000a00000000 {line}");
        let entry = Entry::from_line(line.as_bytes()).unwrap();
        Event::of_entry(&entry, &name()).map(|event| event.payload())
    }

    /// The payloads of the fact sheet of Supervisor 4.3.0.
    #[test]
    fn a_change_of_state_has_supervisors_payload() {
        for (line, expected) in [
            (
                "1 STARTING from=STOPPED tries=0",
                "from_state:STOPPED tries:0",
            ),
            (
                "1 BACKOFF from=STARTING pid=8 exit=3 tries=1",
                "from_state:STARTING tries:1",
            ),
            (
                "1 RUNNING from=STARTING pid=23982",
                "from_state:STARTING pid:23982",
            ),
            (
                "1 EXITED from=RUNNING pid=8 exit=7 expected=no",
                "from_state:RUNNING expected:0 pid:8",
            ),
            ("1 STOPPING from=RUNNING pid=8", "from_state:RUNNING pid:8"),
            (
                "1 STOPPED from=STOPPING pid=8 exit=0",
                "from_state:STOPPING pid:8",
            ),
            ("1 STOPPED from=BACKOFF", "from_state:BACKOFF pid:0"),
            ("1 FATAL from=BACKOFF tries=4", "from_state:BACKOFF"),
        ] {
            let expected = format!("processname:web groupname:www {expected}");
            assert_eq!(payload(line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_changes_no_state_is_no_event() {
        assert_eq!(payload("1 RUNNING command=d"), None);
        assert_eq!(payload("1 STARTING from=BACKOFF supervise=9"), None);
    }

    #[test]
    fn output_follows_its_first_line() {
        let output = |captured, data: &[u8]| {
            let stamp = Tai64n::default();
            Event::of_output(stamp, captured, Channel::Stdout, &name(), 9, data.to_vec()).payload()
        };
        assert_eq!(
            output(true, b"one"),
            "processname:web groupname:www pid:9\none"
        );
        assert_eq!(
            output(false, b"hello\n"),
            "processname:web groupname:www pid:9 channel:stdout\nhello\n"
        );
        assert_eq!(
            output(true, b"bin\xff\x00"),
            "processname:web groupname:www pid:9\nUndecodable: b'bin\\xff\\x00'"
        );
    }

    #[test]
    fn the_other_payloads() {
        let stamp = Tai64n::default();
        let tick = Event::of_tick(stamp, Period::Five, 1_795_624_775);
        assert_eq!(tick.payload(), "when:1795624775");
        assert_eq!(
            Event::of_group(stamp, true, "ok").payload(),
            "groupname:ok\n"
        );
        assert_eq!(Event::of_svscan(stamp, true).payload(), "");
        let remote = Event::of_remote(stamp, b"ty pe", b"da\nta".to_vec());
        assert_eq!(remote.payload(), "type:ty pe\nda\nta");
    }

    #[test]
    fn bytes_look_as_python_shows_them() {
        let mut out = String::new();
        push_python_bytes(&mut out, b"it's\t\\\n");
        assert_eq!(out, "b\"it's\\t\\\\\\n\"");
        out.clear();
        push_python_bytes(&mut out, b"'\"");
        assert_eq!(out, "b'\\'\"'");
    }
}
