//! What stands in the foreground for a daemon in the background: it catches the signals, starts the
//! command, is a child subreaper to all that comes from it, and learns how each of them ends.
//! `pidproxy` and `fghack` are that, with different ideas of which process is meant.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions};

use crate::exec;
use crate::guard::{self, Rest, Side};
use crate::kin::{self, Kin};
use crate::report::{self, Failure, Reporter};
use crate::signal::{SelfPipe, Signal};
use crate::status::End;

/// Signals that tell a process of its own doings, that cannot be caught, or that the terminal
/// answers with: they are not passed on.
const OWN: [i32; 14] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGSEGV,
    libc::SIGSYS,
    libc::SIGPIPE,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGTTIN,
    libc::SIGTTOU,
];

/// The first real-time signal that the C library does not keep for itself, and the last one.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// The signals that are passed on.
pub fn passed_on() -> impl Iterator<Item = Signal> {
    (1..32)
        .chain(REAL_TIME)
        .filter(|number| !OWN.contains(number))
        .filter_map(Signal::from_number)
}

/// The signals that are caught: those that are passed on, and CHLD.
#[must_use]
pub fn caught() -> Vec<Signal> {
    passed_on().chain([Signal::CHLD]).collect()
}

/// Whether the signal tells a daemon to end.
#[must_use]
pub fn is_stop(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::QUIT].contains(&signal)
}

/// Lets all signals through.
///
/// # Errors
/// None that sigprocmask(2) is known to give here.
pub fn unblock() -> io::Result<()> {
    SigSet::empty().thread_set_mask().map_err(io::Error::from)
}

/// The process in the foreground.
#[derive(Debug)]
pub struct Foreground {
    signals: SelfPipe,
    reporter: Reporter,
    /// The outer process of `--die-with-me`, and the process group to run the command in; a group of
    /// its own without one.
    guard: Option<(OwnedFd, Option<Pid>)>,
    /// Children from before: a script's that became this program. They are no business of ours.
    bystanders: Vec<Pid>,
    /// Orphans do not become our children.
    blind: Option<Errno>,
}

/// What came of entering the foreground.
#[derive(Debug)]
pub enum Entered {
    /// The command is to be started.
    Foreground(Foreground),
    /// This was the outer process of `--die-with-me`, and all is over, with that code.
    Over(u8),
}

/// What a wait has seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Woken {
    /// Signals to pass on, each once.
    pub signals: Vec<Signal>,
    /// What the further descriptors polled, in their order.
    pub polled: Vec<PollFlags>,
}

impl Foreground {
    /// Becomes a child subreaper that catches signals; with `die_with_me`, one that what it runs does
    /// not outlive, but for the rest that it may leave at an end in order.
    ///
    /// # Errors
    /// A system call failed, for want of a process or a descriptor say.
    pub fn enter(reporter: Reporter, die_with_me: Option<Rest>) -> Result<Entered, Failure> {
        let unable = |error: io::Error| Failure::system("unable to catch signals", error);
        // A signal that comes before its handler stands has to wait for it.
        SigSet::all()
            .thread_set_mask()
            .map_err(|errno| unable(errno.into()))?;
        let itself = Some(rustix::process::getpid());
        let mut blind = rustix::process::set_child_subreaper(itself).err();
        let mut bystanders = children_from_before();
        let mut guard = None;
        if let Some(rest) = die_with_me {
            if let Some(errno) = blind {
                return Err(Failure::system("unable to become a child subreaper", errno));
            }
            match guard::divide(reporter, &bystanders, rest)? {
                Side::Outer(code) => return Ok(Entered::Over(code)),
                Side::Inner { outer, group } => guard = Some((outer, group)),
            }
            bystanders.clear();
            let itself = Some(rustix::process::getpid());
            blind = rustix::process::set_child_subreaper(itself).err();
        }
        let signals = SelfPipe::catching(&caught()).map_err(unable)?;
        unblock().map_err(unable)?;
        Ok(Entered::Foreground(Self {
            signals,
            reporter,
            guard,
            bystanders,
            blind,
        }))
    }

    /// Why orphans do not become our children, where the system refused that.
    #[must_use]
    pub fn blind(&self) -> Option<Errno> {
        self.blind
    }

    /// Starts the command, which is sought along PATH, with default dispositions, an empty mask and
    /// our descriptors 0 to 2.
    ///
    /// # Errors
    /// It is not there, may not be executed, or the system has no process left.
    pub fn start(&self, command: &[OsString]) -> Result<Pid, Failure> {
        let Some((name, arguments)) = command.split_first() else {
            return Err(Failure::usage("no command; see --help"));
        };
        let mut program = Command::new(name);
        program.args(arguments);
        if let Some((_, group)) = &self.guard {
            program.process_group(Pid::as_raw(*group));
        }
        let child = exec::spawn(&mut program).map_err(|error| {
            Failure::system(format_args!("unable to run {}", name.display()), error)
        })?;
        Ok(Pid::from_child(&child))
    }

    /// Waits for signals, the end of a child, or one of the descriptors; until the deadline.
    ///
    /// # Errors
    /// poll(2) fails; or the outer process of `--die-with-me` was killed, and all that was run has
    /// been killed too.
    pub fn wait(
        &self,
        further: &[BorrowedFd<'_>],
        deadline: Option<Instant>,
    ) -> Result<Woken, Failure> {
        let own = [Some(&self.signals as &dyn std::os::fd::AsFd), self.outer()];
        let mut polled: Vec<PollFd<'_>> = own
            .into_iter()
            .flatten()
            .map(|descriptor| descriptor.as_fd())
            .chain(further.iter().copied())
            .map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN))
            .collect();
        let timeout = deadline.map(|at| timespec(at.saturating_duration_since(Instant::now())));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => polled.iter_mut().for_each(PollFd::clear_revents),
            Err(errno) => return Err(Failure::system("unable to poll", errno)),
        }
        let mut seen = polled.iter().map(PollFd::revents).skip(1);
        if self.guard.is_some() && seen.next().is_some_and(|seen| !seen.is_empty()) {
            kin::kill_all(&[]);
            let message = "its guarding process was killed; killed what it ran";
            return Err(Failure::new(report::exit::SYSTEM, message));
        }
        let polled = seen.collect();
        let mut signals = Vec::new();
        self.signals.take(|signal| signals.push(signal));
        signals.retain(|signal| *signal != Signal::CHLD);
        Ok(Woken { signals, polled })
    }

    fn outer(&self) -> Option<&dyn std::os::fd::AsFd> {
        self.guard
            .as_ref()
            .map(|(outer, _)| outer as &dyn std::os::fd::AsFd)
    }

    /// Takes note of the end of one child, if one has ended.
    pub fn reap(&mut self) -> Option<(Pid, End)> {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let count = self.bystanders.len();
            self.bystanders.retain(|bystander| *bystander != pid);
            if self.bystanders.len() == count {
                return End::from_wait_status(status.as_raw()).map(|end| (pid, end));
            }
        }
        None
    }

    /// All that came from the command and lives, parents first.
    ///
    /// Without /proc that is not known; then there is a warning, and an empty answer.
    #[must_use]
    pub fn left(&self) -> Vec<Kin> {
        kin::descendants(&self.bystanders).unwrap_or_else(|error| {
            let why = report::Why::from(error);
            self.reporter
                .warning(format_args!("unable to read /proc: {why}"));
            Vec::new()
        })
    }

    /// Whether nothing that came from the command is left, zombies included.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        let any = rustix::process::waitid(
            WaitId::All,
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
        );
        match any {
            Err(Errno::CHILD) => true,
            Ok(Some(_)) | Err(_) => false,
            Ok(None) => !self.bystanders.is_empty() && self.left().is_empty(),
        }
    }

    /// Whose a pid is.
    ///
    /// # Errors
    /// /proc cannot be read.
    pub fn open_own(&self, pid: Pid) -> io::Result<kin::Own> {
        kin::open_own(pid, &self.bystanders)
    }

    /// Sends a signal to one process that was found to be left.
    pub fn send(&self, kin: &Kin, signal: Signal) {
        match kin.send(signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => self.refused(kin.pid, signal, errno),
        }
    }

    /// Says that a signal could not be sent.
    pub fn refused(&self, pid: Pid, signal: Signal, errno: Errno) {
        let pid = pid.as_raw_nonzero();
        let why = report::Why::from(errno);
        self.reporter.warning(format_args!(
            "unable to send {signal} to process {pid}: {why}"
        ));
    }
}

/// The children that this process has although it started none: those of the program before it.
fn children_from_before() -> Vec<Pid> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if rustix::process::waitid(WaitId::All, options).err() == Some(Errno::CHILD) {
        return Vec::new();
    }
    let own = rustix::process::getpid();
    let mut children = kin::descendants(&[]).unwrap_or_default();
    children.retain(|kin| kin.parent == own);
    children.into_iter().map(|kin| kin.pid).collect()
}

fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec {
        tv_sec: 3600,
        tv_nsec: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_svc_sends_is_passed_on() {
        let passed: Vec<Signal> = passed_on().collect();
        for name in "HUP ALRM INT TERM QUIT USR1 USR2 WINCH CONT ABRT TSTP".split(' ') {
            assert!(passed.contains(&Signal::from_name(name).unwrap()), "{name}");
        }
        assert!(!caught().contains(&Signal::KILL));
        assert!(caught().contains(&Signal::CHLD));
        assert!(!passed.contains(&Signal::CHLD));
    }
}
