//! Writing commands to one control FIFO.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use servicedir::control;
use servicedir::layout::{CONTROL, Layout};
use servicedir::report::{Why, exit};

/// Why commands did not reach a supervise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsent {
    /// Nobody reads the FIFO.
    NotRunning,
    /// The control file is no FIFO.
    NotFifo,
    /// The FIFO takes no more bytes: its supervise hangs, or is stopped.
    Full,
    /// The supervise is of another suite, and does not know this byte.
    Unknown(u8),
    /// A system call failed.
    Failed(Errno),
}

impl Unsent {
    /// The exit code for it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::NotRunning | Self::Unknown(_) => exit::USAGE,
            Self::NotFifo | Self::Full | Self::Failed(_) => exit::SYSTEM,
        }
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => out.write_str("supervise not running"),
            Self::NotFifo => out.write_str("its control file is not a FIFO"),
            Self::Full => out.write_str("its control FIFO is full: supervise does not read it"),
            Self::Unknown(byte) => write!(
                out,
                "its supervise is another suite's, which does not know '{}'",
                char::from(*byte)
            ),
            Self::Failed(errno) => Why::from(*errno).fmt(out),
        }
    }
}

/// Opens the control FIFO of a service.
pub(crate) fn open(layout: &Layout) -> Result<OwnedFd, Unsent> {
    let error = match control::open_for_writing(&layout.state_file(CONTROL)) {
        Ok(fifo) => return Ok(fifo),
        Err(error) => Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    match error {
        Errno::NXIO => Err(Unsent::NotRunning),
        Errno::INVAL => Err(Unsent::NotFifo),
        // A directory that never had a supervise, as opposed to one that is not there.
        Errno::NOENT if layout.dir.is_dir() => Err(Unsent::NotRunning),
        errno => Err(Unsent::Failed(errno)),
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
