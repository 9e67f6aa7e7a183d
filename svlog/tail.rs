//! The end of one log directory, and what comes after it: new lines in `current`, and over rotations.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::content::{forward, next_line};
use crate::directory::{Files, LogFile, Old};
use crate::stream::{Clock, Entry, error};

/// What is read of `current` at a time, in bytes.
const BLOCK: usize = 64 * 1024;

/// A place in a log directory up to which all has been read.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: PathBuf,
    clock: Clock,
    /// The newest old file at that place.
    last_old: Option<Old>,
    current: Option<LogFile>,
    /// The bytes of `current` that were read.
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
}

impl Tail {
    /// The end of these files, in front of a line that is not whole yet.
    ///
    /// # Errors
    /// `current` cannot be read.
    pub(crate) fn at_the_end(source: usize, files: &mut Files) -> io::Result<Self> {
        let mut tail = Self::at_the_beginning(source, files.folder.clone());
        tail.last_old = files.old.back().cloned();
        if let Some(current) = &mut files.current {
            current.end = end_of_last_line(current)?;
            tail.offset = current.end;
            tail.current = Some(LogFile {
                file: current.file.try_clone()?,
                ..*current
            });
        }
        Ok(tail)
    }

    /// A directory of which nothing was read: it has appeared just now.
    pub(crate) fn at_the_beginning(source: usize, folder: PathBuf) -> Self {
        Self {
            folder,
            clock: Clock::new(source),
            last_old: None,
            current: None,
            offset: 0,
            partial: Vec::new(),
        }
    }

    /// Reads what has come since, up to the end.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn advance(&mut self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        loop {
            self.read_current(&mut found)?;
            let files = match Files::of(&self.folder) {
                Ok(files) => files,
                // The directory is gone; it may come again.
                Err(refused) if refused.is_absent() => return Ok(found),
                Err(refused) => return Err(error(refused)),
            };
            let before = self.current.as_ref().map(|current| current.identity);
            match files.current {
                None => return Ok(found),
                Some(ref current) if Some(current.identity) == before => return Ok(found),
                Some(_) => self.pass_on(files, &mut found)?,
            }
        }
    }

    /// Reads `current` to its end.
    fn read_current(&mut self, found: &mut Vec<Entry>) -> io::Result<()> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        if current.file.metadata()?.len() < self.offset {
            // It was truncated.
            self.offset = 0;
            self.partial.clear();
        }
        let mut block = vec![0; BLOCK];
        loop {
            let length = current.file.read_at(&mut block, self.offset)?;
            let Some(read) = block.get(..length).filter(|read| !read.is_empty()) else {
                return Ok(());
            };
            self.offset += length as u64;
            for piece in read.split_inclusive(|byte| *byte == b'\n') {
                self.partial.extend_from_slice(piece);
                if self.partial.pop_if(|byte| *byte == b'\n').is_some() {
                    found.push(self.clock.entry(&self.partial));
                    self.partial.clear();
                }
            }
        }
    }

    /// Goes over one or more rotations to the new `current`.
    fn pass_on(&mut self, files: Files, found: &mut Vec<Entry>) -> io::Result<()> {
        // What was written to the old file between its last read and the rotation.
        self.read_current(found)?;
        if !self.partial.is_empty() {
            found.push(self.clock.entry(&self.partial));
            self.partial.clear();
        }
        let mut newer: Vec<&Old> = files.old.iter().collect();
        newer.retain(|old| self.last_old.as_ref().is_none_or(|last| *old > last));
        if self.current.is_some() {
            self.drop_own(&mut newer)?;
        }
        for old in newer {
            if let Some(opened) = Files::open_old(&files.folder, old).map_err(error)? {
                let mut lines = forward(opened, None)?;
                while let Some(line) = next_line(&mut lines)? {
                    found.push(self.clock.entry(&line));
                }
            }
        }
        self.last_old = files.old.back().cloned().or(self.last_old.take());
        self.current = files.current;
        self.offset = 0;
        Ok(())
    }

    /// Leaves out the old file that was `current` until now. It is known by its inode; where a processor
    /// made another file of it, by its first line, which is not younger than the last line read.
    fn drop_own(&self, newer: &mut Vec<&Old>) -> io::Result<()> {
        let own = self.current.as_ref().map(|current| current.identity);
        for (at, old) in newer.iter().enumerate() {
            let opened = Files::open_old(&self.folder, old).map_err(error)?;
            if opened.is_some_and(|opened| Some(opened.identity) == own) {
                newer.remove(at);
                return Ok(());
            }
        }
        let Some(first) = newer.first() else {
            return Ok(());
        };
        if let Some(opened) = Files::open_old(&self.folder, first).map_err(error)? {
            let mut clock = Clock::new(0);
            let line = next_line(&mut forward(opened, None)?)?;
            let begins = line.and_then(|line| clock.entry(&line).stamp);
            if begins.is_none_or(|begins| begins <= self.clock.last()) {
                newer.remove(0);
            }
        }
        Ok(())
    }
}

/// The offset after the last newline of a file.
fn end_of_last_line(file: &LogFile) -> io::Result<u64> {
    let mut end = file.end;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let length = usize::try_from(end - start).unwrap_or(BLOCK);
        let part = block.get_mut(..length).unwrap_or_default();
        file.file.read_exact_at(part, start)?;
        if let Some(at) = memchr::memrchr(b'\n', part) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
