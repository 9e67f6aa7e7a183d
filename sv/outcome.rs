//! Whether a status is what was asked for. No I/O and no clock.

use servicedir::progress::Before;
use servicedir::signal::Signal;
use servicedir::status::{Phase, State, Status, Want};

use crate::request::Act;

/// What a status means for a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is what was asked for.
    Met,
    /// It is, if the script `check` of the service says so too.
    MetIfChecked,
    /// Not yet.
    Pending,
    /// It will not be: the service is FATAL.
    Failed,
}

/// Judges a status that tells what came after the commands were acted on.
pub(crate) fn judge(act: Act, before: &Before, status: &Status) -> Outcome {
    let down_for_good = status.pid.is_none() && status.want == Want::Down;
    match act {
        Act::Status => Outcome::Met,
        Act::Up => up(status),
        Act::Down => when(is_down(status)),
        Act::Once => once(before, status),
        // Only the end of its supervise is an answer.
        Act::Exit => Outcome::Pending,
        Act::TryRestart | Act::Signal(Signal::TERM | Signal::KILL) if down_for_good => Outcome::Met,
        Act::Restart | Act::TryRestart | Act::Signal(Signal::TERM | Signal::KILL) => {
            match is_another_run(before, status) && !status.term_sent {
                true => up(status),
                false => failed_or_pending(status),
            }
        }
        Act::Signal(Signal::STOP) => when(status.pid.is_none() || status.paused),
        Act::Signal(Signal::CONT) => when(status.pid.is_none() || !status.paused),
        Act::Signal(_) => Outcome::Met,
        Act::Check => match status.want {
            Want::Up => up(status),
            Want::Down => when(is_down(status)),
            Want::Once => Outcome::Met,
        },
    }
}

fn when(met: bool) -> Outcome {
    if met { Outcome::Met } else { Outcome::Pending }
}

/// Up is RUNNING, so that a service that ends at once is none; of another suite's service, a `run`
/// that runs.
fn up(status: &Status) -> Outcome {
    let runs = status.pid.is_some() && status.phase == Phase::Run;
    let state = status.record.as_ref().map(|record| record.state);
    match state {
        None | Some(State::Running) if runs => Outcome::MetIfChecked,
        _ => failed_or_pending(status),
    }
}

fn failed_or_pending(status: &Status) -> Outcome {
    let fatal = status
        .record
        .as_ref()
        .is_some_and(|record| record.state == State::Fatal);
    if fatal && status.pid.is_none() {
        Outcome::Failed
    } else {
        Outcome::Pending
    }
}

fn is_down(status: &Status) -> bool {
    let goes_on = status.record.as_ref().is_some_and(|record| {
        matches!(
            record.state,
            State::Starting | State::Running | State::Backoff | State::Stopping
        )
    });
    status.pid.is_none() && status.phase == Phase::Down && !goes_on
}

fn once(before: &Before, status: &Status) -> Outcome {
    if status.pid.is_some() {
        return when(status.want != Want::Up);
    }
    let changed = before
        .status
        .as_ref()
        .is_none_or(|before| before.stamp != status.stamp);
    if failed_or_pending(status) == Outcome::Failed {
        return Outcome::Failed;
    }
    when(changed || status.record.is_some())
}

/// Whether it is not the run that was there before.
fn is_another_run(before: &Before, status: &Status) -> bool {
    let Some(before) = &before.status else {
        return true;
    };
    let start = |status: &Status| status.record.as_ref().map(|record| record.pid_start);
    before.pid != status.pid
        || match (start(before), start(status)) {
            (Some(then), Some(now)) => then != now,
            _ => before.stamp != status.stamp,
        }
}

#[cfg(test)]
mod tests;
