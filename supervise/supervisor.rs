//! A supervise at work: the machine, and the calls that do what it asks for.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::options;
use servicedir::process::Identity;
use servicedir::report::Why;
use servicedir::signal::Signal;
use servicedir::tai64n::Tai64n;

use crate::child::closer::Closers;
use crate::child::go_ahead::Held;
use crate::event::{Action, Event, Job, Moment, Unread};
use crate::files::journal::JournalFile;
use crate::files::published::Published;
use crate::files::state_dir::StateDir;
use crate::launcher::Launcher;
use crate::machine::Machine;
use crate::message::{Message, inform, warn};
use crate::processes::adopted::Adopted;
use crate::processes::children;
use crate::processes::group::Group;
use crate::readiness::source::Readiness;

/// All that one supervise has.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) machine: Machine,
    pub(crate) files: StateDir,
    pub(crate) published: Published,
    pub(crate) journal: JournalFile,
    pub(crate) launcher: Launcher,
    /// The process that another supervise started, or that the service named as its main one.
    pub(crate) adopted: Option<Adopted>,
    /// What is left of the group of a run that is being stopped.
    pub(crate) group: Option<Rest>,
    pub(crate) readiness: Readiness,
    pub(crate) closers: Closers,
    /// The run that was forked and has not become `./run` yet.
    pub(crate) held: Option<Held>,
    /// The signals that the system refused to send for a reason that passes.
    pub(crate) unsent: Vec<Unsent>,
    pub(crate) leaving: bool,
    /// It was called by the name of runit's `runsv`, where `x` stops the service too.
    pub(crate) is_runsv: bool,
    /// See [`crate::log_pipes`]; kept open only.
    pub(crate) _log_pipes: Vec<OwnedFd>,
}

/// The rest of a run's group.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The run that has ended, by which the machine names it.
    run: Pid,
    pub(crate) group: Group,
}

/// A signal to a process, or to its group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsent {
    to: Pid,
    signal: Signal,
    group: bool,
}

/// This moment on both clocks.
pub(crate) fn now() -> Moment {
    Moment {
        clock: Instant::now(),
        label: Tai64n::now(),
    }
}

impl Supervisor {
    /// Gives the machine an event, and does what it asks for.
    pub(crate) fn handle(&mut self, event: Event) {
        self.machine.step(event, now());
        self.drain();
    }

    /// Does what the machine asks for, until it asks for nothing more.
    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.machine.next_action() {
            if let Some(answer) = self.perform(action) {
                self.machine.step(answer, now());
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::ReadOptions => return Some(Event::Options(read_options())),
            Action::Spawn(job) => return Some(self.spawn(job)),
            Action::Release => {
                // Only now: there is never a run that the status does not know.
                self.published.retry_now();
                self.publish();
                return self.release();
            }
            Action::Signal { to, signal, group } => self.send(Unsent { to, signal, group }),
            Action::AwaitGroup(run) => return self.await_group(run),
            Action::Warn(message) => self.warn(&message),
            Action::Leave => {
                // The status of this turn is the last one: the next supervise goes by it.
                self.published.retry_now();
                self.leaving = true;
            }
        }
        None
    }

    /// Gives the go-ahead. A run that cannot get it must not wait for it: it ends, as a failed start.
    fn release(&mut self) -> Option<Event> {
        let why = Why::from(self.held.as_mut()?.release().err()?);
        self.held = None;
        Some(Event::Refused {
            why: format!("unable to release run: {why}"),
            errno: why.0,
        })
    }

    /// Writes the files that tell the machine's state, where they changed. The lines of the journal
    /// come first: what a status shows is in the journal by then.
    pub(crate) fn publish(&mut self) {
        let lines = self.machine.take_journal();
        let shown = &self.launcher.shown;
        let outcome = self.journal.append(&self.files, &lines);
        let (status, stat) = (self.machine.status(), self.machine.stat());
        self.published
            .publish(&mut self.files, &status, &stat, shown);
        // A state directory that was removed is there again by now.
        let outcome = match outcome {
            Err(error) if error.is_no_directory() => self.journal.append(&self.files, &lines),
            other => other,
        };
        if !lines.is_empty() {
            self.journal.report(outcome, shown);
        }
    }

    pub(crate) fn warn(&self, message: &Message) {
        warn(&self.launcher.shown, message);
    }

    pub(crate) fn inform(&self, message: &Message) {
        inform(&self.launcher.shown, message);
    }

    fn spawn(&mut self, job: Job) -> Event {
        let options = self.machine.options();
        let spawned = match job {
            Job::Run => self
                .launcher
                .run(options, &self.files)
                .map(|(pid, held, readiness)| {
                    self.held = Some(held);
                    self.readiness.close(&mut self.closers);
                    self.readiness = readiness;
                    self.adopted = None;
                    Some(pid)
                }),
            Job::Finish { .. } | Job::Check | Job::Script { .. } => {
                self.launcher.beside(job, options)
            }
        };
        match spawned {
            Ok(Some(pid)) => self.identify(job, pid),
            Ok(None) => Event::NotSpawned(job, None),
            Err(error) => {
                let why = Why::from(error);
                if job != Job::Run {
                    self.warn(&Message::NoFork(why));
                }
                Event::NotSpawned(job, Some(why.0))
            }
        }
    }

    /// Reads the start time of a new child. Without it a later supervise could not recognise the run,
    /// so the run is abandoned. Where /proc is not mounted no run can be recognised nor adopted.
    fn identify(&mut self, job: Job, pid: Pid) -> Event {
        match Identity::read(pid) {
            Err(error) if job == Job::Run && error.kind() != io::ErrorKind::NotFound => {
                // Without its go-ahead it ends.
                self.held = None;
                Event::NotSpawned(job, Some(Why::from(error).0))
            }
            Err(_) => Event::Spawned(job, Identity { pid, start: 0 }),
            Ok(identity) => Event::Spawned(job, identity),
        }
    }

    /// The leader is a child that was not reaped yet, or was adopted. Otherwise its pid may be another
    /// process's, and the stop is over.
    fn await_group(&mut self, run: Pid) -> Option<Event> {
        let found = match &self.adopted {
            Some(adopted) if adopted.pid() == run => adopted.group(),
            Some(_) | None => children::descriptor(run).map(|leader| (run, leader)),
        };
        let Some((number, leader)) = found else {
            return Some(Event::GroupEmpty);
        };
        let group = Group::new(number, leader, Instant::now());
        self.group = Some(Rest { run, group });
        None
    }

    /// Sends a signal now, or as soon as the system does not refuse it.
    fn send(&mut self, signal: Unsent) {
        if !self.unsent.is_empty() || !self.try_send(signal) {
            self.unsent.push(signal);
        }
    }

    /// Tries the signals again that the system refused, in their order.
    pub(crate) fn send_unsent(&mut self) {
        let mut waiting = std::mem::take(&mut self.unsent).into_iter();
        for signal in waiting.by_ref() {
            if !self.try_send(signal) {
                self.unsent.push(signal);
                break;
            }
        }
        self.unsent.extend(waiting);
    }

    /// Whether the matter is settled: a process that has ended meanwhile is not an error, since its end
    /// is the next event.
    fn try_send(&self, Unsent { to, signal, group }: Unsent) -> bool {
        let sent = match (&self.group, &self.adopted) {
            (Some(rest), _) if group && rest.run == to => rest.group.signal(signal),
            (_, Some(adopted)) if adopted.pid() == to => adopted.signal(signal, group),
            (_, _) => children::kill_child(to, signal, group),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => true,
            Err(errno @ (Errno::PERM | Errno::INVAL)) => {
                self.warn(&Message::NotSignalled {
                    signal,
                    why: errno.into(),
                });
                true
            }
            Err(_) => false,
        }
    }
}

/// The options of the service in the working directory.
pub(crate) fn read_options() -> Result<Box<options::Options>, Unread> {
    loop {
        match options::read(Path::new(".")) {
            Ok(options) => return Ok(Box::new(options)),
            Err(fault) => match fault.errno.filter(|_| fault.passing) {
                Some(libc::EINTR) => {}
                Some(errno) => return Err(Unread::Passing(fault.to_string(), errno)),
                None => return Err(Unread::Fault(fault.to_string())),
            },
        }
    }
}
