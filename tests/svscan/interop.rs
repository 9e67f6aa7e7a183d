//! svscan of one suite and supervise of another.

use crate::support;

use std::process::Command;

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{Running, eventually, kill, output, peer, program, stdout, until};

#[test]
fn our_svscan_runs_the_supervise_of_daemontools() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.service("b", SLEEP);
    scan.link("a");
    scan.link("b");
    scan.start_with(&["--supervise", peer("supervise").to_str().unwrap()]);
    scan.log_grows("sv/a/log/out");
    let line = || stdout(&output(&peer("svstat"), [scan.scan_dir().join("b")]));
    until("it is up", || line().contains(": up (pid "));
    // Its supervises are children, stopped by their control FIFO: TERM would leave the services.
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn our_svscan_takes_over_from_that_of_daemontools() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    let mut theirs = Command::new(peer("svscan"));
    theirs.arg(scan.scan_dir());
    scan.prepare(&mut theirs);
    let mut theirs = Running::start(&mut theirs);
    scan.log_grows("sv/a/log/out");
    theirs.signal(libc::SIGTERM);
    theirs.ended();
    scan.start();
    scan.log_grows("sv/a/log/out");
    // Both of theirs end, and ours go on with their pipe and the service's next run.
    for name in ["a", "a/log"] {
        std::fs::write(scan.dir(name).join("supervise/control"), "dx").unwrap();
        scan.supervised(name, None);
    }
    // A line may have ended with the cat that had read it.
    eventually("it counts from the beginning again", || {
        let out = scan.scratch.read("sv/a/log/out");
        let numbers: Vec<u32> = out.lines().filter_map(|line| line.parse().ok()).collect();
        if numbers.windows(2).any(|pair| pair[1] < pair[0]) {
            Ok(())
        } else {
            Err((out, scan.scratch.read("stderr")))
        }
    });
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn the_svscan_of_daemontools_runs_our_supervise() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    let ours = program("supervise").parent().unwrap();
    let mut theirs = Command::new(peer("svscan"));
    theirs
        .arg(scan.scan_dir())
        .env("PATH", format!("{}:/usr/bin:/bin", ours.display()));
    scan.prepare(&mut theirs);
    scan.svscan = Some(Running::start(&mut theirs));
    scan.log_grows("sv/a/log/out");
    let (service, supervise) = (scan.up("a"), scan.supervised("a", None));
    // It looks every 5 seconds.
    kill(supervise, libc::SIGKILL);
    scan.supervised("a", Some(supervise));
    scan.log_grows("sv/a/log/out");
    assert_eq!(scan.up("a"), service);
}
