//! A model of the world around the machine: the files of a service directory, and living processes.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::options::Options;
use servicedir::process::{Identity, World as Boot};
use servicedir::signal::Signal;
use servicedir::status::{self, End, Status};
use servicedir::tai64n::Tai64n;

use super::super::{Machine, State};
use crate::event::{Action, Event, Job, Moment, Notice, Unread};

/// What a process is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Role {
    Run,
    Finish,
    Check,
    Script(u8),
}

/// What happens in a row of a script.
#[expect(
    clippy::large_enum_variant,
    reason = "rows of a table in a test: there are few, and they read best as they are"
)]
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// The supervise is there; no file `down`.
    Begin,
    /// Bytes on the control FIFO.
    Say(&'static str),
    /// TERM to supervise itself.
    Terminate,
    /// The run has become `./run`.
    Executed,
    /// It could not, for this errno.
    Refused(i32),
    /// The run ended with this code.
    Exits(u8),
    /// The run was ended by this signal.
    Killed(Signal),
    /// `finish` ended with this code.
    FinishExits(u8),
    /// `check` ended with this code.
    CheckExits(u8),
    /// `control/LETTER` ended with this code.
    ScriptExits(char, u8),
    /// The deadline is now, and passes.
    Passed,
    /// The service told something of itself.
    Notice(Notice),
    /// From now on the option files are these.
    Options(Options),
    /// From now on they have this fault.
    Fault(&'static str),
    /// From now on they cannot be read, for this errno.
    Unreadable(i32),
    /// The last process of the group that is stopped has ended.
    GroupEmpty,
    /// From now on fork(2) fails with this errno, or not.
    Fork(Option<i32>),
    /// The supervise was killed; another one goes on.
    Replaced,
}

/// The machine, and the processes that it made.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) machine: Machine,
    /// Milliseconds on the made-up clock.
    pub(crate) now: u64,
    zero: Instant,
    pub(crate) files: Result<Options, Unread>,
    pub(crate) finish: bool,
    pub(crate) check: bool,
    /// The letters of the scripts in `control/`.
    pub(crate) scripts: &'static str,
    pub(crate) fork: Option<i32>,
    /// Runs leave other processes in their groups.
    pub(crate) children: bool,
    /// The group that is watched, by its leader that has ended.
    rest: Option<Pid>,
    pub(crate) alive: Vec<(Pid, Role)>,
    /// The process whose end is being told.
    zombie: Option<Pid>,
    /// The run has become `./run`, or will not.
    pub(crate) decided: bool,
    /// Someone wants it up; `d` forbids every start.
    pub(crate) wanted: bool,
    /// Supervise was told to exit: there will be no start either.
    pub(crate) exiting: bool,
    pub(crate) left: bool,
    /// How many times the options were read.
    pub(crate) reads: u32,
    /// How many programs were to be started.
    pub(crate) forks: u32,
    /// How many deadlines were passed at once, in a look ahead.
    passes: u32,
    /// The times of all starts.
    pub(crate) starts: Vec<u64>,
    /// The warnings of the last step.
    pub(crate) warnings: Vec<String>,
    /// The arguments of the last `finish`.
    pub(crate) finished: Option<(End, Option<Pid>)>,
    /// The states that were entered, one after the other.
    pub(crate) states: Vec<status::State>,
}

/// The defaults with a change.
pub(crate) fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A service with those options, not started yet.
pub(crate) fn down(options: Options) -> World {
    World::new(options)
}

/// A service with those options that is RUNNING at second 1.
#[track_caller]
pub(crate) fn up(options: Options) -> World {
    let mut world = World::new(options);
    world.play(&At::Begin);
    world.play(&At::Executed);
    world.now = 1000;
    world.play(&At::Passed);
    assert_eq!(world.shown(), "RUNNING");
    world
}

/// Plays the rows: at so many milliseconds that happens, and then the state is this, after these
/// actions. Programs that are not there are not named; nor are the options' reading and the release.
#[track_caller]
pub(crate) fn check(mut world: World, rows: &[(u64, At, &str)]) -> World {
    for (at, event, expected) in rows {
        let due = world.deadline();
        assert!(
            due.is_none_or(|due| due >= *at),
            "{at} {event:?}: the deadline at {due:?} was not played"
        );
        assert!(world.now <= *at, "{at} {event:?}: back in time");
        if matches!(event, At::Passed) {
            assert_eq!(due, Some(*at), "{at}: what is due");
        }
        world.now = *at;
        let actions = world.play(event);
        let seen = [vec![world.shown().to_owned()], actions].concat().join(" ");
        assert_eq!(seen, *expected, "at {at}, after {event:?}");
    }
    world
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let zero = Instant::now() + Duration::from_secs(3600);
        let boot = Boot {
            boot: [7; 16],
            pid_namespace: 1,
        };
        let supervise = Pid::from_raw(9999).unwrap();
        Self {
            machine: Machine::new(boot, supervise, moment(zero, 0)),
            now: 0,
            zero,
            files: Ok(options),
            finish: false,
            check: false,
            scripts: "",
            fork: None,
            children: false,
            rest: None,
            alive: Vec::new(),
            zombie: None,
            decided: false,
            wanted: false,
            exiting: false,
            left: false,
            reads: 0,
            forks: 0,
            passes: 0,
            starts: Vec::new(),
            warnings: Vec::new(),
            finished: None,
            states: vec![status::State::Stopped],
        }
    }

    pub(crate) fn with_finish(mut self) -> Self {
        self.finish = true;
        self
    }

    pub(crate) fn with_check(mut self) -> Self {
        self.check = true;
        self
    }

    pub(crate) fn with_children(mut self) -> Self {
        self.children = true;
        self
    }

    pub(crate) fn with_scripts(mut self, letters: &'static str) -> Self {
        self.scripts = letters;
        self
    }

    pub(crate) fn moment(&self) -> Moment {
        moment(self.zero, self.now)
    }

    /// Milliseconds of a time.
    pub(crate) fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.zero).as_millis()).unwrap()
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.machine.deadline().map(|at| self.millis(at))
    }

    /// Milliseconds before (negative) or after now.
    pub(crate) fn zero(&self) -> Instant {
        self.zero
    }

    pub(crate) fn status(&self) -> Status {
        self.machine.status()
    }

    pub(crate) fn record(&self) -> status::Record {
        self.status().record.unwrap()
    }

    /// Whether `finish` is due, and was not started.
    pub(crate) fn finish_waits(&self) -> bool {
        matches!(&self.machine.state, State::Finish(finish) if finish.process.is_none())
    }

    /// Supervisor's name for the state.
    pub(crate) fn shown(&self) -> &'static str {
        self.record().state.name()
    }

    pub(crate) fn pid(&self, role: Role) -> Option<Pid> {
        self.alive
            .iter()
            .find(|(_, is)| *is == role)
            .map(|(pid, _)| *pid)
    }

    /// Lets that happen, and tells the actions in words.
    #[track_caller]
    pub(crate) fn play(&mut self, what: &At) -> Vec<String> {
        match what {
            At::Begin => {
                self.wanted = true;
                self.step(Event::Begin { down: false })
            }
            At::Say(bytes) => bytes.bytes().flat_map(|byte| self.say(byte)).collect(),
            At::Terminate => {
                self.wanted = false;
                self.exiting = true;
                self.step(Event::Terminate)
            }
            At::Executed => {
                self.decided = true;
                self.step(Event::Executed)
            }
            At::Refused(errno) => {
                self.decided = true;
                let why = format!("unable to run: errno {errno}");
                self.step(Event::Refused { why, errno: *errno })
            }
            At::Exits(code) => self.end(Role::Run, End::Exited(*code)),
            At::Killed(signal) => self.end(Role::Run, killed(*signal)),
            At::FinishExits(code) => self.end(Role::Finish, End::Exited(*code)),
            At::CheckExits(code) => self.end(Role::Check, End::Exited(*code)),
            At::ScriptExits(letter, code) => {
                let letter = u8::try_from(*letter).unwrap();
                self.end(Role::Script(letter), End::Exited(*code))
            }
            At::Passed => self.pass(),
            At::Notice(notice) => self.step(Event::Notice(notice.clone())),
            At::Options(options) => self.file_change(Ok(options.clone())),
            At::Fault(fault) => self.file_change(Err(Unread::Fault((*fault).to_owned()))),
            At::Unreadable(errno) => {
                self.files = Err(Unread::Passing(
                    "options: unable to read".to_owned(),
                    *errno,
                ));
                Vec::new()
            }
            At::GroupEmpty => {
                assert!(self.rest.take().is_some(), "no group is awaited");
                self.step(Event::GroupEmpty)
            }
            At::Fork(errno) => {
                self.fork = *errno;
                Vec::new()
            }
            At::Replaced => self.replace(),
        }
    }

    fn file_change(&mut self, files: Result<Options, Unread>) -> Vec<String> {
        self.files = files;
        Vec::new()
    }

    /// A byte comes through the control FIFO.
    #[track_caller]
    fn say(&mut self, byte: u8) -> Vec<String> {
        match byte {
            b'u' | b'o' | b'r' => self.wanted = true,
            b'd' => self.wanted = false,
            b'x' => self.exiting = true,
            _ => {}
        }
        self.step(Event::Command(Control::from_byte(byte)))
    }

    /// The deadline is reached. Whatever was due is not due any more.
    #[track_caller]
    fn pass(&mut self) -> Vec<String> {
        let starts = self.starts.len();
        let before = self.starts.last().copied();
        let shown = self.shown();
        let actions = self.step(Event::Passed);
        // One may lead to another that is due at once (stopwaitsecs 0), but not on and on.
        let mut later = self.clone();
        while later.deadline().is_some_and(|due| due <= later.now) && later.passes < 3 {
            later.passes += 1;
            later.step(Event::Passed);
        }
        assert!(later.passes < 3, "a deadline stands still");
        if let (Some(before), true) = (before, self.starts.len() > starts && shown == "EXITED") {
            assert!(self.now - before >= 1000, "two starts within a second");
        }
        actions
    }

    /// A process ends; until that is acted on it is a zombie, whose group can be signalled.
    #[track_caller]
    pub(crate) fn end(&mut self, role: Role, end: End) -> Vec<String> {
        let pid = self
            .pid(role)
            .unwrap_or_else(|| panic!("no {role:?} lives"));
        self.alive.retain(|(alive, _)| *alive != pid);
        self.zombie = Some(pid);
        let actions = self.step(Event::Ended(pid, end));
        self.zombie = None;
        actions
    }

    /// The machine takes the event in, and all that it asks for is done.
    #[track_caller]
    pub(crate) fn step(&mut self, event: Event) -> Vec<String> {
        self.warnings.clear();
        self.machine.step(event, self.moment());
        self.note_state();
        self.drain()
    }

    fn note_state(&mut self) {
        let state = self.record().state;
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
    }

    #[track_caller]
    fn drain(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(action) = self.machine.next_action() {
            let (said, answer) = self.perform(action);
            words.extend(said);
            if let Some(answer) = answer {
                self.machine.step(answer, self.moment());
                self.note_state();
            }
        }
        words
    }

    #[track_caller]
    fn perform(&mut self, action: Action) -> (Option<String>, Option<Event>) {
        match action {
            Action::ReadOptions => {
                self.reads += 1;
                let files = self.files.clone().map(Box::new);
                (None, Some(Event::Options(files)))
            }
            Action::Spawn(job) => self.spawn(job),
            Action::Release => {
                assert_eq!(self.status().pid, self.pid(Role::Run), "unknown to status");
                (None, None)
            }
            Action::Signal { to, signal, group } => {
                let role = self.alive.iter().find(|(pid, _)| *pid == to);
                let dying = group && (self.zombie == Some(to) || self.rest == Some(to));
                assert!(role.is_some() || dying, "{signal} to nobody: {to:?}");
                let name = signal.to_string();
                let mut word = name.strip_prefix("SIG").unwrap_or(&name).to_owned();
                match role {
                    Some((_, Role::Run)) | None => {}
                    Some((_, Role::Finish)) => word.push_str("-finish"),
                    Some((_, Role::Check)) => word.push_str("-check"),
                    Some((_, Role::Script(letter))) => {
                        word.push('-');
                        word.push(char::from(*letter));
                    }
                }
                if group {
                    word.push_str("-group");
                }
                (Some(word), None)
            }
            Action::AwaitGroup(leader) if self.children => {
                self.rest = Some(leader);
                (None, None)
            }
            Action::AwaitGroup(_) => (None, Some(Event::GroupEmpty)),
            Action::Warn(message) => {
                self.warnings.push(message.to_string());
                (None, None)
            }
            Action::Leave => {
                self.left = true;
                (Some("leave".to_owned()), None)
            }
        }
    }

    #[track_caller]
    fn spawn(&mut self, job: Job) -> (Option<String>, Option<Event>) {
        let (role, word, there) = match job {
            Job::Run => (Role::Run, "run".to_owned(), true),
            Job::Finish { end, group } => {
                self.finished = Some((end, group));
                (Role::Finish, "finish".to_owned(), self.finish)
            }
            Job::Check => (Role::Check, "check".to_owned(), self.check),
            Job::Script { letter, .. } => {
                let letter_char = char::from(letter);
                let there = self.scripts.contains(letter_char);
                (
                    Role::Script(letter),
                    format!("control/{letter_char}"),
                    there,
                )
            }
        };
        if role == Role::Run {
            assert!(self.wanted, "a start after d");
            assert!(!self.exiting, "a start after x");
            for other in [Role::Run, Role::Finish] {
                assert_eq!(self.pid(other), None, "a start beside a {other:?}");
            }
            self.starts.push(self.now);
        }
        if !there {
            return (None, Some(Event::NotSpawned(job, None)));
        }
        self.forks += 1;
        if let Some(errno) = self.fork {
            let word = format!("no-{word}");
            return (Some(word), Some(Event::NotSpawned(job, Some(errno))));
        }
        let pid = self.free_pid();
        self.alive.push((pid, role));
        self.alive.sort_by_key(|(_, role)| *role);
        if role == Role::Run {
            self.decided = false;
        }
        (Some(word), Some(Event::Spawned(job, identity(pid))))
    }

    /// The lowest pid that is neither alive nor known to the machine.
    fn free_pid(&self) -> Pid {
        let known = format!("{:?}", self.machine);
        (7001..7999)
            .find(|pid| {
                let raw = Pid::from_raw(*pid).unwrap();
                let lives = self.alive.iter().any(|(alive, _)| *alive == raw);
                !lives && self.zombie != Some(raw) && !known.contains(&pid.to_string())
            })
            .and_then(Pid::from_raw)
            .unwrap()
    }

    /// The supervise is killed, and the next one takes over from the status file. Its scripts and
    /// checks are nobody's children then.
    #[track_caller]
    pub(crate) fn replace(&mut self) -> Vec<String> {
        let bytes = self.status().pack();
        let status = Status::unpack(&bytes).unwrap();
        let record = status.record.clone().unwrap();
        let process = status.pid;
        self.alive
            .retain(|(pid, role)| Some(*pid) == process || *role == Role::Run);
        self.decided |= self.pid(Role::Run).is_some();
        let started = self.starts.last().copied().unwrap_or(self.now);
        let now = self.moment();
        let mut machine = Machine::new(record.world, Pid::from_raw(9998).unwrap(), now);
        let files = self.files.clone().map(Box::new);
        let started = self.zero + Duration::from_millis(started);
        machine.resume(&status, &record, files, started, now);
        self.machine = machine;
        self.warnings.clear();
        self.note_state();
        self.drain()
    }
}

/// A moment on the made-up clock.
fn moment(zero: Instant, millis: u64) -> Moment {
    let since = Duration::from_millis(millis);
    Moment {
        clock: zero + since,
        label: Tai64n::from_unix(1_800_000_000 + since.as_secs(), since.subsec_nanos()),
    }
}

pub(crate) fn identity(pid: Pid) -> Identity {
    Identity {
        pid,
        start: u64::try_from(pid.as_raw_nonzero().get()).unwrap(),
    }
}

pub(crate) fn killed(signal: Signal) -> End {
    End::Killed {
        signal,
        core: false,
    }
}
