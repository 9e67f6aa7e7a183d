//! A process that another supervise started: found by the status record, watched and signalled by
//! a pidfd. It is not a child of this supervise, so its parent reaps it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use servicedir::pidfd;
use servicedir::process::{Identity, Place};
use servicedir::signal::Signal;
use servicedir::status::End;

use super::children;

/// How long a zombie may wait for its parent to reap it, before its end is taken to be unknown. As
/// svscan is a child subreaper, it is svscan that reaps, and at once.
const UNREAPED: Duration = Duration::from_secs(1);

/// An adopted process.
#[derive(Debug)]
pub(crate) struct Adopted {
    identity: Identity,
    pidfd: OwnedFd,
    /// Its process group, and the leader of that, if it is another process, which is still there.
    group: Option<Pid>,
    leader: Option<OwnedFd>,
    /// It has ended, and its end is not known yet: it is looked for until then.
    zombie_until: Option<Instant>,
}

impl Adopted {
    /// Adopts the process of that identity.
    ///
    /// # Errors
    /// `ESRCH`: it is gone. With every other one it may be there.
    pub(crate) fn new(identity: Identity) -> rustix::io::Result<Self> {
        let pidfd = identity.open()?;
        Ok(Self {
            group: Place::of(identity.pid).and_then(|place| place.group),
            leader: leader(identity.pid),
            identity,
            pidfd,
            zombie_until: None,
        })
    }

    pub(crate) fn pid(&self) -> Pid {
        self.identity.pid
    }

    /// Its process group, with a descriptor of the leader; none if the leader is gone, because its pid
    /// may be another process's by now.
    pub(crate) fn group(&self) -> Option<(Pid, OwnedFd)> {
        let group = self.group?;
        let leader = match &self.leader {
            Some(leader) => leader,
            None if group == self.pid() => &self.pidfd,
            None => return None,
        };
        Some((group, leader.try_clone().ok()?))
    }

    /// Sends it a signal, or the group that it is in.
    ///
    /// # Errors
    /// As kill(2).
    pub(crate) fn signal(&self, signal: Signal, group: bool) -> rustix::io::Result<()> {
        if !group {
            return pidfd::send(&self.pidfd, signal, false);
        }
        let leader = self.leader.as_ref().unwrap_or(&self.pidfd);
        match pidfd::send(leader, signal, true) {
            // Before Linux 6.9 (EINVAL), or it leads no group, and who led its group is gone.
            Err(Errno::INVAL | Errno::SRCH) => {
                // The group is its own as long as it is there itself.
                let place = Place::of(self.pid()).filter(|it| it.identity == self.identity);
                let group = place.and_then(|it| it.group).ok_or(Errno::SRCH)?;
                children::kill(group, signal, true)
            }
            sent => sent,
        }
    }

    /// What to poll for: its end, and once it is a zombie its being reaped (HUP, always polled).
    pub(crate) fn interest(&self) -> PollFlags {
        if self.zombie_until.is_some() {
            PollFlags::empty()
        } else {
            PollFlags::IN
        }
    }

    /// When to look again without an event.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.zombie_until
    }

    /// How it ended, after its descriptor has polled `seen`, or its deadline has passed.
    pub(crate) fn end(&mut self, seen: PollFlags, now: Instant) -> Option<End> {
        let overdue = self.zombie_until.is_some_and(|until| until <= now);
        if !overdue && !seen.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            return None;
        }
        let status = || {
            self.identity
                .zombie_status()
                .and_then(End::from_wait_status)
        };
        if let Some(end) = pidfd::exit_status(&self.pidfd).or_else(status) {
            return Some(end);
        }
        if overdue || seen.contains(PollFlags::HUP) {
            return Some(End::Unknown);
        }
        self.zombie_until.get_or_insert(now + UNREAPED);
        None
    }
}

impl AsFd for Adopted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Who leads the group that the process is in, if it does not itself.
fn leader(pid: Pid) -> Option<OwnedFd> {
    let group = Place::of(pid)?.group.filter(|group| *group != pid)?;
    let leader = rustix::process::pidfd_open(group, PidfdFlags::empty()).ok();
    // Still in that group: so the group's number cannot have become another process's meanwhile.
    leader.filter(|_| Place::of(pid).is_some_and(|place| place.group == Some(group)))
}
