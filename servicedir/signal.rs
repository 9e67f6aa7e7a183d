//! Signals: their names as options and messages write them, and the self-pipe that brings them into
//! an event loop.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::Signal as Nix;

/// One signal, by its number. Never 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signal(i32);

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// SIGINT.
    pub const INT: Self = Self(libc::SIGINT);
    /// SIGQUIT.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// SIGABRT.
    pub const ABRT: Self = Self(libc::SIGABRT);
    /// SIGKILL.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// SIGUSR1.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// SIGUSR2.
    pub const USR2: Self = Self(libc::SIGUSR2);
    /// SIGALRM.
    pub const ALRM: Self = Self(libc::SIGALRM);
    /// A write to a pipe without a reader.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// SIGTERM.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// SIGCHLD.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// SIGCONT.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// SIGSTOP.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// SIGWINCH.
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// The signal of that number: 1 to 64 on Linux.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=64).contains(&number).then_some(Self(number))
    }

    /// The signal's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Reads a name, with or without SIG, in any case (`TERM`, `sigterm`), or a number.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Self::from_number(number);
        }
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        format!("SIG{name}")
            .parse::<Nix>()
            .ok()
            .map(|signal| Self(signal as i32))
    }
}

impl fmt::Display for Signal {
    /// `SIGTERM`; a real-time signal as `SIG34`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Nix::try_from(self.0) {
            Ok(signal) => out.write_str(signal.as_str()),
            Err(_) => write!(out, "SIG{}", self.0),
        }
    }
}

/// Signals that all mean the same, as wake-ups of a poll loop: a pipe that polls readable when one
/// came. Both ends are non-blocking and close-on-exec.
#[derive(Debug)]
pub struct WakePipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl WakePipe {
    /// A pipe that catches these signals from now on.
    ///
    /// # Errors
    /// No descriptors are left, or a signal cannot be caught (KILL, STOP).
    pub fn catching(signals: &[Signal]) -> io::Result<Self> {
        use rustix::pipe::{PipeFlags, pipe_with};
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let pipe = Self { read, write };
        signals.iter().try_for_each(|signal| pipe.catch(*signal))?;
        Ok(pipe)
    }

    fn catch(&self, signal: Signal) -> io::Result<()> {
        signal_hook::low_level::pipe::register(signal.number(), self.write.try_clone()?).map(drop)
    }

    /// Empties the pipe, and tells whether a signal came since the last call.
    #[must_use]
    pub fn drain(&self) -> bool {
        let mut bytes = [0; 64];
        let mut any = false;
        while let Ok(1..) = rustix::io::read(&self.read, &mut bytes) {
            any = true;
        }
        any
    }
}

impl AsFd for WakePipe {
    /// The end to poll for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Signals of several meanings as wake-ups of a poll loop: a pipe that polls readable, and a flag a signal.
///
/// The handlers set the flag, then write a byte, and do nothing else. Both ends are non-blocking and
/// close-on-exec; a full pipe loses nothing, since the flag is set already.
#[derive(Debug)]
pub struct SelfPipe {
    pipe: WakePipe,
    caught: Vec<(Signal, Arc<AtomicBool>)>,
}

impl SelfPipe {
    /// A self-pipe that catches these signals from now on.
    ///
    /// # Errors
    /// No descriptors are left, or a signal cannot be caught (KILL, STOP).
    pub fn catching(signals: &[Signal]) -> io::Result<Self> {
        let mut pipe = Self {
            pipe: WakePipe::catching(&[])?,
            caught: Vec::with_capacity(signals.len()),
        };
        for signal in signals {
            pipe.catch(*signal)?;
        }
        Ok(pipe)
    }

    fn catch(&mut self, signal: Signal) -> io::Result<()> {
        let flag = Arc::new(AtomicBool::new(false));
        // The flag first: handlers run in the order of their registration, and a byte without a
        // flag would be a wake-up for nothing, its signal unseen until the next one.
        signal_hook::flag::register(signal.number(), Arc::clone(&flag))?;
        self.pipe.catch(signal)?;
        self.caught.push((signal, flag));
        Ok(())
    }

    /// Empties the pipe and calls `each` for every signal that came since the last call, once each.
    pub fn take(&self, mut each: impl FnMut(Signal)) {
        // Drain before the flags are read: the reverse order loses a signal that comes in between.
        let _any = self.pipe.drain();
        for (signal, flag) in &self.caught {
            if flag.swap(false, Ordering::SeqCst) {
                each(*signal);
            }
        }
    }
}

impl AsFd for SelfPipe {
    /// The end to poll for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_with_and_without_sig_in_any_case() {
        for text in ["TERM", "SIGTERM", "sigterm", "Term", "15"] {
            assert_eq!(Signal::from_name(text), Some(Signal::TERM), "{text}");
        }
        for text in ["", "SIG", "TERMINATE", "0", "-9", "65"] {
            assert_eq!(Signal::from_name(text), None, "{text}");
        }
    }

    #[test]
    fn a_signal_is_shown_by_its_full_name() {
        assert_eq!(Signal::KILL.to_string(), "SIGKILL");
        assert_eq!(
            Signal::from_number(40).map(|s| s.to_string()).as_deref(),
            Some("SIG40")
        );
    }
}
