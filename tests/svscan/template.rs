//! Instances: links `worker@1`, `worker@2`, … to one template, each a service of its own.

use crate::support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use support::scanning::Scanning;
use support::{program, stdout, until};

const TERM: i32 = 15;
const KILL: i32 = 9;

/// A worker that tells who it is, and svscan with two instances of it.
fn workers(prepare: impl FnOnce(&Scanning)) -> Scanning {
    let mut scan = Scanning::new();
    let dir = scan.service(
        "worker@",
        "echo \"$INSTANCE of $SUPERVISOR_GROUP_NAME is $SUPERVISOR_PROCESS_NAME\"; exec sleep 1000",
    );
    scan.option("worker@", "startsecs", "0");
    scan.scratch.script(
        "sv/worker@/log/run",
        "while read -r line; do echo \"$line\" >>out@$INSTANCE; done",
    );
    prepare(&scan);
    for number in [1, 2] {
        symlink(&dir, instance(&scan, number)).unwrap();
    }
    scan.start();
    scan
}

fn instance(scan: &Scanning, number: u32) -> PathBuf {
    scan.scan_dir().join(format!("worker@{number}"))
}

/// What one of the loggers wrote.
fn logged(scan: &Scanning, file: &str) -> String {
    scan.scratch.read(&format!("sv/worker@/log/{file}"))
}

/// Runs a command line by the shell in the scan directory, with the programs of the suite first.
fn shell(scan: &Scanning, line: &str) -> Output {
    let ours = program("svc").parent().unwrap().display().to_string();
    Command::new("sh")
        .args(["-c", line])
        .current_dir(scan.scan_dir())
        .env("PATH", format!("{ours}:/usr/bin:/bin"))
        .output()
        .unwrap()
}

fn pid(scan: &Scanning, number: u32) -> String {
    scan.scratch
        .read(&format!("sv/worker@/supervise@{number}/pid"))
}

#[test]
fn each_instance_is_a_service_of_its_own_with_one_log_for_all() {
    let mut scan = workers(|_| {});
    let log = || scan.scratch.read("sv/worker@/log/out@");
    until("both are in the log", || log().lines().count() == 2);
    let log = log();
    for line in ["1 of worker is worker@1", "2 of worker is worker@2"] {
        assert!(log.lines().any(|said| said == line), "{line} in {log}");
    }
    let states: Vec<bool> = ["supervise@1", "supervise@2", "log/supervise", "supervise"]
        .iter()
        .map(|state| scan.dir("worker@").join(state).exists())
        .collect();
    assert_eq!(states, [true, true, true, false]);
    scan.end(TERM);
}

#[test]
fn the_clients_take_instances_by_a_pattern() {
    let mut scan = workers(|_| {});
    let wait = shell(&scan, "svc --wait=up -T 30 'worker@1' worker@2");
    assert!(wait.status.success(), "{wait:?}");
    let before = (pid(&scan, 1), pid(&scan, 2));
    assert!(shell(&scan, "svc -w -t worker@*").status.success());
    let after = (pid(&scan, 1), pid(&scan, 2));
    assert!(
        before.0 != after.0 && before.1 != after.1,
        "{before:?} {after:?}"
    );
    assert!(shell(&scan, "svc -w -d worker@2").status.success());
    assert_eq!(pid(&scan, 1), after.0, "the other one is left alone");
    let lines = stdout(&shell(&scan, "svstat worker@*"));
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines[0].starts_with("worker@1: up (pid "), "{lines:?}");
    assert!(lines[1].starts_with("worker@2: down "), "{lines:?}");
    assert!(shell(&scan, "svok worker@1").status.success());
    scan.end(TERM);
}

#[test]
fn a_link_log_at_instance_is_the_log_of_that_instance_alone() {
    let mut scan = workers(|scan| {
        symlink("log", scan.dir("worker@").join("log@2")).unwrap();
    });
    until("each is in its log", || {
        !logged(&scan, "out@").is_empty() && !logged(&scan, "out@2").is_empty()
    });
    assert_eq!(logged(&scan, "out@"), "1 of worker is worker@1\n");
    assert_eq!(logged(&scan, "out@2"), "2 of worker is worker@2\n");
    assert!(scan.dir("worker@").join("log/supervise@2/status").exists());
    let line = stdout(&shell(&scan, "svstat worker@2/log@2"));
    assert!(line.starts_with("worker@2/log@2: up (pid "), "{line}");

    // The pipe of each outlives svscan and its supervises: the next lines go where the first went.
    let (first, second) = (pid(&scan, 1), pid(&scan, 2));
    scan.end(KILL);
    scan.start();
    assert!(shell(&scan, "svc -w -t worker@1 worker@2").status.success());
    assert!(first != pid(&scan, 1) && second != pid(&scan, 2));
    until("the next are there", || {
        logged(&scan, "out@").lines().count() == 2 && logged(&scan, "out@2").lines().count() == 2
    });
    assert_eq!(scan.end(TERM).code(), Some(0));
    // The two links, and svscan's lock.
    assert_eq!(fs::read_dir(scan.scan_dir()).unwrap().count(), 3);
}

#[test]
fn a_log_of_its_own_is_taken_at_the_next_start_of_the_supervise_and_the_others_keep_theirs() {
    let mut scan = workers(|_| {});
    until("both are in the one log", || {
        logged(&scan, "out@").lines().count() == 2
    });
    let shared = scan.scratch.read("sv/worker@/log/supervise/pid");
    symlink("log", scan.dir("worker@").join("log@2")).unwrap();
    assert!(shell(&scan, "svc -w -dx worker@2").status.success());
    until("the second has a log of its own", || {
        logged(&scan, "out@2").lines().count() == 1
    });
    assert!(shell(&scan, "svc -w -t worker@1").status.success());
    until("the first still writes to the shared one", || {
        logged(&scan, "out@").lines().count() == 3
    });
    assert_eq!(scan.scratch.read("sv/worker@/log/supervise/pid"), shared);
    scan.end(TERM);
}
