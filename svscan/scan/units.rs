//! The units that there are: the services of the scan directory, and their logs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::rc::Rc;
use std::time::Instant;

use servicedir::layout::{ERRLOG, LOG};

use super::event::Service;
use super::unit::{Ending, Id, Logs, Role, Slot, StopReason, Stream, Unit};

/// All units by their directories.
#[derive(Debug, Default)]
pub(crate) struct Units(BTreeMap<Id, Unit>);

impl Units {
    /// The unit of a directory.
    pub(crate) fn get(&self, id: &Id) -> Option<&Unit> {
        self.0.get(id)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, &Unit)> {
        self.0.iter()
    }

    /// The services that write to a log.
    pub(crate) fn writers<'a>(
        &'a self,
        log: &'a Id,
    ) -> impl Iterator<Item = (&'a Id, &'a Unit)> + 'a {
        self.0
            .iter()
            .filter(move |(_, unit)| unit.logs().any(|(_, id)| id == log))
    }

    /// The logs that a service writes to.
    pub(super) fn logs_in_use(&self) -> BTreeSet<Id> {
        let logs = self.0.values().flat_map(Unit::logs);
        logs.map(|(_, log)| log.clone()).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Id, &mut Unit)> {
        self.0.iter_mut()
    }

    pub(super) fn remove(&mut self, id: &Id) {
        self.0.remove(id);
    }

    pub(super) fn change(&mut self, id: &Id, how: impl FnOnce(&mut Unit)) {
        if let Some(unit) = self.0.get_mut(id) {
            how(unit);
        }
    }

    /// Takes in the services of the scan directory. `stop_removed`: those that are not among them any
    /// more are to be stopped.
    pub(super) fn list(&mut self, services: Vec<Rc<Service>>, stop_removed: bool, now: Instant) {
        for unit in self.0.values_mut().filter(|unit| unit.is_main()) {
            unit.listed = false;
        }
        let mut new = Vec::new();
        let mut renamed = Vec::new();
        for service in services {
            match self.0.get_mut(&service.id) {
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
        self.add(new, now);
        if stop_removed {
            self.0
                .values_mut()
                .filter(|unit| unit.is_main() && !unit.listed)
                .for_each(stop_removed_unit);
        }
    }

    /// Adds services that are new. One whose name another directory had waits for the end of that one.
    fn add(&mut self, new: Vec<Rc<Service>>, now: Instant) {
        let former = self.unlisted_names(!new.is_empty());
        for service in new {
            let after = former.get(&service.name).cloned();
            if let Some(id) = &after {
                self.change(id, stop_removed_unit);
            }
            let role = Role::Main(Logs::default());
            let unit = Unit::new(service.name.clone(), role, service.priority, now);
            let essential = service.essential;
            self.0.entry(service.id.clone()).or_insert(Unit {
                essential,
                after,
                ..unit
            });
        }
    }

    /// A service has another name now, and so have its logs.
    fn rename_logs(&mut self, id: &Id) {
        let Some(unit) = self.0.get(id) else {
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
        let units = self.0.iter().filter(|_| wanted);
        units
            // One that was never started only waited for the same predecessor.
            .filter(|(_, unit)| unit.is_main() && !unit.listed && unit.tried)
            .map(|(id, unit)| (unit.name.clone(), id.clone()))
            .collect()
    }

    /// The logs of a service whose supervise is being started. The supervise of a log whose directory
    /// was replaced is stopped, and its successor waits for that; unless other services still write
    /// to it, as all instances of a directory do.
    pub(super) fn set_logs(&mut self, id: &Id, logs: Logs, now: Instant) {
        let Some(unit) = self.0.get_mut(id) else {
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
                self.change(old, |unit| unit.stop_reason = StopReason::Deleted);
            }
            let path = log_name(&name, stream, &log);
            let unit = self.0.entry(log).or_insert_with(|| Unit {
                after,
                ..Unit::new(path.clone(), Role::Log, priority, now)
            });
            if unit.is_main() {
                become_log(unit, path, now);
            }
        }
    }
}

/// A known unit is in the scan directory; true: under another name than before.
fn relist(unit: &mut Unit, service: &Service) -> bool {
    if unit.stop_reason == StopReason::Removed {
        unit.stop_reason = StopReason::None;
    }
    // Of several names for one directory the first one is taken; the services are sorted.
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
pub(crate) fn log_name(service: &OsStr, stream: Stream, log: &Id) -> OsString {
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

/// A directory in the scan directory is a service's log, too: then it is that log alone. A supervise
/// that was started for it as a service has the wrong input, and is started again.
fn become_log(unit: &mut Unit, name: OsString, now: Instant) {
    unit.role = Role::Log;
    unit.name = name;
    if unit.slot == Slot::Up {
        let then = Some((now, Ending::Stop));
        unit.slot = Slot::Ending { then };
    }
}

/// A unit without a name in the scan directory is to be stopped.
fn stop_removed_unit(unit: &mut Unit) {
    if unit.stop_reason == StopReason::None {
        unit.stop_reason = StopReason::Removed;
    }
}
