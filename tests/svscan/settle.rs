//! A service directory that is copied into the scan directory is not started half finished.

use crate::support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::scanning::{SLEEP, Scanning};
use support::{alive, until};

fn pid(dir: &Path) -> Option<i32> {
    let text = fs::read_to_string(dir.join("supervise/pid")).ok()?;
    text.trim().parse().ok().filter(|pid| alive(*pid))
}

#[test]
fn a_directory_that_still_changes_waits_for_its_down() {
    let mut scan = Scanning::new();
    scan.start();
    let dir = scan.scan_dir().join("a");
    scan.scratch.script("scan/a/run", SLEEP);
    // Longer than the time without a change, with a change every now and then.
    let begun = Instant::now();
    let mut number = 0;
    until("the copy is done", || {
        number += 1;
        fs::write(dir.join(format!("file{number}")), "").unwrap();
        begun.elapsed() > Duration::from_millis(1200)
    });
    assert!(!dir.join("supervise").exists());
    fs::write(dir.join("down"), "").unwrap();
    until("it is supervised", || dir.join("supervise/status").exists());
    assert_eq!(pid(&dir), None);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn copied_directories_have_their_log_and_their_down() {
    let mut scan = Scanning::new();
    for number in 0..10 {
        let name = format!("s{number}");
        scan.logged(&name, "echo started; exec sleep 1000");
        if number % 2 == 0 {
            fs::write(scan.dir(&name).join("down"), "").unwrap();
        }
    }
    scan.start();
    let copied = Command::new("sh")
        .args(["-c", "cp -r \"$0\"/* \"$1\""])
        .arg(scan.scratch.path().join("sv"))
        .arg(scan.scan_dir())
        .status();
    assert!(copied.unwrap().success());
    for number in 0..10 {
        let dir = scan.scan_dir().join(format!("s{number}"));
        until("its log runs", || pid(&dir.join("log")).is_some());
        until("it is supervised", || dir.join("supervise/status").exists());
        if number % 2 == 0 {
            assert_eq!(pid(&dir), None, "s{number}");
        } else {
            let out = dir.join("log/out");
            until("its line is in the log", || {
                fs::read(&out).is_ok_and(|text| text == b"started\n")
            });
        }
    }
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn what_runs_is_adopted_however_often_its_directory_changes() {
    let mut scan = Scanning::new();
    scan.scratch.script(
        "scan/a/run",
        "while :; do echo >new; mv new data; sleep 0.02; done",
    );
    let dir = scan.scan_dir().join("a");
    scan.start();
    until("it runs", || pid(&dir).is_some());
    let service = pid(&dir);
    scan.end(libc::SIGKILL);
    scan.start();
    // It is watched: a supervise that is killed is replaced.
    let supervise = || -> Option<i32> {
        let text = fs::read_to_string(dir.join("supervise/lock")).ok()?;
        text.trim().parse().ok().filter(|pid| alive(*pid))
    };
    let former = supervise().unwrap();
    until("svscan has locked", || {
        scan.scratch
            .read("scan/.svscan.lock")
            .starts_with(&format!("{}\n", scan.svscan.as_ref().unwrap().pid()))
    });
    support::kill(former, libc::SIGKILL);
    until("there is another supervise", || {
        supervise().is_some_and(|pid| pid != former)
    });
    assert_eq!(pid(&dir), service);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_link_to_a_finished_directory_is_acted_on_while_another_one_settles() {
    let mut scan = Scanning::new();
    scan.start();
    scan.scratch.script("scan/slow/run", SLEEP);
    let slow = scan.scan_dir().join("slow");
    scan.service("a", SLEEP);
    scan.link("a");
    until("the link is up, and the other not yet", || {
        fs::write(slow.join("file"), "").unwrap();
        assert!(!slow.join("supervise").exists());
        scan.pid("a").is_some()
    });
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}
