//! The pipe of the original fghack: the command and all that comes from it hold its write end, and
//! nobody else does. Used where the system refuses to make us a child subreaper.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, FdFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use servicedir::kin::Kin;
use servicedir::process::Identity;

/// How many copies of the write end the command gets, as in the original: a daemon that closes a few
/// descriptors does not close them all.
const COPIES: usize = 30;

/// The read end, and the write ends until the command has been started.
#[derive(Debug)]
pub(crate) struct Pipe {
    read: OwnedFd,
    write: Vec<OwnedFd>,
}

impl Pipe {
    /// A pipe whose write ends the next program inherits.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> rustix::io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let mut copies = Vec::with_capacity(COPIES);
        for _ in 0..COPIES {
            let copy = rustix::io::dup(&write)?;
            rustix::io::fcntl_setfd(&copy, FdFlags::empty())?;
            copies.push(copy);
        }
        Ok(Self {
            read,
            write: copies,
        })
    }

    /// Closes our write ends: the command has its own.
    pub(crate) fn handed_over(&mut self) {
        self.write.clear();
    }

    /// Discards what was written, and says whether nobody holds a write end any more.
    pub(crate) fn is_closed(&self) -> bool {
        let mut discarded = [0; 512];
        loop {
            match rustix::io::read(&self.read, &mut discarded) {
                Ok(0) => return true,
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// The processes that hold a write end, as far as /proc lets us see.
    pub(crate) fn holders(&self) -> Vec<Kin> {
        let own = rustix::process::getpid();
        let Ok(stat) = rustix::fs::fstat(&self.read) else {
            return Vec::new();
        };
        let name = format!("pipe:[{}]", stat.st_ino);
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        pids.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter(|pid| *pid != own && holds(*pid, &name))
            .map(|pid| Kin {
                pid,
                start: Identity::of(pid).start,
                parent: own,
            })
            .collect()
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

fn holds(pid: Pid, name: &str) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    descriptors
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == name))
}
