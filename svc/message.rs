//! What svc says. svc(8), DIAGNOSTICS, has every message.

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use servicedir::report::{Escaped, Why};

use crate::send::Unsent;

/// One message.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// The commands did not reach a supervise.
    Uncontrolled(&'a OsStr, Unsent),
    /// The state that was waited for will not come, for this reason.
    Failed(&'a OsStr, &'static str, &'a str),
    /// The supervise went away and did not come back.
    Gone(&'a OsStr, &'static str),
    /// Another supervise is there than the one that took the commands.
    Replaced(&'a OsStr, &'static str),
    /// The time is up.
    Late(&'a OsStr, &'static str, Duration, &'a str),
    /// `-w` without a command.
    NothingToWaitFor,
    /// `--wait` with a word that is no state.
    NoState(&'a OsStr),
    /// `--timeout` with a text that is no duration.
    NoDuration(&'a OsStr),
    /// poll(2) or inotify(7) failed.
    Wait(Why),
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncontrolled(dir, unsent) => {
                write!(out, "unable to control {}: {unsent}", dir.display())
            }
            Self::Failed(dir, state, reason) => {
                write!(out, "{}: not {state}: {}", dir.display(), Escaped(reason))
            }
            Self::Gone(dir, state) => {
                write!(out, "{}: not {state}: supervise not running", dir.display())
            }
            Self::Replaced(dir, state) => write!(
                out,
                "{}: not {state}: the supervise that took the command is gone, and another one is \
                 there",
                dir.display()
            ),
            Self::Late(dir, state, time, words) => write!(
                out,
                "{}: not {state} after {}: {words}",
                dir.display(),
                humantime::format_duration(*time)
            ),
            Self::NothingToWaitFor => out.write_str(
                "nothing to wait for: expected a command, or --wait=up, ready, down or exited; see \
                 --help",
            ),
            Self::NoState(value) => write!(
                out,
                "--wait={}: expected up, ready, down or exited",
                value.display()
            ),
            Self::NoDuration(value) => write!(
                out,
                "--timeout {}: expected a duration: 10s, 1m 30s, 250ms, or a number of seconds",
                value.display()
            ),
            Self::Wait(why) => write!(out, "unable to wait: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use servicedir::trust::Refused;

    /// Every message, with the placeholders of the manual page in it.
    fn samples() -> Vec<Message<'static>> {
        let dir = OsStr::new("DIR");
        let unsent = [
            Unsent::NotRunning,
            Unsent::Full,
            Unsent::Unknown(b'r'),
            Unsent::Refused(Refused::NotFifo),
            Unsent::Refused(Refused::Link),
            Unsent::Refused(Refused::Owner(54_321)),
            Unsent::Failed(Errno::ACCESS),
        ];
        let mut samples: Vec<Message<'static>> = unsent
            .into_iter()
            .map(|unsent| Message::Uncontrolled(dir, unsent))
            .collect();
        samples.extend([
            Message::Failed(dir, "STATE", "REASON"),
            Message::Gone(dir, "STATE"),
            Message::Replaced(dir, "STATE"),
            Message::Late(dir, "STATE", Duration::from_secs(5), "WORDS"),
            Message::NothingToWaitFor,
            Message::NoState(OsStr::new("WORD")),
            Message::NoDuration(OsStr::new("TIME")),
            Message::Wait(Why(libc::ENOMEM)),
        ]);
        samples
    }

    /// The number of a variant: a new one does not compile until it is among the samples.
    fn variant(message: &Message<'_>) -> usize {
        match message {
            Message::Uncontrolled(..) => 0,
            Message::Failed(..) => 1,
            Message::Gone(..) => 2,
            Message::Replaced(..) => 3,
            Message::Late(..) => 4,
            Message::NothingToWaitFor => 5,
            Message::NoState(_) => 6,
            Message::NoDuration(_) => 7,
            Message::Wait(_) => 8,
        }
    }

    #[test]
    fn every_message_stands_in_the_manual() {
        let page = include_str!("../man/svc.8");
        let samples = samples();
        let mut variants: Vec<usize> = samples.iter().map(variant).collect();
        variants.dedup();
        assert_eq!(variants, (0..9).collect::<Vec<_>>());
        for message in samples {
            let kind = if variant(&message) < 5 {
                "warning"
            } else {
                "fatal"
            };
            let text = message
                .to_string()
                .replace("54321", "UID")
                .replace("5s", "TIME")
                .replace("permission denied", "REASON")
                .replace("out of memory", "REASON")
                .replace("not enough space/cannot allocate memory", "REASON");
            let item = format!(".It \"svc: {kind}: {text}\"\n");
            assert!(page.contains(&item), "svc.8 has no {item}");
        }
    }
}
