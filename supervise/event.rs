//! The vocabulary between the machine and the shell around it: what happened, and what to do.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::options::Options;
use servicedir::process::Identity;
use servicedir::signal::Signal;
use servicedir::status::End;
use servicedir::tai64n::Tai64n;

use crate::message::Message;

/// A point in time on both clocks: the monotonic one decides, the wall clock is only written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    /// For deadlines.
    pub(crate) clock: Instant,
    /// For the status record.
    pub(crate) label: Tai64n,
}

/// A program that the machine has started beside, before or after the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// `./run`, held until it is released.
    Run,
    /// `./finish`, told how the run ended and in which process group it was.
    Finish { end: End, group: Option<Pid> },
    /// `./check`.
    Check,
    /// `./control/LETTER`, and what its end decides.
    Script { letter: u8, purpose: Purpose },
}

/// What a script in `control/` is run for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// `control/u`: before a start; its result does not matter.
    Start,
    /// In place of a signal to the run of this pid: 0 means that the signal is not needed.
    InsteadOf { signal: Signal, run: Pid },
    /// `control/t`, in place of the stop signal of a stop.
    Stop { run: Pid },
    /// `control/d` and `control/x`: after a stop signal; nothing depends on it.
    After,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The supervise is there, and decides whether its service is started.
    Begin { down: bool },
    /// A byte came through the control FIFO; `None` if it is unknown.
    Command(Option<Control>),
    /// TERM or INT came to supervise itself: down and exit.
    Terminate,
    /// The answer to [`Action::ReadOptions`].
    Options(Result<Box<Options>, Unread>),
    /// The answer to [`Action::Spawn`].
    Spawned(Job, Identity),
    /// The other answer: the program is not there (`None`), or could not be started.
    NotSpawned(Job, Option<i32>),
    /// The released run has become `./run`.
    Executed,
    /// The released run could not become `./run`, for this errno; its end follows.
    Refused { why: String, errno: i32 },
    /// A process has ended. It may still be a zombie, so that its pid and group are still its own.
    Ended(Pid, End),
    /// No process is left of the group that [`Action::AwaitGroup`] named.
    GroupEmpty,
    /// The service told something of itself.
    Notice(Notice),
    /// The [`deadline`](super::machine::Machine::deadline) has passed.
    Passed,
}

/// Why the options could not be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unread {
    /// A file is wrong, in words.
    Fault(String),
    /// The system failed, which says nothing about the files: why, in words, and the errno.
    Passing(String, i32),
}

/// What a service tells of itself, by the readiness descriptor or by sd_notify(3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// `READY=1`, or a newline on the readiness descriptor.
    Ready,
    /// `RELOADING=1`: it will say when it is ready again.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=`.
    Status(String),
    /// `ERRNO=`.
    Errno(i32),
    /// `MAINPID=`, checked to be a process of the service.
    MainPid(Identity),
    /// `WATCHDOG=1`.
    WatchdogFed,
    /// `WATCHDOG=trigger`.
    WatchdogTrigger,
    /// `WATCHDOG_USEC=`; none for 0.
    WatchdogInterval(Option<Duration>),
    /// `EXTEND_TIMEOUT_USEC=`.
    Extend(Duration),
}

/// What to do. Actions are done in order; the answer to one is an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Read the option files; answered by [`Event::Options`].
    ReadOptions,
    /// Start a program; answered by [`Event::Spawned`] or [`Event::NotSpawned`].
    Spawn(Job),
    /// Let the held run go on, after its pid has been recorded.
    Release,
    /// Send a signal to a process that was spawned, or to its whole group.
    Signal {
        to: Pid,
        signal: Signal,
        group: bool,
    },
    /// Watch what is left of the process group of a run that has ended, and that this was the leader
    /// of or a member of; answered by [`Event::GroupEmpty`] when it is empty.
    AwaitGroup(Pid),
    /// Say a warning.
    Warn(Message),
    /// Exit; what still runs is left alone.
    Leave,
}
