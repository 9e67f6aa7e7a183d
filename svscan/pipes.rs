//! The log pipes: made once for a log, and held open for as long as something may write to them.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, getrlimit};

use crate::scan::Id;

/// Descriptors that the pipes leave for looking at directories, FIFOs and /proc.
const SPARE: u64 = 16;

/// Both ends of a log's pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The log's stdin.
    pub(crate) read: OwnedFd,
    /// The stdout, or stderr, of the services that write to the log.
    pub(crate) write: OwnedFd,
}

impl Pipe {
    /// A new, empty pipe.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Numbers are given from the lowest that is free. Without room the scan directory itself could
        // not be read, and nothing would be restarted.
        let limit = getrlimit(Resource::Nofile).current;
        let highest = read.as_raw_fd().max(write.as_raw_fd()).unsigned_abs();
        if limit.is_some_and(|limit| u64::from(highest) + SPARE >= limit) {
            return Err(Errno::MFILE);
        }
        Ok(Self { read, write })
    }

    /// Whether lines wait in it.
    pub(crate) fn has_lines(&self) -> bool {
        rustix::io::ioctl_fionread(&self.read).is_ok_and(|bytes| bytes > 0)
    }
}

/// The pipes by the log that reads them.
pub(crate) type Pipes = BTreeMap<Id, Pipe>;
