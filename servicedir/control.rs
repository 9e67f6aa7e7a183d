//! The control FIFO: one byte a command.
//!
//! The bytes are daemontools' (`u d o p c h a i t k x`), runit's and daemontools-encore's
//! (`q 1 2`, `w`), and this suite's own `r` (restart) and `z` (detach). A supervise ignores a byte
//! that it does not know.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, OFlags};
use rustix::io::Errno;

use crate::signal::Signal;
use crate::trust::{self, Refused};

/// A command to a supervise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Control {
    /// `u`: start, and restart when it ends.
    Up,
    /// `d`: stop, and do not restart.
    Down,
    /// `o`: start, and do not restart.
    Once,
    /// `r`: stop as by `d`, then up again; a service that is down comes up.
    Restart,
    /// `x`: supervise exits as soon as the service is down.
    Exit,
    /// `z`: supervise exits now and leaves the service running.
    Detach,
    /// A signal to the service: `p` STOP, `c` CONT, `h` HUP, `a` ALRM, `i` INT, `t` TERM, `k` KILL,
    /// `q` QUIT, `1` USR1, `2` USR2, `w` WINCH.
    Signal(Signal),
}

impl Control {
    /// Every command with its byte: the one list that both directions read.
    pub const ALL: [(u8, Self); 17] = [
        (b'u', Self::Up),
        (b'd', Self::Down),
        (b'o', Self::Once),
        (b'r', Self::Restart),
        (b'x', Self::Exit),
        (b'z', Self::Detach),
        (b'p', Self::Signal(Signal::STOP)),
        (b'c', Self::Signal(Signal::CONT)),
        (b'h', Self::Signal(Signal::HUP)),
        (b'a', Self::Signal(Signal::ALRM)),
        (b'i', Self::Signal(Signal::INT)),
        (b't', Self::Signal(Signal::TERM)),
        (b'k', Self::Signal(Signal::KILL)),
        (b'q', Self::Signal(Signal::QUIT)),
        (b'1', Self::Signal(Signal::USR1)),
        (b'2', Self::Signal(Signal::USR2)),
        (b'w', Self::Signal(Signal::WINCH)),
    ];

    /// The command of a byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == byte)
            .map(|(_, control)| *control)
    }

    /// The command as a word, as runit's `sv` has it: `up`, `hup`, `interrupt`. This suite's own are
    /// `restart` and `detach`. `None` for a signal that has no byte.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Up => Some("up"),
            Self::Down => Some("down"),
            Self::Once => Some("once"),
            Self::Restart => Some("restart"),
            Self::Exit => Some("exit"),
            Self::Detach => Some("detach"),
            Self::Signal(signal) => SIGNAL_WORDS
                .iter()
                .find(|(known, _)| *known == signal)
                .map(|(_, word)| *word),
        }
    }

    /// The command of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .map(|(_, control)| *control)
            .find(|control| control.word() == Some(word))
    }

    /// The byte of a command; `None` for a signal that has none.
    #[must_use]
    pub fn byte(self) -> Option<u8> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == self)
            .map(|(byte, _)| *byte)
    }
}

/// The words for signals.
const SIGNAL_WORDS: [(Signal, &str); 11] = [
    (Signal::STOP, "pause"),
    (Signal::CONT, "cont"),
    (Signal::HUP, "hup"),
    (Signal::ALRM, "alarm"),
    (Signal::INT, "interrupt"),
    (Signal::TERM, "term"),
    (Signal::KILL, "kill"),
    (Signal::QUIT, "quit"),
    (Signal::USR1, "1"),
    (Signal::USR2, "2"),
    (Signal::WINCH, "winch"),
];

/// Opens a FIFO for writing, without waiting for a reader.
///
/// # Errors
/// `ENXIO`: no supervise reads it. `EINVAL`: the file is not a FIFO. `ELOOP`: it is a link. Otherwise
/// as open(2).
pub fn open_for_writing(path: &Path) -> io::Result<OwnedFd> {
    match trust::open_fifo(CWD, path, OFlags::WRONLY) {
        Ok((fifo, _)) => Ok(fifo),
        Err(Refused::Failed(errno)) => Err(errno.into()),
        Err(Refused::Link | Refused::SecondName) => Err(Errno::LOOP.into()),
        Err(Refused::NotFifo | Refused::NotFile | Refused::Long(_) | Refused::Owner(_)) => {
            Err(Errno::INVAL.into())
        }
    }
}

/// Fails with `EINVAL` when the descriptor is not that of a FIFO: bytes would only pile up in a file.
///
/// # Errors
/// As said, or as fstat(2).
pub fn require_fifo(fifo: &OwnedFd) -> rustix::io::Result<()> {
    let mode = rustix::fs::fstat(fifo)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::Fifo {
        Ok(())
    } else {
        Err(Errno::INVAL)
    }
}

/// Whether a supervise holds the `ok` FIFO at `path` open: opening it for writing then succeeds.
///
/// # Errors
/// As open(2), but for the errnos that mean no: `ENXIO` (no process reads it), `ENOENT`, and `EINVAL`
/// (it is not a FIFO).
pub fn is_supervised(ok: &Path) -> io::Result<bool> {
    match open_for_writing(ok) {
        Ok(_) => Ok(true),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NXIO | Errno::NOENT | Errno::INVAL) => Ok(false),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_and_every_word_names_one_command_and_back() {
        for (byte, control) in Control::ALL {
            assert_eq!(Control::from_byte(byte), Some(control));
            assert_eq!(control.byte(), Some(byte));
            let word = control.word().unwrap();
            assert_eq!(Control::from_word(word), Some(control), "{word}");
        }
    }

    #[test]
    fn all_other_bytes_are_unknown() {
        let known: Vec<u8> = Control::ALL.iter().map(|(byte, _)| *byte).collect();
        for byte in 0..=u8::MAX {
            assert_eq!(
                Control::from_byte(byte).is_some(),
                known.contains(&byte),
                "{byte}"
            );
        }
    }
}
