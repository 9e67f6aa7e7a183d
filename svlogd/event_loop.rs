//! The loop: input, signals and deadlines to the directories.
//!
//! A turn: deadlines that have passed, signals, then input. Nothing is read before all input that was
//! read is written.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use servicedir::report::{Failure, Why, exit};
use servicedir::signal::Signal;
use servicedir::tai64n::Tai64n;

use crate::directory::{Directory, Shared};
use crate::input::{Input, Waiter};
use crate::line::{Replacement, Stamp};
use crate::message::Message;
use crate::multilog::tap::Taps;
use crate::settings::Settings;
use crate::stamp::Stamper;

/// The most that is read at once, in bytes: a pipe holds no more.
const BUFFER_SIZE: usize = 64 * 1024;
/// How long after TERM the rest of an unfinished line is waited for.
const LAST_LINE_WAIT: Duration = Duration::from_millis(200);

/// How long after TERM a write that fails is tried again: on a full disk the rest stays unwritten then,
/// and what was not read stays in the pipe.
const LAST_WRITE_WAIT: Duration = Duration::from_secs(5);
/// How long after TERM running processors are waited for; then they get TERM themselves.
const CHILD_WAIT: Duration = Duration::from_secs(10);
/// How long one that got TERM is waited for; then it gets KILL. Its file is kept for the next start.
const LAST_CHILD_WAIT: Duration = Duration::from_secs(1);

/// How far the end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Input is read.
    Reading,
    /// TERM came: what the pipe held then is read, and the rest of the line, until `latest`.
    Draining { left: usize, latest: Instant },
    /// No more is read.
    Ended,
    /// All is closed; the directories' children are waited for.
    Closed,
}

/// The state of the program.
pub(crate) struct EventLoop {
    settings: Settings,
    waiter: Waiter,
    directories: Vec<Directory>,
    /// multilog's alerts and status files.
    taps: Taps,
    shared: Shared,
    stamper: Option<Stamper>,
    stamp: Stamp,
    replacement: Option<Replacement>,
    /// The input that was read and is not written yet. Its memory is touched only as far as input
    /// came: the buffer of an idle logger costs a page or two.
    buffer: Vec<u8>,
    /// Whether the input read last ended in mid-line.
    mid_line: bool,
    phase: Phase,
    /// TERM came: writes that fail are tried again until then.
    give_up: Option<Instant>,
}

impl EventLoop {
    /// A loop over these directories.
    pub(crate) fn new(
        settings: Settings,
        waiter: Waiter,
        directories: Vec<Directory>,
        stamper: Option<Stamper>,
        replacement: Option<Replacement>,
    ) -> Self {
        Self {
            settings,
            waiter,
            directories,
            taps: Taps::none(settings.report),
            shared: Shared::default(),
            stamper,
            stamp: Stamp::default(),
            replacement,
            buffer: Vec::with_capacity(BUFFER_SIZE),
            mid_line: false,
            phase: Phase::Reading,
            give_up: None,
        }
    }

    /// The same with multilog's alerts and status files.
    pub(crate) fn with_taps(self, taps: Taps) -> Self {
        Self { taps, ..self }
    }

    /// Runs until the input ends or TERM comes.
    pub(crate) fn run(&mut self) -> Result<u8, Failure> {
        while self.phase != Phase::Ended {
            let now = self.turn();
            let fed = self.feed(now);
            if fed {
                self.read(now)?;
            } else if self.gives_up(now) {
                break;
            } else {
                self.wait(now);
            }
        }
        self.end()
    }

    /// Waits for a signal or a deadline, but not for input.
    fn wait(&mut self, now: Instant) {
        let deadline = self.deadline().into_iter().chain(self.give_up).min();
        self.waiter.poll(false, deadline, now);
        self.signals();
    }

    /// Whether TERM came so long ago that the rest stays unwritten.
    fn gives_up(&self, now: Instant) -> bool {
        self.give_up.is_some_and(|latest| latest <= now)
    }

    /// Does what is due.
    fn turn(&mut self) -> Instant {
        let now = Instant::now();
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            for directory in &mut self.directories {
                directory.tick(now);
            }
            self.taps.tick(now);
        }
        now
    }

    fn deadline(&self) -> Option<Instant> {
        let directories = self.directories.iter().filter_map(Directory::deadline);
        directories.chain(self.taps.deadline()).min()
    }

    /// Gives the input that was read to every directory; returns whether all took all of it.
    fn feed(&mut self, now: Instant) -> bool {
        let input = self.buffer.as_slice();
        let mut fed = true;
        for directory in &mut self.directories {
            fed &= directory.feed(input, &self.stamp, &mut self.shared, now);
        }
        self.alert();
        if fed && !self.buffer.is_empty() {
            self.buffer.clear();
            for directory in &mut self.directories {
                directory.begin();
            }
        }
        fed
    }

    /// Writes the lines for stderr. One that takes nothing does not stop the logging.
    fn alert(&mut self) {
        let mut rest = self.shared.stderr.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(rustix::stdio::stderr(), rest) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.shared.stderr.clear();
    }

    /// Waits for input, a signal or a deadline.
    fn read(&mut self, now: Instant) -> Result<(), Failure> {
        let deadline = self.deadline();
        let input = match self.phase {
            Phase::Reading => self.waiter.read(&mut self.buffer, deadline, now),
            Phase::Draining { left, latest } => self.drain(left, latest, now),
            Phase::Ended | Phase::Closed => Ok(Input::End),
        };
        match input {
            Ok(Input::Bytes) => self.received(now),
            Ok(Input::End) => self.phase = Phase::Ended,
            Ok(Input::Woken) => self.signals(),
            Err(errno) => {
                self.end()?;
                return Err(Message::UnableToReadInput(Why::from(errno)).into());
            }
        }
        Ok(())
    }

    /// Input came: it has the time of its arrival, and its characters are replaced.
    fn received(&mut self, now: Instant) {
        let read = self.buffer.len();
        self.mid_line = self.buffer.last().is_some_and(|last| *last != b'\n');
        if let Some(replacement) = &self.replacement {
            replacement.apply(&mut self.buffer);
        }
        if let Some(stamper) = &mut self.stamper {
            self.stamp = Stamp(Some(*stamper.stamp(Tai64n::now())));
        }
        self.taps
            .feed(&self.buffer, &self.stamp, &mut self.shared.stderr, now);
        if let Phase::Draining { left, .. } = &mut self.phase {
            *left = left.saturating_sub(read);
        }
    }

    /// Reads what the pipe held when TERM came, then byte by byte to the end of the line.
    fn drain(&mut self, left: usize, latest: Instant, now: Instant) -> Result<Input, Errno> {
        if left == 0 && (!self.mid_line || now >= latest) {
            return Ok(Input::End);
        }
        // Not a byte beyond the line: the next logger finds the rest.
        let size = left.clamp(1, BUFFER_SIZE);
        if !self.waiter.poll(true, Some(latest), now) {
            if now >= latest {
                return Ok(Input::End);
            }
            return Ok(Input::Woken);
        }
        self.waiter.read_ready(&mut self.buffer, size)
    }

    /// Obeys the signals that came.
    fn signals(&mut self) {
        let (mut hup, mut alarm, mut term, mut child) = (false, false, false, false);
        self.waiter.signals(|signal| {
            hup |= signal == Signal::HUP;
            alarm |= signal == Signal::ALRM;
            term |= signal == Signal::TERM;
            child |= signal == Signal::CHLD;
        });
        let now = Instant::now();
        let named = [
            (hup, Signal::HUP),
            (alarm, Signal::ALRM),
            (term, Signal::TERM),
        ];
        for (_, signal) in named.into_iter().filter(|(came, _)| *came) {
            if self.settings.verbose {
                self.settings.report.info(Message::Received(signal));
            }
        }
        let start_next = self.give_up.is_none() && !term;
        // What was closed in order is not opened again.
        let open = self.phase != Phase::Closed;
        for directory in &mut self.directories {
            if child {
                directory.reap(now, start_next);
            }
            if hup && open {
                directory.reopen(now);
            }
            if alarm && open {
                directory.rotate(now);
            }
            if term && self.give_up.is_some() {
                directory.end_processor(Signal::TERM);
            }
            if term {
                directory.leave();
            }
        }
        if term {
            self.terminate(now);
        }
    }

    /// TERM: the first begins the end, a second one hurries it.
    fn terminate(&mut self, now: Instant) {
        let wait = match self.give_up {
            None => LAST_WRITE_WAIT,
            Some(_) => Duration::ZERO,
        };
        self.give_up = Some(now + wait);
        if self.phase == Phase::Reading {
            self.phase = Phase::Draining {
                left: self.waiter.waiting(),
                latest: now + LAST_LINE_WAIT,
            };
        }
    }

    /// Writes what is left, closes the directories, and waits for their children.
    fn end(&mut self) -> Result<u8, Failure> {
        let now = Instant::now();
        self.taps.finish(&mut self.shared.stderr, now);
        for directory in &mut self.directories {
            directory.look(now);
            directory.finish(&mut self.shared, now);
        }
        self.alert();
        self.flush();
        let mut whole = true;
        for directory in &mut self.directories {
            whole &= directory.close(self.buffer.len());
        }
        self.phase = Phase::Closed;
        self.wait_for_children();
        if whole {
            Ok(exit::DONE)
        } else {
            Err(Message::NotAllWritten.into())
        }
    }

    /// Tries to write what is left until it is written or TERM comes.
    fn flush(&mut self) {
        loop {
            let now = self.turn();
            let mut flushed = true;
            for directory in &mut self.directories {
                flushed &= directory.is_flushed(now);
            }
            if flushed || self.gives_up(now) {
                return;
            }
            self.wait(now);
        }
    }

    /// Waits for the directories' children: after TERM no longer than [`CHILD_WAIT`], so that a
    /// processor that hangs does not keep the next logger from starting.
    fn wait_for_children(&mut self) {
        let mut latest = None;
        let mut asked = false;
        loop {
            let now = Instant::now();
            for directory in &mut self.directories {
                directory.hurry(now);
            }
            if !self.directories.iter().any(Directory::is_busy) {
                return;
            }
            if self.give_up.is_some() && latest.is_none() {
                latest = Some(now + CHILD_WAIT);
            }
            if latest.is_some_and(|latest| latest <= now) {
                let signal = if asked { Signal::KILL } else { Signal::TERM };
                asked = true;
                latest = Some(now + LAST_CHILD_WAIT);
                for directory in &self.directories {
                    directory.end_processor(signal);
                }
            }
            self.waiter.poll(false, latest, now);
            self.signals();
        }
    }
}
