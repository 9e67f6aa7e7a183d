//! Writing commands to one control FIFO.

use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use servicedir::control::Control;
use servicedir::layout::{CONTROL, Layout};
use servicedir::reading::read_status;
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

/// Opens the control FIFO of a service, for commands that its supervise knows.
pub(crate) fn open(layout: &Layout, commands: &[Control]) -> Result<OwnedFd, Unsent> {
    let state = match StateFolder::open(layout) {
        // A directory that never had a supervise, as opposed to one that is not there.
        Err(Refused::Failed(Errno::NOENT)) if layout.dir.is_dir() => Err(Unsent::NotRunning),
        opened => opened.map_err(Unsent::from),
    }?;
    let fifo = match state.open_fifo(CONTROL) {
        Err(Refused::Failed(Errno::NOENT)) => Err(Unsent::NotRunning),
        opened => opened.map_err(Unsent::from),
    }?;
    refuse_unknown(&state, commands)?;
    Ok(fifo)
}

/// A supervise of another suite ignores the commands that only this suite has, and no answer would
/// ever come.
fn refuse_unknown(state: &StateFolder, commands: &[Control]) -> Result<(), Unsent> {
    let ours = commands.iter().find(|command| is_ours(**command));
    let Some(byte) = ours.and_then(|command| command.byte()) else {
        return Ok(());
    };
    match read_status(state) {
        Ok(reading) if reading.damage.is_none() && reading.status.record.is_none() => {
            Err(Unsent::Unknown(byte))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether no older suite's supervise knows the command.
fn is_ours(command: Control) -> bool {
    match command {
        Control::Restart | Control::Detach => true,
        Control::Up | Control::Down | Control::Once | Control::Exit | Control::Signal(_) => false,
    }
}

/// Writes all the commands in one write, at the latest by `deadline`.
pub(crate) fn write(fifo: &OwnedFd, commands: &[Control], deadline: Instant) -> Result<(), Unsent> {
    let bytes: Vec<u8> = commands
        .iter()
        .filter_map(|command| command.byte())
        .collect();
    if bytes.is_empty() {
        return Ok(());
    }
    loop {
        // So few bytes are written whole or not at all (pipe(7), PIPE_BUF).
        match rustix::io::write(fifo, &bytes) {
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
