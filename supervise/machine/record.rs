//! The machine's state as the status record.

use servicedir::options::Ready;
use servicedir::process::Identity;
use servicedir::status::{self, End, Phase, Record, Status};
use servicedir::tai64n::Tai64n;

use super::finish::Next;
use super::run::{Run, Stage, Then};
use super::{Machine, State};

impl Machine {
    /// The status to announce.
    pub(crate) fn status(&self) -> Status {
        let (phase, process) = self.process();
        let run = self.current_run();
        Status {
            stamp: self.history.stamp,
            pid: process.map(|process| process.pid),
            paused: run.is_some_and(|run| run.paused),
            want: self.want,
            term_sent: run.is_some_and(|run| run.term_sent),
            phase,
            record: Some(self.record(run, process)),
        }
    }

    fn record(&self, run: Option<&Run>, process: Option<Identity>) -> Record {
        let history = &self.history;
        Record {
            state: self.shown_state(),
            ready: run.is_some_and(|run| run.ready && !run.is_stopping()),
            tells_ready: self.options.ready != Ready::Startsecs,
            exiting: self.exiting,
            left: self.left,
            options_fault: self.fault.is_some(),
            restarting: self.is_restarting(),
            last_end: history.last_end,
            ready_stamp: history.ready_stamp,
            pid_start: process.map_or(0, |process| process.start),
            world: history.world,
            failed_starts: history.failed_starts,
            start_retries: self.options.startretries,
            total_starts: history.total_starts,
            next_start: self.next_start(),
            commands: history.commands,
            group: history.group,
            state_stamp: history.state_stamp,
            supervise: Some(history.supervise),
            watchdog: run.and_then(|run| run.watchdog.interval()),
            run_started: history.run_started,
            run_ended: history.run_ended,
            journal: self.journal.number,
            reason: self.reason(),
            message: history.message.clone(),
        }
    }

    /// What is wrong: with the options, for good, or with the last start.
    fn reason(&self) -> String {
        let history = &self.history;
        match (&self.fault, &self.state) {
            (Some(fault), _) => fault.clone(),
            (None, State::Backoff { .. }) => match history.last_end {
                Some(End::NotStarted(_)) | None => history.refusal.clone(),
                Some(_) if history.refusal.is_empty() => String::new(),
                Some(_) => format!("{}: a failed start", history.refusal),
            },
            (None, _) => history.reason.clone(),
        }
    }

    /// The text of runit's `stat` file.
    pub(crate) fn stat(&self) -> String {
        let status = self.status();
        let mut text = String::from(match status.phase {
            Phase::Down => "down",
            Phase::Run => "run",
            Phase::Finish => "finish",
        });
        if status.paused {
            text.push_str(", paused");
        }
        if status.term_sent {
            text.push_str(", got TERM");
        }
        match (status.phase, self.exiting, status.want) {
            (Phase::Down, _, _) => {}
            (_, true, _) => text.push_str(", want exit"),
            (_, false, status::Want::Down) => text.push_str(", want down"),
            (_, false, status::Want::Up | status::Want::Once) => {}
        }
        text.push('\n');
        text
    }

    /// The process that stands in the record, and what it is.
    pub(crate) fn process(&self) -> (Phase, Option<Identity>) {
        match &self.state {
            State::Run(run) => (Phase::Run, Some(run.process)),
            State::Finish(finish) if finish.process.is_some() => (Phase::Finish, finish.process),
            State::Stopped
            | State::Loading(_)
            | State::Preparing { .. }
            | State::Finish(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal => (Phase::Down, None),
        }
    }

    /// Supervisor's name for the state. `finish` belongs to what follows it, but for FATAL, which no
    /// process belongs to; a restart that was asked for is a stop until it is a start.
    pub(super) fn shown_state(&self) -> status::State {
        match &self.state {
            State::Stopped => status::State::Stopped,
            State::Loading(_) | State::Preparing { .. } => status::State::Starting,
            State::Run(run) => match run.stage {
                Stage::Starting => status::State::Starting,
                Stage::Running => status::State::Running,
                Stage::Stopping { .. } => status::State::Stopping,
            },
            State::Finish(finish) => match finish.next {
                Next::Stopped | Next::Start => status::State::Stopping,
                Next::Exited | Next::Again => status::State::Exited,
                Next::Backoff { .. } | Next::Fatal(_) => status::State::Backoff,
            },
            State::Backoff { .. } => status::State::Backoff,
            State::Exited { .. } => status::State::Exited,
            State::Fatal => status::State::Fatal,
        }
    }

    pub(super) fn current_run(&self) -> Option<&Run> {
        let State::Run(run) = &self.state else {
            return None;
        };
        Some(run)
    }

    fn is_restarting(&self) -> bool {
        let stopped_to_start = |run: &Run| match run.stage {
            Stage::Stopping { then, .. } => then == Then::Start,
            Stage::Starting | Stage::Running => false,
        };
        match self.next() {
            Some(next) => *next == Next::Start,
            None => self.current_run().is_some_and(stopped_to_start),
        }
    }

    pub(super) fn next_start(&self) -> Option<Tai64n> {
        if let State::Backoff { label, .. } = &self.state {
            return Some(*label);
        }
        match self.next()? {
            Next::Backoff { label, .. } => Some(*label),
            Next::Stopped | Next::Exited | Next::Again | Next::Start | Next::Fatal(_) => None,
        }
    }

    /// What follows `finish`.
    fn next(&self) -> Option<&Next> {
        let State::Finish(finish) = &self.state else {
            return None;
        };
        Some(&finish.next)
    }
}
