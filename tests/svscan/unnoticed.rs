//! Changes that inotify does not report, and errors that pass: found without the rescan of five minutes.

use crate::support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{Running, alive, executable, kill, peer, program, until};

/// svscan under strace, which lets a call on one path fail.
fn with_fault_on(scan: &mut Scanning, path: &str, fault: &str) {
    let mut command = Command::new(peer("strace"));
    command.args(["-qq", "-o", "/dev/null", "-P", path, "-e", fault]);
    command.arg(program("svscan")).arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
}

/// Ends the svscan that strace started.
fn end_traced(scan: &mut Scanning) {
    let strace = scan.running().pid();
    let text = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
    kill(text.trim().parse().unwrap(), libc::SIGTERM);
    assert_eq!(scan.running().ended().code(), Some(0));
    scan.svscan = None;
}

/// Which release of a service runs.
fn release(scan: &Scanning) -> String {
    scan.scratch.read("which")
}

fn release_run(scan: &Scanning, path: &str) {
    let which = scan.scratch.path().join("which");
    let body = format!("echo {path} >{}; exec sleep 1000", which.display());
    scan.scratch.script(&format!("{path}/web/run"), &body);
}

#[test]
fn a_link_in_mid_path_that_is_switched_is_followed() {
    let mut scan = Scanning::new();
    for path in ["releases/1", "releases/2"] {
        release_run(&scan, path);
    }
    let current = scan.scratch.path().join("current");
    symlink("releases/1", &current).unwrap();
    symlink("../current/web", scan.scan_dir().join("web")).unwrap();
    scan.start();
    until("the first one runs", || release(&scan) == "releases/1\n");
    let new = scan.scratch.path().join("new");
    symlink("releases/2", &new).unwrap();
    fs::rename(&new, &current).unwrap();
    until("the second one runs", || release(&scan) == "releases/2\n");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_mount_over_a_service_is_noticed() {
    let mut scan = Scanning::new();
    for path in ["releases/1", "releases/2"] {
        release_run(&scan, path);
    }
    symlink("../releases/1/web", scan.scan_dir().join("web")).unwrap();
    let mut command = Command::new(peer("unshare"));
    command
        .arg("--mount")
        .arg(program("svscan"))
        .arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
    until("the first one runs", || release(&scan) == "releases/1\n");
    let mounted = Command::new(peer("nsenter"))
        .args(["--mount", "--target", &scan.running().pid().to_string()])
        .args(["mount", "--bind"])
        .args(["2", "1"].map(|number| scan.scratch.path().join("releases").join(number)))
        .status();
    assert!(mounted.unwrap().success());
    until("the second one runs", || release(&scan) == "releases/2\n");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_run_that_leads_nowhere_is_reported_and_found_when_it_leads_somewhere() {
    let mut scan = Scanning::new();
    let dir = scan.dir("a");
    fs::create_dir_all(&dir).unwrap();
    let elsewhere = scan.scratch.path().join("elsewhere");
    symlink(&elsewhere, dir.join("run")).unwrap();
    scan.link("a");
    scan.start();
    scan.says("svscan: warning: unable to open a/run: no such file or directory\n");
    fs::write(&elsewhere, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    scan.says("svscan: warning: a/run is not executable: not started until it is\n");
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o755)).unwrap();
    scan.up("a");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.stderr().lines().count(), 2, "{}", scan.stderr());
}

#[test]
fn a_target_deep_in_what_is_not_there_yet_is_found() {
    let mut scan = Scanning::new();
    symlink("../far/away/service", scan.scan_dir().join("a")).unwrap();
    fs::write(scan.scratch.path().join("far"), "a file in the way").unwrap();
    scan.start();
    scan.says("unable to open a: not a directory");
    fs::remove_file(scan.scratch.path().join("far")).unwrap();
    let dir = scan.scratch.path().join("far/away/service");
    fs::create_dir_all(&dir).unwrap();
    executable(&dir.join("run"), "#!/bin/sh\necho >up; exec sleep 1000\n");
    until("it is up", || dir.join("up").exists());
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn an_error_on_the_log_does_not_mean_that_there_is_none() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    with_fault_on(
        &mut scan,
        "a/log",
        "inject=newfstatat,statx,stat:error=EIO:when=1",
    );
    scan.says("svscan: warning: unable to open a/log: I/O error\n");
    scan.log_grows("sv/a/log/out");
    end_traced(&mut scan);
}

#[test]
fn an_error_on_a_name_is_reported_and_tried_again() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    with_fault_on(
        &mut scan,
        "a",
        "inject=newfstatat,statx,stat:error=EIO:when=1..2",
    );
    scan.up("a");
    end_traced(&mut scan);
}

#[test]
fn an_error_at_a_takeover_leaves_no_supervise_unwatched() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start();
    let service = scan.up("a");
    let former = scan.supervised("a", None);
    scan.end(libc::SIGKILL);
    with_fault_on(
        &mut scan,
        "a/supervise",
        "inject=openat:error=EIO:when=1..2",
    );
    scan.says("unable to find the supervise of a: I/O error; retrying every second\n");
    // It was not started a second time, and is watched in the end.
    until("svscan watches it", || watches(&mut scan, former));
    kill(former, libc::SIGKILL);
    scan.supervised("a", Some(former));
    assert_eq!(scan.up("a"), service);
    assert!(!scan.stderr().contains("held by"), "{}", scan.stderr());
    end_traced(&mut scan);
    assert!(!alive(service));
}

/// Whether svscan has a pidfd of the process.
fn watches(scan: &mut Scanning, pid: i32) -> bool {
    let strace = scan.running().pid();
    let text = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
    let folder = Path::new("/proc").join(text.trim()).join("fdinfo");
    let infos = fs::read_dir(folder).into_iter().flatten().flatten();
    let line = format!("Pid:\t{pid}");
    infos
        .filter_map(|info| fs::read_to_string(info.path()).ok())
        .any(|info| info.lines().any(|its| its == line))
}
