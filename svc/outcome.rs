//! What a status means for what was asked: done, not yet, or never. No I/O and no clock.

use servicedir::control::Control;
use servicedir::progress::{Before, Progress, progress};
use servicedir::signal::Signal;
use servicedir::status::{Phase, Record, State, Status, Want};

use crate::args::WaitFor;

/// What the commands amount to, and what to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    /// The state that is waited for.
    pub(crate) goal: Goal,
    /// A process that ran before the commands does not count: it is to end.
    pub(crate) new_run: bool,
    /// One run is asked for (`o`): its end is no failure when it ended well.
    pub(crate) once: bool,
    /// How many bytes are sent.
    pub(crate) sent: u32,
}

/// A state to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// RUNNING.
    Up,
    /// RUNNING and ready.
    Ready,
    /// Down, with `finish` ended.
    Down,
    /// The supervise is gone.
    Exited,
    /// The process that got a signal has ended; up again if it is to be.
    Ended,
    /// Paused.
    Paused,
    /// Not paused.
    Continued,
    /// The commands have been acted on.
    Acted,
}

impl Asked {
    /// What these commands amount to, with what `--wait` says.
    pub(crate) fn new(commands: &[Control], wait: WaitFor) -> Self {
        let effects: Vec<Effect> = commands.iter().map(|command| effect(*command)).collect();
        let last_of = |set: &[Effect]| effects.iter().copied().rfind(|one| set.contains(one));
        let lifecycle = last_of(&[Effect::Up, Effect::Once, Effect::Restart, Effect::Down]);
        let stops = last_of(&[Effect::Down, Effect::Restart, Effect::Ends]).is_some();
        let ends = last_of(&[Effect::Ends]).is_some();
        let pause = last_of(&[Effect::Pauses, Effect::Continues]);
        let goal = match wait {
            WaitFor::Up => Goal::Up,
            WaitFor::Ready => Goal::Ready,
            WaitFor::Down => Goal::Down,
            WaitFor::Exited => Goal::Exited,
            WaitFor::Command => match (lifecycle, pause) {
                _ if last_of(&[Effect::Leaves]).is_some() => Goal::Exited,
                (Some(Effect::Down), _) => Goal::Down,
                (Some(_), _) => Goal::Up,
                (None, _) if ends => Goal::Ended,
                (None, Some(Effect::Pauses)) => Goal::Paused,
                (None, Some(_)) => Goal::Continued,
                (None, None) => Goal::Acted,
            },
        };
        Self {
            goal,
            new_run: stops,
            once: lifecycle == Some(Effect::Once),
            sent: u32::try_from(commands.len()).unwrap_or(u32::MAX),
        }
    }

    /// The goal in a word, as in `not up after 10s`.
    pub(crate) fn word(&self) -> &'static str {
        match self.goal {
            Goal::Up if self.new_run => "restarted",
            Goal::Up => "up",
            Goal::Ready => "ready",
            Goal::Down => "down",
            Goal::Exited => "exited",
            Goal::Ended => "ended",
            Goal::Paused => "paused",
            Goal::Continued => "continued",
            Goal::Acted => "acted on",
        }
    }
}

/// What a command does to a service, as far as a wait can see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    /// It comes up.
    Up,
    /// It comes up for one run.
    Once,
    /// It goes down and comes up.
    Restart,
    /// It goes down.
    Down,
    /// Its supervise exits.
    Leaves,
    /// Its process ends.
    Ends,
    /// Its process is paused.
    Pauses,
    /// Its process is continued.
    Continues,
    /// None that the status shows.
    Unseen,
}

fn effect(command: Control) -> Effect {
    match command {
        Control::Up => Effect::Up,
        Control::Down => Effect::Down,
        Control::Once => Effect::Once,
        Control::Restart => Effect::Restart,
        Control::Exit | Control::Detach => Effect::Leaves,
        Control::Signal(signal) => SIGNALS
            .iter()
            .find(|(known, _)| *known == signal)
            .map_or(Effect::Unseen, |(_, effect)| *effect),
    }
}

/// What the signals that have a control byte do to a process that does not handle them otherwise.
const SIGNALS: [(Signal, Effect); 11] = [
    (Signal::TERM, Effect::Ends),
    (Signal::KILL, Effect::Ends),
    (Signal::INT, Effect::Ends),
    (Signal::QUIT, Effect::Ends),
    (Signal::STOP, Effect::Pauses),
    (Signal::CONT, Effect::Continues),
    // Services handle these: most of them go on.
    (Signal::HUP, Effect::Unseen),
    (Signal::ALRM, Effect::Unseen),
    (Signal::USR1, Effect::Unseen),
    (Signal::USR2, Effect::Unseen),
    (Signal::WINCH, Effect::Unseen),
];

/// What is there now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Now<'a> {
    /// A supervise is there.
    pub(crate) supervised: bool,
    /// The control FIFO is empty.
    pub(crate) drained: bool,
    /// The status.
    pub(crate) status: Option<&'a Status>,
}

/// What that means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// Not yet.
    Pending,
    /// What was asked is done.
    Done,
    /// It will not be done, for this reason.
    Failed(String),
    /// Not yet, and nobody is there to do it.
    Absent,
    /// Not yet, and the supervise that took the commands did not live to count them.
    Lost,
}

/// Judges what is there now.
pub(crate) fn judge(asked: &Asked, before: &Before, now: Now<'_>) -> Answer {
    if asked.goal == Goal::Exited {
        let exited = !now.supervised || another_supervise(before, now);
        return if exited {
            Answer::Done
        } else {
            Answer::Pending
        };
    }
    let answer = match (
        now.status,
        progress(asked.sent, before, now.drained, now.status),
    ) {
        (Some(status), Progress::Acted) => judge_status(asked, before, status),
        (Some(_), Progress::Lost) => Answer::Lost,
        (Some(_), Progress::Unread) | (None, _) => Answer::Pending,
    };
    // A dead supervise's word that the service is up is worth nothing; that it is down, is.
    let needs_one = match answer {
        Answer::Pending | Answer::Lost => true,
        Answer::Done => asked.goal != Goal::Down,
        Answer::Failed(_) | Answer::Absent => false,
    };
    if needs_one && !now.supervised {
        Answer::Absent
    } else {
        answer
    }
}

fn record(status: Option<&Status>) -> Option<&Record> {
    status.and_then(|status| status.record.as_ref())
}

/// Whether the status is that of a supervise that came after the one that was there.
fn another_supervise(before: &Before, now: Now<'_>) -> bool {
    let writer = |status| record(status).and_then(|record| record.supervise);
    let (then, new) = (writer(before.status.as_ref()), writer(now.status));
    new.is_some() && before.supervise.is_some() && new != before.supervise && new != then
}

fn judge_status(asked: &Asked, before: &Before, status: &Status) -> Answer {
    match asked.goal {
        Goal::Up | Goal::Ready => up(asked, before, status),
        Goal::Down => down(status),
        Goal::Ended => ended(asked, before, status),
        Goal::Paused if status.pid.is_none() => Answer::Failed("it is down".to_owned()),
        Goal::Paused if !status.paused => Answer::Pending,
        Goal::Continued if status.paused => Answer::Pending,
        Goal::Paused | Goal::Continued | Goal::Acted | Goal::Exited => Answer::Done,
    }
}

fn up(asked: &Asked, before: &Before, status: &Status) -> Answer {
    let Some(record) = &status.record else {
        return up_elsewhere(asked, before, status);
    };
    match record.state {
        // What follows is shown while `finish` runs; it is certain, and has its reason, afterwards.
        State::Fatal | State::Exited if status.pid.is_some() => Answer::Pending,
        State::Running if !runs(asked, before, status) => Answer::Pending,
        State::Running if asked.goal == Goal::Ready && !record.ready => Answer::Pending,
        State::Running => Answer::Done,
        State::Fatal => Answer::Failed(reason(record)),
        // It is about to be started again.
        State::Exited | State::Stopped if status.want == Want::Up => Answer::Pending,
        State::Exited if asked.once && ended_well(record) => Answer::Done,
        State::Exited => Answer::Failed(reason(record)),
        // Nobody asked here for a start: somebody else may, later.
        State::Stopped if asked.sent == 0 => Answer::Pending,
        State::Stopped => Answer::Failed("it was told to stop".to_owned()),
        State::Starting | State::Backoff | State::Stopping => Answer::Pending,
    }
}

/// Up, as far as the first 20 bytes tell: those of another suite's supervise.
fn up_elsewhere(asked: &Asked, before: &Before, status: &Status) -> Answer {
    let changed = before
        .status
        .as_ref()
        .is_none_or(|before| before.stamp != status.stamp);
    let up = runs(asked, before, status) && (asked.once || status.want != Want::Down);
    if up || asked.once && status.pid.is_none() && changed {
        Answer::Done
    } else {
        Answer::Pending
    }
}

/// Whether a `run` that counts is up: not one that the commands were to end.
fn runs(asked: &Asked, before: &Before, status: &Status) -> bool {
    status.pid.is_some()
        && status.phase == Phase::Run
        && (!asked.new_run || is_another_run(before, status) && !status.term_sent)
}

fn is_another_run(before: &Before, status: &Status) -> bool {
    let Some(before) = &before.status else {
        return true;
    };
    let start = |status: &Status| status.record.as_ref().map(|record| record.pid_start);
    before.pid != status.pid
        || before.phase != status.phase
        || match (start(before), start(status)) {
            (Some(then), Some(now)) => then != now,
            _ => before.stamp != status.stamp,
        }
}

fn down(status: &Status) -> Answer {
    let goes_on = status.record.as_ref().is_some_and(|record| {
        matches!(
            record.state,
            State::Starting | State::Running | State::Backoff | State::Stopping
        )
    });
    if status.pid.is_none() && status.want != Want::Up && !goes_on {
        Answer::Done
    } else {
        Answer::Pending
    }
}

/// A signal was sent that ends a process: what follows depends on whether it is to run again.
fn ended(asked: &Asked, before: &Before, status: &Status) -> Answer {
    let was_up = before
        .status
        .as_ref()
        .is_none_or(|before| before.pid.is_some());
    match &status.record {
        _ if !was_up => Answer::Done,
        Some(record) if record.state == State::Fatal && status.pid.is_none() => {
            Answer::Failed(reason(record))
        }
        _ if status.want == Want::Up => up(asked, before, status),
        _ => down(status),
    }
}

/// Why a service is not up: the reason for FATAL, else how its last run ended.
fn reason(record: &Record) -> String {
    match (record.state, record.last_end) {
        (State::Fatal, _) if !record.reason.is_empty() => format!("fatal: {}", record.reason),
        (State::Fatal, Some(end)) => format!("fatal: {end}"),
        (_, Some(end)) => end.to_string(),
        (state, None) => state.name().to_ascii_lowercase(),
    }
}

fn ended_well(record: &Record) -> bool {
    use servicedir::status::End;
    record.last_end == Some(End::Exited(0))
}

#[cfg(test)]
mod tests;
