//! `sv status`: the line of a service, and of its log.

use std::ffi::OsStr;

use servicedir::status::Status;
use servicedir::tai64n::Tai64n;

use crate::line::Line;
use crate::service::{Seen, Service, Wrong};

/// The exit codes of `status` of an init script, as the LSB has them.
const LSB_UP: u8 = 0;
const LSB_DOWN: u8 = 3;
const LSB_UNKNOWN: u8 = 4;

/// What is printed of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Report {
    /// One line.
    pub(crate) text: String,
    /// Both states could be seen.
    pub(crate) complete: bool,
    /// Whether the service itself is up; none where that could not be seen.
    up: Option<bool>,
}

impl Report {
    /// The exit code of an init script. runit's takes the state of the log for it.
    pub(crate) fn lsb_code(&self) -> u8 {
        match self.up {
            Some(true) => LSB_UP,
            Some(false) => LSB_DOWN,
            None => LSB_UNKNOWN,
        }
    }
}

/// Looks at a service and at its log.
pub(crate) fn report(name: &OsStr) -> Report {
    let service = Service::named(name);
    let now = Tai64n::now();
    let line = |name: &OsStr, seen: &Seen| {
        Line {
            name,
            status: &seen.status,
            normally_up: seen.normally_up,
            now,
        }
        .to_string()
    };
    let seen = match service.look() {
        Ok(seen) => seen,
        Err(wrong) => {
            return Report {
                text: format!("{}\n", wrong.line(name)),
                complete: false,
                up: None,
            };
        }
    };
    let mut report = Report {
        text: line(name, &seen),
        complete: true,
        up: Some(is_up(&seen.status)),
    };
    if let Some(log) = service.log() {
        report.text.push_str("; ");
        match look_at_log(&log) {
            Ok(seen) => report.text.push_str(&line(OsStr::new("log"), &seen)),
            Err(wrong) => {
                report.text.push_str(&wrong.line(&log.name));
                report.complete = false;
            }
        }
    }
    report.text.push('\n');
    report
}

fn look_at_log(log: &Service) -> Result<Seen, Wrong> {
    log.look().map_err(|wrong| match wrong {
        Wrong::Directory(errno) => Wrong::LogDirectory(errno),
        other @ (Wrong::LogDirectory(_)
        | Wrong::NotRunning
        | Wrong::Open(..)
        | Wrong::BadFormat(_)
        | Wrong::Write(..)) => other,
    })
}

fn is_up(status: &Status) -> bool {
    status.pid.is_some()
}
