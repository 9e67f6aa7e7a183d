//! The cursor file: how far the events of each service have been processed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use servicedir::journal::reader::Cursor;
use servicedir::tai64n::Tai64n;
use servicedir::trust;

use crate::kind::Channel;

/// The first line of the file.
const HEAD: &str = "svevent 1";

/// The longest file that is read, in bytes: ten thousand services.
const FILE_MAX: usize = 4 * 1024 * 1024;

/// What the file holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cursors {
    /// A service that is not in the file begins with the first event that is not older than this.
    pub(crate) since: Tai64n,
    /// The number of the next event.
    pub(crate) serial: u64,
    /// Which svscan was the last one: its pid and start time.
    pub(crate) svscan: Option<(i32, u64)>,
    /// The groups that were there.
    pub(crate) groups: BTreeSet<String>,
    /// The last line of each service's journal that was processed.
    pub(crate) journals: BTreeMap<String, Cursor>,
    /// The last item of each spool that was processed.
    pub(crate) spools: BTreeMap<(String, Channel), u64>,
    /// The last message of a remote client that was processed.
    pub(crate) remote: u64,
}

impl Cursors {
    /// Nothing is processed yet.
    pub(crate) fn new(since: Tai64n) -> Self {
        Self {
            since,
            serial: 0,
            svscan: None,
            groups: BTreeSet::new(),
            journals: BTreeMap::new(),
            spools: BTreeMap::new(),
            remote: 0,
        }
    }

    /// Reads the file; none where it does not exist, or is not one.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let bytes = trust::read(path, FILE_MAX).ok()?;
        Self::from_text(std::str::from_utf8(&bytes).ok()?)
    }

    /// Replaces the file: the new one is written beside it and renamed.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, self.to_text())?;
        fs::rename(&new, path)
    }

    fn to_text(&self) -> String {
        let mut out = format!("{HEAD}\nsince {}\nserial {}\n", self.since, self.serial);
        let mut line = |text: std::fmt::Arguments<'_>| writeln!(out, "{text}").unwrap_or_default();
        if let Some((pid, start)) = self.svscan {
            line(format_args!("svscan {pid} {start}"));
        }
        line(format_args!("remote {}", self.remote));
        for group in self.groups.iter().filter(|name| is_line(name)) {
            line(format_args!("group {group}"));
        }
        for (name, cursor) in self.journals.iter().filter(|(name, _)| is_line(name)) {
            line(format_args!("journal {cursor} {name}"));
        }
        for ((name, channel), number) in &self.spools {
            if is_line(name) {
                line(format_args!("{} {number} {name}", channel.name()));
            }
        }
        out
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let mut cursors = Self::new(Tai64n::default());
        for line in lines {
            let (key, rest) = line.split_once(' ')?;
            cursors.take(key, rest)?;
        }
        Some(cursors)
    }

    fn take(&mut self, key: &str, rest: &str) -> Option<()> {
        match key {
            "since" => self.since = Tai64n::from_hex(rest.as_bytes())?,
            "serial" => self.serial = rest.parse().ok()?,
            "remote" => self.remote = rest.parse().ok()?,
            "svscan" => {
                let (pid, start) = rest.split_once(' ')?;
                self.svscan = Some((pid.parse().ok()?, start.parse().ok()?));
            }
            "group" => drop(self.groups.insert(rest.to_owned())),
            "journal" => {
                let (at, _) = rest.match_indices(' ').nth(1)?;
                let (cursor, name) = rest.split_at_checked(at)?;
                let cursor = Cursor::from_text(cursor)?;
                self.journals.insert(name.get(1..)?.to_owned(), cursor);
            }
            "stdout" | "stderr" => {
                let channel = if key == "stdout" {
                    Channel::Stdout
                } else {
                    Channel::Stderr
                };
                let (number, name) = rest.split_once(' ')?;
                self.spools
                    .insert((name.to_owned(), channel), number.parse().ok()?);
            }
            _ => {}
        }
        Some(())
    }
}

/// Whether a name fits in one line.
fn is_line(name: &str) -> bool {
    !name.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            names in prop::collection::btree_set("[a-z @:\u{e9}]{1,12}", 0..5),
            (serial, number, remote) in any::<(u64, u64, u64)>(),
        ) {
            let mut cursors = Cursors::new(Tai64n::from_unix(7, 1));
            cursors.serial = serial;
            cursors.remote = remote;
            cursors.svscan = Some((12, 99));
            for name in names {
                let cursor = Cursor { number, stamp: Tai64n::from_unix(number % 1000, 0) };
                cursors.journals.insert(name.clone(), cursor);
                cursors.spools.insert((name.clone(), Channel::Stderr), number);
                cursors.groups.insert(name);
            }
            prop_assert_eq!(Cursors::from_text(&cursors.to_text()), Some(cursors));
        }

        #[test]
        fn no_text_makes_it_panic(text in "svevent 1\n(journal|group|stdout|since) [0-9@a ]{0,20}\n?") {
            drop(Cursors::from_text(&text));
        }
    }
}
