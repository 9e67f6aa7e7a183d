//! What is wrong with an option file, in one line that names it.

use std::ffi::OsStr;
use std::fmt;

use rustix::io::Errno;

use super::file::Refusal;
use super::{Entry, entries};
use crate::layout::OPTIONS;
use crate::report::{Escaped, Why};
use crate::trust::is_passing;

/// A text in a message is cut to this many characters.
const SHOWN: usize = 60;

/// One fault: the file, its line where there is one, and what is wrong and was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The file from the service directory on: `options/startsecs`.
    pub file: String,
    /// The line in it, from 1 on.
    pub line: Option<usize>,
    /// What is wrong, and what was expected.
    pub problem: String,
    /// It says nothing about the files: the system was short of something, and reading them again may
    /// succeed ([`crate::trust::is_passing`]).
    pub passing: bool,
    /// The errno of the call that failed, if one did.
    pub errno: Option<i32>,
}

impl Fault {
    /// The option of that name has this problem.
    pub(super) fn of(option: &str, problem: impl Into<String>) -> Self {
        Self {
            file: format!("{OPTIONS}/{option}"),
            line: None,
            problem: problem.into(),
            passing: false,
            errno: None,
        }
    }

    /// The file or directory of that name could not be read.
    pub(super) fn unreadable(file: String, why: impl Into<Why>) -> Self {
        let why = why.into();
        Self {
            file,
            line: None,
            problem: format!("unable to read: {why}"),
            passing: is_passing(Errno::from_raw_os_error(why.0)),
            errno: Some(why.0),
        }
    }

    /// There is no option of that name.
    pub(super) fn unknown(name: &OsStr) -> Self {
        let name = name.to_string_lossy();
        let problem = match nearest(&name) {
            Some(known) => format!("unknown option (did you mean {known}?)"),
            None => "unknown option".to_owned(),
        };
        Self::of(&name, problem)
    }

    /// The entry's parser refused the text.
    pub(super) fn refused(entry: &Entry, refusal: Refusal) -> Self {
        let (line, what) = match refusal {
            Refusal::Empty => (None, "no value".to_owned()),
            Refusal::Value(line, text) => (Some(line), quoted(&text)),
            Refusal::Second(line, text) => {
                (Some(line), format!("{}: a second value", quoted(&text)))
            }
        };
        Self {
            line,
            ..Self::of(entry.name, format!("{what}: expected {}", entry.takes))
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", Escaped(&self.file))?;
        if let Some(line) = self.line {
            write!(out, "line {line}: ")?;
        }
        write!(out, "{}", Escaped(&self.problem))
    }
}

/// The text in quotation marks, cut where it is long.
fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let mut letters = text.chars();
    let shown: String = letters.by_ref().take(SHOWN).collect();
    let rest = if letters.next().is_some() { "..." } else { "" };
    format!("\"{shown}{rest}\"")
}

/// The option whose name takes the fewest changed letters, if those are few.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
    entries()
        .map(|entry| (distance(&name, entry.name), entry.name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

/// How many letters must be put in, left out or changed (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        let mut above = row.iter_mut();
        if let Some(first) = above.next() {
            *first = left;
        }
        for (b, cell) in to.chars().zip(above) {
            left = (diagonal + usize::from(a != b))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cell, left);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_the_right_one() {
        for (name, known) in [
            ("startsec", Some("startsecs")),
            ("stop-signal", Some("stopsignal")),
            ("stop_as_group", Some("stopasgroup")),
            ("limit-nofiles", Some("limit-nofile")),
            ("envs", Some("env")),
            ("startsecs~", Some("startsecs")),
            ("command", None),
            ("", None),
        ] {
            assert_eq!(nearest(name), known, "{name}");
        }
    }

    #[test]
    fn the_distance_counts_letters() {
        for (from, to, letters) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from, to), letters, "{from} {to}");
        }
    }

    #[test]
    fn a_fault_is_one_line_whatever_the_file_holds() {
        let name = "a\nsupervise: info: b".to_owned();
        let fault = Fault {
            line: Some(3),
            ..Fault::of(&name, quoted(OsStr::new(&"x\x1b".repeat(99))))
        };
        let text = fault.to_string();
        assert!(
            text.starts_with("options/a\\nsupervise: info: b: line 3: \"x\\x1bx"),
            "{text}"
        );
        assert!(text.ends_with("...\""), "{text}");
    }
}
