//! Services whose link, or whose directory, goes away.

use crate::support;

use std::fs;
use std::os::unix::fs::symlink;

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{alive, kill, until};

#[test]
fn a_service_whose_link_is_gone_goes_on_until_its_supervise_exits() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.service("b", SLEEP);
    scan.link("a");
    scan.start();
    let (service, supervise) = (scan.up("a"), scan.supervised("a", None));
    scan.up("a/log");
    scan.unlink("a");
    scan.link("b");
    scan.up("b");
    assert_eq!(
        (scan.up("a"), scan.supervised("a", None)),
        (service, supervise)
    );
    // Told to exit, it is not started again, and its log is drained.
    fs::write(scan.dir("a/supervise/control"), "dx").unwrap();
    until("it and its log are gone", || {
        scan.supervise("a").is_none() && scan.supervise("a/log").is_none()
    });
    scan.link("a");
    let again = scan.up("a");
    assert_ne!(again, service);
}

#[test]
fn a_link_that_returns_finds_its_service_as_it_was() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.service("b", SLEEP);
    scan.link("a");
    scan.start();
    let (service, supervise) = (scan.up("a"), scan.supervised("a", None));
    scan.unlink("a");
    scan.link("b");
    scan.up("b");
    scan.link("a");
    kill(supervise, libc::SIGKILL);
    scan.supervised("a", Some(supervise));
    assert_eq!(scan.up("a"), service);
}

#[test]
fn with_stop_removed_it_is_stopped_and_a_link_that_returns_starts_it() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    scan.start_with(&["--stop-removed"]);
    let service = scan.up("a");
    scan.up("a/log");
    scan.unlink("a");
    until("all of it is stopped", || {
        scan.supervise("a").is_none() && scan.supervise("a/log").is_none() && !alive(service)
    });
    scan.link("a");
    scan.up("a");
    scan.up("a/log");
}

#[test]
fn a_deleted_directory_has_its_supervise_stopped() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--rescan", "1000 days"]);
    let (service, supervise) = (scan.up("a"), scan.supervised("a", None));
    fs::remove_dir_all(scan.dir("a")).unwrap();
    until("it is stopped", || !alive(service) && !alive(supervise));
}

#[test]
fn a_directory_that_is_made_again_starts_when_the_old_service_is_gone() {
    let mut scan = Scanning::new();
    // The old one takes its time, and the new one would see it.
    let run = "mkdir ../../running || echo twice >../../twice; \
        trap 'sleep 0.5; rmdir ../../running; exit' TERM; echo >up; while :; do sleep 0.05; done";
    let place = scan.scan_dir().join("a");
    scan.scratch.script("scan/a/run", run);
    scan.start_with(&["--rescan", "1000 days"]);
    until("it is up", || place.join("up").exists());
    let old: i32 = fs::read_to_string(place.join("supervise/lock"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    for _ in 0..2 {
        fs::remove_dir_all(&place).unwrap();
        scan.scratch.script(
            "new/run",
            run.replace("../../", &format!("{}/", scan.scratch.path().display()))
                .as_str(),
        );
        fs::rename(scan.scratch.path().join("new"), &place).unwrap();
        until("the new one is up", || place.join("up").exists());
    }
    assert!(!alive(old));
    assert!(
        !scan.scratch.path().join("twice").exists(),
        "{}",
        scan.stderr()
    );
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_link_to_another_directory_replaces_the_service() {
    let mut scan = Scanning::new();
    scan.service("blue", SLEEP);
    scan.service("green", SLEEP);
    let link = scan.scan_dir().join("web");
    symlink("../sv/blue", &link).unwrap();
    scan.start();
    let blue = scan.up("blue");
    symlink("../sv/green", scan.scratch.path().join("new")).unwrap();
    fs::rename(scan.scratch.path().join("new"), &link).unwrap();
    scan.up("green");
    assert!(!alive(blue));
    until("its supervise is gone", || scan.supervise("blue").is_none());
}

#[test]
fn a_log_directory_that_appears_is_used_from_the_next_supervise_on() {
    let mut scan = Scanning::new();
    scan.service("a", "echo hello; exec sleep 1000");
    scan.link("a");
    scan.start();
    until("it is up", || scan.scratch.read("stdout") == "hello\n");
    scan.scratch.script("sv/a/log/run", "exec cat >>out");
    fs::write(scan.dir("a/supervise/control"), "dx").unwrap();
    until("the log has it", || {
        scan.scratch.read("sv/a/log/out") == "hello\n"
    });
}

#[test]
fn a_log_directory_that_is_made_again_keeps_the_pipe() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    scan.start();
    scan.log_grows("sv/a/log/out");
    let service = scan.up("a");
    let log_supervise = scan.supervised("a/log", None);
    // Not a log directory in between, so that no line is lost.
    scan.scratch.script("sv/a/log.new/run", "exec cat >>out");
    fs::rename(scan.dir("a/log"), scan.dir("a/log.old")).unwrap();
    fs::rename(scan.dir("a/log.new"), scan.dir("a/log")).unwrap();
    kill(scan.supervised("a", None), libc::SIGKILL);
    until("the former logger is stopped", || !alive(log_supervise));
    until("the new one reads on", || {
        !scan.scratch.read("sv/a/log/out").is_empty()
    });
    assert_eq!(scan.up("a"), service);
}
