//! Start, stop and signal as Supervisor's RPC methods mean them: a check, a byte in the control FIFO,
//! and a judgement of the status afterwards.
//!
//! A caller begins a command, and asks [`Pending::judge`] again whenever the status may have changed
//! (see [`crate::wait::StatusWatch`]); it never blocks.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Access;

use super::fault::{Code, Fault};
use super::process::{Process, ProcessState, state_of};
use crate::control::Control;
use crate::layout::{CONTROL, RUN};
use crate::options;
use crate::process::{Identity, World};
use crate::reading::status_of;
use crate::report::Why;
use crate::signal::Signal;
use crate::state_folder::{StateFolder, is_supervised};
use crate::status::{Phase, Record, State, Status, Want};

/// A command that was sent and not yet answered.
#[derive(Debug)]
pub struct Pending {
    process: Process,
    asked: Asked,
    /// Kept open: what was written to a FIFO outlives a supervise that dies before it read it.
    control: OwnedFd,
}

/// What was asked, and what there was before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    goal: Goal,
    /// The count of control bytes before; `None` where another suite's supervise counts none.
    commands: Option<u32>,
    /// The count of starts before.
    starts: u64,
    /// A start counts as done as soon as it is made: `startsecs` is 0.
    at_once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    Running,
    Down,
    ActedOn,
}

/// Begins a `startProcess`.
///
/// # Errors
/// In Supervisor's order: NO_FILE or NOT_EXECUTABLE, ALREADY_STARTED; FAILED where the service cannot be
/// controlled.
pub fn start(process: &Process) -> Result<Pending, Fault> {
    let run = process.layout.dir.join(RUN);
    let file = run.display();
    if !run.exists() {
        let why = format!("can't find command '{file}'");
        return Err(Fault::new(Code::NoFile, why));
    }
    if rustix::fs::access(&run, Access::EXEC_OK).is_err() || run.is_dir() {
        let why = format!("command at '{file}' is not executable");
        return Err(Fault::new(Code::NotExecutable, why));
    }
    let status = process.status();
    if state_of(status.as_ref()).is_started() {
        return Err(Fault::new(Code::AlreadyStarted, process.namespec()));
    }
    send(process, Goal::Running, Control::Up, status.as_ref())
}

/// Begins a `stopProcess`.
///
/// # Errors
/// NOT_RUNNING (also while STOPPING, as Supervisor has it); FAILED where it cannot be controlled.
pub fn stop(process: &Process) -> Result<Pending, Fault> {
    let status = process.status();
    let state = state_of(status.as_ref());
    // One that is about to be started again is stopped, although its state is EXITED.
    let comes_back = status.as_ref().is_some_and(|status| {
        status.want == Want::Up && state == ProcessState::Known(State::Exited)
    });
    if !state.is_started() && !comes_back {
        return Err(Fault::new(Code::NotRunning, process.namespec()));
    }
    send(process, Goal::Down, Control::Down, status.as_ref())
}

/// Sends a signal (`signalProcess`); `None` where nothing is to be waited for.
///
/// The signals that have a control byte go through supervise, the others to the pid of the status, whose
/// start time is compared first.
///
/// # Errors
/// BAD_SIGNAL, NOT_RUNNING; FAILED where it cannot be controlled.
pub fn signal(process: &Process, text: &str) -> Result<Option<Pending>, Fault> {
    let name = process.namespec();
    let number = text.trim();
    let signal = Signal::from_name(number);
    if signal.is_none() && number != "0" {
        return Err(Fault::new(Code::BadSignal, text));
    }
    let status = process.status();
    if !state_of(status.as_ref()).is_signallable() {
        return Err(Fault::new(Code::NotRunning, name));
    }
    let Some(signal) = signal else {
        return Ok(None);
    };
    let command = Control::Signal(signal);
    if command.byte().is_some() {
        return send(process, Goal::ActedOn, command, status.as_ref()).map(Some);
    }
    let identity = status.as_ref().and_then(run_identity);
    let identity = identity.ok_or_else(|| Fault::new(Code::NotRunning, &name))?;
    identity
        .open()
        .and_then(|pidfd| crate::pidfd::send(&pidfd, signal, false))
        .map(|()| None)
        .map_err(|errno| Fault::new(Code::Failed, format_args!("{name}: {}", Why::from(errno))))
}

/// The process of the run that a status tells of, if its pid means something here.
fn run_identity(status: &Status) -> Option<Identity> {
    let record = status.record.as_ref()?;
    let here = record.world.is(&World::here()) && status.phase == Phase::Run;
    Some(Identity {
        pid: status.pid.filter(|_| here)?,
        start: record.pid_start,
    })
}

fn send(
    process: &Process,
    goal: Goal,
    command: Control,
    status: Option<&Status>,
) -> Result<Pending, Fault> {
    let failed = |error: &io::Error| {
        let why = match error.raw_os_error() {
            Some(libc::ENXIO) => "supervise not running".to_owned(),
            _ => Why::from(error).to_string(),
        };
        let name = process.namespec();
        Fault::new(
            Code::Failed,
            format_args!("unable to control {name}: {why}"),
        )
    };
    let record = status.and_then(|status| status.record.as_ref());
    let asked = Asked {
        goal,
        commands: record.map(|record| record.commands),
        starts: record.map_or(0, |record| record.total_starts),
        at_once: options::read(&process.layout.dir)
            .is_ok_and(|options| options.startsecs.is_zero()),
    };
    let control = StateFolder::open(&process.layout)
        .and_then(|state| state.open_fifo(CONTROL))
        .map_err(|refused| failed(&refused.into()))?;
    let byte = command.byte().unwrap_or_default();
    match rustix::io::write(&control, &[byte]) {
        Ok(_) => Ok(Pending {
            process: process.clone(),
            asked,
            control,
        }),
        Err(errno) => Err(failed(&errno.into())),
    }
}

impl Pending {
    /// The process that the command went to.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What has become of the command; `None` while nothing has.
    ///
    /// A supervise that is gone is `None` too: svscan starts another one, which reads the command. The
    /// caller sets the limit.
    #[must_use]
    pub fn judge(&self) -> Option<Result<(), Fault>> {
        // First the FIFO, then the status: what has been read was acted on before it was announced.
        let drained = rustix::io::ioctl_fionread(&self.control).is_ok_and(|unread| unread == 0);
        if !drained || !is_supervised(&self.process.layout).unwrap_or(false) {
            return None;
        }
        let status = status_of(&self.process.layout).ok()?.status;
        let verdict = self.asked.judge(&status)?;
        Some(verdict.map_err(|code| Fault::new(code, self.process.namespec())))
    }
}

impl Asked {
    fn judge(&self, status: &Status) -> Option<Result<(), Code>> {
        let acted = match (&status.record, self.commands) {
            (Some(record), Some(before)) => record.commands != before,
            // Another suite's supervise, or a status that a new one has not written yet.
            (Some(_) | None, _) => true,
        };
        if !acted {
            return None;
        }
        match (self.goal, &status.record) {
            (Goal::ActedOn, _) => Some(Ok(())),
            (Goal::Down, _) => {
                let down = status.phase == Phase::Down && state_of(Some(status)).is_stopped();
                down.then_some(Ok(()))
            }
            (Goal::Running, Some(record)) => self.judge_start(record),
            (Goal::Running, None) => (status.phase == Phase::Run).then_some(Ok(())),
        }
    }

    /// The first failed start ends the wait, although more are tried.
    fn judge_start(&self, record: &Record) -> Option<Result<(), Code>> {
        let started = record.total_starts != self.starts;
        match record.state {
            State::Running => Some(Ok(())),
            State::Starting if self.at_once && started => Some(Ok(())),
            State::Exited if self.at_once && started => Some(Ok(())),
            State::Starting if record.failed_starts > 0 => Some(Err(Code::SpawnError)),
            State::Backoff | State::Fatal => Some(Err(Code::SpawnError)),
            State::Exited if started => Some(Err(Code::SpawnError)),
            State::Stopped => Some(Err(Code::AbnormalTermination)),
            State::Starting | State::Stopping | State::Exited => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tai64n::Tai64n;

    const ASKED: Asked = Asked {
        goal: Goal::Running,
        commands: Some(7),
        starts: 3,
        at_once: false,
    };

    fn status(state: State, change: impl FnOnce(&mut Record)) -> Status {
        let mut record = Record {
            state,
            ready: false,
            tells_ready: false,
            exiting: false,
            left: false,
            options_fault: false,
            restarting: false,
            last_end: None,
            ready_stamp: Tai64n::default(),
            pid_start: 0,
            world: World::default(),
            failed_starts: 0,
            start_retries: None,
            total_starts: 4,
            next_start: None,
            commands: 8,
            group: None,
            state_stamp: Tai64n::default(),
            supervise: None,
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        };
        change(&mut record);
        Status {
            stamp: Tai64n::default(),
            pid: None,
            paused: false,
            want: Want::Up,
            term_sent: false,
            phase: Phase::Down,
            record: Some(record),
        }
    }

    #[test]
    fn an_old_status_answers_nothing() {
        let old = status(State::Running, |record| record.commands = 7);
        assert_eq!(ASKED.judge(&old), None);
    }

    #[test]
    fn the_first_failed_start_is_the_answer() {
        let answer =
            |state, failed| ASKED.judge(&status(state, |record| record.failed_starts = failed));
        assert_eq!(answer(State::Starting, 0), None);
        assert_eq!(answer(State::Starting, 1), Some(Err(Code::SpawnError)));
        assert_eq!(answer(State::Backoff, 1), Some(Err(Code::SpawnError)));
        assert_eq!(answer(State::Fatal, 0), Some(Err(Code::SpawnError)));
        assert_eq!(answer(State::Running, 0), Some(Ok(())));
        assert_eq!(
            answer(State::Stopped, 0),
            Some(Err(Code::AbnormalTermination))
        );
    }

    #[test]
    fn startsecs_0_counts_as_soon_as_it_is_started() {
        let at_once = Asked {
            at_once: true,
            ..ASKED
        };
        assert_eq!(at_once.judge(&status(State::Exited, |_| {})), Some(Ok(())));
        let not_yet = status(State::Exited, |record| record.total_starts = 3);
        assert_eq!(at_once.judge(&not_yet), None);
    }

    #[test]
    fn a_stop_is_done_when_the_service_is_down() {
        let stop = Asked {
            goal: Goal::Down,
            ..ASKED
        };
        assert_eq!(stop.judge(&status(State::Stopping, |_| {})), None);
        assert_eq!(stop.judge(&status(State::Stopped, |_| {})), Some(Ok(())));
        assert_eq!(stop.judge(&status(State::Fatal, |_| {})), Some(Ok(())));
    }
}
