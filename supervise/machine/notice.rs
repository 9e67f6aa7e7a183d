//! What a service tells of itself while it runs: its readiness, its main process, its watchdog.

use std::time::{Duration, Instant};

use servicedir::options::{Options, Ready};
use servicedir::process::Identity;
use servicedir::report::Why;
use servicedir::signal::Signal;

use super::run::{Run, Stage, Then, ready_by};
use super::{Machine, State};
use crate::event::{Action, Moment, Notice, Purpose};

/// How long a service may take to end by ABRT before it is stopped. An ABRT that is still pending when
/// a TERM comes is lost, with the core file that it should leave: the kernel lets TERM win.
const ABORT_FIRST: Duration = Duration::from_secs(1);

/// The service promised to be heard of in this interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watchdog {
    interval: Duration,
    until: Instant,
}

impl Machine {
    /// The service told something of itself.
    pub(super) fn notice(&mut self, notice: Notice, now: Moment) {
        if let Notice::MainPid(process) = notice {
            return self.change_main(process);
        }
        let Self {
            state: State::Run(run),
            history,
            ..
        } = self
        else {
            return;
        };
        match notice {
            Notice::Ready if !run.ready => {
                run.ready = true;
                history.ready_stamp = now.label;
            }
            Notice::Reloading | Notice::Stopping if run.ready => {
                run.ready = false;
                history.ready_stamp = now.label;
            }
            Notice::Ready | Notice::Reloading | Notice::Stopping => {}
            Notice::Status(text) => history.message = text,
            Notice::Errno(errno) => history.message = Why(errno).to_string(),
            Notice::MainPid(_) => {}
            Notice::WatchdogInterval(interval) => run.watch(interval, now.clock),
            Notice::WatchdogFed => run.watch(run.watchdog_interval(), now.clock),
            Notice::WatchdogTrigger if !run.is_stopping() => self.watchdog_expired(now),
            Notice::WatchdogTrigger => {}
            Notice::Extend(time) => run.extend(now.clock.checked_add(time)),
        }
    }

    /// Another process is the service now. What is under way is for it: the control scripts that stand
    /// for a signal, and a stop that has gone to the one before.
    fn change_main(&mut self, process: Identity) {
        let (signal, group) = (self.options.stopsignal, self.options.stopasgroup);
        let Some(run) = self.run() else { return };
        let before = std::mem::replace(&mut run.process, process).pid;
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

    /// ABRT, and CONT for one that stands still; then a stop, if that was not its end.
    pub(super) fn watchdog_expired(&mut self, now: Moment) {
        self.warn("the watchdog was not fed in time: aborted");
        let wait = self.options.stopwaitsecs;
        let Some(run) = self.run() else { return };
        let then = match run.stage {
            Stage::Starting => Then::FailedStart,
            Stage::Running | Stage::Stopping { .. } => Then::Unexpected,
        };
        let kill_at = wait.and_then(|wait| now.clock.checked_add(wait.saturating_add(ABORT_FIRST)));
        run.watchdog = None;
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

impl Run {
    /// A run that another supervise started has its limits from now on: it may have been granted more
    /// time, and may have told so, and fed its watchdog, while nobody was there to hear it.
    pub(super) fn resume_limits(
        &mut self,
        options: &Options,
        watchdog: Option<Duration>,
        now: Instant,
    ) {
        self.ready_by = ready_by(options, now);
        if options.ready == Ready::Notify {
            self.watch(watchdog, now);
        }
    }

    /// In what interval it has promised to feed its watchdog.
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog.interval)
    }

    /// A paused service cannot feed its watchdog.
    pub(super) fn watchdog_due(&self) -> Option<Instant> {
        self.watchdog
            .filter(|_| !self.paused)
            .map(|watchdog| watchdog.until)
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        if std::mem::replace(&mut self.paused, false) {
            self.watch(self.watchdog_interval(), now);
        }
    }

    fn watch(&mut self, interval: Option<Duration>, now: Instant) {
        self.watchdog = interval.and_then(|interval| {
            Some(Watchdog {
                interval,
                until: now.checked_add(interval)?,
            })
        });
    }

    /// `EXTEND_TIMEOUT_USEC`: what is limited may take until then, if it may not take longer already.
    fn extend(&mut self, until: Option<Instant>) {
        let limit = match &mut self.stage {
            Stage::Starting => &mut self.ready_by,
            Stage::Stopping { kill_at, .. } => kill_at,
            Stage::Running => return,
        };
        if limit.is_some() && *limit < until {
            *limit = until;
        }
    }
}
