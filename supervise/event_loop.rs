//! The loop around the machine: descriptors to events, actions to calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::options;
use servicedir::process::Identity;
use servicedir::report::{Failure, Reporter, Why};
use servicedir::signal::{Signal, WakePipe};
use servicedir::status::Phase;
use servicedir::tai64n::Tai64n;

use crate::adopt::Adopted;
use crate::announce::Announced;
use crate::event::{Action, Event, Job, Moment, Notice};
use crate::journal_file::JournalFile;
use crate::launch::Launcher;
use crate::machine::Machine;
use crate::process;
use crate::readiness::Readiness;
use crate::spawn::{Held, Outcome};
use crate::state_dir::StateDir;

/// How much of what the service tells is heard at a turn: somebody who floods its socket must not keep
/// supervise from its other work.
const AT_A_TURN: usize = 32;

/// How much is heard once the service has ended: all that it may have said before that, since no
/// socket's queue is set to be longer.
const LAST_WORDS: usize = 1024;

/// A supervise at work.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) machine: Machine,
    pub(crate) files: StateDir,
    pub(crate) signals: Signals,
    pub(crate) launcher: Launcher,
    pub(crate) reporter: Reporter,
    /// The process that another supervise started, or that the service named as its main one.
    pub(crate) adopted: Option<Adopted>,
    pub(crate) readiness: Readiness,
    pub(crate) held: Option<Held>,
    /// Whoever waits for these to be closed, waits until the status says what was told before.
    pub(crate) barriers: Vec<OwnedFd>,
    pub(crate) announced: Announced,
    pub(crate) journal: JournalFile,
    pub(crate) leaving: bool,
    pub(crate) _log_pipes: Vec<OwnedFd>,
}

/// The signals to supervise itself, by what they mean.
#[derive(Debug)]
pub(crate) struct Signals {
    /// CHLD: some child has ended.
    pub(crate) children: WakePipe,
    /// TERM and INT: down and exit.
    pub(crate) terminate: WakePipe,
}

/// This moment on both clocks.
pub(crate) fn now() -> Moment {
    Moment {
        clock: Instant::now(),
        label: Tai64n::now(),
    }
}

impl Supervisor {
    /// Runs until the machine leaves.
    ///
    /// # Errors
    /// poll(2) fails, which it does only without memory.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        self.announce();
        // Whoever finds `ok` open is to find a status too.
        if let Err(failure) = self.files.open_ok() {
            // The service runs by now: whatever is in the way, it is not left alone for that.
            self.reporter.warning(failure);
        }
        while !self.leaving {
            let seen = self
                .wait()
                .map_err(|errno| Failure::system("unable to poll", errno))?;
            self.turn(seen);
        }
        Ok(())
    }

    /// One turn, always in this order. Signals are drained before children are reaped: the reverse
    /// order loses a child that ends in between. All has happened before the status is written once.
    fn turn(&mut self, seen: Seen) {
        let watched = self.adopted.as_ref().map(Adopted::pid);
        let _ended = self.signals.children.drain();
        self.reap();
        self.hear_of_the_run();
        // What was seen is not of a process that has been named since.
        let same = watched == self.adopted.as_ref().map(Adopted::pid);
        self.look_at_adopted(if same {
            seen.adopted
        } else {
            PollFlags::empty()
        });
        if !seen.readiness.is_empty() {
            self.hear_notices(AT_A_TURN);
        }
        if self.signals.terminate.drain() {
            self.happen(Event::Terminate);
        }
        if !seen.control.is_empty() {
            self.read_control();
        }
        if self
            .machine
            .deadline()
            .is_some_and(|at| at <= Instant::now())
        {
            self.happen(Event::Passed);
        }
        if self.machine.process().0 != Phase::Run {
            self.readiness = Readiness::None;
        }
        self.announce();
        self.barriers.clear();
    }

    /// Takes in an event, and does what follows from it.
    pub(crate) fn happen(&mut self, event: Event) {
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
            Action::ReadOptions => {
                let options = options::read(std::path::Path::new("."));
                return Some(Event::Options(
                    options.map(Box::new).map_err(|fault| fault.to_string()),
                ));
            }
            Action::Spawn(job) => return Some(self.spawn(job)),
            Action::Release => {
                // Only now: there is never a run that the status does not know.
                self.announced.not_put_off();
                self.announce();
                if let Some(held) = &mut self.held {
                    held.release();
                }
            }
            Action::Signal { to, signal, group } => self.send(to, signal, group),
            Action::Warn(message) => self.warn(&message),
            Action::Leave => {
                // The status of this turn is the last one: whoever comes next goes by it.
                self.announced.not_put_off();
                self.leaving = true;
            }
        }
        None
    }

    pub(crate) fn warn(&self, message: &str) {
        if stderr_takes() {
            self.reporter
                .warning(format_args!("{}: {message}", self.launcher.shown.display()));
        }
    }

    pub(crate) fn inform(&self, message: &str) {
        if stderr_takes() {
            self.reporter
                .info(format_args!("{}: {message}", self.launcher.shown.display()));
        }
    }

    fn spawn(&mut self, job: Job) -> Event {
        let spawned = match job {
            Job::Run => self
                .launcher
                .run(self.machine.options(), &self.files, self.reporter)
                .map(|(pid, held, readiness)| {
                    self.held = Some(held);
                    self.readiness = readiness;
                    self.adopted = None;
                    Some(pid)
                }),
            Job::Finish { .. } | Job::Check | Job::Script { .. } => {
                self.launcher
                    .beside(job, self.machine.options(), self.reporter)
            }
        };
        match spawned {
            Ok(Some(pid)) => self.identify(job, pid),
            Ok(None) => Event::NotSpawned(job, None),
            Err(error) => {
                if job != Job::Run {
                    self.warn(&format!("unable to fork: {}", Why::from(&error)));
                }
                Event::NotSpawned(job, Some(Why::from(error).0))
            }
        }
    }

    /// A run of which nobody could tell later that it is the one of the status is given up at once.
    /// Where /proc is not mounted there is no telling, and no adoption.
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

    /// A process that has ended meanwhile is no fault: its end is the next event.
    fn send(&self, to: Pid, signal: Signal, group: bool) {
        let sent = match &self.adopted {
            Some(adopted) if adopted.pid() == to => adopted.signal(signal, group),
            Some(_) | None => process::kill_child(to, signal, group),
        };
        match sent {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => self.warn(&format!("unable to send {signal}: {}", Why::from(errno))),
        }
    }

    /// Reaps all children that have ended, each after its end has been acted on, since a pid and a
    /// group are a process's own only as long as it is there.
    fn reap(&mut self) {
        while let Some((pid, end)) = process::next_ended() {
            let process = self.machine.process().1;
            if process.is_some_and(|process| process.pid == pid) {
                // What it says of itself comes before its end: a run that could not become `./run`
                // has not exited 111, and it may have named another main process.
                self.hear_of_the_run();
                self.hear_notices(LAST_WORDS);
            }
            self.happen(Event::Ended(pid, end));
            process::reap(pid);
        }
    }

    /// Whether the released run has become `./run`.
    fn hear_of_the_run(&mut self) {
        let Some(held) = &mut self.held else { return };
        let event = match held.outcome() {
            Outcome::Undecided => return,
            Outcome::Executed => Event::Executed,
            Outcome::Refused(why, errno) => Event::Refused { why, errno },
        };
        self.held = None;
        self.happen(event);
    }

    fn look_at_adopted(&mut self, seen: PollFlags) {
        let Some(adopted) = &mut self.adopted else {
            return;
        };
        if let Some(end) = adopted.end(seen, Instant::now()) {
            let pid = adopted.pid();
            self.hear_notices(LAST_WORDS);
            self.happen(Event::Ended(pid, end));
            // Kept until here: the stop of its group goes through its descriptor.
            if self
                .adopted
                .as_ref()
                .is_some_and(|adopted| adopted.pid() == pid)
            {
                self.adopted = None;
            }
        }
    }

    /// Hears up to so many messages of the service.
    fn hear_notices(&mut self, limit: usize) {
        for _ in 0..limit {
            let (Phase::Run, Some(process)) = self.machine.process() else {
                return;
            };
            let Some(heard) = self.readiness.hear(process) else {
                return;
            };
            if let Some(main) = heard.main.filter(|main| *main != process)
                && let Ok(adopted) = Adopted::new(main)
            {
                self.adopted = Some(adopted);
                self.happen(Event::Notice(Notice::MainPid(main)));
            }
            for notice in heard.notices {
                self.happen(Event::Notice(notice));
            }
            self.barriers.extend(heard.barrier);
        }
    }

    fn read_control(&mut self) {
        let mut bytes = [0; 256];
        let Ok(count) = rustix::io::read(&self.files.control, &mut bytes) else {
            return;
        };
        for byte in bytes.iter().take(count) {
            self.happen(Event::Command(Control::from_byte(*byte)));
        }
    }

    /// Sleeps until something happens or a deadline has come.
    fn wait(&self) -> rustix::io::Result<Seen> {
        let deadlines = [
            self.machine.deadline(),
            self.announced.deadline(),
            self.adopted.as_ref().and_then(Adopted::deadline),
        ];
        let timeout = deadlines.into_iter().flatten().min().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::from(i32::MAX),
                tv_nsec: 0,
            })
        });
        let idle = self.signals.children.as_fd();
        let adopted = self.adopted.as_ref();
        let mut fds = [
            PollFd::from_borrowed_fd(idle, PollFlags::IN),
            PollFd::new(&self.signals.terminate, PollFlags::IN),
            PollFd::new(&self.files.control, PollFlags::IN),
            optional(self.held.as_ref().map(AsFd::as_fd), PollFlags::IN, idle),
            optional(self.readiness.descriptor(), PollFlags::IN, idle),
            optional(
                adopted.map(AsFd::as_fd),
                adopted.map_or(PollFlags::empty(), Adopted::interest),
                idle,
            ),
        ];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            // A turn like any other: a handler has run.
            Err(Errno::INTR) => return Ok(Seen::default()),
            Err(errno) => return Err(errno),
        }
        let [_, _, control, _, readiness, adopted] = fds.map(|fd| fd.revents());
        Ok(Seen {
            control,
            readiness,
            adopted,
        })
    }
}

/// Whether a line can be written to stderr without waiting: a log pipe that nobody reads must not stop
/// supervise from obeying.
fn stderr_takes() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(
        rustix::stdio::stderr(),
        PollFlags::OUT,
    )];
    let nothing = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&nothing)).is_ok_and(|ready| ready > 0)
}

/// A descriptor that may be missing: then another one, polled for nothing, keeps its place.
fn optional<'a>(
    fd: Option<BorrowedFd<'a>>,
    flags: PollFlags,
    stand_in: BorrowedFd<'a>,
) -> PollFd<'a> {
    match fd {
        Some(fd) => PollFd::from_borrowed_fd(fd, flags),
        None => PollFd::from_borrowed_fd(stand_in, PollFlags::empty()),
    }
}

/// What poll has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    control: PollFlags,
    readiness: PollFlags,
    adopted: PollFlags,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            control: PollFlags::empty(),
            readiness: PollFlags::empty(),
            adopted: PollFlags::empty(),
        }
    }
}
