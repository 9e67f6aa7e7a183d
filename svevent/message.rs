//! Every line that svevent writes to stderr while it runs; svevent(8), section DIAGNOSTICS, lists them.

use std::fmt::{self, Display};
use std::path::PathBuf;

use servicedir::report::{Failure, Reporter, Why, exit};

/// The voice of svevent.
pub(crate) const REPORTER: Reporter = Reporter::new("svevent");

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// No signal could be caught.
    NoSignals(Why),
    /// poll(2) fails.
    NoPoll(Why),
    /// The scan directory cannot be read.
    NoScan { path: PathBuf, why: Why },
    /// The command could not be started; it is tried again.
    NotStarted { command: String, why: Why },
    /// The command has ended, and is started again.
    Ended { command: String, how: String },
    /// A listener wrote something that the protocol has no place for.
    Nonsense { command: String },
    /// The command took longer than `--timeout`.
    TooLong { command: String },
    /// An event was not processed, and is given again.
    Again { event: &'static str, serial: u64 },
    /// A service's events cannot be read, or are lost.
    Service { name: String, what: String },
    /// The cursor file cannot be written.
    CursorUnwritten { path: PathBuf, why: Why },
    /// What is called the cursor file is not one.
    CursorUnread { path: PathBuf },
}

impl Message {
    pub(crate) fn warn(self) {
        REPORTER.warning(self);
    }

    pub(crate) fn fatal(self) -> Failure {
        Failure::new(exit::SYSTEM, self)
    }
}

impl Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignals(why) => write!(out, "unable to catch signals: {why}"),
            Self::NoPoll(why) => write!(out, "unable to poll: {why}"),
            Self::NoScan { path, why } => write!(out, "unable to read {}: {why}", path.display()),
            Self::NotStarted { command, why } => {
                write!(
                    out,
                    "unable to start {command}: {why}; next try in a second"
                )
            }
            Self::Ended { command, how } => write!(out, "{command}: {how}; started again"),
            Self::Nonsense { command } => {
                write!(
                    out,
                    "{command}: not the listener protocol; it is stopped and started again"
                )
            }
            Self::TooLong { command } => write!(out, "{command}: longer than --timeout; killed"),
            Self::Again { event, serial } => {
                write!(
                    out,
                    "event {serial} ({event}) was not processed; it is given again"
                )
            }
            Self::Service { name, what } => write!(out, "{name}: {what}"),
            Self::CursorUnwritten { path, why } => write!(
                out,
                "unable to write {}: {why}; after a restart events are given twice",
                path.display()
            ),
            Self::CursorUnread { path } => write!(
                out,
                "{}: not a cursor file; events are given from now on",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message after this one. A new variant does not compile until it has its place here.
    fn after(message: Option<&Message>) -> Option<Message> {
        let why = Why(libc::EIO);
        let command = || "COMMAND".to_owned();
        let path = || PathBuf::from("FILE");
        Some(match message {
            None => Message::NoSignals(why),
            Some(Message::NoSignals(_)) => Message::NoPoll(why),
            Some(Message::NoPoll(_)) => Message::NoScan {
                path: "DIR".into(),
                why,
            },
            Some(Message::NoScan { .. }) => Message::NotStarted {
                command: command(),
                why,
            },
            Some(Message::NotStarted { .. }) => Message::Ended {
                command: command(),
                how: "HOW".into(),
            },
            Some(Message::Ended { .. }) => Message::Nonsense { command: command() },
            Some(Message::Nonsense { .. }) => Message::TooLong { command: command() },
            Some(Message::TooLong { .. }) => Message::Again {
                event: "EVENT",
                serial: 7,
            },
            Some(Message::Again { .. }) => Message::Service {
                name: "NAME".into(),
                what: "lines N to M of the journal are missing: their events are lost".into(),
            },
            Some(Message::Service { .. }) => Message::CursorUnwritten { path: path(), why },
            Some(Message::CursorUnwritten { .. }) => Message::CursorUnread { path: path() },
            Some(Message::CursorUnread { .. }) => return None,
        })
    }

    #[test]
    fn every_message_stands_under_diagnostics() {
        let page = include_str!("../man/svevent.8");
        let (_, diagnostics) = page.split_once(".Sh DIAGNOSTICS").unwrap();
        let mut message = after(None);
        while let Some(it) = message {
            let text = it
                .to_string()
                .replace("I/O error", "WHY")
                .replace("event 7", "event N");
            assert!(diagnostics.contains(&format!(".It \"{text}\"")), "{text}");
            message = after(Some(&it));
        }
    }
}
