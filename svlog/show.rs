//! A line as it is printed: the service's name where there are several, the time, the text.

use std::io::{self, Write};

use regex::bytes::Regex;
use servicedir::tai64n::Tai64n;
use tz::TimeZone;

use crate::source::Source;
use crate::stream::Entry;
use crate::when;

/// How lines are printed, and which.
pub(crate) struct Show {
    pub(crate) zone: TimeZone,
    /// Whether each line begins with its service's name.
    pub(crate) with_names: bool,
    /// Whether control characters are made visible: on a terminal they could command it.
    pub(crate) escaped: bool,
    pub(crate) grep: Option<Regex>,
    pub(crate) since: Option<Tai64n>,
    pub(crate) until: Option<Tai64n>,
}

impl Show {
    /// Whether a text is one that was asked for.
    pub(crate) fn wants(&self, text: &[u8]) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.is_match(text))
    }

    /// Whether an entry lies after the end of what was asked for.
    pub(crate) fn is_past(&self, entry: &Entry) -> bool {
        self.until.is_some_and(|until| entry.time > until)
    }

    /// Prints an entry.
    ///
    /// # Errors
    /// The output takes no more.
    pub(crate) fn print(
        &self,
        out: &mut impl Write,
        sources: &[Source],
        entry: &Entry,
    ) -> io::Result<()> {
        if self.with_names {
            let name = sources.get(entry.source).map_or("", |source| &source.name);
            write!(out, "{}: ", servicedir::report::Escaped(name))?;
        }
        if let Some(stamp) = entry.stamp {
            write!(out, "{} ", when::shown(stamp, &self.zone))?;
        }
        if self.escaped {
            write_escaped(out, &entry.text)?;
        } else {
            out.write_all(&entry.text)?;
        }
        out.write_all(b"\n")
    }
}

/// Writes text without anything that a terminal obeys: control characters but the tab, those of C1
/// too, and bytes that are not UTF-8, as `\x1b`.
fn write_escaped(out: &mut impl Write, text: &[u8]) -> io::Result<()> {
    for chunk in text.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if letter.is_control() && letter != '\t' {
                write!(out, "\\x{:02x}", u32::from(letter))?;
            } else {
                write!(out, "{letter}")?;
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        write_escaped(&mut out, text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        assert_eq!(escaped(b"a\x1b[2Jb\tc"), "a\\x1b[2Jb\tc");
        assert_eq!(escaped("é\u{9b}31m".as_bytes()), "é\\x9b31m");
        assert_eq!(escaped(b"\xff\x9b"), "\\xff\\x9b");
    }
}
