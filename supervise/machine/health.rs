//! What the runs of `./check` mean: the service is ready, or it is unhealthy and restarted.

use rustix::process::Pid;
use servicedir::options::Ready;
use servicedir::signal::Signal;
use servicedir::status::End;

use super::check::Check;
use super::run::{Stage, Then};
use super::{Machine, State};
use crate::event::{Action, Moment};
use crate::message::Message;

impl Machine {
    /// `./check` runs.
    pub(super) fn check_spawned(&mut self, pid: Pid, now: Moment) {
        let Some(run) = self.run() else {
            // The run ended meanwhile, and its check has no meaning any more.
            return self.actions.push_back(Action::Signal {
                to: pid,
                signal: Signal::KILL,
                group: true,
            });
        };
        run.check = run.check.running(pid, now.clock);
    }

    /// `./check` cannot be run: one that is missing is asked for again where readiness depends on it,
    /// and not where it does not; one that was not forked is tried again.
    pub(super) fn check_not_spawned(&mut self, errno: Option<i32>, now: Moment) {
        let needed = self.options.ready == Ready::Check;
        let Some(run) = self.run() else { return };
        run.check = if errno.is_some() || needed && !run.ready {
            run.check.postponed(now.clock)
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
        if failures == 0 && !run.ready && options.ready == Ready::Check {
            run.ready = true;
            history.ready_stamp = now.label;
        }
        if failures > 0 && run.ready {
            journal.note_failed_check(failures, end, now);
        }
        run.check = Check::next(options, run.ready, failures, now.clock);
        let unhealthy = options.check_interval.is_some() && failures >= options.check_failures;
        if run.stage == Stage::Running && unhealthy {
            self.warn(Message::Unhealthy {
                failures,
                last: end,
            });
            let why = format!("check failed {failures} times in a row");
            self.journal.note_why(&why);
            self.stop(Then::Unexpected, now);
        }
    }
}
