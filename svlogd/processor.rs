//! The processor of a log directory: a command that each old file is fed through, in the background.
//!
//! Whatever it does (fail, hang, crash, not exist), its file is kept and logging goes on; a failed
//! one is run again after a wait that grows.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process_group};
use servicedir::report::{Reporter, Why};
use servicedir::signal::Signal as SignalName;
use servicedir::tai64n::Tai64n;

use crate::rotate::{Kind, OldName};
use crate::store::{Fault, Store};
use crate::trouble::Trouble;

/// A failed processor is run again after this, then after twice as long, and so on.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A processor at work.
#[derive(Debug)]
struct Running {
    child: Child,
    output: OwnedFd,
    label: Tai64n,
}

/// The processor of one directory, running or not.
#[derive(Debug)]
pub(crate) struct Processor {
    running: Option<Running>,
    failing: Trouble,
    report: Reporter,
    verbose: bool,
}

impl Processor {
    /// Nothing runs.
    pub(crate) fn new(report: Reporter, verbose: bool) -> Self {
        Self {
            running: None,
            failing: Trouble::new(FIRST_WAIT, LONGEST_WAIT),
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
            Err(fault) => self.failed(&fault.to_string(), now),
        }
    }

    /// Starts the command on the oldest file; `None` where no file waits.
    fn next(&self, store: &Store, path: &Path, command: &[u8]) -> Result<Option<Running>, Fault> {
        for name in store.names(path)? {
            if name.kind != Kind::Unprocessed {
                continue;
            }
            if store.has(OldName::new(name.label, Kind::Saved)) {
                // Its processor succeeded, and svlogd was killed before it could say so.
                store.settle(path, name.label)?;
                continue;
            }
            let running = spawn(store, path, command, name.label)?;
            if self.verbose {
                let file = path.join(name.text());
                self.report
                    .info(format_args!("processing: {}", file.display()));
            }
            return Ok(Some(running));
        }
        Ok(None)
    }

    /// Looks whether the processor has ended, and takes its output or throws it away.
    pub(crate) fn reap(&mut self, store: &Store, path: &Path, now: Instant) {
        let Some(running) = &mut self.running else {
            return;
        };
        let status = match running.child.try_wait() {
            Ok(None) => return,
            Ok(Some(status)) => Ok(status),
            Err(error) => Err(Why::from(error)),
        };
        let Some(running) = self.running.take() else {
            return;
        };
        let file = path.join(OldName::new(running.label, Kind::Unprocessed).text());
        let outcome = match status {
            Ok(status) if status.success() => store
                .accept(path, &running.output, running.label)
                .map_err(|fault| fault.to_string()),
            Ok(status) => Err(format!("processor of {}: {}", file.display(), how(status))),
            Err(why) => Err(format!("unable to wait for processor: {why}")),
        };
        match outcome {
            Ok(()) => {
                self.failing.over();
                if self.verbose {
                    let file = path.join(OldName::new(running.label, Kind::Saved).text());
                    self.report
                        .info(format_args!("processed: {}", file.display()));
                }
            }
            Err(message) => {
                let output = OldName::new(running.label, Kind::Processing);
                // What is left of it would be deleted at the next start, or by the next try.
                drop(store.delete(path, output));
                self.failed(&message, now);
            }
        }
    }

    /// Sends a signal to a processor that is waited for, and to what it started.
    pub(crate) fn end(&self, signal: SignalName) {
        let Some(running) = &self.running else {
            return;
        };
        if let Some(pid) = i32::try_from(running.child.id())
            .ok()
            .and_then(Pid::from_raw)
        {
            // A failure means that it has just ended, which is what was asked for.
            let signal = if signal == SignalName::KILL {
                Signal::KILL
            } else {
                Signal::TERM
            };
            kill_process_group(pid, signal).ok();
        }
    }

    fn failed(&mut self, message: &str, now: Instant) {
        let wait = self.failing.next_wait().as_secs();
        let message = format!("{message}; next try in {wait} s");
        if let Some(news) = self.failing.failed(message, now) {
            self.report.warning(news);
        }
    }
}

/// `sh -c command`: stdin the old file, stdout its replacement, descriptor 4 `state`, 5 `newstate`.
fn spawn(store: &Store, path: &Path, command: &[u8], label: Tai64n) -> Result<Running, Fault> {
    store.ensure_state(path)?;
    let input = store.open_old(path, OldName::new(label, Kind::Unprocessed))?;
    let output = store.create_output(path, OldName::new(label, Kind::Processing))?;
    let stdout = output.try_clone().map_err(|error| cannot(path, error))?;
    // The shell opens the two descriptors itself: passing them on would take unsafe code here.
    let mut script = b"exec 4<state 5>newstate || exit 111\n".to_vec();
    script.extend_from_slice(command);
    let child = Command::new("/bin/sh")
        .arg("-c")
        .arg(std::ffi::OsStr::from_bytes(&script))
        .current_dir(path)
        .stdin(input)
        .stdout(stdout)
        .process_group(0)
        .spawn()
        .map_err(|error| cannot(path, error))?;
    Ok(Running {
        child,
        output,
        label,
    })
}

fn cannot(path: &Path, error: std::io::Error) -> Fault {
    Fault {
        what: format!("unable to run the processor of {}", path.display()),
        why: error.into(),
    }
}

/// How a processor failed, in words.
fn how(status: ExitStatus) -> String {
    match status.signal().and_then(SignalName::from_number) {
        Some(signal) => format!("killed by {signal}"),
        None => format!("exited {}", status.code().unwrap_or(-1)),
    }
}
