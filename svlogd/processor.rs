//! The processor of a log directory: a command that each old file is fed through, in the background.
//!
//! If it fails, hangs, crashes or does not exist, its file is kept; a failed one is run again after a
//! wait that grows.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::fd::OwnedFd;
use rustix::process::kill_process_group;
use servicedir::report::Reporter;
use servicedir::signal::Signal;
use servicedir::tai64n::Tai64n;

use crate::message::{Deed, End, Fault, Message, Verb};
use crate::retry::Retry;
use crate::rotate::{Kind, OldName};
use crate::spawn::spawn;
use crate::store::Store;

/// A failed processor is run again after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A processor at work.
#[derive(Debug)]
struct Running {
    child: Pid,
    output: OwnedFd,
    label: Tai64n,
}

/// The processor of one directory, running or not.
#[derive(Debug)]
pub(crate) struct Processor {
    running: Option<Running>,
    failing: Retry,
    report: Reporter,
    verbose: bool,
}

impl Processor {
    /// Nothing runs.
    pub(crate) fn new(report: Reporter, verbose: bool) -> Self {
        Self {
            running: None,
            failing: Retry::new(FIRST_WAIT, LONGEST_WAIT),
            report,
            verbose,
        }
    }

    /// The command may be another one now: its first try need not wait.
    pub(crate) fn forget(&mut self) {
        self.failing.over();
    }

    /// Whether one runs.
    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// The file that is being processed, which must not be deleted.
    pub(crate) fn label(&self) -> Option<Tai64n> {
        self.running.as_ref().map(|running| running.label)
    }

    /// When a failed one is to be run again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.runs() {
            return None;
        }
        self.failing.deadline()
    }

    /// Runs `command` on the oldest file that waits for it, if none runs and no wait is on.
    pub(crate) fn start(&mut self, store: &Store, path: &Path, command: &[u8], now: Instant) {
        if self.runs() || self.failing.waits(now) {
            return;
        }
        match self.next(store, path, command) {
            Ok(running) => {
                if running.is_none() {
                    self.failing.over();
                }
                self.running = running;
            }
            Err(fault) => {
                let wait = self.failing.next_wait().as_secs();
                self.failed(Message::ProcessorFault(fault, wait), now);
            }
        }
    }

    /// Starts the command on the oldest file; `None` where no file waits.
    fn next(&self, store: &Store, path: &Path, command: &[u8]) -> Result<Option<Running>, Fault> {
        for name in store.names(path)? {
            if name.kind != Kind::Unprocessed {
                continue;
            }
            if store.has(OldName::new(name.label, Kind::Saved)) {
                // Its processor succeeded, and svlogd was killed before it deleted the input.
                store.settle(path, name.label)?;
                continue;
            }
            let running = self.spawn(store, path, command, name.label)?;
            self.did(Deed::Processing, path, name);
            return Ok(Some(running));
        }
        Ok(None)
    }

    /// Looks whether the processor has ended, and takes its output or throws it away.
    pub(crate) fn reap(&mut self, store: &Store, path: &Path, now: Instant) {
        let Some(running) = &mut self.running else {
            return;
        };
        let end = match waitpid(running.child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, 0)) => None,
            Ok(WaitStatus::Exited(_, code)) => Some(End::Exited(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Killed(signal as i32)),
            // It still runs.
            Ok(_) => return,
            Err(errno) => Some(End::Unknown(errno.into())),
        };
        let Some(running) = self.running.take() else {
            return;
        };
        let wait = self.failing.next_wait().as_secs();
        let unprocessed = OldName::new(running.label, Kind::Unprocessed);
        let outcome = match end {
            None => store
                .accept(path, &running.output, running.label)
                .map_err(|fault| Message::ProcessorFault(fault, wait)),
            Some(end) => {
                let file = path.join(unprocessed.text());
                Err(Message::ProcessorFailed(file, end, wait))
            }
        };
        match outcome {
            Ok(()) => {
                self.failing.over();
                let saved = OldName::new(running.label, Kind::Saved);
                self.did(Deed::Processed, path, saved);
            }
            Err(message) => {
                let output = OldName::new(running.label, Kind::Processing);
                // If this fails, the next try or the next start deletes it.
                drop(store.delete(path, output));
                self.failed(message, now);
            }
        }
    }

    /// Sends a signal to a processor that is waited for, and to what it started.
    pub(crate) fn end(&self, signal: Signal) {
        let Some(running) = &self.running else {
            return;
        };
        let signal = if signal == Signal::KILL {
            rustix::process::Signal::KILL
        } else {
            rustix::process::Signal::TERM
        };
        if let Some(group) = rustix::process::Pid::from_raw(running.child.as_raw()) {
            // It fails where the processor has just ended, or has not made its group yet: it is sent
            // again, or the processor is killed, a second later.
            kill_process_group(group, signal).ok();
        }
    }

    fn did(&self, deed: Deed, path: &Path, name: OldName) {
        if self.verbose {
            let file = path.join(name.text());
            self.report.info(Message::Did(deed, file, String::new()));
        }
    }

    fn failed(&mut self, message: Message, now: Instant) {
        if let Some(message) = self.failing.failed(message, now) {
            self.report.warning(message);
        }
    }

    /// `sh -c command` on the old file of that label.
    fn spawn(
        &self,
        store: &Store,
        path: &Path,
        command: &[u8],
        label: Tai64n,
    ) -> Result<Running, Fault> {
        let files = store.processor_files(path, label)?;
        let child = spawn(store.dir(), command, &files, self.report).map_err(|errno| {
            let name = OldName::new(label, Kind::Unprocessed);
            Fault::new(Verb::Process, name.at(path), errno)
        })?;
        Ok(Running {
            child,
            output: files.output,
            label,
        })
    }
}
