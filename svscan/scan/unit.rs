//! What svscan keeps: one unit for every supervise, of a service or of its log.

use std::ffi::OsString;
use std::time::{Duration, Instant};

/// Which service directory a unit is: the directory itself, by whatever name it is reached, and the
/// instance for a link `worker@1` to a directory of another name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Id {
    /// The device of the directory.
    pub(crate) dev: u64,
    /// Its inode.
    pub(crate) ino: u64,
    /// What follows the `@` of an instance.
    pub(crate) instance: Option<OsString>,
}

/// Which of a service's outputs a log reads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stream {
    /// `log/`: descriptor 1.
    Out,
    /// `errlog/`: descriptor 2.
    Err,
}

/// The log services of a service, by the identities of their directories.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Logs {
    /// `log/`.
    pub(crate) out: Option<Id>,
    /// `errlog/`.
    pub(crate) err: Option<Id>,
}

impl Logs {
    /// Each log that there is, with the stream that it reads.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Stream, &Id)> {
        let out = self.out.iter().map(|id| (Stream::Out, id));
        out.chain(self.err.iter().map(|id| (Stream::Err, id)))
    }

    /// The log of one stream.
    pub(crate) fn of(&self, stream: Stream) -> Option<&Id> {
        match stream {
            Stream::Out => self.out.as_ref(),
            Stream::Err => self.err.as_ref(),
        }
    }
}

/// What a unit is there for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A service that stands in the scan directory.
    Main(Logs),
    /// A log service: it lives as long as one of the services that write to it.
    Log,
}

/// Why a service is to be stopped although svscan goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StopReason {
    /// It is not to be stopped.
    None,
    /// Its name is gone (and that is to stop it), or leads to another directory. The name may return.
    Removed,
    /// The directory itself is gone, for good.
    Deleted,
}

/// The state of a unit's supervise, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Slot {
    /// There is none; the next one is started at `at`.
    Due {
        /// When.
        at: Instant,
    },
    /// There is none, and its service lives: one is started at `at`, whatever the target is.
    Revive {
        /// When.
        at: Instant,
    },
    /// One is being started.
    Asked,
    /// It runs.
    Up,
    /// It was sent the commands to end; `then` is what follows if it is still there at that time.
    Ending {
        /// When, and what.
        then: Option<(Instant, Ending)>,
    },
    /// It is gone, and whether its service lives is being checked.
    Checking,
    /// It is gone, and whether its service lives could not be found out: that is checked again at `at`.
    Unsure {
        /// When.
        at: Instant,
    },
    /// It is gone, and so is its service.
    Gone,
}

/// The two ways to end a supervise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Stop its service and exit.
    Stop,
    /// For a log: exit when the service has ended by itself, at the end of its input.
    Drain,
}

/// A supervise that fails again and again is started at least so often.
const MINUTE: Duration = Duration::from_secs(60);

/// One supervise, there or to be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    /// The path from the scan directory: `foo`, `foo/log`.
    pub(crate) name: OsString,
    /// Service or log.
    pub(crate) role: Role,
    /// Lower ones are started first, the highest are stopped first.
    pub(crate) priority: i32,
    /// When it has ended for good, everything is stopped.
    pub(crate) essential: bool,
    /// Whether it stands in the scan directory under `name`. A log's follows its services'.
    pub(crate) listed: bool,
    /// Whether it is to be stopped, and why.
    pub(crate) stop_reason: StopReason,
    /// What its supervise does.
    pub(crate) slot: Slot,
    /// When a supervise was last started.
    pub(crate) started: Option<Instant>,
    /// When its supervise was first sent the commands to end.
    pub(crate) stop_sent: Option<Instant>,
    /// When it was killed, because it was not down in time.
    pub(crate) killed: Option<Instant>,
    /// Since when it cannot be found out whether its service lives.
    pub(crate) unsure_since: Option<Instant>,
    /// How often in a row its supervise could not do its work.
    pub(crate) failures: u32,
    /// Whether a start was tried at all.
    pub(crate) tried: bool,
    /// The unit that must be gone before this one may start: the same name's former directory.
    pub(crate) after: Option<Id>,
}

impl Unit {
    /// A unit that is to be started at once.
    pub(crate) fn new(name: OsString, role: Role, priority: i32, now: Instant) -> Self {
        Self {
            name,
            role,
            priority,
            essential: false,
            listed: true,
            stop_reason: StopReason::None,
            slot: Slot::Due { at: now },
            started: None,
            stop_sent: None,
            killed: None,
            unsure_since: None,
            failures: 0,
            tried: false,
            after: None,
        }
    }

    /// When the next supervise may be started: at most one a second, and when each of them fails at
    /// once, ever fewer.
    pub(crate) fn next_start(&self, now: Instant) -> Instant {
        let doublings = self.failures.saturating_sub(1).min(6);
        let wait = Duration::from_secs(1 << doublings).min(MINUTE);
        self.started.map_or(now, |then| now.max(then + wait))
    }

    /// The log services; none for a log.
    pub(crate) fn logs(&self) -> impl Iterator<Item = (Stream, &Id)> {
        match &self.role {
            Role::Main(logs) => Some(logs.each()),
            Role::Log => None,
        }
        .into_iter()
        .flatten()
    }

    /// Whether it is a service, not a log.
    pub(crate) fn is_main(&self) -> bool {
        matches!(self.role, Role::Main(_))
    }
}
