//! From the wish to start to a running `./run`: the options, `control/u`, the fork.

use servicedir::options::Options;
use servicedir::process::Identity;
use servicedir::status::Want;

use super::finish::Next;
use super::run::Run;
use super::{Asked, Machine, State};
use crate::event::{Action, Job, Moment, Purpose, Unread};
use crate::message::Message;

impl Machine {
    /// Begins a start; the options are read afresh.
    pub(super) fn start(&mut self, asked: Asked, _now: Moment) {
        if asked == Asked::AtBegin {
            self.want = Want::Up;
        }
        self.retry = Asked::Automatically;
        if matches!(self.state, State::Fatal | State::Exited { .. }) && asked == Asked::BySomeone {
            self.history.failed_starts = 0;
        }
        self.history.reason.clear();
        self.state = State::Loading(asked);
        self.actions.push_back(Action::ReadOptions);
    }

    /// The options have been read, or found at fault.
    pub(super) fn options_read(&mut self, options: Result<Box<Options>, Unread>, now: Moment) {
        let State::Loading(asked) = self.state else {
            return;
        };
        match options {
            Ok(options) => {
                self.options = *options;
                self.has_options = true;
                self.fault = None;
                self.retry = Asked::Automatically;
            }
            Err(Unread::Passing(why, errno)) => {
                self.retry = asked;
                return self.start_refused(why, errno, now);
            }
            Err(Unread::Fault(fault)) if asked != Asked::Automatically || !self.has_options => {
                self.warn(Message::OptionsRefused {
                    fault: fault.clone(),
                });
                self.fault = None;
                return self.enter(Next::Fatal(fault), now);
            }
            Err(Unread::Fault(fault)) => {
                // Said once: a service that restarts every second must not fill the log with it.
                if self.fault.as_ref() != Some(&fault) {
                    self.fault = Some(fault.clone());
                    self.warn(Message::OptionsKept { fault });
                }
            }
        }
        if asked == Asked::AtBegin && !self.options.autostart {
            return self.enter(Next::Stopped, now);
        }
        self.state = State::Preparing {
            script: None,
            cancelled: false,
        };
        let script = Job::Script {
            letter: b'u',
            purpose: Purpose::Start,
        };
        self.actions.push_back(Action::Spawn(script));
    }

    /// `control/u` is over, or was not there.
    pub(super) fn prepared(&mut self, now: Moment) {
        let State::Preparing { cancelled, .. } = self.state else {
            return;
        };
        if cancelled || self.exiting {
            return self.enter(Next::Stopped, now);
        }
        self.actions.push_back(Action::Spawn(Job::Run));
    }

    /// The run is forked and held.
    pub(super) fn run_spawned(&mut self, process: Identity, now: Moment) {
        self.history.total_starts = self.history.total_starts.wrapping_add(1);
        self.history.last_start = Some(now.clock);
        self.history.group = Some(process.pid);
        self.history.stamp = now.label;
        self.history.run_started = Some(now.label);
        self.history.ready_stamp = now.label;
        self.history.message.clear();
        self.state = State::Run(Box::new(Run::new(process, &self.options, now.clock)));
        self.actions.push_back(Action::Release);
    }
}
