//! The lock of a state directory: held by flock(2), as daemontools and runit hold it, while a
//! supervise lives. The file holds its pid as text.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::process::Pid;

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
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| NotLocked::Failed(errno.into()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(NotLocked::Held(holder(path))),
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

/// The pid that stands in the lock file. It is its holder's only while the lock is held.
#[must_use]
pub fn holder(path: &Path) -> Option<Pid> {
    fs::read_to_string(path)
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
