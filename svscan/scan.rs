//! The decisions of svscan: which supervise to start, stop and forget. Pure: events and the time in,
//! actions out.
//!
//! A service is a unit from when its name is first seen until its supervise has ended and its name is
//! gone; a log is one for as long as a service that writes to it. [`Scan::step`] takes in what
//! happened, [`Scan::decide`] compares what is wished for each unit with what is known of its
//! supervise:
//!
//! | wish | supervise there | no supervise |
//! |---|---|---|
//! | keep | – | start it, at most once a second |
//! | leave (its name is gone) | – | look whether its service lives: start it again, else forget it |
//! | hold (not now) | – | – |
//! | end | stop it | look whether its service lives: start it to stop it, else forget it |
//! | drain (a log) | let it read to the end | as end |

mod members;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::stop::Shutdown;
use crate::unit::{Doom, Ending, Id, Logs, Role, Slot, Unit};

use wish::{DRAIN, Due, act, log_wish, main_wish};

/// A supervise is started at most this often.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many supervises are started before signals and ended children get their turn.
const BATCH: usize = 32;

/// When to tell a supervise again that was too young to hear.
const TELL_AGAIN: Duration = Duration::from_millis(20);

/// A service that stands in the scan directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Its name there.
    pub(crate) name: OsString,
    /// Its directory.
    pub(crate) id: Id,
    /// The option `priority`.
    pub(crate) priority: i32,
    /// The option `essential`.
    pub(crate) essential: bool,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// These are all the services of the scan directory, sorted by name.
    Seen(Vec<Rc<Seen>>),
    /// The scan directory is not there: nothing can be started.
    Away,
    /// The directory of this unit was deleted.
    Deleted(Id),
    /// These are the logs of a service that is about to be started.
    Logs(Id, Logs),
    /// The supervise is there: started, or found.
    Started(Id),
    /// No supervise could be started, or the one that is there cannot be watched.
    StartFailed(Id),
    /// The supervise has ended.
    Ended(Id),
    /// The supervise has ended by itself, with a code that says that it could not do its work.
    Failed(Id),
    /// Somebody asked for everything to be looked at: what waits after failures need not.
    Hurry,
    /// Whether anything of a unit without a supervise lives.
    Looked(Id, bool),
    /// It was too early to tell the supervise to end.
    NotHeard(Id, Ending),
    /// All is to be stopped, and this is to be the exit code.
    Terminate(u8),
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Start the supervise, or find it.
    Start(Id),
    /// Stop the service and its supervise; or let a logger read to the end of its input.
    End(Id, Ending),
    /// Look whether anything of it lives: its process, or lines in a log's pipe.
    Look(Id),
    /// Close what is held for it.
    Forget(Id),
    /// Everything that was found first has been started.
    Ready,
    /// The time to stop in is over.
    KillAll,
    /// Leave.
    Exit(u8),
}

/// All units, and what svscan is about.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) units: BTreeMap<Id, Unit>,
    pub(crate) shutdown: Option<Shutdown>,
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
            units: BTreeMap::new(),
            shutdown: None,
            shutdown_timeout,
            stop_removed,
            away: false,
            scanned: false,
            announced: false,
            deadline: None,
        }
    }

    /// Takes in what happened.
    pub(crate) fn step(&mut self, event: Event, now: Instant) {
        match event {
            Event::Seen(seen) => self.seen(seen, now),
            Event::Away => self.away = true,
            Event::Deleted(id) => self.change(&id, |unit| unit.doom = Doom::Deleted),
            Event::Logs(id, logs) => self.logs(&id, logs, now),
            Event::Started(id) => self.change(&id, |unit| unit.slot = Slot::Up),
            Event::StartFailed(id) => self.change(&id, |unit| {
                unit.slot = Slot::Due { at: now + SECOND };
            }),
            Event::Ended(id) => self.change(&id, |unit| ended(unit, 0, now)),
            Event::Failed(id) => self.change(&id, |unit| {
                let at_once = unit.started.is_some_and(|then| then + SECOND > now);
                ended(unit, if at_once { unit.failures + 1 } else { 0 }, now);
            }),
            Event::Hurry => self.units.values_mut().for_each(|unit| hurry(unit, now)),
            Event::Looked(id, alive) => self.change(&id, |unit| {
                unit.slot = match alive {
                    true => Slot::Revive {
                        at: unit.next_start(now),
                    },
                    false => Slot::Gone,
                };
            }),
            Event::NotHeard(id, ending) => self.change(&id, |unit| {
                let late = unit.told.is_some_and(|told| told + DRAIN <= now);
                let ending = if late { Ending::Stop } else { ending };
                let then = Some((now + TELL_AGAIN, ending));
                unit.slot = Slot::Ending { then };
            }),
            Event::Terminate(code) => {
                let timeout = self.shutdown_timeout;
                self.shutdown
                    .get_or_insert_with(|| Shutdown::new(code, timeout, now));
            }
        }
    }

    /// What is to be done now.
    pub(crate) fn decide(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let (level, shutdown) = (self.stop_level(), self.shutdown.is_some());
        let logs = self.logs_in_use();
        let mut waiting = Vec::new();
        self.deadline = None;
        for (id, unit) in &mut self.units {
            let wish = match &unit.role {
                Role::Main(_) => main_wish(unit, shutdown, level, self.away),
                Role::Log => log_wish(unit, logs.contains(id), self.away),
            };
            match act(id, unit, wish, now, &mut actions) {
                Some(Due::Start(at)) if at <= now => waiting.push(id.clone()),
                Some(Due::Start(at) | Due::Other(at)) => {
                    self.deadline = earlier(self.deadline, Some(at));
                }
                None => {}
            }
        }
        for action in &actions {
            if let Action::Forget(id) = action {
                self.units.remove(id);
            }
        }
        self.start(waiting, now, &mut actions);
        self.conclude(now, &mut actions);
        actions
    }

    /// When to decide again at the latest, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earlier(
            self.deadline,
            self.shutdown.as_ref().and_then(Shutdown::deadline),
        )
    }

    /// The services that write to a log, with their names.
    pub(crate) fn writers<'a>(
        &'a self,
        log: &'a Id,
    ) -> impl Iterator<Item = (&'a Id, &'a Unit)> + 'a {
        self.units
            .iter()
            .filter(move |(_, unit)| unit.logs().any(|(_, id)| id == log))
    }

    fn change(&mut self, id: &Id, how: impl FnOnce(&mut Unit)) {
        if let Some(unit) = self.units.get_mut(id) {
            how(unit);
        }
    }

    /// Nothing stands in the way of a start but the time.
    fn startable(&self, unit: &Unit) -> bool {
        let free = unit
            .after
            .as_ref()
            .is_none_or(|former| !self.units.contains_key(former));
        free && !self.away
    }

    /// The logs that a service writes to.
    fn logs_in_use(&self) -> BTreeSet<Id> {
        let logs = self.units.values().flat_map(Unit::logs);
        logs.map(|(_, log)| log.clone()).collect()
    }

    /// Starts what is due, lowest priority first, then by name: the order is always the same.
    fn start(&mut self, mut due: Vec<Id>, now: Instant, actions: &mut Vec<Action>) {
        due.retain(|id| self.units.get(id).is_some_and(|unit| self.startable(unit)));
        due.sort_by(|a, b| self.order(a).cmp(&self.order(b)));
        if due.len() > BATCH {
            self.deadline = Some(now);
        }
        for id in due.into_iter().take(BATCH) {
            self.change(&id, |unit| {
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
    fn conclude(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let tried = |unit: &Unit| unit.tried && unit.slot != Slot::Asked;
        let settled = || self.units.values().all(tried);
        if !self.announced && self.scanned && self.shutdown.is_none() && settled() {
            self.announced = true;
            actions.push(Action::Ready);
        }
        if let Some(shutdown) = &mut self.shutdown {
            actions.extend(shutdown.next(self.units.is_empty(), now));
        }
    }
}

/// A supervise has ended, the last of so many in a row that failed.
fn ended(unit: &mut Unit, failures: u32, now: Instant) {
    unit.told = None;
    unit.failures = failures;
    unit.slot = Slot::Due {
        at: unit.next_start(now),
    };
}

fn hurry(unit: &mut Unit, now: Instant) {
    unit.failures = 0;
    if matches!(unit.slot, Slot::Due { .. }) {
        unit.slot = Slot::Due {
            at: unit.next_start(now),
        };
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod tests;
