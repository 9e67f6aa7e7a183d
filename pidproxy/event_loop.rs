//! The loop around the machine: descriptors to events, actions to calls.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use servicedir::foreground::Foreground;
use servicedir::kin::{self, Kin, Own};
use servicedir::pidfd;
use servicedir::process::Identity;
use servicedir::report::{Failure, Reporter, Why, exit};
use servicedir::signal::Signal;
use servicedir::status::End;

use crate::event::{Action, Event, Leave, Left, Target, Whose};
use crate::machine::{Machine, Rules};
use crate::pid_file::PidFile;

/// How often the pid file is looked at where the system does not tell of its changes, because the
/// user's inotify instances are used up, say.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a daemon that is not our child may be a zombie before its exit code is given up.
const UNREAPED: Duration = Duration::from_secs(1);

/// A process of ours, by descriptor.
#[derive(Debug)]
struct Process {
    identity: Identity,
    descriptor: OwnedFd,
    /// It has ended; its parent has until then to reap it.
    zombie_until: Option<Instant>,
}

/// A pidproxy at work.
#[derive(Debug)]
pub(crate) struct Proxy {
    reporter: Reporter,
    foreground: Foreground,
    file: PidFile,
    machine: Machine,
    command: Pid,
    /// The process that the pid file named last, of ours.
    named: Option<Process>,
    /// The one that the machine follows.
    daemon: Option<Process>,
    /// The last complaint about the pid file, so that it is made once.
    complaint: Option<Why>,
}

impl Proxy {
    /// A proxy for a command that was just started.
    pub(crate) fn new(
        reporter: Reporter,
        foreground: Foreground,
        file: PidFile,
        command: Pid,
        rules: Rules,
    ) -> Self {
        if file.is_blind() {
            let path = file.path().display();
            reporter.warning(format_args!(
                "unable to watch the directory of {path}; looking every second"
            ));
        }
        Self {
            reporter,
            foreground,
            file,
            machine: Machine::new(command, rules, Instant::now()),
            command,
            named: None,
            daemon: None,
            complaint: None,
        }
    }

    /// Runs until the machine leaves.
    ///
    /// # Errors
    /// The pid file never named a process, or poll(2) failed.
    pub(crate) fn run(mut self) -> Result<u8, Failure> {
        // What is wrong with the file is told now, not after a change that may never come.
        self.look();
        loop {
            let (signals, has_changed) = self.wait()?;
            if has_changed {
                self.file.changed();
            }
            // The file before the signals, so that they go to whom it names; and before the ends, so
            // that they are known to be the daemon's.
            if has_changed || !signals.is_empty() || self.file.is_blind() {
                self.look();
            }
            for signal in signals {
                self.machine.step(Event::Signalled(signal), Instant::now());
            }
            if let Some(leave) = self.drain() {
                return self.leave(leave);
            }
            self.ends();
            let now = Instant::now();
            if self.machine.deadline().is_some_and(|at| at <= now) {
                self.machine.step(Event::Passed, now);
            }
            if let Some(leave) = self.drain() {
                return self.leave(leave);
            }
        }
    }

    /// Waits for something to happen: the signals that came, and whether the pid file may have changed.
    fn wait(&self) -> Result<(Vec<Signal>, bool), Failure> {
        let zombie_until = self.daemon.as_ref().and_then(|daemon| daemon.zombie_until);
        let blind = self.file.is_blind().then(|| Instant::now() + LOOK_AGAIN);
        let deadline = [self.machine.deadline(), zombie_until, blind]
            .into_iter()
            .flatten()
            .min();
        let file = self.file.descriptor();
        // A zombie's descriptor polls readable for ever; its deadline is the wait for it.
        let daemon = self.daemon.iter().filter(|d| d.zombie_until.is_none());
        let further: Vec<_> = file
            .into_iter()
            .chain(daemon.map(|daemon| daemon.descriptor.as_fd()))
            .collect();
        let woken = self.foreground.wait(&further, deadline)?;
        let seen = woken.polled.first().copied().filter(|_| file.is_some());
        let has_changed = seen.is_some_and(|seen| seen.contains(PollFlags::IN));
        Ok((woken.signals, has_changed))
    }

    /// Reads the pid file, and tells the machine whom it names.
    fn look(&mut self) {
        let pid = match self.file.read() {
            Ok(None) => return,
            Ok(Some(pid)) => pid,
            Err(error) => return self.complain(Why::from(error)),
        };
        let is_known = |process: &Process| process.identity.pid == pid;
        if self.daemon.as_ref().is_some_and(is_known) {
            return;
        }
        let whose = match self.foreground.open_own(pid) {
            Ok(Own::Is(identity, descriptor)) => {
                self.named = Some(Process {
                    identity,
                    descriptor,
                    zombie_until: None,
                });
                Whose::Ours
            }
            Ok(Own::Foreign) => Whose::Foreign,
            Ok(Own::Gone) => Whose::Gone,
            Err(error) => {
                let why = Why::from(error);
                return self
                    .reporter
                    .warning(format_args!("unable to read /proc: {why}"));
            }
        };
        self.machine.step(Event::Named(pid, whose), Instant::now());
    }

    fn complain(&mut self, why: Why) {
        if self.complaint != Some(why) {
            self.complaint = Some(why);
            let path = self.file.path().display();
            self.reporter
                .warning(format_args!("unable to read {path}: {why}"));
        }
    }

    /// Takes note of every end. The daemon's comes first: as long as it is not reaped, its pid is its own.
    fn ends(&mut self) {
        let now = Instant::now();
        if let Some(mut daemon) = self.daemon.take() {
            match daemon.end(now) {
                Some(end) => self
                    .machine
                    .step(Event::Ended(daemon.identity.pid, end), now),
                None => self.daemon = Some(daemon),
            }
        }
        while let Some((pid, end)) = self.foreground.reap() {
            if self.daemon.as_ref().is_some_and(|d| d.identity.pid == pid) {
                self.daemon = None;
            }
            self.machine.step(Event::Ended(pid, end), now);
        }
    }

    /// Does what the machine asks for, until it asks for nothing more.
    fn drain(&mut self) -> Option<Leave> {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Look => self.look(),
                Action::Count { earlier } => {
                    let left = self.count(earlier);
                    self.machine.step(Event::Left(left), Instant::now());
                }
                Action::Follow(pid) => {
                    // Another look may have come in between, and another process.
                    if self.named.as_ref().is_some_and(|n| n.identity.pid == pid) {
                        self.daemon = self.named.take();
                    }
                }
                Action::Send(target, signal) => self.send(target, signal),
                Action::Warn(message) => {
                    let path = self.file.path().display();
                    self.reporter.warning(format_args!("{path}: {message}"));
                }
                Action::Leave(leave) => return Some(leave),
            }
        }
        None
    }

    fn count(&self, earlier: Option<Pid>) -> Left {
        if self.foreground.is_alone() {
            return Left::default();
        }
        let own = rustix::process::getpid();
        let kin = self.foreground.left();
        let is_root = |kin: &Kin| kin.parent == own && kin.pid != self.command;
        Left {
            // A zombie is something left too, until it is reaped.
            any: true,
            beside_command: kin.iter().any(is_root),
            earlier: kin.iter().any(|kin| Some(kin.pid) == earlier),
        }
    }

    fn send(&self, target: Target, signal: Signal) {
        match target {
            Target::Daemon => {
                if let Some(daemon) = &self.daemon
                    && let Err(errno) = pidfd::send(&daemon.descriptor, signal, false)
                    && errno != Errno::SRCH
                {
                    self.foreground.refused(daemon.identity.pid, signal, errno);
                }
            }
            Target::Command | Target::All => {
                for kin in self.foreground.left() {
                    if target == Target::All || kin.pid == self.command {
                        self.foreground.send(&kin, signal);
                    }
                }
            }
        }
    }

    fn leave(&self, leave: Leave) -> Result<u8, Failure> {
        match leave {
            Leave::Code(code) => Ok(code),
            Leave::TimedOut => Err(Failure::new(
                exit::TIMED_OUT,
                format_args!(
                    "{}: named no process in time: ended the command",
                    self.file.path().display()
                ),
            )),
        }
    }
}

impl Process {
    /// How it ended, once it has; the kernel tells its parent, and who asks at the right time.
    fn end(&mut self, now: Instant) -> Option<End> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match rustix::process::waitid(WaitId::PidFd(self.descriptor.as_fd()), options) {
            // Our child: reaping tells.
            Ok(_) => return None,
            Err(Errno::CHILD) => {}
            Err(_) => return None,
        }
        let status = || {
            let status = self.identity.zombie_status();
            status.and_then(End::from_wait_status)
        };
        let told = pidfd::exit_status(&self.descriptor)
            .or_else(status)
            .or_else(|| pidfd::exit_status(&self.descriptor));
        if told.is_some() {
            return told;
        }
        if !kin::has_ended(&self.descriptor) {
            return None;
        }
        if self.identity.open().is_err() {
            // Its parent has reaped it since the descriptor was asked: only now does that tell.
            return Some(pidfd::exit_status(&self.descriptor).unwrap_or(End::Unknown));
        }
        let until = *self.zombie_until.get_or_insert(now + UNREAPED);
        (until <= now).then_some(End::Unknown)
    }
}
