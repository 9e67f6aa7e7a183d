//! What a service tells of itself, and what follows from it, on a made-up clock.

use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::options::{Autorestart, Options, Ready};
use servicedir::process::{Identity, World};
use servicedir::signal::Signal;
use servicedir::status::{End, State, Status};
use servicedir::tai64n::Tai64n;

use super::super::Machine;
use crate::event::{Action, Event, Job, Moment, Notice};

/// The pids of the runs are counted up from here.
const RUN: i32 = 100;

/// The end of a process that was aborted.
const ABORTED: End = End::Killed {
    signal: Signal::ABRT,
    core: false,
};

/// A machine with a `ready: notify` service whose programs start at once, and which has no scripts.
struct Scene {
    machine: Machine,
    options: Options,
    begin: Instant,
    at: Duration,
    runs: i32,
    /// There is a `control/t`, of this pid.
    script: Option<i32>,
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn identity(pid: i32) -> Identity {
    Identity {
        pid: Pid::from_raw(pid).unwrap(),
        start: 1,
    }
}

impl Scene {
    fn new(options: Options) -> Self {
        let begin = Instant::now();
        let now = Moment {
            clock: begin,
            label: Tai64n::from_unix(0, 0),
        };
        let machine = Machine::new(World::default(), identity(1).pid, now);
        Self {
            machine,
            options: Options {
                ready: Ready::Notify,
                ..options
            },
            begin,
            at: Duration::ZERO,
            runs: 0,
            script: None,
        }
    }

    /// A service that was started at 0 and is RUNNING at 1 s.
    fn running(options: Options) -> Self {
        let mut scene = Self::new(options);
        scene.started();
        scene.say(500, Notice::Ready);
        scene.pass(1000);
        scene.is(State::Running);
        scene
    }

    fn started(&mut self) {
        self.happen(0, Event::Begin { down: false });
        self.happen(0, Event::Executed);
        self.is(State::Starting);
    }

    fn now(&self) -> Moment {
        Moment {
            clock: self.begin + self.at,
            label: Tai64n::from_unix(self.at.as_secs(), self.at.subsec_nanos()),
        }
    }

    /// Lets an event happen at this time, and gives what the shell is to do of it.
    fn happen(&mut self, at: u64, event: Event) -> Vec<Action> {
        self.at = ms(at);
        self.machine.step(event, self.now());
        let mut done = Vec::new();
        while let Some(action) = self.machine.next_action() {
            let answer = match &action {
                Action::ReadOptions => Some(Event::Options(Ok(Box::new(self.options.clone())))),
                Action::Spawn(Job::Run) => {
                    self.runs += 1;
                    Some(Event::Spawned(Job::Run, identity(RUN + self.runs)))
                }
                Action::Spawn(job @ Job::Script { letter: b't', .. }) if self.script.is_some() => {
                    Some(Event::Spawned(*job, identity(self.script.unwrap())))
                }
                Action::Spawn(job) => Some(Event::NotSpawned(*job, None)),
                Action::AwaitGroup(_) => Some(Event::GroupEmpty),
                Action::Release | Action::Signal { .. } | Action::Warn(_) | Action::Leave => None,
            };
            match action {
                Action::Signal { .. } | Action::Spawn(Job::Run) => done.push(action),
                Action::ReadOptions
                | Action::Spawn(_)
                | Action::Release
                | Action::AwaitGroup(_)
                | Action::Warn(_)
                | Action::Leave => {}
            }
            if let Some(answer) = answer {
                self.machine.step(answer, self.now());
            }
        }
        done
    }

    fn say(&mut self, at: u64, notice: Notice) -> Vec<Action> {
        self.happen(at, Event::Notice(notice))
    }

    /// Lets the time pass; the machine must have asked to be woken by then.
    #[track_caller]
    fn pass(&mut self, at: u64) -> Vec<Action> {
        assert_eq!(self.due(), Some(at), "the deadline");
        self.happen(at, Event::Passed)
    }

    /// When the machine wants to be woken, in milliseconds.
    fn due(&self) -> Option<u64> {
        let due = self.machine.deadline()?.duration_since(self.begin);
        Some(due.as_millis().try_into().unwrap())
    }

    #[track_caller]
    fn is(&self, state: State) {
        assert_eq!(self.status().record.unwrap().state, state);
    }

    fn status(&self) -> Status {
        self.machine.status()
    }

    fn ready(&self) -> bool {
        self.status().record.unwrap().ready
    }
}

fn signal(pid: i32, signal: Signal) -> Action {
    Action::Signal {
        to: identity(pid).pid,
        signal,
        group: false,
    }
}

/// What a watchdog does to a run that does not feed it.
fn abort(pid: i32) -> Vec<Action> {
    [Signal::ABRT, Signal::CONT]
        .map(|name| signal(pid, name))
        .to_vec()
}

fn watchdog(milliseconds: u64) -> Notice {
    Notice::WatchdogInterval(Some(ms(milliseconds)))
}

#[test]
fn a_service_is_running_when_startsecs_have_passed_and_it_has_said_ready() {
    let mut scene = Scene::new(Options::default());
    scene.started();
    assert_eq!(scene.due(), None, "nothing is awaited but the service");
    scene.say(400, Notice::Ready);
    scene.is(State::Starting);
    assert!(scene.ready());
    scene.pass(1000);
    scene.is(State::Running);
    assert_eq!(scene.due(), None);
}

#[test]
fn a_service_that_reloads_is_not_ready_until_it_says_so_again() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, Notice::Reloading);
    assert!(!scene.ready());
    scene.is(State::Running);
    scene.say(3000, Notice::Ready);
    assert!(scene.ready());
    let stamp = scene.status().record.unwrap().ready_stamp;
    assert_eq!(stamp, Tai64n::from_unix(3, 0));
    scene.say(4000, Notice::Stopping);
    assert!(!scene.ready());
}

#[test]
fn what_a_service_says_of_itself_stands_in_the_record_until_the_next_start() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, Notice::Status("3 of 4 disks".to_owned()));
    assert_eq!(scene.status().record.unwrap().message, "3 of 4 disks");
    scene.say(2000, Notice::Errno(libc::ENOSPC));
    assert_eq!(
        scene.status().record.unwrap().message,
        "no space left on device"
    );
    scene.happen(3000, Event::Ended(identity(RUN + 1).pid, End::Exited(1)));
    assert_eq!(scene.runs, 2);
    assert_eq!(scene.status().record.unwrap().message, "");
}

#[test]
fn a_watchdog_that_is_fed_lets_its_service_be() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, watchdog(500));
    for at in [2400, 2800, 3200] {
        assert_eq!(scene.say(at, Notice::WatchdogFed), []);
    }
    assert_eq!(scene.due(), Some(3700));
    scene.is(State::Running);
    scene.say(3300, Notice::WatchdogInterval(None));
    assert_eq!(scene.due(), None);
    scene.say(3400, Notice::WatchdogFed);
    assert_eq!(scene.due(), None, "feeding sets no interval");
}

#[test]
fn a_watchdog_that_is_not_fed_aborts_and_restarts_its_service() {
    let mut scene = Scene::running(Options {
        stopwaitsecs: Some(ms(10_000)),
        ..Options::default()
    });
    scene.say(2000, watchdog(500));
    assert_eq!(scene.pass(2500), abort(RUN + 1));
    scene.is(State::Stopping);
    let stop = [Signal::TERM, Signal::CONT].map(|name| signal(RUN + 1, name));
    assert_eq!(scene.pass(3500), stop);
    assert_eq!(scene.pass(13_500), [signal(RUN + 1, Signal::KILL)]);
    let next = scene.happen(14_000, Event::Ended(identity(RUN + 1).pid, ABORTED));
    assert_eq!(next, [Action::Spawn(Job::Run)]);
    assert_eq!(scene.due(), None, "the next run has promised nothing");
}

#[test]
fn autorestart_decides_what_follows_a_watchdog() {
    for (autorestart, runs) in [
        (Autorestart::Always, 2),
        (Autorestart::Unexpected, 2),
        (Autorestart::Never, 1),
    ] {
        let mut scene = Scene::running(Options {
            autorestart,
            ..Options::default()
        });
        assert_eq!(scene.say(2000, Notice::WatchdogTrigger), abort(RUN + 1));
        // Even with an exit code that is expected: nobody expected this end.
        scene.happen(2100, Event::Ended(identity(RUN + 1).pid, End::Exited(0)));
        assert_eq!(scene.runs, runs, "{autorestart:?}");
    }
}

#[test]
fn a_watchdog_before_the_service_is_ready_is_a_failed_start() {
    let mut scene = Scene::new(Options {
        startretries: Some(0),
        ..Options::default()
    });
    scene.started();
    scene.say(100, watchdog(500));
    assert_eq!(scene.pass(600), abort(RUN + 1));
    scene.happen(700, Event::Ended(identity(RUN + 1).pid, ABORTED));
    scene.is(State::Fatal);
}

#[test]
fn a_stop_that_goes_on_is_not_aborted_by_the_watchdog() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, watchdog(500));
    scene.happen(2100, Event::Command(Some(Control::Down)));
    assert_eq!(scene.due(), None);
    assert_eq!(scene.say(2200, Notice::WatchdogTrigger), []);
    scene.happen(2300, Event::Ended(identity(RUN + 1).pid, ABORTED));
    scene.is(State::Stopped);
}

#[test]
fn a_stop_that_comes_after_the_abort_sends_its_signal_once() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, Notice::WatchdogTrigger);
    let stop = scene.happen(2100, Event::Command(Some(Control::Down)));
    assert_eq!(
        stop,
        [Signal::TERM, Signal::CONT].map(|name| signal(RUN + 1, name))
    );
    assert_eq!(scene.due(), None);
    scene.happen(2300, Event::Ended(identity(RUN + 1).pid, ABORTED));
    scene.is(State::Stopped);
}

#[test]
fn an_abort_is_followed_by_a_stop_under_the_next_supervise() {
    let mut before = Scene::running(Options::default());
    before.say(2000, Notice::WatchdogTrigger);
    let mut scene = adopted(&before, Ready::Notify);
    let stop = [Signal::TERM, Signal::CONT].map(|name| signal(RUN + 1, name));
    // What the resumption asked for is done with the next event.
    assert_eq!(scene.happen(10_000, Event::Passed), stop);
}

#[test]
fn a_paused_service_need_not_feed_its_watchdog() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, watchdog(500));
    scene.happen(2100, Event::Command(Some(Control::Signal(Signal::STOP))));
    assert_eq!(scene.due(), None);
    scene.happen(9000, Event::Command(Some(Control::Signal(Signal::CONT))));
    assert_eq!(scene.due(), Some(9500));
    scene.happen(9100, Event::Command(Some(Control::Signal(Signal::CONT))));
    assert_eq!(scene.due(), Some(9500), "a second CONT feeds nothing");
}

#[test]
fn a_start_may_be_extended_beyond_readysecs() {
    let mut scene = Scene::new(Options {
        readysecs: Some(ms(3000)),
        ..Options::default()
    });
    scene.started();
    assert_eq!(scene.due(), Some(3000));
    scene.say(2000, Notice::Extend(ms(5000)));
    assert_eq!(scene.due(), Some(7000));
    scene.say(2000, Notice::Extend(ms(100)));
    assert_eq!(scene.due(), Some(7000), "it is never made shorter");
    let stop = [Signal::TERM, Signal::CONT].map(|name| signal(RUN + 1, name));
    assert_eq!(scene.pass(7000), stop);
    scene.happen(7100, Event::Ended(identity(RUN + 1).pid, End::Exited(0)));
    scene.is(State::Backoff);
}

#[test]
fn a_stop_may_be_extended_beyond_stopwaitsecs() {
    let mut scene = Scene::running(Options {
        stopwaitsecs: Some(ms(3000)),
        ..Options::default()
    });
    scene.say(1500, Notice::Extend(ms(60_000)));
    assert_eq!(scene.due(), None, "what runs has no limit to extend");
    scene.happen(2000, Event::Command(Some(Control::Down)));
    assert_eq!(scene.due(), Some(5000));
    scene.say(4000, Notice::Extend(ms(3000)));
    assert_eq!(scene.pass(7000), [signal(RUN + 1, Signal::KILL)]);
}

#[test]
fn without_a_limit_there_is_nothing_to_extend() {
    let mut scene = Scene::new(Options::default());
    scene.started();
    scene.say(100, Notice::Extend(ms(1000)));
    assert_eq!(scene.due(), None);
}

#[test]
fn the_end_of_the_main_process_is_the_end_of_the_service_and_no_others_is() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, Notice::MainPid(identity(7)));
    assert_eq!(scene.status().pid, Some(identity(7).pid));
    assert_eq!(scene.status().record.unwrap().pid_start, 1);
    assert_eq!(
        scene.status().record.unwrap().group,
        Some(identity(RUN + 1).pid)
    );
    scene.happen(2100, Event::Ended(identity(RUN + 1).pid, End::Exited(0)));
    scene.is(State::Running);
    scene.happen(2200, Event::Ended(identity(7).pid, End::Exited(3)));
    assert_eq!(
        scene.status().record.unwrap().last_end,
        Some(End::Exited(3))
    );
    assert_eq!(scene.runs, 2);
}

#[test]
fn a_stop_goes_to_the_main_process() {
    let mut scene = Scene::running(Options::default());
    scene.say(2000, Notice::MainPid(identity(7)));
    let stop = scene.happen(2100, Event::Command(Some(Control::Down)));
    assert_eq!(
        stop,
        [Signal::TERM, Signal::CONT].map(|name| signal(7, name))
    );
    scene.happen(2200, Event::Ended(identity(7).pid, End::Exited(0)));
    scene.is(State::Stopped);
}

#[test]
fn a_main_process_that_is_named_during_a_stop_is_stopped_too() {
    let mut scene = Scene::running(Options::default());
    scene.happen(2000, Event::Command(Some(Control::Down)));
    let again = scene.say(2100, Notice::MainPid(identity(7)));
    assert_eq!(
        again,
        [Signal::TERM, Signal::CONT].map(|name| signal(7, name))
    );
    scene.happen(2200, Event::Ended(identity(RUN + 1).pid, End::Exited(0)));
    scene.is(State::Stopping);
    scene.happen(2300, Event::Ended(identity(7).pid, End::Exited(0)));
    scene.is(State::Stopped);
}

#[test]
fn a_main_process_that_is_named_while_a_control_script_runs_gets_the_signal_after_it() {
    let mut scene = Scene::running(Options::default());
    scene.script = Some(50);
    assert_eq!(scene.happen(2000, Event::Command(Some(Control::Down))), []);
    assert_eq!(scene.say(2100, Notice::MainPid(identity(7))), []);
    let stop = scene.happen(2200, Event::Ended(identity(50).pid, End::Exited(1)));
    assert_eq!(
        stop,
        [Signal::TERM, Signal::CONT].map(|name| signal(7, name))
    );
}

#[test]
fn what_is_said_without_a_run_changes_nothing() {
    let mut scene = Scene::new(Options::default());
    scene.happen(0, Event::Begin { down: true });
    for notice in [
        Notice::Ready,
        Notice::Status("hello".to_owned()),
        Notice::MainPid(identity(7)),
        Notice::WatchdogTrigger,
        watchdog(10),
    ] {
        assert_eq!(scene.say(100, notice), []);
    }
    scene.is(State::Stopped);
    assert_eq!(scene.status().pid, None);
    assert_eq!(scene.status().record.unwrap().message, "");
}

/// What another supervise makes of this scene's status, ten seconds after its start.
fn adopted(before: &Scene, ready: Ready) -> Scene {
    let mut scene = Scene::new(before.options.clone());
    scene.options.ready = ready;
    scene.at = ms(10_000);
    let (status, options) = (before.status(), Box::new(scene.options.clone()));
    let (record, now) = (status.record.clone().unwrap(), scene.now());
    scene
        .machine
        .resume(&status, &record, Ok(options), scene.begin, now);
    scene
}

#[test]
fn a_watchdog_goes_on_under_the_next_supervise_with_a_whole_interval() {
    let mut before = Scene::running(Options::default());
    before.say(2000, watchdog(500));
    assert_eq!(before.status().record.unwrap().watchdog, Some(ms(500)));
    let mut scene = adopted(&before, Ready::Notify);
    assert_eq!(scene.pass(10_500), abort(RUN + 1));

    let changed = adopted(&before, Ready::Startsecs);
    assert_eq!(changed.due(), None, "who is not heard need not feed");
}

#[test]
fn a_start_has_all_of_readysecs_under_the_next_supervise() {
    let mut before = Scene::new(Options {
        readysecs: Some(ms(3000)),
        ..Options::default()
    });
    before.started();
    before.say(2000, Notice::Extend(ms(60_000)));
    assert_eq!(adopted(&before, Ready::Notify).due(), Some(13_000));
}
