//! A status in words: daemontools' line, then what this suite knows beyond it.
//!
//! `svstat` prints it, and `svc` says by it what it last saw.

use std::fmt;

use crate::process::Identity;
use crate::report::Escaped;
use crate::status::{Phase, Record, State, Status, Want};
use crate::tai64n::Tai64n;

/// What stands behind `DIR: ` in `svstat`'s line.
///
/// The first part is daemontools', byte for byte: `up (pid 42) 7 seconds, normally down`. A service
/// that is simply up, or was simply stopped, gets no more.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The status.
    pub status: &'a Status,
    /// Whether the service is started together with its supervise: it has no `down` file, and
    /// `options/autostart` does not say no. `None`: not asked.
    pub normally_up: Option<bool>,
    /// The time to count from.
    pub now: Tai64n,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            normally_up,
            now,
        } = self;
        match status.pid {
            Some(pid) => write!(out, "up (pid {}) ", pid.as_raw_nonzero())?,
            None => out.write_str("down ")?,
        }
        write!(out, "{} seconds", seconds(status, *now))?;
        let up = status.pid.is_some();
        let parts = [
            (up && *normally_up == Some(false), ", normally down"),
            (!up && *normally_up == Some(true), ", normally up"),
            (up && status.paused, ", paused"),
            (!up && status.want == Want::Up, ", want up"),
            (up && status.want == Want::Down, ", want down"),
        ];
        for (_, words) in parts.iter().filter(|(holds, _)| *holds) {
            out.write_str(words)?;
        }
        Further { status, now: *now }.fmt(out)
    }
}

/// What no older suite knows of a service, each part after a comma; nothing for a service that is
/// simply up, or was simply stopped.
#[derive(Clone, Copy, Debug)]
pub struct Further<'a> {
    /// The status.
    pub status: &'a Status,
    /// The time to count to.
    pub now: Tai64n,
}

impl fmt::Display for Further<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status.record {
            Some(record) => further(out, self.status, record, self.now),
            None => Ok(()),
        }
    }
}

fn further(
    out: &mut fmt::Formatter<'_>,
    status: &Status,
    record: &Record,
    now: Tai64n,
) -> fmt::Result {
    match record.state {
        State::Backoff => backoff(out, record, now)?,
        State::Fatal if record.reason.is_empty() => out.write_str(", fatal")?,
        State::Fatal => write!(out, ", fatal: {}", Escaped(&record.reason))?,
        // Wanted up, it is about to be started again, as in daemontools.
        State::Exited if status.want != Want::Up => {
            if let Some(end) = record.last_end {
                write!(out, ", {end}")?;
            }
        }
        State::Starting | State::Running if record.tells_ready => {
            out.write_str(if record.ready {
                ", ready"
            } else {
                ", not ready"
            })?;
        }
        State::Exited | State::Starting | State::Running | State::Stopped | State::Stopping => {}
    }
    if record.options_fault && record.state != State::Fatal {
        write!(out, ", warning: {}", Escaped(&record.reason))?;
    }
    if status.phase == Phase::Run && !record.message.is_empty() {
        write!(out, ", status: {}", Escaped(&record.message))?;
    }
    Ok(())
}

/// `, exited 3, backoff 2 of 5, next start in 3 seconds`.
fn backoff(out: &mut fmt::Formatter<'_>, record: &Record, now: Tai64n) -> fmt::Result {
    match record.last_end {
        // supervise says more of it: "exited 0 within startsecs (1s): a failed start".
        _ if !record.reason.is_empty() && !record.options_fault => {
            write!(out, ", {}", Escaped(&record.reason))?;
        }
        Some(end) => write!(out, ", {end}")?,
        None => {}
    }
    write!(out, ", backoff {}", record.failed_starts)?;
    if let Some(retries) = record.start_retries {
        write!(out, " of {retries}")?;
    }
    match record.next_start {
        // Rounded up: a start that is not yet due is never shown as due in 0 seconds. The wall clock
        // may have been set back since: the wait is never longer than it was at its begin.
        Some(next) => write!(
            out,
            ", next start in {} seconds",
            now.age(next)
                .min(record.state_stamp.age(next))
                .as_millis()
                .div_ceil(1000)
        ),
        None => Ok(()),
    }
}

/// How many seconds the service has been up or down.
///
/// Of a process that runs, the kernel knows it as well, by a clock that is never set: where the two
/// differ by more than rounding, the wall clock has been set since the start, and the kernel is right.
#[must_use]
pub fn seconds(status: &Status, now: Tai64n) -> u64 {
    let by_label = whole_seconds(status.stamp, now);
    let process = status
        .pid
        .zip(status.record.as_ref())
        .filter(|(_, record)| status.phase == Phase::Run && record.pid_start != 0)
        .map(|(pid, record)| Identity {
            pid,
            start: record.pid_start,
        });
    match process.and_then(Identity::age) {
        Some(age) if age.as_secs().abs_diff(by_label) > ROUNDING => age.as_secs(),
        Some(_) | None => by_label,
    }
}

/// How many seconds the age of a process and that of its label may differ: each is cut to seconds, and
/// the label is written after the fork.
const ROUNDING: u64 = 2;

/// The seconds from one label to the other by their whole seconds, as daemontools counts them; 0 where
/// the label lies in the future.
#[must_use]
pub fn whole_seconds(stamp: Tai64n, now: Tai64n) -> u64 {
    now.unix_seconds().saturating_sub(stamp.unix_seconds())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::World;
    use crate::signal::Signal;
    use crate::status::End;
    use rustix::process::Pid;

    const NOW: u64 = 1_795_262_400;

    fn at(seconds: u64) -> Tai64n {
        Tai64n::from_unix(seconds, 500)
    }

    fn status(pid: i32, want: Want) -> Status {
        Status {
            stamp: at(NOW - 7),
            pid: Pid::from_raw(pid),
            paused: false,
            want,
            term_sent: false,
            phase: if pid == 0 { Phase::Down } else { Phase::Run },
            record: None,
        }
    }

    fn with(status: Status, change: impl FnOnce(&mut Record)) -> Status {
        let mut record = Record {
            state: State::Running,
            ready: true,
            tells_ready: false,
            exiting: false,
            left: false,
            options_fault: false,
            restarting: false,
            last_end: None,
            ready_stamp: Tai64n::default(),
            pid_start: 0,
            world: World::default(),
            failed_starts: 0,
            start_retries: None,
            total_starts: 1,
            next_start: None,
            commands: 0,
            group: None,
            state_stamp: Tai64n::default(),
            supervise: None,
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        };
        change(&mut record);
        Status {
            record: Some(record),
            ..status
        }
    }

    fn words(status: &Status, normally_up: bool) -> String {
        Words {
            status,
            normally_up: Some(normally_up),
            now: at(NOW),
        }
        .to_string()
    }

    #[test]
    fn daemontools_parts_stand_in_its_order() {
        assert_eq!(words(&status(42, Want::Up), true), "up (pid 42) 7 seconds");
        let mut paused = status(42, Want::Down);
        paused.paused = true;
        assert_eq!(
            words(&paused, false),
            "up (pid 42) 7 seconds, normally down, paused, want down"
        );
        assert_eq!(
            words(&status(0, Want::Up), true),
            "down 7 seconds, normally up, want up"
        );
        assert_eq!(words(&status(0, Want::Down), false), "down 7 seconds");
        assert_eq!(
            words(&status(42, Want::Once), true),
            "up (pid 42) 7 seconds"
        );
    }

    #[test]
    fn a_stamp_in_the_future_is_0_seconds_old() {
        let status = Status {
            stamp: at(NOW + 9),
            ..status(42, Want::Up)
        };
        assert_eq!(words(&status, true), "up (pid 42) 0 seconds");
    }

    #[test]
    fn a_service_that_is_simply_up_or_was_simply_stopped_gets_no_more() {
        assert_eq!(
            words(&with(status(42, Want::Up), |_| {}), true),
            "up (pid 42) 7 seconds"
        );
        let stopped = with(status(0, Want::Down), |record| {
            record.state = State::Stopped;
            record.last_end = Some(End::Killed {
                signal: Signal::TERM,
                core: false,
            });
        });
        assert_eq!(words(&stopped, false), "down 7 seconds");
    }

    #[test]
    fn a_backoff_tells_its_cause_its_count_and_the_next_start() {
        let backoff = with(status(0, Want::Up), |record| {
            record.state = State::Backoff;
            record.failed_starts = 2;
            record.start_retries = Some(5);
            record.last_end = Some(End::Exited(3));
            record.next_start = Some(at(NOW + 3));
        });
        assert_eq!(
            words(&backoff, true),
            "down 7 seconds, normally up, want up, exited 3, backoff 2 of 5, next start in 3 seconds"
        );
    }

    #[test]
    fn fatal_tells_its_reason() {
        let fatal = with(status(0, Want::Down), |record| {
            record.state = State::Fatal;
            record.options_fault = true;
            record.reason =
                "options/startsec: unknown option\n(did you mean startsecs?)".to_owned();
        });
        assert_eq!(
            words(&fatal, true),
            "down 7 seconds, normally up, fatal: options/startsec: unknown option\\n(did you mean startsecs?)"
        );
    }

    #[test]
    fn an_end_is_told_only_when_it_is_for_good() {
        let mut exited = with(status(0, Want::Down), |record| {
            record.state = State::Exited;
            record.last_end = Some(End::Killed {
                signal: Signal::KILL,
                core: false,
            });
        });
        assert_eq!(
            words(&exited, true),
            "down 7 seconds, normally up, killed by SIGKILL"
        );
        exited.want = Want::Up;
        assert_eq!(words(&exited, true), "down 7 seconds, normally up, want up");
    }

    #[test]
    fn readiness_faults_and_the_service_s_own_words_come_last() {
        let told = with(status(42, Want::Up), |record| {
            record.tells_ready = true;
            record.options_fault = true;
            record.reason = "options/umask:1: expected an octal number".to_owned();
            record.message = "12 connections".to_owned();
        });
        assert_eq!(
            words(&told, true),
            "up (pid 42) 7 seconds, ready, warning: options/umask:1: expected an octal number, status: 12 connections"
        );
        let starting = with(status(42, Want::Up), |record| {
            record.state = State::Starting;
            record.tells_ready = true;
            record.ready = false;
        });
        assert_eq!(words(&starting, true), "up (pid 42) 7 seconds, not ready");
    }
}
