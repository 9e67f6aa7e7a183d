//! The decisions of svscan: which supervise to start, stop and forget. Pure: events and the time in,
//! actions out.
//!
//! A service is a unit from when its name is first seen until its supervise has ended and its name is
//! gone; a log is one for as long as a service that writes to it. [`Scan::step`] takes in what
//! happened, [`Scan::decide`] compares the target of each unit with what is known of its supervise:
//!
//! | target | supervise there | no supervise |
//! |---|---|---|
//! | keep | – | start it, at most once a second |
//! | leave (its name is gone) | – | check whether its service lives: start it again, else forget it |
//! | hold (not now) | – | – |
//! | end | stop it | check whether its service lives: start it to stop it, else forget it |
//! | drain (a log) | let it read to the end | as end |

mod event;
mod shutdown;
mod unit;
mod units;
mod wish;

use std::ffi::OsStr;
use std::time::{Duration, Instant};

pub(crate) use event::{Action, Event, Life, Service};
pub(crate) use shutdown::Cause;
pub(crate) use unit::{Ending, Id, Logs, Stream, Unit};
pub(crate) use units::{Units, log_name};

use shutdown::{Haste, Shutdown};
use unit::{Role, Slot, StopReason};
use wish::{Circumstances, DRAIN, Due, act, last_resort, log_wish, main_wish};

/// A supervise is started at most this often.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many supervises are started before signals and ended children get their turn.
const BATCH: usize = 32;

/// How long it may be unknown whether the service of a unit lives before that is not waited for.
const UNSURE: Duration = Duration::from_secs(10);

/// How often that is checked meanwhile.
const CHECK_AGAIN: Duration = Duration::from_millis(250);

/// When to send the commands again that a new supervise did not read yet.
const TELL_AGAIN: Duration = Duration::from_millis(20);

/// All units, and whether svscan starts or stops them.
#[derive(Debug)]
pub(crate) struct Scan {
    units: Units,
    shutdown: Option<Shutdown>,
    shutdown_timeout: Option<Duration>,
    stop_removed: bool,
    away: bool,
    scanned: bool,
    announced: bool,
    deadline: Option<Instant>,
}

impl Scan {
    /// A svscan that knows of no service yet.
    pub(crate) fn new(stop_removed: bool, shutdown_timeout: Option<Duration>) -> Self {
        Self {
            units: Units::default(),
            shutdown: None,
            shutdown_timeout,
            stop_removed,
            away: false,
            scanned: false,
            announced: false,
            deadline: None,
        }
    }

    /// The units.
    pub(crate) fn units(&self) -> &Units {
        &self.units
    }

    /// Whether everything is being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.shutdown.is_some()
    }

    /// Takes in what happened.
    pub(crate) fn step(&mut self, event: Event, now: Instant) {
        match event {
            Event::Listed(services) => {
                (self.away, self.scanned) = (false, true);
                self.units.list(services, self.stop_removed, now);
            }
            Event::Away => self.away = true,
            Event::Deleted(id) => self
                .units
                .change(&id, |unit| unit.stop_reason = StopReason::Deleted),
            Event::Logs(id, logs) => self.units.set_logs(&id, logs, now),
            Event::Started(id) => self.units.change(&id, |unit| unit.slot = Slot::Up),
            Event::Adopted(id) => self.units.change(&id, |unit| {
                // It was not started now: when it ends, the next one need not wait.
                (unit.slot, unit.started) = (Slot::Up, None);
            }),
            Event::StartFailed(id) => self.units.change(&id, |unit| {
                unit.slot = Slot::Due { at: now + SECOND };
            }),
            Event::Ended(id) => self.units.change(&id, |unit| ended(unit, 0, now)),
            Event::Failed(id) => self.units.change(&id, |unit| {
                let at_once = unit.started.is_some_and(|then| then + SECOND > now);
                ended(unit, if at_once { unit.failures + 1 } else { 0 }, now);
            }),
            Event::RetryNow => self
                .units
                .iter_mut()
                .for_each(|(_, unit)| retry_now(unit, now)),
            Event::Checked(id, life) => self.units.change(&id, |unit| checked(unit, life, now)),
            Event::NotDelivered(id, ending) => self
                .units
                .change(&id, |unit| not_delivered(unit, ending, now)),
            Event::Terminate(cause) => {
                let timeout = self.shutdown_timeout;
                self.shutdown
                    .get_or_insert_with(|| Shutdown::new(cause, timeout, now));
            }
        }
    }

    /// What is to be done now.
    pub(crate) fn decide(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let its = self.circumstances(now);
        let logs = self.units.logs_in_use();
        let mut waiting = Vec::new();
        self.deadline = None;
        for (id, unit) in self.units.iter_mut() {
            let wish = match &unit.role {
                Role::Main(_) => main_wish(unit, its),
                Role::Log => log_wish(unit, logs.contains(id), its),
            };
            match act(id, unit, wish, its, &mut actions) {
                Some(Due::Start(at)) if at <= now => waiting.push(id.clone()),
                Some(Due::Start(at) | Due::Other(at)) => {
                    self.deadline = earlier(self.deadline, Some(at));
                }
                None => {}
            }
            self.deadline = earlier(self.deadline, last_resort(unit, its));
        }
        for action in &actions {
            if let Action::Forget(id) = action {
                self.units.remove(id);
            }
        }
        let killed = actions
            .iter()
            .any(|action| matches!(action, Action::Kill(_)));
        if let Some(shutdown) = self.shutdown.as_mut().filter(|_| killed) {
            shutdown.note_kill();
        }
        self.start(waiting, now, &mut actions);
        self.conclude(&mut actions);
        actions
    }

    /// When to decide again at the latest, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let shutdown = self.shutdown.as_ref();
        earlier(
            self.deadline,
            shutdown.and_then(|shutdown| shutdown.deadline(now)),
        )
    }

    fn circumstances(&self, now: Instant) -> Circumstances {
        let mains = self.units.iter().filter(|(_, unit)| unit.is_main());
        let shutdown = self.shutdown.as_ref();
        Circumstances {
            now,
            shutdown: shutdown.is_some(),
            // Those of the highest priority that is left are stopped first.
            stop_level: shutdown.and_then(|_| mains.map(|(_, unit)| unit.priority).max()),
            haste: shutdown.map_or(Haste::None, |shutdown| shutdown.haste(now)),
            away: self.away,
        }
    }

    /// Nothing stands in the way of a start but the time.
    fn startable(&self, unit: &Unit) -> bool {
        let free = unit
            .after
            .as_ref()
            .is_none_or(|former| self.units.get(former).is_none());
        free && !self.away
    }

    /// Starts what is due, lowest priority first, then by name: the order is always the same.
    fn start(&mut self, mut due: Vec<Id>, now: Instant, actions: &mut Vec<Action>) {
        due.retain(|id| self.units.get(id).is_some_and(|unit| self.startable(unit)));
        due.sort_by(|a, b| self.order(a).cmp(&self.order(b)));
        if due.len() > BATCH {
            self.deadline = Some(now);
        }
        for id in due.into_iter().take(BATCH) {
            self.units.change(&id, |unit| {
                unit.slot = Slot::Asked;
                unit.started = Some(now);
                unit.tried = true;
            });
            actions.push(Action::Start(id));
        }
    }

    fn order(&self, id: &Id) -> Option<(i32, &OsStr)> {
        self.units
            .get(id)
            .map(|unit| (unit.priority, unit.name.as_os_str()))
    }

    /// What follows when all units have been decided on.
    fn conclude(&mut self, actions: &mut Vec<Action>) {
        let tried = |unit: &Unit| unit.tried && unit.slot != Slot::Asked;
        let settled = || self.units.iter().all(|(_, unit)| tried(unit));
        if !self.announced && self.scanned && self.shutdown.is_none() && settled() {
            self.announced = true;
            actions.push(Action::Ready);
        }
        if let Some(shutdown) = &self.shutdown
            && self.units.is_empty()
        {
            actions.push(Action::Exit(shutdown.exit_code()));
        }
    }
}

/// A supervise has ended, the last of so many in a row that failed.
fn ended(unit: &mut Unit, failures: u32, now: Instant) {
    unit.stop_sent = None;
    unit.failures = failures;
    unit.slot = Slot::Due {
        at: unit.next_start(now),
    };
}

fn retry_now(unit: &mut Unit, now: Instant) {
    unit.failures = 0;
    if matches!(unit.slot, Slot::Due { .. }) {
        unit.slot = Slot::Due {
            at: unit.next_start(now),
        };
    }
}

/// A unit without a supervise was checked.
fn checked(unit: &mut Unit, life: Life, now: Instant) {
    let unsure_since = unit.unsure_since.take();
    unit.slot = match life {
        // A supervise that was started now would run `finish`, or start the service again.
        Life::Alive if unit.killed.is_some() => Slot::Ending { then: None },
        Life::Alive => Slot::Revive {
            at: unit.next_start(now),
        },
        Life::Gone => Slot::Gone,
        Life::Unknown => {
            let since = *unit.unsure_since.insert(unsure_since.unwrap_or(now));
            match now.duration_since(since) < UNSURE {
                true => Slot::Unsure {
                    at: now + CHECK_AGAIN,
                },
                false => Slot::Gone,
            }
        }
    };
}

fn not_delivered(unit: &mut Unit, ending: Ending, now: Instant) {
    let late = unit.stop_sent.is_some_and(|sent| sent + DRAIN <= now);
    let ending = if late { Ending::Stop } else { ending };
    let then = Some((now + TELL_AGAIN, ending));
    unit.slot = Slot::Ending { then };
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
