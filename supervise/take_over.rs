//! Going on where another supervise of this service was killed, or detached itself.

use rustix::io::Errno;
use servicedir::layout::STATUS;
use servicedir::process::{Identity, World};
use servicedir::report::Failure;
use servicedir::status::{End, Record, State, Status};

use crate::event::{Event, Notice};
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
    world: &World,
) -> Result<Option<(Status, Record)>, Failure> {
    let found = files.read(STATUS)?.and_then(|bytes| {
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
    supervisor.adopted = process.map(adopt).transpose()?.flatten();
    supervisor
        .machine
        .resume(status, record, read_options(), started, moment);
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
