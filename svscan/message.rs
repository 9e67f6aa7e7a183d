//! Everything that svscan writes to standard error.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use rustix::process::Pid;
use servicedir::layout::RUN;
use servicedir::report::{Failure, Reporter, Why, exit};
use servicedir::signal::Signal;
use servicedir::trust;

/// One message. Its text is the man page's, section DIAGNOSTICS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// Fatal: the scan directory cannot be used.
    UnableToScan(PathBuf, Why),
    /// Fatal: another svscan has locked the scan directory.
    Taken(PathBuf),
    /// Fatal: there is no supervise to start.
    NoSupervise,
    /// Fatal: the program of `--supervise` cannot be executed.
    UnableToExecute(PathBuf, Why),
    /// Fatal: the path of `--supervise` cannot be made absolute.
    UnableToResolve(PathBuf, Why),
    /// Fatal: no self-pipe.
    UnableToCatchSignals(Why),
    /// Fatal: poll(2) failed.
    UnableToPoll(Why),
    /// Fatal: no memory for the attributes of a process.
    UnableToPrepare(Why),
    /// Fatal, of `--upgrade`: no svscan has locked the scan directory.
    NoSvscan(PathBuf),
    /// Fatal, of `--upgrade`: svscan cannot be signalled.
    UnableToSignal(Pid, Why),
    /// Of `--upgrade`: svscan, or the supervise of this name, is still the former one.
    NotReplaced(OsString),
    /// Of `--upgrade`: a supervise cannot be sent the command to detach itself.
    UnableToDetach(OsString, trust::Refused),
    /// Of `--upgrade`: a supervise is of another suite.
    AnotherSuite(OsString),
    /// USR2: the program cannot be executed again.
    UnableToReplace(PathBuf, Why),
    /// The scan directory cannot be read any more.
    Away(PathBuf, Why),
    /// Another svscan has locked the directory that has taken the scan directory's place.
    AwayTaken(PathBuf),
    /// Info: the scan directory can be read again.
    Back(PathBuf),
    /// A name of the scan directory, or a file of its service, cannot be looked at.
    UnableToOpen(OsString, Why),
    /// `run` is not executable.
    NotExecutable(OsString),
    /// `run` is not a regular file.
    NotFile(OsString),
    /// A directory made in place does not come to rest.
    StillChanging(OsString),
    /// `options/essential` is at fault, and counts as yes: the service, and the fault.
    EssentialFault(OsString, String),
    /// A service writes to a pipe that is not known to be its log's: the log has a new one.
    PipeLost(OsString),
    /// No supervise could be started: its path, the service's name, and the reason.
    UnableToStart(PathBuf, OsString, Why),
    /// A signal killed a supervise.
    SuperviseKilled(OsString, Signal),
    /// A supervise is there and its process is not found.
    HolderUnknown(OsString),
    /// A supervise may be there, and whether it is cannot be found out.
    UnableToFindSupervise(OsString, trust::Refused),
    /// inotify does not take all watches.
    UnableToWatch(Why, u64),
    /// An essential service has ended for good; the exit code.
    EssentialEnded(OsString, u8),
    /// A unit was not down in time.
    Killing(OsString),
    /// The service manager above svscan could not be notified.
    UnableToNotify(Why),
    /// As `runsvdir`: the log argument is too short.
    ShortLog,
    /// As `runsvdir`: the messages cannot be shown in the arguments of a readproctitle.
    UnableToLog(Why),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const RETRY: &str = "retrying every second";
        match self {
            Self::UnableToScan(dir, why) => write!(out, "unable to scan {}: {why}", dir.display()),
            Self::Taken(dir) => {
                let dir = dir.display();
                write!(out, "unable to scan {dir}: another svscan runs on it")
            }
            Self::NoSupervise => {
                out.write_str("unable to find supervise: neither beside svscan nor on PATH")
            }
            Self::UnableToExecute(path, why) => {
                write!(out, "unable to execute {}: {why}", path.display())
            }
            Self::UnableToResolve(path, why) => {
                write!(out, "unable to resolve {}: {why}", path.display())
            }
            Self::UnableToCatchSignals(why) => write!(out, "unable to catch signals: {why}"),
            Self::UnableToPoll(why) => write!(out, "unable to poll: {why}"),
            Self::UnableToPrepare(why) => write!(out, "unable to prepare a start: {why}"),
            Self::NoSvscan(dir) => write!(out, "no svscan runs on {}", dir.display()),
            Self::UnableToSignal(pid, why) => {
                let pid = pid.as_raw_nonzero();
                write!(out, "unable to signal svscan, process {pid}: {why}")
            }
            Self::NotReplaced(name) => {
                write!(out, "{} was not replaced within 60 seconds", name.display())
            }
            Self::UnableToDetach(name, refused) => write!(
                out,
                "unable to detach the supervise of {}: {refused}",
                name.display()
            ),
            Self::AnotherSuite(name) => write!(
                out,
                "the supervise of {} is of another suite: not replaced",
                name.display()
            ),
            Self::UnableToReplace(path, why) => write!(
                out,
                "unable to execute {} in place of this svscan: {why}",
                path.display()
            ),
            Self::Away(dir, why) => {
                let dir = dir.display();
                write!(out, "unable to scan {dir}: {why}; services go on, {RETRY}")
            }
            Self::AwayTaken(dir) => {
                let dir = dir.display();
                write!(
                    out,
                    "unable to scan {dir}: another svscan runs on it; services go on, {RETRY}"
                )
            }
            Self::Back(dir) => write!(out, "{} is scanned again", dir.display()),
            Self::UnableToOpen(name, why) => {
                write!(out, "unable to open {}: {why}", name.display())
            }
            Self::NotExecutable(name) => {
                let name = name.display();
                write!(
                    out,
                    "{name}/{RUN} is not executable: not started until it is"
                )
            }
            Self::NotFile(name) => {
                let name = name.display();
                write!(
                    out,
                    "{name}/{RUN} is not a file: expected an executable program or script"
                )
            }
            Self::StillChanging(name) => write!(
                out,
                "{} is still changing: not started until nothing in it changes for 500 ms",
                name.display()
            ),
            Self::EssentialFault(name, fault) => {
                let name = name.display();
                write!(out, "{name}/{fault}; the service is taken to be essential")
            }
            Self::PipeLost(name) => write!(
                out,
                "the pipe to {} was not found: made a new one, which its service has from its next start",
                name.display()
            ),
            Self::UnableToStart(supervise, name, why) => {
                let (supervise, name) = (supervise.display(), name.display());
                write!(
                    out,
                    "unable to start {supervise} for {name}: {why}; {RETRY}"
                )
            }
            Self::SuperviseKilled(name, signal) => {
                let name = name.display();
                write!(out, "the supervise of {name} was killed by {signal}")
            }
            Self::HolderUnknown(name) => {
                let name = name.display();
                write!(
                    out,
                    "{name} is supervised already, by a process that cannot be found; {RETRY}"
                )
            }
            Self::UnableToFindSupervise(name, refused) => {
                let name = name.display();
                write!(
                    out,
                    "unable to find the supervise of {name}: {refused}; {RETRY}"
                )
            }
            Self::UnableToWatch(why, seconds) => write!(
                out,
                "unable to watch everything: {why}; looking every {seconds} seconds"
            ),
            Self::EssentialEnded(name, code) => write!(
                out,
                "{} is essential and has ended: stopping everything, exit code {code}",
                name.display()
            ),
            Self::Killing(name) => {
                write!(out, "{} was not down in time: killing it", name.display())
            }
            Self::UnableToNotify(why) => write!(out, "unable to notify $NOTIFY_SOCKET: {why}"),
            Self::ShortLog => out.write_str("log must have at least seven characters"),
            Self::UnableToLog(why) => write!(out, "unable to start readproctitle: {why}"),
        }
    }
}

impl Message {
    /// Whether two messages report one fault. That no process can be started is one fault, with
    /// whichever service it is met.
    fn is_same_fault(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::UnableToStart(_, _, one), Self::UnableToStart(_, _, other)) => one == other,
            _ => self == other,
        }
    }
}

impl From<Message> for Failure {
    fn from(message: Message) -> Self {
        Self::new(exit::SYSTEM, message)
    }
}

/// The subject of a message that is written only once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Topic {
    /// The scan directory.
    ScanDir,
    /// What can be watched.
    Watches,
    /// Starting processes.
    Start,
    /// The service of this name in the scan directory.
    Name(OsString),
    /// The option `essential` of the service of this name.
    Essential(OsString),
    /// The supervise of the unit of this name.
    Supervise(OsString),
}

impl Topic {
    pub(crate) fn name(name: &OsStr) -> Self {
        Self::Name(name.to_os_string())
    }

    pub(crate) fn supervise(name: &OsStr) -> Self {
        Self::Supervise(name.to_os_string())
    }
}

/// Writes messages to standard error, and remembers the lasting faults that it reported.
#[derive(Debug)]
pub(crate) struct Messages {
    reporter: Reporter,
    last: BTreeMap<Topic, Message>,
}

impl Messages {
    /// Nothing was written yet.
    pub(crate) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            last: BTreeMap::new(),
        }
    }

    /// Warns.
    pub(crate) fn warn(&self, message: &Message) {
        self.reporter.warning(message);
    }

    /// Warns of a fault that lasts: once, until there is another one, or none, of this topic.
    pub(crate) fn warn_once(&mut self, topic: Topic, message: Message) {
        let last = self.last.get(&topic);
        if !last.is_some_and(|last| last.is_same_fault(&message)) {
            self.warn(&message);
            self.last.insert(topic, message);
        }
    }

    /// The fault of this topic is over; true: there was one.
    pub(crate) fn clear(&mut self, topic: &Topic) -> bool {
        self.last.remove(topic).is_some()
    }

    /// The fault of this topic is over, and that is worth a line.
    pub(crate) fn clear_and_inform(&mut self, topic: &Topic, message: &Message) {
        if self.clear(topic) {
            self.reporter.info(message);
        }
    }

    /// Forgets the faults of names that are gone.
    pub(crate) fn keep_names(&mut self, is_there: impl Fn(&OsStr) -> bool) {
        self.last.retain(|topic, _| match topic {
            Topic::Name(name) | Topic::Essential(name) => is_there(name),
            Topic::ScanDir | Topic::Watches | Topic::Start | Topic::Supervise(_) => true,
        });
    }
}

#[cfg(test)]
mod tests;
