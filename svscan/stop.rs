//! Ending supervises, and what they leave.

use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group, pidfd_send_signal};
use servicedir::control::Control;
use servicedir::layout::{CONTROL, Layout};
use servicedir::process::{Place, World};
use servicedir::state_folder::StateFolder;
use servicedir::status::Want;
use servicedir::trust::Refused;

use crate::holdings::Holdings;
use crate::pipes::Pipe;
use crate::process::{Supervised, process_of, recorded, supervise_of};
use crate::scan::{Ending, Event, Id, Life, SECOND, Units};

/// Ends a supervise: by its control FIFO, which every suite's supervise obeys, else by TERM. One that
/// was started a moment ago may obey neither yet: then the event asks for another try.
pub(crate) fn end(
    id: &Id,
    ending: Ending,
    units: &Units,
    holdings: &mut Holdings,
) -> Option<Event> {
    let commands: &[Control] = match ending {
        Ending::Stop => &[Control::Down, Control::Exit],
        Ending::Drain if waits_for_logger(id, units, holdings) => {
            return Some(Event::NotDelivered(id.clone(), ending));
        }
        Ending::Drain => &[Control::Exit],
    };
    let layout = holdings.layout(id, units);
    let delivered = layout.is_some_and(|layout| deliver(&layout, commands));
    if !delivered && is_young(id, units, holdings) {
        return Some(Event::NotDelivered(id.clone(), ending));
    }
    match ending {
        // With svscan's ends closed the logger finds the end of its input, as soon as no process
        // that wrote to it is left.
        Ending::Drain => drop(holdings.pipes.remove(id)),
        Ending::Stop if !delivered => holdings.supervises.signal(id, Signal::TERM),
        Ending::Stop => {}
    }
    // A log that no service writes to is stopped when its time to drain is over: what it left is no
    // reason to start it once more.
    if ending == Ending::Stop && units.writers(id).next().is_none() {
        holdings.pipes.remove(id);
    }
    None
}

/// Whether lines wait in the pipe for a logger that is to be started again: a supervise that is sent
/// `x` meanwhile exits without it.
fn waits_for_logger(id: &Id, units: &Units, holdings: &Holdings) -> bool {
    let lines = holdings.pipes.get(id).is_some_and(Pipe::has_lines);
    lines && {
        let layout = holdings.layout(id, units);
        let status = layout.and_then(|layout| recorded(&layout));
        status.is_some_and(|(status, _)| status.want == Want::Up && status.pid.is_none())
    }
}

/// Whether a supervise was started so recently that it may not read its commands yet.
fn is_young(id: &Id, units: &Units, holdings: &Holdings) -> bool {
    let started = units.get(id).and_then(|unit| unit.started);
    holdings.supervises.is_child(id) && started.is_some_and(|then| then.elapsed() < SECOND)
}

/// Writes commands to a service's control FIFO. False: it was not read, or not trusted.
fn deliver(layout: &Layout, commands: &[Control]) -> bool {
    let bytes: Vec<u8> = commands
        .iter()
        .filter_map(|command| command.byte())
        .collect();
    StateFolder::open(layout)
        .and_then(|state| state.open_fifo(CONTROL))
        // Full, or closed since.
        .is_ok_and(|fifo| rustix::io::write(&fifo, &bytes).is_ok())
}

/// Checks whether anything of a unit without a supervise of ours lives: its process, a supervise, or
/// lines in a log's pipe.
pub(crate) fn check(id: &Id, stopping: bool, units: &Units, holdings: &Holdings) -> Event {
    let layout = holdings.layout(id, units);
    let life = layout.map_or(Life::Gone, |layout| {
        life_of(&layout, stopping, &holdings.world)
    });
    let is_log = units.get(id).is_some_and(|unit| !unit.is_main());
    let lines = is_log && holdings.pipes.get(id).is_some_and(Pipe::has_lines);
    Event::Checked(id.clone(), if lines { Life::Alive } else { life })
}

/// What this process may not control is not waited for: it is another user's.
fn life_of(layout: &Layout, stopping: bool, world: &World) -> Life {
    let control = StateFolder::open(layout).and_then(|state| state.open_fifo(CONTROL));
    if control.is_err_and(is_denied) {
        return Life::Gone;
    }
    match process_of(layout, world) {
        Ok(Some(_)) => return Life::Alive,
        Ok(None) => {}
        Err(_) => return Life::Unknown,
    }
    match supervise_of(layout) {
        Ok(Supervised::No) => Life::Gone,
        Ok(Supervised::By(_)) => Life::Alive,
        // In another pid namespace, perhaps: it obeys all the same. One that does not read its
        // commands, in a directory of another user, is nothing to wait for.
        Ok(Supervised::Unknown) if stopping => {
            match is_own(layout) && deliver(layout, &[Control::Down, Control::Exit]) {
                true => Life::Alive,
                false => Life::Gone,
            }
        }
        Ok(Supervised::Unknown) => Life::Alive,
        Err(refused) if refused.is_about_the_file() => Life::Gone,
        Err(_) => Life::Unknown,
    }
}

fn is_own(layout: &Layout) -> bool {
    let owner = rustix::fs::stat(&layout.dir).map(|stat| stat.st_uid);
    owner.is_ok_and(|owner| owner == 0 || owner == rustix::process::geteuid().as_raw())
}

/// Whether only another user may control a service, or has put something else in the place of its
/// control FIFO.
fn is_denied(refused: Refused) -> bool {
    !refused.is_absent() && refused.is_about_the_file() && refused.errno() != Some(Errno::NXIO)
}

/// Kills a unit's supervise, and its service with the process group that it leads.
pub(crate) fn kill(id: &Id, units: &Units, holdings: &Holdings) {
    // The supervise first: it would run `finish`, or start the service again.
    holdings.supervises.signal(id, Signal::KILL);
    let layout = holdings.layout(id, units);
    let process = layout.map(|layout| process_of(&layout, &holdings.world));
    let Some(Ok(Some(process))) = process else {
        return;
    };
    // The process is known to live, so a group that it leads is its own.
    let group = Place::of(process.pid).and_then(|place| place.group);
    if group == Some(process.pid) {
        kill_process_group(process.pid, Signal::KILL).ok();
    }
    pidfd_send_signal(&process.pidfd, Signal::KILL).ok();
}
