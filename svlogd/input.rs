//! What the event loop waits for: stdin, signals, and the next deadline.
//!
//! While there is nothing but input, a turn is one read(2): signals and the deadline's timer end it
//! (`wake.rs`).

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigEvent, SigevNotify, Signal as NixSignal};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use servicedir::signal::{SelfPipe, Signal};

use crate::wake::Interruptible;

/// The signal of the deadline's timer, which no other part of the system sends.
const TIMER: NixSignal = NixSignal::SIGVTALRM;

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Input {
    /// Bytes, in the buffer.
    Bytes,
    /// The end.
    End,
    /// Nothing: a signal came, or the deadline has passed.
    Woken,
}

/// Stdin, the signals, and a timer.
#[derive(Debug)]
pub(crate) struct Waiter {
    stdin: Interruptible,
    signals: SelfPipe,
    timer: Timer,
    armed: Option<Instant>,
}

impl Waiter {
    /// Catches the signals that svlogd obeys.
    pub(crate) fn new() -> io::Result<Self> {
        let timer_signal = Signal::from_number(TIMER as i32).ok_or(io::ErrorKind::InvalidInput)?;
        let file_size = Signal::from_number(libc::SIGXFSZ).ok_or(io::ErrorKind::InvalidInput)?;
        let pipe = Signal::from_number(libc::SIGPIPE).ok_or(io::ErrorKind::InvalidInput)?;
        let caught = [
            Signal::HUP,
            Signal::ALRM,
            Signal::TERM,
            Signal::CHLD,
            timer_signal,
        ];
        // A file that may not grow, or a stderr without a reader, is a failed write and not the end of
        // the process. They are caught and not ignored: a processor must not inherit that.
        let signals = SelfPipe::catching(&[caught.as_slice(), &[file_size, pipe]].concat())?;
        let stdin = Interruptible::new(rustix::stdio::stdin(), &caught)?;
        let event = SigEvent::new(SigevNotify::SigevSignal {
            signal: TIMER,
            si_value: 0,
        });
        let timer = Timer::new(ClockId::CLOCK_MONOTONIC, event)?;
        Ok(Self {
            stdin,
            signals,
            timer,
            armed: None,
        })
    }

    /// Calls `each` for every signal that came.
    pub(crate) fn signals(&self, each: impl FnMut(Signal)) {
        self.signals.take(each);
    }

    /// Waits for input until the deadline: as much as the empty buffer has room for.
    pub(crate) fn read(
        &mut self,
        buffer: &mut Vec<u8>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Input, Errno> {
        if !self.arm(deadline, now) {
            return Ok(Input::Woken);
        }
        match rustix::io::read(&self.stdin, spare_capacity(buffer)) {
            Ok(0) => Ok(Input::End),
            Ok(_) => Ok(Input::Bytes),
            Err(Errno::INTR) => Ok(Input::Woken),
            Err(Errno::AGAIN) => self.interrupted(deadline, now),
            Err(errno) => Err(errno),
        }
    }

    /// A read ended without input: because of a signal, or because stdin was made non-blocking.
    fn interrupted(&mut self, deadline: Option<Instant>, now: Instant) -> Result<Input, Errno> {
        self.stdin
            .restore()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        // With a signal, its byte is in the self-pipe and this returns at once.
        self.poll(true, deadline, now);
        Ok(Input::Woken)
    }

    /// Waits until the deadline, a signal or, if `input`, until stdin has something to read.
    /// Returns whether it has.
    pub(crate) fn poll(&self, input: bool, deadline: Option<Instant>, now: Instant) -> bool {
        let wait = deadline.map(|deadline| timespec(deadline.saturating_duration_since(now)));
        let signals = PollFd::new(&self.signals, PollFlags::IN);
        let stdin = PollFd::new(self.stdin.source(), PollFlags::IN);
        let mut fds = [signals, stdin];
        let (fds, _) = fds.split_at_mut(if input { 2 } else { 1 });
        // A failure is EINTR: a turn like any other.
        let ready = poll(fds, wait.as_ref()).is_ok();
        ready && fds.get(1).is_some_and(|stdin| !stdin.revents().is_empty())
    }

    /// Reads, without waiting, at most `size` bytes of what a poll found to be ready.
    pub(crate) fn read_ready(&mut self, buffer: &mut Vec<u8>, size: usize) -> Result<Input, Errno> {
        buffer.resize(size, 0);
        let outcome = rustix::io::read(self.stdin.source(), buffer.as_mut_slice());
        buffer.truncate(*outcome.as_ref().unwrap_or(&0));
        match outcome {
            Ok(0) => Ok(Input::End),
            Ok(_) => Ok(Input::Bytes),
            Err(Errno::INTR | Errno::AGAIN) => Ok(Input::Woken),
            Err(errno) => Err(errno),
        }
    }

    /// How many bytes stdin holds, if it is a pipe or a socket, whose content its last reader takes
    /// with it.
    pub(crate) fn waiting(&self) -> usize {
        use rustix::fs::{FileType, fstat};
        let stdin = self.stdin.source();
        let kind = fstat(stdin).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if !matches!(kind, Ok(FileType::Fifo | FileType::Socket)) {
            return 0;
        }
        let bytes = rustix::io::ioctl_fionread(stdin).unwrap_or(0);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Sets the timer so that it wakes a read at the deadline; false if that has passed.
    ///
    /// A timer that is set already and fires earlier stays: one wake-up costs less than setting it anew.
    fn arm(&mut self, deadline: Option<Instant>, now: Instant) -> bool {
        let Some(deadline) = deadline else {
            return true;
        };
        if deadline <= now {
            return false;
        }
        if self
            .armed
            .is_some_and(|armed| armed <= deadline && armed > now)
        {
            return true;
        }
        let wait = TimeSpec::from_duration(deadline - now);
        let set = self
            .timer
            .set(Expiration::OneShot(wait), TimerSetTimeFlags::empty());
        self.armed = set.is_ok().then_some(deadline);
        true
    }
}

fn timespec(wait: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(wait.subsec_nanos()),
    }
}
