//! Stories of a command and the statuses that follow it.

use proptest::prelude::*;
use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::process::World;
use servicedir::signal::Signal;
use servicedir::status::End;
use servicedir::tai64n::Tai64n;

use super::*;

const SUPERVISE: i32 = 700;

/// A status of this suite: `pid` 0 is down, and a pid's start time is its number.
fn status(state: State, pid: i32, want: Want, commands: u32) -> Status {
    Status {
        stamp: Tai64n::from_unix(1000, 0),
        pid: Pid::from_raw(pid),
        paused: false,
        want,
        term_sent: false,
        phase: if pid == 0 { Phase::Down } else { Phase::Run },
        record: Some(Record {
            state,
            ready: state == State::Running,
            tells_ready: false,
            exiting: false,
            left: false,
            options_fault: false,
            restarting: false,
            last_end: None,
            ready_stamp: Tai64n::default(),
            pid_start: u64::try_from(pid).unwrap(),
            world: World::default(),
            failed_starts: 0,
            start_retries: None,
            total_starts: 1,
            next_start: None,
            commands,
            group: None,
            state_stamp: Tai64n::default(),
            supervise: Pid::from_raw(SUPERVISE),
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        }),
    }
}

fn commands(letters: &[u8]) -> Vec<Control> {
    letters
        .iter()
        .filter_map(|letter| Control::from_byte(*letter))
        .collect()
}

#[test]
fn the_effect_of_every_control_byte_is_known() {
    for (byte, command) in Control::ALL {
        if let Control::Signal(signal) = command {
            let known = SIGNALS.iter().any(|(known, _)| *known == signal);
            assert!(known, "{}", char::from(byte));
        }
    }
}

fn with(mut status: Status, change: impl FnOnce(&mut Status, &mut Record)) -> Status {
    let mut record = status.record.take().unwrap();
    change(&mut status, &mut record);
    status.record = Some(record);
    status
}

/// The first 20 bytes only.
fn of_another_suite(status: Status) -> Status {
    Status {
        record: None,
        ..status
    }
}

fn running(pid: i32, commands: u32) -> Status {
    status(State::Running, pid, Want::Up, commands)
}

fn stopped(commands: u32) -> Status {
    status(State::Stopped, 0, Want::Down, commands)
}

/// Judges `now` as what followed `letters`, sent when `before` was there.
fn judged(letters: &str, before: &Status, now: &Status) -> Answer {
    judged_for(WaitFor::Command, letters, before, now)
}

fn judged_for(wait: WaitFor, letters: &str, before: &Status, now: &Status) -> Answer {
    let before = Before {
        status: Some(before.clone()),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    let seen = Now {
        supervised: true,
        drained: true,
        status: Some(now),
    };
    judge(
        &Asked::new(&commands(letters.as_bytes()), wait),
        &before,
        seen,
    )
}

fn failed(reason: &str) -> Answer {
    Answer::Failed(reason.to_owned())
}

#[test]
fn an_old_state_that_looks_like_the_answer_is_none() {
    assert_eq!(judged("u", &running(5, 8), &running(5, 8)), Answer::Pending);
    assert_eq!(judged("u", &running(5, 8), &running(5, 9)), Answer::Done);
    assert_eq!(judged("d", &stopped(8), &stopped(8)), Answer::Pending);
    assert_eq!(judged("d", &stopped(8), &stopped(9)), Answer::Done);
}

#[test]
fn every_byte_sent_must_have_been_acted_on_also_those_that_were_unread_before() {
    let before = Before {
        status: Some(stopped(u32::MAX - 1)),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 3,
    };
    let asked = Asked::new(&commands(b"cd"), WaitFor::Command);
    for (commands, answer) in [
        (u32::MAX - 1, Answer::Pending),
        (2, Answer::Pending),
        (3, Answer::Done),
        (9, Answer::Done),
    ] {
        let status = stopped(commands);
        let now = Now {
            supervised: true,
            drained: false,
            status: Some(&status),
        };
        assert_eq!(judge(&asked, &before, now), answer, "{commands}");
    }
}

#[test]
fn a_supervise_that_took_over_has_acted_when_its_fifo_is_empty() {
    let before = Before {
        status: Some(running(5, 100)),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    let asked = Asked::new(&commands(b"d"), WaitFor::Command);
    let taken_over = |commands| {
        with(stopped(commands), |_, record| {
            record.supervise = Pid::from_raw(701);
        })
    };
    for (commands, drained, answer) in [
        (0, false, Answer::Pending),
        (0, true, Answer::Lost),
        (1, true, Answer::Done),
    ] {
        let taken_over = taken_over(commands);
        let now = Now {
            supervised: true,
            drained,
            status: Some(&taken_over),
        };
        assert_eq!(judge(&asked, &before, now), answer);
    }
}

#[test]
fn up_is_running_and_not_before() {
    let before = stopped(0);
    for state in [State::Starting, State::Backoff, State::Stopping] {
        assert_eq!(
            judged("u", &before, &status(state, 0, Want::Up, 1)),
            Answer::Pending,
            "{state:?}"
        );
    }
    assert_eq!(judged("u", &before, &running(5, 1)), Answer::Done);
}

#[test]
fn fatal_is_told_with_its_reason_once_finish_is_over() {
    let fatal = |pid| {
        with(status(State::Fatal, pid, Want::Down, 1), |_, record| {
            record.reason = "3 failed starts".to_owned();
        })
    };
    assert_eq!(judged("u", &stopped(0), &fatal(9)), Answer::Pending);
    assert_eq!(
        judged("u", &stopped(0), &fatal(0)),
        failed("fatal: 3 failed starts")
    );
    assert_eq!(
        judged("r", &stopped(0), &fatal(0)),
        failed("fatal: 3 failed starts")
    );
    assert_eq!(
        judged("t", &running(5, 0), &fatal(0)),
        failed("fatal: 3 failed starts")
    );
    assert_eq!(judged("d", &running(5, 0), &fatal(0)), Answer::Done);
}

#[test]
fn an_end_where_it_should_be_up_is_a_failure_and_says_how() {
    let exited = |want, end| {
        with(status(State::Exited, 0, want, 1), |_, record| {
            record.last_end = Some(end)
        })
    };
    let killed = End::Killed {
        signal: Signal::KILL,
        core: false,
    };
    assert_eq!(
        judged("u", &stopped(0), &exited(Want::Down, End::Exited(3))),
        failed("exited 3")
    );
    assert_eq!(
        judged("u", &stopped(0), &exited(Want::Down, End::Exited(0))),
        failed("exited 0")
    );
    assert_eq!(
        judged("u", &stopped(0), &exited(Want::Down, killed)),
        failed("killed by SIGKILL")
    );
    // It is about to be started again.
    assert_eq!(
        judged("u", &stopped(0), &exited(Want::Up, killed)),
        Answer::Pending
    );
    assert_eq!(
        judged("u", &stopped(0), &stopped(1)),
        failed("it was told to stop")
    );
}

#[test]
fn one_run_that_ended_well_is_what_once_means() {
    let exited = |code| {
        with(status(State::Exited, 0, Want::Down, 1), |_, record| {
            record.last_end = Some(End::Exited(code));
        })
    };
    assert_eq!(judged("o", &stopped(0), &exited(0)), Answer::Done);
    assert_eq!(judged("o", &stopped(0), &exited(1)), failed("exited 1"));
    assert_eq!(
        judged("o", &stopped(0), &status(State::Running, 5, Want::Once, 1)),
        Answer::Done
    );
}

#[test]
fn a_restart_needs_another_process() {
    for letters in ["r", "t", "k", "du", "tu"] {
        let sent = u32::try_from(letters.len()).unwrap();
        let before = running(5, 0);
        assert_eq!(
            judged(letters, &before, &running(5, sent)),
            Answer::Pending,
            "{letters}"
        );
        assert_eq!(
            judged(letters, &before, &running(6, sent)),
            Answer::Done,
            "{letters}"
        );
        let same_pid_again = with(running(5, sent), |_, record| record.pid_start = 99);
        assert_eq!(
            judged(letters, &before, &same_pid_again),
            Answer::Done,
            "{letters}"
        );
        let doomed = with(running(6, sent), |status, _| status.term_sent = true);
        assert_eq!(
            judged(letters, &before, &doomed),
            Answer::Pending,
            "{letters}"
        );
        assert_eq!(judged("r", &stopped(0), &running(5, 1)), Answer::Done);
    }
}

#[test]
fn a_signal_that_ends_it_is_done_when_it_is_down_or_up_again_as_it_should_be() {
    let before = with(running(5, 0), |status, _| status.want = Want::Once);
    let still = with(running(5, 1), |status, _| status.want = Want::Once);
    let ended = status(State::Exited, 0, Want::Down, 1);
    assert_eq!(judged("t", &before, &still), Answer::Pending);
    assert_eq!(judged("t", &before, &ended), Answer::Done);
    assert_eq!(
        judged(
            "t",
            &running(5, 0),
            &status(State::Starting, 6, Want::Up, 1)
        ),
        Answer::Pending
    );
    // There was nothing to end.
    assert_eq!(judged("t", &stopped(0), &stopped(1)), Answer::Done);
}

#[test]
fn down_waits_for_finish_and_for_a_backoff_to_be_given_up() {
    let before = running(5, 0);
    let finish = with(status(State::Stopping, 9, Want::Down, 1), |status, _| {
        status.phase = Phase::Finish;
    });
    assert_eq!(judged("d", &before, &finish), Answer::Pending);
    assert_eq!(
        judged("d", &before, &status(State::Backoff, 0, Want::Down, 1)),
        Answer::Pending
    );
    assert_eq!(
        judged("d", &before, &status(State::Exited, 0, Want::Down, 1)),
        Answer::Done
    );
}

#[test]
fn pause_and_continue_are_seen_in_the_status() {
    let paused = |commands| with(running(5, commands), |status, _| status.paused = true);
    assert_eq!(judged("p", &running(5, 0), &running(5, 1)), Answer::Pending);
    assert_eq!(judged("p", &running(5, 0), &paused(1)), Answer::Done);
    assert_eq!(judged("c", &paused(0), &paused(1)), Answer::Pending);
    assert_eq!(judged("c", &paused(0), &running(5, 1)), Answer::Done);
    assert_eq!(judged("p", &stopped(0), &stopped(1)), failed("it is down"));
}

#[test]
fn signals_that_end_nothing_are_done_when_acted_on() {
    for letters in ["h", "a", "1", "2", "w"] {
        assert_eq!(
            judged(letters, &running(5, 0), &running(5, 0)),
            Answer::Pending
        );
        assert_eq!(
            judged(letters, &running(5, 0), &running(5, 1)),
            Answer::Done
        );
    }
}

#[test]
fn ready_needs_more_than_running() {
    let not_ready = with(running(5, 1), |_, record| record.ready = false);
    assert_eq!(
        judged_for(WaitFor::Ready, "u", &stopped(0), &not_ready),
        Answer::Pending
    );
    assert_eq!(
        judged_for(WaitFor::Ready, "u", &stopped(0), &running(5, 1)),
        Answer::Done
    );
}

#[test]
fn a_wait_without_a_command_takes_the_state_as_it_is() {
    let stays = stopped(0);
    assert_eq!(judged_for(WaitFor::Up, "", &stays, &stays), Answer::Pending);
    assert_eq!(judged_for(WaitFor::Down, "", &stays, &stays), Answer::Done);
    assert_eq!(
        judged_for(WaitFor::Up, "", &running(5, 0), &running(5, 0)),
        Answer::Done
    );
    let fatal = status(State::Fatal, 0, Want::Down, 0);
    assert_eq!(judged_for(WaitFor::Up, "", &fatal, &fatal), failed("fatal"));
}

#[test]
fn exit_is_a_supervise_that_is_gone_or_another_one() {
    let before = Before {
        status: Some(running(5, 0)),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    let another = with(running(5, 0), |_, record| {
        record.supervise = Pid::from_raw(701)
    });
    let same = running(5, 2);
    for letters in ["x", "dx", "z", "ox"] {
        let asked = Asked::new(&commands(letters.as_bytes()), WaitFor::Command);
        for (supervised, status, answer) in [
            (true, &same, Answer::Pending),
            (false, &same, Answer::Done),
            (true, &another, Answer::Done),
        ] {
            let now = Now {
                supervised,
                drained: true,
                status: Some(status),
            };
            assert_eq!(judge(&asked, &before, now), answer, "{letters}");
        }
    }
}

#[test]
fn the_first_status_of_a_supervise_that_has_just_begun_is_no_exit() {
    let predecessor = with(stopped(9), |_, record| {
        record.supervise = Pid::from_raw(699)
    });
    let before = Before {
        status: Some(predecessor.clone()),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    for status in [predecessor, running(5, 1)] {
        let now = Now {
            supervised: true,
            drained: true,
            status: Some(&status),
        };
        let asked = Asked::new(&commands(b"x"), WaitFor::Command);
        assert_eq!(judge(&asked, &before, now), Answer::Pending);
    }
    let asked = Asked::new(&commands(b"u"), WaitFor::Command);
    for (status, answer) in [(stopped(9), Answer::Pending), (running(5, 1), Answer::Done)] {
        let status = with(status, |status, record| {
            if status.pid.is_none() {
                record.supervise = Pid::from_raw(699);
            }
        });
        let now = Now {
            supervised: true,
            drained: true,
            status: Some(&status),
        };
        assert_eq!(judge(&asked, &before, now), answer);
    }
}

#[test]
fn without_a_supervise_only_down_can_be_believed() {
    let before = Before {
        status: Some(running(5, 0)),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    for (letters, status, answer) in [
        ("u", running(5, 1), Answer::Absent),
        ("h", running(5, 1), Answer::Absent),
        ("d", running(5, 1), Answer::Absent),
        ("d", stopped(0), Answer::Absent),
        ("d", stopped(1), Answer::Done),
    ] {
        let now = Now {
            supervised: false,
            drained: true,
            status: Some(&status),
        };
        let asked = Asked::new(&commands(letters.as_bytes()), WaitFor::Command);
        assert_eq!(judge(&asked, &before, now), answer, "{letters}");
    }
}

#[test]
fn other_suites_are_judged_by_their_first_bytes() {
    let up = |pid| of_another_suite(running(pid, 0));
    let down = |want| of_another_suite(status(State::Stopped, 0, want, 0));
    assert_eq!(
        judged("u", &down(Want::Down), &down(Want::Up)),
        Answer::Pending
    );
    assert_eq!(judged("u", &down(Want::Down), &up(5)), Answer::Done);
    assert_eq!(judged("t", &up(5), &up(5)), Answer::Pending);
    assert_eq!(judged("t", &up(5), &up(6)), Answer::Done);
    assert_eq!(judged("d", &up(5), &down(Want::Up)), Answer::Pending);
    assert_eq!(judged("d", &up(5), &down(Want::Down)), Answer::Done);
    let ran = Status {
        stamp: Tai64n::from_unix(1002, 0),
        ..down(Want::Once)
    };
    assert_eq!(judged("o", &down(Want::Down), &ran), Answer::Done);
    assert_eq!(
        judged("o", &down(Want::Down), &down(Want::Down)),
        Answer::Pending
    );
}

#[test]
fn other_suites_have_acted_when_the_fifo_is_empty() {
    let before = Before {
        status: Some(of_another_suite(running(5, 0))),
        supervise: Pid::from_raw(SUPERVISE),
        unread: 0,
    };
    let now = of_another_suite(running(5, 0));
    let asked = Asked::new(&commands(b"h"), WaitFor::Command);
    for (drained, answer) in [(false, Answer::Pending), (true, Answer::Done)] {
        let now = Now {
            supervised: true,
            drained,
            status: Some(&now),
        };
        assert_eq!(judge(&asked, &before, now), answer);
    }
}

proptest! {
    /// Whatever was sent, nothing is settled by a status that has not counted it.
    #[test]
    fn nothing_but_an_exit_is_settled_before_it_was_acted_on(
        picks in proptest::collection::vec(0..Control::ALL.len(), 1..6),
        state in 0..State::ALL.len(), pid in 0..3_i32, counted in 0..6_u32,
    ) {
        let letters: Vec<u8> = picks.iter().map(|pick| Control::ALL[*pick].0).collect();
        let sent = u32::try_from(letters.len()).unwrap();
        prop_assume!(counted < sent);
        let asked = Asked::new(&commands(&letters), WaitFor::Command);
        prop_assume!(asked.goal != Goal::Exited);
        let before = Before { status: Some(running(5, 7)), supervise: None, unread: 0 };
        let now = status(State::ALL[state], pid, Want::Down, 7 + counted);
        let answer = judge(&asked, &before, Now { supervised: true, drained: true, status: Some(&now) });
        prop_assert_eq!(answer, Answer::Pending);
    }
}
