//! New binaries in the place of the old ones: one command for every supervise, one for svscan, and
//! every service has the pid that it had.

use crate::support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::scanning::{COUNT, Scanning};
use support::{Running, program, until};

/// Installs a program as install(1) does: another file, by the same name.
fn install(folder: &Path, name: &str) -> PathBuf {
    let (path, new) = (folder.join(name), folder.join("new"));
    fs::copy(program(name), &new).unwrap();
    fs::rename(&new, &path).unwrap();
    path
}

/// The program that a process runs; one that was replaced on the disk is ` (deleted)`.
fn executable(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

/// A svscan from the folder of the installed programs.
fn start(scan: &mut Scanning, folder: &Path) {
    let mut command = Command::new(folder.join("svscan"));
    command.arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
}

const UNITS: [&str; 4] = ["a", "a/log", "b", "b/log"];

#[test]
fn every_supervise_and_svscan_is_replaced_and_no_service_notices() {
    let mut scan = Scanning::new();
    for name in ["a", "b"] {
        scan.logged(name, COUNT);
        scan.link(name);
    }
    let folder = fs::canonicalize(scan.scratch.path()).unwrap().join("bin");
    fs::create_dir(&folder).unwrap();
    for name in ["svscan", "supervise", "svc"] {
        install(&folder, name);
    }
    start(&mut scan, &folder);
    let services: Vec<i32> = UNITS.iter().map(|unit| scan.up(unit)).collect();
    let supervises: Vec<i32> = UNITS
        .iter()
        .map(|unit| scan.supervised(unit, None))
        .collect();
    for out in ["sv/a/log/out", "sv/b/log/out"] {
        scan.log_grows(out);
    }

    for name in ["svscan", "supervise", "svc"] {
        install(&folder, name);
    }
    let svscan = scan.running().pid();
    for pid in supervises.iter().chain([&svscan]) {
        assert!(executable(*pid).to_string_lossy().ends_with(" (deleted)"));
    }
    // The svscan of old starts the supervises of today.
    let mut detach = Command::new(folder.join("svc"));
    detach.arg("--detach");
    detach.args(UNITS.iter().map(|unit| scan.scan_dir().join(unit)));
    assert!(detach.status().unwrap().success());
    for (unit, former) in UNITS.iter().zip(&supervises) {
        let pid = scan.supervised(unit, Some(*former));
        until("it is the new one", || {
            executable(pid) == folder.join("supervise")
        });
    }
    // And leaves them to its successor.
    assert_eq!(scan.end(libc::SIGQUIT).code(), Some(0));
    start(&mut scan, &folder);
    assert_eq!(executable(scan.running().pid()), folder.join("svscan"));
    for out in ["sv/a/log/out", "sv/b/log/out"] {
        scan.log_grows(out);
    }
    let after: Vec<i32> = UNITS.iter().map(|unit| scan.up(unit)).collect();
    assert_eq!(after, services);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0), "{}", scan.stderr());
    assert_eq!(scan.processes(), []);
}

/// Runs `svscan --upgrade`, and returns what it printed.
fn upgrade(scan: &Scanning, folder: &Path) -> std::process::Output {
    support::output(
        &folder.join("svscan"),
        ["--upgrade".as_ref(), scan.scan_dir().as_os_str()],
    )
}

/// The programs, installed in a folder of the test's own.
fn installed(scan: &Scanning) -> PathBuf {
    let folder = fs::canonicalize(scan.scratch.path()).unwrap().join("bin");
    fs::create_dir(&folder).unwrap();
    for name in ["svscan", "supervise"] {
        install(&folder, name);
    }
    folder
}

#[test]
fn one_command_replaces_all_with_instances_and_without_logs() {
    for logs in [false, true] {
        let mut scan = Scanning::new();
        let folder = installed(&scan);
        scan.service("a", support::scanning::SLEEP);
        scan.service("worker@", support::scanning::SLEEP);
        let mut units = vec!["a"];
        if logs {
            scan.logged("b", COUNT);
            scan.scratch.script("sv/b/errlog/run", "exec cat >>out");
            scan.link("b");
            units.extend(["b", "b/log", "b/errlog"]);
        }
        scan.link("a");
        let instance = scan.scan_dir().join("worker@1");
        std::os::unix::fs::symlink("../sv/worker@", &instance).unwrap();
        start(&mut scan, &folder);
        let instance_file = |file: &str| -> Option<i32> {
            let path = instance.join("supervise@1").join(file);
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        until("the instance runs", || instance_file("pid").is_some());
        let services: Vec<i32> = units.iter().map(|unit| scan.up(unit)).collect();
        let supervises: Vec<i32> = units
            .iter()
            .map(|unit| scan.supervised(unit, None))
            .collect();
        let before = (instance_file("pid"), instance_file("lock"));
        let svscan = scan.running().pid();

        for name in ["svscan", "supervise"] {
            install(&folder, name);
        }
        let upgraded = upgrade(&scan, &folder);
        assert!(upgraded.status.success(), "{upgraded:?}");
        let count = units.len() + 1;
        assert_eq!(
            support::stdout(&upgraded),
            format!("replaced svscan and {count} supervises; no service was touched\n")
        );
        assert_eq!(executable(svscan), folder.join("svscan"));
        for ((unit, service), former) in units.iter().zip(services).zip(supervises) {
            assert_eq!(scan.up(unit), service, "{unit}");
            let new = scan.supervised(unit, Some(former));
            assert_eq!(executable(new), folder.join("supervise"), "{unit}");
        }
        assert_eq!(instance_file("pid"), before.0);
        assert_ne!(instance_file("lock"), before.1);
        if logs {
            scan.log_grows("sv/b/log/out");
        }
        assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
        assert_eq!(scan.processes(), []);
    }
}

#[test]
fn without_a_svscan_there_is_nothing_to_upgrade() {
    let scan = Scanning::new();
    let refused = upgrade(&scan, program("svscan").parent().unwrap());
    assert_eq!(refused.status.code(), Some(100));
    assert_eq!(
        support::stderr(&refused),
        format!(
            "svscan: fatal: no svscan runs on {}\n",
            scan.scan_dir().display()
        )
    );
}

#[test]
fn a_program_that_is_gone_leaves_the_svscan_that_runs() {
    let mut scan = Scanning::new();
    let folder = installed(&scan);
    scan.service("a", support::scanning::SLEEP);
    scan.link("a");
    start(&mut scan, &folder);
    let service = scan.up("a");
    fs::remove_file(folder.join("svscan")).unwrap();
    scan.running().signal(libc::SIGUSR2);
    scan.says("in place of this svscan: no such file or directory\n");
    let former = scan.supervised("a", None);
    support::kill(former, libc::SIGKILL);
    scan.supervised("a", Some(former));
    assert_eq!(scan.up("a"), service);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}
