//! What the system refuses: no process, a `run` that cannot be executed; and the reasons in the record.

use servicedir::options::Options;
use servicedir::status::End;

use super::At::{
    Begin, Executed, Exits, Fault, Fork, Options as Files, Passed, Refused, Say, Unreadable,
};
use super::{check, down, options, up};

fn retries(retries: u32) -> Options {
    options(|options| options.startretries = Some(retries))
}

#[test]
fn a_fork_that_fails_is_a_failed_start_and_tried_again() {
    let world = check(
        down(Options::default()),
        &[
            (0, Fork(Some(libc::EAGAIN)), "STOPPED"),
            (0, Begin, "BACKOFF no-run"),
        ],
    );
    assert_eq!(
        world.warnings,
        ["unable to fork: try again; next try in 1s"]
    );
    assert_eq!(world.record().last_end, Some(End::NotStarted(libc::EAGAIN)));
    assert_eq!(world.record().total_starts, 0);
    check(
        world,
        &[(500, Fork(None), "BACKOFF"), (1000, Passed, "STARTING run")],
    );
}

#[test]
fn forks_that_fail_lead_to_fatal() {
    let world = check(
        down(retries(1)),
        &[
            (0, Fork(Some(libc::EAGAIN)), "STOPPED"),
            (0, Begin, "BACKOFF no-run"),
            (1000, Passed, "FATAL no-run"),
        ],
    );
    assert_eq!(
        world.record().reason,
        "2 failed starts, the last: unable to fork: try again"
    );
    assert_eq!(
        world.warnings,
        ["given up after 2 failed starts, the last: unable to fork: try again"]
    );
}

#[test]
fn a_fork_that_fails_answers_commands_all_the_while() {
    check(
        down(Options::default()),
        &[
            (0, Fork(Some(libc::EAGAIN)), "STOPPED"),
            (0, Begin, "BACKOFF no-run"),
            (10, Say("u"), "BACKOFF no-run"),
            (20, Say("o"), "EXITED no-run"),
            (30, Say("u"), "BACKOFF no-run"),
            (40, Say("dx"), "STOPPED leave"),
        ],
    );
}

#[test]
fn a_run_that_cannot_be_executed_is_told_once_with_its_reason() {
    let world = check(
        down(Options::default()),
        &[(0, Begin, "STARTING run"), (0, Refused(13), "STARTING")],
    );
    assert_eq!(world.warnings, ["unable to run: errno 13"]);
    let world = check(world, &[(0, Exits(111), "BACKOFF")]);
    assert_eq!(world.record().last_end, Some(End::NotStarted(13)));
    assert_eq!(world.record().reason, "unable to run: errno 13");
    let world = check(
        world,
        &[
            (1000, Passed, "STARTING run"),
            (1000, Refused(13), "STARTING"),
        ],
    );
    assert_eq!(world.warnings, [""; 0], "not once a second");
    let world = check(
        world,
        &[
            (1000, Exits(111), "BACKOFF"),
            (2000, Passed, "STARTING run"),
            (2000, Refused(2), "STARTING"),
        ],
    );
    assert_eq!(world.warnings, ["unable to run: errno 2"], "another reason");
    let world = check(
        world,
        &[
            (2000, Exits(111), "BACKOFF"),
            (3000, Passed, "STARTING run"),
            (3000, Executed, "STARTING"),
            (3500, Exits(1), "BACKOFF"),
        ],
    );
    assert_eq!(world.record().reason, "", "it could be executed");
}

#[test]
fn a_run_that_cannot_be_executed_is_given_up_with_its_reason() {
    let world = check(
        down(retries(0)),
        &[
            (0, Begin, "STARTING run"),
            (0, Refused(2), "STARTING"),
            (0, Exits(111), "FATAL"),
        ],
    );
    assert_eq!(
        world.record().reason,
        "1 failed start, the last: unable to run: errno 2"
    );
}

#[test]
fn the_record_counts_starts_and_stamps_starts_and_stops() {
    let world = up(Options::default());
    let (started, at) = (world.status().stamp, world.record().state_stamp);
    assert_eq!(started.unix_seconds(), 1_800_000_000);
    assert_eq!(at.unix_seconds(), 1_800_000_001, "RUNNING");
    assert_eq!(world.record().total_starts, 1);
    let world = check(
        world,
        &[
            (5000, Say("d"), "STOPPING TERM CONT"),
            (6000, Exits(0), "STOPPED"),
            (9000, Say("dc"), "STOPPED"),
        ],
    );
    assert_eq!(world.status().stamp.unix_seconds(), 1_800_000_006);
    assert_eq!(world.record().state_stamp.unix_seconds(), 1_800_000_006);
    let world = check(world, &[(10_000, Say("u"), "STARTING run")]);
    assert_eq!(world.record().total_starts, 2);
}

#[test]
fn down_in_backoff_is_no_stop_of_anything() {
    let world = check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (100, Exits(1), "BACKOFF"),
            (900, Say("d"), "STOPPED"),
        ],
    );
    assert_eq!(world.status().stamp.nanos(), 100_000_000);
    assert_eq!(world.record().state_stamp.nanos(), 900_000_000);
}

#[test]
fn the_next_start_stands_in_the_record_while_it_is_due() {
    let world = check(
        down(retries(3)),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (500, Exits(1), "BACKOFF"),
        ],
    );
    let record = world.record();
    let next = record.next_start.unwrap();
    assert_eq!(
        (next.unix_seconds(), next.nanos()),
        (1_800_000_001, 500_000_000)
    );
    assert_eq!((record.failed_starts, record.start_retries), (1, Some(3)));
    let world = check(world, &[(1500, Passed, "STARTING run")]);
    assert_eq!(world.record().next_start, None);
}

#[test]
fn an_error_that_passes_while_the_options_are_read_is_a_failed_start() {
    let world = check(
        down(Options::default()),
        &[
            (0, Unreadable(libc::EMFILE), "STOPPED"),
            (0, Begin, "BACKOFF"),
            (1000, Passed, "BACKOFF"),
            (1500, Files(Options::default()), "BACKOFF"),
            (2000, Passed, "STARTING run"),
        ],
    );
    assert_eq!(world.record().failed_starts, 2);
    // On a restart too, and a fault of the files is FATAL still where none were ever read.
    check(
        down(Options::default()),
        &[
            (0, Unreadable(libc::EIO), "STOPPED"),
            (0, Begin, "BACKOFF"),
            (500, Fault("options/x: unknown option"), "BACKOFF"),
            (1000, Passed, "FATAL"),
        ],
    );
}

#[test]
fn autostart_no_holds_after_an_error_that_passed() {
    let off = options(|options| options.autostart = false);
    check(
        down(Options::default()),
        &[
            (0, Unreadable(libc::ENOMEM), "STOPPED"),
            (0, Begin, "BACKOFF"),
            (500, Files(off), "BACKOFF"),
            (1000, Passed, "STOPPED"),
        ],
    );
}

#[test]
fn an_expected_end_within_startsecs_has_its_reason() {
    let two = options(|options| options.startretries = Some(1));
    let world = check(
        down(two),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (10, Exits(0), "BACKOFF"),
        ],
    );
    let reason = world.record().reason;
    assert_eq!(reason, "exited 0 within startsecs (1s): a failed start");
    let world = check(
        world,
        &[
            (1010, Passed, "STARTING run"),
            (1010, Executed, "STARTING"),
            (1020, Exits(0), "FATAL"),
        ],
    );
    let reason = "2 failed starts, the last: exited 0 within startsecs (1s)";
    assert_eq!(world.record().reason, reason);
}
