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

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::stop::Shutdown;
use crate::unit::{Doom, Ending, Id, Logs, Role, Slot, Stream, Unit};
use servicedir::layout::{ERRLOG, LOG};

/// A supervise is started at most this often.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How many supervises are started before signals and ended children get their turn.
const BATCH: usize = 32;

/// How long after its input has ended a logger may go on.
const DRAIN: Duration = Duration::from_secs(5);

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

/// What is wished for a unit, whatever its supervise does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Keep,
    Leave,
    Hold,
    End(Ending),
}

/// When something is due that waits for its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Due {
    /// The start of a supervise.
    Start(Instant),
    /// Anything else.
    Other(Instant),
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

    fn seen(&mut self, seen: Vec<Rc<Seen>>, now: Instant) {
        self.away = false;
        self.scanned = true;
        for unit in self.units.values_mut().filter(|unit| unit.is_main()) {
            unit.listed = false;
        }
        let mut new = Vec::new();
        let mut renamed = Vec::new();
        for service in seen {
            match self.units.get_mut(&service.id) {
                Some(unit) if unit.is_main() => {
                    if relist(unit, &service) {
                        renamed.push(service);
                    }
                }
                Some(_) => {}
                None => new.push(service),
            }
        }
        renamed
            .iter()
            .for_each(|service| self.rename_logs(&service.id));
        let former = self.unlisted_names(!new.is_empty());
        for service in new {
            let after = former.get(&service.name).cloned();
            if let Some(id) = &after {
                self.change(id, doom);
            }
            let role = Role::Main(Logs::default());
            let unit = Unit::new(service.name.clone(), role, service.priority, now);
            let essential = service.essential;
            self.units.entry(service.id.clone()).or_insert(Unit {
                essential,
                after,
                ..unit
            });
        }
        if self.stop_removed {
            self.units
                .values_mut()
                .filter(|unit| unit.is_main() && !unit.listed)
                .for_each(doom);
        }
    }

    /// A service has another name now, and so have its logs.
    fn rename_logs(&mut self, id: &Id) {
        let Some(unit) = self.units.get(id) else {
            return;
        };
        let logs: Vec<(OsString, Id)> = unit
            .logs()
            .map(|(stream, log)| (log_name(&unit.name, stream, log), log.clone()))
            .collect();
        for (name, log) in logs {
            self.change(&log, |unit| unit.name = name);
        }
    }

    /// The units whose names are gone, by these names: what has one of them now is their successor.
    fn unlisted_names(&self, wanted: bool) -> BTreeMap<OsString, Id> {
        let units = self.units.iter().filter(|_| wanted);
        units
            .filter(|(_, unit)| unit.is_main() && !unit.listed)
            .map(|(id, unit)| (unit.name.clone(), id.clone()))
            .collect()
    }

    /// A service is about to be started: its logs are looked at afresh. The supervise of a log whose
    /// directory was replaced is stopped, and its successor waits for that; unless other services still
    /// write to it, as all instances of a directory do.
    fn logs(&mut self, id: &Id, logs: Logs, now: Instant) {
        let Some(unit) = self.units.get_mut(id) else {
            return;
        };
        let (name, priority) = (unit.name.clone(), unit.priority);
        let Role::Main(known) = &mut unit.role else {
            return;
        };
        let old = std::mem::replace(known, logs.clone());
        for (stream, old, log) in [
            (Stream::Out, old.out, logs.out),
            (Stream::Err, old.err, logs.err),
        ] {
            let Some(log) = log else { continue };
            let after = old.filter(|old| *old != log && self.writers(old).next().is_none());
            if let Some(old) = &after {
                self.change(old, |unit| unit.doom = Doom::Deleted);
            }
            let path = log_name(&name, stream, &log);
            let unit = self.units.entry(log).or_insert_with(|| Unit {
                after,
                ..Unit::new(path.clone(), Role::Log, priority, now)
            });
            if unit.is_main() {
                become_log(unit, path, now);
            }
        }
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

/// A known unit stands in the scan directory; true: under another name than before.
fn relist(unit: &mut Unit, service: &Seen) -> bool {
    if unit.doom == Doom::Removed {
        unit.doom = Doom::Spared;
    }
    // Of several names for one directory the first one is taken; `seen` is sorted.
    if unit.listed {
        return false;
    }
    unit.listed = true;
    unit.priority = service.priority;
    unit.essential = service.essential;
    let renamed = unit.name != service.name;
    if renamed {
        unit.name.clone_from(&service.name);
    }
    renamed
}

/// `foo/log` or `foo/errlog`; `foo@1/log@1` for an instance's own.
fn log_name(service: &OsStr, stream: Stream, log: &Id) -> OsString {
    let folder = match stream {
        Stream::Out => LOG,
        Stream::Err => ERRLOG,
    };
    let mut name = [service, OsStr::new(folder)].join(OsStr::new("/"));
    if let Some(instance) = &log.instance {
        name.push("@");
        name.push(instance);
    }
    name
}

/// A directory that stands in the scan directory is a service's log, too: it is its log alone. A
/// supervise that was started for it has the wrong input, and is started again.
fn become_log(unit: &mut Unit, name: OsString, now: Instant) {
    unit.role = Role::Log;
    unit.name = name;
    if unit.slot == Slot::Up {
        let then = Some((now, Ending::Stop));
        unit.slot = Slot::Ending { then };
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

fn doom(unit: &mut Unit) {
    if unit.doom == Doom::Spared {
        unit.doom = Doom::Removed;
    }
}

fn main_wish(unit: &Unit, shutdown: bool, level: Option<i32>, away: bool) -> Wish {
    if shutdown {
        return match level {
            Some(level) if unit.priority < level => Wish::Hold,
            Some(_) | None => Wish::End(Ending::Stop),
        };
    }
    match unit.doom {
        Doom::Removed | Doom::Deleted => Wish::End(Ending::Stop),
        Doom::Spared if away => Wish::Hold,
        Doom::Spared if unit.listed => Wish::Keep,
        Doom::Spared => Wish::Leave,
    }
}

/// `used`: a service writes to it.
fn log_wish(unit: &Unit, used: bool, away: bool) -> Wish {
    match (unit.doom, used) {
        (Doom::Removed | Doom::Deleted, _) => Wish::End(Ending::Stop),
        (Doom::Spared, false) => Wish::End(Ending::Drain),
        (Doom::Spared, true) if away => Wish::Hold,
        (Doom::Spared, true) => Wish::Keep,
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Brings what is known of a unit nearer to what is wished, and says what that waits for.
fn act(
    id: &Id,
    unit: &mut Unit,
    wish: Wish,
    now: Instant,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    match (unit.slot, wish) {
        (Slot::Due { at }, Wish::Keep) | (Slot::Revive { at }, _) => return Some(Due::Start(at)),
        (Slot::Due { .. }, Wish::End(_) | Wish::Leave) => {
            unit.slot = Slot::Looking;
            actions.push(Action::Look(id.clone()));
        }
        (Slot::Gone, Wish::End(_) | Wish::Leave | Wish::Hold) => {
            actions.push(Action::Forget(id.clone()));
        }
        (Slot::Gone, Wish::Keep) => {
            let at = unit.next_start(now);
            unit.slot = Slot::Due { at };
            return Some(Due::Start(at));
        }
        (Slot::Up, Wish::End(ending)) => {
            return end(id, unit, ending, now, actions);
        }
        (
            Slot::Ending {
                then: Some((at, ending)),
            },
            _,
        ) if at <= now => {
            return end(id, unit, ending, now, actions);
        }
        (Slot::Ending { then }, _) => return then.map(|(at, _)| Due::Other(at)),
        (Slot::Due { .. }, Wish::Hold)
        | (Slot::Up, Wish::Keep | Wish::Leave | Wish::Hold)
        | (Slot::Asked | Slot::Looking, _) => {}
    }
    None
}

/// Tells a supervise to end; a logger that does not find the end of its input is stopped in the end.
fn end(
    id: &Id,
    unit: &mut Unit,
    ending: Ending,
    now: Instant,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    let then = (ending == Ending::Drain).then_some((now + DRAIN, Ending::Stop));
    unit.slot = Slot::Ending { then };
    unit.told.get_or_insert(now);
    actions.push(Action::End(id.clone(), ending));
    then.map(|(at, _)| Due::Other(at))
}

#[cfg(test)]
mod tests;
