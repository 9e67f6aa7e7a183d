//! The lock of a state directory: held by flock(2), as daemontools and runit hold it, while a
//! supervise lives. The file holds its pid as text.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, flock, fstat};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::trust;

/// The longest lock file that is read, in bytes: more than any pid needs.
const HOLDER_MAX: usize = 64;

/// A lock that this process holds until it is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// Why a lock was not taken.
#[derive(Debug)]
pub enum NotLocked {
    /// Another process holds it: the one of that pid, if the file names one.
    Held(Option<Pid>),
    /// The file could not be opened, locked or written.
    Failed(io::Error),
}

impl Lock {
    /// Takes the lock of the file at `path`, which is made (mode 0600) if it is not there, and
    /// writes this process's pid to it. Does not wait.
    ///
    /// # Errors
    /// See [`NotLocked`].
    pub fn take(path: &Path) -> Result<Self, NotLocked> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::CLOEXEC
            | OFlags::NOCTTY
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| NotLocked::Failed(errno.into()))?;
        require_regular(&file).map_err(|errno| NotLocked::Failed(errno.into()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(NotLocked::Held(holder(path))),
            Err(errno) => return Err(NotLocked::Failed(errno.into())),
        }
        let mut file = File::from(file);
        // A lock without its holder's name is still a lock: a full disk does not stop a service.
        drop(
            file.set_len(0)
                .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes())),
        );
        Ok(Self(file))
    }

    /// The open file, for tests of what a child may inherit.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.0
    }
}

/// A FIFO or a device can be locked too, but no other program would look there.
fn require_regular(file: impl std::os::fd::AsFd) -> Result<(), Errno> {
    if FileType::from_raw_mode(fstat(file)?.st_mode).is_file() {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

/// The pid that stands in the lock file. It is its holder's only while the lock is held.
#[must_use]
pub fn holder(path: &Path) -> Option<Pid> {
    let (file, _) = trust::open_file(CWD, path, OFlags::NOFOLLOW).ok()?;
    let bytes = trust::read_open(&file, HOLDER_MAX).ok()?;
    std::str::from_utf8(&bytes)
        .ok()?
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_first_ones_holder() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(NotLocked::Held(Some(pid))) => assert_eq!(pid, rustix::process::getpid()),
            other => panic!("{other:?}"),
        }
        drop(lock);
        Lock::take(&path).unwrap();
    }
}
