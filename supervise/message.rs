//! Every line that supervise writes, except what an option file or the command line is refused for.
//!
//! supervise(8), section DIAGNOSTICS, lists them; the test below walks the enum and the page.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;
use servicedir::report::{Failure, Reporter, Why, exit};
use servicedir::signal::Signal;
use servicedir::status::End;

/// The voice of supervise.
pub(crate) const REPORTER: Reporter = Reporter::new("supervise");

/// A message, without the program's name and the word that says how grave it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    // Fatal: supervise ends with exit code 111.
    /// The service directory cannot be found or entered.
    NoDirectory {
        verb: &'static str,
        dir: PathBuf,
        why: Why,
    },
    /// A file of the state directory cannot be made, opened or read.
    State {
        verb: &'static str,
        path: PathBuf,
        why: String,
    },
    /// Another supervise is there.
    LockHeld { path: PathBuf, holder: Option<Pid> },
    /// The boot or the namespaces cannot be told.
    NoWorld(Why),
    /// A process that the status record names may be there, and cannot be watched.
    NotAdopted { pid: Pid, why: Why },
    /// No signal could be caught.
    NoSignals(Why),
    /// poll(2) fails.
    NoPoll(Why),

    // Warnings: the service's start.
    /// A start that someone asked for was refused for a fault in the options.
    OptionsRefused { fault: String },
    /// A restart goes on with the options that were read before the fault.
    OptionsKept { fault: String },
    /// A running service was adopted while its options have a fault.
    OptionsUnread { fault: String },
    /// The start failed, and when the next one is due.
    StartFailed {
        reason: String,
        next: Option<Duration>,
    },
    /// No start follows.
    GivenUp { reason: String },
    /// `readysecs` have passed.
    NotReady,
    /// The watchdog's interval has passed.
    WatchdogExpired,
    /// `check` has failed `check-failures` times.
    Unhealthy { failures: u32, last: End },
    /// `finishsecs` have passed.
    FinishKilled,
    /// The system refused to start `finish` again and again.
    FinishSkipped(Why),

    // Warnings: the system.
    /// A program beside the service was not forked.
    NoFork(Why),
    /// A program beside the service could not be executed.
    NotExecuted { path: PathBuf, why: String },
    /// A signal was not sent.
    NotSignalled { signal: Signal, why: Why },
    /// `ready: notify` has no socket.
    NoNotifySocket(Why),
    /// The notify socket of an adopted service has no listener.
    NotifySocketLost(Why),
    /// Lines of the journal could not be written.
    JournalUnwritten { why: String },
    /// The status could not be written.
    StatusUnwritten(Why),
    /// The state directory was removed.
    StateRecreated,

    /// The status names a process that is not this service's.
    NotOurs(Pid),
    /// A file of the state directory is not believed.
    NotBelieved { path: PathBuf, why: String },

    // Information.
    /// The recorded process ended before this supervise started.
    EndedUnwatched(Pid),
}

impl Message {
    /// As the reason for supervise's own end.
    pub(crate) fn fatal(self) -> Failure {
        Failure::new(exit::SYSTEM, self)
    }
}

impl Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory { verb, dir, why } => {
                write!(out, "unable to {verb} {}: {why}", dir.display())
            }
            Self::State { verb, path, why } => {
                write!(out, "unable to {verb} {}: {why}", path.display())
            }
            Self::LockHeld { path, holder } => {
                write!(out, "unable to lock {}: held by ", path.display())?;
                match holder {
                    Some(pid) => write!(out, "process {}", pid.as_raw_nonzero()),
                    None => out.write_str("another process"),
                }
            }
            Self::NotAdopted { pid, why } => {
                write!(
                    out,
                    "unable to adopt process {}: {why}",
                    pid.as_raw_nonzero()
                )
            }
            Self::NoWorld(why) => {
                write!(out, "unable to identify this boot and pid namespace: {why}")
            }
            Self::NoSignals(why) => write!(out, "unable to catch signals: {why}"),
            Self::NoPoll(why) => write!(out, "unable to poll: {why}"),
            Self::OptionsRefused { fault } => write!(out, "{fault}; the service is not started"),
            Self::OptionsKept { fault } => write!(out, "{fault}; keeping the previous options"),
            Self::OptionsUnread { fault } => write!(out, "{fault}; the service goes on"),
            Self::StartFailed { reason, next: None } => out.write_str(reason),
            Self::StartFailed {
                reason,
                next: Some(wait),
            } => {
                let wait = humantime::format_duration(*wait);
                write!(out, "{reason}; next try in {wait}")
            }
            Self::GivenUp { reason } => write!(out, "given up after {reason}"),
            Self::NotReady => out.write_str("not ready within readysecs: stopped"),
            Self::WatchdogExpired => out.write_str("the watchdog was not fed in time: aborted"),
            Self::Unhealthy { failures, last } => {
                write!(
                    out,
                    "check failed {failures} times in a row, the last: {last}; restarted"
                )
            }
            Self::FinishKilled => out.write_str("finish takes longer than finishsecs: killed"),
            Self::FinishSkipped(why) => write!(out, "finish was not run: {why}"),
            Self::NoFork(why) => write!(out, "unable to fork: {why}"),
            Self::NotExecuted { path, why } => {
                write!(out, "unable to start {}: {why}", path.display())
            }
            Self::NotSignalled { signal, why } => write!(out, "unable to send {signal}: {why}"),
            Self::NoNotifySocket(why) => write!(out, "unable to bind the notify socket: {why}"),
            Self::NotifySocketLost(why) => write!(
                out,
                "unable to bind the notify socket again: {why}; the notifications of the service are lost"
            ),
            Self::JournalUnwritten { why } => write!(out, "unable to write the journal: {why}"),
            Self::StatusUnwritten(why) => {
                write!(
                    out,
                    "unable to write the status: {why}; retrying every second"
                )
            }
            Self::StateRecreated => {
                out.write_str("the state directory was removed; it is created again")
            }
            Self::NotOurs(pid) => write!(
                out,
                "the status names process {}, which is not of this service; it is left alone",
                pid.as_raw_nonzero()
            ),
            Self::NotBelieved { path, why } => {
                write!(out, "ignoring {}: {why}", path.display())
            }
            Self::EndedUnwatched(pid) => write!(
                out,
                "process {} ended while no supervise was running",
                pid.as_raw_nonzero()
            ),
        }
    }
}

/// Writes a warning about the service in the directory `shown`.
pub(crate) fn warn(shown: &Path, message: &Message) {
    if stderr_takes() {
        REPORTER.warning(format_args!("{}: {message}", shown.display()));
    }
}

/// Writes an information about the service in the directory `shown`.
pub(crate) fn inform(shown: &Path, message: &Message) {
    if stderr_takes() {
        REPORTER.info(format_args!("{}: {message}", shown.display()));
    }
}

/// Whether a line can be written to stderr without waiting: a log pipe that is full must not keep
/// supervise from obeying commands.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The message after this one. A new variant does not compile until it has its place here.
    fn after(message: Option<&Message>) -> Option<Message> {
        let (text, why) = (|text: &str| text.to_owned(), Why(libc::EIO));
        let pid = Pid::from_raw(42)?;
        let fault = || text("options/user: line 1: expected a name");
        let state = |verb, file: &str, why: &str| Message::State {
            verb,
            path: PathBuf::from(file),
            why: text(why),
        };
        let (status, control) = ("DIR/supervise/status", "DIR/supervise/control");
        Some(match message {
            None => Message::NoDirectory {
                verb: "find",
                dir: "DIR".into(),
                why,
            },
            Some(Message::NoDirectory { verb: "find", .. }) => Message::NoDirectory {
                verb: "chdir to",
                dir: "DIR".into(),
                why,
            },
            Some(Message::NoDirectory { .. }) => state("create", "DIR/supervise", "why"),
            Some(Message::State { verb: "create", .. }) => state("open", "DIR/supervise", "why"),
            Some(Message::State { verb: "open", .. }) => state("lock", "DIR/supervise/lock", "why"),
            Some(Message::State { verb: "lock", .. }) => state("read", status, "why"),
            Some(Message::State { verb: "read", .. }) => {
                state("open the FIFO", control, "not a FIFO")
            }
            Some(Message::State { .. }) => Message::LockHeld {
                path: "DIR/supervise/lock".into(),
                holder: Some(pid),
            },
            Some(Message::LockHeld { .. }) => Message::NoWorld(why),
            Some(Message::NoWorld(_)) => Message::NotAdopted { pid, why },
            Some(Message::NotAdopted { .. }) => Message::NoSignals(why),
            Some(Message::NoSignals(_)) => Message::NoPoll(why),
            Some(Message::NoPoll(_)) => Message::OptionsRefused { fault: fault() },
            Some(Message::OptionsRefused { .. }) => Message::OptionsKept { fault: fault() },
            Some(Message::OptionsKept { .. }) => Message::OptionsUnread { fault: fault() },
            Some(Message::OptionsUnread { .. }) => Message::StartFailed {
                reason: text("unable to fork: why"),
                next: Some(Duration::from_secs(1)),
            },
            Some(Message::StartFailed { next: Some(_), .. }) => Message::StartFailed {
                reason: text("unable to start run: why"),
                next: None,
            },
            Some(Message::StartFailed { next: None, .. }) => Message::GivenUp {
                reason: text("3 failed starts, the last: why"),
            },
            Some(Message::GivenUp { .. }) => Message::NotReady,
            Some(Message::NotReady) => Message::WatchdogExpired,
            Some(Message::WatchdogExpired) => Message::Unhealthy {
                failures: 3,
                last: End::Unknown,
            },
            Some(Message::Unhealthy { .. }) => Message::FinishKilled,
            Some(Message::FinishKilled) => Message::FinishSkipped(why),
            Some(Message::FinishSkipped(_)) => Message::NoFork(why),
            Some(Message::NoFork(_)) => Message::NotExecuted {
                path: "DIR/finish".into(),
                why: text("why"),
            },
            Some(Message::NotExecuted { .. }) => Message::NotSignalled {
                signal: Signal::TERM,
                why,
            },
            Some(Message::NotSignalled { .. }) => Message::NoNotifySocket(why),
            Some(Message::NoNotifySocket(_)) => Message::NotifySocketLost(why),
            Some(Message::NotifySocketLost(_)) => Message::JournalUnwritten { why: text("why") },
            Some(Message::JournalUnwritten { .. }) => Message::StatusUnwritten(why),
            Some(Message::StatusUnwritten(_)) => Message::StateRecreated,
            Some(Message::StateRecreated) => Message::NotOurs(pid),
            Some(Message::NotOurs(_)) => Message::NotBelieved {
                path: status.into(),
                why: text("why"),
            },
            Some(Message::NotBelieved { .. }) => Message::EndedUnwatched(pid),
            Some(Message::EndedUnwatched(_)) => return None,
        })
    }

    /// Whether an item of the page is this message: a word in capitals but DIR is anything.
    fn is_item(item: &str, message: &str) -> bool {
        let item = item.strip_prefix("DIR: ").unwrap_or(item);
        let mut fixed = vec![String::new()];
        for word in item.split_inclusive([' ', '/', ':', ';', ',']) {
            let bare = word.trim_end_matches([' ', '/', ':', ';', ',']);
            let is_name = !bare.is_empty() && bare.chars().all(char::is_uppercase);
            if is_name && bare != "DIR" {
                fixed.push(word.trim_start_matches(bare).to_owned());
            } else if let Some(last) = fixed.last_mut() {
                last.push_str(word);
            }
        }
        let Some(mut rest) = fixed
            .first()
            .and_then(|first| message.strip_prefix(first.as_str()))
        else {
            return false;
        };
        for piece in fixed.iter().skip(1) {
            let at = if piece.is_empty() {
                Some(rest.len())
            } else {
                rest.find(piece.as_str())
            };
            let Some(at) = at.filter(|at| *at > 0) else {
                return false;
            };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        rest.is_empty()
    }

    #[test]
    fn every_message_stands_under_diagnostics() {
        let page = include_str!("../man/supervise.8");
        let (_, diagnostics) = page.split_once(".Sh DIAGNOSTICS").unwrap();
        let items: Vec<&str> = diagnostics
            .lines()
            .filter_map(|line| line.strip_prefix(".It \"")?.strip_suffix('"'))
            .collect();
        let mut count = 0;
        let mut message = after(None);
        while let Some(it) = message {
            let text = it.to_string();
            assert!(items.iter().any(|item| is_item(item, &text)), "{text}");
            count += 1;
            message = after(Some(&it));
        }
        assert!(count > 25, "{count}");
        assert!(!is_item("unable to poll: WHY", "unable to fork: why"));
    }
}
