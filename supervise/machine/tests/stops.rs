//! Stops: how long one waits, what it sends to whom, and `finish` after it.

use std::time::Duration;

use servicedir::options::Options;
use servicedir::signal::Signal;
use servicedir::status::End;

use super::At::{
    Begin, CheckExits, Executed, Exits, FinishExits, Fork, GroupEmpty, Killed, Passed, Refused,
    Replaced, Say, ScriptExits,
};
use super::world::{Role, killed};
use super::{check, down, options, up};

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn kill_comes_after_stopwaitsecs_and_again_after_the_same_time() {
    let patient = options(|options| options.stopwaitsecs = seconds(5));
    check(
        up(patient),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (7000, Passed, "STOPPING KILL"),
            (12000, Passed, "STOPPING KILL"),
            (12001, Killed(Signal::KILL), "STOPPED"),
        ],
    );
}

#[test]
fn a_stop_that_is_asked_for_again_is_not_put_off() {
    let patient = options(|options| options.stopwaitsecs = seconds(5));
    check(
        up(patient),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (6000, Say("d"), "STOPPING TERM CONT"),
            (7000, Passed, "STOPPING KILL"),
        ],
    );
}

#[test]
fn without_stopwaitsecs_a_stop_waits_without_end() {
    let world = check(
        up(Options::default()),
        &[(2000, Say("d"), "STOPPING TERM CONT")],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn stopwaitsecs_0_kills_at_once_and_is_no_busy_loop() {
    let at_once = options(|options| options.stopwaitsecs = seconds(0));
    check(
        up(at_once),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2000, Passed, "STOPPING KILL"),
            (3000, Passed, "STOPPING KILL"),
        ],
    );
}

#[test]
fn control_t_that_hangs_does_not_put_off_kill() {
    let patient = options(|options| options.stopwaitsecs = seconds(5));
    check(
        up(patient).with_scripts("t"),
        &[
            (2000, Say("d"), "STOPPING control/t"),
            (7000, Passed, "STOPPING KILL"),
            (7001, Killed(Signal::KILL), "STOPPED"),
            (9000, ScriptExits('t', 1), "STOPPED"),
        ],
    );
}

#[test]
fn the_stop_signal_goes_to_the_group() {
    let group = options(|options| {
        options.stopasgroup = true;
        options.killasgroup = true;
        options.stopsignal = Signal::INT;
        options.stopwaitsecs = seconds(5);
    });
    check(
        up(group),
        &[
            (2000, Say("d"), "STOPPING INT-group CONT-group"),
            (7000, Passed, "STOPPING KILL-group"),
            (7001, Killed(Signal::KILL), "STOPPED"),
        ],
    );
}

#[test]
fn a_stop_of_the_group_is_over_when_the_group_is_empty() {
    let group = options(|options| {
        options.stopasgroup = true;
        options.killasgroup = true;
        options.stopwaitsecs = seconds(5);
    });
    let stopped = || {
        check(
            up(group.clone()).with_children().with_finish(),
            &[
                (2000, Say("d"), "STOPPING TERM-group CONT-group"),
                (2001, Exits(0), "STOPPING"),
            ],
        )
    };
    let world = check(
        stopped(),
        &[
            (4000, GroupEmpty, "STOPPING finish"),
            (4001, FinishExits(0), "STOPPED"),
        ],
    );
    assert_eq!(world.record().last_end, Some(End::Exited(0)));
    check(
        stopped(),
        &[
            (7000, Passed, "STOPPING KILL-group"),
            (7001, GroupEmpty, "STOPPING finish"),
        ],
    );
    check(
        stopped(),
        &[
            (2500, Say("u"), "STOPPING"),
            (3000, Say("k"), "STOPPING KILL-group"),
            (3001, GroupEmpty, "STOPPING finish"),
            (3002, FinishExits(0), "STARTING run"),
        ],
    );
}

#[test]
fn with_killasgroup_alone_the_rest_gets_kill_after_stopwaitsecs_or_at_once() {
    let group = |wait| {
        let options = options(|options| {
            options.killasgroup = true;
            options.stopwaitsecs = wait;
        });
        up(options).with_children()
    };
    check(
        group(seconds(5)),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2001, Exits(0), "STOPPING"),
            (7000, Passed, "STOPPING KILL-group"),
            (7001, GroupEmpty, "STOPPED"),
        ],
    );
    check(
        group(None),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2001, Exits(0), "STOPPING KILL-group"),
            (2002, GroupEmpty, "STOPPED"),
        ],
    );
    check(group(None), &[(2001, Exits(0), "STARTING run")]);
}

#[test]
fn a_supervise_that_adopts_a_stop_of_a_group_goes_on_with_it() {
    let group = options(|options| {
        options.stopasgroup = true;
        options.killasgroup = true;
        options.stopwaitsecs = seconds(5);
    });
    check(
        up(group).with_children(),
        &[
            (2000, Say("d"), "STOPPING TERM-group CONT-group"),
            (3000, Replaced, "STOPPING"),
            (3001, Exits(0), "STOPPING"),
            (4000, GroupEmpty, "STOPPED"),
        ],
    );
}

#[test]
fn finish_is_tried_again_where_the_system_refuses_it() {
    check(
        up(Options::default()).with_finish(),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2000, Fork(Some(libc::EAGAIN)), "STOPPING"),
            (2001, Exits(0), "STOPPING no-finish"),
            (2002, Fork(None), "STOPPING"),
            (3001, Passed, "STOPPING finish"),
            (3002, FinishExits(0), "STOPPED"),
        ],
    );
}

#[test]
fn kill_takes_the_children_of_finish_too() {
    check(
        up(Options::default()).with_finish(),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2001, Exits(0), "STOPPING finish"),
            (2002, Say("k"), "STOPPING KILL-finish-group"),
        ],
    );
}

#[test]
fn finish_is_told_how_the_run_ended_and_its_group() {
    let mut world = up(Options::default()).with_finish();
    let group = world.pid(Role::Run);
    world.now = 5000;
    world.end(Role::Run, killed(Signal::ABRT));
    assert_eq!(world.finished, Some((killed(Signal::ABRT), group)));
    assert_eq!(world.record().last_end, Some(killed(Signal::ABRT)));
    let world = check(
        down(Options::default()).with_finish(),
        &[
            (0, Begin, "STARTING run"),
            (0, Refused(libc::EACCES), "STARTING"),
            (0, Exits(111), "BACKOFF finish"),
        ],
    );
    let told = world.finished.map(|(end, _)| end);
    assert_eq!(told, Some(End::NotStarted(libc::EACCES)));
}

#[test]
fn finish_is_killed_after_finishsecs() {
    let hurried = options(|options| options.finishsecs = seconds(2));
    let world = check(
        up(hurried).with_finish(),
        &[
            (5000, Exits(0), "EXITED finish"),
            (7000, Passed, "EXITED KILL-finish-group"),
        ],
    );
    assert_eq!(
        world.warnings,
        ["finish takes longer than finishsecs: killed"]
    );
    assert_eq!(world.deadline(), None);
    check(world, &[(7001, FinishExits(0), "STARTING run")]);
}

#[test]
fn the_wait_for_a_retry_counts_from_the_end_of_the_run() {
    let slow = check(
        down(Options::default()).with_finish(),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(1), "BACKOFF finish"),
            (600, FinishExits(0), "BACKOFF"),
            (1200, Passed, "STARTING run"),
            (1200, Executed, "STARTING"),
            (1400, Exits(1), "BACKOFF finish"),
            (5000, FinishExits(0), "STARTING run"),
        ],
    );
    assert_eq!(slow.record().failed_starts, 2);
}

#[test]
fn no_process_is_left_for_finish_or_control_scripts() {
    let mut world = check(
        up(Options::default()).with_finish().with_scripts("t"),
        &[
            (2000, Fork(Some(libc::EAGAIN)), "RUNNING"),
            (2000, Say("d"), "STOPPING no-control/t TERM CONT"),
            (2001, Exits(0), "STOPPING no-finish"),
        ],
    );
    for second in 3..11 {
        world = check(world, &[(second * 1000 + 1, Passed, "STOPPING no-finish")]);
    }
    let world = check(world, &[(11001, Passed, "STOPPED no-finish")]);
    assert_eq!(world.warnings, ["finish was not run: try again"]);
}

#[test]
fn a_check_that_runs_ends_with_its_service() {
    let checked = options(|options| options.check_interval = seconds(10));
    check(
        up(checked).with_check(),
        &[
            (11000, Passed, "RUNNING check"),
            (11001, Exits(0), "STARTING KILL-check-group run"),
            (11002, CheckExits(0), "STARTING"),
        ],
    );
}
