use proptest::prelude::*;

use super::*;
use crate::event::Left;

const COMMAND: i32 = 10;
const DAEMON: i32 = 20;

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).unwrap()
}

fn named(number: i32) -> Event {
    Event::Named(pid(number), Whose::Ours)
}

fn ended(number: i32, code: u8) -> Event {
    Event::Ended(pid(number), End::Exited(code))
}

fn left(any: bool, beside_command: bool, earlier: bool) -> Event {
    Event::Left(Left {
        any,
        beside_command,
        earlier,
    })
}

fn send(target: Target, signal: Signal) -> Action {
    Action::Send(target, signal)
}

fn count(earlier: Option<i32>) -> Action {
    Action::Count {
        earlier: earlier.map(pid),
    }
}

fn code(code: u8) -> Action {
    Action::Leave(Leave::Code(code))
}

/// Milliseconds on a made-up clock, what happens then, and what is to be done.
type Line<'a> = (u64, Event, &'a [Action]);

#[track_caller]
fn check(rules: Rules, script: &[Line<'_>]) {
    let start = Instant::now();
    let mut machine = Machine::new(pid(COMMAND), rules, start);
    for (line, (at, event, wanted)) in script.iter().enumerate() {
        let now = start + Duration::from_millis(*at);
        if *event == Event::Passed {
            assert_eq!(machine.deadline(), Some(now), "line {line}");
        }
        machine.step(*event, now);
        let actions: Vec<Action> = std::iter::from_fn(|| machine.next_action()).collect();
        assert_eq!(&actions, wanted, "line {line}: {event:?}");
    }
}

#[test]
fn signals_go_to_the_command_then_to_the_daemon() {
    let script: &[Line<'_>] = &[
        (
            0,
            Event::Signalled(Signal::HUP),
            &[send(Target::Command, Signal::HUP)],
        ),
        (10, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (20, ended(COMMAND, 0), &[]),
        (
            30,
            Event::Signalled(Signal::TERM),
            &[send(Target::Daemon, Signal::TERM)],
        ),
        (40, ended(DAEMON, 3), &[Action::Look, count(None)]),
        (40, left(false, false, false), &[code(3)]),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_daemon_that_comes_after_a_stop_is_stopped() {
    let script: &[Line<'_>] = &[
        (
            0,
            Event::Signalled(Signal::QUIT),
            &[send(Target::Command, Signal::QUIT)],
        ),
        (
            10,
            named(DAEMON),
            &[
                Action::Follow(pid(DAEMON)),
                send(Target::Daemon, Signal::QUIT),
            ],
        ),
    ];
    check(Rules::default(), script);
}

#[test]
fn after_a_crash_the_rest_gets_term_and_then_kill() {
    let crash = End::Killed {
        signal: Signal::KILL,
        core: false,
    };
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (
            10,
            Event::Ended(pid(DAEMON), crash),
            &[Action::Look, count(None)],
        ),
        (
            10,
            left(true, true, false),
            &[
                send(Target::All, Signal::TERM),
                send(Target::All, Signal::CONT),
            ],
        ),
        (
            5010,
            Event::Passed,
            &[send(Target::All, Signal::KILL), count(None)],
        ),
        (5010, left(true, true, false), &[]),
        (5020, ended(31, 0), &[count(None)]),
        (5020, left(false, false, false), &[code(137)]),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_successor_has_five_seconds_after_an_exit_0() {
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (10, ended(DAEMON, 0), &[Action::Look, count(None)]),
        (10, left(true, true, false), &[]),
        (20, Event::Signalled(Signal::USR1), &[count(None)]),
        (20, left(true, true, false), &[]),
        (
            30,
            named(30),
            &[Action::Follow(pid(30)), send(Target::Daemon, Signal::USR1)],
        ),
        (40, ended(30, 0), &[Action::Look, count(None)]),
        (40, left(true, true, false), &[]),
        (
            5040,
            Event::Passed,
            &[
                send(Target::All, Signal::TERM),
                send(Target::All, Signal::CONT),
            ],
        ),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_stop_ends_the_wait_for_a_successor() {
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (10, ended(DAEMON, 0), &[Action::Look, count(None)]),
        (10, left(true, true, false), &[]),
        (20, Event::Signalled(Signal::INT), &[count(None)]),
        (
            20,
            left(true, true, false),
            &[
                send(Target::All, Signal::INT),
                send(Target::All, Signal::CONT),
            ],
        ),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_command_that_starts_a_crashed_daemon_again_is_believed() {
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (10, ended(DAEMON, 1), &[Action::Look, count(None)]),
        (
            10,
            left(true, false, false),
            &[
                send(Target::All, Signal::TERM),
                send(Target::All, Signal::CONT),
            ],
        ),
        (500, named(21), &[Action::Follow(pid(21))]),
        (
            600,
            Event::Signalled(Signal::TERM),
            &[send(Target::Daemon, Signal::TERM)],
        ),
    ];
    check(Rules::default(), script);
}

#[test]
fn the_earlier_daemon_may_take_over_again() {
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (10, named(30), &[Action::Follow(pid(30))]),
        (20, ended(30, 1), &[Action::Look, count(Some(DAEMON))]),
        (20, left(true, true, true), &[]),
        (30, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
    ];
    check(Rules::default(), script);
}

#[test]
fn what_is_left_is_left_alone_if_the_rules_say_so() {
    let rules = Rules {
        leave_rest: true,
        ..Rules::default()
    };
    let script: &[Line<'_>] = &[
        (0, named(DAEMON), &[Action::Follow(pid(DAEMON))]),
        (
            10,
            Event::Signalled(Signal::TERM),
            &[send(Target::Daemon, Signal::TERM)],
        ),
        (20, ended(DAEMON, 0), &[Action::Look, count(None)]),
        (20, left(true, true, false), &[code(0)]),
    ];
    check(rules, script);
}

#[test]
fn the_time_for_the_pid_file_ends() {
    let rules = Rules {
        timeout: Some(Duration::from_secs(3)),
        ..Rules::default()
    };
    let script: &[Line<'_>] = &[
        (
            3000,
            Event::Passed,
            &[
                send(Target::All, Signal::TERM),
                send(Target::All, Signal::CONT),
                count(None),
            ],
        ),
        (3000, left(true, false, false), &[]),
        // Too late.
        (3010, named(DAEMON), &[]),
        (3020, ended(COMMAND, 0), &[count(None)]),
        (
            3020,
            left(false, false, false),
            &[Action::Leave(Leave::TimedOut)],
        ),
    ];
    check(rules, script);
}

#[test]
fn a_pid_file_that_names_one_that_has_just_ended_tells_its_code() {
    let script: &[Line<'_>] = &[
        (0, ended(DAEMON, 9), &[]),
        (10, ended(COMMAND, 0), &[Action::Look, count(None)]),
        (
            10,
            Event::Named(pid(DAEMON), Whose::Gone),
            &[Action::Look, count(None)],
        ),
        (10, left(false, false, false), &[code(9)]),
        (10, left(false, false, false), &[]),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_stop_before_there_is_a_daemon_gives_the_rest_its_time() {
    let script: &[Line<'_>] = &[
        (
            0,
            Event::Signalled(Signal::TERM),
            &[send(Target::Command, Signal::TERM)],
        ),
        (10, ended(COMMAND, 0), &[Action::Look, count(None)]),
        (
            10,
            left(true, true, false),
            &[
                send(Target::All, Signal::TERM),
                send(Target::All, Signal::CONT),
            ],
        ),
        (20, ended(31, 0), &[count(None)]),
        (20, left(true, true, false), &[]),
        (90_000, ended(32, 0), &[count(None)]),
        (90_000, left(false, false, false), &[code(0)]),
    ];
    check(Rules::default(), script);
}

#[test]
fn a_foreign_pid_is_told_once() {
    let foreign = Event::Named(pid(99), Whose::Foreign);
    let warning = "process 99 does not come from the command: it gets no signals";
    let script: &[Line<'_>] = &[
        (0, foreign, &[Action::Warn(warning.to_owned())]),
        (10, foreign, &[]),
    ];
    check(Rules::default(), script);
}

fn any_event() -> impl Strategy<Value = Event> {
    let number = 10..14;
    let whose = prop_oneof![Just(Whose::Ours), Just(Whose::Foreign), Just(Whose::Gone)];
    let end = prop_oneof![(0..3_u8).prop_map(End::Exited), Just(End::Unknown)];
    let signal = prop_oneof![Just(Signal::TERM), Just(Signal::HUP), Just(Signal::QUIT)];
    prop_oneof![
        (number.clone(), whose).prop_map(|(number, whose)| Event::Named(pid(number), whose)),
        (number, end).prop_map(|(number, end)| Event::Ended(pid(number), end)),
        signal.prop_map(Event::Signalled),
        any::<(bool, bool, bool)>().prop_map(|(any, beside, earlier)| left(any, beside, earlier)),
        Just(Event::Passed),
    ]
}

proptest! {
    /// Whatever happens in whatever order: no signal to a daemon that is not followed, no action
    /// after the last one, and with nothing left an end is always reached.
    #[test]
    fn it_never_signals_a_daemon_that_ended_and_always_comes_to_an_end(
        events in prop::collection::vec(any_event(), 0..60),
        leave_rest: bool,
    ) {
        let start = Instant::now();
        let rules = Rules { timeout: Some(Duration::from_secs(1)), leave_rest };
        let mut machine = Machine::new(pid(10), rules, start);
        let mut daemon = None;
        let mut is_over = false;
        let finish = [Event::Ended(pid(10), End::Exited(0)), left(false, false, false)];
        let rest = (10..14).map(|n| Event::Ended(pid(n), End::Exited(0)));
        let all = events.into_iter().chain(rest).chain(finish);
        for event in all {
            if let Event::Ended(pid, _) = event && daemon == Some(pid) {
                daemon = None;
            }
            machine.step(event, start);
            while let Some(action) = machine.next_action() {
                prop_assert!(!is_over, "{action:?} after the end");
                match action {
                    Action::Follow(pid) => daemon = Some(pid),
                    Action::Send(Target::Daemon, _) => prop_assert!(daemon.is_some()),
                    Action::Leave(_) => is_over = true,
                    Action::Look | Action::Count { .. } | Action::Warn(_) | Action::Send(..) => {}
                }
            }
        }
        prop_assert!(is_over);
    }
}
