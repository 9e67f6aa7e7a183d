//! Writing commands to one control FIFO.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use servicedir::layout::{CONTROL, Layout};
use servicedir::report::{Why, exit};
use servicedir::state_folder::StateFolder;
use servicedir::trust::Refused;

/// Why commands did not reach a supervise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsent {
    /// Nobody reads the FIFO.
    NotRunning,
    /// The FIFO takes no more bytes: its supervise hangs, or is stopped.
    Full,
    /// The supervise is of another suite, and does not know this byte.
    Unknown(u8),
    /// A system call failed.
    Failed(Errno),
    /// The control file is not one to write commands to.
    Refused(Refused),
}

impl From<Refused> for Unsent {
    fn from(refused: Refused) -> Self {
        match refused.errno() {
            Some(Errno::NXIO) => Self::NotRunning,
            Some(errno) => Self::Failed(errno),
            None => Self::Refused(refused),
        }
    }
}

impl Unsent {
    /// The exit code for it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::NotRunning | Self::Unknown(_) => exit::USAGE,
            Self::Full | Self::Failed(_) | Self::Refused(_) => exit::SYSTEM,
        }
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => out.write_str("supervise not running"),
            Self::Full => out.write_str("its control FIFO is full: supervise does not read it"),
            Self::Unknown(byte) => write!(
                out,
                "its supervise is another suite's, which does not know '{}'",
                char::from(*byte)
            ),
            Self::Failed(errno) => Why::from(*errno).fmt(out),
            Self::Refused(refused) => write!(out, "its control file is {refused}"),
        }
    }
}

/// Opens the control FIFO of a service.
pub(crate) fn open(layout: &Layout) -> Result<OwnedFd, Unsent> {
    match StateFolder::open(layout).and_then(|state| state.open_fifo(CONTROL)) {
        Ok(fifo) => Ok(fifo),
        // A directory that never had a supervise, as opposed to one that is not there.
        Err(Refused::Failed(Errno::NOENT)) if layout.dir.is_dir() => Err(Unsent::NotRunning),
        Err(refused) => Err(refused.into()),
    }
}

/// Writes all the bytes in one write, at the latest by `deadline`.
pub(crate) fn write(fifo: &OwnedFd, letters: &[u8], deadline: Instant) -> Result<(), Unsent> {
    if letters.is_empty() {
        return Ok(());
    }
    loop {
        // So few bytes are written whole or not at all (pipe(7), PIPE_BUF).
        match rustix::io::write(fifo, letters) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => return Err(Unsent::NotRunning),
            Err(Errno::AGAIN) => wait_for_room(fifo, deadline)?,
            Err(errno) => return Err(Unsent::Failed(errno)),
        }
    }
}

fn wait_for_room(fifo: &OwnedFd, deadline: Instant) -> Result<(), Unsent> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).map_err(|_| Unsent::Full)?;
    match poll(&mut [PollFd::new(fifo, PollFlags::OUT)], Some(&timeout)) {
        Ok(0) => Err(Unsent::Full),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(Unsent::Failed(errno)),
    }
}
