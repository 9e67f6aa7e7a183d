//! The line of `sv status`, and what is wrong with a service.

use super::{both, make, ours};
use crate::support::supervised::Supervised;
use crate::support::{Scratch, peer, program, until};

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const SLEEPS: &str = "exec sleep 1000";
const DEAF: &str = "trap '' TERM; echo >deaf; while :; do sleep 0.1; done";

/// Services in all states that runit has, under this supervise: sleeping, down, deaf to TERM, in its
/// finish, paused, with a log.
fn zoo(scratch: &Scratch, supervise: &Path) -> Vec<Supervised> {
    let mut all = Vec::new();
    let mut start = |name: &str| {
        all.push(Supervised::start(
            supervise,
            &scratch.path().join("sv").join(name),
        ));
    };
    for name in ["up", "plain", "paused", "logged"] {
        make(scratch, name, SLEEPS);
    }
    make(scratch, "deaf", DEAF);
    make(scratch, "finishing", "exit 1");
    scratch.script("sv/finishing/finish", SLEEPS);
    scratch.script("sv/normal/run", SLEEPS);
    scratch.script("sv/logged/log/run", SLEEPS);
    for name in [
        "up",
        "plain",
        "paused",
        "logged",
        "deaf",
        "finishing",
        "normal",
    ] {
        start(name);
    }
    if supervise == program("supervise") {
        start("logged/log");
    }
    let send = |name: &str, bytes: &str| {
        let control = scratch
            .path()
            .join("sv")
            .join(name)
            .join("supervise/control");
        fs::write(control, bytes).unwrap();
    };
    for name in ["up", "paused", "logged", "deaf", "finishing"] {
        send(name, "u");
    }
    let stat = |name: &str| scratch.read(&format!("sv/{name}/supervise/stat"));
    for name in ["up", "paused", "logged", "deaf", "normal", "logged/log"] {
        until(name, || stat(name).starts_with("run"));
    }
    until("finish", || stat("finishing").starts_with("finish"));
    until("it ignores TERM", || {
        scratch.path().join("sv/deaf/deaf").exists()
    });
    send("paused", "p");
    send("deaf", "d");
    until("paused", || stat("paused").contains("paused"));
    until("got TERM", || stat("deaf").contains("got TERM"));
    all
}

fn end(scratch: &Scratch) {
    for name in ["deaf", "finishing", "paused"] {
        let path = scratch
            .path()
            .join("sv")
            .join(name)
            .join("supervise/control");
        fs::write(path, "kxc").unwrap();
    }
}

const STATES: [&str; 7] = [
    "up",
    "plain",
    "paused",
    "logged",
    "deaf",
    "finishing",
    "normal",
];

#[test]
fn both_print_the_same_line_of_our_services_in_all_states() {
    let scratch = Scratch::new();
    let _zoo = zoo(&scratch, program("supervise"));
    for name in STATES {
        let (mine, runits) = both(&scratch, &["status", name]);
        assert_eq!(mine, runits, "{name}");
    }
    let (mine, runits) = both(&scratch, &["status", "./sv/up", "sv/plain/", "logged/log"]);
    assert_eq!(mine, runits);
    end(&scratch);
}

#[test]
fn both_print_the_same_line_of_runit_s_services_in_all_states() {
    let scratch = Scratch::new();
    let _zoo = zoo(&scratch, &peer("runsv"));
    for name in STATES {
        let (mine, runits) = both(&scratch, &["status", name]);
        assert_eq!(mine, runits, "{name}");
    }
    end(&scratch);
}

#[test]
fn both_say_the_same_of_what_is_no_service() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path().join("sv/never")).unwrap();
    scratch.file("sv/plain", "");
    make(&scratch, "gone", SLEEPS);
    drop(Supervised::start(
        program("supervise"),
        &scratch.path().join("sv/gone"),
    ));
    make(&scratch, "damaged", SLEEPS);
    let _damaged = Supervised::start(program("supervise"), &scratch.path().join("sv/damaged"));
    let status = scratch.path().join("sv/damaged/supervise/status");
    until("a status", || status.exists());
    fs::write(&status, "abc").unwrap();
    for name in ["never", "plain", "missing", "gone", "damaged", ""] {
        for command in ["status", "up", "start", "exit", "shutdown", "hup"] {
            let (mine, runits) = both(&scratch, &[command, name]);
            assert_eq!(mine, runits, "{command} {name}");
        }
    }
    let (mine, runits) = both(&scratch, &["status", "never", "missing", "gone"]);
    assert_eq!(mine, runits);
    assert_eq!(mine.0, Some(3));
}

#[test]
fn a_log_that_is_not_there_is_said() {
    let scratch = Scratch::new();
    make(&scratch, "web", SLEEPS);
    let _web = Supervised::start(program("supervise"), &scratch.path().join("sv/web"));
    fs::create_dir(scratch.path().join("sv/web/log")).unwrap();
    let (code, out, _) = ours(&scratch, &["status", "web"]);
    assert_eq!(code, Some(1));
    assert!(
        out.ends_with("; warning: web/log: unable to open supervise/ok: file does not exist\n"),
        "{out}"
    );
    fs::remove_dir(scratch.path().join("sv/web/log")).unwrap();
    scratch.file("sv/web/log", "");
    let (mine, runits) = both(&scratch, &["status", "web"]);
    assert_eq!(mine, runits);
}

#[test]
fn an_instance_is_found_by_its_name() {
    let scratch = Scratch::new();
    scratch.script("worker@/run", SLEEPS);
    fs::create_dir(scratch.path().join("sv")).unwrap();
    let link: PathBuf = scratch.path().join("sv/worker@1");
    symlink("../worker@", &link).unwrap();
    let mut worker = crate::support::Running::start(
        std::process::Command::new(program("supervise"))
            .arg("worker@1")
            .current_dir(scratch.path().join("sv")),
    );
    let answer = || ours(&scratch, &["status", "worker@1"]).1;
    until("it is up", || answer().starts_with("run: worker@1: (pid "));
    assert_eq!(ours(&scratch, &["-w60", "shutdown", "worker@1"]).0, Some(0));
    worker.ended();
}

#[test]
fn what_runit_does_not_know_follows() {
    let scratch = Scratch::new();
    make(&scratch, "web", "exit 3");
    scratch.file("sv/web/options/startretries", "0");
    scratch.file("sv/web/options/startsecs", "60");
    let _web = Supervised::start(program("supervise"), &scratch.path().join("sv/web"));
    let (code, out) = super::answer(&scratch, &["-w", "60", "start", "web"]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("fail: down: web: Ns, fatal: "), "{out}");
}
