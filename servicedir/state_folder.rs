//! The state directory of a service, opened by a program that did not make it.
//!
//! No file in it is reached through a link. Where the service directory belongs neither to root nor
//! to this process's user, its owner may have put anything in its place, so a file counts only if
//! that owner could not have borrowed it from another service: it belongs to the owner, or it has
//! this one name, in a directory that the owner's own link does not lead to.
//!
//! The entry `supervise` itself may be a link: administrators keep states in /run. Such a link is
//! trusted when root or this process's user made it; another user's link leads only to files of
//! the service directory's owner.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, Stat, fstat};
use rustix::io::{Errno, retry_on_intr};

use crate::layout::{Layout, OK};
use crate::trust::{self, Refused};

/// The longest file that is read in a state directory, in bytes: thirty times the longest status.
pub const STATE_FILE_MAX: usize = 64 * 1024;

/// An open state directory, and whose files in it count.
#[derive(Debug)]
pub struct StateFolder {
    folder: OwnedFd,
    owners: Owners,
}

/// A file of a state directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateFile {
    /// Its content.
    pub bytes: Vec<u8>,
    /// The user who owns it.
    pub owner: u32,
}

/// Who may have made the files of a state directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owners {
    /// The effective user of this process.
    caller: u32,
    /// The owner of the service directory.
    service: u32,
    /// The owner of the state directory.
    folder: u32,
    /// The entry of the state directory is a link that neither root nor the caller made.
    foreign_link: bool,
}

impl StateFolder {
    /// Opens the state directory of a service.
    ///
    /// # Errors
    /// See [`Refused`]; it is absent where no supervise was ever started.
    pub fn open(layout: &Layout) -> Result<Self, Refused> {
        let caller = rustix::process::geteuid().as_raw();
        let service = rustix::fs::stat(&layout.dir)?.st_uid;
        let mut owners = Owners {
            caller,
            service,
            folder: service,
            foreign_link: false,
        };
        let folder = if owners.is_trusted(service) {
            open_folder(CWD, &layout.state, OFlags::empty())?
        } else {
            owners.open_foreign(&layout.state)?
        };
        owners.folder = fstat(&folder)?.st_uid;
        Ok(Self { folder, owners })
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn read(&self, name: &str, limit: usize) -> Result<StateFile, Refused> {
        let (file, stat) = self.open_file(name)?;
        let bytes = trust::read_open(&file, limit)?;
        Ok(StateFile {
            bytes,
            owner: stat.st_uid,
        })
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn open_file(&self, name: &str) -> Result<(OwnedFd, Stat), Refused> {
        let (file, stat) = trust::open_file(&self.folder, name, OFlags::NOFOLLOW)?;
        self.owners.check_file(Entry::of(&stat))?;
        Ok((file, stat))
    }

    /// Opens a FIFO for writing, without waiting for a reader.
    ///
    /// # Errors
    /// `ENXIO` in [`Refused::Failed`]: no supervise reads it. Otherwise as [`Refused`] says.
    pub fn open_fifo(&self, name: &str) -> Result<OwnedFd, Refused> {
        let (fifo, stat) = trust::open_fifo(&self.folder, name, OFlags::WRONLY)?;
        self.owners.check_fifo(Entry::of(&stat))?;
        Ok(fifo)
    }

    /// Whether a supervise holds the FIFO `ok` open: opening it for writing then succeeds. A file
    /// of another kind is held by none.
    ///
    /// # Errors
    /// See [`Refused`]: it cannot be told.
    pub fn is_supervised(&self) -> Result<bool, Refused> {
        match self.open_fifo(OK) {
            Ok(_) => Ok(true),
            Err(Refused::Failed(Errno::NXIO | Errno::NOENT) | Refused::NotFifo) => Ok(false),
            Err(refused) => Err(refused),
        }
    }
}

impl AsFd for StateFolder {
    /// Opened with `O_PATH`: names can be looked up from it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Whether a supervise is there for the service; false where it has no state directory.
///
/// # Errors
/// See [`Refused`]: it cannot be told.
pub fn is_supervised(layout: &Layout) -> Result<bool, Refused> {
    match StateFolder::open(layout) {
        Ok(folder) => folder.is_supervised(),
        Err(Refused::Failed(Errno::NOENT)) => Ok(false),
        Err(refused) => Err(refused),
    }
}

impl Owners {
    fn is_trusted(self, owner: u32) -> bool {
        owner == 0 || owner == self.caller
    }

    /// Opens the state directory of a service directory that belongs to another user, and finds out
    /// whether a link of that user leads to it.
    fn open_foreign(&mut self, state: &Path) -> Result<OwnedFd, Refused> {
        match open_folder(CWD, state, OFlags::NOFOLLOW) {
            Err(Refused::Failed(Errno::NOTDIR | Errno::LOOP)) => {}
            opened => return opened,
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = retry_on_intr(|| rustix::fs::open(state, flags, Mode::empty()))?;
        self.foreign_link = !self.is_trusted(fstat(&link)?.st_uid);
        // The very link whose owner was asked: the name may mean another one by now.
        let target =
            rustix::fs::readlinkat(&link, "", Vec::new()).map_err(|errno| match errno {
                // It is not a link.
                Errno::INVAL | Errno::NOENT => Refused::Failed(Errno::NOTDIR),
                other => Refused::Failed(other),
            })?;
        let beside = state.parent().unwrap_or(Path::new("."));
        let beside = open_folder(CWD, beside, OFlags::empty())?;
        let target: &std::ffi::CStr = &target;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| {
            rustix::fs::openat(&beside, target, flags, Mode::empty())
        })?)
    }

    /// A FIFO in root's own directory, or in the caller's, may have been given away with chown(1),
    /// so that its new owner can control the service.
    fn check_fifo(self, fifo: Entry) -> Result<(), Refused> {
        if self.is_trusted(self.service) || self.is_at_home(fifo) {
            Ok(())
        } else {
            Err(Refused::Owner(fifo.owner))
        }
    }

    fn check_file(self, file: Entry) -> Result<(), Refused> {
        let known = [0, self.caller, self.service, self.folder].contains(&file.owner);
        if known && (self.is_trusted(self.service) || self.is_at_home(file)) {
            Ok(())
        } else {
            Err(Refused::Owner(file.owner))
        }
    }

    /// Whether the other user who owns the service directory cannot have borrowed the file: it is
    /// that user's, or it has no second name and lies where the user's link did not lead.
    fn is_at_home(self, entry: Entry) -> bool {
        entry.owner == self.service || (!self.foreign_link && entry.only_name)
    }
}

/// What fstat(2) tells of a file of the state directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    owner: u32,
    /// It has no other hard link.
    only_name: bool,
}

impl Entry {
    fn of(stat: &Stat) -> Self {
        Self {
            owner: stat.st_uid,
            only_name: stat.st_nlink <= 1,
        }
    }
}

fn open_folder(at: impl AsFd, path: &Path, more: OFlags) -> Result<OwnedFd, Refused> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    let opened = retry_on_intr(|| rustix::fs::openat(&at, path, flags, Mode::empty()));
    Ok(opened?)
}

#[cfg(test)]
mod tests;
