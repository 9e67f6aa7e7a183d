//! The scan directory: held by a lock, and looked at name by name.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat, flock};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use servicedir::layout::{RUN, instance_of, is_template};
use servicedir::report::{Failure, Reporter, Why, exit};

use crate::essential::{self, Wanted};
use crate::scan::Seen;
use crate::unit::Id;

/// What stands in the scan directory under a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A service.
    Service(Rc<Seen>),
    /// What may become one.
    Waiting(Problem),
}

/// Why a name is no service yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    /// The directory has no `run`.
    NoRun,
    /// `run` is not executable.
    NotExecutable,
    /// `run` is something else than a file.
    NoFile,
    /// The name, or its `run`, cannot be looked at.
    Failed(Errno),
}

impl Problem {
    /// The line that an operator gets; a directory that is only not ready yet is nothing to tell of.
    fn say(self, name: &OsStr, report: Reporter) {
        let name = name.display();
        match self {
            Self::NoRun => {}
            Self::NotExecutable => report.warning(format_args!(
                "{name}/{RUN} is not executable: not started until it is"
            )),
            Self::NoFile => report.warning(format_args!(
                "{name}/{RUN} is no file: expected an executable program or script"
            )),
            Self::Failed(errno) => {
                report.warning(format_args!("unable to open {name}: {}", Why::from(errno)));
            }
        }
    }
}

/// The scan directory, which is this process's working directory.
#[derive(Debug)]
pub(crate) struct ScanDir {
    given: PathBuf,
    absolute: PathBuf,
    held: OwnedFd,
    place: Place,
    found: BTreeMap<OsString, Found>,
}

/// How long another svscan that was told to leave may take to do so.
const HANDOVER: Duration = Duration::from_secs(1);
/// How often that is looked at.
const HANDOVER_STEP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Device and inode.
type Place = (u64, u64);

/// Why the scan directory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// Another svscan has it.
    Taken,
    /// A system call failed.
    Failed(Errno),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => out.write_str("another svscan runs on it"),
            Self::Failed(errno) => Why::from(*errno).fmt(out),
        }
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl ScanDir {
    /// Takes the directory at `given`, and makes it the working directory.
    ///
    /// # Errors
    /// It is not there, is no directory, or another svscan has it.
    pub(crate) fn enter(given: PathBuf) -> Result<Self, Failure> {
        let refused = |why: Refused| {
            Failure::new(
                exit::SYSTEM,
                format_args!("unable to scan {}: {why}", given.display()),
            )
        };
        let absolute = std::path::absolute(&given).map_err(|error| {
            Failure::system(format!("unable to scan {}", given.display()), error)
        })?;
        let (held, place) = take_in_time(&absolute).map_err(refused)?;
        Ok(Self {
            given,
            absolute,
            held,
            place,
            found: BTreeMap::new(),
        })
    }

    /// The path as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.given
    }

    /// The path that works from everywhere.
    pub(crate) fn absolute(&self) -> &Path {
        &self.absolute
    }

    /// Looks whether the path still leads to the directory that is held; if it leads to another one,
    /// that is taken in its place. True: another one was.
    ///
    /// # Errors
    /// There is none, or another svscan has it.
    pub(crate) fn follow(&mut self) -> Result<bool, Refused> {
        let now = rustix::fs::stat(&self.absolute).map(|stat| place(&stat));
        if now == Ok(self.place) {
            return Ok(false);
        }
        (self.held, self.place) = take(&self.absolute)?;
        Ok(true)
    }

    /// Looks at every name. Calls `each` with every name that stands there and what it is.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn look_at_all(&mut self, report: Reporter) -> rustix::io::Result<()> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.held)? {
            names.push(OsStr::from_bytes(entry?.file_name().to_bytes()).to_os_string());
        }
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(what) = self.examine(&name, true, report) {
                found.insert(name, what);
            }
        }
        self.found = found;
        Ok(())
    }

    /// Looks at one name again.
    pub(crate) fn look_at(&mut self, name: &OsStr, report: Reporter) {
        match self.examine(name, false, report) {
            Some(what) => drop(self.found.insert(name.to_os_string(), what)),
            None => drop(self.found.remove(name)),
        }
    }

    /// Everything that stands there and is, or may become, a service.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&OsStr, &Found)> {
        self.found
            .iter()
            .map(|(name, found)| (name.as_os_str(), found))
    }

    /// What was found under a name.
    pub(crate) fn what(&self, name: &OsStr) -> Option<&Found> {
        self.found.get(name)
    }

    /// The services, sorted by name.
    pub(crate) fn services(&self) -> Vec<Rc<Seen>> {
        let services = self.found.values().filter_map(|found| match found {
            Found::Service(seen) => Some(Rc::clone(seen)),
            Found::Waiting(_) => None,
        });
        services.collect()
    }

    /// What a name is; nothing for what svscan ignores. Tells what is wrong with it, once.
    fn examine(&self, name: &OsStr, afresh: bool, report: Reporter) -> Option<Found> {
        if name.as_bytes().first() == Some(&b'.') || is_template(name) {
            return None;
        }
        let known = self.found.get(name);
        let found = match rustix::fs::stat(name) {
            Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_dir() => return None,
            Ok(stat) => service(name, &stat, known, afresh),
            Err(Errno::NOENT) if rustix::fs::lstat(name).is_err() => return None,
            Err(errno) => Err(Problem::Failed(errno)),
        };
        match found {
            Ok(seen) => Some(Found::Service(seen)),
            Err(problem) => {
                let found = Found::Waiting(problem);
                if known != Some(&found) {
                    problem.say(name, report);
                }
                Some(found)
            }
        }
    }
}

/// The service of a directory. One that was known stays one when its `run` goes away: its supervise
/// is there to tell.
fn service(
    name: &OsStr,
    stat: &Stat,
    known: Option<&Found>,
    afresh: bool,
) -> Result<Rc<Seen>, Problem> {
    let (dev, ino) = place(stat);
    let id = Id {
        dev,
        ino,
        instance: instance_of(Path::new(name)),
    };
    match known {
        Some(Found::Service(seen)) if seen.id == id && !afresh => return Ok(Rc::clone(seen)),
        Some(Found::Service(seen)) if seen.id == id => {}
        Some(_) | None => check_run(&Path::new(name).join(RUN))?,
    }
    let Wanted {
        priority,
        essential,
    } = essential::read(Path::new(name));
    let name = name.to_os_string();
    Ok(Rc::new(Seen {
        name,
        id,
        priority,
        essential,
    }))
}

fn check_run(run: &Path) -> Result<(), Problem> {
    match rustix::fs::stat(run) {
        Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_file() => Err(Problem::NoFile),
        Ok(_) => {
            rustix::fs::access(run, rustix::fs::Access::EXEC_OK).map_err(|_| Problem::NotExecutable)
        }
        Err(Errno::NOENT) => Err(Problem::NoRun),
        Err(errno) => Err(Problem::Failed(errno)),
    }
}

/// Takes a directory; one that is left by another svscan right now is waited for.
fn take_in_time(path: &Path) -> Result<(OwnedFd, Place), Refused> {
    let deadline = Instant::now() + HANDOVER;
    loop {
        match take(path) {
            Err(Refused::Taken) if Instant::now() < deadline => {
                rustix::event::poll(&mut [], Some(&HANDOVER_STEP)).ok();
            }
            outcome => return outcome,
        }
    }
}

/// Opens, locks and enters a directory. The lock is one of flock(2) on the directory itself, so it
/// ends with this process and leaves no file.
fn take(path: &Path) -> Result<(OwnedFd, Place), Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(path, flags, Mode::empty())?;
    // Any other failure is that of a file system without locks, and no reason to run no services.
    if flock(&held, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Err(Refused::Taken);
    }
    rustix::process::fchdir(&held)?;
    let place = place(&rustix::fs::fstat(&held)?);
    Ok((held, place))
}

fn place(stat: &Stat) -> Place {
    (stat.st_dev, stat.st_ino)
}

/// The identity of the log of a service, if it has one: a link `log@1` for its instance 1, else the
/// `log` of all instances.
pub(crate) fn log_id(service: &Path, folder: &str, instance: Option<&OsStr>) -> Option<Id> {
    let own = instance.and_then(|instance| {
        let mut name = OsString::from(folder);
        name.push("@");
        name.push(instance);
        let path = service.join(name);
        let instance = instance_of(&path)?;
        directory_id(&path, Some(instance))
    });
    own.or_else(|| directory_id(&service.join(folder), None))
}

fn directory_id(path: &Path, instance: Option<OsString>) -> Option<Id> {
    let stat = rustix::fs::stat(path).ok()?;
    let (dev, ino) = place(&stat);
    FileType::from_raw_mode(stat.st_mode)
        .is_dir()
        .then_some(Id { dev, ino, instance })
}

/// Whether the directory at `path` is that of `id`.
pub(crate) fn leads_to(path: &Path, id: &Id) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| place(&stat) == (id.dev, id.ino))
}

/// A descriptor that keeps a service's directory the one that it is: its inode is not used again
/// while it is held. None where descriptors are short: the logs' pipes need them more.
pub(crate) fn hold(name: &OsStr, id: &Id) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let held = rustix::fs::open(name, flags, Mode::empty()).ok()?;
    let limit = getrlimit(Resource::Nofile).current;
    let room = limit.is_none_or(|limit| u64::from(held.as_raw_fd().unsigned_abs()) < limit / 2);
    let stat = rustix::fs::fstat(&held).ok()?;
    (room && place(&stat) == (id.dev, id.ino)).then_some(held)
}

/// Whether a held directory has been removed from the file system.
pub(crate) fn is_deleted(held: &OwnedFd) -> bool {
    rustix::fs::fstat(held).is_ok_and(|stat| stat.st_nlink == 0)
}

/// Where a held directory is now.
pub(crate) fn path_of(held: &OwnedFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", held.as_raw_fd())).ok()
}

/// Where a symlink leads: the folder that holds its target, and the target's name there. The target
/// itself need not exist.
pub(crate) fn target_of(name: &OsStr) -> Option<(PathBuf, OsString)> {
    let link = fs::read_link(name).ok()?;
    let target = fs::canonicalize(name).or_else(|_| {
        let (parent, last) = (link.parent(), link.file_name());
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        fs::canonicalize(parent.unwrap_or(Path::new(".")))
            .map(|parent| parent.join(last.unwrap_or_default()))
    });
    let target = target.ok()?;
    Some((
        target.parent()?.to_path_buf(),
        target.file_name()?.to_os_string(),
    ))
}
