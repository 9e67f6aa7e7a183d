//! Which process is the daemon, who gets which signal, and when it is over: events in, actions out.
//!
//! - Unnamed: the pid file names no process of ours yet. Signals go to the command; once that has
//!   ended well, to all that it left. It is over when nothing is left, when the command failed, and
//!   when the time for the pid file has passed.
//! - Up: signals go to the daemon. Another process of ours in the pid file becomes the daemon.
//! - Ended: the daemon has ended, and something else is left. Where a successor is thinkable (the
//!   daemon exited 0 without being told to stop, as one does that re-executes itself by a fork; or the
//!   daemon before it still lives), it has a little time to appear in the pid file.
//! - Sweeping: TERM (or the stop signal that came in) has been sent to the rest, and KILL follows,
//!   unless the daemon was told to stop before it was known: then it has the time that it needs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::foreground::is_stop;
use servicedir::signal::Signal;
use servicedir::status::End;

use crate::event::{Action, Event, Leave, Left, Target, Whose};

/// How long a daemon's successor may take to write its pid file, and what is left of a daemon to end
/// after TERM: a daemon that does nothing unusual needs neither.
const GRACE: Duration = Duration::from_secs(5);

/// After a KILL, the next one, for what was forked in between.
const KILL_AGAIN: Duration = Duration::from_millis(200);

/// How many ends are remembered while no daemon is named, in case that the pid file names one of them.
const REMEMBERED: usize = 64;

/// What the command line says of the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rules {
    /// How long the pid file may take to name a process.
    pub(crate) timeout: Option<Duration>,
    /// What is left after the daemon's end is left alone.
    pub(crate) leave_rest: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unnamed {
        until: Option<Instant>,
    },
    Up {
        daemon: Pid,
    },
    Ended {
        until: Instant,
        end: End,
    },
    Sweeping {
        until: Option<Instant>,
        leave: Leave,
        successor: bool,
    },
    Over,
}

/// All that pidproxy knows.
#[derive(Debug)]
pub(crate) struct Machine {
    rules: Rules,
    state: State,
    /// The command, until it has ended.
    command: Option<Pid>,
    /// How it ended.
    command_end: Option<End>,
    /// The last ends while no daemon was named, the newest first.
    recent: VecDeque<(Pid, End)>,
    /// The daemon before the last one.
    earlier: Option<Pid>,
    /// The daemon is to stop, because of this signal.
    stop: Option<Signal>,
    /// All that was left got that signal.
    rest_told: bool,
    /// Signals that came while there was no daemon any more, for its successor.
    held: Vec<Signal>,
    /// The last foreign pid that there was a warning about.
    foreign: Option<Pid>,
    actions: VecDeque<Action>,
}

impl Machine {
    /// The machine of a command that was just started.
    pub(crate) fn new(command: Pid, rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            state: State::Unnamed {
                until: rules.timeout.and_then(|timeout| now.checked_add(timeout)),
            },
            command: Some(command),
            command_end: None,
            recent: VecDeque::new(),
            earlier: None,
            stop: None,
            rest_told: false,
            held: Vec::new(),
            foreign: None,
            actions: VecDeque::new(),
        }
    }

    /// When `Passed` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Unnamed { until } | State::Sweeping { until, .. } => until,
            State::Ended { until, .. } => Some(until),
            State::Up { .. } | State::Over => None,
        }
    }

    /// The next thing to do.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Takes in an event.
    pub(crate) fn step(&mut self, event: Event, now: Instant) {
        if self.state == State::Over {
            return;
        }
        match event {
            Event::Named(pid, whose) => self.named(pid, whose, now),
            Event::Ended(pid, end) => self.ended(pid, end, now),
            Event::Signalled(signal) => self.signalled(signal),
            Event::Left(left) => self.counted(left, now),
            Event::Passed => self.passed(now),
        }
    }

    fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    fn count(&mut self) {
        let earlier = self.earlier;
        self.act(Action::Count { earlier });
    }

    fn named(&mut self, pid: Pid, whose: Whose, now: Instant) {
        match whose {
            Whose::Ours => match self.state {
                State::Up { daemon } if daemon == pid => {}
                State::Up { daemon } => {
                    self.earlier = Some(daemon);
                    self.follow(pid);
                }
                State::Sweeping {
                    successor: false, ..
                }
                | State::Over => {}
                State::Unnamed { .. } | State::Ended { .. } | State::Sweeping { .. } => {
                    self.follow(pid);
                }
            },
            Whose::Foreign if self.foreign != Some(pid) => {
                self.foreign = Some(pid);
                let pid = pid.as_raw_nonzero();
                self.act(Action::Warn(format!(
                    "process {pid} does not come from the command: it gets no signals"
                )));
            }
            Whose::Foreign => {}
            Whose::Gone => self.named_too_late(pid, now),
        }
    }

    /// The pid file names a process that may have ended before we looked.
    fn named_too_late(&mut self, pid: Pid, now: Instant) {
        let ended = self.recent.iter().find(|(other, _)| *other == pid);
        if let (State::Unnamed { .. }, Some((_, end))) = (self.state, ended) {
            self.daemon_ended(*end, now);
        }
    }

    fn follow(&mut self, pid: Pid) {
        self.state = State::Up { daemon: pid };
        self.rest_told = false;
        self.act(Action::Follow(pid));
        let held = std::mem::take(&mut self.held);
        // A daemon that comes when it is to stop is told so.
        let missed = self.stop.into_iter().chain(held);
        for signal in missed {
            self.act(Action::Send(Target::Daemon, signal));
        }
    }

    fn ended(&mut self, pid: Pid, end: End, now: Instant) {
        let is_command = self.command == Some(pid);
        if is_command {
            self.command = None;
            self.command_end = Some(end);
        }
        match self.state {
            State::Unnamed { .. } => {
                self.recent.truncate(REMEMBERED - 1);
                self.recent.push_front((pid, end));
                if self.command.is_none() {
                    // Whatever the pid file says now was written before that end.
                    self.act(Action::Look);
                    self.count();
                }
            }
            State::Up { daemon } if daemon == pid => self.daemon_ended(end, now),
            State::Ended { .. } | State::Sweeping { .. } => self.count(),
            State::Up { .. } | State::Over => {}
        }
    }

    fn daemon_ended(&mut self, end: End, now: Instant) {
        self.state = State::Ended {
            until: now + GRACE,
            end,
        };
        self.act(Action::Look);
        self.count();
    }

    fn signalled(&mut self, signal: Signal) {
        if is_stop(signal) {
            self.stop = Some(signal);
            self.rest_told = false;
        }
        match self.state {
            State::Unnamed { .. } if self.command.is_some() => {
                self.act(Action::Send(Target::Command, signal));
            }
            State::Unnamed { .. } | State::Sweeping { .. } => {
                self.rest_told |= is_stop(signal);
                self.act(Action::Send(Target::All, signal));
            }
            State::Up { .. } => self.act(Action::Send(Target::Daemon, signal)),
            State::Ended { .. } => {
                if !is_stop(signal) && !self.held.contains(&signal) {
                    self.held.push(signal);
                }
                // A stop: no successor is waited for any more.
                self.count();
            }
            State::Over => {}
        }
    }

    fn counted(&mut self, left: Left, now: Instant) {
        match self.state {
            State::Unnamed { .. } => self.counted_unnamed(left, now),
            State::Ended { end, .. } => {
                let to_come = left.earlier
                    || left.beside_command && matches!(end, End::Exited(0) | End::Unknown);
                if !left.any || self.rules.leave_rest && (self.stop.is_some() || !to_come) {
                    self.leave(Leave::Code(self.code_of(end)));
                } else if self.stop.is_some() || !to_come {
                    self.sweep(Leave::Code(self.code_of(end)), true, Some(now + GRACE));
                }
            }
            State::Sweeping { leave, .. } if !left.any => self.leave(leave),
            State::Sweeping { .. } | State::Up { .. } | State::Over => {}
        }
    }

    fn counted_unnamed(&mut self, left: Left, now: Instant) {
        // While the command runs there is nothing to conclude.
        let Some(end) = self.command_end else {
            return;
        };
        let failed = end != End::Exited(0);
        match left.any {
            false if failed => self.leave(Leave::Code(self.code_of(end))),
            false => {
                if self.stop.is_none() {
                    self.act(Action::Warn(
                        "the command has ended without a pid file, and left no process".to_owned(),
                    ));
                }
                // A daemon that fails at once does so beside its launcher's forks.
                let failed = self.recent.iter().find(|(_, end)| *end != End::Exited(0));
                let last = failed.map_or(end, |(_, end)| *end);
                self.leave(Leave::Code(last.shell_code()));
            }
            true if failed || self.stop.is_some() => {
                let until = self.stop.is_none().then_some(now + GRACE);
                self.sweep(Leave::Code(self.code_of(end)), false, until);
            }
            true => {}
        }
    }

    fn passed(&mut self, now: Instant) {
        match self.state {
            State::Unnamed { .. } => {
                self.sweep(Leave::TimedOut, false, Some(now + GRACE));
                self.count();
            }
            State::Ended { end, .. } => {
                let leave = Leave::Code(self.code_of(end));
                if self.rules.leave_rest {
                    self.leave(leave);
                } else {
                    self.sweep(leave, true, Some(now + GRACE));
                }
            }
            State::Sweeping { leave, .. } => {
                self.act(Action::Send(Target::All, Signal::KILL));
                self.state = State::Sweeping {
                    until: Some(now + KILL_AGAIN),
                    leave,
                    successor: false,
                };
                self.count();
            }
            State::Up { .. } | State::Over => {}
        }
    }

    /// Ends all that is left. With `successor`, a process of ours that appears in the pid file even
    /// now becomes the daemon: mysqld_safe minds no TERM, and starts another mysqld.
    fn sweep(&mut self, leave: Leave, successor: bool, until: Option<Instant>) {
        if !self.rest_told {
            self.rest_told = true;
            let signal = self.stop.unwrap_or(Signal::TERM);
            self.act(Action::Send(Target::All, signal));
            self.act(Action::Send(Target::All, Signal::CONT));
        }
        self.state = State::Sweeping {
            until,
            leave,
            successor,
        };
    }

    fn leave(&mut self, leave: Leave) {
        self.state = State::Over;
        self.act(Action::Leave(leave));
    }

    /// The code to pass on: of an end that nobody saw, the command's own is the best that is known.
    fn code_of(&self, end: End) -> u8 {
        match (end, self.command_end) {
            (End::Unknown, Some(command)) => command.shell_code(),
            _ => end.shell_code(),
        }
    }
}

#[cfg(test)]
mod tests;
