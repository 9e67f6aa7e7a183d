//! The history of a service, from its journal.

use std::fmt::Write;

use servicedir::journal::Entry;
use servicedir::journal::reader::{Found, Reader, Start};
use servicedir::layout::Layout;

/// How many lines a page shows.
const SHOWN: usize = 50;

/// How many lines are read at a time.
const AT_ONCE: usize = 500;

/// The last changes of a service, the newest first, and the reader that goes on behind them.
pub(crate) fn latest(layout: &Layout) -> (Vec<Entry>, Reader) {
    let mut reader = Reader::new(Start::Beginning);
    let mut entries = Vec::new();
    loop {
        let more = next(&mut reader, layout);
        if more.is_empty() {
            break;
        }
        entries.extend(more);
        entries.drain(..entries.len().saturating_sub(SHOWN));
    }
    entries.reverse();
    (entries, reader)
}

/// What has been written since the last call. A journal that cannot be read holds nothing to show.
pub(crate) fn next(reader: &mut Reader, layout: &Layout) -> Vec<Entry> {
    let found = reader.read(layout, AT_ONCE).unwrap_or_default();
    let entry = |found| match found {
        Found::Entry(entry) => Some(entry),
        Found::Missed { .. } | Found::Restarted => None,
    };
    found.into_iter().filter_map(entry).collect()
}

/// What happened, in words; the state after it stands beside them.
pub(crate) fn words(entry: &Entry) -> String {
    let mut parts = Vec::new();
    if let Some(from) = entry.from {
        parts.push(format!("after {}", from.name().to_ascii_lowercase()));
    }
    if let Some(end) = entry.end {
        parts.push(end.to_string());
    }
    if let Some(tries) = entry.tries.filter(|tries| *tries > 0) {
        parts.push(format!("failed start {tries}"));
    }
    if let Some(pid) = entry.pid {
        parts.push(format!("pid {}", pid.as_raw_nonzero()));
    }
    let told = [
        (entry.ready == Some(true), "ready"),
        (
            entry.ready == Some(false) && entry.from.is_none(),
            "not ready",
        ),
        (entry.paused == Some(true), "paused"),
        (entry.paused == Some(false), "continued"),
        (entry.adopted, "another supervise goes on with it"),
        (entry.left, "its supervise exits"),
    ];
    parts.extend(
        told.iter()
            .filter(|(holds, _)| *holds)
            .map(|(_, words)| (*words).to_owned()),
    );
    if let Some(byte) = entry.command.filter(u8::is_ascii_graphic) {
        parts.push(format!("command {}", char::from(byte)));
    }
    if let Some(signal) = entry.sent {
        parts.push(format!("{signal} sent"));
    }
    let mut text = parts.join(", ");
    if !entry.reason.is_empty() {
        let colon = if text.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        write!(text, "{colon}{}", entry.reason).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use servicedir::status::{End, State};
    use servicedir::tai64n::Tai64n;

    #[test]
    fn a_line_reads_well() {
        let mut entry = Entry::new(Tai64n::default(), 1, State::Backoff);
        entry.from = Some(State::Starting);
        entry.end = Some(End::Exited(3));
        entry.tries = Some(2);
        assert_eq!(words(&entry), "after starting, exited 3, failed start 2");
        let mut entry = Entry::new(Tai64n::default(), 1, State::Fatal);
        entry.reason = "2 failed starts".to_owned();
        assert_eq!(words(&entry), "2 failed starts");
    }
}
