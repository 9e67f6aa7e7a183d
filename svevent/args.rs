//! The command line of `svevent`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;
use servicedir::report::Failure;
use servicedir::supervisor::scan;

use crate::kind::Subscription;

/// How events are given to the command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// By Supervisor's listener protocol.
    Protocol,
    /// One line an event on its stdin, without answers.
    Lines,
    /// One run an event.
    Each,
}

/// What to do.
#[derive(Clone, Debug)]
pub(crate) enum Job {
    Help,
    Version,
    Run(Box<Args>),
}

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) mode: Mode,
    /// The scan directory.
    pub(crate) scan: PathBuf,
    /// How many processes.
    pub(crate) pool: usize,
    /// The pool's name in the header.
    pub(crate) name: String,
    /// The server's name in the header.
    pub(crate) server: String,
    /// The file that tells how far events have been processed.
    pub(crate) cursor: PathBuf,
    /// Without a cursor file, begin with all that the journals hold.
    pub(crate) from_start: bool,
    /// A command that takes longer for one event is killed.
    pub(crate) timeout: Option<Duration>,
    pub(crate) events: Subscription,
    pub(crate) command: Vec<OsString>,
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Job, Failure> {
    let mut mode = Mode::Protocol;
    let (mut scan, mut cursor) = (None, PathBuf::from("cursor"));
    let (mut pool, mut from_start, mut timeout) = (1, false, None);
    let mut name = None;
    let mut server = "supervisor".to_owned();
    let events: OsString = loop {
        let Some(argument) = parser.next()? else {
            return Err(wrong("expected events and a command"));
        };
        match argument {
            Short('h') | Long("help") => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            Long("lines") => mode = one_of(mode, Mode::Lines)?,
            Long("each") => mode = one_of(mode, Mode::Each)?,
            Short('d') | Long("dir") => scan = Some(PathBuf::from(parser.value()?)),
            Short('p') | Long("pool") => pool = pool_size(parser.value()?)?,
            Short('n') | Long("name") => name = Some(token("name", parser.value()?)?),
            Long("server") => server = token("server", parser.value()?)?,
            Short('c') | Long("cursor") => cursor = PathBuf::from(parser.value()?),
            Long("from-start") => from_start = true,
            Short('t') | Long("timeout") => timeout = Some(duration(parser.value()?)?),
            Value(value) => break value,
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    };
    let command: Vec<OsString> = parser.raw_args()?.collect();
    if command.is_empty() {
        return Err(wrong("expected a command after the events"));
    }
    if mode == Mode::Lines && pool > 1 {
        return Err(wrong("--lines and --pool cannot be combined"));
    }
    let events = Subscription::parse(&events.to_string_lossy())
        .map_err(|unknown| wrong(&format!("unknown event {unknown:?}")))?;
    Ok(Job::Run(Box::new(Args {
        mode,
        scan: scan.unwrap_or_else(scan::directory),
        pool,
        name: name.unwrap_or_else(own_name),
        server,
        cursor,
        from_start,
        timeout,
        events,
        command,
    })))
}

fn one_of(before: Mode, now: Mode) -> Result<Mode, Failure> {
    if before == Mode::Protocol || before == now {
        Ok(now)
    } else {
        Err(wrong("--lines and --each cannot be combined"))
    }
}

fn pool_size(value: OsString) -> Result<usize, Failure> {
    value
        .to_str()
        .and_then(|value| value.parse().ok())
        .filter(|size| (1..=256).contains(size))
        .ok_or_else(|| wrong("--pool: expected a number from 1 to 256"))
}

fn duration(value: OsString) -> Result<Duration, Failure> {
    let text = value.to_string_lossy();
    text.parse()
        .map(Duration::from_secs)
        .ok()
        .or_else(|| humantime::parse_duration(&text).ok())
        .filter(|time| !time.is_zero())
        .ok_or_else(|| wrong("--timeout: expected a time like 30s"))
}

/// A value of a header token: a blank or a colon in it would break every listener.
fn token(option: &str, value: OsString) -> Result<String, Failure> {
    let text = value.to_string_lossy().into_owned();
    if text.is_empty() || text.contains(|letter: char| letter == ':' || letter.is_whitespace()) {
        return Err(wrong(&format!(
            "--{option}: expected a name without blanks and colons"
        )));
    }
    Ok(text)
}

/// The name of the service that svevent is.
fn own_name() -> String {
    std::env::var("SUPERVISOR_PROCESS_NAME")
        .ok()
        .filter(|name| !name.contains(|letter: char| letter == ':' || letter.is_whitespace()))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "svevent".to_owned())
}

fn wrong(message: &str) -> Failure {
    Failure::usage(format_args!("{message}; see --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Args, Failure> {
        match parse(lexopt::Parser::from_args(args))? {
            Job::Run(args) => Ok(*args),
            other @ (Job::Help | Job::Version) => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_events_and_the_rest_is_the_command() {
        let args = parsed(&["--each", "-p", "3", "TICK_5", "sh", "-c", "exit 0"]).unwrap();
        assert_eq!((args.mode, args.pool), (Mode::Each, 3));
        assert_eq!(args.command, ["sh", "-c", "exit 0"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, message) in [
            (&["TICK_5"][..], "expected a command after the events"),
            (&["TICK_6", "cat"], "unknown event \"TICK_6\""),
            (
                &["--lines", "--each", "TICK_5", "cat"],
                "cannot be combined",
            ),
            (
                &["--lines", "-p", "2", "TICK_5", "cat"],
                "cannot be combined",
            ),
            (&["--name", "a b", "TICK_5", "cat"], "without blanks"),
            (&["-p", "0", "TICK_5", "cat"], "from 1 to 256"),
            (&["-t", "soon", "TICK_5", "cat"], "a time like 30s"),
        ] {
            let failure = parsed(args).unwrap_err();
            assert!(failure.message.contains(message), "{failure:?}");
            assert_eq!(failure.code, 100);
        }
    }
}
