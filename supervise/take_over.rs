//! Going on where another supervise of this service was killed, or detached itself.

use std::path::Path;

use rustix::io::Errno;
use servicedir::layout::STATUS;
use servicedir::options::{Options, Ready};
use servicedir::process::{Identity, Place, World};
use servicedir::report::Failure;
use servicedir::status::{End, Phase, Record, State, Status};

use crate::event::{Event, Notice, Unread};
use crate::files::state_dir::StateDir;
use crate::message::Message;
use crate::processes::adopted::Adopted;
use crate::readiness::source::Readiness;
use crate::supervisor::{Supervisor, now, read_options};

/// The status that another supervise left, if there is a service to go on with.
///
/// # Errors
/// There is a status and it cannot be read: to go on without it might start a second service.
#[inline(never)]
pub(crate) fn left_behind(
    files: &StateDir,
    shown: &Path,
    world: &World,
) -> Result<Option<(Status, Record)>, Failure> {
    let found = files.read(STATUS, shown)?.and_then(|bytes| {
        let status = Status::unpack(&bytes).ok()?;
        let record = status.record.clone()?;
        // After a reboot, or in another pid namespace, its pids mean nothing here.
        (record.world.is(world) && !record.left).then_some((status, record))
    });
    Ok(found)
}

/// Takes over the service of that status.
///
/// # Errors
/// The recorded process may be there and cannot be watched: starting would start a second one.
#[inline(never)]
pub(crate) fn resume(
    supervisor: &mut Supervisor,
    status: &Status,
    record: &Record,
) -> Result<(), Failure> {
    let moment = now();
    let process = status.pid.map(|pid| Identity {
        pid,
        start: record.pid_start,
    });
    let started = match process {
        Some(process) => process.started(moment.clock),
        None => moment
            .clock
            .checked_sub(status.stamp.age(moment.label))
            .unwrap_or(moment.clock),
    };
    let options = read_options();
    if let Some(process) = process {
        supervisor.adopted = adopt(process)?;
        if supervisor.adopted.is_some() && !is_ours(process, status, record, options.as_deref()) {
            supervisor.warn(&Message::NotOurs(process.pid));
            supervisor.adopted = None;
        }
    }
    supervisor
        .machine
        .resume(status, record, options, started, moment);
    match (process, &supervisor.adopted) {
        (Some(process), None) => {
            supervisor.inform(&Message::EndedUnwatched(process.pid));
            supervisor.handle(Event::Ended(process.pid, End::Unknown));
        }
        (Some(process), Some(_)) => {
            reopen_readiness(supervisor, process, record);
            supervisor.drain();
        }
        (None, _) => supervisor.drain(),
    }
    Ok(())
}

/// The process, if it is still there.
fn adopt(process: Identity) -> Result<Option<Adopted>, Failure> {
    match Adopted::new(process) {
        Ok(adopted) => Ok(Some(adopted)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(Message::NotAdopted {
            pid: process.pid,
            why: errno.into(),
        }
        .fatal()),
    }
}

/// The second witness for a process that the status names: supervise makes every `run` and `finish` the
/// leader of a session. Only what `ready: notify` named by MAINPID may be in another one.
fn is_ours(
    process: Identity,
    status: &Status,
    record: &Record,
    options: Result<&Options, &Unread>,
) -> bool {
    let Some(place) = Place::of(process.pid).filter(|place| place.identity == process) else {
        // It has ended since, or /proc hides it.
        return true;
    };
    let leads = place.session == Some(process.pid) && place.group == Some(process.pid);
    let has_main_pid = options.map_or(true, |options| options.ready == Ready::Notify);
    match status.phase {
        Phase::Run if has_main_pid => leads || record.group != Some(process.pid),
        Phase::Run | Phase::Down | Phase::Finish => leads,
    }
}

/// Opens the readiness source of the adopted service again.
fn reopen_readiness(supervisor: &mut Supervisor, process: Identity, record: &Record) {
    let options = supervisor.machine.options();
    let awaited = record.state == State::Starting && !record.ready;
    match Readiness::adopted(process, options, &supervisor.files, awaited) {
        Ok(readiness) => supervisor.readiness = readiness,
        Err(error) => {
            supervisor.warn(&Message::NotifySocketLost(error.into()));
            // Its watchdog would be fed, and nothing would read it.
            supervisor.handle(Event::Notice(Notice::WatchdogInterval(None)));
        }
    }
}
