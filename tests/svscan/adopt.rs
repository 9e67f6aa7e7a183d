//! Nothing dies with svscan or a supervise: neither a service, nor its log's pipe, nor a line in it.

use crate::support;

use std::fs;
use std::process::Command;

use servicedir::status::{Record, Status};
use support::scanning::{COUNT, SLEEP, Scanning};
use support::{Running, alive, eventually, kill, peer, program, until};

/// The supervises and services of `a`, with its log: what must not change, or must.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pids {
    service: i32,
    supervise: i32,
    logger: i32,
    log_supervise: i32,
}

fn pids(scan: &Scanning) -> Pids {
    Pids {
        service: scan.up("a"),
        supervise: scan.supervised("a", None),
        logger: scan.up("a/log"),
        log_supervise: scan.supervised("a/log", None),
    }
}

/// A service whose lines are counted, running under a svscan.
fn counting() -> Scanning {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    scan.start();
    scan.log_grows("sv/a/log/out");
    scan
}

fn kill_and_wait(pid: i32) {
    kill(pid, libc::SIGKILL);
    until("it is dead", || !alive(pid));
}

#[test]
fn a_killed_supervise_is_replaced_and_its_service_goes_on() {
    let scan = counting();
    let before = pids(&scan);
    kill_and_wait(before.supervise);
    let supervise = scan.supervised("a", Some(before.supervise));
    assert_eq!(
        pids(&scan),
        Pids {
            supervise,
            ..before
        }
    );
    scan.log_grows("sv/a/log/out");
    scan.says("svscan: warning: the supervise of a was killed by SIGKILL\n");
}

#[test]
fn a_killed_supervise_of_a_log_is_replaced_and_its_logger_goes_on() {
    let scan = counting();
    let before = pids(&scan);
    kill_and_wait(before.log_supervise);
    let log_supervise = scan.supervised("a/log", Some(before.log_supervise));
    assert_eq!(
        pids(&scan),
        Pids {
            log_supervise,
            ..before
        }
    );
    scan.log_grows("sv/a/log/out");
    scan.says("the supervise of a/log was killed by SIGKILL");
}

#[test]
fn a_killed_logger_is_started_again_on_the_same_pipe() {
    let scan = counting();
    let before = pids(&scan);
    kill_and_wait(before.logger);
    scan.log_goes_on("sv/a/log/out");
    assert_eq!(scan.up("a"), before.service);
}

#[test]
fn a_new_svscan_adopts_the_supervises_of_a_killed_one() {
    let mut scan = counting();
    let before = pids(&scan);
    scan.end(libc::SIGKILL);
    scan.start();
    scan.log_grows("sv/a/log/out");
    assert_eq!(pids(&scan), before);
    // It watches them: each is replaced when it ends, with the same pipe.
    kill_and_wait(before.log_supervise);
    let log_supervise = scan.supervised("a/log", Some(before.log_supervise));
    kill_and_wait(before.supervise);
    let supervise = scan.supervised("a", Some(before.supervise));
    scan.log_grows("sv/a/log/out");
    assert_eq!(
        pids(&scan),
        Pids {
            supervise,
            log_supervise,
            ..before
        }
    );
    // And the loggers that it starts itself have that pipe, too.
    kill_and_wait(before.logger);
    scan.log_goes_on("sv/a/log/out");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn the_pipe_is_found_again_when_all_that_supervises_was_killed() {
    let mut scan = counting();
    let before = pids(&scan);
    for pid in [before.supervise, before.log_supervise] {
        kill(pid, libc::SIGSTOP);
    }
    scan.end(libc::SIGKILL);
    kill_and_wait(before.supervise);
    kill_and_wait(before.log_supervise);
    scan.start();
    let supervise = scan.supervised("a", Some(before.supervise));
    let log_supervise = scan.supervised("a/log", Some(before.log_supervise));
    scan.log_grows("sv/a/log/out");
    assert_eq!(
        pids(&scan),
        Pids {
            supervise,
            log_supervise,
            ..before
        }
    );
}

#[test]
fn the_pipe_is_found_again_through_the_service_alone() {
    let mut scan = counting();
    let before = pids(&scan);
    kill(before.supervise, libc::SIGSTOP);
    kill(before.log_supervise, libc::SIGSTOP);
    scan.end(libc::SIGKILL);
    for pid in [before.log_supervise, before.logger, before.supervise] {
        // The service finds nobody who reads its pipe for a moment; it must not be running then.
        kill(before.service, libc::SIGSTOP);
        kill_and_wait(pid);
    }
    scan.start();
    scan.supervised("a", Some(before.supervise));
    scan.up("a/log");
    kill(before.service, libc::SIGCONT);
    scan.log_goes_on("sv/a/log/out");
    assert_eq!(scan.up("a"), before.service);
}

#[test]
fn an_errlog_is_adopted_as_a_log_is() {
    let mut scan = Scanning::new();
    scan.logged(
        "a",
        "i=0; while :; do i=$((i+1)); echo $i; echo $i >&2; sleep 0.01; done",
    );
    scan.scratch.script("sv/a/errlog/run", "exec cat >>out");
    scan.link("a");
    scan.start();
    scan.log_grows("sv/a/errlog/out");
    let (before, errlog) = (pids(&scan), scan.up("a/errlog"));
    scan.end(libc::SIGKILL);
    scan.start();
    let former = scan.supervised("a/errlog", None);
    kill_and_wait(former);
    scan.supervised("a/errlog", Some(former));
    kill_and_wait(errlog);
    scan.log_goes_on("sv/a/errlog/out");
    scan.log_goes_on("sv/a/log/out");
    assert_eq!(pids(&scan), before);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn quit_leaves_everything_running_for_the_next_svscan() {
    let mut scan = counting();
    let before = pids(&scan);
    assert_eq!(scan.end(libc::SIGQUIT).code(), Some(0));
    assert_eq!(pids(&scan), before);
    scan.start();
    scan.log_grows("sv/a/log/out");
    assert_eq!(pids(&scan), before);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_supervise_of_somebody_else_is_adopted() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    let mut supervise = Command::new(program("supervise"));
    scan.prepare(supervise.arg(scan.dir("a")));
    let mut supervise = Running::start(&mut supervise);
    let service = scan.up("a");
    scan.link("a");
    scan.service("z", SLEEP);
    scan.link("z");
    scan.start();
    scan.up("z");
    assert_eq!(scan.supervise("a"), Some(supervise.pid()));
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    scan.supervised("a", Some(supervise.pid()));
    assert_eq!(scan.up("a"), service);
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_supervise_of_daemontools_is_adopted_and_stopped() {
    // Its lock names nobody: the kernel tells who holds it.
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    let mut supervise = Command::new(peer("supervise"));
    scan.prepare(supervise.arg(scan.dir("a")));
    let mut supervise = Running::start(&mut supervise);
    until("it runs", || scan.dir("a/supervise/status").exists());
    scan.link("a");
    scan.service("z", SLEEP);
    scan.link("z");
    scan.start();
    scan.up("z");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(supervise.ended().code(), Some(0));
    assert_eq!(scan.processes(), []);
    assert_eq!(scan.stderr(), "");
}

#[test]
fn no_descriptor_is_left_over_from_adoption_and_restarts() {
    let mut scan = counting();
    let count = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    scan.end(libc::SIGKILL);
    scan.start();
    scan.log_grows("sv/a/log/out");
    let svscan = scan.running().pid();
    // The log goes on without a svscan: it is at rest when it watches both supervises.
    until("both supervises are adopted", || {
        let links = fs::read_dir(format!("/proc/{svscan}/fd"))
            .unwrap()
            .flatten();
        let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
        links
            .filter(|link| link.to_string_lossy().contains("[pidfd]"))
            .count()
            == 2
    });
    let before = count(svscan);
    for _ in 0..3 {
        let supervise = scan.supervised("a", None);
        kill_and_wait(supervise);
        let new = scan.supervised("a", Some(supervise));
        until("it runs the service", || {
            scan.supervise("a") == Some(new) && scan.pid("a").is_some()
        });
    }
    // A child needs no descriptor, where the adopted one had a pidfd.
    until("as many descriptors as before", || {
        count(svscan) == before - 1
    });
}

#[test]
fn a_service_whose_link_is_gone_is_adopted_again_when_its_supervise_is_killed() {
    let scan = counting();
    let before = pids(&scan);
    scan.unlink("a");
    kill_and_wait(before.log_supervise);
    let log_supervise = scan.supervised("a/log", Some(before.log_supervise));
    kill_and_wait(before.supervise);
    let supervise = scan.supervised("a", Some(before.supervise));
    scan.log_grows("sv/a/log/out");
    let after = Pids {
        supervise,
        log_supervise,
        ..before
    };
    assert_eq!(pids(&scan), after);
    fs::write(scan.dir("a/supervise/control"), "dx").unwrap();
    until("it and its log are gone", || {
        scan.supervise("a").is_none() && scan.supervise("a/log").is_none()
    });
}

/// What the supervise of a service, or of a log, has recorded last.
#[track_caller]
fn record(scan: &Scanning, name: &str) -> Record {
    let bytes = fs::read(scan.dir(name).join("supervise/status")).unwrap();
    Status::unpack(&bytes).unwrap().record.unwrap()
}

#[test]
fn the_log_of_a_service_without_a_name_is_not_told_to_exit_when_its_supervise_is_killed() {
    let scan = counting();
    let before = pids(&scan);
    scan.unlink("a");
    kill_and_wait(before.supervise);
    let supervise = scan.supervised("a", Some(before.supervise));
    // A service that is started later tells that svscan has done all that it had to do about this one.
    scan.service("z", SLEEP);
    scan.link("z");
    scan.up("z");
    // Commands are obeyed in their order: what svscan has told the log comes before what means nothing.
    let commands = record(&scan, "a/log").commands;
    fs::write(scan.dir("a/log/supervise/control"), "#").unwrap();
    let after = eventually("the log's supervise has read a command", || {
        let record = record(&scan, "a/log");
        match record.commands {
            count if count > commands => Ok(record),
            _ => Err(scan.stderr()),
        }
    });
    assert!(!after.exiting, "{after:?}");
    scan.log_grows("sv/a/log/out");
    assert_eq!(
        pids(&scan),
        Pids {
            supervise,
            ..before
        }
    );
}

#[test]
fn a_supervise_that_detaches_is_replaced() {
    let scan = counting();
    let before = pids(&scan);
    let mut svc = Command::new(program("svc"));
    svc.arg("--detach").arg(scan.scan_dir().join("a"));
    assert!(svc.status().unwrap().success());
    let supervise = scan.supervised("a", Some(before.supervise));
    scan.log_grows("sv/a/log/out");
    assert_eq!(
        pids(&scan),
        Pids {
            supervise,
            ..before
        }
    );
}

#[test]
fn a_svscan_that_leaves_is_waited_for() {
    // As in `pkill -QUIT svscan && svscan`.
    let mut scan = counting();
    let before = pids(&scan);
    let former = scan.svscan.take().unwrap();
    kill(former.pid(), libc::SIGSTOP);
    scan.start();
    former.signal(libc::SIGQUIT);
    kill(former.pid(), libc::SIGCONT);
    scan.log_grows("sv/a/log/out");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0), "{}", scan.stderr());
    assert!(!alive(before.service));
}
