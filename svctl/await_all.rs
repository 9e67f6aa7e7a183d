//! Waiting for commands that were sent to several services: one wait for all.

use std::time::{Duration, Instant};

use servicedir::supervisor::command::Pending;
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::process::Process;
use servicedir::wait::StatusWatch;

/// How long a supervise that is gone is given to come back: svscan starts a new one within a second or two.
const GRACE: Duration = Duration::from_secs(5);

/// How often to look without being told to: a supervise of another suite does not announce all that it does.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Waits until all are answered; the answers are in the order in which they came.
pub(crate) fn await_all(pending: Vec<Pending>) -> Vec<(Process, Result<(), Fault>)> {
    let mut watch = StatusWatch::new();
    for (index, command) in pending.iter().enumerate() {
        watch.add(&command.process().layout.state, index);
    }
    let mut waiting: Vec<(Pending, Option<Instant>)> =
        pending.into_iter().map(|command| (command, None)).collect();
    let mut answers = Vec::new();
    loop {
        waiting.retain_mut(|(command, missed)| match answer(command, missed) {
            Some(outcome) => {
                answers.push((command.process().clone(), outcome));
                false
            }
            None => true,
        });
        if waiting.is_empty() || watch.wait(Some(Instant::now() + LOOK_AGAIN)).is_err() {
            return answers;
        }
    }
}

fn answer(command: &Pending, missed: &mut Option<Instant>) -> Option<Result<(), Fault>> {
    if let Some(outcome) = command.judge() {
        return Some(outcome);
    }
    if command.process().status().is_some() {
        *missed = None;
        return None;
    }
    let since = *missed.get_or_insert_with(Instant::now);
    let name = command.process().namespec();
    let gone = || Fault::new(Code::Failed, format_args!("{name}: supervise not running"));
    (since.elapsed() > GRACE).then(|| Err(gone()))
}
