//! What each name of the scan directory is: a service, what may become one, or nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use servicedir::layout::{RUN, instance_of, is_template};

use crate::essential::{Wanted, wanted};
use crate::message::{Message, Messages, Topic};
use crate::scan::{Id, Service};

/// What a name of the scan directory is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A service.
    Service(Rc<Service>),
    /// It is not a service yet.
    Waiting(Problem),
}

/// Why a name is not a service yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    /// The directory has no `run`.
    NoRun,
    /// `run` is not executable.
    NotExecutable,
    /// `run` is not a regular file.
    NotFile,
    /// The name cannot be looked at.
    Failed(Errno),
    /// Its `run` cannot be looked at.
    RunFailed(Errno),
}

impl Problem {
    /// The warning; none for a directory that is only not ready yet.
    fn message(self, name: &OsStr) -> Option<Message> {
        let name = name.to_os_string();
        match self {
            Self::NoRun => None,
            Self::NotExecutable => Some(Message::NotExecutable(name)),
            Self::NotFile => Some(Message::NotFile(name)),
            Self::Failed(errno) => Some(Message::UnableToOpen(name, errno.into())),
            Self::RunFailed(errno) => {
                let run = Path::new(&name).join(RUN).into_os_string();
                Some(Message::UnableToOpen(run, errno.into()))
            }
        }
    }
}

/// The names of the scan directory that are, or may become, services.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<OsString, Found>);

impl Names {
    /// Looks at all of `names`, which are all that there are.
    pub(crate) fn look_at_all(&mut self, names: Vec<OsString>, messages: &mut Messages) {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(what) = self.examine(&name, Look::All, messages) {
                found.insert(name, what);
            }
        }
        messages.keep_names(|name| found.contains_key(name));
        self.0 = found;
    }

    /// Looks at one name again.
    pub(crate) fn look_at(&mut self, name: &OsStr, messages: &mut Messages) {
        match self.examine(name, Look::One, messages) {
            Some(what) => drop(self.0.insert(name.to_os_string(), what)),
            None => drop(self.0.remove(name)),
        }
    }

    /// What was found under a name.
    pub(crate) fn get(&self, name: &OsStr) -> Option<&Found> {
        self.0.get(name)
    }

    /// All names that are, or may become, services.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsStr, &Found)> {
        self.0.iter().map(|(name, found)| (name.as_os_str(), found))
    }

    /// The services, sorted by name.
    pub(crate) fn services(&self) -> Vec<Rc<Service>> {
        let services = self.0.values().filter_map(|found| match found {
            Found::Service(service) => Some(Rc::clone(service)),
            Found::Waiting(_) => None,
        });
        services.collect()
    }

    /// What a name is; nothing for what svscan ignores. Warns of what is wrong with it, once.
    fn examine(&self, name: &OsStr, look: Look, messages: &mut Messages) -> Option<Found> {
        if name.as_bytes().first() == Some(&b'.') || is_template(name) {
            return None;
        }
        let found = match rustix::fs::stat(name) {
            Ok(stat) if !is_directory(&stat) => return None,
            Ok(stat) => self.service(name, &stat, look),
            Err(Errno::NOENT) if rustix::fs::lstat(name).is_err() => return None,
            Err(errno) => Err(Problem::Failed(errno)),
        };
        let message = found.as_ref().err().and_then(|it| it.message(name));
        match message {
            Some(message) => messages.warn_once(Topic::name(name), message),
            None => drop(messages.clear(&Topic::name(name))),
        }
        Some(found.map_or_else(Found::Waiting, Found::Service))
    }

    /// The service of a directory. One that was known stays one when its `run` goes away: its
    /// supervise reports that.
    fn service(&self, name: &OsStr, stat: &Stat, look: Look) -> Result<Rc<Service>, Problem> {
        let id = Id {
            dev: stat.st_dev,
            ino: stat.st_ino,
            instance: instance_of(Path::new(name)),
        };
        match (self.0.get(name), look) {
            (Some(Found::Service(known)), Look::One) if known.id == id => {
                return Ok(Rc::clone(known));
            }
            (Some(Found::Service(known)), Look::All) if known.id == id => {}
            _ => check_run(&Path::new(name).join(RUN))?,
        }
        let Wanted {
            priority,
            essential,
        } = wanted(Path::new(name));
        let name = name.to_os_string();
        Ok(Rc::new(Service {
            name,
            id,
            priority,
            essential,
        }))
    }
}

/// Whether the options of services that are known are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// Everything is read again.
    All,
    /// One name has changed; a service that is still the same one is not read again.
    One,
}

fn check_run(run: &Path) -> Result<(), Problem> {
    match rustix::fs::stat(run) {
        Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_file() => Err(Problem::NotFile),
        Ok(_) => {
            rustix::fs::access(run, rustix::fs::Access::EXEC_OK).map_err(|_| Problem::NotExecutable)
        }
        Err(Errno::NOENT) if rustix::fs::lstat(run).is_err() => Err(Problem::NoRun),
        Err(errno) => Err(Problem::RunFailed(errno)),
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}
