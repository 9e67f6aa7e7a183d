//! Which process gets which signal, and which code is passed on: events in, actions out.
//!
//! A stop signal (TERM, INT, QUIT) and CONT go to all that is left, parents first; every other signal
//! goes to those that have no parent left but us, the roots: the command while it runs, then the
//! daemon, which has workers of its own to tell. After a stop signal, what a root leaves behind
//! becomes a root, and gets that signal then, once.

use std::collections::VecDeque;

use rustix::process::Pid;
use servicedir::foreground::is_stop;
use servicedir::kin::Kin;
use servicedir::signal::Signal;
use servicedir::status::End;

/// What has happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A signal came in.
    Signalled(Signal),
    /// The answer to [`Action::Look`]: all that came from the command and lives.
    Left(Vec<Kin>),
    /// Children ended: the command, or orphans of its descent; the oldest child first.
    Ended(Vec<(Pid, End)>),
    /// Nothing that came from the command is left.
    Alone,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Find out what is left.
    Look,
    /// Send a signal to one of those that were found.
    Send(Kin, Signal),
    /// Exit with this code.
    Leave(u8),
}

/// All that fghack knows.
#[derive(Debug)]
pub(crate) struct Machine {
    own: Pid,
    command: Pid,
    /// How the command ended, once it has.
    command_end: Option<End>,
    /// How the last of them ended.
    last: Option<End>,
    /// Signals that wait for an answer to `Look`.
    pending: Vec<Signal>,
    /// The last stop signal, and who got it.
    stop: Option<(Signal, Vec<Pid>)>,
    actions: VecDeque<Action>,
}

impl Machine {
    /// The machine of the process `own` that has started `command`.
    pub(crate) fn new(own: Pid, command: Pid) -> Self {
        Self {
            own,
            command,
            command_end: None,
            last: None,
            pending: Vec::new(),
            stop: None,
            actions: VecDeque::new(),
        }
    }

    /// Takes in an event.
    pub(crate) fn step(&mut self, event: Event) {
        match event {
            Event::Signalled(signal) => {
                if is_stop(signal) {
                    self.stop = Some((signal, Vec::new()));
                }
                self.pending.push(signal);
                self.actions.push_back(Action::Look);
            }
            Event::Left(left) => self.tell(&left),
            Event::Ended(ends) => self.ended(&ends),
            Event::Alone => self.actions.push_back(Action::Leave(self.code())),
        }
    }

    /// The next thing to do.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn ended(&mut self, ends: &[(Pid, End)]) {
        self.last = self.last_of(ends).or(self.last);
        for (pid, end) in ends {
            if *pid == self.command && self.command_end.is_none() {
                self.command_end = Some(*end);
            }
            if let Some((_, told)) = &mut self.stop {
                // Its pid may belong to another process from now on.
                told.retain(|other| other != pid);
            }
        }
        if self.stop.is_some() {
            self.actions.push_back(Action::Look);
        }
    }

    /// Which of those that were found ended together counts as the last one.
    ///
    /// The kernel does not tell their order. The command ended first. Then one that failed counts
    /// before one that did not, since a daemon that fails at once does so beside its launcher's forks;
    /// being ended by the stop signal is no failure. Then the oldest child counts: what a daemon
    /// left behind as a zombie had ended before it, and became our child after it.
    fn last_of(&self, ends: &[(Pid, End)]) -> Option<End> {
        let stop = self.stop.as_ref().map(|(signal, _)| *signal);
        let has_failed = |end: &End| match end {
            End::Exited(code) => *code != 0,
            End::Killed { signal, .. } => Some(*signal) != stop,
            End::NotStarted(_) | End::Unknown => false,
        };
        let is_command = |pid: &Pid| *pid == self.command && self.command_end.is_none();
        let others = || ends.iter().filter(|(pid, _)| !is_command(pid));
        let chosen = others()
            .find(|(_, end)| has_failed(end))
            .or_else(|| others().next())
            .or(ends.first());
        chosen.map(|(_, end)| *end)
    }

    fn tell(&mut self, left: &[Kin]) {
        let own = self.own;
        for signal in std::mem::take(&mut self.pending) {
            let to_all = is_stop(signal) || signal == Signal::CONT;
            for kin in left.iter().filter(|kin| to_all || kin.parent == own) {
                self.actions.push_back(Action::Send(*kin, signal));
            }
            if let Some((stop, told)) = &mut self.stop
                && *stop == signal
            {
                *told = left.iter().map(|kin| kin.pid).collect();
            }
        }
        let Some((stop, told)) = &mut self.stop else {
            return;
        };
        told.retain(|pid| left.iter().any(|kin| kin.pid == *pid));
        for kin in left {
            if kin.parent == own && !told.contains(&kin.pid) {
                told.push(kin.pid);
                self.actions.push_back(Action::Send(*kin, *stop));
            }
        }
    }

    /// The command's own code if it failed; else that of the last one that ended.
    fn code(&self) -> u8 {
        let failed = self.command_end.filter(|end| *end != End::Exited(0));
        failed.or(self.last).map_or(0, End::shell_code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i32 = 10;
    const COMMAND: i32 = 11;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    fn left(kin: &[(i32, i32)]) -> Event {
        Event::Left(kin.iter().map(|(pid, parent)| one(*pid, *parent)).collect())
    }

    fn one(own: i32, parent: i32) -> Kin {
        Kin {
            pid: pid(own),
            start: 0,
            parent: pid(parent),
        }
    }

    /// What is to be sent, to be compared by pid.
    #[derive(PartialEq, Eq, Debug)]
    enum Wanted {
        Look,
        Send(i32, Signal),
        Leave(u8),
    }

    fn send(to: i32, signal: Signal) -> Wanted {
        Wanted::Send(to, signal)
    }

    #[track_caller]
    fn check(script: &[(Event, &[Wanted])]) {
        let mut machine = Machine::new(pid(OWN), pid(COMMAND));
        for (line, (event, wanted)) in script.iter().enumerate() {
            machine.step(event.clone());
            let actions: Vec<Wanted> = std::iter::from_fn(|| machine.next_action())
                .map(|action| match action {
                    Action::Look => Wanted::Look,
                    Action::Send(kin, signal) => send(kin.pid.as_raw_nonzero().get(), signal),
                    Action::Leave(code) => Wanted::Leave(code),
                })
                .collect();
            assert_eq!(&actions, wanted, "line {line}: {event:?}");
        }
    }

    #[test]
    fn a_stop_signal_goes_to_all_and_any_other_to_the_roots() {
        check(&[
            (Event::Signalled(Signal::HUP), &[Wanted::Look]),
            (left(&[(20, OWN), (21, 20)]), &[send(20, Signal::HUP)]),
            (Event::Signalled(Signal::TERM), &[Wanted::Look]),
            (
                left(&[(20, OWN), (21, 20)]),
                &[send(20, Signal::TERM), send(21, Signal::TERM)],
            ),
            (Event::Signalled(Signal::CONT), &[Wanted::Look]),
            (
                left(&[(20, OWN), (21, 20)]),
                &[send(20, Signal::CONT), send(21, Signal::CONT)],
            ),
        ]);
    }

    #[test]
    fn an_orphan_gets_the_stop_signal_once() {
        check(&[
            (Event::Signalled(Signal::TERM), &[Wanted::Look]),
            (
                left(&[(20, OWN), (21, 20)]),
                &[send(20, Signal::TERM), send(21, Signal::TERM)],
            ),
            (
                Event::Ended(vec![(pid(20), End::Exited(0))]),
                &[Wanted::Look],
            ),
            // 21 was told before; 22 was forked after; 23 is what 22 runs to clean up.
            (
                left(&[(21, OWN), (22, OWN), (23, 22)]),
                &[send(22, Signal::TERM)],
            ),
            (
                Event::Ended(vec![(pid(21), End::Exited(0))]),
                &[Wanted::Look],
            ),
            (left(&[(22, OWN), (23, 22)]), &[]),
        ]);
    }

    #[test]
    fn a_second_stop_signal_goes_to_all_again() {
        check(&[
            (Event::Signalled(Signal::TERM), &[Wanted::Look]),
            (left(&[(20, OWN)]), &[send(20, Signal::TERM)]),
            (Event::Signalled(Signal::QUIT), &[Wanted::Look]),
            (left(&[(20, OWN)]), &[send(20, Signal::QUIT)]),
        ]);
    }

    #[test]
    fn two_signals_at_once_are_both_sent() {
        check(&[
            (Event::Signalled(Signal::TERM), &[Wanted::Look]),
            (Event::Signalled(Signal::CONT), &[Wanted::Look]),
            (
                left(&[(20, OWN)]),
                &[send(20, Signal::TERM), send(20, Signal::CONT)],
            ),
            (left(&[(20, OWN)]), &[]),
        ]);
    }

    #[test]
    fn the_code_is_that_of_the_last_one() {
        check(&[
            (Event::Ended(vec![(pid(COMMAND), End::Exited(0))]), &[]),
            (Event::Ended(vec![(pid(20), End::Exited(4))]), &[]),
            (Event::Ended(vec![(pid(21), End::Exited(5))]), &[]),
            (Event::Alone, &[Wanted::Leave(5)]),
        ]);
    }

    #[test]
    fn of_those_that_ended_together_the_daemon_counts() {
        let killed = |signal| End::Killed {
            signal,
            core: false,
        };
        let of = |stop: &[Signal], ends: &[(i32, End)]| {
            let mut machine = Machine::new(pid(OWN), pid(COMMAND));
            for signal in stop {
                machine.step(Event::Signalled(*signal));
            }
            let ends = ends.iter().map(|(number, end)| (pid(*number), *end));
            machine.step(Event::Ended(ends.collect()));
            machine.code()
        };
        // It failed at once, beside its launcher and a fork on the way.
        let at_once = [(COMMAND, 0), (20, 0), (21, 1)].map(|(pid, code)| (pid, End::Exited(code)));
        assert_eq!(of(&[], &at_once), 1);
        // It was stopped, and had not reaped its worker.
        let stopped = [(20, End::Exited(0)), (21, killed(Signal::TERM))];
        assert_eq!(of(&[Signal::TERM], &stopped), 0);
        let stopped = [(20, End::Exited(3)), (21, killed(Signal::TERM))];
        assert_eq!(of(&[Signal::TERM], &stopped), 3);
        let crashed = [(20, killed(Signal::QUIT)), (21, End::Exited(0))];
        assert_eq!(of(&[], &crashed), 131);
    }

    #[test]
    fn the_code_of_a_command_that_failed_comes_first() {
        check(&[
            (Event::Ended(vec![(pid(COMMAND), End::Exited(3))]), &[]),
            (Event::Ended(vec![(pid(20), End::Exited(0))]), &[]),
            // The command's pid, used again.
            (Event::Ended(vec![(pid(COMMAND), End::Exited(0))]), &[]),
            (Event::Alone, &[Wanted::Leave(3)]),
        ]);
        let killed = End::Killed {
            signal: Signal::TERM,
            core: false,
        };
        check(&[
            (Event::Ended(vec![(pid(COMMAND), killed)]), &[]),
            (Event::Alone, &[Wanted::Leave(143)]),
        ]);
    }
}
