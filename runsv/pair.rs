//! A service and its log: the pipe between them, and a supervise for each.

use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, kill_process};
use servicedir::control::Control;
use servicedir::exec;
use servicedir::layout::{CONTROL, LOG, Layout};
use servicedir::reading::status_of;
use servicedir::report::exit;
use servicedir::signal::{SelfPipe, Signal};
use servicedir::state_folder::StateFolder;
use servicedir::status::Want;

use crate::{Fatal, NAME, command};

/// How long a supervise that was killed stays away; the next one adopts its service.
const AGAIN: Duration = Duration::from_secs(1);

/// The pipe and the two supervises. `None`: it has ended.
#[derive(Debug)]
struct Pair {
    dir: PathBuf,
    /// Both ends, as long as the service may write.
    pipe: Option<(OwnedFd, OwnedFd)>,
    service: Option<Child>,
    log: Option<Child>,
    /// When to start the missing ones again.
    again: Option<Instant>,
    /// The exit code, once the service's supervise was told to exit.
    ending: Option<u8>,
}

/// Runs both until the service's supervise is told to exit and the log has ended.
pub(crate) fn run(dir: &Path) -> Result<u8, Fatal> {
    let signals = SelfPipe::catching(&[Signal::CHLD, Signal::TERM, Signal::INT])
        .map_err(|error| Fatal::System("catch signals", error))?;
    let pipe = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|errno| Fatal::System("create pipe", errno.into()))?;
    let mut pair = Pair {
        dir: dir.to_path_buf(),
        pipe: Some(pipe),
        service: None,
        log: None,
        again: None,
        ending: None,
    };
    pair.start().map_err(Fatal::Supervise)?;
    loop {
        if let (Some(code), None) = (pair.ending, &pair.log) {
            return Ok(code);
        }
        pair.sleep(&signals)
            .map_err(|error| Fatal::System("wait", error))?;
        let mut stop = false;
        signals.take(|signal| stop |= signal != Signal::CHLD);
        if stop {
            pair.stop();
        }
        pair.reap();
        let due = pair.again.is_some_and(|again| again <= Instant::now());
        if due && pair.start().is_err() {
            pair.again = Instant::now().checked_add(AGAIN);
        }
    }
}

impl Pair {
    /// Starts what does not run.
    fn start(&mut self) -> std::io::Result<()> {
        self.again = None;
        let Some((read, write)) = &self.pipe else {
            return Ok(());
        };
        if self.log.is_none() {
            // Under this name, `x` lets the log read to its end.
            let mut supervise = command("supervise", &self.dir.join(LOG));
            supervise.process_group(0).stdin(read.try_clone()?);
            self.log = Some(exec::spawn(&mut supervise)?);
        }
        if self.service.is_none() {
            let mut supervise = command(NAME, &self.dir);
            supervise
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(write.try_clone()?);
            self.service = Some(exec::spawn(&mut supervise)?);
        }
        Ok(())
    }

    fn sleep(&self, signals: &SelfPipe) -> std::io::Result<()> {
        let left = self
            .again
            .map(|again| again.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(signals, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Has the service's supervise stop its service and exit, as TERM to a runsv does.
    fn stop(&mut self) {
        match &self.service {
            Some(child) => {
                // It is not reaped yet, so that the pid is its own.
                kill_process(Pid::from_child(child), rustix::process::Signal::TERM).ok();
            }
            // It was killed; there may be a service that only a supervise can stop.
            None => self.again = Some(Instant::now()),
        }
    }

    fn reap(&mut self) {
        if let Some(status) = ended(&mut self.service) {
            match status.code() {
                Some(0) => self.end(exit::DONE),
                Some(code) => self.end(u8::try_from(code).unwrap_or(exit::SYSTEM)),
                None => self.again = Instant::now().checked_add(AGAIN),
            }
        }
        if ended(&mut self.log).is_some() && self.ending.is_none() {
            self.again = Instant::now().checked_add(AGAIN);
        }
    }

    /// The service is down for good: its log reads what is left, and is not started again.
    fn end(&mut self, code: u8) {
        self.ending = Some(code);
        self.again = None;
        self.pipe = None;
        if self.end_log().is_none()
            && let Some(log) = &self.log
        {
            // It cannot be told by its FIFO: another supervise may have taken its place.
            kill_process(Pid::from_child(log), rustix::process::Signal::TERM).ok();
        }
    }

    fn end_log(&self) -> Option<()> {
        let layout = Layout::of(&self.dir.join(LOG)).ok()?;
        let fifo = StateFolder::open(&layout).ok()?.open_fifo(CONTROL).ok()?;
        let is_down = status_of(&layout)
            .is_ok_and(|reading| reading.status.pid.is_none() && reading.status.want == Want::Down);
        let commands: &[Control] = if is_down {
            &[Control::Exit]
        } else {
            &[Control::Once, Control::Exit]
        };
        let bytes: Vec<u8> = commands.iter().filter_map(|one| one.byte()).collect();
        rustix::io::write(&fifo, &bytes).ok().map(drop)
    }
}

/// How a child ended, if it has.
fn ended(child: &mut Option<Child>) -> Option<ExitStatus> {
    let status = match child.as_mut()?.try_wait() {
        Ok(status) => status?,
        // It is not a child any more; it cannot be waited for.
        Err(_) => ExitStatus::from_raw(0),
    };
    *child = None;
    Some(status)
}
