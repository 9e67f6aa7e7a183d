//! When `./check` is run: the one place that schedules it.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::options::{Options, Ready};

/// How often `check` is run until it reports that the service is ready.
pub(super) const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// A `check` that runs longer is killed, and has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

/// The runs of `./check`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// None is due.
    Off,
    /// The next one is due then.
    Due { at: Instant, failures: u32 },
    /// One runs, and is killed then.
    Running {
        pid: Pid,
        kill_at: Option<Instant>,
        failures: u32,
    },
}

impl Check {
    /// The first check of a service that is not ready: at once, where readiness depends on it.
    pub(super) fn first(options: &Options, now: Instant) -> Self {
        match options.ready {
            Ready::Check => Self::Due {
                at: now,
                failures: 0,
            },
            Ready::Startsecs | Ready::Fd(_) | Ready::Notify => Self::Off,
        }
    }

    /// The check after one that ended, or after the service became ready: each second until it is
    /// ready, then each `check-interval`. `failures`: how many in a row have failed until now.
    pub(super) fn next(options: &Options, ready: bool, failures: u32, now: Instant) -> Self {
        let (wait, failures) = match (options.ready, options.check_interval) {
            (Ready::Check, _) if !ready => (CHECK_AGAIN, 0),
            (_, Some(interval)) => (interval, failures),
            (_, None) => return Self::Off,
        };
        match now.checked_add(wait) {
            Some(at) => Self::Due { at, failures },
            None => Self::Off,
        }
    }

    /// One that could not be run: again in a second.
    pub(super) fn postponed(self, now: Instant) -> Self {
        Self::Due {
            at: now + CHECK_AGAIN,
            failures: self.failures(),
        }
    }

    /// It runs, as that process.
    pub(super) fn running(self, pid: Pid, now: Instant) -> Self {
        Self::Running {
            pid,
            kill_at: now.checked_add(CHECK_LIMIT),
            failures: self.failures(),
        }
    }

    /// The process of the one that runs.
    pub(super) fn process(self) -> Option<Pid> {
        match self {
            Self::Running { pid, .. } => Some(pid),
            Self::Off | Self::Due { .. } => None,
        }
    }

    /// When the next one is due, or the one that runs is killed.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Due { at, .. } => Some(at),
            Self::Running { kill_at, .. } => kill_at,
        }
    }

    /// How many in a row have failed.
    pub(super) fn failures(self) -> u32 {
        match self {
            Self::Off => 0,
            Self::Due { failures, .. } | Self::Running { failures, .. } => failures,
        }
    }
}
