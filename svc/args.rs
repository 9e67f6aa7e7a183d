//! The command line of `svc`.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;
use servicedir::control::Control;
use servicedir::duration;
use servicedir::report::Failure;
use servicedir::signal::Signal;

use crate::message::Message;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Command services, and wait.
    Control(Args),
}

/// What to send, to whom, and what to wait for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Args {
    /// The commands, each once, in the order of their first mention.
    pub(crate) commands: Vec<Control>,
    /// What to wait for; `None`: do not wait.
    pub(crate) wait: Option<WaitFor>,
    /// How long to wait at the longest.
    pub(crate) timeout: Option<Duration>,
    /// The services, as typed.
    pub(crate) dirs: Vec<OsString>,
}

/// The value of `--wait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WaitFor {
    /// What the commands mean.
    Command,
    /// The service is up.
    Up,
    /// The service is up and ready.
    Ready,
    /// The service is down and its finish script has ended.
    Down,
    /// The supervise has exited.
    Exited,
}

impl WaitFor {
    /// The values with their names.
    pub(crate) const NAMED: [(&'static str, Self); 4] = [
        ("up", Self::Up),
        ("ready", Self::Ready),
        ("down", Self::Down),
        ("exited", Self::Exited),
    ];

    fn from_name(name: &str) -> Option<Self> {
        Self::NAMED
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, wait)| wait)
    }
}

/// The commands that have a long option in place of a letter: `-w` waits, and a detach must not be a
/// slip of the finger.
const LONG: [(&str, Control); 2] = [
    ("winch", Control::Signal(Signal::WINCH)),
    ("detach", Control::Detach),
];

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Job, Failure> {
    let mut args = Args::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            // Never with a value behind the letter: `-wu` is `-w -u`.
            Short('w') => args.wait = args.wait.or(Some(WaitFor::Command)),
            Long("wait") => {
                args.wait = Some(match parser.optional_value() {
                    None => WaitFor::Command,
                    Some(value) => wait_for(value)?,
                });
            }
            Short('T') | Long("timeout") => args.timeout = Some(timeout(parser.value()?)?),
            Short(letter) => match letter_command(letter) {
                Some(command) => args.add(command),
                None => return Err(argument.unexpected().into()),
            },
            Long(name) => match LONG.iter().find(|(known, _)| *known == name) {
                Some((_, command)) => args.add(*command),
                None => return Err(argument.unexpected().into()),
            },
            Value(dir) => args.dirs.push(dir),
        }
    }
    args.checked().map(Job::Control)
}

impl Args {
    fn add(&mut self, command: Control) {
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    /// A time to wait means that there is something to wait for.
    fn checked(mut self) -> Result<Self, Failure> {
        if self.timeout.is_some() {
            self.wait = self.wait.or(Some(WaitFor::Command));
        }
        if self.wait == Some(WaitFor::Command) && self.commands.is_empty() {
            return Err(Failure::usage(Message::NothingToWaitFor));
        }
        Ok(self)
    }
}

/// The command that a letter of the command line sends.
fn letter_command(letter: char) -> Option<Control> {
    let command = Control::from_byte(u8::try_from(letter).ok()?)?;
    let has_long_option = LONG.iter().any(|(_, long)| *long == command);
    (!has_long_option).then_some(command)
}

fn wait_for(value: OsString) -> Result<WaitFor, Failure> {
    let state = value.to_str().and_then(WaitFor::from_name);
    state.ok_or_else(|| Failure::usage(Message::NoState(&value)))
}

fn timeout(value: OsString) -> Result<Duration, Failure> {
    duration::parse(&value).ok_or_else(|| Failure::usage(Message::NoDuration(&value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(args: &Args) -> Vec<u8> {
        args.commands
            .iter()
            .filter_map(|command| command.byte())
            .collect()
    }

    fn parsed(args: &[&str]) -> Result<Args, String> {
        match parse(lexopt::Parser::from_args(args)) {
            Ok(Job::Control(args)) => Ok(args),
            Ok(other @ (Job::Help | Job::Version)) => panic!("{other:?}"),
            Err(failure) => {
                assert_eq!(failure.code, 100);
                Err(failure.message)
            }
        }
    }

    #[test]
    fn letters_cluster_and_each_is_sent_once_in_the_order_of_its_first_mention() {
        let args = parsed(&["-dx", "-d1ux", "foo", "-q", "bar"]).unwrap();
        assert_eq!(bytes(&args), b"dx1uq");
        assert_eq!(args.dirs, ["foo", "bar"]);
        assert_eq!((args.wait, args.timeout), (None, None));
    }

    #[test]
    fn every_control_byte_can_be_sent() {
        for (byte, command) in Control::ALL {
            let option = match LONG.iter().find(|(_, long)| *long == command) {
                Some((name, _)) => format!("--{name}"),
                None => format!("-{}", char::from(byte)),
            };
            assert_eq!(
                parsed(&[&option, "foo"]).unwrap().commands,
                [command],
                "{option}"
            );
        }
    }

    #[test]
    fn w_waits_and_takes_no_value() {
        let args = parsed(&["-wu", "foo"]).unwrap();
        assert_eq!(
            (bytes(&args), args.wait),
            (b"u".to_vec(), Some(WaitFor::Command))
        );
        assert_eq!(
            parsed(&["-w", "--wait=ready", "foo"]).unwrap().wait,
            Some(WaitFor::Ready)
        );
        assert_eq!(
            parsed(&["--wait=ready", "-w", "foo"]).unwrap().wait,
            Some(WaitFor::Ready)
        );
    }

    #[test]
    fn a_timeout_is_a_duration_or_seconds_and_waits() {
        for (text, milliseconds) in [
            ("5", 5000),
            ("250ms", 250),
            ("1m 30s", 90_000),
            ("0.5", 500),
            ("0", 0),
        ] {
            let args = parsed(&["-d", "-T", text, "foo"]).unwrap();
            assert_eq!(
                args.timeout,
                Some(Duration::from_millis(milliseconds)),
                "{text}"
            );
            assert_eq!(args.wait, Some(WaitFor::Command));
        }
        assert!(
            parsed(&["-dT5x", "foo"])
                .unwrap_err()
                .starts_with("--timeout 5x: expected a duration")
        );
        assert!(parsed(&["-dT", "-1", "foo"]).is_err());
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert_eq!(
            parsed(&["-Z", "foo"]).unwrap_err(),
            "invalid option '-Z'; see --help"
        );
        assert!(parsed(&["-z", "foo"]).is_err());
        assert!(parsed(&["-é", "foo"]).is_err());
        assert!(
            parsed(&["--wait=gone", "foo"])
                .unwrap_err()
                .contains("expected up, ready")
        );
        assert!(
            parsed(&["-w", "foo"])
                .unwrap_err()
                .starts_with("nothing to wait for")
        );
    }
}
