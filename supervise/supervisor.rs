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

use crate::child::go_ahead::Held;
use crate::child::launcher::Launcher;
use crate::event::{Action, Event, Job, Moment};
use crate::files::published::Published;
use crate::files::state_dir::StateDir;
use crate::machine::Machine;
use crate::message::{Message, inform, warn};
use crate::processes::adopted::Adopted;
use crate::processes::children;
use crate::readiness::source::Readiness;

/// All that one supervise has.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) machine: Machine,
    pub(crate) files: StateDir,
    pub(crate) published: Published,
    pub(crate) launcher: Launcher,
    /// The process that another supervise started, or that the service named as its main one.
    pub(crate) adopted: Option<Adopted>,
    pub(crate) readiness: Readiness,
    /// The run that was forked and has not become `./run` yet.
    pub(crate) held: Option<Held>,
    pub(crate) leaving: bool,
    /// It was called by the name of runit's `runsv`, where `x` stops the service too.
    pub(crate) is_runsv: bool,
    /// See [`crate::log_pipes`]; kept open only.
    pub(crate) _log_pipes: Vec<OwnedFd>,
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
                if let Some(held) = &mut self.held {
                    held.release();
                }
            }
            Action::Signal { to, signal, group } => self.send(to, signal, group),
            Action::Warn(message) => self.warn(&message),
            Action::Leave => {
                // The status of this turn is the last one: the next supervise goes by it.
                self.published.retry_now();
                self.leaving = true;
            }
        }
        None
    }

    /// Writes the files that tell the machine's state, where they changed.
    pub(crate) fn publish(&mut self) {
        self.published.publish(
            &mut self.files,
            &self.machine.status(),
            &self.machine.stat(),
            &self.launcher.shown,
        );
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

    /// A process that has ended meanwhile is not an error: its end is the next event.
    fn send(&self, to: Pid, signal: Signal, group: bool) {
        let sent = match &self.adopted {
            Some(adopted) if adopted.pid() == to => adopted.signal(signal, group),
            Some(_) | None => children::kill_child(to, signal, group),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => self.warn(&Message::NotSignalled {
                signal,
                why: errno.into(),
            }),
        }
    }
}

/// The options of the service in the working directory; a fault in words.
pub(crate) fn read_options() -> Result<Box<options::Options>, String> {
    options::read(Path::new("."))
        .map(Box::new)
        .map_err(|fault| fault.to_string())
}
