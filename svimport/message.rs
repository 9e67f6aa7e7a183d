//! Everything that svimport says about a configuration, as one enum with one Display. svimport(8) explains
//! each of them.

use std::fmt;

use crate::expand::Unexpanded;
use crate::ini::Place;
use crate::words::{BadPairs, Uncut};

/// How much a message weighs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Level {
    /// Worth knowing.
    Info,
    /// Carried over with a difference.
    Warning,
    /// Not carried over; the rest is.
    Refused,
    /// supervisord would not start with it; nothing is written.
    Fault,
}

/// A message and the place that it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    /// The file and line, where there is one.
    pub(crate) place: Option<Place>,
    /// The section's name; empty for none.
    pub(crate) section: String,
    /// The key; empty for none.
    pub(crate) key: String,
    /// What is to be said.
    pub(crate) what: What,
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(out, "{place}: ")?;
        }
        if !self.section.is_empty() {
            write!(out, "[{}] ", self.section)?;
        }
        if !self.key.is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        self.what.fmt(out)
    }
}

/// What is to be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A key stands before the first section.
    NoSection,
    /// A line is neither a section nor a key.
    NoKey(String),
    /// A value that is none of its kind.
    Value {
        found: String,
        expected: &'static str,
    },
    /// `%(name)s` or a `%` that cannot be expanded.
    Expand(Unexpanded),
    /// `environment=` cannot be cut into pairs.
    Environment(BadPairs),
    /// The command cannot be cut into words.
    Command(Uncut),
    /// There is no command, or an empty one.
    NoCommand,
    /// Several processes would have one name.
    ProcessNum(i64),
    /// `stopasgroup` without `killasgroup`.
    KillAsGroup,
    /// A group names a program that is not there.
    UnknownProgram(String),
    /// A group names what is both a program and a fcgi-program.
    Ambiguous(String),
    /// A listener without events.
    NoEvents,
    /// A listener with an event that does not exist.
    UnknownEvent(String),
    /// A listener's stderr cannot go with its protocol.
    ListenerRedirect,
    /// A user name without a password, or the reverse.
    Authentication,
    /// A server without its address.
    NoAddress,
    /// `[include]` without files.
    NoFiles,
    /// Two processes of one name in one group.
    SameName(String),
    /// A file of the configuration that cannot be read.
    Unreadable(String),

    /// A fcgi-program.
    Fcgi,
    /// A Python plugin.
    Plugin,
    /// A Python function that judges a listener's results.
    ResultHandler,
    /// A server that anybody could use.
    OpenServer,

    /// A key that nobody knows.
    UnknownKey,
    /// A section that nobody knows.
    UnknownSection,
    /// There is no `[supervisord]`.
    NoSupervisord,
    /// A pattern of `[include]` without a match.
    NoMatch(String),
    /// No old log files are to be kept.
    NoBackups,
    /// Several services write to one log file.
    SharedLog(String),
    /// A stderr log beside `redirect_stderr`.
    StderrIgnored,
    /// stderr to where only stdout goes.
    StderrElsewhere,
    /// `strip_ansi`.
    StripAnsi,
    /// A priority inside a group.
    MemberPriority(i64),
    /// A user that is not in the password file.
    NoUser(String),
    /// Expected exit codes that are none.
    NoExitCodes,
    /// Lines to syslog.
    Syslog(String),
    /// A key of `[supervisord]` that has no counterpart.
    NoCounterpart(&'static str),
    /// A value that came from the environment.
    FromEnvironment(String),
}

impl What {
    /// How much it weighs.
    pub(crate) fn level(&self) -> Level {
        match self {
            Self::NoSection
            | Self::NoKey(_)
            | Self::Value { .. }
            | Self::Expand(_)
            | Self::Environment(_)
            | Self::Command(_)
            | Self::NoCommand
            | Self::ProcessNum(_)
            | Self::KillAsGroup
            | Self::UnknownProgram(_)
            | Self::Ambiguous(_)
            | Self::NoEvents
            | Self::UnknownEvent(_)
            | Self::ListenerRedirect
            | Self::Authentication
            | Self::NoAddress
            | Self::NoFiles
            | Self::SameName(_)
            | Self::Unreadable(_) => Level::Fault,
            Self::Fcgi
            | Self::Plugin
            | Self::ResultHandler
            | Self::OpenServer
            | Self::StripAnsi => Level::Refused,
            Self::UnknownKey
            | Self::UnknownSection
            | Self::NoSupervisord
            | Self::NoMatch(_)
            | Self::NoBackups
            | Self::SharedLog(_)
            | Self::StderrIgnored
            | Self::StderrElsewhere
            | Self::MemberPriority(_)
            | Self::NoUser(_)
            | Self::NoExitCodes
            | Self::Syslog(_) => Level::Warning,
            Self::NoCounterpart(_) | Self::FromEnvironment(_) => Level::Info,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSection => out.write_str("a key before the first section"),
            Self::NoKey(line) => write!(out, "\"{line}\": expected key=value"),
            Self::Value { found, expected } => write!(out, "\"{found}\": expected {expected}"),
            Self::Expand(why) => why.fmt(out),
            Self::Environment(why) => why.fmt(out),
            Self::Command(why) => why.fmt(out),
            Self::NoCommand => out.write_str("no command"),
            Self::ProcessNum(number) => write!(
                out,
                "{number} processes of one name: put %(process_num)02d into process_name"
            ),
            Self::KillAsGroup => out.write_str("no, where stopasgroup says yes"),
            Self::UnknownProgram(name) => write!(out, "no program of the name \"{name}\""),
            Self::Ambiguous(name) => {
                write!(out, "{name} is both a program and a fcgi-program")
            }
            Self::NoEvents => out.write_str("no events: expected events=PROCESS_STATE or the like"),
            Self::UnknownEvent(name) => write!(out, "unknown event {name}"),
            Self::ListenerRedirect => {
                out.write_str("a listener's stderr cannot go with its protocol: remove this key")
            }
            Self::Authentication => out.write_str("expected both username and password"),
            Self::NoAddress => out.write_str("no address: expected file= or port="),
            Self::NoFiles => out.write_str("no files"),
            Self::SameName(name) => write!(out, "two processes named {name}: rename one of them"),
            Self::Unreadable(why) => write!(out, "unable to read: {why}"),

            Self::Fcgi => out.write_str(
                "not carried over: no program here listens for the service; let it listen itself (php-fpm, spawn-fcgi -n) in a [program:x]",
            ),
            Self::Plugin => out.write_str("not carried over: a Python plugin of supervisord"),
            Self::ResultHandler => out.write_str(
                "not carried over: a Python function; the listener's OK and FAIL decide",
            ),
            Self::OpenServer => out.write_str(
                "not carried over: it would be open to other machines without a password; add username and password, or port=127.0.0.1:9001",
            ),

            Self::UnknownKey => out.write_str("unknown key; supervisord ignores it too"),
            Self::UnknownSection => out.write_str("unknown section; supervisord ignores it too"),
            Self::NoSupervisord => {
                out.write_str("no [supervisord] section; supervisord would not start with it")
            }
            Self::NoMatch(pattern) => write!(out, "no file matches {pattern}"),
            Self::NoBackups => {
                out.write_str("one old file is kept: svlogd reads 0 as all")
            }
            Self::SharedLog(path) => write!(
                out,
                "several services log to {path}: each gets a directory of its own in {path}.d"
            ),
            Self::StderrIgnored => out.write_str("ignored: redirect_stderr is set"),
            Self::StderrElsewhere => out.write_str(
                "stderr cannot go to svscan's stdout while stdout has a log: it goes to svscan's stderr",
            ),
            Self::StripAnsi => out.write_str("not carried over: escape sequences stay in the logs"),
            Self::MemberPriority(priority) => write!(
                out,
                "{priority} counts inside its group only: the group's priority is carried over"
            ),
            Self::NoUser(name) => write!(out, "no user {name} in /etc/passwd"),
            Self::NoExitCodes => {
                out.write_str("no exit code is expected: autorestart=unexpected becomes always")
            }
            Self::Syslog(name) => write!(out, "lines go through logger(1) with the tag {name}"),
            Self::NoCounterpart(instead) => write!(out, "no counterpart: {instead}"),
            Self::FromEnvironment(name) => {
                write!(out, "the value of {name} comes from svimport's environment")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message behind this one in a chain of an example each: a new message does not compile until it
    /// has its place in it.
    fn next(what: &What) -> Option<What> {
        let text = String::from;
        Some(match what {
            What::NoSection => What::NoKey(text("nonsense")),
            What::NoKey(_) => What::Value {
                found: text("10s"),
                expected: "a whole number without a unit",
            },
            What::Value { .. } => What::Expand(Unexpanded::Unknown(text("x"))),
            What::Expand(Unexpanded::Unknown(name)) if name == "x" => {
                What::Expand(Unexpanded::Unknown(text("ENV_PORT")))
            }
            What::Expand(Unexpanded::Unknown(_)) => What::Expand(Unexpanded::Format),
            What::Expand(Unexpanded::Format) => What::Environment(BadPairs::Ends),
            What::Environment(_) => What::Command(Uncut::Quote),
            What::Command(Uncut::Quote) => What::Command(Uncut::Escape),
            What::Command(Uncut::Escape) => What::NoCommand,
            What::NoCommand => What::ProcessNum(2),
            What::ProcessNum(_) => What::KillAsGroup,
            What::KillAsGroup => What::UnknownProgram(text("web")),
            What::UnknownProgram(_) => What::Ambiguous(text("web")),
            What::Ambiguous(_) => What::NoEvents,
            What::NoEvents => What::UnknownEvent(text("NOPE")),
            What::UnknownEvent(_) => What::ListenerRedirect,
            What::ListenerRedirect => What::Authentication,
            What::Authentication => What::NoAddress,
            What::NoAddress => What::NoFiles,
            What::NoFiles => What::SameName(text("web")),
            What::SameName(_) => What::Unreadable(text("x.conf: permission denied")),
            What::Unreadable(_) => What::Fcgi,
            What::Fcgi => What::Plugin,
            What::Plugin => What::ResultHandler,
            What::ResultHandler => What::OpenServer,
            What::OpenServer => What::UnknownKey,
            What::UnknownKey => What::UnknownSection,
            What::UnknownSection => What::NoSupervisord,
            What::NoSupervisord => What::NoMatch(text("conf.d/*.conf")),
            What::NoMatch(_) => What::NoBackups,
            What::NoBackups => What::SharedLog(text("x.log")),
            What::SharedLog(_) => What::StderrIgnored,
            What::StderrIgnored => What::StderrElsewhere,
            What::StderrElsewhere => What::StripAnsi,
            What::StripAnsi => What::MemberPriority(3),
            What::MemberPriority(_) => What::NoUser(text("web")),
            What::NoUser(_) => What::NoExitCodes,
            What::NoExitCodes => What::Syslog(text("web")),
            What::Syslog(_) => What::NoCounterpart("svscan writes to its stderr"),
            What::NoCounterpart(_) => What::FromEnvironment(text("PORT")),
            What::FromEnvironment(_) => return None,
        })
    }

    #[test]
    fn the_manual_has_every_message() {
        let manual = include_str!("../man/svimport.8");
        let words: Vec<&str> = manual
            .lines()
            .map(|line| {
                line.trim_start_matches(".It Li ")
                    .trim_start_matches(".Li ")
            })
            .flat_map(str::split_whitespace)
            .collect();
        let flat = words
            .join(" ")
            .replace("\\(dq", "\"")
            .replace("\\-", "-")
            .replace("\\&", "");
        let mut what = Some(What::NoSection);
        while let Some(example) = what {
            assert!(flat.contains(&example.to_string()), "{example}");
            what = next(&example);
        }
    }

    #[test]
    fn a_message_names_file_line_section_and_key() {
        let message = Message {
            place: Some(Place {
                file: "x.conf".into(),
                line: 7,
            }),
            section: "program:web".into(),
            key: "startsecs".into(),
            what: What::Value {
                found: "10s".into(),
                expected: "a whole number without a unit",
            },
        };
        assert_eq!(
            message.to_string(),
            "x.conf:7: [program:web] startsecs: \"10s\": expected a whole number without a unit"
        );
    }
}
