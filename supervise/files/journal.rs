//! Appending to `journal` in the state directory: one write(2) a line, a new file when it has grown.
//!
//! The file is opened for each batch of lines and closed again: whatever an administrator, or the owner
//! of the directory, has put in its place since is noticed. Nothing here stops the service: a line that
//! cannot be written is lost, and its number tells readers so.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use servicedir::journal::{Entry, LINE_MAX, ROTATE_AT, TORN};
use servicedir::layout::{JOURNAL, JOURNAL_OLD};
use servicedir::report::Why;

use crate::message::{Message, warn};

/// The mode of the file: everyone may read what happened.
const MODE: u32 = 0o644;

/// Links are not followed, and nothing waits for the other end of a FIFO.
const CAREFUL: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Why a line was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotWritten {
    Failed(Errno),
    NotFile,
    /// Another user owns the file, or it has another name elsewhere.
    Foreign,
}

impl NotWritten {
    /// The state directory was removed.
    pub(crate) fn is_no_directory(self) -> bool {
        self == Self::Failed(Errno::NOENT)
    }
}

impl From<Errno> for NotWritten {
    fn from(errno: Errno) -> Self {
        match errno {
            // What a directory, a link, a FIFO without a reader and a socket answer to open(2).
            Errno::ISDIR | Errno::LOOP | Errno::NXIO => Self::NotFile,
            other => Self::Failed(other),
        }
    }
}

impl fmt::Display for NotWritten {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(errno) => Why::from(*errno).fmt(out),
            Self::NotFile => out.write_str("not a regular file"),
            Self::Foreign => out.write_str("another user's file"),
        }
    }
}

/// The end of the journal.
#[derive(Debug, Default)]
pub(crate) struct JournalFile {
    /// The last write wrote a part of its line.
    torn: bool,
    /// The last line could not be written, and a warning has told so.
    failing: bool,
    line: Vec<u8>,
}

impl JournalFile {
    /// Looks for the end of the journal in a state directory; with its last line, if there is one.
    pub(crate) fn find_end(folder: impl AsFd) -> (Self, Option<Entry>) {
        let folder = folder.as_fd();
        let current = tail(folder, JOURNAL);
        let journal = Self {
            torn: current.as_ref().is_some_and(|tail| !ends_a_line(tail)),
            ..Self::default()
        };
        let entry = |tail: Option<Vec<u8>>| tail.and_then(|tail| last_entry(&tail));
        let last = entry(current).or_else(|| entry(tail(folder, JOURNAL_OLD)));
        (journal, last)
    }

    /// Reports a failure once, until a line can be written again. `shown`: the service directory in
    /// messages.
    pub(crate) fn report(&mut self, outcome: Result<(), NotWritten>, shown: &Path) {
        if let Err(why) = outcome
            && !self.failing
        {
            let why = why.to_string();
            warn(shown, &Message::JournalUnwritten { why });
        }
        self.failing = outcome.is_err();
    }

    /// Appends lines.
    ///
    /// # Errors
    /// The reason of the first that was not written.
    pub(crate) fn append(&mut self, folder: impl AsFd, lines: &[Entry]) -> Result<(), NotWritten> {
        if lines.is_empty() {
            return Ok(());
        }
        let folder = folder.as_fd();
        let mut file = open(folder)?;
        let mut outcome = Ok(());
        for entry in lines {
            if rustix::fs::fstat(&file)?.st_size.unsigned_abs() > ROTATE_AT {
                file = rotate(folder, file)?;
                self.torn = false;
            }
            let written = self.append_one(&file, entry);
            outcome = outcome.and(written.map_err(NotWritten::from));
        }
        outcome
    }

    fn append_one(&mut self, file: &OwnedFd, entry: &Entry) -> rustix::io::Result<()> {
        self.line.clear();
        if self.torn {
            self.line.extend(TORN.bytes());
        }
        entry.push_line(&mut self.line);
        let written = retry_on_intr(|| rustix::io::write(file, &self.line))?;
        self.torn = written < self.line.len();
        if self.torn { Err(Errno::NOSPC) } else { Ok(()) }
    }
}

/// Opens the journal for appending; makes it where it does not exist.
fn open(folder: impl AsFd) -> Result<OwnedFd, NotWritten> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | CAREFUL;
    let mode = Mode::from_raw_mode(MODE);
    let file = retry_on_intr(|| rustix::fs::openat(&folder, JOURNAL, flags, mode))?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(NotWritten::NotFile);
    }
    if is_foreign(&stat) {
        return Err(NotWritten::Foreign);
    }
    Ok(file)
}

/// A file of another user, or a second name of a file that is elsewhere, gets no lines.
fn is_foreign(stat: &Stat) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stat.st_nlink > 1 || (stat.st_uid != own && stat.st_uid != 0)
}

/// Begins a new journal. Where the old one cannot be renamed, it is emptied, so that it stays bounded.
fn rotate(folder: impl AsFd, file: OwnedFd) -> Result<OwnedFd, NotWritten> {
    let folder = folder.as_fd();
    match retry_on_intr(|| rustix::fs::renameat(folder, JOURNAL, folder, JOURNAL_OLD)) {
        Ok(()) => open(folder),
        Err(_) => {
            rustix::fs::ftruncate(&file, 0)?;
            Ok(file)
        }
    }
}

/// The last bytes of a file of the state directory, at least the longest line; none if it cannot be read.
fn tail(folder: impl AsFd, name: &str) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | CAREFUL;
    let file = retry_on_intr(|| rustix::fs::openat(&folder, name, flags, Mode::empty())).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut bytes = vec![0; 2 * LINE_MAX];
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let from = stat.st_size.unsigned_abs().saturating_sub(length);
    let read = retry_on_intr(|| rustix::io::pread(&file, &mut bytes[..], from)).ok()?;
    bytes.truncate(read);
    Some(bytes)
}

fn ends_a_line(tail: &[u8]) -> bool {
    tail.last().is_none_or(|last| *last == b'\n')
}

/// The last sound line.
fn last_entry(tail: &[u8]) -> Option<Entry> {
    let end = memchr::memrchr(b'\n', tail)?;
    tail.get(..end)?
        .rsplit(|byte| *byte == b'\n')
        .find_map(Entry::from_line)
}
