//! The readiness source of one run: a descriptor, a socket, or none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use servicedir::options::{Options, Ready};
use servicedir::process::Identity;

use super::socket::{NotifySocket, Received};
use crate::child::closer::Closers;
use crate::event::Notice;
use crate::files::state_dir::StateDir;

/// The source that the current run has.
#[derive(Debug, Default)]
pub(crate) enum Readiness {
    /// None, or it has said all that it can.
    #[default]
    None,
    /// `ready: fd N`: the read end of its pipe.
    Descriptor(OwnedFd),
    /// `ready: notify`.
    Socket(NotifySocket),
}

impl Readiness {
    /// The source of a run that another supervise started: its end of the pipe leads to ours, and its
    /// messages go to where the socket was bound. `awaited`: it has not said that it is ready.
    ///
    /// # Errors
    /// The socket cannot be bound again.
    pub(crate) fn adopted(
        service: Identity,
        options: &Options,
        state: &StateDir,
        awaited: bool,
    ) -> io::Result<Self> {
        match options.ready {
            Ready::Startsecs | Ready::Check => Ok(Self::None),
            Ready::Notify => NotifySocket::bind_again(state).map(Self::Socket),
            // Once it has said so, the number may be anything of the service's own.
            Ready::Fd(_) if !awaited => Ok(Self::None),
            Ready::Fd(number) => {
                let path = format!("/proc/{}/fd/{number}", service.pid.as_raw_nonzero());
                if !is_for_writing(&path) {
                    return Ok(Self::None);
                }
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let pipe = rustix::fs::open(path, flags, Mode::empty());
                Ok(pipe.map_or(Self::None, Self::Descriptor))
            }
        }
    }

    /// The run is over.
    pub(crate) fn close(&mut self, closers: &mut Closers) {
        if let Self::Socket(socket) = std::mem::take(self) {
            socket.close(closers);
        }
    }

    /// What to poll for reading.
    pub(crate) fn descriptor(&self, closers: &Closers) -> Option<BorrowedFd<'_>> {
        match self {
            Self::None => None,
            Self::Socket(_) if !closers.has_room() => None,
            Self::Descriptor(pipe) => Some(pipe.as_fd()),
            Self::Socket(socket) => Some(socket.as_fd()),
        }
    }

    /// Reads the next message of the service, whose main process is given; `None` if there is none.
    pub(crate) fn read(&mut self, main: Identity, closers: &mut Closers) -> Option<Received> {
        match self {
            Self::None => None,
            // Read again when a closer has ended.
            Self::Socket(_) if !closers.has_room() => None,
            Self::Socket(socket) => socket.read(main, closers),
            Self::Descriptor(pipe) => {
                let mut bytes = [0; 512];
                let count = rustix::io::read(&*pipe, &mut bytes).ok()?;
                let newline = bytes.iter().take(count).any(|byte| *byte == b'\n');
                // Ready at the first newline, after which nothing counts; the end of the pipe before
                // one means never.
                if newline || count == 0 {
                    *self = Self::None;
                }
                Some(Received {
                    notices: if newline {
                        vec![Notice::Ready]
                    } else {
                        Vec::new()
                    },
                    ..Received::default()
                })
            }
        }
    }
}

/// Whether the descriptor is one such as the service was given: a pipe, for writing alone, which the
/// modes of the link tell (proc(5)). To read from another would take its bytes from the service.
fn is_for_writing(path: &str) -> bool {
    rustix::fs::lstat(path).is_ok_and(|link| link.st_mode & 0o600 == 0o200)
        && rustix::fs::stat(path)
            .is_ok_and(|file| FileType::from_raw_mode(file.st_mode) == FileType::Fifo)
}
