//! The directories of the units: held open, and found again when their names are gone.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use servicedir::layout::{ERRLOG, LOG, Layout, instance_of};

use crate::scan::{Id, Logs, Service, Stream};

/// What is kept of a unit's directory.
#[derive(Debug)]
struct Directory {
    held: Option<OwnedFd>,
    /// Its path without links, from when it was last started. For what is not held: a log's service
    /// may lose its name before the log is stopped.
    real: Option<PathBuf>,
}

/// The directories of all units.
#[derive(Debug, Default)]
pub(crate) struct Directories(BTreeMap<Id, Directory>);

impl Directories {
    /// Holds the directories of services from now on.
    pub(crate) fn hold(&mut self, services: &[Rc<Service>]) {
        for service in services {
            self.0
                .entry(service.id.clone())
                .or_insert_with(|| Directory {
                    held: hold(&service.name, &service.id),
                    real: None,
                });
        }
    }

    /// Remembers where a unit's directory is, if it is not held.
    pub(crate) fn remember(&mut self, id: &Id, layout: &Layout) {
        let directory = self.0.entry(id.clone()).or_insert(Directory {
            held: None,
            real: None,
        });
        if directory.held.is_none() {
            directory.real = fs::canonicalize(&layout.dir).ok();
        }
    }

    pub(crate) fn forget(&mut self, id: &Id) {
        self.0.remove(id);
    }

    /// The units whose directories have been removed from the file system.
    pub(crate) fn deleted(&self) -> Vec<Id> {
        let is_deleted = |held: &OwnedFd| fstat(held).is_ok_and(|stat| stat.st_nlink == 0);
        let directories = self.0.iter();
        directories
            .filter(|(_, directory)| directory.held.as_ref().is_some_and(is_deleted))
            .map(|(id, _)| id.clone())
            .collect()
    }

    /// The layout of a unit, by a path that leads to its directory now.
    pub(crate) fn layout(&self, id: &Id, name: &OsStr) -> Option<Layout> {
        let name = Path::new(name);
        let path = match leads_to(name, id) {
            true => name.to_path_buf(),
            false => self.path_without_name(id)?,
        };
        layout_at(&path, id).ok()
    }

    fn path_without_name(&self, id: &Id) -> Option<PathBuf> {
        let directory = self.0.get(id)?;
        let real = directory.real.clone().or_else(|| {
            let held = directory.held.as_ref()?;
            fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()
        })?;
        leads_to(&real, id).then_some(real)
    }
}

/// The logs of the service at a path.
///
/// # Errors
/// Whether there is one cannot be found out: the name of its directory, and the reason.
pub(crate) fn logs_at(service: &Path, id: &Id) -> Result<Logs, (PathBuf, Errno)> {
    let instance = id.instance.as_deref();
    // A link to the service itself is not a log of it.
    let other = |log: &Id| (log.dev, log.ino) != (id.dev, id.ino);
    Ok(Logs {
        out: log_id(service, Stream::Out, instance)?.filter(other),
        err: log_id(service, Stream::Err, instance)?.filter(other),
    })
}

/// The identity of a log of a service, if it has one: the link `log@1` for its instance 1, else the
/// `log` of all instances.
///
/// # Errors
/// As [`logs_at`].
pub(crate) fn log_id(
    service: &Path,
    stream: Stream,
    instance: Option<&OsStr>,
) -> Result<Option<Id>, (PathBuf, Errno)> {
    let folder = match stream {
        Stream::Out => LOG,
        Stream::Err => ERRLOG,
    };
    if let Some(instance) = instance {
        let mut name = OsString::from(folder);
        name.push("@");
        name.push(instance);
        let path = service.join(name);
        if let Some(instance) = instance_of(&path)
            && let Some(id) = directory_id(&path, Some(instance))?
        {
            return Ok(Some(id));
        }
    }
    directory_id(&service.join(folder), None)
}

/// The identity of the directory at a path; nothing where there is none.
fn directory_id(path: &Path, instance: Option<OsString>) -> Result<Option<Id>, (PathBuf, Errno)> {
    match rustix::fs::stat(path) {
        Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_dir() => Ok(None),
        Ok(stat) => Ok(Some(Id {
            dev: stat.st_dev,
            ino: stat.st_ino,
            instance,
        })),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err((path.to_path_buf(), errno)),
    }
}

/// Whether the directory at a path is the one of `id`.
fn leads_to(path: &Path, id: &Id) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (id.dev, id.ino))
}

/// A descriptor of a service's directory: its inode is not used again while it is held. None where
/// descriptors are short: the logs' pipes need them more.
fn hold(name: &OsStr, id: &Id) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(name, flags, Mode::empty()).ok()?;
    let limit = getrlimit(Resource::Nofile).current;
    let room = limit.is_none_or(|limit| u64::from(held.as_raw_fd().unsigned_abs()) < limit / 4);
    let stat = fstat(&held).ok()?;
    (room && (stat.st_dev, stat.st_ino) == (id.dev, id.ino)).then_some(held)
}

/// The layout at a path that need not be the link that makes it an instance.
pub(crate) fn layout_at(path: &Path, id: &Id) -> io::Result<Layout> {
    let mut layout = Layout::of(path)?;
    if layout.instance.is_none()
        && let Some(instance) = &id.instance
    {
        let mut state = std::mem::take(&mut layout.state).into_os_string();
        state.push("@");
        state.push(instance);
        layout.state = PathBuf::from(state);
        layout.instance = Some(instance.clone());
    }
    Ok(layout)
}
