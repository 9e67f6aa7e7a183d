//! One service as a Supervisor process: what `getProcessInfo` returns and `supervisorctl status` shows.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tz::TimeZone;

use super::{local_time, logs, names};
use crate::layout::Layout;
use crate::options::{self, Options};
use crate::reading::status_of;
use crate::report::Why;
use crate::state_folder::is_supervised;
use crate::status::{End, Phase, Record, State, Status, Want};
use crate::trust;

/// A service of a scan directory by its place, its group and its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// The group: `options/group`, else the part of an instance's name before the `@`, else the name.
    pub group: String,
    /// The process's name in its group.
    pub name: String,
    /// `options/priority`.
    pub priority: i32,
    /// Where its files are.
    pub layout: Layout,
}

/// Supervisor's states, with the one that only a service without a supervise has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProcessState {
    /// A state of this suite's machine, which has Supervisor's numbers and names.
    Known(State),
    /// No supervise is there.
    Unknown,
}

impl ProcessState {
    /// Supervisor's number.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Known(state) => i32::from(state.number()),
            Self::Unknown => 1000,
        }
    }

    /// Supervisor's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Known(state) => state.name(),
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Supervisor's `STOPPED_STATES`.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        match self {
            Self::Known(State::Stopped | State::Exited | State::Fatal) | Self::Unknown => true,
            Self::Known(State::Starting | State::Running | State::Backoff | State::Stopping) => {
                false
            }
        }
    }

    /// Supervisor's `RUNNING_STATES`: a start is answered by ALREADY_STARTED.
    #[must_use]
    pub fn is_started(self) -> bool {
        matches!(
            self,
            Self::Known(State::Starting | State::Running | State::Backoff)
        )
    }

    /// Supervisor's `SIGNALLABLE_STATES`.
    #[must_use]
    pub fn is_signallable(self) -> bool {
        matches!(
            self,
            Self::Known(State::Starting | State::Running | State::Stopping)
        )
    }
}

/// What `getProcessInfo` returns, but for `now` and `description`, which depend on the time of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// The group's name.
    pub group: String,
    /// The process's name.
    pub name: String,
    /// When it was last started, in Unix seconds; 0 for never.
    pub start: u64,
    /// When it last ended; 0 for never.
    pub stop: u64,
    /// Its state.
    pub state: ProcessState,
    /// Why the last start failed, or that the last end was not expected; empty for neither.
    pub spawnerr: String,
    /// The exit code of the last end, -1 for a signal; 0 while it runs and before the first end.
    pub exitstatus: i32,
    /// The pid; 0 while it is down.
    pub pid: i32,
    /// The file with the newest output; empty for none.
    pub stdout_logfile: String,
    /// The file with the newest of stderr; empty for none, or where it goes with stdout.
    pub stderr_logfile: String,
}

impl Process {
    /// The service of the directory at `dir`, with its group.
    ///
    /// A directory named `group:name` is the process of that name in that group: so two groups may have
    /// processes of one name.
    ///
    /// # Errors
    /// As [`Layout::of`].
    pub fn at(dir: &Path) -> std::io::Result<Self> {
        let layout = Layout::of(dir)?;
        let whole = layout.name.to_string_lossy().into_owned();
        let (group, name) = match whole.split_once(':') {
            Some((group, name)) if !group.is_empty() && !name.is_empty() => {
                (group.to_owned(), name.to_owned())
            }
            Some(_) | None => (group_of(&layout), whole),
        };
        Ok(Self {
            group,
            name,
            priority: option_text(&layout, "priority")
                .and_then(|text| text.parse().ok())
                .unwrap_or(Options::default().priority),
            layout,
        })
    }

    /// The name as Supervisor shows it.
    #[must_use]
    pub fn namespec(&self) -> String {
        names::join(&self.group, &self.name)
    }

    /// The status as it is now; `None` where no supervise is there or its status cannot be read.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let supervised = is_supervised(&self.layout).unwrap_or(false);
        let reading = status_of(&self.layout).ok()?;
        supervised.then_some(reading.status)
    }

    /// One look at the service.
    #[must_use]
    pub fn look(&self) -> Info {
        self.look_with_status().0
    }

    /// One look at the service, with the status that was found; `None` as in [`Self::status`].
    #[must_use]
    pub fn look_with_status(&self) -> (Info, Option<Status>) {
        let path = |file: Option<PathBuf>| {
            file.map_or(String::new(), |file| file.to_string_lossy().into_owned())
        };
        let options = options::read(&self.layout.dir).unwrap_or_default();
        let status = self.status();
        let state = state_of(status.as_ref());
        let times = status.as_ref().map_or((0, 0), times);
        let stderr = logs::file(&self.layout, logs::Channel::Stderr);
        let info = Info {
            group: self.group.clone(),
            name: self.name.clone(),
            start: times.0,
            stop: times.1,
            state,
            spawnerr: status
                .as_ref()
                .map_or_else(String::new, |status| self.spawnerr(status, &options)),
            exitstatus: status.as_ref().map_or(0, exit_status),
            pid: status.as_ref().map_or(0, run_pid),
            stdout_logfile: path(logs::file(&self.layout, logs::Channel::Stdout)),
            stderr_logfile: path(stderr.filter(|_| !options.redirect_stderr)),
        };
        (info, status)
    }

    /// Why the last start failed, or that the last end was not expected, in Supervisor's words.
    fn spawnerr(&self, status: &Status, options: &Options) -> String {
        let Some(record) = &status.record else {
            return String::new();
        };
        match (record.state, record.last_end) {
            (State::Backoff | State::Fatal, Some(end)) if record.failed_starts > 0 => {
                self.failed_start(end, record)
            }
            (State::Backoff | State::Fatal, _) => record.reason.clone(),
            (State::Exited, Some(end)) if !options.exitcodes.contains(end) => {
                format!("Bad exit code {}", exit_code(end))
            }
            _ => String::new(),
        }
    }

    fn failed_start(&self, end: End, record: &Record) -> String {
        let run = self.layout.dir.join(crate::layout::RUN);
        let run = run.display();
        let name = &self.name;
        match end {
            End::NotStarted(libc::ENOENT) => format!("can't find command '{run}'"),
            End::NotStarted(libc::EACCES) => format!("command at '{run}' is not executable"),
            End::NotStarted(libc::EMFILE) => format!("too many open files to spawn '{name}'"),
            End::NotStarted(libc::EAGAIN) => {
                format!("Too many processes in process table to spawn '{name}'")
            }
            End::NotStarted(errno) if record.reason.is_empty() => {
                format!("couldn't exec {run}: {}", Why(errno))
            }
            End::NotStarted(_) => record.reason.clone(),
            End::Exited(_) | End::Killed { .. } | End::Unknown => {
                "Exited too quickly (process log may have details)".to_owned()
            }
        }
    }
}

impl Info {
    /// The name as Supervisor shows it.
    #[must_use]
    pub fn namespec(&self) -> String {
        names::join(&self.group, &self.name)
    }

    /// Supervisor's `description` at the Unix time `now`: `pid 376, uptime 0:01:06`, the stop time, or
    /// why the start failed.
    #[must_use]
    pub fn description(&self, now: u64, zone: &TimeZone) -> String {
        match self.state {
            ProcessState::Known(State::Running) => format!(
                "pid {}, uptime {}",
                self.pid,
                uptime(now.saturating_sub(self.start))
            ),
            ProcessState::Known(State::Backoff | State::Fatal) if self.spawnerr.is_empty() => {
                format!("unknown error (try \"tail {}\")", self.name)
            }
            ProcessState::Known(State::Backoff | State::Fatal) => self.spawnerr.clone(),
            ProcessState::Known(State::Stopped | State::Exited) if self.start == 0 => {
                "Not started".to_owned()
            }
            ProcessState::Known(State::Stopped | State::Exited) => {
                local_time::stop_time(self.stop, zone)
            }
            ProcessState::Known(State::Starting | State::Stopping) | ProcessState::Unknown => {
                String::new()
            }
        }
    }
}

/// Python's `str(timedelta(seconds=…))`: `0:01:06`, `1 day, 2:03:04`.
fn uptime(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        days => format!("{days} days, {clock}"),
    }
}

/// The state of a status; daemontools and runit write none, and their pid and wish must do.
#[must_use]
pub fn state_of(status: Option<&Status>) -> ProcessState {
    let Some(status) = status else {
        return ProcessState::Unknown;
    };
    ProcessState::Known(match (&status.record, status.phase, status.want) {
        (Some(record), _, _) => record.state,
        (None, Phase::Run, Want::Down) => State::Stopping,
        (None, Phase::Run, Want::Up | Want::Once) => State::Running,
        (None, Phase::Down | Phase::Finish, Want::Up) => State::Backoff,
        (None, Phase::Down | Phase::Finish, Want::Down | Want::Once) => State::Stopped,
    })
}

/// The last start and the last end, in Unix seconds, 0 for never.
fn times(status: &Status) -> (u64, u64) {
    let stamp = status.stamp.unix_seconds();
    let started = status
        .record
        .as_ref()
        .is_none_or(|record| record.total_starts > 0);
    match (started, run_pid(status)) {
        (false, _) => (0, 0),
        (true, 0) => (stamp, stamp),
        (true, _) => (stamp, 0),
    }
}

fn run_pid(status: &Status) -> i32 {
    match (status.phase, status.pid) {
        (Phase::Run, Some(pid)) => pid.as_raw_nonzero().get(),
        (Phase::Run | Phase::Down | Phase::Finish, _) => 0,
    }
}

fn exit_status(status: &Status) -> i32 {
    let end = status.record.as_ref().and_then(|record| record.last_end);
    match end {
        Some(end) if run_pid(status) == 0 => exit_code(end),
        Some(_) | None => 0,
    }
}

/// The exit code as Supervisor counts it: -1 for a signal, 0 where nothing ran.
fn exit_code(end: End) -> i32 {
    match end {
        End::Exited(code) => i32::from(code),
        End::Killed { .. } | End::Unknown => -1,
        End::NotStarted(_) => 0,
    }
}

/// `options/group`, else what the name says.
fn group_of(layout: &Layout) -> String {
    option_text(layout, "group").unwrap_or_else(|| lossy(layout.group()))
}

/// The value of one option, whatever is wrong with the others: a fault elsewhere moves no service to
/// another group.
fn option_text(layout: &Layout, name: &str) -> Option<String> {
    let path = layout.dir.join(crate::layout::OPTIONS).join(name);
    let text = String::from_utf8(trust::read(&path, options::FILE_MAX).ok()?).ok()?;
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

fn lossy(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(state: State) -> Info {
        Info {
            group: "web".into(),
            name: "web".into(),
            start: 1000,
            stop: 0,
            state: ProcessState::Known(state),
            spawnerr: String::new(),
            exitstatus: 0,
            pid: 376,
            stdout_logfile: String::new(),
            stderr_logfile: String::new(),
        }
    }

    fn described(info: &Info, now: u64) -> String {
        info.description(now, &TimeZone::utc())
    }

    #[test]
    fn a_running_process_shows_its_pid_and_uptime() {
        let running = info(State::Running);
        assert_eq!(described(&running, 1066), "pid 376, uptime 0:01:06");
        assert_eq!(
            described(&running, 1000 + 86_400 + 7384),
            "pid 376, uptime 1 day, 2:03:04"
        );
        assert_eq!(
            described(&running, 1000 + 12 * 86_400 + 1),
            "pid 376, uptime 12 days, 0:00:01"
        );
        assert_eq!(described(&running, 7), "pid 376, uptime 0:00:00");
    }

    #[test]
    fn a_stopped_process_shows_when_or_that_it_was_never_started() {
        let never = Info {
            start: 0,
            ..info(State::Stopped)
        };
        assert_eq!(described(&never, 7), "Not started");
        let stopped = Info {
            stop: 1_795_624_320,
            ..info(State::Exited)
        };
        assert_eq!(described(&stopped, 7), "Nov 25 04:32 PM");
    }

    #[test]
    fn a_failed_start_shows_why() {
        let unknown = info(State::Backoff);
        assert_eq!(described(&unknown, 7), "unknown error (try \"tail web\")");
        let told = Info {
            spawnerr: "can't find command 'x'".into(),
            ..info(State::Fatal)
        };
        assert_eq!(described(&told, 7), "can't find command 'x'");
        assert_eq!(described(&info(State::Starting), 7), "");
    }
}
