//! While `./run` runs: starting, running, stopping; readiness, checks and the watchdog.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::options::{Options, Ready};
use servicedir::process::Identity;
use servicedir::signal::Signal;
use servicedir::status::End;

use super::notice::Watchdog;
use super::{Machine, State};
use crate::event::{Action, Job, Moment, Purpose};

/// How often `check` is run until it says that the service is ready.
const CHECK_AGAIN: Duration = Duration::from_secs(1);

/// A `check` that runs longer is killed, and has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(10);

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
    pub(super) paused: bool,
    pub(super) term_sent: bool,
    pub(super) ready: bool,
    /// A start that is not ready by then has failed.
    pub(super) ready_by: Option<Instant>,
    pub(super) check: Check,
    pub(super) watchdog: Option<Watchdog>,
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
    pub(super) fn process(self) -> Option<Pid> {
        match self {
            Self::Running { pid, .. } => Some(pid),
            Self::Off | Self::Due { .. } => None,
        }
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Off => None,
            Self::Due { at, .. } => Some(at),
            Self::Running { kill_at, .. } => kill_at,
        }
    }

    fn failures(self) -> u32 {
        match self {
            Self::Off => 0,
            Self::Due { failures, .. } | Self::Running { failures, .. } => failures,
        }
    }
}

impl Run {
    pub(super) fn new(process: Identity, options: &Options, now: Instant) -> Self {
        let check = match options.ready {
            Ready::Check => Check::Due {
                at: now,
                failures: 0,
            },
            Ready::Startsecs | Ready::Fd(_) | Ready::Notify => Check::Off,
        };
        Self {
            process,
            started: now,
            stage: Stage::Starting,
            executed: false,
            refused: None,
            paused: false,
            term_sent: false,
            ready: false,
            ready_by: ready_by(options, now),
            check,
            watchdog: None,
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

impl Machine {
    pub(super) fn run(&mut self) -> Option<&mut Run> {
        let State::Run(run) = &mut self.state else {
            return None;
        };
        Some(run)
    }

    pub(super) fn executed(&mut self) {
        if let Some(run) = self.run() {
            run.executed = true;
            self.history.refusal.clear();
        }
    }

    pub(super) fn refused(&mut self, why: String, errno: i32) {
        let Some(run) = self.run() else { return };
        run.refused = Some(errno);
        // A service that is tried every second says its reason once, and again when it is another.
        if self.history.refusal != why {
            self.actions.push_back(Action::Warn(why.clone()));
            self.history.refusal = why;
        }
    }

    /// Becomes RUNNING when all that it takes has come together.
    pub(super) fn run_settle(&mut self, now: Moment) {
        let Self {
            state: State::Run(run),
            options,
            history,
            ..
        } = self
        else {
            return;
        };
        let long_enough = now.clock.saturating_duration_since(run.started) >= options.startsecs;
        let ready = run.ready || options.ready == Ready::Startsecs;
        if run.stage == Stage::Starting
            && run.executed
            && run.refused.is_none()
            && long_enough
            && ready
        {
            run.stage = Stage::Running;
            history.failed_starts = 0;
            if !run.ready {
                run.ready = true;
                history.ready_stamp = now.label;
            }
            if let (Some(interval), Check::Off) = (options.check_interval, run.check) {
                run.check = Check::Due {
                    at: now.clock + interval,
                    failures: 0,
                };
            }
        }
    }

    /// Begins a stop, or says it again; `control/t` first, then the stop signal, then CONT.
    pub(super) fn stop(&mut self, then: Then, now: Moment) {
        let wait = self.options.stopwaitsecs;
        let Some(run) = self.run() else { return };
        run.stop_at = None;
        match &mut run.stage {
            Stage::Stopping { then: before, .. } => *before = then,
            stage @ (Stage::Starting | Stage::Running) => {
                let kill_at = wait.and_then(|wait| now.clock.checked_add(wait));
                *stage = Stage::Stopping { kill_at, then };
            }
        }
        let purpose = Purpose::Stop {
            run: run.process.pid,
        };
        self.actions.push_back(Action::Spawn(Job::Script {
            letter: b't',
            purpose,
        }));
    }

    /// Sends the stop signal, unless `control/t` has done it, then CONT, so that a paused service can
    /// end; then `control/d` or `control/x`, as runit does.
    pub(super) fn deliver_stop(&mut self, pid: Pid, handled: bool) {
        let (group, signal) = (self.options.stopasgroup, self.options.stopsignal);
        let letter = if self.exiting { b'x' } else { b'd' };
        let Some(run) = self.run().filter(|run| run.process.pid == pid) else {
            return;
        };
        run.paused = false;
        run.term_sent |= signal == Signal::TERM && !handled;
        if !handled {
            self.actions.push_back(Action::Signal {
                to: pid,
                signal,
                group,
            });
        }
        self.actions.push_back(Action::Signal {
            to: pid,
            signal: Signal::CONT,
            group,
        });
        self.actions.push_back(Action::Spawn(Job::Script {
            letter,
            purpose: Purpose::After,
        }));
    }

    /// Sends a signal that was asked for by its letter, unless the script of that letter has done it.
    pub(super) fn deliver(&mut self, signal: Signal, pid: Pid, handled: bool, now: Moment) {
        let Some(run) = self.run().filter(|run| run.process.pid == pid) else {
            return;
        };
        match signal {
            Signal::STOP => run.paused = true,
            Signal::CONT => run.go_on(now.clock),
            Signal::TERM => run.term_sent |= !handled,
            _ => {}
        }
        let stopping = run.is_stopping();
        if !handled {
            self.actions.push_back(Action::Signal {
                to: pid,
                signal,
                group: false,
            });
        }
        if stopping && signal == Signal::TERM {
            self.actions.push_back(Action::Signal {
                to: pid,
                signal: Signal::CONT,
                group: false,
            });
        }
    }

    /// Some deadline of the run may have passed.
    pub(super) fn run_passed(&mut self, now: Moment) {
        let Self {
            state: State::Run(run),
            options,
            actions,
            journal,
            ..
        } = self
        else {
            return;
        };
        let past = |at: Option<Instant>| at.is_some_and(|at| at <= now.clock);
        let (pid, wait, group) = (run.process.pid, options.stopwaitsecs, options.killasgroup);
        let unfed = past(run.watchdog_due());
        if past(run.check.deadline()) {
            match &mut run.check {
                Check::Running { pid, kill_at, .. } => {
                    *kill_at = None;
                    actions.push_back(Action::Signal {
                        to: *pid,
                        signal: Signal::KILL,
                        group: true,
                    });
                }
                Check::Due { at, .. } if !matches!(run.stage, Stage::Stopping { .. }) => {
                    *at = now.clock + CHECK_AGAIN;
                    actions.push_back(Action::Spawn(Job::Check));
                }
                Check::Due { .. } | Check::Off => {}
            }
        }
        match &mut run.stage {
            Stage::Stopping { kill_at, .. } if past(*kill_at) => {
                *kill_at = wait.and_then(|wait| now.clock.checked_add(wait.max(CHECK_AGAIN)));
                journal.note_sent(pid, Signal::KILL, now);
                actions.push_back(Action::Signal {
                    to: pid,
                    signal: Signal::KILL,
                    group,
                });
            }
            Stage::Stopping { then, .. } if past(run.stop_at) => {
                let then = *then;
                self.stop(then, now);
            }
            Stage::Stopping { .. } => {}
            Stage::Starting if !run.ready && past(run.ready_by) => {
                self.warn("not ready within readysecs: stopped");
                self.journal.note_why("not ready within readysecs");
                self.stop(Then::FailedStart, now);
            }
            Stage::Starting | Stage::Running if unfed => self.watchdog_expired(now),
            Stage::Starting | Stage::Running => {}
        }
    }

    pub(super) fn warn(&mut self, message: &str) {
        self.actions.push_back(Action::Warn(message.to_owned()));
    }

    /// `./check` runs.
    pub(super) fn check_spawned(&mut self, pid: Pid, now: Moment) {
        let Some(run) = self.run() else {
            // The run ended meanwhile: nobody waits for this check.
            return self.actions.push_back(Action::Signal {
                to: pid,
                signal: Signal::KILL,
                group: true,
            });
        };
        let kill_at = now.clock.checked_add(CHECK_LIMIT);
        run.check = Check::Running {
            pid,
            kill_at,
            failures: run.check.failures(),
        };
    }

    /// `./check` cannot be run: one that is missing is asked for again where readiness depends on it,
    /// and not where it does not; one that was not forked is tried again.
    pub(super) fn check_not_spawned(&mut self, errno: Option<i32>, now: Moment) {
        let needed = self.options.ready == Ready::Check;
        let Some(run) = self.run() else { return };
        run.check = if errno.is_some() || needed && !run.ready {
            Check::Due {
                at: now.clock + CHECK_AGAIN,
                failures: run.check.failures(),
            }
        } else {
            Check::Off
        };
    }

    /// A run of `./check` is over.
    pub(super) fn check_ended(&mut self, end: End, now: Moment) {
        let Self {
            state: State::Run(run),
            options,
            history,
            journal,
            ..
        } = self
        else {
            return;
        };
        let failures = if end == End::Exited(0) {
            0
        } else {
            run.check.failures().saturating_add(1)
        };
        if failures == 0 && !run.ready {
            run.ready = true;
            history.ready_stamp = now.label;
        }
        if failures > 0 && run.ready {
            journal.note_failed_check(failures, end, now);
        }
        run.check = match options.check_interval {
            Some(interval) if run.ready => Check::Due {
                at: now.clock + interval,
                failures,
            },
            _ if !run.ready => Check::Due {
                at: now.clock + CHECK_AGAIN,
                failures: 0,
            },
            _ => Check::Off,
        };
        let unhealthy = options.check_interval.is_some() && failures >= options.check_failures;
        if run.stage == Stage::Running && unhealthy {
            let message =
                format!("check failed {failures} times in a row, the last: {end}; restarted");
            self.warn(&message);
            self.journal
                .note_why(&format!("check failed {failures} times in a row"));
            self.stop(Then::Unexpected, now);
        }
    }
}
