//! The states of a service, under a real supervise: failed starts, stops, readiness, checks, and
//! options at fault.
//!
//! Not tested: the same against Supervisor itself, which `supervisord.rs` does, and sd_notify(3),
//! which `notify.rs` does.

use crate::support;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use servicedir::status::{End, State, Want};
use support::service::{Service, pid_of};
use support::{alive, kill, peer, until};

/// Says that it was started, lives so long, and ends with that code.
fn short(seconds: &str, code: u8) -> String {
    format!("echo start >>starts; sleep {seconds}; exit {code}")
}

#[test]
fn one_retry_more_than_startretries_is_fatal_and_tells_why() {
    let service = Service::new("web")
        .script("run", &short("0.05", 3))
        // No run gets that old, however slow the machine is.
        .file("options/startsecs", "30")
        .file("options/startretries", "2")
        .file("options/backoff", "constant 100ms");
    let _supervise = service.supervise();
    let status = service.until_state(State::Fatal);
    let record = status.record.unwrap();
    assert_eq!(service.lines("starts").len(), 3);
    assert_eq!(record.reason, "3 failed starts, the last: exited 3");
    assert_eq!((record.failed_starts, record.start_retries), (3, Some(2)));
    assert_eq!(status.want, Want::Down);
    // It is left only when asked, and then counts from the start.
    service.send("d");
    service.until("d to be read", |_, record| record.commands == 1);
    assert_eq!(service.record().state, State::Fatal);
    service.send("u");
    service.until("three more starts", |_, record| {
        record.state == State::Fatal && record.total_starts == 6
    });
    assert_eq!(service.lines("starts").len(), 6);
}

#[test]
fn a_misspelt_option_starts_nothing() {
    let service = Service::new("web")
        .script("run", &short("1000", 0))
        .file("options/startsec", "5");
    let _supervise = service.supervise();
    let record = service.until_state(State::Fatal).record.unwrap();
    let expected = "options/startsec: unknown option (did you mean startsecs?)";
    assert_eq!(record.reason, expected);
    assert_eq!(
        (record.total_starts, service.read("starts")),
        (0, String::new())
    );
    assert!(
        service.messages().contains(expected),
        "{}",
        service.messages()
    );
}

#[test]
fn a_value_that_does_not_parse_starts_nothing_until_it_does() {
    let service = Service::new("web")
        .script("run", &short("1000", 0))
        .file("options/startsecs", "5x");
    let _supervise = service.supervise();
    let record = service.until_state(State::Fatal).record.unwrap();
    assert!(
        record
            .reason
            .starts_with("options/startsecs: line 1: \"5x\": expected a duration"),
        "{}",
        record.reason
    );
    assert_eq!(record.total_starts, 0);
    let service = service.file("options/startsecs", "0");
    service.send("u");
    service.until_running();
}

#[test]
fn a_fault_in_the_options_does_not_stop_an_automatic_restart() {
    let service = Service::sleeping("web").file("options/stopsignal", "INT");
    let _supervise = service.supervise();
    let pid = service.until_running();
    let service = service.file("options/stopsigna", "TERM");
    kill(pid, libc::SIGKILL);
    let pid = service.until_replaced(pid);
    let record = service.record();
    assert!(record.options_fault);
    let fault = "options/stopsigna: unknown option (did you mean stopsignal?)";
    assert_eq!(record.reason, fault);
    let said = format!("{fault}; keeping the previous options");
    assert!(service.messages().contains(&said), "{}", service.messages());
    // The last good ones still say INT; and a start that is asked for finds the fault.
    service.send("r");
    let record = service.until_state(State::Fatal).record.unwrap();
    assert!(!alive(pid));
    assert!(
        matches!(record.last_end, Some(End::Killed { signal, .. }) if signal.to_string() == "SIGINT"),
        "{:?}",
        record.last_end
    );
    assert_eq!(record.reason, fault);
}

#[test]
fn stopasgroup_ends_what_a_shell_has_started() {
    let service = Service::new("web")
        .script(
            "run",
            "sleep 1000 & sleep 1000 & echo $! >child; sleep 1000; :",
        )
        .file("options/startsecs", "0")
        .file("options/stopasgroup", "yes");
    let supervise = service.supervise();
    service.until_running();
    until("the children", || !service.read("child").is_empty());
    service.send("d");
    service.until_state(State::Stopped);
    until("nothing but supervise", || {
        service.processes() == [supervise.pid()]
    });
}

/// A wrapper that ends at once, and a server that saves its data when it gets TERM.
const WRAPPED: &str = "\
    (trap 'while [ ! -e go ]; do sleep 0.05; done; echo saved >dump; exit' TERM
     echo up >server; while :; do sleep 0.05; done) &
    trap 'echo gone >wrapper; exit 0' TERM
    while :; do sleep 0.05; done";

#[test]
fn a_stop_of_the_group_waits_for_all_of_the_group() {
    let service = Service::new("web")
        .script("run", WRAPPED)
        .file("options/startsecs", "0")
        .file("options/stopasgroup", "yes");
    let supervise = service.supervise();
    let pid = service.until_running();
    until("the server", || !service.read("server").is_empty());
    service.send("d");
    until("the wrapper's end", || {
        !service.read("wrapper").is_empty() && !alive(pid)
    });
    assert_eq!(service.record().state, State::Stopping);
    assert_eq!(service.read("dump"), "");
    std::fs::write(service.dir().join("go"), "").unwrap();
    service.until_state(State::Stopped);
    assert_eq!(service.read("dump"), "saved\n");
    until("nothing but supervise", || {
        service.processes() == [supervise.pid()]
    });
}

#[test]
fn the_rest_of_a_group_gets_kill_after_stopwaitsecs() {
    let service = Service::new("web")
        .script("run", WRAPPED)
        .file("options/startsecs", "0")
        .file("options/stopwaitsecs", "1s")
        .file("options/stopasgroup", "yes");
    let supervise = service.supervise();
    service.until_running();
    until("the server", || !service.read("server").is_empty());
    service.send("d");
    let record = service.until_state(State::Stopped).record.unwrap();
    assert_eq!(record.last_end, Some(End::Exited(0)));
    assert_eq!(service.read("dump"), "");
    until("nothing but supervise", || {
        service.processes() == [supervise.pid()]
    });
}

#[test]
fn an_end_within_startsecs_that_was_expected_has_its_reason() {
    let service = Service::new("web")
        .script("run", "exit 0")
        .file("options/startsecs", "30");
    let _supervise = service.supervise();
    let record = service.until_state(State::Backoff).record.unwrap();
    assert_eq!(
        record.reason,
        "exited 0 within startsecs (30s): a failed start"
    );
}

#[test]
fn killasgroup_ends_a_group_that_ignores_term() {
    let service = Service::new("web")
        .script(
            "run",
            "trap '' TERM; sleep 1000 & sleep 1000 & echo $! >child; while :; do sleep 1000; done",
        )
        .file("options/startsecs", "0")
        .file("options/stopwaitsecs", "200ms")
        .file("options/killasgroup", "yes");
    let supervise = service.supervise();
    service.until_running();
    until("the children", || !service.read("child").is_empty());
    service.send("d");
    let record = service.until_state(State::Stopped).record.unwrap();
    assert!(
        matches!(record.last_end, Some(End::Killed { signal, .. }) if signal.to_string() == "SIGKILL")
    );
    until("nothing but supervise", || {
        service.processes() == [supervise.pid()]
    });
}

#[test]
fn stopwaitsecs_ends_a_service_that_ignores_term_and_not_before() {
    let service = Service::new("web")
        .script(
            "run",
            "trap '' TERM; echo up >up; while :; do sleep 0.05; done",
        )
        .file("options/startsecs", "0")
        .file("options/stopwaitsecs", "2s");
    let _supervise = service.supervise();
    let pid = service.until_running();
    until("the trap", || !service.read("up").is_empty());
    let since = Instant::now();
    service.send("d");
    let stopping = service.until_state(State::Stopping);
    assert_eq!((pid_of(&stopping), stopping.term_sent), (pid, true));
    service.until_state(State::Stopped);
    assert!(since.elapsed() >= Duration::from_secs(2));
    assert!(!alive(pid));
}

#[test]
fn a_paused_service_can_be_stopped() {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    service.until_running();
    service.send("p");
    service.until("a pause", |status, _| status.paused);
    service.send("d");
    let status = service.until_state(State::Stopped);
    assert!(!status.paused);
}

#[test]
fn up_while_it_stops_means_up_again() {
    let service = Service::new("web")
        .script(
            "run",
            "trap 'sleep 0.3; exit 0' TERM; echo up >>up; while :; do sleep 0.05; done",
        )
        .file("options/startsecs", "0");
    let _supervise = service.supervise();
    let pid = service.until_running();
    until("the trap", || !service.read("up").is_empty());
    service.send("du");
    service.until_replaced(pid);
    assert_eq!(service.status().unwrap().want, Want::Up);
}

#[test]
fn s6_log_tells_when_it_is_ready() {
    let service = Service::new("log")
        .script(
            "run",
            &format!(
                "mkdir -p out; exec {} -d 3 n2 ./out </dev/zero",
                peer("s6-log").display()
            ),
        )
        .file("options/startsecs", "0")
        .file("options/ready", "fd 3");
    let _supervise = service.supervise();
    service.until_running();
    let record = service.record();
    assert!(record.ready && record.tells_ready);
    assert!(
        service.dir().join("out/current").exists(),
        "it logs before it is ready"
    );
}

#[test]
fn s6_ipcserver_is_ready_when_it_answers() {
    let service = Service::new("ipc")
        .script(
            "run",
            &format!(
                "exec {} -1 ./socket cat 3>&1 >&3",
                peer("s6-ipcserver").display()
            ),
        )
        .file("options/startsecs", "0")
        .file("options/ready", "fd 1");
    let _supervise = service.supervise();
    service.until_running();
    UnixStream::connect(service.dir().join("socket")).unwrap();
}

#[test]
fn a_service_that_never_tells_fails_to_start_by_readysecs() {
    let service = Service::sleeping("web")
        .file("options/ready", "fd 3")
        .file("options/readysecs", "200ms")
        .file("options/startretries", "1")
        .file("options/backoff", "constant 50ms");
    let supervise = service.supervise();
    let record = service.until_state(State::Fatal).record.unwrap();
    assert_eq!(record.total_starts, 2);
    assert_eq!(
        record.reason,
        "2 failed starts, the last: killed by SIGTERM"
    );
    assert!(service.messages().contains("not ready within readysecs"));
    assert_eq!(service.processes(), [supervise.pid()]);
}

#[test]
fn check_tells_when_a_service_is_ready() {
    let service = Service::sleeping("web")
        .script("check", "echo asked >>asked; test -e answers")
        .file("options/ready", "check");
    let _supervise = service.supervise();
    until("two checks", || service.lines("asked").len() >= 2);
    let record = service.record();
    assert_eq!((record.state, record.ready), (State::Starting, false));
    let service = service.file("answers", "");
    service.until_running();
    assert!(service.record().ready);
}

#[test]
fn a_service_that_fails_its_checks_is_restarted() {
    let service = Service::sleeping("web")
        .script("check", "echo asked >>asked; test ! -e hangs")
        .file("options/check-interval", "100ms")
        .file("options/check-failures", "2");
    let _supervise = service.supervise();
    let pid = service.until_running();
    until("checks", || service.lines("asked").len() >= 3);
    assert_eq!(pid_of(&service.status().unwrap()), pid, "it is healthy");
    let service = service.file("hangs", "");
    service.until_replaced(pid);
    assert!(!alive(pid));
    let said = "check failed 2 times in a row, the last: exited 1; restarted";
    assert!(service.messages().contains(said), "{}", service.messages());
}

#[test]
fn finish_that_exits_125_is_the_last_word() {
    let service = Service::sleeping("web").script("finish", "echo \"$@\" >told; exit 125");
    let _supervise = service.supervise();
    let pid = service.until_running();
    kill(pid, libc::SIGKILL);
    let record = service.until_state(State::Fatal).record.unwrap();
    assert_eq!(record.reason, "finish exited 125");
    assert_eq!(service.read("told"), format!("-1 9 web {pid}\n"));
}

#[test]
fn a_finish_that_hangs_is_ended() {
    let service = Service::sleeping("web")
        .script("finish", "sleep 1000; :")
        .file("options/finishsecs", "100ms");
    let supervise = service.supervise();
    service.until_running();
    service.send("d");
    service.until_state(State::Stopped);
    until("nothing but supervise", || {
        service.processes() == [supervise.pid()]
    });
}

#[test]
fn control_scripts_stand_for_signals() {
    let service = Service::sleeping("web")
        .script("control/t", "echo control/${0##*/} >>ran; exit 0")
        .script("control/d", "echo control/${0##*/} >>ran")
        .script("control/h", "echo control/${0##*/} >>ran; exit 1")
        .script("control/u", "echo control/${0##*/} >>ran; exit 1")
        .file("options/stopwaitsecs", "300ms");
    let _supervise = service.supervise();
    let pid = service.until_running();
    service.send("h");
    // Nothing catches the HUP that the script has left to be sent.
    let pid = service.until_replaced(pid);
    service.send("d");
    let record = service.until_state(State::Stopped).record.unwrap();
    assert!(!alive(pid));
    assert!(
        matches!(record.last_end, Some(End::Killed { signal, .. }) if signal.to_string() == "SIGKILL"),
        "no TERM was sent: {:?}",
        record.last_end
    );
    let ran = [
        "control/u",
        "control/h",
        "control/u",
        "control/t",
        "control/d",
    ];
    until("control/d", || service.lines("ran").len() == ran.len());
    assert_eq!(service.lines("ran"), ran);
}
