//! One look at a service: the questions of daemontools' `svstat`, in its order.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use servicedir::layout::{self, Layout, STATUS};
use servicedir::options;
use servicedir::reading::{Reading, Unread, read_status};
use servicedir::state_folder::StateFolder;
use servicedir::status::{BadStatus, Phase, State};
use servicedir::trust::Refused;

use crate::djb;
use crate::presence::{Absent, enter, in_directory, probe};

/// A service as the user named it, and where it is.
#[derive(Debug)]
pub(crate) struct Service {
    /// The name as it was typed.
    pub(crate) typed: OsString,
    /// Its paths; or why they cannot be told.
    pub(crate) layout: Result<Layout, Errno>,
}

impl Service {
    /// The service that the user means by `typed`: a path, or a bare name in `$SVDIR`.
    pub(crate) fn named(typed: OsString) -> Self {
        let layout = Layout::of(&layout::find_service(&typed))
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO));
        Self { typed, layout }
    }
}

/// What one look has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether the service is started without being asked; `None`: that could not be seen.
    pub(crate) normally_up: Option<bool>,
    /// Why there is no state to show.
    pub(crate) problem: Option<Problem>,
    /// The status; where no supervise is there, the last one.
    pub(crate) reading: Option<Reading>,
}

impl Seen {
    /// Whether a supervise is there.
    pub(crate) fn is_supervised(&self) -> bool {
        match &self.problem {
            None => self.reading.is_some(),
            Some(Problem::Absent(_) | Problem::StatDown(_)) => false,
            Some(Problem::OpenStatus(..) | Problem::BadFormat(..)) => true,
        }
    }

    /// Whether a supervise is there and its service runs: where the line says `up`, but for `finish`.
    pub(crate) fn is_up(&self) -> bool {
        let status = self.reading.as_ref().map(|reading| &reading.status);
        self.is_supervised() && status.is_some_and(|status| status.phase == Phase::Run)
    }

    /// Whether it is RUNNING and ready; of another suite's service, whether it is up.
    pub(crate) fn is_ready(&self) -> bool {
        let status = self.reading.as_ref().map(|reading| &reading.status);
        let record = status.and_then(|status| status.record.as_ref());
        self.is_up() && record.is_none_or(|record| record.ready && record.state == State::Running)
    }
}

/// Why a service's state cannot be shown. It is displayed in daemontools' words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Problem {
    /// No supervise was found.
    Absent(Absent),
    /// Nothing can be said of the `down` file.
    StatDown(Errno),
    /// The status file cannot be opened or read.
    OpenStatus(PathBuf, Refused),
    /// What is called status is not a status file.
    BadFormat(PathBuf, BadStatus),
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(absent) => absent.fmt(out),
            Self::StatDown(errno) => write!(out, "unable to stat down: {}", djb::words(*errno)),
            Self::OpenStatus(path, refused) => {
                let path = path.display();
                write!(out, "unable to open {path}: {}", djb::refused(*refused))
            }
            Self::BadFormat(path, _) => {
                write!(out, "unable to read {}: bad format", path.display())
            }
        }
    }
}

/// Looks at a service. With `last`, the last status is read even where no supervise is there.
pub(crate) fn look(service: &Service, last: bool) -> Seen {
    let mut seen = Seen::default();
    let layout = match &service.layout {
        Ok(layout) => layout,
        Err(errno) => {
            seen.problem = Some(Problem::Absent(Absent::Chdir(*errno)));
            return seen;
        }
    };
    let down = rustix::fs::stat(layout.dir.join(layout::DOWN)).err();
    let (state, absent) = match probe(layout) {
        Ok(state) => (Some(state), None),
        Err(absent) => (None, Some(absent)),
    };
    seen.problem = problem(&layout.dir, down, absent);
    seen.normally_up = match (down, &seen.problem) {
        (_, Some(Problem::Absent(Absent::Chdir(_)))) => None,
        (None, _) => Some(false),
        (Some(Errno::NOENT), _) => autostart(&layout.dir),
        (Some(_), _) => None,
    };
    if seen.problem.is_none() || last {
        let reading = match state {
            Some(state) => read_status(&state),
            None => StateFolder::open(layout)
                .map_err(Unread::Refused)
                .and_then(|state| read_status(&state)),
        };
        match reading {
            Ok(reading) => seen.reading = Some(reading),
            Err(unread) => {
                let problem = unreadable(in_directory(layout, STATUS), unread);
                seen.problem = seen.problem.or(Some(problem));
            }
        }
    }
    seen
}

/// What `options/autostart` says; `None` where it is at fault: the service would not be started.
fn autostart(dir: &Path) -> Option<bool> {
    let options = options::read_only(dir, "autostart");
    options.ok().map(|options| options.autostart)
}

/// The first of daemontools' questions that has a bad answer: may the directory be entered, may its
/// `down` file be asked for, is a supervise there? The first is asked only where another has failed:
/// in a sound directory it costs nothing.
fn problem(dir: &Path, down: Option<Errno>, absent: Option<Absent>) -> Option<Problem> {
    let down = down.filter(|errno| *errno != Errno::NOENT);
    if down.is_none() && absent.is_none() {
        return None;
    }
    let entered = enter(dir).err().map(Problem::Absent);
    entered
        .or(down.map(Problem::StatDown))
        .or(absent.map(Problem::Absent))
}

fn unreadable(path: PathBuf, unread: Unread) -> Problem {
    match unread {
        Unread::Refused(refused) => Problem::OpenStatus(path, refused),
        Unread::Bad(bad) => Problem::BadFormat(path, bad),
    }
}
