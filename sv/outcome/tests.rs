use super::*;
use rustix::process::Pid;
use servicedir::process::World;
use servicedir::status::Record;
use servicedir::tai64n::Tai64n;

/// A status as runsv writes it: a process that started at its number of seconds.
fn runsv(pid: i32, want: Want) -> Status {
    Status {
        stamp: Tai64n::from_unix(pid.unsigned_abs().into(), 0),
        pid: Pid::from_raw(pid),
        paused: false,
        want,
        term_sent: false,
        phase: if pid == 0 { Phase::Down } else { Phase::Run },
        record: None,
    }
}

/// A status of this suite.
fn ours(state: State, pid: i32, want: Want) -> Status {
    Status {
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
            pid_start: pid.unsigned_abs().into(),
            world: World::default(),
            failed_starts: 0,
            start_retries: None,
            total_starts: 1,
            next_start: None,
            commands: 1,
            group: None,
            state_stamp: Tai64n::default(),
            supervise: None,
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        }),
        ..runsv(pid, want)
    }
}

fn before(status: &Status) -> Before {
    Before {
        status: Some(status.clone()),
        ..Before::default()
    }
}

#[track_caller]
fn check(act: Act, then: &Status, now: &Status, expected: Outcome) {
    assert_eq!(judge(act, &before(then), now), expected);
}

#[test]
fn up_is_running_and_for_runsv_a_run() {
    let down = runsv(0, Want::Down);
    check(Act::Up, &down, &runsv(5, Want::Up), Outcome::MetIfChecked);
    check(Act::Up, &down, &runsv(0, Want::Up), Outcome::Pending);
    let mut finish = runsv(5, Want::Up);
    finish.phase = Phase::Finish;
    check(Act::Up, &down, &finish, Outcome::Pending);
    for (state, pid, expected) in [
        (State::Starting, 5, Outcome::Pending),
        (State::Running, 5, Outcome::MetIfChecked),
        (State::Backoff, 0, Outcome::Pending),
        (State::Fatal, 0, Outcome::Failed),
    ] {
        check(Act::Up, &down, &ours(state, pid, Want::Up), expected);
    }
}

#[test]
fn down_means_that_finish_has_ended_and_nothing_is_due() {
    let up = runsv(5, Want::Up);
    check(Act::Down, &up, &runsv(0, Want::Down), Outcome::Met);
    check(Act::Down, &up, &runsv(5, Want::Down), Outcome::Pending);
    let backoff = ours(State::Backoff, 0, Want::Down);
    check(Act::Down, &up, &backoff, Outcome::Pending);
    let fatal = ours(State::Fatal, 0, Want::Down);
    check(Act::Down, &up, &fatal, Outcome::Met);
}

#[test]
fn a_restart_needs_another_run_also_within_the_same_second() {
    let up = ours(State::Running, 5, Want::Up);
    check(Act::Restart, &up, &up, Outcome::Pending);
    let mut again = ours(State::Running, 6, Want::Up);
    again.stamp = up.stamp;
    check(Act::Restart, &up, &again, Outcome::MetIfChecked);
    again.term_sent = true;
    check(Act::Restart, &up, &again, Outcome::Pending);
    let fatal = ours(State::Fatal, 0, Want::Down);
    check(Act::Restart, &up, &fatal, Outcome::Failed);
}

#[test]
fn a_signal_that_ends_a_service_is_done_when_it_is_down_or_up_again_as_wanted() {
    let term = Act::Signal(Signal::TERM);
    let up = runsv(5, Want::Up);
    check(term, &up, &up, Outcome::Pending);
    check(term, &up, &runsv(0, Want::Up), Outcome::Pending);
    check(term, &up, &runsv(6, Want::Up), Outcome::MetIfChecked);
    check(term, &up, &runsv(0, Want::Down), Outcome::Met);
    check(Act::TryRestart, &up, &runsv(0, Want::Down), Outcome::Met);
}

#[test]
fn pause_and_cont_are_seen_and_other_signals_are_not() {
    let up = runsv(5, Want::Up);
    let mut paused = up.clone();
    paused.paused = true;
    let stop = Act::Signal(Signal::STOP);
    check(stop, &up, &paused, Outcome::Met);
    check(stop, &up, &up, Outcome::Pending);
    let cont = Act::Signal(Signal::CONT);
    check(cont, &paused, &paused, Outcome::Pending);
    check(cont, &paused, &up, Outcome::Met);
    check(Act::Signal(Signal::HUP), &up, &up, Outcome::Met);
}

#[test]
fn once_is_a_run_that_is_not_repeated_or_has_ended() {
    let down = runsv(0, Want::Down);
    check(Act::Once, &down, &runsv(5, Want::Once), Outcome::Met);
    check(Act::Once, &down, &down, Outcome::Pending);
    let mut ended = down.clone();
    ended.stamp = Tai64n::from_unix(9, 0);
    check(Act::Once, &down, &ended, Outcome::Met);
    let fatal = ours(State::Fatal, 0, Want::Down);
    check(Act::Once, &down, &fatal, Outcome::Failed);
}

#[test]
fn check_waits_for_the_state_that_is_wanted() {
    let any = runsv(0, Want::Down);
    check(Act::Check, &any, &runsv(0, Want::Up), Outcome::Pending);
    check(Act::Check, &any, &runsv(5, Want::Up), Outcome::MetIfChecked);
    check(Act::Check, &any, &runsv(5, Want::Down), Outcome::Pending);
    check(Act::Check, &any, &any, Outcome::Met);
}

#[test]
fn the_end_of_a_supervise_is_not_seen_in_a_status() {
    let down = runsv(0, Want::Down);
    check(Act::Exit, &down, &down, Outcome::Pending);
}
