//! What the methods show: the server's and the services' state.

use rustix::process::{Signal, kill_process};
use servicedir::report::Why;
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::process::Info;
use servicedir::supervisor::{local_time, scan};
use servicedir::tai64n::Tai64n;

use super::Caller;
use super::params::{Params, text};
use crate::xml::Value;

/// The version of the interface; supervisorctl refuses another one.
const API_VERSION: &str = "3.0";

/// The Supervisor whose answers these are.
const SUPERVISOR_VERSION: &str = "4.3.0";

/// `getAPIVersion`, `getVersion`.
pub(super) fn api_version(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Ok(Value::text(API_VERSION))
}

/// `getSupervisorVersion`.
pub(super) fn supervisor_version(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Ok(Value::text(SUPERVISOR_VERSION))
}

/// `getIdentification`.
pub(super) fn identification(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Ok(Value::text(&caller.site.name))
}

/// `getState`: there are no other states to tell of, because a server that answers serves.
pub(super) fn state(_: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    Ok(Value::members([
        ("statecode", Value::Int(1)),
        ("statename", Value::text("RUNNING")),
    ]))
}

/// `getPID`.
pub(super) fn pid(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    let pid = scan::svscan(&caller.site.dir);
    Ok(Value::Int(
        pid.map_or(0, |pid| pid.as_raw_nonzero().get().into()),
    ))
}

/// `shutdown`: svscan stops everything, in its order.
pub(super) fn shutdown(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    signal_svscan(caller, Signal::TERM)
}

/// `restart`: svscan looks again. Supervisor would restart all services; here they read their options at
/// each start anyway.
pub(super) fn restart(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    signal_svscan(caller, Signal::HUP)
}

fn signal_svscan(caller: &Caller, signal: Signal) -> Result<Value, Fault> {
    let dir = caller.site.dir.display();
    let pid = scan::svscan(&caller.site.dir)
        .ok_or_else(|| Fault::new(Code::Failed, format_args!("no svscan runs on {dir}")))?;
    kill_process(pid, signal).map_err(|errno| {
        let why = Why::from(errno);
        Fault::new(
            Code::Failed,
            format_args!("unable to signal the svscan of {dir}: {why}"),
        )
    })?;
    Ok(Value::Bool(true))
}

/// `getProcessInfo`.
pub(super) fn process(caller: &Caller, params: Params<'_>) -> Result<Value, Fault> {
    let info = caller.site.process(text(params, 0)?)?.look();
    Ok(Clock::now().describe(&info))
}

/// `getAllProcessInfo`.
pub(super) fn all_processes(caller: &Caller, _: Params<'_>) -> Result<Value, Fault> {
    let processes = caller.site.processes()?;
    let clock = Clock::now();
    let all = processes
        .iter()
        .map(|process| clock.describe(&process.look()));
    Ok(Value::Array(all.collect()))
}

/// The time that an answer is given at.
struct Clock {
    now: u64,
    zone: tz::TimeZone,
}

impl Clock {
    fn now() -> Self {
        Self {
            now: Tai64n::now().unix_seconds(),
            zone: local_time::zone(),
        }
    }

    /// The struct of `getProcessInfo`, with its keys in Supervisor's order.
    fn describe(&self, info: &Info) -> Value {
        let seconds = |time: u64| Value::Int(time.try_into().unwrap_or(i64::MAX));
        Value::members([
            ("name", Value::text(&info.name)),
            ("group", Value::text(&info.group)),
            ("start", seconds(info.start)),
            ("stop", seconds(info.stop)),
            ("now", seconds(self.now)),
            ("state", Value::Int(info.state.number().into())),
            ("statename", Value::text(info.state.name())),
            ("spawnerr", Value::text(&info.spawnerr)),
            ("exitstatus", Value::Int(info.exitstatus.into())),
            ("logfile", Value::text(&info.stdout_logfile)),
            ("stdout_logfile", Value::text(&info.stdout_logfile)),
            ("stderr_logfile", Value::text(&info.stderr_logfile)),
            ("pid", Value::Int(info.pid.into())),
            (
                "description",
                Value::text(info.description(self.now, &self.zone)),
            ),
        ])
    }
}
