//! svscan under the name of runit's `runsvdir`: its command line, its signals, its log in the argument.
//!
//! TERM leaves the services running, HUP stops them all and ends with 111, a removed service is
//! stopped, and the supervises are called `runsv`, so that `x` stops a service.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pipe::{PipeFlags, pipe_with};
use servicedir::report::exit;
use servicedir::signal::Signal;

use crate::message::Message;

/// runit's name for the program.
const NAME: &str = "runsvdir";

/// The program that shows what it reads in its arguments.
const READPROCTITLE: &str = "readproctitle";

/// The shortest log argument.
const LOG_MIN: usize = 7;

/// runit's usage line, with its empty line, and the code after it.
pub(crate) const USAGE: &str = "usage: runsvdir [-P] dir\n\n";
pub(crate) const USAGE_CODE: u8 = 1;

/// Whose manners the program has, by the name that it was called by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manners {
    /// This suite's.
    Svscan,
    /// runit's.
    Runsvdir,
}

impl Manners {
    /// The manners of a program that was called by this name.
    pub(crate) fn of(name: &OsStr) -> Self {
        match Path::new(name).file_name() {
            Some(last) if last == NAME => Self::Runsvdir,
            Some(_) | None => Self::Svscan,
        }
    }

    /// The signal of svscan that means the same.
    pub(crate) fn meaning(self, signal: Signal) -> Signal {
        match (self, signal) {
            (Self::Runsvdir, Signal::TERM) => Signal::QUIT,
            (Self::Runsvdir, Signal::HUP) => Signal::TERM,
            (Self::Svscan | Self::Runsvdir, other) => other,
        }
    }

    /// The exit code after the services were stopped because of this signal, where it is not svscan's.
    pub(crate) fn exit_code(self, signal: Signal) -> Option<u8> {
        (self == Self::Runsvdir && signal == Signal::HUP).then_some(exit::SYSTEM)
    }

    /// The name by which supervises are called.
    pub(crate) fn supervise(self) -> CString {
        match self {
            Self::Svscan => c"supervise".to_owned(),
            Self::Runsvdir => c"runsv".to_owned(),
        }
    }
}

/// The command line of `runsvdir [-P] dir [log]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommandLine {
    /// The scan directory.
    pub(crate) dir: PathBuf,
    /// The text in whose place the last messages are shown.
    pub(crate) log: Option<OsString>,
}

impl CommandLine {
    /// Reads the arguments without the name; `None` if they are wrong. `-P`, a session of its own for
    /// each runsv, changes nothing: every service has one.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Option<Self> {
        let mut arguments = arguments.into_iter().peekable();
        while arguments.next_if(|word| word == "-P").is_some() {}
        let dir = arguments.next().filter(|dir| !dir.is_empty())?;
        let log = arguments.next();
        Some(Self {
            dir: PathBuf::from(dir),
            log,
        })
    }
}

/// Starts a readproctitle on the log argument, and makes its input this process's stderr.
///
/// # Errors
/// The argument is too short, there is no readproctitle, or the system has no descriptor left: a
/// warning; stderr stays as it is.
pub(crate) fn show_in_arguments(log: &OsStr) -> Result<(), Message> {
    if log.as_bytes().len() < LOG_MIN {
        return Err(Message::ShortLog);
    }
    let unable = Message::UnableToLog;
    let (input, output) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| unable(errno.into()))?;
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name(READPROCTITLE))
        .filter(|path| path.exists());
    let mut command = Command::new(beside.unwrap_or_else(|| PathBuf::from(READPROCTITLE)));
    command
        .arg(log)
        .stdin(Stdio::from(input))
        .stdout(Stdio::null());
    servicedir::exec::spawn(&mut command).map_err(|error| unable(error.into()))?;
    rustix::stdio::dup2_stderr(output.as_fd()).map_err(|errno| unable(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        assert_eq!(
            Manners::of(OsStr::new("/usr/bin/runsvdir")),
            Manners::Runsvdir
        );
        assert_eq!(Manners::of(OsStr::new("svscan")), Manners::Svscan);
        assert_eq!(Manners::of(OsStr::new("")), Manners::Svscan);
    }

    #[test]
    fn term_leaves_and_hup_stops_under_runit_s_name() {
        let runit = Manners::Runsvdir;
        assert_eq!(runit.meaning(Signal::TERM), Signal::QUIT);
        assert_eq!(runit.meaning(Signal::HUP), Signal::TERM);
        assert_eq!(runit.exit_code(Signal::HUP), Some(111));
        assert_eq!(runit.exit_code(Signal::INT), None);
        assert_eq!(Manners::Svscan.meaning(Signal::HUP), Signal::HUP);
        assert_eq!(Manners::Svscan.exit_code(Signal::HUP), None);
    }

    #[test]
    fn the_command_line_is_runit_s() {
        let read = |words: &[&str]| CommandLine::read(words.iter().map(OsString::from));
        let line = |dir: &str, log: Option<&str>| {
            Some(CommandLine {
                dir: PathBuf::from(dir),
                log: log.map(OsString::from),
            })
        };
        assert_eq!(read(&["-P", "/etc/service"]), line("/etc/service", None));
        assert_eq!(read(&["sv", "log: ...."]), line("sv", Some("log: ....")));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&["-P"]), None);
        assert_eq!(read(&[""]), None);
    }
}
