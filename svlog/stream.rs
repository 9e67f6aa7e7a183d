//! The lines of one log directory in the order of writing, and those of several in the order of time.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use servicedir::tai64n::Tai64n;
use servicedir::trust::Refused;

use crate::content::{Lines, backwards, forward, next_line};
use crate::directory::{Files, LogFile, Old};
use crate::line::split;

/// One line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    /// Which of the sources it is from.
    pub(crate) source: usize,
    /// The time of its stamp.
    pub(crate) stamp: Option<Tai64n>,
    /// The time that it is sorted by: of its stamp, or of the last one before it.
    pub(crate) time: Tai64n,
    /// The line without stamp and newline.
    pub(crate) text: Vec<u8>,
}

/// Reads lines of one source, and remembers the time of the last stamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    source: usize,
    last: Tai64n,
}

impl Clock {
    pub(crate) fn new(source: usize) -> Self {
        Self {
            source,
            last: Tai64n::default(),
        }
    }

    /// The time of the last stamp.
    pub(crate) fn last(&self) -> Tai64n {
        self.last
    }

    /// The entry of the next line.
    pub(crate) fn entry(&mut self, line: &[u8]) -> Entry {
        let (stamp, text) = split(line);
        self.last = stamp.unwrap_or(self.last);
        Entry {
            source: self.source,
            stamp,
            time: self.last,
            text: text.to_vec(),
        }
    }
}

/// The lines of a log directory, the oldest first.
pub(crate) struct Stream {
    folder: PathBuf,
    old: VecDeque<Old>,
    current: Option<LogFile>,
    reading: Option<Lines>,
    since: Option<Tai64n>,
    clock: Clock,
}

impl Stream {
    /// The lines from `since` on.
    pub(crate) fn new(source: usize, files: Files, since: Option<Tai64n>) -> Self {
        let mut old = files.old;
        if let Some(since) = since {
            old.retain(|old| old.ended >= since);
        }
        Self {
            folder: files.folder,
            old,
            current: files.current,
            reading: None,
            since,
            clock: Clock::new(source),
        }
    }

    /// The next line; `None` at the end of the newest file.
    fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let Some(reading) = &mut self.reading else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let Some(line) = next_line(reading)? else {
                self.reading = None;
                continue;
            };
            let entry = self.clock.entry(&line);
            let is_old = self
                .since
                .is_some_and(|since| entry.time != Tai64n::default() && entry.time < since);
            if !is_old {
                return Ok(Some(entry));
            }
        }
    }

    fn open_next(&mut self) -> io::Result<bool> {
        while let Some(old) = self.old.pop_front() {
            if let Some(opened) = Files::open_old(&self.folder, &old).map_err(error)? {
                self.reading = Some(forward(opened, self.since)?);
                return Ok(true);
            }
        }
        let Some(current) = self.current.take() else {
            return Ok(false);
        };
        self.reading = Some(forward(current, self.since)?);
        Ok(true)
    }
}

/// The error of a file that was refused.
pub(crate) fn error(refused: Refused) -> io::Error {
    match refused.errno() {
        Some(errno) => errno.into(),
        None => io::Error::other(refused.to_string()),
    }
}

/// Calls `see` with the lines of all streams in the order of time, until it answers false.
///
/// A service whose log directories overlap (one for all, one for errors) has a line in several of them:
/// the same stamp and text from another directory of the same service is passed over.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn merged(
    mut streams: Vec<Stream>,
    is_same_service: impl Fn(usize, usize) -> bool,
    mut see: impl FnMut(&Entry) -> bool,
) -> io::Result<()> {
    let mut heads = Vec::with_capacity(streams.len());
    for stream in &mut streams {
        heads.push(stream.next()?);
    }
    let mut last: Option<Entry> = None;
    while let Some(first) = earliest(&heads) {
        let (Some(stream), Some(head)) = (streams.get_mut(first), heads.get_mut(first)) else {
            return Ok(());
        };
        let Some(entry) = std::mem::replace(head, stream.next()?) else {
            return Ok(());
        };
        let doubled = last.as_ref().is_some_and(|last| {
            last.source != entry.source
                && is_same_service(last.source, entry.source)
                && is_double(last, &entry)
        });
        if !doubled && !see(&entry) {
            return Ok(());
        }
        last = Some(entry);
    }
    Ok(())
}

/// Whether both are the same line, which has a stamp.
pub(crate) fn is_double(one: &Entry, other: &Entry) -> bool {
    one.stamp.is_some() && one.stamp == other.stamp && one.text == other.text
}

/// The first of the heads with the earliest time.
fn earliest(heads: &[Option<Entry>]) -> Option<usize> {
    let timed = heads.iter().enumerate();
    timed
        .filter_map(|(at, head)| Some((head.as_ref()?.time, at)))
        .min()
        .map(|(_, at)| at)
}

/// The last `count` lines of a directory for which `wanted` holds, the oldest of them first.
///
/// A line without a stamp at the beginning of what is read has the time of the next stamp.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn last_lines(
    source: usize,
    mut files: Files,
    count: usize,
    wanted: &dyn Fn(&[u8]) -> bool,
) -> io::Result<Vec<Entry>> {
    let mut found: VecDeque<Vec<u8>> = VecDeque::new();
    let mut see = |line: &[u8]| {
        if found.len() < count && wanted(split(line).1) {
            found.push_front(line.to_vec());
        }
        found.len() < count
    };
    let mut goes_on = count > 0;
    if let Some(current) = files.current.take() {
        goes_on = goes_on && backwards(current, &mut see)?;
    }
    while let Some(old) = files.old.pop_back().filter(|_| goes_on) {
        if let Some(opened) = Files::open_old(&files.folder, &old).map_err(error)? {
            goes_on = backwards(opened, &mut see)?;
        }
    }
    let mut clock = Clock::new(source);
    clock.last = found
        .iter()
        .find_map(|line| split(line).0)
        .unwrap_or_default();
    Ok(found.iter().map(|line| clock.entry(line)).collect())
}
