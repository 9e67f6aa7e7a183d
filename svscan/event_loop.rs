//! The loop: what the kernel tells becomes events, decisions become calls.
//!
//! A turn has one order: signals, ended supervises, changes in directories, the rescan, then one round
//! of decisions. It sleeps in poll(2) until one of these is due.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use servicedir::process::World;
use servicedir::report::{Failure, Reporter, Why, exit};
use servicedir::signal::{SelfPipe, Signal};

use crate::adopt::Process;
use crate::directory::{Refused, ScanDir};
use crate::essential::Unwatched;
use crate::notify;
use crate::pipes::Pipes;
use crate::scan::{Action, Event, Scan};
use crate::spawn::Spawner;
use crate::unit::Id;
use crate::watches::Watches;

/// The signals that are caught. The last three do nothing; by default they would end svscan.
const SIGNALS: [Signal; 8] = [
    Signal::CHLD,
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::ALRM,
    Signal::USR1,
    Signal::USR2,
];

/// A supervise that is there.
#[derive(Debug)]
pub(crate) enum Supervise {
    /// A child of this process; its pid is its own until it is reaped.
    Child(Pid),
    /// That of a svscan before this one, or of somebody else.
    Adopted(Process),
}

/// What is held for a unit.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its directory.
    pub(crate) held: Option<OwnedFd>,
    /// Its directory's path without any links, from when it was last started.
    pub(crate) real: Option<PathBuf>,
    /// Its supervise.
    pub(crate) supervise: Option<Supervise>,
    /// That its supervise cannot be watched has been said.
    pub(crate) complained: bool,
}

/// svscan.
#[derive(Debug)]
pub(crate) struct EventLoop {
    pub(crate) report: Reporter,
    pub(crate) scan: Scan,
    pub(crate) kept: BTreeMap<Id, Kept>,
    pub(crate) pipes: Pipes,
    /// The supervises that are children, by their pids.
    pub(crate) children: BTreeMap<i32, Id>,
    pub(crate) spawner: Spawner,
    pub(crate) world: World,
    pub(crate) spawn_fault: Option<nix::Error>,
    pub(crate) essential: BTreeMap<Id, Unwatched>,
    pub(crate) watches: Watches,
    pub(crate) scan_dir: ScanDir,
    pub(crate) away: Option<Refused>,
    pub(crate) blind: Option<Errno>,
    signals: SelfPipe,
    pub(crate) rescan_every: Duration,
    pub(crate) rescan_at: Option<Instant>,
    exit: Option<u8>,
}

impl EventLoop {
    /// A loop on a scan directory that has been entered, before its first look.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(
        report: Reporter,
        scan: Scan,
        spawner: Spawner,
        scan_dir: ScanDir,
        rescan_every: Duration,
    ) -> Result<Self, Failure> {
        let signals = SelfPipe::catching(&SIGNALS)
            .map_err(|error| Failure::system("unable to catch signals", error))?;
        Ok(Self {
            report,
            scan,
            kept: BTreeMap::new(),
            pipes: Pipes::new(),
            children: BTreeMap::new(),
            spawner,
            world: World::here(),
            spawn_fault: None,
            essential: BTreeMap::new(),
            watches: Watches::new(),
            scan_dir,
            away: None,
            blind: None,
            signals,
            rescan_every,
            rescan_at: None,
            exit: None,
        })
    }

    /// Runs until all is stopped, or svscan is told to leave; returns the exit code.
    ///
    /// # Errors
    /// poll(2) fails.
    pub(crate) fn run(mut self) -> Result<u8, Failure> {
        self.watches.scan_dir(self.scan_dir.absolute());
        self.rescan();
        loop {
            let busy = self.decide();
            if let Some(code) = self.exit {
                return Ok(code);
            }
            let adopted = self.sleep(busy)?;
            self.signals();
            self.reap();
            for id in adopted {
                self.ended(id, Event::Ended);
            }
            self.notice();
            self.watch_essential(Instant::now());
            if self.rescan_at.is_some_and(|at| at <= Instant::now()) {
                self.rescan();
            }
        }
    }

    /// Sleeps until something is due; not at all if the last decisions may lead to more. Returns the
    /// units whose adopted supervises have ended.
    fn sleep(&self, busy: bool) -> Result<Vec<Id>, Failure> {
        let deadlines = self.scan.deadline().into_iter().chain(self.rescan_at);
        let deadline = deadlines.chain(self.essential_deadline()).min();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = if busy { Some(Duration::ZERO) } else { left };
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let (mut adopted, mut descriptors) = (Vec::new(), Vec::new());
        for (id, kept) in &self.kept {
            if let Some(Supervise::Adopted(process)) = &kept.supervise {
                adopted.push(id);
                descriptors.push(PollFd::new(&process.pidfd, PollFlags::IN));
            }
        }
        descriptors.push(PollFd::new(&self.signals, PollFlags::IN));
        let inotify = self.watches.descriptor();
        descriptors.extend(inotify.map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR | Errno::NOMEM | Errno::AGAIN) => return Ok(Vec::new()),
            Err(errno) => return Err(Failure::system("unable to poll", errno)),
        }
        let ended = adopted.into_iter().zip(&descriptors);
        Ok(ended
            .filter(|(_, descriptor)| !descriptor.revents().is_empty())
            .map(|(id, _)| id.clone())
            .collect())
    }

    fn signals(&mut self) {
        let (mut stop, mut rescan, mut leave) = (false, false, false);
        self.signals.take(|signal| match signal {
            Signal::TERM | Signal::INT => stop = true,
            Signal::HUP => rescan = true,
            Signal::QUIT => leave = true,
            _ => {}
        });
        if leave {
            self.exit = Some(exit::DONE);
        }
        if stop {
            self.terminate(exit::DONE);
        }
        if rescan {
            self.rescan();
            self.step(Event::Hurry);
        }
    }

    /// Stops everything; once.
    pub(crate) fn terminate(&mut self, code: u8) {
        if self.scan.shutdown.is_none() {
            self.tell(notify::STOPPING);
        }
        self.step(Event::Terminate(code));
    }

    /// Reaps every child that has ended: supervises, and whatever was orphaned.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(id) = self.children.remove(&pid.as_raw_nonzero().get()) else {
                continue;
            };
            self.tell_killed(&id, status);
            let failed = matches!(status.exit_status(), Some(100 | 111));
            self.ended(id, if failed { Event::Failed } else { Event::Ended });
        }
    }

    fn tell_killed(&self, id: &Id, status: WaitStatus) {
        let signal = status.terminating_signal().and_then(Signal::from_number);
        if let (Some(signal), Some(unit)) = (signal, self.scan.units.get(id)) {
            self.report.warning(format_args!(
                "the supervise of {} was killed by {signal}",
                unit.name.display()
            ));
        }
    }

    fn ended(&mut self, id: Id, event: fn(Id) -> Event) {
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.supervise = None;
        }
        self.step(event(id));
    }

    pub(crate) fn step(&mut self, event: Event) {
        self.scan.step(event, Instant::now());
    }

    /// Decides, and does what is decided; true: there was something to do.
    fn decide(&mut self) -> bool {
        let actions = self.scan.decide(Instant::now());
        let busy = !actions.is_empty();
        for action in actions {
            match action {
                Action::Start(id) => self.start(id),
                Action::End(id, how) => self.end(id, how),
                Action::Look(id) => self.look(id),
                Action::Forget(id) => self.forget(&id),
                Action::Ready => self.tell(notify::READY),
                Action::KillAll => self.kill_all(),
                Action::Exit(code) => self.exit = Some(code),
            }
        }
        busy
    }

    fn forget(&mut self, id: &Id) {
        self.kept.remove(id);
        let scan = &self.scan;
        self.pipes
            .retain(|log, _| scan.units.contains_key(log) || scan.writers(log).next().is_some());
    }

    fn tell(&self, message: &str) {
        if let Err(error) = notify::tell(message) {
            self.report.warning(format_args!(
                "unable to notify $NOTIFY_SOCKET: {}",
                Why::from(error)
            ));
        }
    }
}
