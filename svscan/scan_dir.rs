//! The scan directory itself: locked, entered, and followed when its path leads to another one.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::{Mode, OFlags, Stat};
use servicedir::process::World;
use servicedir::report::Why;
use servicedir::trust::is_passing;

use crate::lock_file::{LockFile, Unusable};
use crate::message::Message;

/// The scan directory, which is this process's working directory.
#[derive(Debug)]
pub(crate) struct ScanDir {
    given: PathBuf,
    absolute: PathBuf,
    held: Held,
}

/// How long another svscan that got QUIT or TERM may take to exit.
const HANDOVER: Duration = Duration::from_secs(1);
/// How often that is looked at.
const HANDOVER_STEP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// A directory that is open and locked, with its device and inode.
#[derive(Debug)]
struct Held {
    folder: OwnedFd,
    lock: LockFile,
    device: u64,
    inode: u64,
}

impl ScanDir {
    /// Takes the directory at `given`, and makes it the working directory.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or another svscan has it.
    pub(crate) fn enter(given: PathBuf) -> Result<Self, Message> {
        let absolute = std::path::absolute(&given)
            .map_err(|error| Message::UnableToScan(given.clone(), error.into()))?;
        let held = take_in_time(&absolute).map_err(|unusable| match unusable {
            Unusable::Taken => Message::Taken(given.clone()),
            Unusable::Failed(errno) => Message::UnableToScan(given.clone(), errno.into()),
        })?;
        Ok(Self {
            given,
            absolute,
            held,
        })
    }

    /// The path that works from everywhere.
    pub(crate) fn absolute(&self) -> &Path {
        &self.absolute
    }

    /// Follows the path when it leads to another directory now. True: it does.
    ///
    /// # Errors
    /// It leads to none, or another svscan has it.
    pub(crate) fn follow(&mut self) -> Result<bool, Unusable> {
        match rustix::fs::stat(&self.absolute) {
            Ok(stat) if self.held.is(&stat) => return Ok(false),
            Err(errno) if is_passing(errno) => return Err(errno.into()),
            Ok(_) | Err(_) => {}
        }
        let former = std::mem::replace(&mut self.held, take(&self.absolute)?);
        self.held.lock.inherit(former.lock);
        Ok(true)
    }

    /// Its lock, in which the pipes of logs are written down.
    pub(crate) fn lock(&mut self) -> &mut LockFile {
        &mut self.held.lock
    }

    /// The names in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, Unusable> {
        let entries = rustix::fs::Dir::read_from(&self.held.folder)?;
        let names = entries.map(|entry| {
            let entry = entry?;
            Ok(OsStr::from_bytes(entry.file_name().to_bytes()).to_os_string())
        });
        names.collect()
    }

    /// The warning that it cannot be used for now.
    pub(crate) fn away(&self, unusable: Unusable) -> Message {
        match unusable {
            Unusable::Taken => Message::AwayTaken(self.given.clone()),
            Unusable::Failed(errno) => Message::Away(self.given.clone(), Why::from(errno)),
        }
    }

    /// The message that it can be used again.
    pub(crate) fn back(&self) -> Message {
        Message::Back(self.given.clone())
    }
}

impl Held {
    fn is(&self, stat: &Stat) -> bool {
        (self.device, self.inode) == (stat.st_dev, stat.st_ino)
    }
}

/// Takes a directory; one that is left by another svscan right now is waited for.
fn take_in_time(path: &Path) -> Result<Held, Unusable> {
    let deadline = Instant::now() + HANDOVER;
    loop {
        match take(path) {
            Err(Unusable::Taken) if Instant::now() < deadline => {
                rustix::event::poll(&mut [], Some(&HANDOVER_STEP)).ok();
            }
            outcome => return outcome,
        }
    }
}

/// Opens, locks and enters a directory.
fn take(path: &Path) -> Result<Held, Unusable> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    let lock = LockFile::take(&folder, &World::here())?;
    rustix::process::fchdir(&folder)?;
    let stat = rustix::fs::fstat(&folder)?;
    Ok(Held {
        folder,
        lock,
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}
