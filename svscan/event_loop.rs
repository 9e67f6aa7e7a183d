//! The loop: what the kernel reports becomes events, decisions become calls.
//!
//! A turn has one order: signals, ended supervises, changes in directories, the rescan, then one round
//! of decisions. It sleeps in poll(2) until one of these is due.

use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{WaitStatus, getpid};
use servicedir::report::{Failure, exit};
use servicedir::signal::{SelfPipe, Signal};

use crate::essential::{self, Essentials};
use crate::holdings::Holdings;
use crate::message::{Message, Messages};
use crate::notify::{self, notify};
use crate::replace::Invocation;
use crate::runsvdir::Manners;
use crate::scan::{Action, Cause, Event, Id, Scan, Unit};
use crate::spawn::Spawner;
use crate::start::Starter;
use crate::stop;
use crate::survey::{Survey, View};

/// The signals that are caught. ALRM, USR1 and PIPE do nothing; by default they would end svscan.
const SIGNALS: [Signal; 9] = [
    Signal::PIPE,
    Signal::CHLD,
    Signal::TERM,
    Signal::INT,
    Signal::HUP,
    Signal::QUIT,
    Signal::ALRM,
    Signal::USR1,
    Signal::USR2,
];

/// RTMIN+3, by which systemd stops a container's process 1: the C library keeps two real-time signals
/// to itself, so its first is 34.
const HALT: i32 = 37;

/// What else is TERM to process 1: container images have these as their STOPSIGNAL. The end of process 1
/// is the end of all others, so it cannot leave supervises running.
fn stop_signals_of_init() -> Vec<Signal> {
    let halt = Signal::from_number(HALT);
    let all = [Some(Signal::QUIT), Some(Signal::WINCH), halt];
    all.into_iter().flatten().collect()
}

/// svscan.
#[derive(Debug)]
pub(crate) struct EventLoop {
    scan: Scan,
    survey: Survey,
    holdings: Holdings,
    essentials: Essentials,
    spawner: Spawner,
    messages: Messages,
    signals: SelfPipe,
    /// What is TERM beside TERM and INT.
    stop_signals: Vec<Signal>,
    /// None: it cannot be replaced.
    invocation: Option<Invocation>,
    exit: Option<u8>,
    /// What the signals mean.
    manners: Manners,
    /// The exit code that the last signal asks for.
    signal_code: Option<u8>,
}

impl EventLoop {
    /// A loop on a scan directory that has been entered, before its first look.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(
        scan: Scan,
        survey: Survey,
        spawner: Spawner,
        messages: Messages,
        invocation: Option<Invocation>,
        manners: Manners,
    ) -> Result<Self, Failure> {
        let is_init = getpid().is_init();
        let stop_signals = if is_init {
            stop_signals_of_init()
        } else {
            Vec::new()
        };
        let others = stop_signals
            .iter()
            .filter(|signal| !SIGNALS.contains(signal));
        let caught: Vec<Signal> = SIGNALS.iter().chain(others).copied().collect();
        let signals = SelfPipe::catching(&caught)
            .map_err(|error| Message::UnableToCatchSignals(error.into()))?;
        // Now that they are caught: a svscan that was replaced has left them blocked.
        SigSet::empty().thread_set_mask().ok();
        Ok(Self {
            scan,
            survey,
            holdings: Holdings::new(),
            essentials: Essentials::default(),
            spawner,
            messages,
            signals,
            stop_signals,
            invocation,
            exit: None,
            manners,
            signal_code: None,
        })
    }

    /// Runs until all is stopped, or QUIT comes; returns the exit code.
    ///
    /// # Errors
    /// poll(2) fails.
    pub(crate) fn run(mut self) -> Result<u8, Failure> {
        self.look_at_all();
        loop {
            let busy = self.decide();
            if let Some(code) = self.exit {
                return Ok(self.signal_code.unwrap_or(code));
            }
            let adopted = self.sleep(busy)?;
            self.take_signals();
            self.reap();
            for id in adopted {
                self.holdings.supervises.remove(&id);
                self.step(Event::Ended(id));
            }
            self.take_changes();
            self.watch_essentials();
        }
    }

    /// Sleeps until something is due; not at all if the last decisions may lead to more. Returns the
    /// units whose adopted supervises have ended.
    fn sleep(&mut self, busy: bool) -> Result<Vec<Id>, Failure> {
        let timeout = self.timeout(busy);
        let (mut adopted, mut descriptors) = (Vec::new(), Vec::new());
        for (id, pidfd) in self.holdings.supervises.adopted() {
            adopted.push(id);
            descriptors.push(PollFd::new(pidfd, PollFlags::IN));
        }
        descriptors.push(PollFd::new(&self.signals, PollFlags::IN));
        let inotify = self.survey.inotify();
        descriptors.extend(inotify.map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        let mounts = self.survey.mounts();
        descriptors.extend(mounts.map(|mounts| PollFd::new(mounts, PollFlags::PRI)));
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR | Errno::NOMEM | Errno::AGAIN) => return Ok(Vec::new()),
            Err(errno) => return Err(Message::UnableToPoll(errno.into()).into()),
        }
        let is_mounted = mounts.is_some()
            && descriptors
                .last()
                .is_some_and(|mounts| mounts.revents().contains(PollFlags::PRI));
        let ended = adopted.into_iter().zip(&descriptors);
        let ended = ended
            .filter(|(_, descriptor)| !descriptor.revents().is_empty())
            .map(|(id, _)| id.clone())
            .collect();
        if is_mounted {
            self.survey.note_mount(Instant::now());
        }
        Ok(ended)
    }

    fn timeout(&self, busy: bool) -> Option<Timespec> {
        let now = Instant::now();
        let deadlines = [
            self.scan.deadline(now),
            self.survey.deadline(),
            self.essentials.deadline(),
        ];
        let deadline = deadlines.into_iter().flatten().min();
        let left = deadline.map(|at| at.saturating_duration_since(now));
        let left = if busy { Some(Duration::ZERO) } else { left };
        left.and_then(|left| Timespec::try_from(left).ok())
    }

    fn take_signals(&mut self) {
        let (mut stop, mut rescan, mut leave, mut replace) = (false, false, false, false);
        let stop_signals = &self.stop_signals;
        let manners = self.manners;
        let code = &mut self.signal_code;
        self.signals.take(|signal| {
            *code = code.or(manners.exit_code(signal));
            match manners.meaning(signal) {
                signal if stop_signals.contains(&signal) => stop = true,
                Signal::TERM | Signal::INT => stop = true,
                Signal::HUP => rescan = true,
                Signal::QUIT => leave = true,
                Signal::USR2 => replace = true,
                _ => {}
            }
        });
        if leave {
            self.exit = Some(exit::DONE);
        }
        if stop {
            self.terminate(Cause::Signal);
        }
        if replace && !leave && !self.scan.is_stopping() {
            self.replace();
        }
        if rescan {
            self.look_at_all();
            self.step(Event::RetryNow);
        }
    }

    /// Executes the program again, which may be a newer one now.
    fn replace(&mut self) {
        if let Some(invocation) = &self.invocation {
            let why = self.spawner.with_given_limit(|| invocation.execute());
            let message = Message::UnableToReplace(invocation.program().clone(), why);
            self.messages.warn(&message);
        }
    }

    /// Begins to stop everything; once.
    fn terminate(&mut self, cause: Cause) {
        if !self.scan.is_stopping() {
            self.notify(notify::STOPPING);
        }
        self.step(Event::Terminate(cause));
    }

    fn reap(&mut self) {
        for (id, status) in self.holdings.supervises.reap() {
            self.warn_of_signal(&id, status);
            self.step(match status.exit_status() {
                Some(100 | 111) => Event::Failed(id),
                _ => Event::Ended(id),
            });
        }
    }

    fn warn_of_signal(&self, id: &Id, status: WaitStatus) {
        let signal = status.terminating_signal().and_then(Signal::from_number);
        if let (Some(signal), Some(unit)) = (signal, self.scan.units().get(id)) {
            let name = unit.name.clone();
            self.messages.warn(&Message::SuperviseKilled(name, signal));
        }
    }

    fn take_changes(&mut self) {
        let changes = self.survey.take_changes(Instant::now(), &mut self.messages);
        for id in changes.statuses {
            self.check_essential(&id);
        }
        if let Some(view) = changes.view {
            self.take_view(view);
        }
    }

    fn look_at_all(&mut self) {
        let view = self.survey.look_at_all(Instant::now(), &mut self.messages);
        self.take_view(view);
    }

    fn take_view(&mut self, view: View) {
        let services = match view {
            View::Away => return self.step(Event::Away),
            View::Services(services) => services,
        };
        self.holdings.directories.hold(&services);
        for id in self.holdings.directories.deleted() {
            self.step(Event::Deleted(id));
        }
        // Their supervises were started before the option was there: their status is not watched.
        let is_new = |unit: &Unit| !unit.essential;
        let essential = services.iter().filter(|service| service.essential);
        let newly_essential: Vec<Id> = essential
            .filter(|service| self.scan.units().get(&service.id).is_some_and(is_new))
            .map(|service| service.id.clone())
            .collect();
        self.step(Event::Listed(services));
        for id in newly_essential {
            self.essentials.add(&id, Instant::now());
        }
    }

    fn step(&mut self, event: Event) {
        self.scan.step(event, Instant::now());
    }

    /// Decides, and does what is decided; true: there was something to do.
    fn decide(&mut self) -> bool {
        let actions = self.scan.decide(Instant::now());
        let busy = !actions.is_empty();
        for action in actions {
            for event in self.perform(action) {
                self.step(event);
            }
        }
        busy
    }

    /// Performs an action; returns what came of it.
    fn perform(&mut self, action: Action) -> Vec<Event> {
        let units = self.scan.units();
        match action {
            Action::Start(id) => return self.start(&id),
            Action::End(id, ending) => {
                return Vec::from_iter(stop::end(&id, ending, units, &mut self.holdings));
            }
            Action::Check(id) => {
                let stopping = self.scan.is_stopping();
                return vec![stop::check(&id, stopping, units, &self.holdings)];
            }
            Action::Forget(id) => self.holdings.forget(&id, units),
            Action::Kill(id) => {
                if let Some(unit) = units.get(&id) {
                    self.messages.warn(&Message::Killing(unit.name.clone()));
                }
                stop::kill(&id, units, &self.holdings);
            }
            Action::Ready => self.notify(notify::READY),
            Action::Exit(code) => self.exit = Some(code),
        }
        Vec::new()
    }

    fn start(&mut self, id: &Id) -> Vec<Event> {
        let units = self.scan.units();
        let mut starter = Starter {
            units,
            holdings: &mut self.holdings,
            lock: self.survey.lock(),
            spawner: &self.spawner,
            messages: &mut self.messages,
        };
        let events = starter.start(id);
        if units.get(id).is_some_and(|unit| unit.essential) {
            self.essentials.add(id, Instant::now());
        }
        events
    }

    /// Watches the states of the essential services that are not watched yet.
    fn watch_essentials(&mut self) {
        let now = Instant::now();
        for id in self.essentials.due(now) {
            let layout = self.holdings.layout(&id, self.scan.units());
            let watches = self.survey.watches();
            let watched = match (layout, self.scan.units().get(&id)) {
                (_, None) => None,
                (None, Some(_)) => Some(Err(Errno::NOENT)),
                (Some(layout), Some(_)) => Some(watches.state(&layout.state, &id)),
            };
            self.essentials.watched(&id, watched, now);
            // After the watch began, so that no change between the two is missed.
            self.check_essential(&id);
        }
    }

    /// Stops everything if this essential service has ended for good.
    fn check_essential(&mut self, id: &Id) {
        let units = self.scan.units();
        let Some(unit) = units.get(id).filter(|unit| unit.essential) else {
            return;
        };
        let supervise = self.holdings.supervises.pid(id);
        let code = supervise.and_then(|supervise| {
            let layout = self.holdings.layout(id, units)?;
            essential::exit_code(&layout, supervise)
        });
        if let Some(code) = code
            && !self.scan.is_stopping()
        {
            let message = Message::EssentialEnded(unit.name.clone(), code);
            self.messages.warn(&message);
            self.terminate(Cause::Essential(code));
        }
    }

    fn notify(&self, message: &str) {
        if let Err(error) = notify(message) {
            self.messages.warn(&Message::UnableToNotify(error.into()));
        }
    }
}
