//! Which units there are: what stands in the scan directory, and the logs of what does.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::rc::Rc;
use std::time::Instant;

use servicedir::layout::{ERRLOG, LOG};

use super::{Scan, Seen};
use crate::unit::{Doom, Ending, Id, Logs, Role, Slot, Stream, Unit};

impl Scan {
    pub(super) fn seen(&mut self, seen: Vec<Rc<Seen>>, now: Instant) {
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
            // One that was never started only waited for the same predecessor.
            .filter(|(_, unit)| unit.is_main() && !unit.listed && unit.tried)
            .map(|(id, unit)| (unit.name.clone(), id.clone()))
            .collect()
    }

    /// A service is about to be started: its logs are looked at afresh. The supervise of a log whose
    /// directory was replaced is stopped, and its successor waits for that; unless other services still
    /// write to it, as all instances of a directory do.
    pub(super) fn logs(&mut self, id: &Id, logs: Logs, now: Instant) {
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

/// What has no name here any more is to be stopped.
fn doom(unit: &mut Unit) {
    if unit.doom == Doom::Spared {
        unit.doom = Doom::Removed;
    }
}
