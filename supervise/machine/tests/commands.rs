//! Every control byte in every state, and the scripts in `control/`.

use servicedir::options::{Autorestart, Options};
use servicedir::signal::Signal;
use servicedir::status::Want;

use super::At::{
    Begin, Executed, Exits, FinishExits, Killed, Passed, Replaced, Say, ScriptExits, Terminate,
};
use super::{At, World, check, down, options, up};

/// A service in each state, all made from the same options, by the state's name.
fn everywhere() -> Vec<(&'static str, World)> {
    let unexpected = || options(|options| options.autorestart = Autorestart::Unexpected);
    let starting = || {
        check(
            down(unexpected()),
            &[(0, Begin, "STARTING run"), (1000, Executed, "RUNNING")][..1],
        )
    };
    let retried_never = options(|options| options.startretries = Some(0));
    vec![
        ("STOPPED", down(unexpected())),
        ("STARTING", starting()),
        ("RUNNING", up(unexpected())),
        (
            "STOPPING",
            check(up(unexpected()), &[(2000, Say("d"), "STOPPING TERM CONT")]),
        ),
        ("BACKOFF", check(starting(), &[(2000, Exits(1), "BACKOFF")])),
        (
            "EXITED",
            check(up(unexpected()), &[(2000, Exits(0), "EXITED")]),
        ),
        (
            "FATAL",
            check(
                down(retried_never),
                &[
                    (0, Begin, "STARTING run"),
                    (0, Executed, "STARTING"),
                    (900, Exits(1), "FATAL"),
                ],
            ),
        ),
    ]
}

/// Says the byte in every state; expects the state and the actions in each.
#[track_caller]
fn everywhere_say(byte: &'static str, expected: [&str; 7]) {
    for ((state, mut world), expected) in everywhere().into_iter().zip(expected) {
        world.now = 2001;
        let actions = world.play(&Say(byte));
        let seen = [vec![world.shown().to_owned()], actions].concat().join(" ");
        assert_eq!(seen, expected, "{byte} in {state}");
    }
}

#[test]
fn up_in_every_state() {
    let start = "STARTING run";
    everywhere_say(
        "u",
        [
            start, "STARTING", "RUNNING", "STOPPING", start, start, start,
        ],
    );
}

#[test]
fn once_in_every_state() {
    let start = "STARTING run";
    everywhere_say(
        "o",
        [
            start, "STARTING", "RUNNING", "STOPPING", start, start, start,
        ],
    );
}

#[test]
fn restart_in_every_state() {
    let start = "STARTING run";
    let stop = "STOPPING TERM CONT";
    everywhere_say("r", [start, stop, stop, "STOPPING", start, start, start]);
}

#[test]
fn down_in_every_state() {
    let stop = "STOPPING TERM CONT";
    everywhere_say(
        "d",
        ["STOPPED", stop, stop, stop, "STOPPED", "EXITED", "FATAL"],
    );
}

#[test]
fn exit_in_every_state() {
    everywhere_say(
        "x",
        [
            "STOPPED leave",
            "STARTING",
            "RUNNING",
            "STOPPING",
            "BACKOFF leave",
            "EXITED leave",
            "FATAL leave",
        ],
    );
}

#[test]
fn detach_in_every_state() {
    everywhere_say(
        "z",
        [
            "STOPPED leave",
            "STARTING leave",
            "RUNNING leave",
            "STOPPING leave",
            "BACKOFF leave",
            "EXITED leave",
            "FATAL leave",
        ],
    );
}

#[test]
fn unknown_bytes_do_nothing_and_are_counted() {
    everywhere_say(
        "?L\n",
        [
            "STOPPED", "STARTING", "RUNNING", "STOPPING", "BACKOFF", "EXITED", "FATAL",
        ],
    );
    let world = check(up(Options::default()), &[(2000, Say("?L\nu"), "RUNNING")]);
    assert_eq!(world.record().commands, 4);
}

#[test]
fn signals_go_to_a_run_and_to_nothing_else() {
    for (byte, name) in [
        ("p", "STOP"),
        ("c", "CONT"),
        ("h", "HUP"),
        ("a", "ALRM"),
        ("i", "INT"),
        ("k", "KILL"),
        ("q", "QUIT"),
        ("1", "USR1"),
        ("2", "USR2"),
        ("w", "WINCH"),
    ] {
        let sent = |state: &str| format!("{state} {name}");
        let (starting, running) = (sent("STARTING"), sent("RUNNING"));
        let stopping = sent("STOPPING");
        everywhere_say(
            byte,
            [
                "STOPPED", &starting, &running, &stopping, "BACKOFF", "EXITED", "FATAL",
            ],
        );
    }
}

#[test]
fn term_lets_a_paused_service_end_where_it_is_to_end() {
    everywhere_say(
        "t",
        [
            "STOPPED",
            "STARTING TERM",
            "RUNNING TERM",
            "STOPPING TERM CONT",
            "BACKOFF",
            "EXITED",
            "FATAL",
        ],
    );
}

#[test]
fn signals_do_not_go_to_finish_except_kill() {
    for (byte, expected) in [
        ("t", "EXITED"),
        ("p", "EXITED"),
        ("k", "EXITED KILL-finish-group"),
    ] {
        check(
            up(Options::default()).with_finish(),
            &[
                (5000, Exits(0), "EXITED finish"),
                (5001, Say(byte), expected),
            ],
        );
    }
}

#[test]
fn commands_while_finish_runs_decide_what_follows() {
    for (bytes, after) in [
        ("u", "STARTING run"),
        ("o", "STARTING run"),
        ("r", "STARTING run"),
        ("d", "STOPPED"),
        ("du", "STARTING run"),
        ("ud", "STOPPED"),
        ("?", "STARTING run"),
    ] {
        let mut world = check(
            up(Options::default()).with_finish(),
            &[(5000, Exits(0), "EXITED finish")],
        );
        world.now = 5001;
        world.play(&Say(bytes));
        check(world, &[(5100, FinishExits(0), after)]);
    }
}

#[test]
fn exit_leaves_after_finish() {
    check(
        up(Options::default()).with_finish(),
        &[
            (2000, Say("dx"), "STOPPING TERM CONT"),
            (2010, Killed(Signal::TERM), "STOPPING finish"),
            (2020, FinishExits(0), "STOPPED leave"),
        ],
    );
    check(
        up(Options::default()).with_finish(),
        &[
            (2000, Say("x"), "RUNNING"),
            (5000, Exits(0), "EXITED finish"),
            (5020, FinishExits(0), "EXITED leave"),
        ],
    );
}

#[test]
fn exit_is_not_taken_back_and_starts_nothing() {
    let world = check(
        up(Options::default()),
        &[
            (2000, Say("dxu"), "STOPPING TERM CONT"),
            (2010, Killed(Signal::TERM), "EXITED leave"),
            (2020, Say("u"), "STOPPED"),
        ],
    );
    assert!(world.record().left);
    check(
        down(Options::default()),
        &[(0, Say("xu"), "STOPPED leave"), (1, Say("o"), "STOPPED")],
    );
}

#[test]
fn terminate_is_down_and_exit() {
    check(
        up(Options::default()),
        &[
            (2000, Terminate, "STOPPING TERM CONT"),
            (2010, Killed(Signal::TERM), "STOPPED leave"),
        ],
    );
    check(down(Options::default()), &[(0, Terminate, "STOPPED leave")]);
}

#[test]
fn a_detached_service_is_adopted_with_what_it_was_told() {
    let world = check(
        up(Options::default()),
        &[
            (2000, Say("oz"), "RUNNING leave"),
            (2001, Replaced, "RUNNING"),
        ],
    );
    assert!(!world.record().left);
    assert_eq!(world.status().want, Want::Once);
    check(world, &[(9000, Exits(0), "EXITED")]);
}

#[test]
fn paused_and_continued_stands_in_the_record() {
    let world = check(up(Options::default()), &[(2000, Say("p"), "RUNNING STOP")]);
    assert!(world.status().paused);
    assert_eq!(world.machine.stat(), "run, paused\n");
    let continued = check(world.clone(), &[(2001, Say("c"), "RUNNING CONT")]);
    assert!(!continued.status().paused);
    let stopped = check(world, &[(2001, Say("d"), "STOPPING TERM CONT")]);
    assert!(!stopped.status().paused);
    assert_eq!(stopped.machine.stat(), "run, got TERM, want down\n");
}

#[test]
fn stat_is_runits_text() {
    let world = up(Options::default()).with_finish();
    assert_eq!(world.machine.stat(), "run\n");
    assert_eq!(down(Options::default()).machine.stat(), "down\n");
    let termed = check(world.clone(), &[(2000, Say("t"), "RUNNING TERM")]);
    assert_eq!(termed.machine.stat(), "run, got TERM\n");
    let world = check(world, &[(2000, Say("dx"), "STOPPING TERM CONT")]);
    assert_eq!(world.machine.stat(), "run, got TERM, want exit\n");
    let world = check(world, &[(2001, Exits(0), "STOPPING finish")]);
    assert_eq!(world.machine.stat(), "finish, want exit\n");
}

#[test]
fn control_t_stands_for_the_stop_signal() {
    let world = check(
        up(Options::default()).with_scripts("tdx"),
        &[
            (2000, Say("d"), "STOPPING control/t"),
            (2100, ScriptExits('t', 0), "STOPPING CONT control/d"),
            (2200, Exits(0), "STOPPED"),
        ],
    );
    assert_eq!(world.alive.len(), 1, "control/d may go on");
    let world = check(
        up(Options::default()).with_scripts("tdx"),
        &[
            (2000, Terminate, "STOPPING control/t"),
            (2100, ScriptExits('t', 1), "STOPPING TERM CONT control/x"),
        ],
    );
    assert!(world.status().term_sent);
}

#[test]
fn term_was_sent_only_if_it_was() {
    let rows: [(u64, At, &str); 2] = [
        (2000, Say("d"), "STOPPING control/t"),
        (2100, ScriptExits('t', 0), "STOPPING CONT"),
    ];
    let world = check(up(Options::default()).with_scripts("t"), &rows);
    assert!(!world.status().term_sent, "control/t has done it");
    let by_int = options(|options| options.stopsignal = Signal::INT);
    let world = check(up(by_int), &[(2000, Say("d"), "STOPPING INT CONT")]);
    assert!(!world.status().term_sent, "INT was");
}

#[test]
fn a_script_killed_by_a_signal_has_not_handled_it() {
    let mut world = check(
        up(Options::default()).with_scripts("h"),
        &[(2000, Say("h"), "RUNNING control/h")],
    );
    let role = super::world::Role::Script(b'h');
    let actions = world.end(role, super::world::killed(Signal::KILL));
    assert_eq!(actions, ["HUP"]);
}

#[test]
fn a_script_that_comes_late_signals_nobody() {
    for (letter, bytes) in [('h', "h"), ('k', "k"), ('t', "d")] {
        let letters: &'static str =
            ["h", "k", "t"][usize::from(letter == 'k') + 2 * usize::from(letter == 't')];
        let mut world = up(Options::default()).with_scripts(letters);
        world.now = 2000;
        world.play(&Say(bytes));
        world.play(&Say("u"));
        world.play(&Exits(0));
        assert_eq!(world.starts.len(), 2, "the next run is there");
        check(world, &[(2001, ScriptExits(letter, 1), "STARTING")]);
    }
}

#[test]
fn control_k_that_exits_0_does_not_make_it_down() {
    let world = check(
        up(Options::default()).with_scripts("k"),
        &[
            (2000, Say("k"), "RUNNING control/k"),
            (2001, ScriptExits('k', 0), "RUNNING"),
            (2002, Say("u"), "RUNNING"),
        ],
    );
    assert_eq!(world.starts.len(), 1);
}

#[test]
fn control_u_comes_before_every_start_and_its_result_does_not_matter() {
    check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (500, ScriptExits('u', 1), "STARTING run"),
            (500, Executed, "STARTING"),
            (1500, Passed, "RUNNING"),
            (5000, Exits(0), "STARTING control/u"),
            (5001, ScriptExits('u', 0), "STARTING run"),
        ],
    );
}

#[test]
fn down_while_control_u_runs_starts_nothing() {
    let world = check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (100, Say("d"), "STARTING TERM-u-group"),
            (101, ScriptExits('u', 0), "STOPPED"),
        ],
    );
    assert_eq!(world.starts, [0_u64; 0]);
    check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (100, Say("du"), "STARTING TERM-u-group"),
            (101, ScriptExits('u', 0), "STARTING run"),
        ],
    );
    check(
        down(Options::default()).with_scripts("u"),
        &[
            (0, Begin, "STARTING control/u"),
            (100, Say("k"), "STARTING KILL-u-group"),
            (100, Say("x"), "STARTING"),
            (101, ScriptExits('u', 0), "STOPPED leave"),
        ],
    );
}
