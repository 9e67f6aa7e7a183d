//! Everything that svlogd writes to standard error in its own name.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use servicedir::report::{Failure, Why, exit};
use servicedir::signal::Signal;

use crate::config::Complaint;

/// One message. Its text is the man page's, section DIAGNOSTICS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// Usage: the command line names no log directory.
    NoDirectory,
    /// Usage: `-b` and `-l`.
    SmallBuffer(usize, usize),
    /// Usage: the value of `-r`.
    NotOneCharacter(OsString),
    /// Fatal: no directory of the command line can be opened.
    NoneUsable,
    /// Fatal: no handler or no timer.
    UnableToCatchSignals(Why),
    /// Fatal: read(2) failed on standard input.
    UnableToReadInput(Why),
    /// Fatal, at the end: some lines are not in the log.
    NotAllWritten,
    /// A call on a file of a log directory failed.
    Unable(Fault),
    /// A rotation stopped at a step that failed; the directory.
    NotRotated(Fault, PathBuf),
    /// `current` takes nothing; whether lines are dropped meanwhile.
    UnableToWrite(PathBuf, Why, bool),
    /// Info: `current` takes lines again.
    WritingAgain(PathBuf),
    /// multilog ignores an argument.
    UnknownAction(String),
    /// multilog could not write a status file.
    StatusNotWritten(PathBuf, Why),
    /// An old file was deleted because the disk was full.
    DiskFull(PathBuf),
    /// An old file was deleted before the processor had it.
    Unprocessed(PathBuf),
    /// This number of old files of the directory waits for the processor.
    QueueFull(PathBuf, u64),
    /// Info: the directory can be used (again).
    Usable(PathBuf),
    /// A line of `config` has no effect.
    BadLine(PathBuf, Complaint),
    /// The `config` of this user has a processor, which runs as another user.
    ForeignProcessor(PathBuf, u32),
    /// `config` names a group that does not exist.
    NoSuchGroup(PathBuf, String),
    /// A processor failed on this file; how, and the wait before it is run again.
    ProcessorFailed(PathBuf, End, u64),
    /// A processor's file could not be read, or its output not be taken; the wait.
    ProcessorFault(Fault, u64),
    /// TZ names no time zone.
    NoZone(String),
    /// An old file of the directory could not be brought to the disk.
    NotSynced(PathBuf),
    /// In the log itself: this number of lines was dropped.
    Dropped(u64),
    /// At the end: lines and bytes that are not written.
    Leaving(PathBuf, u64, usize),
    /// `-v`: a signal came.
    Received(Signal),
    /// `-v`: something was done to a file; its new name and size.
    Did(Deed, PathBuf, String),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => out.write_str("no log directory given; see --help"),
            Self::SmallBuffer(buffer, len) => {
                write!(out, "-b {buffer} must be greater than -l {len}; see --help")
            }
            Self::NotOneCharacter(text) => {
                let text = text.display();
                write!(out, "-r takes one ASCII character, not \"{text}\"")
            }
            Self::NoneUsable => out.write_str("no log directory can be used"),
            Self::UnableToCatchSignals(why) => write!(out, "unable to catch signals: {why}"),
            Self::UnableToReadInput(why) => write!(out, "unable to read from stdin: {why}"),
            Self::NotAllWritten => out.write_str("not all lines were written"),
            Self::Unable(fault) => fault.fmt(out),
            Self::NotRotated(fault, dir) => {
                write!(out, "{fault}; {} is not rotated, retrying", dir.display())
            }
            Self::UnableToWrite(file, why, dropping) => {
                let (file, then) = (file.display(), what_then(*dropping));
                write!(out, "unable to write to {file}: {why}; {then}")
            }
            Self::UnknownAction(action) => write!(out, "unknown action \"{action}\" is ignored"),
            Self::StatusNotWritten(file, why) => {
                let file = file.display();
                write!(
                    out,
                    "unable to write to {file}: {why}; retrying every second"
                )
            }
            Self::WritingAgain(file) => write!(out, "writing again to {}", file.display()),
            Self::Usable(dir) => write!(out, "log directory is usable: {}", dir.display()),
            Self::BadLine(file, complaint) => write!(out, "{}: {complaint}", file.display()),
            Self::ForeignProcessor(file, uid) => write!(
                out,
                "{}: owned by user {uid}: its processor is not run",
                file.display()
            ),
            Self::NoSuchGroup(file, name) => {
                write!(out, "{}: no such group: {name}", file.display())
            }
            Self::NoZone(name) => write!(out, "TZ={name} is not a time zone; using UTC"),
            Self::NotSynced(dir) => {
                let dir = dir.display();
                write!(out, "unable to sync an old file in {dir}; it stays @*.u")
            }
            Self::Dropped(lines) => write!(out, "{lines} lines dropped: unable to write"),
            Self::Leaving(dir, lines, bytes) => write!(
                out,
                "leaving {}: {lines} lines and {bytes} bytes are not written",
                dir.display()
            ),
            Self::Received(signal) => write!(out, "{signal} received"),
            Self::Did(deed, file, rest) => write!(out, "{deed}: {}{rest}", file.display()),
            Self::DiskFull(file) => write!(out, "disk full, deleted: {}", file.display()),
            Self::Unprocessed(file) => {
                write!(out, "deleted before it was processed: {}", file.display())
            }
            Self::QueueFull(dir, files) => write!(
                out,
                "{files} files in {} wait for the processor; reading stops until one is done",
                dir.display()
            ),
            Self::ProcessorFailed(file, end, wait) => {
                let file = file.display();
                write!(out, "processor of {file}: {end}; next try in {wait} s")
            }
            Self::ProcessorFault(fault, wait) => write!(out, "{fault}; next try in {wait} s"),
        }
    }
}

fn what_then(dropping: bool) -> &'static str {
    if dropping {
        "lines are dropped and counted until it takes them"
    } else {
        "reading stops until it takes them"
    }
}

impl From<Fault> for Message {
    fn from(fault: Fault) -> Self {
        Self::Unable(fault)
    }
}

impl From<Message> for Failure {
    fn from(message: Message) -> Self {
        let is_usage = matches!(
            message,
            Message::NoDirectory | Message::SmallBuffer(..) | Message::NotOneCharacter(_)
        );
        let code = if is_usage { exit::USAGE } else { exit::SYSTEM };
        Self::new(code, message)
    }
}

/// A call that failed on a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The call.
    pub(crate) verb: Verb,
    /// The file.
    pub(crate) file: PathBuf,
    /// Why it failed.
    pub(crate) reason: Reason,
}

impl Fault {
    /// Unable to do this to that file.
    pub(crate) fn new(verb: Verb, file: impl Into<PathBuf>, reason: impl Into<Reason>) -> Self {
        Self {
            verb,
            file: file.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, file, reason } = self;
        write!(out, "unable to {verb} {}: {reason}", file.display())
    }
}

/// A call on a file of a log directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Create,
    Delete,
    Execute,
    Lock,
    Open,
    Process,
    Read,
    Rename,
    Sync,
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Process => "process",
            Self::Read => "read",
            Self::Rename => "rename",
            Self::Sync => "sync",
        })
    }
}

/// Why a call on a file failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The errno of a system call.
    Errno(Why),
    /// Another logger writes to the directory.
    Held,
    /// A FIFO, a device, a directory or a socket has the name.
    NotFile,
    /// A symbolic link has the name, and belongs neither to root nor to svlogd's user.
    Link(u32),
    /// This directory on the way does not exist.
    Missing(PathBuf),
    /// The file is longer than this.
    Long(usize),
}

impl<E: Into<Why>> From<E> for Reason {
    fn from(error: E) -> Self {
        Self::Errno(error.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(why) => why.fmt(out),
            Self::Held => out.write_str("another logger writes there"),
            Self::NotFile => out.write_str("not a regular file"),
            Self::Link(uid) => {
                write!(out, "a symbolic link of user {uid}, which is not followed")
            }
            Self::Missing(dir) => write!(out, "{} does not exist", dir.display()),
            Self::Long(limit) => write!(out, "longer than {limit} bytes"),
        }
    }
}

/// How a processor failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Its exit code.
    Exited(i32),
    /// The signal that killed it.
    Killed(i32),
    /// waitpid(2) failed.
    Unknown(Why),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exited {code}"),
            Self::Killed(number) => match Signal::from_number(*number) {
                Some(signal) => write!(out, "killed by {signal}"),
                None => write!(out, "killed by signal {number}"),
            },
            Self::Unknown(why) => write!(out, "exit status unknown: {why}"),
        }
    }
}

/// What `-v` reports of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Append,
    Close,
    Delete,
    New,
    Processed,
    Processing,
    Read,
    Rename,
}

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Append => "append",
            Self::Close => "close",
            Self::Delete => "delete",
            Self::New => "new",
            Self::Processed => "processed",
            Self::Processing => "processing",
            Self::Read => "read",
            Self::Rename => "rename",
        })
    }
}

#[cfg(test)]
mod tests;
