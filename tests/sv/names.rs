//! supervise and svscan under runit's names.

use super::ours;
use crate::support::{Running, Scratch, alive, program, until};

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A service that counts what it writes, and a log that keeps it.
fn logged(scratch: &Scratch, name: &str) {
    scratch.script(
        &format!("sv/{name}/run"),
        "trap 'echo last; exit' TERM; echo first; while :; do sleep 0.1; done",
    );
    scratch.script(&format!("sv/{name}/log/run"), "exec cat >>out");
}

fn out(scratch: &Scratch, name: &str) -> String {
    scratch.read(&format!("sv/{name}/log/out"))
}

fn pid(scratch: &Scratch, name: &str) -> Option<i32> {
    let text = scratch.read(&format!("sv/{name}/supervise/pid"));
    text.trim().parse().ok()
}

fn runsv(scratch: &Scratch, name: &str) -> Running {
    Running::start(
        Command::new(program("runsv"))
            .arg(name)
            .current_dir(scratch.path().join("sv")),
    )
}

#[test]
fn x_stops_a_service_under_runsv_and_its_log_reads_to_the_end() {
    let scratch = Scratch::new();
    logged(&scratch, "web");
    let mut runsv = runsv(&scratch, "web");
    until("it writes", || out(&scratch, "web") == "first\n");
    let log = pid(&scratch, "web/log").unwrap();
    fs::write(scratch.path().join("sv/web/supervise/control"), "x").unwrap();
    assert_eq!(runsv.ended().code(), Some(0));
    assert_eq!(out(&scratch, "web"), "first\nlast\n");
    assert!(!alive(log));
    assert_eq!(
        ours(&scratch, &["status", "web"]).1,
        "fail: web: runsv not running\n"
    );
}

#[test]
fn term_ends_runsv_and_its_service_with_and_without_a_log() {
    let scratch = Scratch::new();
    logged(&scratch, "web");
    scratch.script("sv/plain/run", "exec sleep 1000");
    for name in ["web", "plain"] {
        let mut runsv = runsv(&scratch, name);
        until("it is up", || pid(&scratch, name).is_some());
        if name == "web" {
            until("it writes", || out(&scratch, "web") == "first\n");
        }
        let service = pid(&scratch, name).unwrap();
        runsv.signal(libc::SIGTERM);
        assert_eq!(runsv.ended().code(), Some(0), "{name}");
        assert!(!alive(service), "{name}");
    }
    assert_eq!(out(&scratch, "web"), "first\nlast\n");
}

#[test]
fn a_supervise_that_is_killed_under_runsv_comes_back_to_its_service() {
    let scratch = Scratch::new();
    logged(&scratch, "web");
    let mut runsv = runsv(&scratch, "web");
    until("it writes", || out(&scratch, "web") == "first\n");
    let service = pid(&scratch, "web");
    let holder = || -> Option<i32> {
        let text = scratch.read("sv/web/supervise/lock");
        text.trim().parse().ok()
    };
    let first = holder();
    crate::support::kill(first.unwrap(), libc::SIGKILL);
    until("another one", || holder().is_some() && holder() != first);
    assert_eq!(pid(&scratch, "web"), service);
    runsv.signal(libc::SIGTERM);
    assert_eq!(runsv.ended().code(), Some(0));
    assert_eq!(out(&scratch, "web"), "first\nlast\n");
}

fn runsvdir(scratch: &Scratch) -> Running {
    Running::start(
        Command::new(program("runsvdir"))
            .args(["-P", "sv"])
            .current_dir(scratch.path())
            .stderr(Stdio::null()),
    )
}

#[test]
fn runsvdir_leaves_its_services_at_term_and_stops_them_at_hup() {
    let scratch = Scratch::new();
    scratch.script("sv/web/run", "exec sleep 1000");
    let mut first = runsvdir(&scratch);
    until("it is up", || pid(&scratch, "web").is_some());
    let service = pid(&scratch, "web").unwrap();
    first.signal(libc::SIGTERM);
    assert_eq!(first.ended().code(), Some(0));
    assert!(alive(service));
    let mut second = runsvdir(&scratch);
    scratch.script("sv/more/run", "exec sleep 1000");
    until("another one is up", || pid(&scratch, "more").is_some());
    assert_eq!(pid(&scratch, "web"), Some(service));
    second.signal(libc::SIGHUP);
    assert_eq!(second.ended().code(), Some(111));
    assert!(!alive(service));
}

#[test]
fn exit_under_runsvdir_stops_a_service() {
    let scratch = Scratch::new();
    scratch.script("sv/web/run", "exec sleep 1000");
    let mut runsvdir = runsvdir(&scratch);
    until("it is up", || pid(&scratch, "web").is_some());
    let service = pid(&scratch, "web").unwrap();
    fs::write(scratch.path().join("sv/web/supervise/control"), "x").unwrap();
    until("it is down", || !alive(service));
    runsvdir.signal(libc::SIGHUP);
    assert_eq!(runsvdir.ended().code(), Some(111));
}

#[test]
fn wrong_command_lines_get_runit_s_usage() {
    let scratch = Scratch::new();
    for (name, usage) in [
        ("runsv", "usage: runsv dir\n\n"),
        ("runsvdir", "usage: runsvdir [-P] dir\n\n"),
        ("runsvchdir", "usage: runsvchdir dir\n\n"),
    ] {
        let (code, out, err) = super::run(program(name), &scratch, &[]);
        assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "", usage));
        let (code, help, _) = super::run(program(name), &scratch, &["--help"]);
        assert_eq!(code, Some(0));
        assert!(help.starts_with("usage: "), "{help}");
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("man/{name}.8"));
        assert!(page.exists());
    }
    let (code, _, err) = super::run(program("runsv"), &scratch, &["none"]);
    assert_eq!(code, Some(111));
    assert_eq!(
        err,
        "runsv none: fatal: unable to change to directory: file does not exist\n"
    );
}
