//! The log pipes: made once for a log, and held open for as long as something may write to them.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, pipe_with};

use crate::unit::Id;

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
        Ok(Self { read, write })
    }

    /// Whether lines wait in it.
    pub(crate) fn has_lines(&self) -> bool {
        rustix::io::ioctl_fionread(&self.read).is_ok_and(|bytes| bytes > 0)
    }
}

/// The pipes by the log that reads them.
pub(crate) type Pipes = BTreeMap<Id, Pipe>;
