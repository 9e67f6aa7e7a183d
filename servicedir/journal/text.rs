//! A line of the journal <-> an [`Entry`].

use std::fmt::{self, Display};
use std::io::Write;

use rustix::process::Pid;

use super::{Entry, LINE_MAX, REASON_MAX};
use crate::signal::Signal;
use crate::status::{End, State};
use crate::tai64n::Tai64n;

impl Entry {
    /// Appends the line to `line`.
    pub fn push_line(&self, line: &mut Vec<u8>) {
        line.extend(self.stamp.hex());
        push(line, format_args!(" {} {}", self.number, self.state.name()));
        self.push_change(line);
        self.push_cause(line);
        if !self.reason.is_empty() {
            push(line, format_args!(" reason={}", Quoted(cut(&self.reason))));
        }
        line.push(b'\n');
    }

    /// The fields of a change of state.
    fn push_change(&self, line: &mut Vec<u8>) {
        push_field(line, "from", self.from.map(State::name));
        push_field(line, "pid", self.pid.map(Pid::as_raw_nonzero));
        push_end(line, self.end);
        push_field(line, "expected", self.expected.map(yes_or_no));
        push_field(line, "tries", self.tries);
        push_field(line, "next", self.next_start);
        push_field(line, "ready", self.ready.map(yes_or_no));
        push_field(line, "paused", self.paused.map(yes_or_no));
    }

    /// The fields that tell who or what caused it.
    fn push_cause(&self, line: &mut Vec<u8>) {
        push_field(line, "command", self.command.map(Letter));
        push_field(line, "told", self.terminated.then_some("TERM"));
        push_field(line, "sent", self.sent);
        push_field(line, "failed-checks", self.failed_checks);
        push_field(line, "supervise", self.supervise.map(Pid::as_raw_nonzero));
        push_field(line, "adopted", self.adopted.then_some("yes"));
        push_field(line, "left", self.left.then_some("yes"));
    }

    /// Reads a line without its newline; `None` for one that is damaged, or that is not a line of a
    /// journal.
    #[must_use]
    pub fn from_line(line: &[u8]) -> Option<Self> {
        if line.len() >= LINE_MAX {
            return None;
        }
        let text = std::str::from_utf8(line).ok()?;
        let (label, text) = text.split_once(' ')?;
        let (number, text) = text.split_once(' ')?;
        let (state, mut fields) = text.split_once(' ').unwrap_or((text, ""));
        let mut entry = Self::new(
            Tai64n::from_hex(label.as_bytes())?,
            number.parse().ok()?,
            state_of(state)?,
        );
        let mut core = false;
        while !fields.is_empty() {
            let (key, rest) = fields.split_once('=')?;
            let (value, rest) = split_value(rest)?;
            core |= key == "core" && value == "yes";
            entry.set(key, value)?;
            fields = rest;
        }
        if let Some(End::Killed { signal, .. }) = entry.end {
            entry.end = Some(End::Killed { signal, core });
        }
        Some(entry)
    }

    /// Takes in one field; `None` if its value has no meaning. An unknown key is skipped.
    fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "from" => self.from = Some(state_of(value)?),
            "pid" => self.pid = Some(pid_of(value)?),
            "exit" => self.end = Some(End::Exited(value.parse().ok()?)),
            "signal" => {
                self.end = Some(End::Killed {
                    signal: signal_of(value)?,
                    core: false,
                });
            }
            "errno" => self.end = Some(End::NotStarted(value.parse().ok()?)),
            "end" => self.end = Some(End::Unknown),
            "expected" => self.expected = Some(is_yes(value)?),
            "tries" => self.tries = Some(value.parse().ok()?),
            "next" => self.next_start = Some(Tai64n::from_hex(value.as_bytes())?),
            "ready" => self.ready = Some(is_yes(value)?),
            "paused" => self.paused = Some(is_yes(value)?),
            "command" => self.command = Some(byte_of(value)?),
            "told" => self.terminated = true,
            "sent" => self.sent = Some(signal_of(value)?),
            "failed-checks" => self.failed_checks = Some(value.parse().ok()?),
            "supervise" => self.supervise = Some(pid_of(value)?),
            "adopted" => self.adopted = is_yes(value)?,
            "left" => self.left = is_yes(value)?,
            "reason" => self.reason = unquoted(value)?,
            _ => {}
        }
        Some(())
    }
}

fn push(line: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a vector does not fail.
    line.write_fmt(text).ok();
}

fn push_field(line: &mut Vec<u8>, key: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        push(line, format_args!(" {key}={value}"));
    }
}

fn push_end(line: &mut Vec<u8>, end: Option<End>) {
    match end {
        None => {}
        Some(End::Exited(code)) => push(line, format_args!(" exit={code}")),
        Some(End::Killed { signal, core }) => {
            push(line, format_args!(" signal={signal}"));
            push_field(line, "core", core.then_some("yes"));
        }
        Some(End::NotStarted(errno)) => push(line, format_args!(" errno={errno}")),
        Some(End::Unknown) => push(line, format_args!(" end=unknown")),
    }
}

fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

fn is_yes(value: &str) -> Option<bool> {
    match value {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

fn state_of(name: &str) -> Option<State> {
    State::ALL.into_iter().find(|state| state.name() == name)
}

fn pid_of(value: &str) -> Option<Pid> {
    value
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
        .and_then(Pid::from_raw)
}

/// `SIGTERM`, or `SIG34` for a signal without a name.
fn signal_of(value: &str) -> Option<Signal> {
    Signal::from_name(value.strip_prefix("SIG")?)
}

/// A command byte: itself where it is a letter or a digit, else `0x1b`.
struct Letter(u8);

impl Display for Letter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_ascii_alphanumeric() {
            write!(out, "{}", char::from(self.0))
        } else {
            write!(out, "{:#04x}", self.0)
        }
    }
}

fn byte_of(value: &str) -> Option<u8> {
    match value.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16).ok(),
        None => match value.as_bytes() {
            [byte] => Some(*byte),
            _ => None,
        },
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_MAX))
        .unwrap_or(text)
}

/// A text in double quotes, on one line: `\"`, `\\`, `\n`, and `\u{1b}` for other control characters.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        out.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(out, "\\{letter}")?,
                '\n' => out.write_str("\\n")?,
                control if control.is_control() => write!(out, "\\u{{{:x}}}", u32::from(control))?,
                plain => out.write_char(plain)?,
            }
        }
        out.write_char('"')
    }
}

/// The value at the start of `text`, with its quotes, and what follows the blank behind it.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('"') {
        quoted_length(text)?
    } else {
        text.find(' ').unwrap_or(text.len())
    };
    let (value, rest) = text.split_at_checked(end)?;
    if rest.is_empty() {
        return Some((value, rest));
    }
    // A blank is followed by a field.
    rest.strip_prefix(' ')
        .filter(|rest| !rest.is_empty())
        .map(|rest| (value, rest))
}

/// The length of the quoted text at the start of `text`, in bytes; `None` if its end is missing.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn unquoted(value: &str) -> Option<String> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        text.push(match letter {
            '\\' => match letters.next()? {
                'n' => '\n',
                'u' => {
                    let (digits, rest) = letters.as_str().strip_prefix('{')?.split_once('}')?;
                    letters = rest.chars();
                    u32::from_str_radix(digits, 16)
                        .ok()
                        .and_then(char::from_u32)?
                }
                other => other,
            },
            plain => plain,
        });
    }
    Some(text)
}
