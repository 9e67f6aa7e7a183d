//! `--die-with-me`: a process between the one that its supervise knows and all that it runs.
//!
//! A parent-death signal reaches one child only, and is lost at its forks. So the outer process,
//! which its supervise sees, forks an inner one and only passes signals on to it; the inner one is a
//! child subreaper that does the work. If the outer one is killed, the inner one sees that and kills
//! all that descends from it. If the inner one is killed, its descendants fall to the outer one,
//! which is a child subreaper too, and which kills them.
#![allow(unsafe_code, reason = "fork")]

use std::io;
use std::os::fd::OwnedFd;

use nix::unistd::ForkResult;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitOptions};

use crate::foreground;
use crate::kin;
use crate::pidfd;
use crate::report::{Failure, Reporter};
use crate::signal::{SelfPipe, Signal};
use crate::status::End;

/// What becomes of what the inner process leaves when it ends in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// Nothing stays behind.
    Killed,
    /// It was left on purpose, and goes on.
    Left,
}

/// Which of the two processes this is, after the fork.
#[derive(Debug)]
pub enum Side {
    /// The one that its supervise sees: the inner one has ended, with this code, and nothing is left.
    Outer(u8),
    /// The one that does the work.
    Inner {
        /// Polls readable when the outer process has ended.
        outer: OwnedFd,
        /// The process group of the outer process, to run the command in; none if that is of
        /// another pid namespace.
        group: Option<Pid>,
    },
}

/// Forks. The caller has blocked all signals, and the inner side unblocks them when it is ready.
///
/// # Errors
/// The system has no process or no descriptor left, or knows no pidfd (before Linux 5.3).
pub fn divide(reporter: Reporter, bystanders: &[Pid], rest: Rest) -> Result<Side, Failure> {
    let group = Pid::from_raw(nix::unistd::getpgrp().as_raw());
    let itself = rustix::process::getpid();
    let outer = rustix::process::pidfd_open(itself, PidfdFlags::empty())
        .map_err(|errno| Failure::system("unable to open a pidfd", errno))?;
    // SAFETY: the process has one thread, so the child is in no other thread's critical section.
    match unsafe { nix::unistd::fork() } {
        Err(errno) => Err(Failure::system("unable to fork", errno)),
        Ok(ForkResult::Child) => {
            // In a group of its own, a KILL to the group does not hit both.
            rustix::process::setpgid(None, None)
                .map_err(|errno| Failure::system("unable to make a process group", errno))?;
            Ok(Side::Inner { outer, group })
        }
        Ok(ForkResult::Parent { child }) => {
            drop(outer);
            let code = watch(reporter, child.as_raw(), bystanders)
                .map_err(|error| Failure::system("unable to watch over the command", error));
            // Whatever went wrong: nothing stays behind without its guard, but for what the inner
            // process left on purpose. Where that was killed, `watch` has killed all.
            if rest == Rest::Killed || code.is_err() {
                kin::kill_all(bystanders);
            }
            code.map(Side::Outer)
        }
    }
}

/// Passes signals on until the inner process has ended.
fn watch(reporter: Reporter, inner: i32, bystanders: &[Pid]) -> io::Result<u8> {
    let inner = Pid::from_raw(inner).ok_or(io::ErrorKind::InvalidData)?;
    let pidfd = rustix::process::pidfd_open(inner, PidfdFlags::empty())?;
    let signals = SelfPipe::catching(&foreground::caught())?;
    foreground::unblock()?;
    loop {
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        signals.take(|signal| {
            if signal != Signal::CHLD {
                pidfd::send(&pidfd, signal, false).ok();
            }
        });
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(end) = End::from_wait_status(status.as_raw()).filter(|_| pid == inner) else {
                continue;
            };
            if matches!(end, End::Killed { .. }) {
                kin::kill_all(bystanders);
                reporter.warning(format_args!(
                    "process {} that watches over the command was {end}: killed what it ran",
                    inner.as_raw_nonzero()
                ));
            }
            return Ok(end.shell_code());
        }
    }
}
