//! The ordered shutdown. Pure, as [`crate::scan`].
//!
//! Services are stopped by their priorities, the highest first, and the next lower ones only when
//! those are down. A log is drained when no service that writes to it is left.

use std::time::{Duration, Instant};

use crate::scan::{Action, Scan};

use servicedir::report::exit;

/// How long processes that were killed may take to go.
const GRACE: Duration = Duration::from_millis(250);

/// A shutdown that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shutdown {
    code: u8,
    kill_at: Option<Instant>,
    exit_at: Option<Instant>,
}

impl Shutdown {
    /// A shutdown that begins now, and what it makes svscan exit with.
    pub(crate) fn new(code: u8, timeout: Option<Duration>, now: Instant) -> Self {
        Self {
            code,
            // A time that the clock cannot hold is never.
            kill_at: timeout.and_then(|timeout| now.checked_add(timeout)),
            exit_at: None,
        }
    }

    /// When the next thing is due if no process ends before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.exit_at.or(self.kill_at)
    }

    /// What is due.
    pub(crate) fn next(&mut self, all_gone: bool, now: Instant) -> Option<Action> {
        if all_gone || self.exit_at.is_some_and(|at| at <= now) {
            return Some(Action::Exit(self.code));
        }
        if self.exit_at.is_none() && self.kill_at.is_some_and(|at| at <= now) {
            self.exit_at = Some(now + GRACE);
            if self.code == exit::DONE {
                self.code = exit::TIMED_OUT;
            }
            return Some(Action::KillAll);
        }
        None
    }
}

impl Scan {
    /// The priority whose services are to be down before any lower one is stopped: the highest left.
    pub(crate) fn stop_level(&self) -> Option<i32> {
        self.shutdown?;
        let mains = self.units.values().filter(|unit| unit.is_main());
        mains.map(|unit| unit.priority).max()
    }
}
