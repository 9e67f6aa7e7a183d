//! What is left of the process group of a run that has ended while it was being stopped.
//!
//! The group has no descriptor of its own to wait for: one of its members is watched by a pidfd, and
//! when that one has ended, the next. While the group has a member the kernel gives its number to no
//! new process.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use servicedir::pidfd;
use servicedir::process::Place;
use servicedir::signal::Signal;

use super::children;

/// When to look again at a group whose members cannot be watched.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A group that is waited for.
#[derive(Debug)]
pub(crate) struct Group {
    number: Pid,
    /// The process whose pid is the group's number. It may be reaped; the descriptor stays the group's.
    leader: OwnedFd,
    /// A member that lives.
    member: Option<OwnedFd>,
    /// When to look again.
    again: Option<Instant>,
}

impl Group {
    /// The group of that number, whose leader (a zombie, at least) has that descriptor.
    pub(crate) fn new(number: Pid, leader: OwnedFd, now: Instant) -> Self {
        Self {
            number,
            leader,
            member: None,
            again: Some(now),
        }
    }

    /// What to poll for reading: the end of a member.
    pub(crate) fn member(&self) -> Option<BorrowedFd<'_>> {
        self.member.as_ref().map(AsFd::as_fd)
    }

    /// When to look again without an event.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// Whether no member is left, after one has ended or the deadline has passed.
    pub(crate) fn is_empty(&mut self, ended: bool, now: Instant) -> bool {
        if !ended && self.again.is_none_or(|at| at > now) {
            return false;
        }
        self.again = None;
        self.member = None;
        // Twice, because a member may fork while the list is read.
        let found = match look(self.number) {
            Found::Nothing => look(self.number),
            found @ (Found::Watched(_) | Found::Alive) => found,
        };
        match found {
            Found::Nothing => return true,
            Found::Watched(member) => self.member = Some(member),
            Found::Alive => self.again = Some(now + LOOK_AGAIN),
        }
        false
    }

    /// Sends a signal to all members.
    ///
    /// # Errors
    /// As kill(2); `ESRCH`: there is none.
    pub(crate) fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match pidfd::send(&self.leader, signal, true) {
            // Before Linux 6.9. A process with that pid tells that the number is not the group's any
            // more, unless it is the leader's zombie.
            Err(Errno::INVAL) if !children::is_reused(self.number) => {
                children::kill(self.number, signal, true)
            }
            sent => sent,
        }
    }
}

/// What a look at the processes has found. Zombies do not count: their parent may never reap them.
enum Found {
    Nothing,
    /// A member, which can be watched.
    Watched(OwnedFd),
    /// A member that cannot be watched: no descriptor is left, or there is no /proc.
    Alive,
}

fn look(group: Pid) -> Found {
    let Ok(entries) = fs::read_dir("/proc") else {
        return match children::test_group(group) {
            Err(Errno::SRCH) => Found::Nothing,
            Ok(()) | Err(_) => Found::Alive,
        };
    };
    let is_member =
        |pid| Place::of(pid).is_some_and(|place| place.group == Some(group) && !place.zombie);
    for entry in entries.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw)
            .filter(|pid| is_member(*pid))
        else {
            continue;
        };
        match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            // The process that was opened is the one that is a member.
            Ok(member) if is_member(pid) => return Found::Watched(member),
            Ok(_) | Err(Errno::SRCH) => {}
            Err(_) => return Found::Alive,
        }
    }
    Found::Nothing
}
