//! The target of a unit, and the next step towards it.

use std::time::{Duration, Instant};

use super::event::Action;
use super::shutdown::{GONE, GRACE, Haste};
use super::unit::{Ending, Id, Slot, StopReason, Unit};

/// How long a logger may go on after its input has ended.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// The target of a unit, whatever its supervise does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// It has a supervise.
    Keep,
    /// A supervise that runs goes on, and is not started again when it ends.
    Leave,
    /// Nothing is changed for now.
    Hold,
    /// It has no supervise.
    End(Ending),
}

/// When something is due that waits for its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// The start of a supervise.
    Start(Instant),
    /// Anything else.
    Other(Instant),
}

/// What concerns all units at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The time.
    pub(super) now: Instant,
    /// Everything is being stopped.
    pub(super) shutdown: bool,
    /// Then: services of lower priority than this wait for their turn.
    pub(super) stop_level: Option<i32>,
    /// How late the shutdown is.
    pub(super) haste: Haste,
    /// The scan directory cannot be read.
    pub(super) away: bool,
}

/// The target of a service.
pub(super) fn main_wish(unit: &Unit, its: Circumstances) -> Wish {
    if its.shutdown {
        return match its.stop_level {
            Some(level) if unit.priority < level && its.haste == Haste::None => Wish::Hold,
            Some(_) | None => Wish::End(Ending::Stop),
        };
    }
    match unit.stop_reason {
        StopReason::Removed | StopReason::Deleted => Wish::End(Ending::Stop),
        StopReason::None if its.away => Wish::Hold,
        StopReason::None if unit.listed => Wish::Keep,
        StopReason::None => Wish::Leave,
    }
}

/// The target of a log. `used`: a service writes to it.
pub(super) fn log_wish(unit: &Unit, used: bool, its: Circumstances) -> Wish {
    match (unit.stop_reason, used) {
        (StopReason::Removed | StopReason::Deleted, _) => Wish::End(Ending::Stop),
        (StopReason::None, false) => Wish::End(Ending::Drain),
        (StopReason::None, true) if its.away => Wish::Hold,
        (StopReason::None, true) => Wish::Keep,
    }
}

/// Moves a unit one step towards its target, and returns what it waits for.
pub(super) fn act(
    id: &Id,
    unit: &mut Unit,
    wish: Wish,
    its: Circumstances,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    let now = its.now;
    if last_resort(unit, its).is_some_and(|at| at <= now) {
        kill(id, unit, now, actions);
        return None;
    }
    match (unit.slot, wish) {
        (Slot::Due { at }, Wish::Keep) | (Slot::Revive { at }, _) => return Some(Due::Start(at)),
        (Slot::Due { .. }, Wish::End(_) | Wish::Leave) => {
            unit.slot = Slot::Checking;
            actions.push(Action::Check(id.clone()));
        }
        (Slot::Unsure { at }, _) if at <= now => {
            unit.slot = Slot::Checking;
            actions.push(Action::Check(id.clone()));
        }
        (Slot::Unsure { at }, _) => return Some(Due::Other(at)),
        (Slot::Gone, Wish::End(_) | Wish::Leave | Wish::Hold) => {
            actions.push(Action::Forget(id.clone()));
        }
        (Slot::Gone, Wish::Keep) => {
            let at = unit.next_start(now);
            unit.slot = Slot::Due { at };
            return Some(Due::Start(at));
        }
        (Slot::Up, Wish::End(ending)) => {
            return end(id, unit, ending, now, actions);
        }
        (
            Slot::Ending {
                then: Some((at, ending)),
            },
            _,
        ) if at <= now => {
            return end(id, unit, ending, now, actions);
        }
        (Slot::Ending { then }, _) => return then.map(|(at, _)| Due::Other(at)),
        (Slot::Due { .. }, Wish::Hold)
        | (Slot::Up, Wish::Keep | Wish::Leave | Wish::Hold)
        | (Slot::Asked | Slot::Checking, _) => {}
    }
    None
}

/// Ends a supervise; a logger that does not find the end of its input in time is stopped.
fn end(
    id: &Id,
    unit: &mut Unit,
    ending: Ending,
    now: Instant,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    let then = (ending == Ending::Drain).then_some((now + DRAIN, Ending::Stop));
    unit.slot = Slot::Ending { then };
    unit.stop_sent.get_or_insert(now);
    actions.push(Action::End(id.clone(), ending));
    then.map(|(at, _)| Due::Other(at))
}

/// When a unit is killed, or, once it was, given up: KILL does not end every process at once.
pub(super) fn last_resort(unit: &Unit, its: Circumstances) -> Option<Instant> {
    match (its.haste, unit.slot, unit.killed) {
        (Haste::None, ..) | (_, Slot::Gone, _) => None,
        (_, _, Some(killed)) => Some(killed + GONE),
        (Haste::Kill, ..) => Some(its.now),
        (Haste::KillAfterGrace, Slot::Ending { .. }, None) => {
            unit.stop_sent.map(|sent| sent + GRACE)
        }
        (Haste::KillAfterGrace, ..) => None,
    }
}

fn kill(id: &Id, unit: &mut Unit, now: Instant, actions: &mut Vec<Action>) {
    if unit.killed.is_some() {
        return actions.push(Action::Forget(id.clone()));
    }
    unit.killed = Some(now);
    actions.push(Action::Kill(id.clone()));
}
