//! From one stage of a run to the next: STARTING, RUNNING, and the deadlines that end them.

use std::time::Instant;

use servicedir::options::Ready;
use servicedir::signal::Signal;

use super::check::{CHECK_AGAIN, Check};
use super::run::{Run, Stage, Then};
use super::{Machine, State};
use crate::event::{Action, Job, Moment};
use crate::message::Message;

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
            if let Check::Off = run.check {
                run.check = Check::next(options, true, 0, now.clock);
            }
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
        let (pid, wait) = (run.process.pid, options.stopwaitsecs);
        let group = options.killasgroup || run.ended.is_some();
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
                Check::Due { .. } if !matches!(run.stage, Stage::Stopping { .. }) => {
                    run.check = run.check.postponed(now.clock);
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
                self.warn(Message::NotReady);
                self.journal.note_why("not ready within readysecs");
                self.stop(Then::FailedStart, now);
            }
            Stage::Starting | Stage::Running if unfed => self.watchdog_expired(now),
            Stage::Starting | Stage::Running => {}
        }
    }

    pub(super) fn warn(&mut self, message: Message) {
        self.actions.push_back(Action::Warn(message));
    }
}
