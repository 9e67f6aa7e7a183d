//! The state machine of one service: events in, actions out, the clock an argument. No I/O.
//!
//! The states, in the words of the status record and of Supervisor's documentation:
//!
//! | state | shown as | process | leaves it |
//! |---|---|---|---|
//! | `Stopped` | STOPPED | none | `u o r`: a start |
//! | `Loading` | STARTING | none | at once: the options are read |
//! | `Preparing` | STARTING | `control/u` | its end: the run is forked |
//! | `Run`, starting | STARTING | `run` | `startsecs` passed and ready: running; an end: a failed start |
//! | `Run`, running | RUNNING | `run` | an end: `autorestart` decides |
//! | `Run`, stopping | STOPPING | `run` | an end: what the stop was for |
//! | `Finish` | what follows | `finish` | its end, then what follows; 125: FATAL |
//! | `Backoff` | BACKOFF | none | its deadline, or `u o r`: a start; `d`: STOPPED |
//! | `Exited` | EXITED | none | a second after the last start, where it is to run again; `u o r` |
//! | `Fatal` | FATAL | none | `u o r` |
//!
//! `x` (and TERM to supervise, which is `d` and `x`) makes supervise leave from any state without a
//! process. A command is never lost: what cannot be done now is kept in the state as what follows.

mod check;
mod failed_start;
mod finish;
mod health;
mod journal;
mod notice;
mod record;
mod resume;
mod run;
mod stages;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod throttle;
mod watchdog;

use std::collections::VecDeque;
use std::time::Instant;

use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::options::Options;
use servicedir::process::{Identity, World};
use servicedir::signal::Signal;
use servicedir::status::{self, End, Want};
use servicedir::tai64n::Tai64n;

use crate::event::{Action, Event, Job, Moment, Purpose};
use finish::{Finish, Next};
use journal::Journal;
use run::{Run, Then};

/// One service, as its supervise knows it.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// The options in force: the last good ones that were read.
    options: Options,
    /// `options` was read, and is not just the defaults.
    has_options: bool,
    /// What is wrong with the option files now, while `options` serve in their place.
    fault: Option<String>,
    state: State,
    want: Want,
    /// Leave when there is no process.
    exiting: bool,
    /// The machine has asked to leave, because it was told to exit.
    left: bool,
    /// As what the next start after a back-off counts: the last one failed before its options were read.
    retry: Asked,
    /// The control scripts that run, and what their ends decide.
    scripts: Vec<(Pid, Purpose)>,
    history: History,
    journal: Journal,
    actions: VecDeque<Action>,
}

/// What the record tells of the past.
#[derive(Clone, Debug)]
struct History {
    world: World,
    supervise: Pid,
    failed_starts: u32,
    total_starts: u64,
    last_start: Option<Instant>,
    last_end: Option<End>,
    group: Option<Pid>,
    run_started: Option<Tai64n>,
    run_ended: Option<Tai64n>,
    /// Why it is FATAL.
    reason: String,
    /// Why the last start could not become `./run`; it stands until one does.
    refusal: String,
    /// What the service said of itself.
    message: String,
    commands: u32,
    stamp: Tai64n,
    state_stamp: Tai64n,
    ready_stamp: Tai64n,
}

/// See the table above.
#[derive(Clone, Debug)]
enum State {
    Stopped,
    Loading(Asked),
    Preparing {
        script: Option<Pid>,
        cancelled: bool,
    },
    Run(Box<Run>),
    Finish(Finish),
    Backoff {
        until: Instant,
        label: Tai64n,
    },
    Exited {
        again: Option<Instant>,
    },
    Fatal,
}

/// Who wants a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// The new supervise, if `autostart` agrees.
    AtBegin,
    /// Somebody, who is owed an answer: a fault in the options is FATAL.
    BySomeone,
    /// The machine itself: the last good options serve.
    Automatically,
}

impl Machine {
    /// A service that was not started yet.
    pub(crate) fn new(world: World, supervise: Pid, now: Moment) -> Self {
        Self {
            options: Options::default(),
            has_options: false,
            fault: None,
            state: State::Stopped,
            want: Want::Down,
            exiting: false,
            left: false,
            retry: Asked::Automatically,
            scripts: Vec::new(),
            history: History {
                world,
                supervise,
                failed_starts: 0,
                total_starts: 0,
                last_start: None,
                last_end: None,
                group: None,
                run_started: None,
                run_ended: None,
                reason: String::new(),
                refusal: String::new(),
                message: String::new(),
                commands: 0,
                stamp: now.label,
                state_stamp: now.label,
                ready_stamp: Tai64n::default(),
            },
            journal: Journal::new(),
            actions: VecDeque::with_capacity(8),
        }
    }

    /// The options in force.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The next thing to do; its answer, if it has one, is to be given before the one after it is
    /// asked for.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes in what happened.
    pub(crate) fn step(&mut self, event: Event, now: Moment) {
        let shown = self.shown_state();
        match event {
            Event::Begin { down } => {
                self.note_supervise(status::State::Stopped, None, now);
                if !down {
                    self.start(Asked::AtBegin, now);
                }
            }
            Event::Command(command) => {
                self.history.commands = self.history.commands.wrapping_add(1);
                if let Some(command) = command {
                    self.note_command(command.byte(), now);
                    self.command(command, now);
                }
            }
            Event::Terminate => {
                self.note_terminate(now);
                self.exiting = true;
                self.down(now);
            }
            Event::Options(options) => self.options_read(options, now),
            Event::Spawned(job, process) => self.spawned(job, process, now),
            Event::NotSpawned(job, errno) => self.not_spawned(job, errno, now),
            Event::Executed => self.executed(),
            Event::Refused { why, errno } => self.refused(why, errno),
            Event::Ended(pid, end) => self.ended(pid, end, now),
            Event::GroupEmpty => self.group_empty(now),
            Event::Notice(notice) => self.notice(notice, now),
            Event::Passed => self.passed(now),
        }
        self.settle(now);
        if self.shown_state() != shown {
            self.history.state_stamp = now.label;
        }
        self.note_changes(now);
    }

    /// When [`Event::Passed`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Stopped | State::Loading(_) | State::Preparing { .. } | State::Fatal => None,
            State::Run(run) => run.deadline(&self.options),
            State::Finish(finish) => finish.kill_at.or(finish.retry_at),
            State::Backoff { until, .. } => Some(*until),
            State::Exited { again } => *again,
        }
    }

    fn command(&mut self, command: Control, now: Moment) {
        match command {
            Control::Up => self.up(Want::Up, now),
            Control::Once => self.up(Want::Once, now),
            Control::Down => self.down(now),
            Control::Restart => self.restart(now),
            Control::Exit => self.exiting = true,
            Control::Detach => {
                self.note_leave(now);
                self.actions.push_back(Action::Leave);
            }
            Control::Signal(signal) => self.signal(command, signal, now),
        }
    }

    /// `u` and `o`.
    fn up(&mut self, want: Want, now: Moment) {
        self.want = want;
        match &mut self.state {
            State::Stopped | State::Backoff { .. } | State::Exited { .. } | State::Fatal => {
                self.start(Asked::BySomeone, now);
            }
            State::Loading(asked) => *asked = Asked::BySomeone,
            State::Preparing { cancelled, .. } => *cancelled = false,
            // As in daemontools, `o` is no start while there is a process, not even after a stop.
            State::Run(run) if want == Want::Up => run.follow_stop_by(Then::Start),
            State::Run(_) => {}
            State::Finish(finish) => finish.next = Next::Start,
        }
    }

    /// `d`. What has ended for good stays as it is.
    fn down(&mut self, now: Moment) {
        self.want = Want::Down;
        match &mut self.state {
            State::Stopped | State::Fatal | State::Exited { again: None } => {}
            State::Loading(_) | State::Backoff { .. } | State::Exited { again: Some(_) } => {
                self.enter(Next::Stopped, now);
            }
            State::Preparing { script, cancelled } => {
                *cancelled = true;
                if let Some(to) = *script {
                    self.actions.push_back(Action::Signal {
                        to,
                        signal: Signal::TERM,
                        group: true,
                    });
                }
            }
            State::Run(_) => self.stop(Then::Stop, now),
            State::Finish(finish) => match finish.next {
                Next::Stopped | Next::Exited | Next::Fatal(_) => {}
                Next::Again | Next::Backoff { .. } | Next::Start => finish.next = Next::Stopped,
            },
        }
    }

    /// `r`.
    fn restart(&mut self, now: Moment) {
        match &self.state {
            State::Run(run) if run.is_stopping() => self.up(Want::Up, now),
            State::Run(_) => {
                self.want = Want::Up;
                self.stop(Then::Start, now);
            }
            State::Stopped
            | State::Loading(_)
            | State::Preparing { .. }
            | State::Finish(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal => self.up(Want::Up, now),
        }
    }

    /// The signal letters. `finish` and `control/u` take only KILL: a hung one must not be a dead end.
    fn signal(&mut self, command: Control, signal: Signal, _now: Moment) {
        let kill_only = match &self.state {
            State::Run(run) => {
                let purpose = Purpose::InsteadOf {
                    signal,
                    run: run.process.pid,
                };
                let letter = command.byte().unwrap_or_default();
                self.actions
                    .push_back(Action::Spawn(Job::Script { letter, purpose }));
                return;
            }
            State::Finish(finish) => finish.process.map(|finish| finish.pid),
            State::Preparing { script, .. } => *script,
            State::Stopped
            | State::Loading(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal => None,
        };
        if let Some(to) = kill_only.filter(|_| signal == Signal::KILL) {
            // Its children too: they would go on beside the next run.
            self.actions.push_back(Action::Signal {
                to,
                signal,
                group: true,
            });
        }
    }

    fn spawned(&mut self, job: Job, process: Identity, now: Moment) {
        match job {
            Job::Run => self.run_spawned(process, now),
            Job::Finish { .. } => self.finish_spawned(process, now),
            Job::Check => self.check_spawned(process.pid, now),
            Job::Script {
                purpose: Purpose::Start,
                ..
            } => {
                self.state = State::Preparing {
                    script: Some(process.pid),
                    cancelled: false,
                };
            }
            Job::Script { purpose, .. } => self.scripts.push((process.pid, purpose)),
        }
    }

    fn not_spawned(&mut self, job: Job, errno: Option<i32>, now: Moment) {
        match job {
            Job::Run => self.run_not_spawned(errno.unwrap_or(libc::ENOENT), now),
            Job::Finish { .. } => match errno {
                Some(errno) => self.finish_postponed(errno, now),
                None => self.finish_over(None, now),
            },
            Job::Check => self.check_not_spawned(errno, now),
            Job::Script { purpose, .. } => self.script_over(purpose, false, now),
        }
    }

    fn ended(&mut self, pid: Pid, end: End, now: Moment) {
        // The end and `startsecs` may come in one turn: then it did last so long.
        self.run_settle(now);
        self.note_changes(now);
        match &self.state {
            State::Run(run) if run.process.pid == pid && run.ended.is_none() => {
                return self.run_ended(end, now);
            }
            State::Run(run) if run.check_runs(pid) => return self.check_ended(end, now),
            State::Finish(finish) if finish.is(pid) => return self.finish_over(Some(end), now),
            State::Preparing { script, .. } if *script == Some(pid) => {
                return self.script_over(Purpose::Start, true, now);
            }
            State::Stopped
            | State::Loading(_)
            | State::Preparing { .. }
            | State::Run(_)
            | State::Finish(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal => {}
        }
        if let Some(at) = self.scripts.iter().position(|(script, _)| *script == pid) {
            let (_, purpose) = self.scripts.swap_remove(at);
            self.script_over(purpose, end == End::Exited(0), now);
        }
    }

    /// A control script is over, or was not there: it did `handle` what it stands for, or not.
    fn script_over(&mut self, purpose: Purpose, handled: bool, now: Moment) {
        match purpose {
            Purpose::Start => self.prepared(now),
            Purpose::InsteadOf { signal, run } => self.deliver(signal, run, handled, now),
            Purpose::Stop { run } => self.deliver_stop(run, handled),
            Purpose::After => {}
        }
    }

    fn passed(&mut self, now: Moment) {
        match &self.state {
            State::Run(_) => self.run_passed(now),
            State::Finish(finish) if finish.kill_at.is_some_and(|at| at <= now.clock) => {
                self.finish_passed()
            }
            State::Finish(finish) if finish.retry_at.is_some_and(|at| at <= now.clock) => {
                self.spawn_finish();
            }
            State::Backoff { until, .. } if *until <= now.clock => self.start(self.retry, now),
            State::Exited { again: Some(until) } if *until <= now.clock => {
                self.start(Asked::Automatically, now);
            }
            State::Stopped
            | State::Loading(_)
            | State::Preparing { .. }
            | State::Finish(_)
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal => {}
        }
    }

    /// What follows from the state as it is now, whatever the event was.
    fn settle(&mut self, now: Moment) {
        self.run_settle(now);
        if self.exiting && !self.left && self.is_idle() {
            self.left = true;
            self.want = Want::Down;
            self.note_changes(now);
            self.note_leave(now);
            self.actions.push_back(Action::Leave);
        }
    }

    /// There is no process, and none is about to be started.
    fn is_idle(&self) -> bool {
        match self.state {
            State::Stopped | State::Backoff { .. } | State::Exited { .. } | State::Fatal => true,
            State::Loading(_) | State::Preparing { .. } | State::Run(_) | State::Finish(_) => false,
        }
    }
}
