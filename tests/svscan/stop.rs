//! How svscan ends: everything stopped in order, loggers drained, nothing left.

use crate::support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{Running, alive, kill, program, until};

/// A service that tells when it is up and when it has ended, and takes a moment for that.
fn telling(scan: &Scanning, name: &str) {
    let run = format!(
        "trap 'sleep 0.2; echo {name} down >>../../order; exit' TERM; echo >up; while :; do sleep 0.05; done"
    );
    scan.service(name, &run);
    scan.link(name);
}

#[test]
fn term_and_int_stop_everything_and_exit_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut scan = Scanning::new();
        scan.service("a", SLEEP);
        scan.logged("b", COUNT);
        scan.link("a");
        scan.link("b");
        scan.start();
        scan.up("a");
        scan.log_grows("sv/b/log/out");
        assert_eq!(scan.end(signal).code(), Some(0));
        assert_eq!(scan.processes(), []);
        assert_eq!(scan.stderr(), "");
    }
}

#[test]
fn term_before_anything_is_there_ends_it() {
    let mut scan = Scanning::new();
    scan.start();
    until("it catches signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", scan.running().pid())).unwrap();
        status
            .lines()
            .any(|line| line.starts_with("SigCgt:") && !line.ends_with("00000000"))
    });
    // It may be read before the handler is there for good: TERM is caught once HUP, the last but
    // three, is.
    until("it ends", || {
        let svscan = scan.running();
        svscan.signal(libc::SIGTERM);
        svscan.child().try_wait().unwrap().is_some()
    });
}

#[test]
fn the_highest_priority_is_stopped_first_and_waited_for() {
    let mut scan = Scanning::new();
    for (name, priority) in [("low", "1"), ("high", "30"), ("middle", "20")] {
        telling(&scan, name);
        scan.option(name, "priority", priority);
    }
    scan.start();
    for name in ["low", "high", "middle"] {
        until("it is up", || scan.dir(name).join("up").exists());
    }
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(
        scan.scratch.read("order"),
        "high down\nmiddle down\nlow down\n"
    );
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_logger_reads_to_the_end_of_its_pipe() {
    let mut scan = Scanning::new();
    let lines = 5000;
    scan.service(
        "a",
        &format!("trap 'seq 1 {lines}; exit' TERM; echo >up; while :; do sleep 0.05; done"),
    );
    // It takes its time.
    scan.scratch.script(
        "sv/a/log/run",
        "while read line; do echo $line >>out; done; echo end >>out",
    );
    scan.link("a");
    scan.start();
    until("it is up", || scan.dir("a").join("up").exists());
    scan.up("a/log");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    let out = scan.scratch.read("sv/a/log/out");
    let expected: String = (1..=lines).map(|number| format!("{number}\n")).collect();
    assert_eq!(out, expected + "end\n");
}

#[test]
fn lines_are_drained_by_a_logger_that_was_down() {
    let mut scan = Scanning::new();
    scan.service("a", "echo hello; echo >up; exec sleep 1000");
    let logger = scan
        .scratch
        .script("sv/a/log/run", "test -e ../go || exit 1; exec cat >>out");
    assert!(logger.exists());
    scan.link("a");
    scan.start();
    until("it is up", || scan.dir("a").join("up").exists());
    let supervise = scan.supervised("a/log", None);
    kill(supervise, libc::SIGKILL);
    until("it is dead", || !alive(supervise));
    scan.scratch.file("sv/a/go", "");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.scratch.read("sv/a/log/out"), "hello\n");
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_logger_that_does_not_end_by_itself_is_stopped() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.scratch.script("sv/a/log/run", SLEEP);
    scan.link("a");
    scan.start();
    scan.up("a");
    scan.up("a/log");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn what_is_not_down_in_time_is_killed_with_its_group() {
    let mut scan = Scanning::new();
    scan.service(
        "a",
        "trap '' TERM; sleep 1000 & echo >up; while :; do sleep 1; done",
    );
    scan.link("a");
    scan.start_with(&["--shutdown-timeout", "300ms"]);
    until("it is up", || scan.dir("a").join("up").exists());
    let begun = Instant::now();
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(99));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    until("nothing is left", || scan.processes().is_empty());
    scan.says("was not down in time: killing it\n");
}

#[test]
fn a_second_term_changes_nothing() {
    let mut scan = Scanning::new();
    telling(&scan, "a");
    scan.start();
    until("it is up", || scan.dir("a").join("up").exists());
    for _ in 0..5 {
        scan.running().signal(libc::SIGTERM);
    }
    assert_eq!(scan.end(libc::SIGINT).code(), Some(0));
    assert_eq!(scan.scratch.read("order"), "a down\n");
}

#[test]
fn a_service_whose_supervise_was_killed_is_stopped_too() {
    let mut scan = Scanning::new();
    telling(&scan, "a");
    scan.start();
    until("it is up", || scan.dir("a").join("up").exists());
    // It may be in its first second, where a supervise that dies is not replaced at once.
    kill(scan.supervised("a", None), libc::SIGKILL);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
    assert_eq!(scan.scratch.read("order"), "a down\n");
}

#[test]
fn svc_x_on_every_service_and_then_term_leaves_nothing_running() {
    let mut scan = Scanning::new();
    for name in ["a", "b"] {
        scan.logged(name, COUNT);
        scan.link(name);
    }
    scan.start();
    scan.log_grows("sv/a/log/out");
    scan.log_grows("sv/b/log/out");
    for letters in ["-x", "-dx"] {
        let mut svc = Command::new(program("svc"));
        svc.arg(letters)
            .arg(scan.scan_dir().join("a"))
            .arg(scan.scan_dir().join("b"));
        assert!(svc.status().unwrap().success());
    }
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn an_interrupt_from_the_terminal_reaches_svscan_alone() {
    let mut scan = Scanning::new();
    scan.logged("a", "trap 'echo int >>../../order' INT; trap 'echo term >>../../order; exit' TERM; echo >up; while :; do sleep 0.05; done");
    scan.link("a");
    // The terminal sends INT to every process of the group in the foreground, as is done here.
    let mut command = scan.command(&[]);
    command.process_group(0);
    scan.svscan = Some(Running::start(&mut command));
    until("it is up", || scan.dir("a").join("up").exists());
    let mut svscan = scan.svscan.take().unwrap();
    let group = nix::unistd::Pid::from_raw(svscan.pid());
    nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(svscan.ended().code(), Some(0));
    assert_eq!(scan.scratch.read("order"), "term\n");
    assert_eq!(scan.processes(), []);
}

#[test]
fn signals_that_mean_nothing_do_nothing() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.service("b", SLEEP);
    scan.link("a");
    scan.start();
    let pid = scan.up("a");
    for signal in [
        libc::SIGALRM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGWINCH,
        libc::SIGPIPE,
        libc::SIGCONT,
    ] {
        scan.running().signal(signal);
    }
    scan.link("b");
    scan.up("b");
    assert_eq!(scan.up("a"), pid);
}

#[test]
fn a_service_that_hangs_takes_no_other_ones_time_to_save() {
    let mut scan = Scanning::new();
    scan.service("hangs", "trap '' TERM; echo >up; while :; do sleep 1; done");
    scan.option("hangs", "priority", "10");
    scan.service(
        "database",
        "trap 'echo saved >saved; exit' TERM; echo >up; while :; do sleep 0.05; done",
    );
    scan.option("database", "priority", "1");
    for name in ["hangs", "database"] {
        scan.link(name);
    }
    scan.start_with(&["--shutdown-timeout", "300ms"]);
    for name in ["hangs", "database"] {
        until("it is up", || scan.dir(name).join("up").exists());
    }
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(99));
    assert_eq!(scan.scratch.read("sv/database/saved"), "saved\n");
    assert!(!scan.stderr().contains("database"), "{}", scan.stderr());
    until("nothing is left", || scan.processes().is_empty());
}

#[test]
fn a_finish_that_is_killed_takes_its_children_with_it() {
    let mut scan = Scanning::new();
    let dir = scan.service("a", SLEEP);
    scan.scratch.script(
        "sv/a/finish",
        "trap '' TERM; sleep 1000 & echo $! >child; while :; do sleep 1; done",
    );
    scan.link("a");
    scan.start_with(&["--shutdown-timeout", "300ms"]);
    scan.up("a");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(99));
    assert!(dir.join("child").exists());
    until("nothing is left", || scan.processes().is_empty());
}
