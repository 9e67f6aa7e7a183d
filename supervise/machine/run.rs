//! A `./run` that is there, and how far it is: starting, running, stopping. All its deadlines.

use std::time::Instant;

use rustix::process::Pid;
use servicedir::options::{Options, Ready};
use servicedir::process::Identity;
use servicedir::status::End;

use super::check::Check;
use super::watchdog::Watchdog;

/// A run that is there.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) process: Identity,
    pub(super) started: Instant,
    pub(super) stage: Stage,
    /// It has become `./run`.
    pub(super) executed: bool,
    /// It could not become `./run`, for this errno.
    pub(super) refused: Option<i32>,
    /// It has ended in a stop of its group, of which something is left.
    pub(super) ended: Option<End>,
    pub(super) paused: bool,
    pub(super) term_sent: bool,
    pub(super) ready: bool,
    /// A start that is not ready by then has failed.
    pub(super) ready_by: Option<Instant>,
    pub(super) check: Check,
    pub(super) watchdog: Watchdog,
    /// The stop signal of the stop that goes on is sent then.
    pub(super) stop_at: Option<Instant>,
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Starting,
    Running,
    /// Since when KILL is due (if it is), and what its end is to mean.
    Stopping {
        kill_at: Option<Instant>,
        then: Then,
    },
}

impl Stage {
    /// A stop that nobody asked for, because the service was unhealthy.
    pub(super) fn is_unexpected_stop(self) -> bool {
        match self {
            Self::Stopping { then, .. } => then == Then::Unexpected,
            Self::Starting | Self::Running => false,
        }
    }
}

/// What a stop is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// To be down.
    Stop,
    /// To be up again.
    Start,
    /// It did not become ready in time.
    FailedStart,
    /// It failed its checks or its watchdog: an end that nobody expected.
    Unexpected,
}

impl Run {
    pub(super) fn new(process: Identity, options: &Options, now: Instant) -> Self {
        Self {
            process,
            started: now,
            stage: Stage::Starting,
            executed: false,
            refused: None,
            ended: None,
            paused: false,
            term_sent: false,
            ready: false,
            ready_by: ready_by(options, now),
            check: Check::first(options, now),
            watchdog: Watchdog::default(),
            stop_at: None,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.stage, Stage::Stopping { .. })
    }

    /// Changes what the end of the stop that goes on is to mean; no stop is begun.
    pub(super) fn follow_stop_by(&mut self, next: Then) {
        if let Stage::Stopping { then, .. } = &mut self.stage {
            *then = next;
        }
    }

    pub(super) fn check_runs(&self, pid: Pid) -> bool {
        self.check.process() == Some(pid)
    }

    /// The earliest of what is due.
    pub(super) fn deadline(&self, options: &Options) -> Option<Instant> {
        match self.stage {
            Stage::Stopping { kill_at, .. } => earliest([kill_at, self.check_kill(), self.stop_at]),
            Stage::Starting => {
                let started = self
                    .executed
                    .then(|| self.started.checked_add(options.startsecs))
                    .flatten();
                let waits_only_for_time = self.ready || options.ready == Ready::Startsecs;
                let ready_by = self.ready_by.filter(|_| !self.ready);
                earliest([
                    started.filter(|_| waits_only_for_time),
                    ready_by,
                    self.upkeep(),
                ])
            }
            Stage::Running => self.upkeep(),
        }
    }

    fn upkeep(&self) -> Option<Instant> {
        earliest([self.check.deadline(), self.watchdog_due(), None])
    }

    /// When the watchdog expires. A paused service cannot feed it.
    pub(super) fn watchdog_due(&self) -> Option<Instant> {
        self.watchdog.due().filter(|_| !self.paused)
    }

    /// The service is continued: the interval of its watchdog begins anew.
    pub(super) fn go_on(&mut self, now: Instant) {
        if std::mem::replace(&mut self.paused, false) {
            self.watchdog.feed(now);
        }
    }

    /// `EXTEND_TIMEOUT_USEC`: what is limited may take until then, if it may not take longer already.
    pub(super) fn extend(&mut self, until: Option<Instant>) {
        let limit = match &mut self.stage {
            Stage::Starting => &mut self.ready_by,
            Stage::Stopping { kill_at, .. } => kill_at,
            Stage::Running => return,
        };
        if limit.is_some() && *limit < until {
            *limit = until;
        }
    }

    fn check_kill(&self) -> Option<Instant> {
        self.check.process().and_then(|_| self.check.deadline())
    }
}

pub(super) fn ready_by(options: &Options, now: Instant) -> Option<Instant> {
    options
        .readysecs
        .filter(|_| options.ready != Ready::Startsecs)
        .and_then(|time| now.checked_add(time))
}

fn earliest(deadlines: [Option<Instant>; 3]) -> Option<Instant> {
    deadlines.into_iter().flatten().min()
}
