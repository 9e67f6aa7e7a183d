//! A supervise that is killed in any state, and the one that goes on.

use std::time::Duration;

use servicedir::options::{Autorestart, Options};
use servicedir::status::Want;

use super::At::{Begin, Executed, Exits, Fault, FinishExits, Passed, Replaced, Say, ScriptExits};
use super::{At, check, down, options, up};

#[test]
fn stopped_stays_stopped() {
    let world = check(
        up(Options::default()),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2001, Exits(0), "STOPPED"),
            (3000, Replaced, "STOPPED"),
        ],
    );
    assert_eq!(world.status().stamp.nanos(), 1_000_000, "since then");
    check(world, &[(4000, Say("u"), "STARTING run")]);
}

#[test]
fn starting_goes_on_from_its_start() {
    let world = check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (400, Replaced, "STARTING"),
            (1000, Passed, "RUNNING"),
        ],
    );
    assert_eq!(world.record().total_starts, 1);
}

#[test]
fn running_goes_on_and_ends_as_it_would_have() {
    let world = check(up(Options::default()), &[(5000, Replaced, "RUNNING")]);
    assert_eq!(world.record().total_starts, 1);
    check(world.clone(), &[(6000, Exits(0), "STARTING run")]);
    check(
        world,
        &[
            (6000, Say("d"), "STOPPING TERM CONT"),
            (6001, Exits(0), "STOPPED"),
        ],
    );
}

#[test]
fn stopping_goes_on_to_what_it_was_for() {
    for (bytes, after) in [
        ("d", "STOPPED"),
        ("r", "STARTING run"),
        ("du", "STARTING run"),
    ] {
        let mut world = up(Options::default());
        world.now = 2000;
        world.play(&Say(bytes));
        check(
            world,
            &[(3000, Replaced, "STOPPING"), (3001, Exits(0), after)],
        );
    }
}

#[test]
fn stopping_has_its_full_time_again() {
    let patient = options(|options| options.stopwaitsecs = Some(Duration::from_secs(5)));
    check(
        up(patient),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (3000, Replaced, "STOPPING"),
            (8000, Passed, "STOPPING KILL"),
        ],
    );
}

#[test]
fn a_stop_whose_control_t_nobody_heard_of_is_said_again() {
    check(
        up(Options::default()).with_scripts("t"),
        &[
            (2000, Say("d"), "STOPPING control/t"),
            (2001, Replaced, "STOPPING control/t"),
            (2100, ScriptExits('t', 1), "STOPPING TERM CONT"),
        ],
    );
}

#[test]
fn backoff_goes_on_until_the_same_time() {
    let world = check(
        down(options(|options| options.startretries = Some(1))),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(1), "BACKOFF"),
            (700, Replaced, "BACKOFF"),
            (1200, Passed, "STARTING run"),
            (1200, Executed, "STARTING"),
            (1400, Exits(1), "FATAL"),
        ],
    );
    let world = check(world, &[(9000, Replaced, "FATAL")]);
    assert_eq!(world.record().reason, "2 failed starts, the last: exited 1");
    assert_eq!(world.deadline(), None);
}

#[test]
fn exited_for_good_stays() {
    let never = options(|options| options.autorestart = Autorestart::Never);
    let world = check(
        up(never),
        &[(5000, Exits(3), "EXITED"), (6000, Replaced, "EXITED")],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn exited_for_good_stays_if_its_finish_was_running() {
    let never = options(|options| options.autorestart = Autorestart::Never);
    let world = check(
        up(never).with_finish(),
        &[(5000, Exits(3), "EXITED finish")],
    );
    assert_eq!(world.status().want, Want::Down);
    check(
        world,
        &[(6000, Replaced, "EXITED"), (7000, FinishExits(0), "EXITED")],
    );
}

#[test]
fn exited_and_due_is_started_no_sooner_than_it_would_have_been() {
    let at_once = options(|options| options.startsecs = Duration::ZERO);
    check(
        down(at_once),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "RUNNING"),
            (10, Exits(0), "EXITED"),
            (20, Replaced, "EXITED"),
            (1000, Passed, "STARTING run"),
        ],
    );
}

#[test]
fn the_last_retry_stays_the_last_if_its_finish_was_running() {
    let world = check(
        down(options(|options| options.startretries = Some(0))).with_finish(),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(4), "BACKOFF finish"),
            (300, Replaced, "BACKOFF"),
            (400, FinishExits(0), "FATAL"),
        ],
    );
    assert_eq!(world.record().reason, "1 failed start, the last: exited 4");
}

#[test]
fn down_while_control_u_ran_starts_nothing_after_it() {
    let world = check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (100, Say("d"), "STARTING TERM-u-group"),
            (200, Replaced, "STOPPED"),
        ],
    );
    assert_eq!(world.starts, [0_u64; 0]);
}

#[test]
fn a_start_whose_control_u_ran_is_begun_again() {
    check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (200, Replaced, "STARTING control/u"),
            (300, ScriptExits('u', 0), "STARTING run"),
        ],
    );
}

#[test]
fn once_stays_once() {
    check(
        up(Options::default()),
        &[
            (2000, Say("o"), "RUNNING"),
            (3000, Replaced, "RUNNING"),
            (5000, Exits(0), "EXITED"),
        ],
    );
}

#[test]
fn exit_stays_exit() {
    check(
        up(Options::default()),
        &[
            (2000, Say("x"), "RUNNING"),
            (3000, Replaced, "RUNNING"),
            (5000, Exits(0), "EXITED leave"),
        ],
    );
}

#[test]
fn paused_stays_paused() {
    let world = check(
        up(Options::default()),
        &[
            (2000, Say("p"), "RUNNING STOP"),
            (3000, Replaced, "RUNNING"),
        ],
    );
    assert!(world.status().paused);
}

#[test]
fn a_fault_in_the_options_is_told_and_the_service_goes_on() {
    let world = check(
        up(Options::default()),
        &[(2000, Fault("bad"), "RUNNING"), (3000, Replaced, "RUNNING")],
    );
    assert!(world.record().options_fault);
    assert_eq!(world.record().reason, "bad");
    // This supervise has read no good ones.
    let world = check(world, &[(5000, Exits(0), "FATAL")]);
    assert_eq!(world.record().reason, "bad");
    check(
        world,
        &[
            (6000, At::Options(Options::default()), "FATAL"),
            (6000, Say("u"), "STARTING run"),
        ],
    );
}

#[test]
fn a_fault_in_the_options_of_what_is_down_waits_for_its_start() {
    let world = check(
        down(Options::default()),
        &[(0, Fault("bad"), "STOPPED"), (1, Replaced, "STOPPED")],
    );
    assert_eq!(world.warnings, [""; 0]);
    assert!(!world.record().options_fault);
}
