//! After the end of a run: `finish`, and what follows it.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::options::Autorestart;
use servicedir::process::Identity;
use servicedir::report::Why;
use servicedir::signal::Signal;
use servicedir::status::{End, Want};
use servicedir::tai64n::Tai64n;

use super::check::Check;
use super::run::{Stage, Then};
use super::{Asked, Machine, State, throttle};
use crate::event::{Action, Job, Moment};
use crate::message::Message;

/// How often the start of `finish` is tried where the system refuses it, and how long between two.
const FINISH_TRIES: u32 = 10;
const FINISH_AGAIN: Duration = Duration::from_secs(1);

/// The exit code of a `finish` that says: failed for good (s6 has it so).
const FAILED_FOR_GOOD: u8 = 125;

/// The time in which `finish` runs.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    /// `None` until its start is answered.
    pub(super) process: Option<Identity>,
    /// What follows.
    pub(super) next: Next,
    /// When it is killed.
    pub(super) kill_at: Option<Instant>,
    /// When it is started again, after a start that the system refused.
    pub(super) retry_at: Option<Instant>,
    /// How many starts the system has refused.
    refusals: u32,
}

/// What follows the end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Nothing: it was to stop.
    Stopped,
    /// Nothing: it ended by itself, for good.
    Exited,
    /// A start, as soon as that is no busy loop.
    Again,
    /// A start at that time.
    Backoff { until: Instant, label: Tai64n },
    /// A start that somebody asked for.
    Start,
    /// Nothing, for this reason.
    Fatal(String),
}

impl Next {
    /// How long it is until the next try.
    pub(super) fn wait(&self, now: Moment) -> Option<Duration> {
        match self {
            Self::Backoff { until, .. } => Some(until.saturating_duration_since(now.clock)),
            Self::Stopped | Self::Exited | Self::Again | Self::Start | Self::Fatal(_) => None,
        }
    }
}

impl Finish {
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.process.is_some_and(|process| process.pid == pid)
    }
}

impl Machine {
    /// The run has ended: decides what follows, and runs `finish` first.
    pub(super) fn run_ended(&mut self, end: End, now: Moment) {
        let State::Run(run) = &self.state else { return };
        let end = run.refused.map_or(end, End::NotStarted);
        let stage = run.stage;
        if let Some(check) = run.check.process() {
            self.actions.push_back(Action::Signal {
                to: check,
                signal: Signal::KILL,
                group: true,
            });
        }
        let by_group = self.options.stopasgroup || self.options.killasgroup;
        if matches!(stage, Stage::Stopping { .. }) && by_group {
            return self.await_group(end);
        }
        self.run_over(end, now);
    }

    /// A stop of the group is over when the group is empty: until then what is left of it has the time
    /// that the run had. With `killasgroup` alone it had no stop signal; without a limit it would be
    /// waited for in vain, so it gets KILL at once.
    fn await_group(&mut self, end: End) {
        let without_end = !self.options.stopasgroup && self.options.stopwaitsecs.is_none();
        let Some(run) = self.run() else { return };
        run.ended = Some(end);
        run.check = Check::Off;
        let leader = run.process.pid;
        if without_end {
            self.actions.push_back(Action::Signal {
                to: leader,
                signal: Signal::KILL,
                group: true,
            });
        }
        self.actions.push_back(Action::AwaitGroup(leader));
    }

    /// Nothing is left of the group.
    pub(super) fn group_empty(&mut self, now: Moment) {
        if let Some(end) = self.run().and_then(|run| run.ended) {
            self.run_over(end, now);
        }
    }

    fn run_over(&mut self, end: End, now: Moment) {
        let State::Run(run) = &self.state else { return };
        let (stage, executed, pid) = (run.stage, run.executed, run.process.pid);
        self.history.last_end = Some(end);
        self.history.run_ended = Some(now.label);
        let expected = !stage.is_unexpected_stop() && self.options.exitcodes.contains(end);
        self.journal.note_end(Some(pid), end, expected);
        if stage == Stage::Starting && executed && self.options.exitcodes.contains(end) {
            let startsecs = humantime::format_duration(self.options.startsecs);
            self.history.refusal = format!("{end} within startsecs ({startsecs})");
        }
        let next = self.after(stage, end, now);
        if matches!(next, Next::Exited | Next::Fatal(_)) {
            // Not only after `finish`: a supervise that takes over meanwhile is not to start it.
            self.want = Want::Down;
        }
        self.state = State::Finish(Finish {
            process: None,
            next,
            kill_at: None,
            retry_at: None,
            refusals: 0,
        });
        self.spawn_finish();
    }

    /// Asks for the start of `finish`.
    pub(super) fn spawn_finish(&mut self) {
        if let State::Finish(finish) = &mut self.state {
            finish.retry_at = None;
        }
        self.actions.push_back(Action::Spawn(Job::Finish {
            end: self.history.last_end.unwrap_or(End::Unknown),
            group: self.history.group,
        }));
    }

    /// The system refused to start `finish`: it is tried again, because a service may depend on what
    /// its `finish` cleans up, but not without end, because a stop waits for it.
    pub(super) fn finish_postponed(&mut self, errno: i32, now: Moment) {
        let State::Finish(finish) = &mut self.state else {
            return;
        };
        finish.refusals += 1;
        if finish.refusals < FINISH_TRIES {
            finish.retry_at = Some(now.clock + FINISH_AGAIN);
            return;
        }
        self.warn(Message::FinishSkipped(Why(errno)));
        self.finish_over(None, now);
    }

    /// The `finish` of another supervise, which runs.
    pub(super) fn resume_finish(&mut self, process: Identity, next: Next, now: Moment) {
        self.state = State::Finish(Finish {
            process: None,
            next,
            kill_at: None,
            retry_at: None,
            refusals: 0,
        });
        self.finish_spawned(process, now);
    }

    /// What follows the end of a run that was in this stage.
    fn after(&mut self, stage: Stage, end: End, now: Moment) -> Next {
        let refused = matches!(end, End::NotStarted(_));
        match stage {
            Stage::Stopping {
                then: Then::Stop, ..
            } => Next::Stopped,
            Stage::Stopping {
                then: Then::Start, ..
            } => {
                self.history.failed_starts = 0;
                Next::Start
            }
            Stage::Stopping {
                then: Then::FailedStart,
                ..
            }
            | Stage::Starting => self.failed_start(now),
            Stage::Stopping {
                then: Then::Unexpected,
                ..
            } => self.ended_by_itself(false),
            Stage::Running if refused => self.failed_start(now),
            Stage::Running => self.ended_by_itself(self.options.exitcodes.contains(end)),
        }
    }

    /// The end of a service that was up, and that nobody asked for.
    fn ended_by_itself(&self, expected: bool) -> Next {
        match (self.want, self.options.autorestart) {
            (Want::Down, _) => Next::Stopped,
            (Want::Once, _) | (Want::Up, Autorestart::Never) => Next::Exited,
            (Want::Up, Autorestart::Unexpected) if expected => Next::Exited,
            (Want::Up, Autorestart::Always | Autorestart::Unexpected) => Next::Again,
        }
    }

    /// `finish` runs.
    pub(super) fn finish_spawned(&mut self, process: Identity, now: Moment) {
        if let State::Finish(finish) = &mut self.state {
            finish.process = Some(process);
            finish.kill_at = self
                .options
                .finishsecs
                .and_then(|time| now.clock.checked_add(time));
        }
    }

    /// `finish` has run for too long.
    pub(super) fn finish_passed(&mut self) {
        let State::Finish(finish) = &mut self.state else {
            return;
        };
        finish.kill_at = None;
        if let Some(process) = finish.process {
            self.actions.push_back(Action::Warn(Message::FinishKilled));
            self.actions.push_back(Action::Signal {
                to: process.pid,
                signal: Signal::KILL,
                group: true,
            });
        }
    }

    /// `finish` has ended, or there is none.
    pub(super) fn finish_over(&mut self, end: Option<End>, now: Moment) {
        let State::Finish(finish) = &self.state else {
            return;
        };
        let next = match end {
            Some(End::Exited(FAILED_FOR_GOOD)) if finish.next != Next::Stopped => {
                Next::Fatal(format!("finish exited {FAILED_FOR_GOOD}"))
            }
            _ => finish.next.clone(),
        };
        self.history.stamp = now.label;
        self.enter(next, now);
    }

    /// Goes on with what follows. A supervise that is told to exit starts nothing more.
    pub(super) fn enter(&mut self, next: Next, now: Moment) {
        match next {
            Next::Stopped => self.rest(State::Stopped),
            Next::Exited => self.rest(State::Exited { again: None }),
            Next::Again | Next::Start | Next::Backoff { .. } if self.exiting => {
                self.rest(State::Exited { again: None });
            }
            Next::Start => {
                // The status goes from STOPPING to STARTING; the journal shows the end in between.
                self.state = State::Stopped;
                self.note_changes(now);
                self.start(Asked::BySomeone, now);
            }
            Next::Again => match throttle::next_start(self.history.last_start, now.clock) {
                again @ Some(_) => self.state = State::Exited { again },
                None => self.start(Asked::Automatically, now),
            },
            Next::Backoff { until, .. } if until <= now.clock => {
                self.start(Asked::Automatically, now)
            }
            Next::Backoff { until, label } => self.state = State::Backoff { until, label },
            Next::Fatal(reason) => {
                self.rest(State::Fatal);
                self.history.reason = reason;
            }
        }
    }

    /// Nothing will be started until somebody asks.
    fn rest(&mut self, state: State) {
        if matches!(state, State::Stopped) {
            self.history.failed_starts = 0;
        }
        self.state = state;
        self.want = Want::Down;
    }
}
