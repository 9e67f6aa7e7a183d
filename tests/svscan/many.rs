//! More services than other suites have room for.

use crate::support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use support::scanning::Scanning;
use support::until;

/// Not timed: how long it takes stands in the benchmark.
#[test]
fn more_than_a_thousand_services_start_and_stop() {
    let count = 1100;
    let mut scan = Scanning::new();
    // A supervise that costs little: it says that it is there, and waits to be told to go.
    let supervise = scan
        .scratch
        .script("supervise", ">../up/$1; exec sleep 1000");
    fs::create_dir(scan.scratch.path().join("up")).unwrap();
    for number in 0..count {
        let dir = scan.scan_dir().join(format!("s{number}"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    scan.start_with(&["--supervise", supervise.to_str().unwrap()]);
    until("all are started", || {
        fs::read_dir(scan.scratch.path().join("up"))
            .unwrap()
            .count()
            == count
    });
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
    assert_eq!(
        scan.stderr()
            .lines()
            .filter(|line| !line.contains("killed by SIGTERM"))
            .count(),
        0
    );
}
