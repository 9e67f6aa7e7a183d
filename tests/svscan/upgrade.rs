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
