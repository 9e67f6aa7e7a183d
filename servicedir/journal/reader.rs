//! Reading a service's journal from a place on, over rotations.
//!
//! A [`Reader`] keeps no file open, so that one process can follow any number of services. It knows the
//! last line that it has read, and where that was: it looks there again, first in `journal`, then in
//! `journal.old`, and searches both files only when the line is at neither place.

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::io::retry_on_intr;

use super::{Entry, LINE_MAX};
use crate::layout::{JOURNAL, JOURNAL_OLD, Layout};
use crate::state_folder::StateFolder;
use crate::tai64n::Tai64n;
use crate::trust::Refused;

/// How much of a file is read at once, in bytes: some eight hundred lines.
const CHUNK: usize = 64 * 1024;

/// Which line of a journal was the last one that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// Its number.
    pub number: u64,
    /// Its label: a state directory that was made again numbers its lines from 1.
    pub stamp: Tai64n,
}

impl Cursor {
    /// Reads `17 @400000006925f3c70a1b2c3d`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (number, label) = text.split_once(' ')?;
        Some(Self {
            number: number.parse().ok()?,
            stamp: Tai64n::from_hex(label.as_bytes())?,
        })
    }

    fn of(entry: &Entry) -> Self {
        Self {
            number: entry.number,
            stamp: entry.stamp,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.number, self.stamp)
    }
}

/// Where reading begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// With the oldest line that is there.
    Beginning,
    /// With the first line that is written after the first call of [`Reader::read`].
    End,
    /// With the first line that has this label, or a later one.
    Since(Tai64n),
    /// With the line after this one.
    After(Cursor),
}

/// What a journal holds, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// A line.
    Entry(Entry),
    /// The lines with these numbers, the first and the last included, cannot be read any more.
    Missed {
        /// The number of the first one.
        first: u64,
        /// The number of the last one.
        last: u64,
    },
    /// The numbers begin anew: the state directory was removed and made again.
    Restarted,
}

/// A place in a service's journal.
#[derive(Clone, Debug)]
pub struct Reader {
    start: Option<Start>,
    last: Option<Place>,
}

/// The last line that was read, and where.
#[derive(Clone, Copy, Debug)]
struct Place {
    cursor: Cursor,
    /// The offset of its line.
    line: u64,
    /// The offset of what was not read yet.
    next: u64,
}

impl Reader {
    /// A reader that begins there.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self {
            start: Some(start),
            last: None,
        }
    }

    /// The last line that [`Reader::read`] returned or passed over.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        match (self.last, self.start) {
            (Some(place), _) => Some(place.cursor),
            (None, Some(Start::After(cursor))) => Some(cursor),
            (None, _) => None,
        }
    }

    /// The next lines, up to `limit` of them; empty where there are none yet.
    ///
    /// # Errors
    /// See [`Refused`]: the state directory or a file in it cannot be read. One that does not exist
    /// is not an error: it holds no lines.
    pub fn read(&mut self, layout: &Layout, limit: usize) -> Result<Vec<Found>, Refused> {
        let folder = match StateFolder::open(layout) {
            Ok(folder) => folder,
            Err(refused) if refused.is_absent() => return Ok(Vec::new()),
            Err(refused) => return Err(refused),
        };
        // In this order: a rotation in between shows the same file twice, and hides none.
        let current = Journal::open(&folder, JOURNAL)?;
        let mut batch = Batch::new(limit);
        if let (Some(place), Some(current)) = (self.last, &current)
            && current.has(place)?
        {
            self.take(current, place.next, &mut batch)?;
            return Ok(batch.found);
        }
        let files = Files {
            old: Journal::open(&folder, JOURNAL_OLD)?
                .filter(|old| current.as_ref().is_none_or(|current| !old.is_same(current))),
            current,
        };
        if let (Some(place), Some(old)) = (self.last, &files.old)
            && old.has(place)?
        {
            self.take(old, place.next, &mut batch)?;
        } else {
            self.find_place(&files, &mut batch)?;
        }
        if let Some(current) = files.current.filter(|_| !batch.is_full()) {
            let from = self.begin_of(&current)?;
            self.take(&current, from, &mut batch)?;
        }
        Ok(batch.found)
    }

    /// Where to go on in the current file: behind the last line, if it is in this file, or at the start.
    fn begin_of(&self, current: &Journal) -> Result<u64, Refused> {
        match self.last {
            Some(place) if current.has(place)? => Ok(place.next),
            Some(_) | None => Ok(0),
        }
    }

    /// Finds the first line to return, where it is not behind the last place, and reads what there is of
    /// it in `journal.old`.
    fn find_place(&mut self, files: &Files, batch: &mut Batch) -> Result<(), Refused> {
        match (self.cursor(), self.start) {
            (Some(cursor), _) => self.find_cursor(cursor, files, batch),
            (None, Some(Start::End)) => {
                self.last = files.newest()?;
                self.start = Some(Start::Beginning);
                Ok(())
            }
            (None, start) => {
                if let Some(Start::Since(stamp)) = start {
                    batch.since = Some(stamp);
                }
                self.take_old(files, batch)
            }
        }
    }

    fn take_old(&mut self, files: &Files, batch: &mut Batch) -> Result<(), Refused> {
        match &files.old {
            Some(old) => self.take(old, 0, batch),
            None => Ok(()),
        }
    }

    fn find_cursor(
        &mut self,
        cursor: Cursor,
        files: &Files,
        batch: &mut Batch,
    ) -> Result<(), Refused> {
        if let Some(current) = &files.current
            && let Some(place) = current.find(cursor)?
        {
            self.last = Some(place);
            return Ok(());
        }
        if let Some(old) = &files.old
            && let Some(place) = old.find(cursor)?
        {
            self.last = Some(place);
            return self.take(old, place.next, batch);
        }
        match files.newest()? {
            None => Ok(()),
            Some(newest) if newest.cursor.number > cursor.number => {
                batch.after = Some(cursor.number);
                self.last = None;
                self.start = Some(Start::After(cursor));
                self.take_old(files, batch)
            }
            Some(_) => {
                self.last = None;
                self.start = Some(Start::Beginning);
                batch.found.push(Found::Restarted);
                self.take_old(files, batch)
            }
        }
    }

    /// Reads lines of a file from an offset on, until it ends or the batch is full.
    fn take(&mut self, file: &Journal, from: u64, batch: &mut Batch) -> Result<(), Refused> {
        let mut lines = Lines::new(file, from);
        while !batch.is_full() {
            let Some((line, entry)) = lines.next()? else {
                break;
            };
            let Some(entry) = entry else { continue };
            let cursor = Cursor::of(&entry);
            let before = self.cursor();
            let place = Place {
                cursor,
                line,
                next: lines.offset,
            };
            match batch.judge(&entry) {
                Verdict::Read => continue,
                Verdict::Early => {}
                Verdict::New => batch.push(before, entry),
            }
            self.last = Some(place);
        }
        Ok(())
    }
}

/// The lines that one call returns.
struct Batch {
    found: Vec<Found>,
    limit: usize,
    entries: usize,
    /// Lines with an earlier label are passed over, up to the first that has not.
    since: Option<Tai64n>,
    /// Lines up to this number are passed over.
    after: Option<u64>,
}

/// What becomes of a line.
enum Verdict {
    /// It was read before; the place stays where it is.
    Read,
    /// It is older than what is wanted.
    Early,
    /// It is returned.
    New,
}

impl Batch {
    fn new(limit: usize) -> Self {
        Self {
            found: Vec::new(),
            limit,
            entries: 0,
            since: None,
            after: None,
        }
    }

    fn is_full(&self) -> bool {
        self.entries >= self.limit
    }

    fn judge(&mut self, entry: &Entry) -> Verdict {
        if self.after.is_some_and(|after| entry.number <= after) {
            return Verdict::Read;
        }
        if self.since.is_some_and(|since| entry.stamp < since) {
            return Verdict::Early;
        }
        self.since = None;
        self.after = None;
        Verdict::New
    }

    fn push(&mut self, before: Option<Cursor>, entry: Entry) {
        match before {
            Some(before) if entry.number <= before.number => self.found.push(Found::Restarted),
            Some(before) if entry.number - before.number > 1 => {
                self.found.push(Found::Missed {
                    first: before.number + 1,
                    last: entry.number - 1,
                });
            }
            Some(_) | None => {}
        }
        self.entries += 1;
        self.found.push(Found::Entry(entry));
    }
}

/// The two files of a journal.
struct Files {
    current: Option<Journal>,
    old: Option<Journal>,
}

impl Files {
    /// The last line that can be read in either file.
    fn newest(&self) -> Result<Option<Place>, Refused> {
        for file in [&self.current, &self.old].into_iter().flatten() {
            if let Some(place) = file.newest()? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}

/// One open file.
struct Journal {
    file: OwnedFd,
    device: u64,
    inode: u64,
}

impl Journal {
    /// Opens a file of the state directory; none where it does not exist.
    fn open(folder: &StateFolder, name: &str) -> Result<Option<Self>, Refused> {
        let (file, stat) = match folder.open_file(name) {
            Ok(opened) => opened,
            Err(refused) if refused.is_absent() => return Ok(None),
            Err(refused) => return Err(refused),
        };
        Ok(Some(Self {
            file,
            device: stat.st_dev,
            inode: stat.st_ino,
        }))
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether that line is at that place.
    fn has(&self, place: Place) -> Result<bool, Refused> {
        let mut bytes = [0; LINE_MAX];
        let length = self.read(&mut bytes, place.line)?;
        let bytes = bytes.get(..length).unwrap_or_default();
        let line = memchr::memchr(b'\n', bytes).and_then(|end| bytes.get(..end));
        let entry = line.and_then(Entry::from_line);
        Ok(entry.is_some_and(|entry| Cursor::of(&entry) == place.cursor))
    }

    /// The place of that line in this file.
    fn find(&self, cursor: Cursor) -> Result<Option<Place>, Refused> {
        self.last_where(|entry| Cursor::of(entry) == cursor)
    }

    /// The place of the last line.
    fn newest(&self) -> Result<Option<Place>, Refused> {
        self.last_where(|_| true)
    }

    fn last_where(&self, is_it: impl Fn(&Entry) -> bool) -> Result<Option<Place>, Refused> {
        let mut lines = Lines::new(self, 0);
        let mut last = None;
        while let Some((line, entry)) = lines.next()? {
            if let Some(entry) = entry.filter(&is_it) {
                last = Some(Place {
                    cursor: Cursor::of(&entry),
                    line,
                    next: lines.offset,
                });
            }
        }
        Ok(last)
    }

    /// Reads at an offset; 0 at the end of the file.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Refused> {
        Ok(retry_on_intr(|| {
            rustix::io::pread(&self.file, &mut *buffer, offset)
        })?)
    }
}

/// The whole lines of a file from an offset on. A line that has no newline yet is not one.
struct Lines<'a> {
    file: &'a Journal,
    /// The offset of the next line.
    offset: u64,
    buffer: Vec<u8>,
    /// Where the next line is in the buffer.
    at: usize,
}

impl<'a> Lines<'a> {
    fn new(file: &'a Journal, offset: u64) -> Self {
        Self {
            file,
            offset,
            buffer: Vec::new(),
            at: 0,
        }
    }

    /// The offset of the next line, and its entry; no entry for a damaged line.
    fn next(&mut self) -> Result<Option<(u64, Option<Entry>)>, Refused> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', rest) {
                let entry = rest.get(..end).and_then(Entry::from_line);
                let line = self.offset;
                self.advance(end + 1);
                return Ok(Some((line, entry)));
            }
            if rest.len() >= LINE_MAX {
                self.advance(rest.len());
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    fn advance(&mut self, length: usize) {
        self.at += length;
        self.offset = self
            .offset
            .saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }

    /// Reads more behind what is left in the buffer; false at the end of the file.
    fn fill(&mut self) -> Result<bool, Refused> {
        self.buffer.drain(..self.at.min(self.buffer.len()));
        self.at = 0;
        let left = self.buffer.len();
        self.buffer.resize(left + CHUNK, 0);
        let offset = self
            .offset
            .saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
        let read = match self.buffer.get_mut(left..) {
            Some(space) => self.file.read(space, offset)?,
            None => 0,
        };
        self.buffer.truncate(left + read);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests;
