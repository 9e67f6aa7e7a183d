//! The command line of `svc`.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::prelude::*;
use servicedir::control::Control;
use servicedir::report::Failure;

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
    /// Control bytes, each once, in the order of their first mention.
    pub(crate) letters: Vec<u8>,
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

/// The control bytes that have a long option in place of a letter: `-w` waits, and a detach is
/// nothing to mistype.
const LONG: [(&str, u8); 2] = [("winch", b'w'), ("detach", b'z')];

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
            Short(letter) => match letter_byte(letter) {
                Some(byte) => args.add(byte),
                None => return Err(argument.unexpected().into()),
            },
            Long(name) => match LONG.iter().find(|(known, _)| *known == name) {
                Some((_, byte)) => args.add(*byte),
                None => return Err(argument.unexpected().into()),
            },
            Value(dir) => args.dirs.push(dir),
        }
    }
    args.checked().map(Job::Control)
}

impl Args {
    fn add(&mut self, byte: u8) {
        if !self.letters.contains(&byte) {
            self.letters.push(byte);
        }
    }

    /// A time to wait means that there is something to wait for.
    fn checked(mut self) -> Result<Self, Failure> {
        if self.timeout.is_some() {
            self.wait = self.wait.or(Some(WaitFor::Command));
        }
        if self.wait == Some(WaitFor::Command) && self.letters.is_empty() {
            return Err(Failure::usage(
                "nothing to wait for: expected a command, or --wait=up, ready, down or exited; see --help",
            ));
        }
        Ok(self)
    }
}

/// The control byte that a letter of the command line sends.
fn letter_byte(letter: char) -> Option<u8> {
    let byte = u8::try_from(letter).ok()?;
    let has_long_option = LONG.iter().any(|(_, long)| *long == byte);
    Control::from_byte(byte)
        .filter(|_| !has_long_option)
        .map(|_| byte)
}

fn wait_for(value: OsString) -> Result<WaitFor, Failure> {
    value.to_str().and_then(WaitFor::from_name).ok_or_else(|| {
        Failure::usage(format_args!(
            "--wait={}: expected up, ready, down or exited",
            value.display()
        ))
    })
}

/// A duration as humantime writes it; a bare number is seconds.
fn timeout(value: OsString) -> Result<Duration, Failure> {
    let wrong = || {
        Failure::usage(format_args!(
            "--timeout {}: expected a duration: 10s, 1m 30s, 250ms, or a number of seconds",
            value.display()
        ))
    };
    let text = value.to_str().ok_or_else(wrong)?.trim();
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(args.letters, b"dx1uq");
        assert_eq!(args.dirs, ["foo", "bar"]);
        assert_eq!((args.wait, args.timeout), (None, None));
    }

    #[test]
    fn every_control_byte_can_be_sent() {
        for (byte, _) in Control::ALL {
            let option = match LONG.iter().find(|(_, long)| *long == byte) {
                Some((name, _)) => format!("--{name}"),
                None => format!("-{}", char::from(byte)),
            };
            assert_eq!(
                parsed(&[&option, "foo"]).unwrap().letters,
                [byte],
                "{option}"
            );
        }
    }

    #[test]
    fn w_waits_and_takes_no_value() {
        let args = parsed(&["-wu", "foo"]).unwrap();
        assert_eq!(
            (args.letters.as_slice(), args.wait),
            (b"u".as_slice(), Some(WaitFor::Command))
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
        for (text, milliseconds) in [("5", 5000), ("250ms", 250), ("1m 30s", 90_000), ("0", 0)] {
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
