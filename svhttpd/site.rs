//! What is served: a scan directory, looked at anew each time.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::names;
use servicedir::supervisor::process::Process;
use servicedir::supervisor::scan;

use crate::page::Pages;
use crate::watcher::Watcher;

/// What all requests need to know. Of the services, nothing is kept here.
#[derive(Debug)]
pub(crate) struct Site {
    /// The scan directory.
    pub(crate) dir: PathBuf,
    /// What `getIdentification` answers.
    pub(crate) name: String,
    /// The templates.
    pub(crate) pages: Pages,
    /// Changes of directories.
    pub(crate) watcher: Rc<Watcher>,
    /// It has one clone more for each reply that is a stream.
    pub(crate) streams: Rc<()>,
    /// How many there may be.
    pub(crate) most_streams: usize,
}

impl Site {
    /// The services, sorted by group and name.
    pub(crate) fn processes(&self) -> Result<Vec<Process>, Fault> {
        scan::processes(&self.dir).map_err(|error| self.unreadable(&error))
    }

    /// The service of a namespec, which names one and not a group.
    pub(crate) fn process(&self, namespec: &str) -> Result<Process, Fault> {
        let bad = || Fault::new(Code::BadName, namespec);
        let wanted = names::split(namespec);
        let name = wanted.process.ok_or_else(bad)?;
        self.processes()?
            .into_iter()
            .find(|process| process.group == wanted.group && process.name == name)
            .ok_or_else(bad)
    }

    /// The services of a group, by priority.
    pub(crate) fn group(&self, group: &str) -> Result<Vec<Process>, Fault> {
        let mut members = self.processes()?;
        members.retain(|process| process.group == group);
        if members.is_empty() {
            return Err(Fault::new(Code::BadName, group));
        }
        scan::by_priority(&mut members);
        Ok(members)
    }

    /// All services, groups by priority and in a group by priority.
    pub(crate) fn by_priority(&self) -> Result<Vec<Process>, Fault> {
        let mut processes = self.processes()?;
        scan::by_priority(&mut processes);
        Ok(processes)
    }

    fn unreadable(&self, error: &io::Error) -> Fault {
        let why = servicedir::report::Why::from(error);
        let dir = self.dir.display();
        Fault::new(Code::Failed, format_args!("unable to read {dir}: {why}"))
    }
}
