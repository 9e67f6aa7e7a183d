//! Start, stop and signal: commands to services, and the wait for what becomes of them.

use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use servicedir::control;
use servicedir::report::Why;
use servicedir::state_folder::is_supervised;
use servicedir::supervisor::command::{self, Pending};
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::names;
use servicedir::supervisor::process::Process;

use super::Caller;
use super::params::{self, Params, text};
use crate::site::Site;
use crate::xml::Value;

/// How long a supervise that is gone is given to come back: svscan starts a new one within a second or
/// two.
const GRACE: Duration = Duration::from_secs(3);

/// The FIFO in a service directory that a service may read as its stdin.
const STDIN: &str = "stdin";

/// Which services.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// One.
    One(String),
    /// Those of a group.
    Group(String),
    /// All.
    All,
}

impl Target {
    /// What a namespec names: `group:*` is a group, as in Supervisor's methods for one process.
    pub(crate) fn of(namespec: &str) -> Self {
        let parts = names::split(namespec);
        match parts.process {
            None if !parts.group.is_empty() => Self::Group(parts.group.to_owned()),
            Some(_) | None => Self::One(namespec.to_owned()),
        }
    }

    /// The services that it names; one that names none is BAD_NAME.
    pub(crate) fn services(&self, site: &Site) -> Result<Vec<Process>, Fault> {
        match self {
            Self::One(name) => site.process(name).map(|process| vec![process]),
            Self::Group(group) => site.group(group),
            Self::All => site.by_priority(),
        }
    }
}

/// Commands that were sent.
#[derive(Debug)]
pub(crate) struct Command {
    sent: Vec<Sent>,
    /// The answer is that of one service, and not a list.
    single: bool,
    wait: bool,
}

/// A command to one service.
#[derive(Debug)]
struct Sent {
    process: Process,
    /// What is to come; `None`: it is done, without a wait.
    outcome: Result<Option<Pending>, Fault>,
}

/// A service, and what has become of its command.
pub(crate) type Outcome = (Process, Result<(), Fault>);

/// What to send to a service.
type Begin<'a> = &'a dyn Fn(&Process) -> Result<Option<Pending>, Fault>;

impl Command {
    /// Sends to all of the target's services; in a group, to those that `takes_part` lets.
    fn send(
        site: &Site,
        target: &Target,
        wait: bool,
        begin: Begin<'_>,
        takes_part: fn(&Process) -> bool,
    ) -> Result<Self, Fault> {
        let single = matches!(target, Target::One(_));
        let services = target.services(site)?;
        let sent = services
            .into_iter()
            .filter(|process| single || takes_part(process))
            .map(|process| Sent {
                outcome: begin(&process),
                process,
            });
        Ok(Self {
            sent: sent.collect(),
            single,
            wait,
        })
    }

    /// Starts what does not run.
    pub(crate) fn start(site: &Site, target: &Target, wait: bool) -> Result<Self, Fault> {
        let begin = |process: &Process| command::start(process).map(Some);
        Self::send(site, target, wait, &begin, |process| {
            !process.look().state.is_started()
        })
    }

    /// Stops what runs.
    pub(crate) fn stop(site: &Site, target: &Target, wait: bool) -> Result<Self, Fault> {
        let begin = |process: &Process| command::stop(process).map(Some);
        Self::send(site, target, wait, &begin, |process| {
            process.look().state.is_started()
        })
    }

    /// Starts these services.
    pub(crate) fn start_these(processes: impl IntoIterator<Item = Process>) -> Self {
        let sent = processes.into_iter().map(|process| Sent {
            outcome: command::start(&process).map(Some),
            process,
        });
        Self {
            sent: sent.collect(),
            single: false,
            wait: true,
        }
    }

    /// Sends a signal.
    pub(crate) fn signal(site: &Site, target: &Target, signal: &str) -> Result<Self, Fault> {
        let begin = |process: &Process| command::signal(process, signal);
        Self::send(site, target, true, &begin, |process| {
            process.look().state.is_signallable()
        })
    }
}

/// `startProcess`.
pub(super) fn start(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::of(text(params, 0)?);
    Command::start(&caller.site, &target, params::wait(params, 1))
}

/// `startProcessGroup`.
pub(super) fn start_group(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::Group(text(params, 0)?.to_owned());
    Command::start(&caller.site, &target, params::wait(params, 1))
}

/// `startAllProcesses`.
pub(super) fn start_all(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    Command::start(&caller.site, &Target::All, params::wait(params, 0))
}

/// `stopProcess`.
pub(super) fn stop(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::of(text(params, 0)?);
    Command::stop(&caller.site, &target, params::wait(params, 1))
}

/// `stopProcessGroup`.
pub(super) fn stop_group(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::Group(text(params, 0)?.to_owned());
    Command::stop(&caller.site, &target, params::wait(params, 1))
}

/// `stopAllProcesses`.
pub(super) fn stop_all(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    Command::stop(&caller.site, &Target::All, params::wait(params, 0))
}

/// `signalProcess`.
pub(super) fn signal(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::of(text(params, 0)?);
    Command::signal(&caller.site, &target, &params::signal(params, 1)?)
}

/// `signalProcessGroup`.
pub(super) fn signal_group(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    let target = Target::Group(text(params, 0)?.to_owned());
    Command::signal(&caller.site, &target, &params::signal(params, 1)?)
}

/// `signalAllProcesses`.
pub(super) fn signal_all(caller: &Caller, params: Params<'_>) -> Result<Command, Fault> {
    Command::signal(&caller.site, &Target::All, &params::signal(params, 0)?)
}

/// `sendProcessStdin`: to the FIFO `stdin` of the service directory, which its `run` may open.
pub(super) fn send_stdin(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let process = caller.site.process(text(params, 0)?)?;
    let chars = text(params, 1)?;
    let info = process.look();
    if info.pid == 0 || !info.state.is_signallable() {
        return Err(Fault::new(Code::NotRunning, process.namespec()));
    }
    let no_file = |_| Fault::new(Code::NoFile, process.namespec());
    let fifo = control::open_for_writing(&process.layout.dir.join(STDIN)).map_err(no_file)?;
    let failed = |error| Fault::new(Code::Failed, Why::from(&error));
    std::fs::File::from(fifo)
        .write_all(chars.as_bytes())
        .map_err(failed)?;
    Ok(Value::Bool(true))
}

/// `sendRemoteCommEvent`: nobody takes such events here.
pub(super) fn send_event(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Err(Fault::new(
        Code::Failed,
        "no event listener takes REMOTE_COMMUNICATION here",
    ))
}

/// Waits for the outcome of commands, where that was asked for, and makes the answer of it.
pub(super) async fn run_to_end(site: &Rc<Site>, command: Command) -> Result<Value, Fault> {
    let single = command.single;
    let mut done = outcomes(site, command).await;
    if !single {
        return Ok(Value::Array(done.iter().map(result_of).collect()));
    }
    match done.pop() {
        Some((_, outcome)) => outcome.map(|()| Value::Bool(true)),
        None => Ok(Value::Bool(true)),
    }
}

/// What has become of each command; of those that are waited for, in the order in which it came.
pub(crate) async fn outcomes(site: &Rc<Site>, command: Command) -> Vec<Outcome> {
    let mut done = Vec::new();
    let mut pending = Vec::new();
    for Sent { process, outcome } in command.sent {
        match outcome {
            Ok(Some(sent)) if command.wait => pending.push(sent),
            outcome => done.push((process, outcome.map(drop))),
        }
    }
    done.extend(settle(site, pending).await);
    done
}

/// Waits for all at once; the results are in the order in which they came.
async fn settle(site: &Rc<Site>, pending: Vec<Pending>) -> Vec<Outcome> {
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    for pending in pending {
        let (site, sender) = (Rc::clone(site), sender.clone());
        tasks.spawn_local(async move {
            let outcome = settle_one(&site, &pending).await;
            // The receiver lives until all have been received.
            sender
                .send((pending.process().clone(), outcome))
                .unwrap_or_default();
        });
    }
    drop(sender);
    let mut done = Vec::new();
    while let Some(result) = results.recv().await {
        done.push(result);
    }
    done
}

/// Waits for the outcome of one command.
async fn settle_one(site: &Rc<Site>, pending: &Pending) -> Result<(), Fault> {
    let layout = &pending.process().layout;
    let mut watch = site.watcher.watch(&layout.state);
    let mut missed = false;
    loop {
        if let Some(outcome) = pending.judge() {
            return outcome;
        }
        let woken = tokio::time::timeout(GRACE, watch.changed()).await;
        let absent = !is_supervised(layout).unwrap_or(false);
        if absent && missed && woken.is_err() {
            let name = pending.process().namespec();
            let why = format!("unable to control {name}: supervise not running");
            return Err(Fault::new(Code::Failed, why));
        }
        missed = absent;
    }
}

/// An element of a group's answer.
pub(super) fn result_of((process, outcome): &Outcome) -> Value {
    let (status, description) = match outcome {
        Ok(()) => (Code::Success, "OK".to_owned()),
        Err(fault) => (fault.code, fault.to_string()),
    };
    Value::members([
        ("name", Value::text(&process.name)),
        ("group", Value::text(&process.group)),
        ("status", Value::Int(status.number().into())),
        ("description", Value::text(description)),
    ])
}
