//! The ordered shutdown.
//!
//! Services are stopped by their priorities, the highest first, and the next lower ones only when
//! those are down. A log is drained when no service that writes to it is left.
//!
//! When the time of `--shutdown-timeout` is over, every service is sent its stop signal, whatever
//! its priority; and each one that is still there a second after its own stop signal is killed.

use std::time::{Duration, Instant};

use servicedir::report::exit;

/// How long a service has between its stop signal and its KILL, at the least. Short, because a
/// service manager above svscan kills everything some seconds after its own TERM.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// How long a killed process may take to go. Longer takes only one that the kernel cannot end.
pub(super) const GONE: Duration = Duration::from_millis(250);

/// When all that is left is killed. Services and then their logs had a [`GRACE`] each by then; a
/// service without a supervise could not be sent its stop signal.
const LAST: Duration = Duration::from_secs(3);

/// Why everything is stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// A signal to svscan.
    Signal,
    /// An essential service has ended for good; this is its exit code.
    Essential(u8),
}

/// A shutdown that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shutdown {
    cause: Cause,
    late_at: Option<Instant>,
    killed: bool,
}

impl Shutdown {
    /// A shutdown that begins now. `None`: it may take as long as it takes.
    pub(super) fn new(cause: Cause, timeout: Option<Duration>, now: Instant) -> Self {
        Self {
            cause,
            // A time that the clock cannot hold is never.
            late_at: timeout.and_then(|timeout| now.checked_add(timeout)),
            killed: false,
        }
    }

    /// How late it is.
    pub(super) fn haste(&self, now: Instant) -> Haste {
        match self.late_at {
            Some(late_at) if late_at + LAST <= now => Haste::Kill,
            Some(late_at) if late_at <= now => Haste::KillAfterGrace,
            Some(_) | None => Haste::None,
        }
    }

    /// When [`Shutdown::haste`] changes next.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let late_at = self.late_at?;
        [late_at, late_at + LAST].into_iter().find(|at| *at > now)
    }

    /// Something had to be killed.
    pub(super) fn note_kill(&mut self) {
        self.killed = true;
    }

    /// What svscan exits with. The code of an essential service stays, whatever had to be killed.
    pub(super) fn exit_code(&self) -> u8 {
        match self.cause {
            Cause::Signal if self.killed => exit::TIMED_OUT,
            Cause::Signal => exit::DONE,
            Cause::Essential(code) => code,
        }
    }
}

/// What may be done to what is not down yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Haste {
    /// Wait for it.
    None,
    /// Send all stop signals now, and kill what is left a [`GRACE`] after its own.
    KillAfterGrace,
    /// Kill it.
    Kill,
}
