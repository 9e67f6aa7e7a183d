//! Readiness: its sources but for sd_notify(3), `readysecs`, and checks.

use std::time::Duration;

use servicedir::options::{Options, Ready};

use super::At::{
    Begin, CheckExits, Executed, Exits, FinishExits, Fork, Notice as Tells, Passed, Refused,
    Replaced, Say,
};
use super::{check, down, options, up};
use crate::event::Notice;

fn ready(ready: Ready) -> Options {
    options(|options| options.ready = ready)
}

fn health(failures: u32) -> Options {
    options(|options| {
        options.check_interval = Some(Duration::from_secs(10));
        options.check_failures = failures;
    })
}

#[test]
fn startsecs_alone_make_it_ready() {
    let world = down(Options::default());
    assert!(!world.record().ready && !world.record().tells_ready);
    let world = check(
        world,
        &[(0, Begin, "STARTING run"), (0, Executed, "STARTING")],
    );
    assert!(!world.record().ready);
    let world = check(world, &[(1000, Passed, "RUNNING")]);
    assert!(world.record().ready);
    let world = check(world, &[(2000, Say("d"), "STOPPING TERM CONT")]);
    assert!(!world.record().ready);
}

#[test]
fn running_takes_both_readiness_and_startsecs() {
    let early = check(
        down(ready(Ready::Fd(3))),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (400, Tells(Notice::Ready), "STARTING"),
        ],
    );
    assert!(early.record().ready && early.record().tells_ready);
    check(early, &[(1000, Passed, "RUNNING")]);
    let late = check(
        down(ready(Ready::Fd(3))),
        &[(0, Begin, "STARTING run"), (0, Executed, "STARTING")],
    );
    assert_eq!(late.deadline(), None, "it waits for the service alone");
    check(late, &[(7000, Tells(Notice::Ready), "RUNNING")]);
}

#[test]
fn an_end_before_readiness_is_a_failed_start_however_late() {
    let world = check(
        down(ready(Ready::Fd(3))),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (9000, Exits(0), "BACKOFF"),
        ],
    );
    assert_eq!(world.record().failed_starts, 1);
}

#[test]
fn a_start_that_is_not_ready_within_readysecs_has_failed() {
    let hurried = options(|options| {
        options.ready = Ready::Fd(3);
        options.readysecs = Some(Duration::from_secs(3));
        options.startretries = Some(1);
        options.stopwaitsecs = Some(Duration::from_secs(1));
    });
    let world = check(
        down(hurried),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (3000, Passed, "STOPPING TERM CONT"),
        ],
    );
    assert_eq!(world.warnings, ["not ready within readysecs: stopped"]);
    let world = check(
        world,
        &[
            (4000, Passed, "STOPPING KILL"),
            (4001, Exits(0), "BACKOFF"),
            (5001, Passed, "STARTING run"),
            (5001, Executed, "STARTING"),
            (8001, Passed, "STOPPING TERM CONT"),
            (8002, Exits(0), "FATAL"),
        ],
    );
    assert_eq!(world.record().reason, "2 failed starts, the last: exited 0");
}

#[test]
fn ready_in_time_is_ready_for_good() {
    let hurried = options(|options| {
        options.ready = Ready::Fd(3);
        options.readysecs = Some(Duration::from_secs(3));
    });
    let world = check(
        down(hurried),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (2999, Tells(Notice::Ready), "RUNNING"),
        ],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn down_while_it_becomes_ready_is_a_stop_and_no_failed_start() {
    let hurried = options(|options| {
        options.ready = Ready::Fd(3);
        options.readysecs = Some(Duration::from_secs(3));
    });
    let world = check(
        down(hurried),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (3000, Passed, "STOPPING TERM CONT"),
            (3001, Say("d"), "STOPPING TERM CONT"),
            (3002, Exits(0), "STOPPED"),
        ],
    );
    assert_eq!(world.record().failed_starts, 0);
}

#[test]
fn check_is_asked_every_second_until_it_says_yes() {
    let world = check(
        down(ready(Ready::Check)).with_check(),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (0, Passed, "STARTING check"),
            (100, CheckExits(1), "STARTING"),
            (1100, Passed, "STARTING check"),
            (1200, CheckExits(0), "RUNNING"),
        ],
    );
    assert_eq!(world.deadline(), None, "it is not asked again");
}

#[test]
fn a_check_that_hangs_is_killed_and_has_failed() {
    check(
        down(ready(Ready::Check)).with_check(),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (0, Passed, "STARTING check"),
            (10_000, Passed, "STARTING KILL-check-group"),
            (10_001, CheckExits(1), "STARTING"),
            (11_001, Passed, "STARTING check"),
        ],
    );
}

#[test]
fn a_check_that_went_away_is_waited_for_where_readiness_depends_on_it() {
    check(
        down(ready(Ready::Check)),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (0, Passed, "STARTING"),
            (1000, Passed, "STARTING"),
        ],
    );
}

#[test]
fn failures_in_a_row_restart_the_service() {
    let world = check(
        up(health(2)).with_check(),
        &[
            (11_000, Passed, "RUNNING check"),
            (11_100, CheckExits(1), "RUNNING"),
            (21_100, Passed, "RUNNING check"),
            (21_200, CheckExits(0), "RUNNING"),
            (31_200, Passed, "RUNNING check"),
            (31_300, CheckExits(1), "RUNNING"),
            (41_300, Passed, "RUNNING check"),
            (41_400, CheckExits(7), "STOPPING TERM CONT"),
        ],
    );
    assert_eq!(
        world.warnings,
        ["check failed 2 times in a row, the last: exited 7; restarted"]
    );
    check(world, &[(41_500, Exits(0), "STARTING run")]);
}

#[test]
fn a_service_that_failed_its_checks_ended_unexpectedly() {
    let unexpected = options(|options| {
        options.check_interval = Some(Duration::from_secs(10));
        options.check_failures = 1;
        options.autorestart = servicedir::options::Autorestart::Unexpected;
    });
    check(
        up(unexpected).with_check().with_finish(),
        &[
            (11_000, Passed, "RUNNING check"),
            (11_100, CheckExits(1), "STOPPING TERM CONT"),
            (11_200, Exits(0), "EXITED finish"),
            (11_300, FinishExits(0), "STARTING run"),
        ],
    );
}

#[test]
fn down_after_failed_checks_is_a_stop() {
    check(
        up(health(1)).with_check(),
        &[
            (11_000, Passed, "RUNNING check"),
            (11_100, CheckExits(1), "STOPPING TERM CONT"),
            (11_150, Say("d"), "STOPPING TERM CONT"),
            (11_200, Exits(0), "STOPPED"),
        ],
    );
}

#[test]
fn a_health_check_that_is_not_there_is_not_asked_again() {
    let world = check(up(health(1)), &[(11_000, Passed, "RUNNING")]);
    assert_eq!(world.deadline(), None);
}

#[test]
fn a_health_check_that_could_not_be_forked_is_tried_again() {
    check(
        up(health(1)).with_check(),
        &[
            (11_000, Fork(Some(libc::EAGAIN)), "RUNNING"),
            (11_000, Passed, "RUNNING no-check"),
            (11_000, Fork(None), "RUNNING"),
            (12_000, Passed, "RUNNING check"),
            (12_100, CheckExits(0), "RUNNING"),
            (22_100, Passed, "RUNNING check"),
        ],
    );
}

#[test]
fn an_adopted_service_is_checked_on() {
    check(
        up(health(1)).with_check(),
        &[
            (5000, Replaced, "RUNNING"),
            (15_000, Passed, "RUNNING check"),
            (15_100, CheckExits(1), "STOPPING TERM CONT"),
        ],
    );
}

#[test]
fn a_run_that_cannot_become_run_is_never_running() {
    let world = check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Refused(libc::ENOENT), "STARTING"),
        ],
    );
    assert_eq!(world.deadline(), None);
    check(world, &[(5000, Exits(111), "BACKOFF")]);
}
