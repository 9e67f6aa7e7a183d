//! The commands of sv, on our supervise and on runsv.

use super::{answer, both, make, ours, without_seconds};
use crate::support::supervised::Supervised;
use crate::support::{Scratch, peer, program, stdout, until};

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const SLEEPS: &str = "exec sleep 1000";

fn start(scratch: &Scratch, supervise: &Path, name: &str, run: &str) -> Supervised {
    make(scratch, name, run);
    Supervised::start(supervise, &scratch.path().join("sv").join(name))
}

/// Both supervises, ours first.
fn supervises() -> [PathBuf; 2] {
    [program("supervise").to_path_buf(), peer("runsv")]
}

/// The answer of our sv with 60 seconds to wait; pids as P.
fn waits(scratch: &Scratch, command: &str, name: &str) -> (Option<i32>, String) {
    let (code, out) = answer(scratch, &["-w", "60", command, name]);
    (code, without_pids(&out))
}

fn without_pids(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive("(pid ") {
        out.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    }
    out
}

fn said(code: i32, text: &str) -> (Option<i32>, String) {
    (Some(code), text.to_owned())
}

#[test]
fn commands_that_wait_report_what_became_of_them() {
    for supervise in supervises() {
        let scratch = Scratch::new();
        let web = start(&scratch, &supervise, "web", SLEEPS);
        let up = said(0, "ok: run: web: (pid ) Ns, normally down\n");
        let down = said(0, "ok: down: web: Ns\n");
        assert_eq!(waits(&scratch, "start", "web"), up);
        let first = web.pid();
        assert_eq!(waits(&scratch, "start", "web"), up);
        assert_eq!(web.pid(), first, "it was up already");
        for command in [
            "restart",
            "try-restart",
            "force-restart",
            "force-reload",
            "term",
            "kill",
        ] {
            let before = web.pid();
            assert_eq!(waits(&scratch, command, "web"), up, "{command}");
            assert_ne!(web.pid(), before, "{command}");
        }
        let running = web.pid();
        assert_eq!(waits(&scratch, "check", "web"), up);
        let paused = said(0, "ok: run: web: (pid ) Ns, normally down, paused\n");
        assert_eq!(waits(&scratch, "pause", "web"), paused);
        assert_eq!(waits(&scratch, "cont", "web"), up);
        assert_eq!(web.pid(), running);
        assert_eq!(waits(&scratch, "stop", "web"), down);
        assert_eq!(waits(&scratch, "try-restart", "web"), down);
        assert_eq!(waits(&scratch, "check", "web"), down);
        assert_eq!(waits(&scratch, "force-stop", "web"), down);
        let (code, out) = waits(&scratch, "once", "web");
        assert_eq!(code, Some(0));
        assert!(out.starts_with("ok: run: web: (pid ) Ns"), "{out}");
        assert_eq!(
            waits(&scratch, "shutdown", "web"),
            said(0, "ok: web: runsv not running\n")
        );
        assert_eq!(
            waits(&scratch, "shutdown", "web"),
            said(0, "ok: web: runsv not running\n")
        );
    }
}

#[test]
fn commands_that_do_not_wait_print_nothing() {
    for supervise in supervises() {
        let scratch = Scratch::new();
        let web = start(&scratch, &supervise, "web", SLEEPS);
        let silent = (Some(0), String::new(), String::new());
        assert_eq!(ours(&scratch, &["up", "web"]), silent);
        until("it is up", || web.pid() != 0);
        for command in ["alarm", "term", "q", "1", "2", "interrupt", "k"] {
            until("it is up", || web.pid() != 0);
            assert_eq!(ours(&scratch, &[command, "web"]), silent, "{command}");
        }
        assert_eq!(ours(&scratch, &["exit", "web"]), silent);
        until("it has left", || {
            ours(&scratch, &["status", "web"]).1 == "fail: web: runsv not running\n"
        });
    }
}

#[test]
fn what_does_not_happen_in_time_is_said_and_with_force_killed() {
    let deaf = "trap '' TERM; echo >deaf; while :; do sleep 0.1; done";
    for supervise in supervises() {
        let scratch = Scratch::new();
        let web = start(&scratch, &supervise, "web", deaf);
        fs::write(web.dir.join("supervise/control"), "u").unwrap();
        until("it ignores TERM", || web.dir.join("deaf").exists());
        let late = |kind: &str| {
            let line = "run: web: (pid ) Ns, normally down, want down, got TERM";
            said(1, &format!("{kind}: {line}\n"))
        };
        let stop = |command: &str| {
            let (code, out) = answer(&scratch, &["-w", "1", command, "web"]);
            (code, without_pids(&out))
        };
        assert_eq!(stop("stop"), late("timeout"));
        assert_eq!(stop("force-stop"), late("kill"));
        until("it is down", || web.pid() == 0);
    }
}

#[test]
fn both_answer_wrong_command_lines_alike() {
    let scratch = Scratch::new();
    for args in [
        &[][..],
        &["up"],
        &["foo", "web"],
        &["-x", "up", "web"],
        &["-w"],
        &["-w", "5"],
        &["-w", "5", "up"],
        &["--", "up"],
    ] {
        let (mine, runits) = both(&scratch, args);
        assert_eq!(mine, runits, "{args:?}");
    }
}

#[test]
fn the_exit_code_counts_the_services_that_failed() {
    let scratch = Scratch::new();
    let _web = start(&scratch, program("supervise"), "web", SLEEPS);
    let (code, out, err) = ours(&scratch, &["-w", "60", "start", "none", "web", "nil"]);
    assert_eq!((code, err.as_str()), (Some(2), ""));
    let out = without_pids(&without_seconds(&out));
    assert_eq!(
        out,
        "fail: none: unable to change to service directory: file does not exist\n\
         fail: nil: unable to change to service directory: file does not exist\n\
         ok: run: web: (pid ) Ns, normally down\n"
    );
}

#[test]
fn a_check_script_says_when_a_service_is_available() {
    let scratch = Scratch::new();
    let web = start(&scratch, program("supervise"), "web", SLEEPS);
    scratch.script("sv/web/check", "echo noise; test -e available");
    let (code, out) = waits_a_second(&scratch);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("timeout: run: web: "), "{out}");
    scratch.file("sv/web/available", "");
    let (code, out) = waits(&scratch, "start", "web");
    assert_eq!((code, out.starts_with("ok: run: web: ")), (Some(0), true));
    // One that does not end does not hold up sv.
    scratch.script("sv/web/check", "exec sleep 1000");
    assert_eq!(waits_a_second(&scratch).0, Some(1));
    assert!(web.pid() > 0);
}

fn waits_a_second(scratch: &Scratch) -> (Option<i32>, String) {
    answer(scratch, &["-w", "1", "start", "web"])
}

#[test]
fn the_wait_of_the_environment_is_used() {
    let scratch = Scratch::new();
    let _web = start(&scratch, program("supervise"), "web", SLEEPS);
    scratch.script("sv/web/check", "exit 1");
    let output = Command::new(program("sv"))
        .args(["start", "web"])
        .env("SVDIR", scratch.path().join("sv"))
        .env("SVWAIT", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("timeout: "));
}

#[test]
fn help_and_version_are_there_and_the_manual_knows_every_command() {
    let scratch = Scratch::new();
    let (code, help, _) = ours(&scratch, &["--help"]);
    assert_eq!(code, Some(0));
    assert!(help.lines().all(|line| line.chars().count() < 80), "{help}");
    let (code, version, _) = ours(&scratch, &["--version"]);
    assert_eq!(code, Some(0));
    assert!(version.starts_with("sv (servicedir) "), "{version}");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/sv.8")).unwrap();
    for command in [
        "status",
        "up",
        "down",
        "once",
        "pause",
        "cont",
        "hup",
        "alarm",
        "interrupt",
        "quit",
        "1",
        "2",
        "term",
        "kill",
        "exit",
        "start",
        "stop",
        "reload",
        "restart",
        "shutdown",
        "check",
        "try-restart",
        "force-stop",
        "force-reload",
        "force-restart",
        "force-shutdown",
    ] {
        assert!(
            page.contains(&format!("Cm {command}")),
            "sv.8 has no {command}"
        );
        assert!(help.contains(command), "--help has no {command}");
    }
}
