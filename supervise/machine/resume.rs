//! Going on where another supervise of this service was killed, or left its service running.

use std::time::Instant;

use servicedir::options::{Options, Ready};
use servicedir::process::Identity;
use servicedir::signal::Signal;
use servicedir::status::{self, Phase, Record, Status, Want};

use super::check::Check;
use super::finish::Next;
use super::run::{Run, Stage, Then, ready_by};
use super::watchdog::Watchdog;
use super::{Asked, Machine, State};
use crate::event::{Moment, Unread};
use crate::message::Message;

impl Machine {
    /// Takes over what the status record tells. The process in it, if there is one, is taken to be
    /// alive since `started`; the caller reports its end, if it is gone, as an event.
    pub(crate) fn resume(
        &mut self,
        status: &Status,
        record: &Record,
        options: Result<Box<Options>, Unread>,
        started: Instant,
        now: Moment,
    ) {
        self.resume_journal(record, status.paused);
        let adopted = status.pid.filter(|_| status.phase == Phase::Run);
        self.note_supervise(record.state, adopted, now);
        match options {
            Ok(options) => {
                self.options = *options;
                self.has_options = true;
            }
            // Where nothing runs, the next start tells.
            Err(_) if status.phase == Phase::Down => {}
            Err(Unread::Fault(fault) | Unread::Passing(fault, _)) => {
                self.fault = Some(fault.clone());
                self.warn(Message::OptionsUnread { fault });
            }
        }
        self.want = status.want;
        self.exiting = record.exiting;
        self.history.failed_starts = record.failed_starts;
        self.history.total_starts = record.total_starts;
        self.history.last_start = Some(started);
        self.history.last_end = record.last_end;
        self.history.group = record.group;
        self.history.message.clone_from(&record.message);
        self.history.stamp = status.stamp;
        self.history.run_started = record.run_started;
        self.history.run_ended = record.run_ended;
        self.history.state_stamp = record.state_stamp;
        self.history.ready_stamp = record.ready_stamp;
        if self.fault.is_none() && !record.options_fault {
            self.history.reason.clone_from(&record.reason);
        }
        let process = status.pid.map(|pid| Identity {
            pid,
            start: record.pid_start,
        });
        match (status.phase, process) {
            (Phase::Run, Some(process)) => {
                let run = self.resumed_run(process, status, record, started, now);
                self.resume_run(run, now);
            }
            (Phase::Finish, Some(process)) => {
                let next = self.resumed_next(record, now);
                self.resume_finish(process, next, now);
            }
            (Phase::Down | Phase::Run | Phase::Finish, _) => self.resume_down(record, now),
        }
        self.note_changes(now);
    }

    /// Goes on with the run. Where `control/t` ran in place of TERM, nobody may have heard how that
    /// went: the stop is said again.
    fn resume_run(&mut self, run: Run, now: Moment) {
        let unheard = match run.stage {
            Stage::Stopping { then, .. } if !run.term_sent => Some(then),
            Stage::Starting | Stage::Running | Stage::Stopping { .. } => None,
        };
        self.state = State::Run(Box::new(run));
        if let Some(then) = unheard.filter(|_| self.options.stopsignal == Signal::TERM) {
            self.stop(then, now);
        }
    }

    fn resumed_run(
        &self,
        process: Identity,
        status: &Status,
        record: &Record,
        started: Instant,
        now: Moment,
    ) -> Run {
        let then = match status.want {
            _ if record.restarting => Then::Start,
            Want::Down | Want::Once => Then::Stop,
            Want::Up => Then::Unexpected,
        };
        let mut run = Run::new(process, &self.options, started);
        run.executed = true;
        run.paused = status.paused;
        run.term_sent = status.term_sent;
        run.ready = record.ready;
        // Its limits begin anew: it may have been granted more time, and may have fed its watchdog,
        // while no supervise was listening.
        run.ready_by = ready_by(&self.options, now.clock);
        if self.options.ready == Ready::Notify {
            run.watchdog = Watchdog::of(record.watchdog, now.clock);
        }
        run.stage = match record.state {
            status::State::Stopping => {
                let kill_at = self
                    .options
                    .stopwaitsecs
                    .and_then(|wait| now.clock.checked_add(wait));
                Stage::Stopping { kill_at, then }
            }
            status::State::Running => Stage::Running,
            status::State::Stopped
            | status::State::Starting
            | status::State::Backoff
            | status::State::Exited
            | status::State::Fatal => Stage::Starting,
        };
        run.check = match run.stage {
            Stage::Running => Check::next(&self.options, true, 0, now.clock),
            Stage::Starting => Check::first(&self.options, now.clock),
            Stage::Stopping { .. } => Check::Off,
        };
        run
    }

    /// What follows the `finish` that another supervise started.
    fn resumed_next(&self, record: &Record, now: Moment) -> Next {
        match record.state {
            _ if record.restarting => Next::Start,
            status::State::Backoff if self.want == Want::Down => self.given_up(),
            status::State::Backoff => {
                let label = record.next_start.unwrap_or(now.label);
                // The wall clock may have been set back since: never longer than the wait that was begun.
                let longest = self.options.backoff.wait(record.failed_starts);
                Next::Backoff {
                    until: now.clock + now.label.age(label).min(longest),
                    label,
                }
            }
            status::State::Exited if self.want == Want::Up => Next::Again,
            status::State::Exited => Next::Exited,
            status::State::Fatal => Next::Fatal(record.reason.clone()),
            status::State::Starting | status::State::Running if self.want != Want::Down => {
                Next::Again
            }
            status::State::Starting
            | status::State::Running
            | status::State::Stopped
            | status::State::Stopping => Next::Stopped,
        }
    }

    /// There was no process: the state is as it was, and what was due is due.
    fn resume_down(&mut self, record: &Record, now: Moment) {
        let stamp = self.history.stamp;
        match (record.state, self.resumed_next(record, now)) {
            (status::State::Starting, Next::Again | Next::Start) => {
                self.start(Asked::Automatically, now);
            }
            (_, next) => {
                let failed_starts = self.history.failed_starts;
                self.enter(next, now);
                self.history.failed_starts = failed_starts;
            }
        }
        self.history.stamp = stamp;
    }
}
