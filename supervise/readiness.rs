//! How a service tells that it is ready: s6's descriptor, or sd_notify(3)'s socket.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use servicedir::options::{Options, Ready};
use servicedir::process::Identity;

use crate::event::Notice;

/// The source that the current run has.
#[derive(Debug, Default)]
pub(crate) enum Readiness {
    /// None, or it has said all that it can.
    #[default]
    None,
    /// `ready: fd N`: the read end of its pipe.
    Descriptor(OwnedFd),
}

impl Readiness {
    /// The source of a run that another supervise started: its end of the pipe leads to ours.
    pub(crate) fn adopted(service: Identity, options: &Options) -> Self {
        let Ready::Fd(number) = options.ready else {
            return Self::None;
        };
        let path = format!("/proc/{}/fd/{number}", service.pid.as_raw_nonzero());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_or(Self::None, Self::Descriptor)
    }

    /// What to poll for reading.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::None => None,
            Self::Descriptor(pipe) => Some(pipe.as_fd()),
        }
    }

    /// Reads what the service has told.
    pub(crate) fn read(&mut self, _service: Identity) -> Vec<Notice> {
        match self {
            Self::None => Vec::new(),
            Self::Descriptor(pipe) => {
                let mut bytes = [0; 512];
                match rustix::io::read(&*pipe, &mut bytes) {
                    Ok(count) if bytes.iter().take(count).any(|byte| *byte == b'\n') => {
                        // Ready at the first newline; nothing after it counts.
                        *self = Self::None;
                        vec![Notice::Ready]
                    }
                    // The end of the pipe before a newline means never.
                    Ok(0) => {
                        *self = Self::None;
                        Vec::new()
                    }
                    Ok(_) | Err(_) => Vec::new(),
                }
            }
        }
    }
}
