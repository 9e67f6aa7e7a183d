//! How a run is stopped and signalled: the stop signal, then CONT, so that a paused service can end.

use std::time::Duration;

use rustix::process::Pid;
use servicedir::process::Identity;
use servicedir::signal::Signal;

use super::Machine;
use super::run::{Stage, Then};
use super::watchdog::Watchdog;
use crate::event::{Action, Job, Moment, Purpose};
use crate::message::Message;

/// How long a service may take to end by ABRT before it is stopped. An ABRT that is still pending when
/// a TERM comes is lost, with the core file that it should leave: the kernel lets TERM win.
const ABORT_FIRST: Duration = Duration::from_secs(1);

impl Machine {
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
        let group = group || run.ended.is_some();
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
        let (stopping, group) = (run.is_stopping(), run.ended.is_some());
        if !handled {
            self.actions.push_back(Action::Signal {
                to: pid,
                signal,
                group,
            });
        }
        if stopping && signal == Signal::TERM {
            self.actions.push_back(Action::Signal {
                to: pid,
                signal: Signal::CONT,
                group,
            });
        }
    }

    /// Another process is the service now. What is under way is for it: the control scripts that stand
    /// for a signal, and a stop that has gone to the one before.
    pub(super) fn change_main(&mut self, process: Identity) {
        let (signal, group) = (self.options.stopsignal, self.options.stopasgroup);
        let Some(run) = self.run() else { return };
        let before = std::mem::replace(&mut run.process, process).pid;
        run.ended = None;
        let mut stopped = run.is_stopping() && run.stop_at.is_none();
        for (_, purpose) in &mut self.scripts {
            match purpose {
                Purpose::Stop { run } if *run == before => {
                    *run = process.pid;
                    // Its signal follows the script.
                    stopped = false;
                }
                Purpose::InsteadOf { run, .. } if *run == before => *run = process.pid,
                Purpose::InsteadOf { .. }
                | Purpose::Stop { .. }
                | Purpose::Start
                | Purpose::After => {}
            }
        }
        if stopped {
            for signal in [signal, Signal::CONT] {
                self.actions.push_back(Action::Signal {
                    to: process.pid,
                    signal,
                    group,
                });
            }
        }
    }

    /// ABRT, and CONT for one that is paused; then a stop, if that was not its end.
    pub(super) fn watchdog_expired(&mut self, now: Moment) {
        self.warn(Message::WatchdogExpired);
        let wait = self.options.stopwaitsecs;
        let Some(run) = self.run() else { return };
        let then = match run.stage {
            Stage::Starting => Then::FailedStart,
            Stage::Running | Stage::Stopping { .. } => Then::Unexpected,
        };
        let kill_at = wait.and_then(|wait| now.clock.checked_add(wait.saturating_add(ABORT_FIRST)));
        run.watchdog = Watchdog::default();
        run.stop_at = Some(now.clock + ABORT_FIRST);
        run.stage = Stage::Stopping { kill_at, then };
        let to = run.process.pid;
        self.journal.note_sent(to, Signal::ABRT, now);
        self.journal.note_why("the watchdog was not fed in time");
        for signal in [Signal::ABRT, Signal::CONT] {
            self.actions.push_back(Action::Signal {
                to,
                signal,
                group: false,
            });
        }
    }
}
