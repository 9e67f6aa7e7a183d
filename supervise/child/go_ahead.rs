//! The go-ahead: a forked `run` waits until its pid is recorded, and answers what became of it.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

/// The line to a forked `run`: the go-ahead goes out, and what became of it comes back.
#[derive(Debug)]
pub(crate) struct Held(UnixStream);

/// What became of a released run.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is not decided yet.
    Undecided,
    /// It is `./run` now.
    Executed,
    /// It could not become that: why, in words, and the errno.
    Refused(String, i32),
}

impl Held {
    /// The supervise's end of the line.
    pub(crate) fn new(line: UnixStream) -> Self {
        Self(line)
    }

    /// Sends the go-ahead. A child that is gone is noticed by its end.
    ///
    /// # Errors
    /// It was not sent: the child waits, and ends when this line is dropped.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        match self.0.write_all(b"!") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            sent => sent,
        }
    }

    /// Asks what became of it, without waiting.
    pub(crate) fn outcome(&mut self) -> Outcome {
        let mut answer = Vec::new();
        match self.0.read_to_end(&mut answer) {
            Ok(_) => {}
            // Nothing came yet, or the system failed: asked again when poll(2) says so.
            Err(_) if answer.is_empty() => return Outcome::Undecided,
            Err(_) => {}
        }
        match answer.split_first_chunk::<4>() {
            None => Outcome::Executed,
            Some((errno, what)) => Outcome::Refused(
                String::from_utf8_lossy(what).into_owned(),
                i32::from_le_bytes(*errno),
            ),
        }
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}
