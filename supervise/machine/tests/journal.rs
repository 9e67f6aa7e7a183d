//! The lines of the journal that follow from what happens.

use servicedir::options::{Autorestart, Ready};
use servicedir::signal::Signal;

use super::world::World;
use super::{At, down, options, up};
use crate::event::Notice;

/// Plays the rows, and compares the lines without their labels and without the pids' numbers.
#[track_caller]
fn lines(mut world: World, rows: &[(u64, At)], expected: &[&str]) {
    play(&mut world, rows);
    let mut last = None;
    let mut lines = Vec::new();
    for entry in world.machine.take_journal() {
        assert!(last.is_none_or(|last| entry.number == last + 1));
        last = Some(entry.number);
        let text = String::from_utf8(entry.to_line()).unwrap();
        let words = text.trim_end().split(' ').skip(2);
        let words = words.map(|word| match word.split_once('=') {
            Some((key @ ("pid" | "supervise" | "next"), _)) => key,
            Some(_) | None => word,
        });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(lines, expected);
}

#[track_caller]
fn play(world: &mut World, rows: &[(u64, At)]) {
    for (at, event) in rows {
        world.now = *at;
        world.play(event);
    }
}

fn fresh() -> World {
    let mut world = up(options(|_| {}));
    drop(world.machine.take_journal());
    world
}

#[test]
fn a_start_and_a_stop() {
    lines(
        down(options(|_| {})),
        &[
            (0, At::Begin),
            (1, At::Executed),
            (1000, At::Passed),
            (2000, At::Say("d")),
            (2100, At::Killed(Signal::TERM)),
        ],
        &[
            "STOPPED supervise",
            "STARTING from=STOPPED tries=0",
            "RUNNING from=STARTING pid ready=yes",
            "RUNNING command=d",
            "STOPPING from=RUNNING pid ready=no",
            "STOPPED from=STOPPING pid signal=SIGTERM",
        ],
    );
}

#[test]
fn an_end_that_is_not_expected_and_the_restart() {
    lines(
        fresh(),
        &[(5000, At::Exits(7))],
        &[
            "EXITED from=RUNNING pid exit=7 expected=no ready=no",
            "STARTING from=EXITED tries=0",
        ],
    );
}

#[test]
fn a_service_that_becomes_running_and_ends_in_one_turn_was_running() {
    lines(
        down(options(|options| {
            options.startsecs = std::time::Duration::ZERO;
            options.autorestart = Autorestart::Unexpected;
        })),
        &[(0, At::Begin), (1, At::Executed), (2, At::Exits(0))],
        &[
            "STOPPED supervise",
            "STARTING from=STOPPED tries=0",
            "RUNNING from=STARTING pid ready=yes",
            "EXITED from=RUNNING pid exit=0 expected=yes ready=no",
        ],
    );
}

#[test]
fn failed_starts_up_to_fatal() {
    lines(
        down(options(|options| options.startretries = Some(1))),
        &[
            (0, At::Begin),
            (1, At::Executed),
            (10, At::Exits(3)),
            (1010, At::Passed),
            (1011, At::Refused(13)),
            (1012, At::Exits(111)),
        ],
        &[
            "STOPPED supervise",
            "STARTING from=STOPPED tries=0",
            "BACKOFF from=STARTING pid exit=3 tries=1 next",
            "STARTING from=BACKOFF tries=1",
            "BACKOFF from=STARTING pid errno=13 tries=2 reason=\"unable to run: errno 13\"",
            "FATAL from=BACKOFF tries=2 reason=\"2 failed starts, the last: unable to run: errno 13\"",
        ],
    );
}

#[test]
fn a_restart_that_was_asked_for_passes_through_stopped() {
    lines(
        fresh(),
        &[(5000, At::Say("r")), (5001, At::Killed(Signal::TERM))],
        &[
            "RUNNING command=r",
            "STOPPING from=RUNNING pid ready=no",
            "STOPPED from=STOPPING pid signal=SIGTERM",
            "STARTING from=STOPPED tries=0",
        ],
    );
}

#[test]
fn a_pause_and_a_kill_that_nobody_asked_for() {
    let mut world = up(options(|options| {
        options.stopwaitsecs = Some(std::time::Duration::from_secs(2));
    }));
    drop(world.machine.take_journal());
    lines(
        world,
        &[
            (5000, At::Say("p")),
            (6000, At::Say("c")),
            (7000, At::Terminate),
            (9000, At::Passed),
        ],
        &[
            "RUNNING command=p",
            "RUNNING pid paused=yes",
            "RUNNING command=c",
            "RUNNING pid paused=no",
            "RUNNING told=TERM",
            "STOPPING from=RUNNING pid ready=no",
            "STOPPING pid sent=SIGKILL",
        ],
    );
}

#[test]
fn readiness_has_its_own_line_where_it_comes_before_running() {
    lines(
        down(options(|options| options.ready = Ready::Fd(3))),
        &[
            (0, At::Begin),
            (1, At::Executed),
            (10, At::Notice(Notice::Ready)),
            (1000, At::Passed),
        ],
        &[
            "STOPPED supervise",
            "STARTING from=STOPPED tries=0",
            "STARTING pid ready=yes",
            "RUNNING from=STARTING pid",
        ],
    );
}

#[test]
fn a_supervise_that_takes_over_says_so_and_goes_on_counting() {
    let mut world = up(options(|_| {}));
    let before = world.machine.status().record.unwrap().journal;
    play(&mut world, &[(5000, At::Replaced)]);
    let entries = world.machine.take_journal();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].number, before + 1);
    assert!(entries[0].adopted && entries[0].supervise.is_some());
}

#[test]
fn faulty_options_are_told_once_and_with_their_fault() {
    let mut world = up(options(|_| {}));
    drop(world.machine.take_journal());
    lines(
        world,
        &[(5000, At::Fault("options/nice:1: x")), (6000, At::Exits(0))],
        &[
            "EXITED from=RUNNING pid exit=0 expected=yes ready=no",
            "STARTING from=EXITED tries=0",
            "STARTING reason=\"options/nice:1: x\"",
        ],
    );
}
