//! One log directory of the command line, there or not: its lines on their way to its files.
//!
//! Input that was read is kept until it is written, also when the disk is full or the directory is
//! removed or replaced, unless `config` allows to drop it. A directory that is gone holds up no other.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use memchr::memchr_iter;
use servicedir::signal::Signal;

use crate::config::Config;
use crate::current::Current;
use crate::line::{Layout, Lines, Output, Stamp};
use crate::message::{Fault, Message};
use crate::retry::Retry;
use crate::settings::Settings;
use crate::udp::Udp;
use crate::writer::Writer;

/// How long after a write it is looked whether the directory is still there.
const CHECK_WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether a missing directory is back.
const GONE_WAIT: Duration = Duration::from_secs(1);
/// Formatted output is written when it reaches this size in bytes.
const OUTPUT_SIZE: usize = 64 * 1024;
/// A file that lost its name is copied in pieces of this size in bytes.
const REPLAY_SIZE: usize = 64 * 1024;

/// What all directories use in turn.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Formatted lines.
    file: Vec<u8>,
    /// Lines for stderr.
    pub(crate) stderr: Vec<u8>,
    /// The socket.
    udp: Udp,
}

/// A log directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    settings: Settings,
    /// The settings where no file `config` is read.
    given: Option<Config>,
    writer: Option<Writer>,
    lines: Lines,
    /// How much of the input that is being fed is done.
    cursor: usize,
    /// Formatted, and not written yet.
    pending: Vec<u8>,
    /// A file that lost its name with the directory, and how much of it is in the new one.
    replay: Option<(Current, u64)>,
    /// How many lines were dropped because the disk was full.
    dropped: Option<u64>,
    missing: Retry,
    check: Option<Instant>,
}

impl Directory {
    /// A directory that is not open yet, kept as its file `config` says, or as `given`.
    pub(crate) fn new(path: PathBuf, settings: Settings, given: Option<Config>) -> Self {
        Self {
            path,
            settings,
            given,
            writer: None,
            lines: Lines::new(),
            cursor: 0,
            pending: Vec::new(),
            replay: None,
            dropped: None,
            missing: Retry::new(GONE_WAIT, GONE_WAIT),
            check: None,
        }
    }

    /// Opens the directory; where that fails, reports it once and tries again later.
    fn open(&mut self, now: Instant) {
        let opened = self.try_to_open(now);
        self.report(opened, now);
    }

    /// Opens the directory.
    pub(crate) fn try_to_open(&mut self, now: Instant) -> Result<(), Fault> {
        let writer = Writer::open(&self.path, self.settings, self.given.as_ref(), now)?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Reports that the directory was opened after it had not been, or why it was not.
    pub(crate) fn report(&mut self, opened: Result<(), Fault>, now: Instant) {
        match opened {
            Ok(()) => self.is_back(),
            Err(fault) => self.is_missing(fault, now),
        }
    }

    fn is_missing(&mut self, fault: Fault, now: Instant) {
        if let Some(message) = self.missing.failed(Message::Unable(fault), now) {
            self.settings.report.warning(message);
        }
    }

    fn is_back(&mut self) {
        if self.missing.over() {
            let message = Message::Usable(self.path.clone());
            self.settings.report.info(message);
        }
    }

    /// New input is there: [`Self::feed`] begins at its beginning.
    pub(crate) fn begin(&mut self) {
        self.cursor = 0;
    }

    /// Takes as much of `input` as it can; returns whether that is all. If not, call it again with the
    /// same input when a deadline has passed.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        stamp: &Stamp,
        shared: &mut Shared,
        now: Instant,
    ) -> bool {
        if self.writer.is_none() {
            self.lines.skip(input);
            self.cursor = input.len();
        }
        loop {
            if !self.flush(now) && !self.start_dropping() {
                return false;
            }
            let rest = input.get(self.cursor..).unwrap_or_default();
            if rest.is_empty() {
                return true;
            }
            self.cursor += self.take(rest, stamp, shared, now);
            self.check.get_or_insert(now + CHECK_WAIT);
        }
    }

    /// Takes a piece of input: to the file as it is, or formatted; returns how much of it is done.
    fn take(&mut self, input: &[u8], stamp: &Stamp, shared: &mut Shared, now: Instant) -> usize {
        let Some(writer) = &mut self.writer else {
            return input.len();
        };
        let layout = layout(writer, self.settings);
        if layout.is_plain(stamp) && self.lines.may_pass() {
            let done = match &mut self.dropped {
                Some(count) => {
                    *count += lines_in(input);
                    input.len()
                }
                None => writer.append(&self.path, input, now),
            };
            self.lines.passed(input.get(..done).unwrap_or_default());
            return done;
        }
        shared.file.clear();
        let (udp, address) = (&mut shared.udp, writer.config.udp);
        let mut output = Output {
            file: &mut shared.file,
            stderr: &mut shared.stderr,
            send: &mut |datagram| address.is_some_and(|to| udp.send(datagram, to)),
        };
        let done = self
            .lines
            .format(&layout, input, stamp, OUTPUT_SIZE, &mut output);
        self.put(&shared.file, now);
        done
    }

    /// Writes formatted lines, or keeps them, or counts them.
    fn put(&mut self, output: &[u8], now: Instant) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        if let Some(count) = &mut self.dropped {
            *count += lines_in(output);
            return;
        }
        let done = writer.append(&self.path, output, now);
        self.pending
            .extend_from_slice(output.get(done..).unwrap_or_default());
    }

    /// Writes the pending output; returns whether nothing is left, so that more can be taken.
    fn flush(&mut self, now: Instant) -> bool {
        let Some(writer) = &mut self.writer else {
            return true;
        };
        if self.dropped.is_some() {
            return true;
        }
        if writer.is_blocked(now) {
            return false;
        }
        loop {
            let done = writer.append(&self.path, &self.pending, now);
            self.pending.drain(..done);
            if !self.pending.is_empty() {
                return false;
            }
            let Some((old, offset)) = &mut self.replay else {
                break;
            };
            self.pending.resize(REPLAY_SIZE, 0);
            let read = old.read_at(&mut self.pending, *offset).unwrap_or(0);
            self.pending.truncate(read);
            *offset += u64::try_from(read).unwrap_or(0);
            if read == 0 {
                self.replay = None;
                self.pending = Vec::new();
            }
        }
        true
    }

    /// The disk is full: begins to drop lines, if that is allowed.
    fn start_dropping(&mut self) -> bool {
        let may_drop = self.writer.as_ref().is_some_and(Writer::may_drop);
        if may_drop {
            self.dropped = Some(lines_in(&self.pending));
            self.pending = Vec::new();
        }
        may_drop
    }

    /// Tries to write how many lines were dropped; if that goes, no more are.
    fn stop_dropping(&mut self, now: Instant) {
        let (Some(count), Some(writer)) = (self.dropped, &mut self.writer) else {
            return;
        };
        if writer.is_blocked(now) {
            return;
        }
        let cut = u64::from(self.lines.is_passing());
        let begin = if writer.ends_line() { "" } else { "\n" };
        let program = self.settings.report.program();
        let message = Message::Dropped(count + cut);
        let report = format!("{begin}{program}: warning: {message}\n");
        if writer.append(&self.path, report.as_bytes(), now) == report.len() {
            self.dropped = None;
            self.lines.cut();
        }
    }

    /// The input has ended: so does the line in progress.
    pub(crate) fn finish(&mut self, shared: &mut Shared, now: Instant) {
        let Some(writer) = &self.writer else {
            return;
        };
        let layout = layout(writer, self.settings);
        shared.file.clear();
        let (udp, address) = (&mut shared.udp, writer.config.udp);
        let mut output = Output {
            file: &mut shared.file,
            stderr: &mut shared.stderr,
            send: &mut |datagram| address.is_some_and(|to| udp.send(datagram, to)),
        };
        self.lines.finish(&layout, &mut output);
        if self.pending.is_empty() && self.replay.is_none() {
            self.put(&shared.file, now);
        } else {
            self.pending.extend_from_slice(&shared.file);
        }
    }

    /// Whether all that was taken is written.
    pub(crate) fn is_flushed(&mut self, now: Instant) -> bool {
        if self.dropped.is_some() {
            self.stop_dropping(now);
            return self.dropped.is_none();
        }
        self.flush(now) || self.start_dropping()
    }

    /// Closes the directory, and reports lines that could not be written. Returns whether none was lost.
    pub(crate) fn close(&mut self, unread: usize) -> bool {
        let Some(writer) = &mut self.writer else {
            return true;
        };
        let lost = self.pending.len() + unread.saturating_sub(self.cursor);
        if lost > 0 || self.dropped.is_some() || self.replay.is_some() {
            let lines = self.dropped.unwrap_or(0);
            let message = Message::Leaving(self.path.clone(), lines, lost);
            self.settings.report.warning(message);
            return false;
        }
        writer.close(&self.path);
        true
    }

    /// HUP: reads `config` again, and opens all files again.
    pub(crate) fn reopen(&mut self, now: Instant) {
        let Some(writer) = &mut self.writer else {
            self.open(now);
            return;
        };
        writer.full.hurry(now);
        if !writer.is_found(&self.path) {
            self.replace(now);
        }
        // Not of a directory that is gone: no config there would mean the defaults.
        let Some(writer) = self.writer.as_mut().filter(|writer| !writer.gone) else {
            return;
        };
        if let Err(fault) = writer.reopen(&self.path, self.given.as_ref(), now) {
            self.is_missing(fault, now);
        }
    }

    /// ALRM: rotates.
    pub(crate) fn rotate(&mut self, now: Instant) {
        self.look(now);
        if let Some(writer) = &mut self.writer {
            writer.ask_to_rotate(&self.path, now);
        }
    }

    /// Looks whether the directory is where it was.
    pub(crate) fn look(&mut self, now: Instant) {
        self.check = None;
        let Some(writer) = &mut self.writer else {
            return;
        };
        if writer.is_found(&self.path) {
            self.is_back();
        } else {
            self.replace(now);
        }
    }

    /// The directory's name leads elsewhere: goes there, and takes along what has no name any more.
    fn replace(&mut self, now: Instant) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let known = writer.found_size;
        let at = writer.is_at(&self.path);
        let is_here = matches!(at, Ok(true));
        let old = match at {
            Ok(true) => writer.replace_current(&self.path, now),
            Ok(false) => Writer::open(&self.path, self.settings, self.given.as_ref(), now)
                .map(|new| std::mem::replace(writer, new).into_current()),
            Err(fault) => Err(fault),
        };
        match old {
            Err(fault) => {
                // Where only `current` cannot be made, inodes used up say, the directory is there:
                // what cannot be written waits, as on a full disk.
                writer.gone = !is_here;
                self.check = Some(now + GONE_WAIT);
                self.is_missing(fault, now);
            }
            Ok(old) => {
                self.is_back();
                if let Some(writer) = &mut self.writer {
                    writer.full.hurry(now);
                }
                if !old.is_deleted() {
                    // The moved file is not this directory's any more: a failure has no consequence here.
                    old.seal().ok();
                } else if self.replay.is_none() && old.size > known {
                    self.replay = Some((old, known));
                }
            }
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.writer.is_none() {
            if !self.missing.waits(now) {
                self.open(now);
            }
            return;
        }
        if self.check.is_some_and(|check| check <= now) {
            self.look(now);
        }
        self.stop_dropping(now);
        if let Some(writer) = &mut self.writer {
            writer.tick(&self.path, now);
        }
        if self.replay.is_some() {
            self.flush(now);
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.writer {
            None => self.missing.deadline(),
            Some(writer) => writer.deadline().into_iter().chain(self.check).min(),
        }
    }

    /// A child has ended; `start_next` if the processor may be run again.
    pub(crate) fn reap(&mut self, now: Instant, start_next: bool) {
        if let Some(writer) = &mut self.writer {
            writer.reap(&self.path, now, start_next);
        }
    }

    /// Whether a child works for it.
    pub(crate) fn is_busy(&self) -> bool {
        self.writer
            .as_ref()
            .is_some_and(|writer| writer.archive.is_busy())
    }

    /// The program is to end: no line waits for the processor any more.
    pub(crate) fn leave(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.archive.leave();
        }
    }

    /// The program ends: its children have no time to lose.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if let Some(writer) = &mut self.writer {
            writer.hurry(&self.path, now);
        }
    }

    /// Sends a signal to its processor.
    pub(crate) fn end_processor(&self, signal: Signal) {
        if let Some(writer) = &self.writer {
            writer.archive.end_processor(signal);
        }
    }
}

fn layout(writer: &Writer, settings: Settings) -> Layout<'_> {
    Layout {
        prefix: &writer.config.prefix,
        rules: &writer.config.rules,
        patterns_see_stamps: settings.patterns_see_stamps,
        len: settings.len,
        udp: writer.config.udp.is_some(),
        udp_only: writer.config.udp_only,
    }
}

/// How many lines end in `bytes`.
fn lines_in(bytes: &[u8]) -> u64 {
    u64::try_from(memchr_iter(b'\n', bytes).count()).unwrap_or(u64::MAX)
}
