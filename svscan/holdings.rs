//! What svscan holds for its units: directories, supervises, and the pipes of logs.

use servicedir::layout::Layout;
use servicedir::process::World;

use crate::directories::Directories;
use crate::pipes::Pipes;
use crate::scan::{Id, Units};
use crate::supervises::Supervises;

/// What svscan holds for its units.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// Their directories.
    pub(crate) directories: Directories,
    /// Their supervises.
    pub(crate) supervises: Supervises,
    /// The pipes of the logs.
    pub(crate) pipes: Pipes,
    /// The boot and the pid namespace of this process.
    pub(crate) world: World,
}

impl Holdings {
    /// Nothing is held yet.
    pub(crate) fn new() -> Self {
        Self {
            directories: Directories::default(),
            supervises: Supervises::default(),
            pipes: Pipes::new(),
            world: World::here(),
        }
    }

    /// The layout of a unit, by a path that leads to its directory now.
    pub(crate) fn layout(&self, id: &Id, units: &Units) -> Option<Layout> {
        self.directories.layout(id, &units.get(id)?.name)
    }

    /// Closes what is held for a unit that is gone, and the pipes of logs without readers and writers.
    pub(crate) fn forget(&mut self, id: &Id, units: &Units) {
        self.directories.forget(id);
        self.supervises.remove(id);
        self.pipes
            .retain(|log, _| units.get(log).is_some() || units.writers(log).next().is_some());
    }
}
