//! One command after the other: the line taken apart, the command found, the exit code kept.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::report::{Why, print};
use servicedir::supervisor::fault::Code;
use servicedir::supervisor::names;
use servicedir::supervisor::process::Process;
use servicedir::supervisor::scan;

use crate::{changes, help, lifecycle, show, tail};

/// supervisorctl's exit codes, which are those of LSB init scripts.
pub(crate) mod exit {
    /// Anything that went wrong.
    pub(crate) const GENERIC: u8 = 1;
    /// `start` without a name, or of a group that is not there.
    pub(crate) const INVALID_ARGS: u8 = 2;
    /// `status`: something is not running.
    pub(crate) const STATUS_NOT_RUNNING: u8 = 3;
    /// `status`: a name is not known, or no svscan is there; elsewhere: no svscan is there.
    pub(crate) const UNKNOWN: u8 = 4;
    /// Something is not running, or could not be started; or there is no scan directory.
    pub(crate) const NOT_RUNNING: u8 = 7;
}

/// What all commands need.
pub(crate) struct Controller {
    /// The scan directory.
    pub(crate) scan: PathBuf,
    /// The exit code so far: the last failure decides.
    pub(crate) exit: u8,
    /// There is a person to ask.
    pub(crate) interactive: bool,
    /// The shell is to end.
    pub(crate) done: bool,
}

/// Whether a command is over; nothing follows but that.
type Command = fn(&mut Controller, &str);

/// Every command with its name, sorted: the one list that the line, the completion and the help go by.
pub(crate) const COMMANDS: [(&str, Command); 23] = [
    ("EOF", quit),
    ("add", changes::add),
    ("avail", show::avail),
    ("clear", tail::clear),
    ("exit", quit),
    ("fg", tail::foreground),
    ("help", help::help),
    ("maintail", tail::main_log),
    ("open", show::open),
    ("pid", show::pid),
    ("quit", quit),
    ("reload", lifecycle::reload),
    ("remove", changes::remove),
    ("reread", changes::reread),
    ("restart", lifecycle::restart),
    ("shutdown", lifecycle::shutdown),
    ("signal", lifecycle::signal),
    ("start", lifecycle::start),
    ("status", show::status),
    ("stop", lifecycle::stop),
    ("tail", tail::tail),
    ("update", changes::update),
    ("version", show::version),
];

fn quit(controller: &mut Controller, _: &str) {
    controller.say("");
    controller.done = true;
}

impl Controller {
    pub(crate) fn new(scan: PathBuf) -> Self {
        Self {
            scan,
            exit: 0,
            interactive: false,
            done: false,
        }
    }

    /// Runs one line: a command, then its arguments, as Python's `cmd` takes them apart.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        let help;
        let full = match line.strip_prefix('?') {
            Some(topic) => {
                help = format!("help {topic}");
                &help
            }
            None => line,
        };
        let end = full
            .find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
            .unwrap_or(full.len());
        let (name, arguments) = full.split_at(end);
        match COMMANDS.iter().find(|(known, _)| *known == name) {
            Some((_, command)) => command(self, arguments.trim()),
            None => {
                self.say(&format!("*** Unknown syntax: {line}"));
                self.exit = exit::GENERIC;
            }
        }
    }

    /// Prints a line. A reader that has gone ends nothing.
    pub(crate) fn say(&mut self, line: &str) {
        self.write(&format!("{line}\n"));
    }

    /// Prints text as it is.
    pub(crate) fn write(&mut self, text: &str) {
        if let Err(failure) = print(text) {
            crate::REPORT.warning(failure);
            self.exit = exit::GENERIC;
        }
    }

    /// Whether a svscan keeps the directory; says that none does, with supervisorctl's exit code.
    pub(crate) fn is_up(&mut self) -> bool {
        let shown = self.scan.display().to_string();
        if !self.scan.is_dir() {
            self.say(&format!("{shown} no such file"));
            self.exit = exit::NOT_RUNNING;
            return false;
        }
        if self.svscan().is_none() {
            self.say(&format!("{shown} refused connection"));
            self.exit = exit::UNKNOWN;
            return false;
        }
        true
    }

    /// The svscan of the directory. One that is just taking it over is waited for.
    pub(crate) fn svscan(&self) -> Option<Pid> {
        scan::svscan(&self.scan)
    }

    /// All services, by group and name.
    pub(crate) fn processes(&mut self) -> Vec<Process> {
        scan::processes(&self.scan).unwrap_or_else(|error| {
            let why = Why::from(error);
            self.say(&format!(
                "error: unable to read {}: {why}",
                self.scan.display()
            ));
            self.exit = exit::GENERIC;
            Vec::new()
        })
    }

    /// The service of a namespec that names one; `None` for an unknown one and for a whole group.
    pub(crate) fn find(&mut self, name: &str) -> Option<Process> {
        let spec = names::split(name);
        self.processes()
            .into_iter()
            .find(|process| process.group == spec.group && Some(&*process.name) == spec.process)
    }

    /// The services of a group, by priority; `None` where there is no such group.
    pub(crate) fn group(&mut self, group: &str) -> Option<Vec<Process>> {
        let mut members = self.processes();
        members.retain(|process| process.group == group);
        scan::by_priority(&mut members);
        (!members.is_empty()).then_some(members)
    }

    /// supervisorctl's exit code for a fault, which counts unless it is `ignored`.
    pub(crate) fn count(&mut self, code: Code, ignored: Option<Code>) {
        match code {
            Code::Success => {}
            code if Some(code) == ignored => {}
            Code::SpawnError | Code::AbnormalTermination | Code::NotRunning => {
                self.exit = exit::NOT_RUNNING;
            }
            Code::UnknownMethod
            | Code::IncorrectParameters
            | Code::BadArguments
            | Code::SignatureUnsupported
            | Code::ShutdownState
            | Code::BadName
            | Code::BadSignal
            | Code::NoFile
            | Code::NotExecutable
            | Code::Failed
            | Code::AlreadyStarted
            | Code::AlreadyAdded
            | Code::StillRunning
            | Code::CantReread => self.exit = exit::GENERIC,
        }
    }

    /// `Error: X`, the command's help, and exit code 1.
    pub(crate) fn wrong(&mut self, message: &str, command: &str) {
        self.say(message);
        self.exit = exit::GENERIC;
        help::topic(self, command);
    }
}

/// Waits for a condition by looking again, at the longest for `limit`; whether it came.
pub(crate) fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    let step = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        rustix::event::poll(&mut [], Some(&step)).unwrap_or_default();
    }
}
