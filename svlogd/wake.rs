//! Signals that end a read(2) which waits, without a poll(2) before each read.
//!
//! A flag that a handler sets is lost on a read that begins just after the flag was looked at. So
//! the loop reads from a descriptor of its own, and the handlers put another file under that
//! descriptor: a pipe that is empty and never blocks. A read that is interrupted is begun again by
//! the kernel (the handlers are installed with SA_RESTART) and meets the empty pipe, and so does one
//! that begins too late: both end at once with EAGAIN. Nothing is taken from the input by that, and
//! the input's own flags are never changed.
#![allow(
    unsafe_code,
    reason = "signal handlers and dup3(2) inside of them have no safe form"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};
use servicedir::signal::Signal;

/// A descriptor that reads its source, until a signal comes.
#[derive(Debug)]
pub(crate) struct Interruptible {
    slot: OwnedFd,
    source: OwnedFd,
    /// The pipe's write end: as long as it is open, the read end is at no end of file.
    _never_written: OwnedFd,
}

impl Interruptible {
    /// Reads `source`; each of `signals` ends a read. Call it once in a process, after the handlers
    /// that note which signal came: theirs run before these.
    pub(crate) fn new(source: BorrowedFd<'_>, signals: &[Signal]) -> io::Result<Self> {
        let (empty, never_written) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let slot = source.try_clone_to_owned()?;
        for signal in signals {
            end_reads(signal.number(), empty.as_raw_fd(), slot.as_raw_fd())?;
        }
        // The handlers use it as long as the process lives.
        std::mem::forget(empty);
        Ok(Self {
            slot,
            source: source.try_clone_to_owned()?,
            _never_written: never_written,
        })
    }

    /// Puts the source back under the descriptor. Look for signals after it, not before: one that
    /// comes in between ends the next read.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        rustix::io::dup3(&self.source, &mut self.slot, rustix::io::DupFlags::CLOEXEC)?;
        Ok(())
    }

    /// The source itself, for poll(2).
    pub(crate) fn source(&self) -> &OwnedFd {
        &self.source
    }
}

impl AsFd for Interruptible {
    /// The descriptor to read from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.slot.as_fd()
    }
}

/// From now on the signal puts `empty` in the place of `slot`.
fn end_reads(signal: i32, empty: RawFd, slot: RawFd) -> io::Result<()> {
    let action = move || replace(empty, slot);
    // SAFETY: the action calls only dup3(2), which is async-signal-safe; it does not allocate, lock
    // or panic. The registry keeps errno for the interrupted code.
    unsafe { signal_hook::low_level::register(signal, action) }?;
    Ok(())
}

/// `dup3(empty, slot)`, in a signal handler.
fn replace(empty: RawFd, slot: RawFd) {
    // SAFETY: both descriptors stay open as long as the process lives: `empty` was forgotten, and
    // `slot` belongs to the one `Interruptible`. It is only ever replaced, here and by `restore`.
    let failed = unsafe { libc::dup3(empty, slot, libc::O_CLOEXEC) };
    // Nothing can be done here about a failure, and the kernel has none for two open descriptors.
    let _ = failed;
}
