//! The journal: one line of text for each change of a service, which supervise appends to
//! `supervise/journal` before it replaces `status`.
//!
//! A line is a TAI64N label, a number, the state after the change, and `key=value` fields:
//!
//! ```text
//! @400000006925f3c70a1b2c3d 17 BACKOFF from=STARTING pid=812 exit=3 tries=1
//! ```
//!
//! The numbers of one service go up by one, also over restarts of supervise: a reader that meets a
//! larger step has missed lines, which were on a disk without room or in a file that was rotated
//! away. Keys are append-only, and a reader skips a key that it does not know. `from` is there when
//! the state has changed; a line without it tells of something else (a command, an adoption).
//!
//! - this file: a line <-> an [`Entry`], **pure**;
//! - [`reader`]: the entries of a service's files from a place on, over rotations;
//! - [`watch`]: a wait for new lines of any number of services;
//! - [`merge`]: the entries of several services in the order of time, **pure**;
//! - [`words`]: an entry in words, **pure**.

pub mod merge;
pub mod reader;
mod text;
pub mod watch;
pub mod words;

use rustix::process::Pid;

use crate::signal::Signal;
use crate::status::{End, State};
use crate::tai64n::Tai64n;

/// When `journal` is longer than this many bytes, supervise renames it to `journal.old` and begins a
/// new one. Two files of this size hold some six thousand changes.
pub const ROTATE_AT: u64 = 256 * 1024;

/// The longest line in bytes, its newline included. A longer one is damage, and no part of it counts.
pub const LINE_MAX: usize = 8 * 1024;

/// What supervise appends to a line that it could not write whole (the disk was full), before the next
/// line: no line that ends in it can be read, so a field cut short is never taken for a whole one.
pub const TORN: &str = " torn\n";

/// A reason is cut to this many bytes, so that a line of escapes stays below [`LINE_MAX`].
const REASON_MAX: usize = 1000;

/// One line: what changed, when, and the state after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, on the wall clock.
    pub stamp: Tai64n,
    /// Which line of this service: one more than the line before.
    pub number: u64,
    /// The state after the change.
    pub state: State,
    /// `from`: the state before, where it is another.
    pub from: Option<State>,
    /// `pid`: of the run; on a line that tells of its end, the run that ended.
    pub pid: Option<Pid>,
    /// `exit`, `signal` (with `core=yes`), `errno` or `end=unknown`: how the run, or a check, ended.
    pub end: Option<End>,
    /// `expected`: whether `options/exitcodes` has this end.
    pub expected: Option<bool>,
    /// `tries`: failed starts in a row, this one included.
    pub tries: Option<u32>,
    /// `next`: when the next start is due.
    pub next_start: Option<Tai64n>,
    /// `ready`: it has become ready, or is not ready any more.
    pub ready: Option<bool>,
    /// `paused`: it was stopped by SIGSTOP, or continued.
    pub paused: Option<bool>,
    /// `command`: a byte that came through the control FIFO; one that is not a letter or a digit as
    /// `0x1b`.
    pub command: Option<u8>,
    /// `told=TERM`: supervise itself was told by TERM or INT to stop the service and to exit.
    pub terminated: bool,
    /// `sent`: supervise sent this signal of its own accord, after `stopwaitsecs` or a missed watchdog.
    pub sent: Option<Signal>,
    /// `failed-checks`: this many runs of `check` in a row have failed; the last one ended as `end` says.
    pub failed_checks: Option<u32>,
    /// `supervise`: this supervise has taken up the service. With `from`, the journal was ahead of the
    /// status: the supervise before was killed between the two, and what it had written happens again.
    pub supervise: Option<Pid>,
    /// `adopted`: it found a run of another supervise, and goes on with it.
    pub adopted: bool,
    /// `left`: supervise exits.
    pub left: bool,
    /// `reason`, in double quotes: why, in words.
    pub reason: String,
}

impl Entry {
    /// A line without fields.
    #[must_use]
    pub fn new(stamp: Tai64n, number: u64, state: State) -> Self {
        Self {
            stamp,
            number,
            state,
            from: None,
            pid: None,
            end: None,
            expected: None,
            tries: None,
            next_start: None,
            ready: None,
            paused: None,
            command: None,
            terminated: false,
            sent: None,
            failed_checks: None,
            supervise: None,
            adopted: false,
            left: false,
            reason: String::new(),
        }
    }

    /// The line, with its newline.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(128);
        self.push_line(&mut line);
        line
    }
}

#[cfg(test)]
mod tests;
