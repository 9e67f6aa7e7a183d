//! What happens after the end of a service.
//!
//! Not tested: how many milliseconds it takes; that is measured in `benches/`.

use crate::support;

use std::path::Path;
use std::time::Duration;

use servicedir::signal::Signal;
use servicedir::status::{End, Phase, State, Want};
use servicedir::tai64n::Tai64n;
use support::service::{Service, descriptors, pid_of, proc_status};
use support::{kill, peer, program, until};

#[test]
fn a_service_that_ran_over_a_second_is_started_again_at_once() {
    let service = Service::new("web").script("run", "exec sleep 1000");
    let _supervise = service.supervise();
    // RUNNING after startsecs, which is a second.
    let pid = service.until_running();
    let killed = Tai64n::now();
    kill(pid, libc::SIGKILL);
    let again = service.until("a start", |status, _| ![0, pid].contains(&pid_of(status)));
    let gap = killed.age(again.stamp);
    assert!(gap < Duration::from_millis(900), "{gap:?}");
    let record = again.record.unwrap();
    assert_eq!((record.total_starts, record.failed_starts), (2, 0));
    assert_eq!(
        record.last_end,
        Some(End::Killed {
            signal: Signal::KILL,
            core: false
        })
    );
}

/// The times between the starts of a service whose `run` ends with this line, in seconds. /proc knows
/// when each was forked, however late it came to run.
fn gaps(supervise: &Path, end: &str, startsecs: Option<&str>) -> Vec<f64> {
    let run = format!("cut -d ' ' -f 22 /proc/$$/stat >>starts; {end}");
    let mut service = Service::new("web").script("run", &run);
    if let Some(text) = startsecs {
        service = service.file("options/startsecs", text);
    }
    let _supervise = service.supervise_by(supervise);
    until("three starts", || service.lines("starts").len() >= 3);
    let ticks = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
    let starts: Vec<f64> = service
        .lines("starts")
        .iter()
        .map(|line| line.parse::<f64>().unwrap() / f64::from(ticks))
        .collect();
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_service_that_ends_at_once_is_started_about_once_a_second() {
    let ours = program("supervise");
    let theirs = peer("supervise");
    // Ticks are hundredths of a second: hence the tenth.
    for (supervise, end, startsecs, at_least) in [
        (ours, "exit 0", None, 1.0),
        (ours, "exit 0", Some("0"), 1.0),
        (ours, "exec sleep 0.3", None, 1.3),
        (ours, "exec sleep 0.3", Some("0"), 1.0),
        (theirs.as_path(), "exit 0", None, 1.0),
        (theirs.as_path(), "exec sleep 0.3", None, 1.0),
    ] {
        for gap in gaps(supervise, end, startsecs) {
            assert!(gap > at_least - 0.1, "{end} {startsecs:?}: {gap}");
            assert!(gap < at_least + 5.0, "{end} {startsecs:?}: {gap}");
        }
    }
}

/// Runs a service to its end once, and returns the arguments of its finish.
fn finish_arguments(supervise: &Path, run: &str) -> Vec<String> {
    let name = "web";
    let mut service = Service::new(name).script("finish", "echo \"$@\" >>finishes");
    if !run.is_empty() {
        service = service.script("run", &format!("echo $$ >>pids; {run}"));
    }
    let mut command = service.command(supervise);
    let _supervise = support::Running::start(command.arg(name));
    until("a finish", || !service.lines("finishes").is_empty());
    let mut arguments: Vec<String> = service.lines("finishes")[0]
        .split(' ')
        .map(str::to_owned)
        .collect();
    if let (Some(group), false) = (arguments.get_mut(3), run.is_empty()) {
        assert_eq!(*group, service.lines("pids")[0]);
        *group = "GROUP".to_owned();
    }
    arguments
}

#[test]
fn finish_is_told_how_the_run_ended_as_runit_tells_it() {
    for (run, code, low) in [
        ("exit 0", "0", "0"),
        ("exit 3", "3", "0"),
        ("exit 255", "255", "0"),
        ("kill -TERM $$", "-1", "15"),
        ("kill -KILL $$", "-1", "9"),
        ("kill -40 $$", "-1", "40"),
    ] {
        let ours = finish_arguments(program("supervise"), run);
        assert_eq!(ours, [code, low, "web", "GROUP"], "{run}");
        assert_eq!(finish_arguments(&peer("runsv"), run), [code, low], "{run}");
    }
    assert_eq!(
        finish_arguments(program("supervise"), "")[..3],
        ["111", "0", "web"]
    );
}

#[test]
fn a_finish_that_exits_125_means_failed_for_good() {
    let service = Service::sleeping("web").script("finish", "exit 125");
    let _supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    let fatal = service.until_state(State::Fatal);
    assert_eq!((fatal.pid, fatal.want), (None, Want::Down));
    assert_eq!(fatal.record.unwrap().reason, "finish exited 125");
    service.send("u");
    service.until_replaced(pid);
    service.send("d");
    service.until_state(State::Stopped);
}

#[test]
fn a_finish_that_fails_changes_nothing() {
    for body in ["exit 1", "exit 111", "kill -9 $$"] {
        let service = Service::sleeping("web").script("finish", body);
        let _supervise = service.supervise();
        let pid = service.until_running();
        kill(pid, libc::SIGTERM);
        service.until_replaced(pid);
        assert_eq!(service.messages(), "", "{body}");
    }
}

#[test]
fn a_finish_that_cannot_be_started_is_said_and_changes_nothing() {
    let service = Service::sleeping("web")
        .script("finish", "")
        .file("finish", "#!/nowhere/sh\n");
    let _supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    service.until_replaced(pid);
    assert_eq!(
        service.messages(),
        "supervise: warning: unable to start web/finish: its interpreter does not exist\n"
    );
}

#[test]
fn a_finish_that_is_not_executable_is_none() {
    let service = Service::sleeping("web").file("finish", "#!/bin/sh\necho >>finishes\n");
    let _supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    service.until_replaced(pid);
    assert_eq!(service.read("finishes"), "");
}

#[test]
fn a_finish_that_hangs_is_killed_after_finishsecs() {
    let service = Service::sleeping("web")
        .script("finish", "echo $$ >>finishes; exec sleep 1000")
        .file("options/finishsecs", "100ms");
    let _supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    service.until_replaced(pid);
    assert_eq!(
        service.messages(),
        "supervise: warning: web: finish takes longer than finishsecs: killed\n"
    );
}

#[test]
fn commands_are_obeyed_while_a_finish_hangs() {
    let service = Service::sleeping("web").script("finish", "exec sleep 1000");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGTERM);
    let finishing = service.until("finish", |status, _| status.phase == Phase::Finish);
    assert_ne!(pid_of(&finishing), pid);
    service.send("d");
    service.until("want down", |status, _| status.want == Want::Down);
    service.send("xk");
    assert_eq!(supervise.ended().code(), Some(0));
    assert_eq!(service.record().state, State::Stopped);
}

#[test]
fn two_hundred_restarts_leak_no_descriptor_and_no_process() {
    let service = Service::sleeping("web");
    let supervise = service.supervise();
    let mut pid = service.until_running();
    let before = descriptors(supervise.pid());
    for _ in 0..200 {
        service.send("r");
        pid = service.until_replaced(pid);
    }
    assert_eq!(descriptors(supervise.pid()), before);
    assert_eq!(service.record().total_starts, 201);
    // Who executes a program has no environment for a moment.
    until("one process beside supervise", || {
        service.processes().len() == 2
    });
}

/// How often the process has gone to sleep and been woken.
fn switches(pid: i32) -> u64 {
    proc_status(pid, "voluntary_ctxt_switches").parse().unwrap()
}

#[test]
fn nothing_wakes_a_supervise_while_nothing_happens() {
    let up = Service::sleeping("up");
    let down = Service::sleeping("down").file("down", "");
    let (first, second) = (up.supervise(), down.supervise());
    up.until_running();
    // The answer to a command is the last thing that happens.
    for service in [&up, &down] {
        service.send("#");
        service.until("an answer", |_, record| record.commands == 1);
    }
    let asleep = |pid| proc_status(pid, "State").starts_with('S');
    until("both sleep", || asleep(first.pid()) && asleep(second.pid()));
    let before = (switches(first.pid()), switches(second.pid()));
    // Meanwhile a third one, which is tried every second, is started three times.
    let clock = Service::new("clock");
    let _clock = clock.supervise();
    clock.until("three starts", |_, record| record.failed_starts >= 3);
    assert_eq!((switches(first.pid()), switches(second.pid())), before);
}
