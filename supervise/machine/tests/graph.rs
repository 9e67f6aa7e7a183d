//! Each transition of Supervisor's graph, by name.

use std::time::Duration;

use servicedir::options::{Autorestart, Backoff, Growth, Options};
use servicedir::signal::Signal;
use servicedir::status::State;

use super::At::{Begin, Executed, Exits, Fault, FinishExits, Killed, Passed, Refused, Say};
use super::{At, World, check, down, options, up};

const LINEAR: Backoff = Backoff {
    growth: Growth::Linear,
    first: Duration::from_secs(1),
    max: None,
};

fn retries(retries: u32) -> Options {
    options(|options| {
        options.startretries = Some(retries);
        options.backoff = LINEAR;
    })
}

/// A service whose first start has failed at 200 ms.
fn backoff(options: Options) -> World {
    check(
        down(options),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(1), "BACKOFF"),
        ],
    )
}

/// A service that ended by itself at 5 s, for good.
fn exited() -> World {
    let never = options(|options| options.autorestart = Autorestart::Never);
    check(up(never), &[(5000, Exits(3), "EXITED")])
}

/// A service that is given up after its first start failed.
fn fatal() -> World {
    check(
        down(retries(0)),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(1), "FATAL"),
        ],
    )
}

#[test]
fn stopped_to_starting() {
    for byte in ["u", "o", "r"] {
        check(
            down(Options::default()),
            &[(5, Say(byte), "STARTING run"), (6, Executed, "STARTING")],
        );
    }
}

#[test]
fn starting_to_running() {
    let world = check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (1000, Passed, "RUNNING"),
        ],
    );
    assert_eq!(world.deadline(), None, "nothing is due");
    assert!(world.record().ready);
}

#[test]
fn starting_to_running_at_once_without_startsecs() {
    let at_once = options(|options| options.startsecs = Duration::ZERO);
    check(
        down(at_once),
        &[(0, Begin, "STARTING run"), (3, Executed, "RUNNING")],
    );
}

#[test]
fn starting_to_backoff_whatever_the_code() {
    for end in [Exits(0), Exits(3), Killed(Signal::ABRT)] {
        let world = check(
            down(Options::default()),
            &[
                (0, Begin, "STARTING run"),
                (0, Executed, "STARTING"),
                (999, end, "BACKOFF"),
            ],
        );
        assert_eq!(world.record().failed_starts, 1);
        assert_eq!(world.deadline(), Some(1999), "counted from the end");
    }
}

#[test]
fn an_end_after_startsecs_is_no_failed_start_even_if_both_are_seen_together() {
    let world = check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (1000, Exits(1), "STARTING run"),
        ],
    );
    assert_eq!(world.record().failed_starts, 0);
}

#[test]
fn backoff_to_starting() {
    check(
        backoff(Options::default()),
        &[(1200, Passed, "STARTING run")],
    );
}

#[test]
fn backoff_to_starting_at_once_when_asked() {
    for byte in ["u", "o", "r"] {
        let world = check(
            backoff(Options::default()),
            &[
                (300, Say(byte), "STARTING run"),
                (300, Executed, "STARTING"),
            ],
        );
        assert_eq!(world.record().failed_starts, 1, "{byte}");
    }
}

#[test]
fn backoff_to_fatal_after_the_last_retry() {
    let world = check(
        backoff(retries(2)),
        &[
            (1200, Passed, "STARTING run"),
            (1200, Executed, "STARTING"),
            (1400, Exits(1), "BACKOFF"),
            (3400, Passed, "STARTING run"),
            (3400, Executed, "STARTING"),
            (3600, Exits(4), "FATAL"),
        ],
    );
    assert_eq!(world.starts, [0, 1200, 3400]);
    assert_eq!(world.record().reason, "3 failed starts, the last: exited 4");
    assert_eq!(world.deadline(), None);
    let [.., before, last] = world.states[..] else {
        panic!("{:?}", world.states)
    };
    assert_eq!([before, last], [State::Backoff, State::Fatal]);
}

#[test]
fn backoff_lasts_until_finish_has_ended() {
    check(
        down(retries(0)).with_finish(),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (200, Exits(1), "BACKOFF finish"),
            (300, FinishExits(0), "FATAL"),
        ],
    );
}

#[test]
fn backoff_to_stopped() {
    let world = check(backoff(retries(5)), &[(300, Say("d"), "STOPPED")]);
    assert_eq!(world.record().failed_starts, 0, "a stop forgets them");
    assert_eq!(world.deadline(), None);
}

#[test]
fn running_to_stopping_to_stopped() {
    let world = check(
        up(Options::default()),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2100, Killed(Signal::TERM), "STOPPED"),
        ],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn starting_to_stopping_to_stopped() {
    check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "STARTING"),
            (100, Say("d"), "STOPPING TERM CONT"),
            (110, Exits(7), "STOPPED"),
        ],
    );
}

#[test]
fn starting_to_stopping_before_it_has_become_run() {
    check(
        down(Options::default()),
        &[
            (0, Begin, "STARTING run"),
            (0, Say("d"), "STOPPING TERM CONT"),
            (1, Refused(2), "STOPPING"),
            (1, Exits(111), "STOPPED"),
        ],
    );
}

#[test]
fn stopping_to_starting_when_asked_for_meanwhile() {
    for byte in ["u", "r"] {
        let world = check(
            up(Options::default()),
            &[
                (2000, Say("d"), "STOPPING TERM CONT"),
                (2001, Say(byte), "STOPPING"),
                (2100, Killed(Signal::TERM), "STARTING run"),
            ],
        );
        assert_eq!(world.status().want, servicedir::status::Want::Up);
    }
}

#[test]
fn stopping_to_stopped_when_asked_for_once_meanwhile() {
    check(
        up(Options::default()),
        &[
            (2000, Say("d"), "STOPPING TERM CONT"),
            (2001, Say("o"), "STOPPING"),
            (2100, Killed(Signal::TERM), "STOPPED"),
        ],
    );
}

#[test]
fn stopping_to_stopped_when_the_last_word_was_down() {
    check(
        up(Options::default()),
        &[
            (2000, Say("r"), "STOPPING TERM CONT"),
            (2001, Say("d"), "STOPPING TERM CONT"),
            (2100, Killed(Signal::TERM), "STOPPED"),
        ],
    );
}

#[test]
fn running_to_exited_by_autorestart_and_exitcodes() {
    let when = |autorestart| options(|options| options.autorestart = autorestart);
    let again = "STARTING run";
    for (autorestart, end, after) in [
        (Autorestart::Always, Exits(0), again),
        (Autorestart::Always, Killed(Signal::KILL), again),
        (Autorestart::Unexpected, Exits(0), "EXITED"),
        (Autorestart::Unexpected, Exits(1), again),
        (Autorestart::Unexpected, Killed(Signal::TERM), again),
        (Autorestart::Never, Exits(1), "EXITED"),
        (Autorestart::Never, Killed(Signal::ABRT), "EXITED"),
    ] {
        let world = check(up(when(autorestart)), &[(5000, end, after)]);
        assert!(world.states.contains(&State::Exited));
    }
}

#[test]
fn exited_to_starting_never_within_a_second_of_the_last_start() {
    let at_once = options(|options| options.startsecs = Duration::ZERO);
    check(
        down(at_once),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "RUNNING"),
            (10, Exits(0), "EXITED"),
            (1000, Passed, "STARTING run"),
        ],
    );
}

#[test]
fn exited_to_starting_when_asked() {
    for byte in ["u", "o", "r"] {
        check(exited(), &[(5001, Say(byte), "STARTING run")]);
    }
}

#[test]
fn exited_stays_where_it_is_to_be_down() {
    let world = check(exited(), &[(6000, Say("d"), "EXITED")]);
    assert_eq!(world.status().want, servicedir::status::Want::Down);
    assert_eq!(world.deadline(), None);
}

#[test]
fn exited_to_stopped_while_the_restart_is_due() {
    let at_once = options(|options| options.startsecs = Duration::ZERO);
    let world = check(
        down(at_once),
        &[
            (0, Begin, "STARTING run"),
            (0, Executed, "RUNNING"),
            (10, Exits(0), "EXITED"),
            (20, Say("d"), "STOPPED"),
        ],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn fatal_to_starting_only_when_asked() {
    for byte in ["u", "o", "r"] {
        let world = check(fatal(), &[(300, Say(byte), "STARTING run")]);
        assert_eq!(world.record().failed_starts, 0, "{byte}");
        assert_eq!(world.record().reason, "", "{byte}");
    }
    for byte in [
        "d", "t", "k", "p", "c", "h", "a", "i", "q", "1", "2", "w", "?",
    ] {
        let world = check(fatal(), &[(300, Say(byte), "FATAL")]);
        assert_eq!(world.record().reason, "1 failed start, the last: exited 1");
    }
    let world = fatal();
    assert_eq!(world.status().want, servicedir::status::Want::Down);
    assert_eq!(world.deadline(), None);
}

#[test]
fn running_forgets_the_failed_starts() {
    let world = check(
        backoff(retries(1)),
        &[
            (1200, Passed, "STARTING run"),
            (1200, Executed, "STARTING"),
            (2200, Passed, "RUNNING"),
            (5000, Exits(1), "STARTING run"),
            (5000, Executed, "STARTING"),
            (5100, Exits(1), "BACKOFF"),
        ],
    );
    assert_eq!(world.record().failed_starts, 1);
    assert_eq!(world.deadline(), Some(6100));
}

#[test]
fn a_stop_forgets_the_failed_starts() {
    let world = check(
        backoff(retries(1)),
        &[
            (1200, Passed, "STARTING run"),
            (1300, Say("d"), "STOPPING TERM CONT"),
            (1300, Exits(0), "STOPPED"),
            (1400, Say("u"), "STARTING run"),
            (1400, Executed, "STARTING"),
            (1500, Exits(1), "BACKOFF"),
        ],
    );
    assert_eq!(world.record().failed_starts, 1);
}

#[test]
fn finish_that_exits_125_gives_up() {
    for (end, before) in [(Exits(0), "EXITED"), (Killed(Signal::ABRT), "EXITED")] {
        let world = check(
            up(Options::default()).with_finish(),
            &[
                (5000, end, &format!("{before} finish")),
                (5100, FinishExits(125), "FATAL"),
            ],
        );
        assert_eq!(world.record().reason, "finish exited 125");
    }
    let world = check(
        backoff(Options::default()).with_finish(),
        &[
            (1200, Passed, "STARTING run"),
            (1300, Exits(1), "BACKOFF finish"),
            (1400, FinishExits(125), "FATAL"),
        ],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn finish_that_exits_125_after_a_stop_leaves_it_stopped() {
    check(
        up(Options::default()).with_finish(),
        &[
            (5000, Say("d"), "STOPPING TERM CONT"),
            (5000, Exits(0), "STOPPING finish"),
            (5100, FinishExits(125), "STOPPED"),
        ],
    );
}

#[test]
fn once_is_started_once() {
    for end in [Exits(0), Exits(1), Killed(Signal::ABRT)] {
        let world = check(
            down(Options::default()),
            &[
                (0, Say("o"), "STARTING run"),
                (0, Executed, "STARTING"),
                (1000, Passed, "RUNNING"),
                (5000, end, "EXITED"),
            ],
        );
        assert_eq!(world.deadline(), None);
        assert_eq!(world.status().want, servicedir::status::Want::Down);
    }
}

#[test]
fn once_is_not_tried_again() {
    let world = check(
        down(Options::default()),
        &[
            (0, Say("o"), "STARTING run"),
            (0, Executed, "STARTING"),
            (100, Exits(1), "EXITED"),
        ],
    );
    assert_eq!(world.deadline(), None);
}

#[test]
fn once_while_it_is_up_means_no_restart_and_up_takes_it_back() {
    check(
        up(Options::default()),
        &[(2000, Say("o"), "RUNNING"), (5000, Exits(0), "EXITED")],
    );
    check(
        up(Options::default()),
        &[
            (2000, Say("ou"), "RUNNING"),
            (5000, Exits(0), "STARTING run"),
        ],
    );
}

#[test]
fn the_first_start_is_stopped_by_autostart_or_down() {
    let manual = options(|options| options.autostart = false);
    let world = check(down(manual), &[(0, Begin, "STOPPED")]);
    assert_eq!(world.status().want, servicedir::status::Want::Down);
    let mut world = down(Options::default());
    world.step(crate::event::Event::Begin { down: true });
    assert_eq!(world.shown(), "STOPPED");
    check(world, &[(5, Say("u"), "STARTING run")]);
}

#[test]
fn a_fault_in_the_options_is_fatal_on_the_first_start() {
    let fault = "options/startsec: unknown option (did you mean startsecs?)";
    let world = check(
        down(Options::default()),
        &[(0, Fault(fault), "STOPPED"), (0, Begin, "FATAL")],
    );
    assert_eq!(world.record().reason, fault);
    assert_eq!(world.starts, [0_u64; 0]);
    assert_eq!(
        world.warnings,
        [format!("{fault}; the service is not started")]
    );
}

#[test]
fn a_fault_in_the_options_is_fatal_where_somebody_asked() {
    for byte in ["u", "o"] {
        let world = check(
            exited(),
            &[(6000, Fault("bad"), "EXITED"), (6000, Say(byte), "FATAL")],
        );
        assert_eq!(world.record().reason, "bad");
        assert!(!world.record().options_fault, "it does not serve");
        check(
            world,
            &[
                (7000, At::Options(Options::default()), "FATAL"),
                (7000, Say("u"), "STARTING run"),
            ],
        );
    }
    check(
        up(Options::default()),
        &[
            (6000, Fault("bad"), "RUNNING"),
            (6000, Say("r"), "STOPPING TERM CONT"),
            (6000, Exits(0), "FATAL"),
        ],
    );
}

#[test]
fn a_fault_in_the_options_does_not_stop_an_automatic_restart() {
    let never_tries_again = options(|options| options.startretries = Some(0));
    let world = check(
        up(never_tries_again),
        &[
            (6000, Fault("bad"), "RUNNING"),
            (6000, Exits(1), "STARTING run"),
        ],
    );
    assert!(world.record().options_fault);
    assert_eq!(world.record().reason, "bad");
    assert_eq!(world.record().start_retries, Some(0), "the last good ones");
    let world = check(
        world,
        &[
            (6000, Executed, "STARTING"),
            (7000, Passed, "RUNNING"),
            (8000, Exits(1), "STARTING run"),
        ],
    );
    assert_eq!(world.warnings, [""; 0], "said once");
    let world = check(
        world,
        &[
            (8000, Executed, "STARTING"),
            (9000, Passed, "RUNNING"),
            (9000, At::Options(Options::default()), "RUNNING"),
            (9000, Exits(1), "STARTING run"),
        ],
    );
    assert!(!world.record().options_fault);
    assert_eq!(world.record().reason, "");
}
