//! The log pipes: made once for a log, and held open for as long as something may write to them.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getrlimit};

use crate::scan::Id;

/// Descriptors that the pipes leave for looking at directories, FIFOs and /proc.
const SPARE: u64 = 16;

/// A log's pipe.
///
/// It is one descriptor that is open for reading and writing: where descriptors are few, each one
/// more is a service more.
#[derive(Debug)]
pub(crate) struct Pipe {
    both: OwnedFd,
    /// The end for writing, where /proc is not mounted: then `both` is open for reading only.
    write: Option<OwnedFd>,
}

impl Pipe {
    /// A new, empty pipe.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        Self::copy(&read).or_else(|_| {
            Self {
                both: read,
                write: Some(write),
            }
            .leave_room()
        })
    }

    /// The pipe that a descriptor leads to.
    ///
    /// # Errors
    /// No descriptors are left, or /proc is not mounted.
    pub(crate) fn copy(descriptor: impl AsFd) -> rustix::io::Result<Self> {
        let both = open_again(descriptor, OFlags::RDWR)?;
        Self { both, write: None }.leave_room()
    }

    /// Numbers are given from the lowest that is free. Without room the scan directory itself could
    /// not be read, and nothing would be restarted.
    fn leave_room(self) -> rustix::io::Result<Self> {
        let limit = getrlimit(Resource::Nofile).current;
        let write = self.write.iter().map(AsRawFd::as_raw_fd);
        let highest = write.fold(self.both.as_raw_fd(), i32::max).unsigned_abs();
        if limit.is_some_and(|limit| u64::from(highest) + SPARE >= limit) {
            return Err(Errno::MFILE);
        }
        Ok(self)
    }

    /// The log's stdin.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn reader(&self) -> rustix::io::Result<OwnedFd> {
        match &self.write {
            None => open_again(&self.both, OFlags::RDONLY),
            Some(_) => fcntl_dupfd_cloexec(&self.both, 0),
        }
    }

    /// The stdout, or stderr, of the services that write to the log.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn writer(&self) -> rustix::io::Result<OwnedFd> {
        match &self.write {
            None => open_again(&self.both, OFlags::WRONLY),
            Some(write) => fcntl_dupfd_cloexec(write, 0),
        }
    }

    /// Its inode: what it is known by.
    ///
    /// # Errors
    /// As fstat(2).
    pub(crate) fn inode(&self) -> rustix::io::Result<u64> {
        rustix::fs::fstat(&self.both).map(|stat| stat.st_ino)
    }

    /// Whether lines wait in it.
    pub(crate) fn has_lines(&self) -> bool {
        rustix::io::ioctl_fionread(&self.both).is_ok_and(|bytes| bytes > 0)
    }
}

/// Opens the pipe of a descriptor once more: an open file of its own, with its own flags. It does not
/// wait for another end, because the descriptor is one.
fn open_again(descriptor: impl AsFd, direction: OFlags) -> rustix::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd());
    let flags = direction | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let end = rustix::fs::open(path, flags, Mode::empty())?;
    rustix::fs::fcntl_setfl(&end, direction)?;
    Ok(end)
}

/// The pipes by the log that reads them.
pub(crate) type Pipes = BTreeMap<Id, Pipe>;
