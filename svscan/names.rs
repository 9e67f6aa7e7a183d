//! What each name of the scan directory is: a service, what may become one, or nothing.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use servicedir::layout::{Layout, RUN, instance_of, is_template};
use servicedir::state_folder::is_supervised;
use servicedir::trust::is_passing;

use crate::essential::Essential;
use crate::message::{Message, Messages, Topic};
use crate::scan::{Id, Service};
use crate::settle::{self, LONG, Settling};

/// How often a name is looked at for changes that inotify does not report: of what a link in `run`
/// leads to, of the permissions on the way, of a device that failed.
const AGAIN: Duration = Duration::from_secs(1);

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
    /// It was changed a moment ago.
    Settling(Settling),
}

impl Problem {
    /// The warning; none for a directory that is only not ready yet.
    fn message(self, name: &OsStr, now: Instant) -> Option<Message> {
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
            Self::Settling(settling) => {
                let long = now.duration_since(settling.first) >= LONG;
                long.then_some(Message::StillChanging(name))
            }
        }
    }

    /// When to look again if inotify reports nothing before.
    fn again(self, name: &OsStr, now: Instant) -> Option<Instant> {
        match self {
            Self::Failed(_) | Self::RunFailed(_) => Some(now + AGAIN),
            Self::NotExecutable | Self::NotFile => {
                let is_link = |stat: Stat| FileType::from_raw_mode(stat.st_mode).is_symlink();
                let run = rustix::fs::lstat(Path::new(name).join(RUN));
                run.map_or(true, is_link).then(|| now + AGAIN)
            }
            Self::NoRun => None,
            Self::Settling(settling) => Some(settling.again),
        }
    }
}

/// A name, and when to look at it again.
#[derive(Debug)]
struct Name {
    found: Found,
    again: Option<Instant>,
}

/// The names of the scan directory that are, or may become, services.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<OsString, Name>);

impl Names {
    /// Looks at all of `names`, which are all that there are.
    pub(crate) fn look_at_all(
        &mut self,
        names: Vec<OsString>,
        now: Instant,
        messages: &mut Messages,
    ) {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(what) = self.examine(&name, Look::All, now, messages) {
                found.insert(name, what);
            }
        }
        messages.keep_names(|name| found.contains_key(name));
        self.0 = found;
    }

    /// Looks at one name again.
    pub(crate) fn look_at(&mut self, name: &OsStr, now: Instant, messages: &mut Messages) {
        match self.examine(name, Look::One, now, messages) {
            Some(what) => drop(self.0.insert(name.to_os_string(), what)),
            None => drop(self.0.remove(name)),
        }
    }

    /// The names to look at again by now.
    pub(crate) fn due(&self, now: Instant) -> Vec<OsString> {
        let names = self.0.iter();
        let due = names.filter(|(_, name)| name.again.is_some_and(|at| at <= now));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When the next name is to be looked at again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.values().filter_map(|name| name.again).min()
    }

    /// What was found under a name.
    pub(crate) fn get(&self, name: &OsStr) -> Option<&Found> {
        self.0.get(name).map(|name| &name.found)
    }

    /// All names that are, or may become, services.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        self.0.keys().map(OsString::as_os_str)
    }

    /// The services, sorted by name.
    pub(crate) fn services(&self) -> Vec<Rc<Service>> {
        let services = self.0.values().filter_map(|name| match &name.found {
            Found::Service(service) => Some(Rc::clone(service)),
            Found::Waiting(_) => None,
        });
        services.collect()
    }

    /// What a name is; nothing for what svscan ignores. Warns of what is wrong with it, once.
    fn examine(
        &self,
        name: &OsStr,
        look: Look,
        now: Instant,
        messages: &mut Messages,
    ) -> Option<Name> {
        if name.as_bytes().first() == Some(&b'.') || is_template(name) {
            return None;
        }
        let found = match rustix::fs::stat(name) {
            Ok(stat) if !is_directory(&stat) => return None,
            Ok(stat) => self.service(name, &stat, look, now, messages),
            Err(Errno::NOENT) if is_absent(Path::new(name)) => return None,
            Err(errno) => Err(Problem::Failed(errno)),
        };
        let problem = found.as_ref().err().copied();
        match problem.and_then(|problem| problem.message(name, now)) {
            Some(message) => messages.warn_once(Topic::name(name), message),
            None => drop(messages.clear(&Topic::name(name))),
        }
        let again = problem.and_then(|problem| problem.again(name, now));
        let found = found.map_or_else(Found::Waiting, Found::Service);
        // An error that says nothing about the name does not end its service.
        let found = match (found, self.get(name)) {
            (
                Found::Waiting(Problem::Failed(errno) | Problem::RunFailed(errno)),
                Some(known @ Found::Service(_)),
            ) if is_passing(errno) => known.clone(),
            (found, _) => found,
        };
        Some(Name { found, again })
    }

    /// The service of a directory. One that was known stays one when its `run` goes away: its
    /// supervise reports that.
    fn service(
        &self,
        name: &OsStr,
        stat: &Stat,
        look: Look,
        now: Instant,
        messages: &mut Messages,
    ) -> Result<Rc<Service>, Problem> {
        let path = Path::new(name);
        let id = Id {
            dev: stat.st_dev,
            ino: stat.st_ino,
            instance: instance_of(path),
        };
        let known = match self.get(name) {
            Some(Found::Service(known)) if known.id == id => Some(known),
            _ => None,
        };
        match (known, look) {
            (Some(known), Look::One) => return Ok(Rc::clone(known)),
            (Some(_), Look::All) => {}
            (None, _) => {
                check_run(&path.join(RUN))?;
                self.check_settled(name, now)?;
            }
        }
        let before = known.map(|known| (known.priority, known.essential));
        let Essential {
            priority,
            essential,
        } = Essential::read(path, before, messages);
        Ok(Rc::new(Service {
            name: name.to_os_string(),
            id,
            priority,
            essential,
        }))
    }

    /// A directory that is made in place is a service once it is finished. A link leads to a finished
    /// one, unless it was there before. One that is supervised was finished long ago.
    fn check_settled(&self, name: &OsStr, now: Instant) -> Result<(), Problem> {
        let path = Path::new(name);
        let before = self.get(name);
        let is_link = rustix::fs::lstat(path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_symlink());
        if is_link && before.is_none() || is_running(path) {
            return Ok(());
        }
        let before = match before {
            Some(Found::Waiting(Problem::Settling(settling))) => Some(*settling),
            _ => None,
        };
        match settle::look(path, before, now) {
            Ok(None) => Ok(()),
            Ok(Some(settling)) => Err(Problem::Settling(settling)),
            Err(errno) => Err(Problem::Failed(errno)),
        }
    }
}

/// Whether a supervise runs the service at a path.
fn is_running(path: &Path) -> bool {
    Layout::of(path).is_ok_and(|layout| is_supervised(&layout) == Ok(true))
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
        Ok(_) => match rustix::fs::access(run, rustix::fs::Access::EXEC_OK) {
            Err(errno) if is_passing(errno) => Err(Problem::RunFailed(errno)),
            outcome => outcome.map_err(|_| Problem::NotExecutable),
        },
        Err(Errno::NOENT) if is_absent(run) => Err(Problem::NoRun),
        Err(errno) => Err(Problem::RunFailed(errno)),
    }
}

/// Whether not even a link is there.
fn is_absent(path: &Path) -> bool {
    rustix::fs::lstat(path).is_err_and(|errno| errno == Errno::NOENT)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}
