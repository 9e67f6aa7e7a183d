//! What is wished for a unit, and the step from what is known of its supervise towards that.

use std::time::{Duration, Instant};

use super::Action;
use crate::unit::{Doom, Ending, Id, Slot, Unit};

/// How long after its input has ended a logger may go on.
pub(super) const DRAIN: Duration = Duration::from_secs(5);

/// What is wished for a unit, whatever its supervise does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// A supervise is to be there.
    Keep,
    /// One that is there stays; when it is gone, it stays so.
    Leave,
    /// Nothing is to be changed now.
    Hold,
    /// None is to be there.
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

/// What is wished for a service.
pub(super) fn main_wish(unit: &Unit, shutdown: bool, level: Option<i32>, away: bool) -> Wish {
    if shutdown {
        return match level {
            Some(level) if unit.priority < level => Wish::Hold,
            Some(_) | None => Wish::End(Ending::Stop),
        };
    }
    match unit.doom {
        Doom::Removed | Doom::Deleted => Wish::End(Ending::Stop),
        Doom::Spared if away => Wish::Hold,
        Doom::Spared if unit.listed => Wish::Keep,
        Doom::Spared => Wish::Leave,
    }
}

/// What is wished for a log. `used`: a service writes to it.
pub(super) fn log_wish(unit: &Unit, used: bool, away: bool) -> Wish {
    match (unit.doom, used) {
        (Doom::Removed | Doom::Deleted, _) => Wish::End(Ending::Stop),
        (Doom::Spared, false) => Wish::End(Ending::Drain),
        (Doom::Spared, true) if away => Wish::Hold,
        (Doom::Spared, true) => Wish::Keep,
    }
}

/// Brings what is known of a unit nearer to what is wished, and says what that waits for.
pub(super) fn act(
    id: &Id,
    unit: &mut Unit,
    wish: Wish,
    now: Instant,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    match (unit.slot, wish) {
        (Slot::Due { at }, Wish::Keep) | (Slot::Revive { at }, _) => return Some(Due::Start(at)),
        (Slot::Due { .. }, Wish::End(_) | Wish::Leave) => {
            unit.slot = Slot::Looking;
            actions.push(Action::Look(id.clone()));
        }
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
        | (Slot::Asked | Slot::Looking, _) => {}
    }
    None
}

/// Tells a supervise to end; a logger that does not find the end of its input is stopped in the end.
fn end(
    id: &Id,
    unit: &mut Unit,
    ending: Ending,
    now: Instant,
    actions: &mut Vec<Action>,
) -> Option<Due> {
    let then = (ending == Ending::Drain).then_some((now + DRAIN, Ending::Stop));
    unit.slot = Slot::Ending { then };
    unit.told.get_or_insert(now);
    actions.push(Action::End(id.clone(), ending));
    then.map(|(at, _)| Due::Other(at))
}
