//! Every line that svcapture writes to stderr while it runs; svcapture(8), section DIAGNOSTICS, lists
//! them.

use std::fmt::{self, Display};
use std::path::PathBuf;

use servicedir::report::{Failure, Reporter, Why, exit};

/// The voice of svcapture.
pub(crate) const REPORTER: Reporter = Reporter::new("svcapture");

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// No pipe, no signal.
    NoSetup { what: &'static str, why: Why },
    /// The command could not be started.
    NotStarted { command: String, why: Why },
    /// poll(2) fails.
    NoPoll(Why),
    /// An event could not be offered.
    NotOffered { path: PathBuf, why: Why },
    /// A capture had no end within the bound.
    TooLong { max: usize },
    /// What was read and not written could not be kept.
    RestLost {
        path: PathBuf,
        bytes: usize,
        why: Why,
    },
}

impl Message {
    pub(crate) fn warn(&self) {
        REPORTER.warning(self);
    }

    pub(crate) fn fatal(self) -> Failure {
        Failure::new(exit::SYSTEM, self)
    }
}

impl Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSetup { what, why } => write!(out, "unable to {what}: {why}"),
            Self::NotStarted { command, why } => write!(out, "unable to run {command}: {why}"),
            Self::NoPoll(why) => write!(out, "unable to poll: {why}"),
            Self::NotOffered { path, why } => {
                write!(
                    out,
                    "unable to write in {}: {why}; the event is lost",
                    path.display()
                )
            }
            Self::TooLong { max } => {
                write!(
                    out,
                    "no end of a capture within {max} bytes: it stays in the log"
                )
            }
            Self::RestLost { path, bytes, why } => write!(
                out,
                "unable to write {}: {why}; {bytes} bytes of the log are lost",
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
        let path = || PathBuf::from("DIR");
        Some(match message {
            None => Message::NoSetup {
                what: "make a pipe",
                why,
            },
            Some(Message::NoSetup {
                what: "make a pipe",
                ..
            }) => Message::NoSetup {
                what: "catch signals",
                why,
            },
            Some(Message::NoSetup { .. }) => Message::NotStarted {
                command: "COMMAND".into(),
                why,
            },
            Some(Message::NotStarted { .. }) => Message::NoPoll(why),
            Some(Message::NoPoll(_)) => Message::NotOffered { path: path(), why },
            Some(Message::NotOffered { .. }) => Message::TooLong { max: 7 },
            Some(Message::TooLong { .. }) => Message::RestLost {
                path: "DIR/rest".into(),
                bytes: 7,
                why,
            },
            Some(Message::RestLost { .. }) => return None,
        })
    }

    #[test]
    fn every_message_stands_under_diagnostics() {
        let page = include_str!("../man/svcapture.8");
        let (_, diagnostics) = page.split_once(".Sh DIAGNOSTICS").unwrap();
        let mut message = after(None);
        while let Some(it) = message {
            let text = it.to_string().replace("I/O error", "WHY").replace('7', "N");
            assert!(diagnostics.contains(&format!(".It \"{text}\"")), "{text}");
            message = after(Some(&it));
        }
    }
}
