//! A bad day: nothing can be started, nothing can be watched, the supervise is missing.

use crate::support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{Running, kill, peer, program, until};

/// svscan under strace with a fault injected; what it starts is not traced.
fn with_fault(scan: &mut Scanning, fault: &str, args: &[&str]) {
    let mut command = Command::new(peer("strace"));
    command.args(["-qq", "-o", "/dev/null", "-e", fault]);
    command
        .arg(program("svscan"))
        .args(args)
        .arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
}

/// The svscan that strace started.
fn traced(scan: &mut Scanning) -> i32 {
    let strace = scan.running().pid();
    let text = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
    text.trim().parse().unwrap()
}

#[test]
fn a_refused_fork_is_told_of_once_and_tried_again() {
    let mut scan = Scanning::new();
    for name in ["a", "b"] {
        scan.logged(name, COUNT);
        scan.link(name);
    }
    with_fault(
        &mut scan,
        "inject=clone,clone3,vfork,fork:error=EAGAIN:when=1..6",
        &[],
    );
    scan.log_grows("sv/a/log/out");
    scan.log_grows("sv/b/log/out");
    let said = scan.stderr();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("svscan: warning: unable to start "),
        "{said}"
    );
    assert!(
        said.ends_with("supervise for a: try again; retrying every second\n"),
        "{said}"
    );
    let svscan = traced(&mut scan);
    kill(svscan, libc::SIGTERM);
    assert_eq!(scan.running().ended().code(), Some(0));
    scan.svscan = None;
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_fork_that_is_always_refused_does_not_keep_it_from_stopping() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    with_fault(
        &mut scan,
        "inject=clone,clone3,vfork,fork:error=EAGAIN",
        &[],
    );
    scan.says("unable to start");
    let svscan = traced(&mut scan);
    kill(svscan, libc::SIGTERM);
    assert_eq!(scan.running().ended().code(), Some(0));
}

#[test]
fn without_inotify_everything_is_looked_at_again_and_again() {
    for (fault, why) in [
        ("inject=inotify_init1:error=EMFILE", "too many open files"),
        (
            "inject=inotify_add_watch:error=ENOSPC",
            "no space left on device",
        ),
    ] {
        let mut scan = Scanning::new();
        scan.service("a", SLEEP);
        scan.service("b", SLEEP);
        scan.link("a");
        with_fault(&mut scan, fault, &["--rescan", "50ms"]);
        scan.up("a");
        scan.link("b");
        scan.up("b");
        let said = scan.stderr().to_lowercase();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("unable to watch everything: ") && said.contains(why),
            "{said}"
        );
    }
}

#[test]
fn a_supervise_that_is_missing_for_a_while_is_waited_for() {
    // As in an upgrade: a service's supervise dies while the new one is not installed yet.
    let mut scan = Scanning::new();
    let supervise = scan.scratch.path().join("supervise");
    support::copy_of("supervise", &supervise);
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--supervise", supervise.to_str().unwrap()]);
    let (service, former) = (scan.up("a"), scan.supervised("a", None));
    fs::rename(&supervise, scan.scratch.path().join("old")).unwrap();
    kill(former, libc::SIGKILL);
    scan.says("supervise for a: no such file or directory; retrying every second");
    fs::rename(scan.scratch.path().join("old"), &supervise).unwrap();
    scan.supervised("a", Some(former));
    assert_eq!(scan.up("a"), service);
}

#[test]
fn without_a_supervise_it_does_not_start() {
    let mut scan = Scanning::new();
    let alone = scan.scratch.path().join("alone/svscan");
    fs::create_dir(alone.parent().unwrap()).unwrap();
    support::copy_of("svscan", &alone);
    let mut command = Command::new(&alone);
    command.arg(scan.scan_dir()).env("PATH", "/nonexistent");
    scan.prepare(&mut command);
    assert_eq!(command.status().unwrap().code(), Some(111));
    assert_eq!(
        scan.stderr(),
        "svscan: fatal: unable to find supervise: neither beside svscan nor on PATH\n"
    );
    // On PATH it is found.
    scan.service("a", SLEEP);
    scan.link("a");
    let mut command = Command::new(&alone);
    command.arg(scan.scan_dir());
    command.env(
        "PATH",
        format!(
            "/usr/bin:/bin:{}",
            program("supervise").parent().unwrap().display()
        ),
    );
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
    until("it is supervised", || {
        scan.dir("a/supervise/status").exists()
    });
}

#[test]
fn a_directory_that_cannot_be_opened_is_told_of_once() {
    let mut scan = Scanning::new();
    let looped = scan.scan_dir().join("loop");
    std::os::unix::fs::symlink("loop", &looped).unwrap();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--rescan", "20ms"]);
    scan.up("a");
    scan.says("svscan: warning: unable to open loop: ");
    let supervise = scan.supervised("a", None);
    kill(supervise, libc::SIGKILL);
    scan.supervised("a", Some(supervise));
    assert_eq!(
        scan.stderr()
            .lines()
            .filter(|line| line.contains("loop"))
            .count(),
        1
    );
}

#[test]
fn a_stderr_that_is_closed_is_no_reason_to_end() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.link("dangling");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "exec \"$0\" \"$1\" 0<&- 1>&- 2>&-"])
        .arg(program("svscan"))
        .arg(scan.scan_dir());
    command.env_remove("SUPERVISEDIR");
    scan.svscan = Some(Running::start(&mut command));
    scan.up("a");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_supervise_that_fails_at_once_is_started_less_and_less_often_until_hup() {
    let mut scan = Scanning::new();
    let supervise = scan
        .scratch
        .script("supervise", "echo >>../starts; exit 111");
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--supervise", supervise.to_str().unwrap()]);
    let starts = || scan.scratch.read("starts").lines().count();
    until("it waits for four seconds", || starts() == 3);
    let begun = Instant::now();
    scan.svscan.as_ref().unwrap().signal(libc::SIGHUP);
    until("it was started again", || starts() == 4);
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_supervise_that_cannot_run_is_started_once_a_second() {
    let mut scan = Scanning::new();
    let supervise = scan
        .scratch
        .script("supervise", "date +%s%N >>../starts; exit 1");
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--supervise", supervise.to_str().unwrap()]);
    until("it was started three times", || {
        scan.scratch.read("starts").lines().count() >= 3
    });
    let starts: Vec<u64> = scan
        .scratch
        .read("starts")
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    // The script takes a moment of its own to look at the clock.
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] > 500_000_000, "{starts:?}");
    }
    assert!(
        starts.last().unwrap() - starts[0] > 1_500_000_000,
        "{starts:?}"
    );
    let mode = fs::metadata(&supervise).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
}

#[test]
fn an_error_that_passes_does_not_make_it_start_the_supervise_on_path() {
    let scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.scratch.script("bin/supervise", "echo >\"$0.started\"");
    let mut command = Command::new(peer("strace"));
    command.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=readlink:error=EIO:when=2+",
    ]);
    command.arg(program("svscan")).arg(scan.scan_dir());
    command.env("PATH", scan.scratch.path().join("bin"));
    scan.prepare(&mut command);
    assert_eq!(command.status().unwrap().code(), Some(111));
    assert_eq!(
        scan.stderr(),
        "svscan: fatal: unable to resolve /proc/self/exe: I/O error\n"
    );
    assert!(!scan.scratch.path().join("bin/supervise.started").exists());
}
