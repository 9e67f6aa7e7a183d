//! One process of the command, and the event that it has.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use servicedir::exec;
use servicedir::status::End;

use crate::args::{Args, Mode};
use crate::feed::Given;
use crate::message::Message;
use crate::protocol::{self, Listener, Said, Serial};
use crate::script;

/// A command that ends is started again, but not within this time of its last start.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(Given),
    Again(Given),
}

/// A process of the pool.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    listener: Listener,
    /// What is still to be written to its stdin.
    unwritten: Vec<u8>,
    given: Option<Given>,
    /// When it takes too long for the event.
    kill_at: Option<Instant>,
    started: Option<Instant>,
}

impl Worker {
    pub(crate) fn new() -> Self {
        Self {
            child: None,
            stdin: None,
            stdout: None,
            listener: Listener::new(),
            unwritten: Vec::new(),
            given: None,
            kill_at: None,
            started: None,
        }
    }

    /// Whether it can be given an event.
    pub(crate) fn is_free(&self, mode: Mode) -> bool {
        self.given.is_none()
            && match mode {
                Mode::Protocol => self.child.is_some() && self.listener.is_ready(),
                Mode::Lines => self.child.is_some() && self.unwritten.is_empty(),
                Mode::Each => self.child.is_none(),
            }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.given.is_some()
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.child.is_some()
    }

    /// When it is to be started, or killed.
    pub(crate) fn deadline(&self, mode: Mode) -> Option<Instant> {
        let start = (self.child.is_none() && mode != Mode::Each).then(|| self.start_at());
        self.kill_at.or(start.flatten())
    }

    fn start_at(&self) -> Option<Instant> {
        self.started.map(|started| started + BETWEEN_STARTS)
    }

    /// Starts the command where it does not run and is to run all the time.
    pub(crate) fn keep_running(&mut self, args: &Args, now: Instant) {
        let due = self.start_at().is_none_or(|at| at <= now);
        if args.mode == Mode::Each || self.child.is_some() || !due {
            return;
        }
        let mut command = command(args);
        if args.mode == Mode::Protocol {
            command.stdout(Stdio::piped());
        }
        self.start(&mut command, args, now);
    }

    fn start(&mut self, command: &mut Command, args: &Args, now: Instant) -> bool {
        self.started = Some(now);
        self.listener = Listener::new();
        self.unwritten.clear();
        match exec::spawn(command) {
            Ok(mut child) => {
                self.stdin = child.stdin.take().filter(|pipe| nonblocking(pipe).is_ok());
                self.stdout = child.stdout.take().filter(|pipe| nonblocking(pipe).is_ok());
                self.child = Some(child);
                true
            }
            Err(error) => {
                let (command, why) = (name(args), error.into());
                Message::NotStarted { command, why }.warn();
                false
            }
        }
    }

    /// Gives it an event.
    pub(crate) fn give(&mut self, given: Given, args: &Args, now: Instant) -> Option<Outcome> {
        self.kill_at = args.timeout.map(|timeout| now + timeout);
        let serial = Serial {
            number: given.serial,
        };
        match args.mode {
            Mode::Protocol => {
                self.unwritten = protocol::message(&given.event, serial, &args.server, &args.name);
                self.listener.give();
            }
            Mode::Lines => self.unwritten = script::line(&given.event, given.serial),
            Mode::Each => {
                let mut command = command(args);
                command.envs(script::variables(&given.event, given.serial));
                if !self.start(&mut command, args, now) {
                    self.kill_at = None;
                    return Some(Outcome::Again(given));
                }
                self.unwritten = given.event.payload().into_bytes();
            }
        }
        self.given = Some(given);
        self.write(args)
    }

    /// What its descriptors are polled for.
    pub(crate) fn stdin(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let stdin = self.stdin.as_ref().filter(|_| !self.unwritten.is_empty());
        stdin.map(|stdin| (stdin.as_fd(), PollFlags::OUT))
    }

    pub(crate) fn stdout(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.stdout
            .as_ref()
            .map(|stdout| (stdout.as_fd(), PollFlags::IN))
    }

    /// Writes what its stdin takes. A listener that reads nothing holds up nothing else.
    pub(crate) fn write(&mut self, args: &Args) -> Option<Outcome> {
        while let Some(stdin) = self.stdin.as_mut().filter(|_| !self.unwritten.is_empty()) {
            match stdin.write(&self.unwritten) {
                Ok(0) => break,
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    // It has closed its stdin, or is about to end.
                    self.stdin = None;
                    self.unwritten.clear();
                    return match args.mode {
                        Mode::Lines => self.given.take().map(Outcome::Again),
                        Mode::Protocol | Mode::Each => None,
                    };
                }
            }
        }
        if !self.unwritten.is_empty() {
            return None;
        }
        match args.mode {
            Mode::Protocol => None,
            Mode::Lines => {
                self.kill_at = None;
                self.given.take().map(Outcome::Done)
            }
            Mode::Each => {
                self.stdin = None;
                None
            }
        }
    }

    /// Reads what a listener says.
    pub(crate) fn read(&mut self, args: &Args) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut buffer = [0; 4096];
        while let Some(stdout) = &self.stdout {
            match rustix::io::read(stdout, &mut buffer) {
                Ok(0) => self.stdout = None,
                Ok(length) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    for said in self.listener.hear(bytes) {
                        outcomes.extend(self.heard(&said, args));
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        outcomes
    }

    fn heard(&mut self, said: &Said, args: &Args) -> Option<Outcome> {
        match said {
            Said::Ready => None,
            Said::Ok => {
                self.kill_at = None;
                self.given.take().map(Outcome::Done)
            }
            Said::Fail => {
                self.kill_at = None;
                self.given.take().map(Outcome::Again)
            }
            Said::Nonsense => {
                let command = name(args);
                Message::Nonsense { command }.warn();
                // Only a new process can be understood again.
                self.signal(Signal::KILL);
                None
            }
        }
    }

    /// Kills it where it has taken too long.
    pub(crate) fn check_time(&mut self, args: &Args, now: Instant) {
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            let command = name(args);
            Message::TooLong { command }.warn();
            self.signal(Signal::KILL);
        }
    }

    /// Notices its end.
    pub(crate) fn reap(&mut self, args: &Args, stopping: bool) -> Vec<Outcome> {
        let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) else {
            return Vec::new();
        };
        // What it said before it ended counts.
        let mut outcomes = self.read(args);
        self.child = None;
        self.stdin = None;
        self.stdout = None;
        self.unwritten.clear();
        self.kill_at = None;
        let given = self.given.take();
        if args.mode == Mode::Each {
            outcomes.extend(given.map(|given| {
                if status.success() {
                    Outcome::Done(given)
                } else {
                    Outcome::Again(given)
                }
            }));
        } else {
            if !stopping {
                let (command, how) = (name(args), how(status));
                Message::Ended { command, how }.warn();
            }
            outcomes.extend(given.map(Outcome::Again));
        }
        outcomes
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            // It is not reaped yet, so that the pid is its own.
            rustix::process::kill_process(pid, signal).ok();
        }
    }

    /// No more lines come.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }
}

fn command(args: &Args) -> Command {
    let mut words = args.command.iter();
    let mut command = Command::new(words.next().map_or("".as_ref(), |word| word.as_os_str()));
    command.args(words).stdin(Stdio::piped());
    // superlance's programs want it to be there, and crashmail and its like never use it.
    if std::env::var_os("SUPERVISOR_SERVER_URL").is_none() {
        command.env("SUPERVISOR_SERVER_URL", "http://127.0.0.1:9001");
    }
    command
}

fn name(args: &Args) -> String {
    let name = args.command.first().map(|name| name.to_string_lossy());
    name.unwrap_or_default().into_owned()
}

fn how(status: ExitStatus) -> String {
    End::from_wait_status(status.into_raw())
        .unwrap_or(End::Unknown)
        .to_string()
}

fn nonblocking(fd: impl AsFd) -> rustix::io::Result<()> {
    rustix::io::ioctl_fionbio(fd, true)
}
