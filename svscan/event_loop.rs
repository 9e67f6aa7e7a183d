//! The loop: what the kernel tells becomes events, decisions become calls.
//!
//! A turn has one order: signals, ended supervises, changes in directories, the rescan, then one round
//! of decisions. It sleeps in poll(2) until one of these is due.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
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
use crate::directory::{Found, Problem, Refused, ScanDir, hold, is_deleted, target_of};
use crate::essential::Unwatched;
use crate::notify;
use crate::pipes::Pipes;
use crate::scan::{Action, Event, SECOND, Scan};
use crate::spawn::Spawner;
use crate::unit::Id;
use crate::watches::{Noticed, Watches};

/// How often everything is looked at where not all can be watched.
const BLIND_RESCAN: Duration = Duration::from_secs(5);

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
    scan_dir: ScanDir,
    away: Option<Refused>,
    blind: Option<Errno>,
    signals: SelfPipe,
    rescan_every: Duration,
    rescan_at: Option<Instant>,
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

    /// Looks at what inotify tells of.
    fn notice(&mut self) {
        let noticed = self.watches.read();
        if noticed.is_empty() {
            return;
        }
        if noticed.contains(&Noticed::All) || self.away.is_some() {
            return self.rescan();
        }
        let mut names = false;
        for what in noticed {
            match what {
                Noticed::Name(name) => {
                    names = true;
                    self.scan_dir.look_at(&name, self.report);
                    if self.watch_name(&name) {
                        self.scan_dir.look_at(&name, self.report);
                    }
                }
                Noticed::Status(id) => self.check_essential(&id),
                Noticed::All => {}
            }
        }
        if names {
            self.seen();
        }
    }

    /// Looks at everything.
    pub(crate) fn rescan(&mut self) {
        let away = match self.scan_dir.follow() {
            Ok(another) => {
                if another || self.away.is_some() {
                    self.watches.scan_dir(self.scan_dir.absolute());
                }
                self.scan_dir
                    .look_at_all(self.report)
                    .err()
                    .map(Refused::Failed)
            }
            Err(refused) => Some(refused),
        };
        self.tell_away(away);
        self.away = away;
        if away.is_some() {
            self.step(Event::Away);
        } else {
            self.watches.begin_names();
            self.watch_scan_dir();
            if self.watch_names() {
                // Something may have happened before it was watched.
                self.scan_dir.look_at_all(self.report).ok();
            }
            self.watches.end_names();
            self.seen();
        }
        self.schedule();
    }

    fn tell_away(&self, away: Option<Refused>) {
        let path = self.scan_dir.path().display();
        match away {
            Some(why) if self.away != away => {
                self.report.warning(format_args!(
                    "unable to scan {path}: {why}; what runs goes on, and it is tried again every second"
                ));
            }
            None if self.away.is_some() => {
                self.report.info(format_args!("{path} is scanned again"))
            }
            Some(_) | None => {}
        }
    }

    /// When to look at everything again.
    fn schedule(&mut self) {
        let fault = self.watches.fault();
        if let Some(errno) = fault
            && self.blind != fault
        {
            self.report.warning(format_args!(
                "unable to watch everything: {}; looking every {} seconds",
                Why::from(errno),
                BLIND_RESCAN.as_secs()
            ));
        }
        self.blind = fault;
        let every = match (self.away, fault) {
            (Some(_), _) => SECOND,
            (None, Some(_)) => self.rescan_every.min(BLIND_RESCAN),
            (None, None) => self.rescan_every,
        };
        self.rescan_at = Instant::now().checked_add(every);
    }

    /// Watches for the scan directory itself to go, or to be put in place of another.
    fn watch_scan_dir(&mut self) {
        let path = self.scan_dir.absolute().to_path_buf();
        let named = path.parent().zip(path.file_name());
        let target = target_of(path.as_os_str());
        for (folder, name) in named
            .map(|(folder, name)| (folder.to_path_buf(), name.to_os_string()))
            .into_iter()
            .chain(target)
        {
            self.watches.target(&folder, name);
        }
    }

    /// Watches what the names of the scan directory depend on; true: some of it for the first time.
    fn watch_names(&mut self) -> bool {
        let names: Vec<OsString> = self.scan_dir.found().map(|(name, _)| name.into()).collect();
        names
            .iter()
            .fold(false, |new, name| self.watch_name(name) | new)
    }

    /// Watches what a name depends on: where its link leads, and its `run` as long as it has none.
    fn watch_name(&mut self, name: &OsStr) -> bool {
        let mut new = false;
        if let Some(Found::Waiting(problem)) = self.scan_dir.what(name)
            && !matches!(problem, Problem::Failed(_))
        {
            new |= self.watches.waiting(name);
        }
        if let Some((folder, target)) = target_of(name) {
            new |= self.watches.target(&folder, target);
        }
        new
    }

    /// Tells the machine what stands in the scan directory.
    fn seen(&mut self) {
        let services = self.scan_dir.services();
        for service in &services {
            self.kept.entry(service.id.clone()).or_insert_with(|| Kept {
                held: hold(&service.name, &service.id),
                real: None,
                supervise: None,
                complained: false,
            });
        }
        let deleted: Vec<Id> = self
            .kept
            .iter()
            .filter(|(_, kept)| kept.held.as_ref().is_some_and(is_deleted))
            .map(|(id, _)| id.clone())
            .collect();
        for id in deleted {
            self.step(Event::Deleted(id));
        }
        self.step(Event::Seen(services));
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
