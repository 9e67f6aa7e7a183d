//! The lines of the journal that the machine asks for: changes, found by comparing the state with that
//! of the last line, and what changes no state.

use rustix::process::Pid;
use servicedir::journal::Entry;
use servicedir::signal::Signal;
use servicedir::status::{self, End};
use servicedir::tai64n::Tai64n;

use super::Machine;
use crate::event::Moment;

/// The lines that are to be written, and what the last one said.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    /// The number of the last line. A line that cannot be written keeps its number, so that readers
    /// see the gap.
    pub(super) number: u64,
    lines: Vec<Entry>,
    state: status::State,
    ready: bool,
    paused: bool,
    fault: Option<String>,
    /// How the run ended, until a line has told it.
    ended: Option<Ended>,
    /// Why a stop was begun that nobody asked for, until a line has told it.
    why: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    pid: Option<Pid>,
    end: End,
    expected: bool,
}

impl Journal {
    /// A journal without lines, of a service that is down.
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            lines: Vec::new(),
            state: status::State::Stopped,
            ready: false,
            paused: false,
            fault: None,
            ended: None,
            why: None,
        }
    }

    fn push(&mut self, stamp: Tai64n, change: impl FnOnce(&mut Entry)) {
        self.number = self.number.wrapping_add(1);
        let mut entry = Entry::new(stamp, self.number, self.state);
        change(&mut entry);
        self.lines.push(entry);
    }

    /// supervise sends a signal that nobody asked for.
    pub(super) fn note_sent(&mut self, pid: Pid, signal: Signal, now: Moment) {
        self.push(now.label, |line| {
            line.pid = Some(pid);
            line.sent = Some(signal);
        });
    }

    /// A run of `check` has failed while the service was up.
    pub(super) fn note_failed_check(&mut self, failures: u32, end: End, now: Moment) {
        self.push(now.label, |line| {
            line.failed_checks = Some(failures);
            line.end = Some(end);
        });
    }

    /// A run has ended, or there was none (`pid` is none): the next line says so.
    pub(super) fn note_end(&mut self, pid: Option<Pid>, end: End, expected: bool) {
        self.ended = Some(Ended { pid, end, expected });
    }

    /// The reason of the stop that begins.
    pub(super) fn note_why(&mut self, why: &str) {
        self.why = Some(why.to_owned());
    }
}

impl Machine {
    /// The lines that have come up since the last call, the oldest first.
    pub(crate) fn take_journal(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.journal.lines)
    }

    /// The last line of the journal, which another supervise has written.
    pub(crate) fn journal_ends(&mut self, number: u64, state: status::State) {
        self.journal.number = number;
        self.journal.state = state;
    }

    /// Goes on where the record ends. The journal may be ahead of it: a supervise that was killed after
    /// it had written a line had not replaced its status yet, and what the line tells happens again.
    pub(super) fn resume_journal(&mut self, record: &status::Record, paused: bool) {
        if record.journal >= self.journal.number {
            self.journal_ends(record.journal, record.state);
        }
        self.journal.ready = record.ready;
        self.journal.paused = paused;
        if record.options_fault {
            self.journal.fault = Some(record.reason.clone());
        }
    }

    /// This supervise takes up the service in this state; `run` is what it adopts.
    pub(super) fn note_supervise(&mut self, state: status::State, run: Option<Pid>, now: Moment) {
        let supervise = self.history.supervise;
        let before = std::mem::replace(&mut self.journal.state, state);
        self.journal.push(now.label, |line| {
            line.from = (state != before).then_some(before);
            line.supervise = Some(supervise);
            line.pid = run;
            line.adopted = run.is_some();
        });
    }

    /// A byte came through the control FIFO.
    pub(super) fn note_command(&mut self, byte: Option<u8>, now: Moment) {
        if byte.is_some() {
            self.journal.push(now.label, |line| line.command = byte);
        }
    }

    /// TERM or INT came to supervise itself.
    pub(super) fn note_terminate(&mut self, now: Moment) {
        self.journal.push(now.label, |line| line.terminated = true);
    }

    /// This supervise exits.
    pub(super) fn note_leave(&mut self, now: Moment) {
        self.journal.push(now.label, |line| line.left = true);
    }

    /// Adds a line if anything is not as the last line left it.
    pub(super) fn note_changes(&mut self, now: Moment) {
        let state = self.shown_state();
        let run = self.current_run();
        let ready = run.is_some_and(|run| run.ready && !run.is_stopping());
        let paused = run.is_some_and(|run| run.paused);
        let before = self.journal.state;
        let fault_is_new = self.fault != self.journal.fault;
        if state == before
            && ready == self.journal.ready
            && paused == self.journal.paused
            && !(fault_is_new && self.fault.is_some())
        {
            return;
        }
        let pid = run.map(|run| run.process.pid);
        let (tries, next_start) = (self.tries(state), self.next_start());
        let reason = self.journal_reason(state, fault_is_new);
        let journal = &mut self.journal;
        let was = (journal.ready, journal.paused);
        journal.state = state;
        journal.ready = ready;
        journal.paused = paused;
        journal.fault.clone_from(&self.fault);
        let ended = journal.ended.take();
        journal.push(now.label, |line| {
            line.from = (state != before).then_some(before);
            line.pid = pid;
            if let Some(ended) = ended {
                line.pid = ended.pid;
                line.end = Some(ended.end);
                line.expected = (state == status::State::Exited).then_some(ended.expected);
            }
            line.tries = tries.filter(|_| state != before);
            line.next_start = next_start.filter(|_| state != before);
            line.ready = (ready != was.0).then_some(ready);
            line.paused = (paused != was.1).then_some(paused);
            line.reason = reason;
        });
    }

    /// Failed starts in a row, for the states in which they count.
    fn tries(&self, state: status::State) -> Option<u32> {
        match state {
            status::State::Starting | status::State::Backoff | status::State::Fatal => {
                Some(self.history.failed_starts)
            }
            status::State::Stopped
            | status::State::Running
            | status::State::Stopping
            | status::State::Exited => None,
        }
    }

    /// Why the state is what it is, in words; empty where there is nothing to tell.
    fn journal_reason(&mut self, state: status::State, fault_is_new: bool) -> String {
        if let Some(why) = self.journal.why.take() {
            return why;
        }
        match (state, &self.fault) {
            (status::State::Fatal, _) => self.history.reason.clone(),
            (_, Some(fault)) if fault_is_new => fault.clone(),
            (status::State::Backoff, _) => self.history.refusal.clone(),
            _ => String::new(),
        }
    }
}
