//! A supervise that is killed at any of its system calls, and many in a row: nothing is lost or doubled.

use crate::support;

use std::fs;
use std::os::unix::process::ExitStatusExt;

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use servicedir::status::State;
use support::adoption::{alone, be_the_subreaper, reap, replace};
use support::service::{Service, pid_of};
use support::{Running, alive, eventually, until};

/// Each system call as its name, and the how manieth of that name it is.
type Call = (String, usize);

/// The system calls of a supervise, by a trace of it, from the first line that `begins` holds for to
/// the one after the first that `ends` holds for after it.
fn calls(trace: &str, begins: impl Fn(&str) -> bool, ends: impl Fn(&str) -> bool) -> Vec<Call> {
    let lines: Vec<&str> = trace.lines().filter(|line| line.contains('(')).collect();
    let names: Vec<&str> = lines
        .iter()
        .map(|line| line.split('(').next().unwrap())
        .collect();
    let first = lines.iter().position(|line| begins(line)).unwrap();
    let last = first + lines[first..].iter().position(|line| ends(line)).unwrap();
    assert!(last > first + 5, "{trace}");
    let nth = |at: usize| {
        names[..=at]
            .iter()
            .filter(|name| **name == names[at])
            .count()
    };
    (first..=(last + 1).min(names.len() - 1))
        .map(|at| (names[at].to_owned(), nth(at)))
        .collect()
}

fn is_go_ahead(line: &str) -> bool {
    line.contains("\"!\", 1")
}

/// A supervise that is killed at this system call.
#[track_caller]
fn killed_at(service: &Service, (name, nth): &Call) -> Running {
    let inject = format!("inject={name}:signal=KILL:when={nth}");
    let only = format!("trace={name}");
    service.supervise_behind(
        "strace",
        &["-q", "-o", "/dev/null", "-e", &only, "-e", &inject],
    )
}

/// Ends the service and its supervise, and checks that nothing is left.
#[track_caller]
fn nothing_is_left_of(service: &Service, at: &str) {
    service.send("dx");
    eventually(at, || {
        for pid in service.lines("starts") {
            waitpid(
                Pid::from_raw(pid.parse().unwrap()),
                Some(WaitPidFlag::WNOHANG),
            )
            .ok();
        }
        let left = service.processes();
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
    assert_eq!(service.read("faults"), "", "{at}");
}

#[test]
fn a_kill_at_any_system_call_of_a_start_neither_loses_nor_doubles_the_service() {
    be_the_subreaper();
    let traced = alone("web");
    let trace = traced.folder().join("trace");
    let supervise = traced.supervise_behind("strace", &["-q", "-o", trace.to_str().unwrap()]);
    traced.until_running();
    drop(supervise);
    let is_fork = |line: &str| {
        ["clone(", "clone3(", "fork(", "vfork("]
            .iter()
            .any(|call| line.starts_with(call))
    };
    for call in calls(&fs::read_to_string(trace).unwrap(), is_fork, is_go_ahead) {
        let service = alone("web");
        let how = killed_at(&service, &call).ended();
        let at = format!("{call:?}: {how}: {}", service.messages());
        assert_eq!(how.signal(), Some(libc::SIGKILL), "{at}");
        let _supervise = service.supervise();
        // What it adopts may be the held child, which is about to leave.
        service.until(&at, |status, record| {
            record.state == State::Running
                && service.lines("starts").last() == Some(&pid_of(status).to_string())
        });
        assert_eq!(service.lines("starts").len(), 1, "{at}");
        // The held child of the killed supervise takes a moment to leave.
        until(&at, || service.processes().len() == 2);
        nothing_is_left_of(&service, &at);
    }
}

#[test]
fn a_kill_at_any_system_call_of_a_restart_neither_loses_nor_doubles_the_service() {
    be_the_subreaper();
    let traced = alone("web");
    let trace = traced.folder().join("trace");
    let supervise = traced.supervise_behind("strace", &["-q", "-o", trace.to_str().unwrap()]);
    let pid = traced.until_running();
    traced.send("r");
    traced.until_replaced(pid);
    drop(supervise);
    let is_command = |line: &str| line.starts_with("read(") && line.contains("\"r\"");
    let mut hits = 0;
    for call in calls(&fs::read_to_string(trace).unwrap(), is_command, is_go_ahead) {
        let service = alone("web");
        let mut supervise = killed_at(&service, &call);
        let first = service.until_running();
        // A TERM before that would leave its `flock` behind, with the lock.
        until(&format!("{call:?}"), || !service.lines("starts").is_empty());
        service.send("r");
        let at = format!("{call:?}");
        let mut ended = None;
        // That it goes on is known when it runs: the new pid is recorded before the go-ahead, at
        // which it may still be killed.
        until(&at, || {
            ended = supervise.child().try_wait().unwrap();
            let status = service.status().unwrap();
            let runs = status.record.as_ref().unwrap().state == State::Running;
            ended.is_some() || runs && ![0, first].contains(&pid_of(&status))
        });
        // A call may come one later than in the trace: then this supervise goes on, without its tracer.
        hits += usize::from(ended.is_some());
        drop(supervise);
        let _next = ended.map(|_| service.supervise());
        // The restart may have been forgotten with the supervise that had read it, but no more.
        eventually(&at, || {
            let status = service.status().unwrap();
            let (pid, starts) = (pid_of(&status), service.lines("starts"));
            if status.record.as_ref().unwrap().state == State::Running
                && alive(pid)
                && starts.last() == Some(&pid.to_string())
            {
                return Ok(());
            }
            Err(Box::new((
                status,
                alive(pid),
                starts,
                service.messages(),
                service.processes(),
                ended,
            )))
        });
        until(&at, || service.processes().len() == 2);
        assert!(service.lines("starts").len() <= 2, "{at}");
        nothing_is_left_of(&service, &at);
    }
    assert!(hits > 20, "{hits}");
}

#[test]
fn ten_kills_in_a_row_leave_no_descriptor_and_no_process_behind() {
    be_the_subreaper();
    let service = alone("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    until("its start", || !service.lines("starts").is_empty());
    let first = support::service::descriptors(supervise.pid()).len();
    for _ in 0..10 {
        let (next, status) = replace(&service, supervise);
        assert_eq!(pid_of(&status), pid);
        supervise = next;
    }
    // One more: the descriptor of the adopted process.
    eventually("no leaked descriptor", || {
        let seen = support::service::descriptors(supervise.pid()).len();
        if seen == first + 1 {
            Ok(())
        } else {
            Err((seen, first))
        }
    });
    until("one process beside supervise", || {
        service.processes().len() == 2
    });
    assert_eq!(service.lines("starts").len(), 1);
    service.send("d");
    reap(pid);
    service.until_state(State::Stopped);
    until("its descriptor is closed", || {
        support::service::descriptors(supervise.pid()).len() == first
    });
}
