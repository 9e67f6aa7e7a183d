//! The line that `sv` prints of a service, as runit's does; what runit does not know follows.

use std::ffi::OsStr;
use std::fmt;

use servicedir::status::{Phase, Status, Want};
use servicedir::tai64n::Tai64n;
use servicedir::words::{Further, seconds};

/// `run: web: (pid 42) 7s, normally down, want down, got TERM`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The service, as typed; `log` for its log.
    pub(crate) name: &'a OsStr,
    /// Its status.
    pub(crate) status: &'a Status,
    /// Whether it is started together with its supervise; none where that is not known.
    pub(crate) normally_up: Option<bool>,
    /// The time to count to.
    pub(crate) now: Tai64n,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status;
        let state = match status.phase {
            Phase::Down => "down",
            Phase::Run => "run",
            Phase::Finish => "finish",
        };
        write!(out, "{state}: {}: ", self.name.display())?;
        if let Some(pid) = status.pid {
            write!(out, "(pid {}) ", pid.as_raw_nonzero())?;
        }
        write!(out, "{}s", seconds(status, self.now))?;
        let up = status.pid.is_some();
        let parts = [
            (up && self.normally_up == Some(false), ", normally down"),
            (!up && self.normally_up == Some(true), ", normally up"),
            (up && status.paused, ", paused"),
            (!up && status.want == Want::Up, ", want up"),
            (up && status.want == Want::Down, ", want down"),
            (up && status.term_sent, ", got TERM"),
        ];
        for (_, words) in parts.iter().filter(|(holds, _)| *holds) {
            out.write_str(words)?;
        }
        Further {
            status,
            now: self.now,
        }
        .fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Pid;

    fn line(change: impl FnOnce(&mut Status), normally_up: bool) -> String {
        let mut status = Status {
            stamp: Tai64n::from_unix(1000, 0),
            pid: Pid::from_raw(42),
            paused: false,
            want: Want::Up,
            term_sent: false,
            phase: Phase::Run,
            record: None,
        };
        change(&mut status);
        Line {
            name: OsStr::new("web"),
            status: &status,
            normally_up: Some(normally_up),
            now: Tai64n::from_unix(1007, 0),
        }
        .to_string()
    }

    /// As runit 2.1.2 printed them on 2026-11-25.
    #[test]
    fn the_line_is_runit_s() {
        assert_eq!(line(|_| {}, true), "run: web: (pid 42) 7s");
        assert_eq!(
            line(
                |status| {
                    status.want = Want::Down;
                    status.term_sent = true;
                },
                true
            ),
            "run: web: (pid 42) 7s, want down, got TERM"
        );
        assert_eq!(
            line(|status| status.paused = true, false),
            "run: web: (pid 42) 7s, normally down, paused"
        );
        assert_eq!(
            line(|status| status.phase = Phase::Finish, true),
            "finish: web: (pid 42) 7s"
        );
        assert_eq!(
            line(
                |status| {
                    status.pid = None;
                    status.phase = Phase::Down;
                },
                true
            ),
            "down: web: 7s, normally up, want up"
        );
    }
}
