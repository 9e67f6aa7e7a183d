//! The signals to supervise itself, read from descriptors: no handler runs, so no wake-up can be lost
//! in one, and the kernel keeps what was not read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal as Nix};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use servicedir::signal::Signal;

use crate::child::inherited;

/// The signals that report a fault of supervise's own: they are never blocked.
const FAULTS: [Nix; 7] = [
    Nix::SIGSEGV,
    Nix::SIGBUS,
    Nix::SIGILL,
    Nix::SIGFPE,
    Nix::SIGTRAP,
    Nix::SIGSYS,
    Nix::SIGABRT,
];

/// The signals to supervise itself, by what they mean.
#[derive(Debug)]
pub(crate) struct Signals {
    /// CHLD: some child has ended.
    pub(crate) children: Wakes,
    /// TERM and INT: down and exit.
    pub(crate) terminate: Wakes,
}

/// Signals of one meaning.
#[derive(Debug)]
pub(crate) struct Wakes(SignalFd);

impl Signals {
    /// Blocks all signals but the faults. TERM, INT and CHLD are read from descriptors; the others do
    /// nothing and stay pending. A child gets an empty mask.
    ///
    /// # Errors
    /// The system has no descriptor left.
    #[inline(never)]
    pub(crate) fn catch() -> io::Result<Self> {
        // First: what was ignored until now must not end supervise before it is blocked.
        SigSet::all().thread_set_mask()?;
        inherited::default_dispositions((1..=64).filter_map(Signal::from_number));
        let mut blocked = SigSet::all();
        FAULTS.into_iter().for_each(|signal| blocked.remove(signal));
        // The whole mask, because supervise may have been started with any mask.
        blocked.thread_set_mask()?;
        Ok(Self {
            children: Wakes::of(&[Nix::SIGCHLD])?,
            terminate: Wakes::of(&[Nix::SIGTERM, Nix::SIGINT])?,
        })
    }
}

impl Wakes {
    fn of(signals: &[Nix]) -> io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Takes the signals that came since the last call, and tells whether there were any.
    pub(crate) fn drain(&self) -> bool {
        let mut any = false;
        // Room for one of two (struct signalfd_siginfo has 128 bytes).
        let mut bytes = [0; 128];
        while let Ok(1..) = rustix::io::read(&self.0, &mut bytes) {
            any = true;
        }
        any
    }
}

impl AsFd for Wakes {
    /// To poll for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
