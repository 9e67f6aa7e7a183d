//! Our supervise under the programs of the older suites: their svscan starts it, their clients
//! command it and read its state.
//!
//! Not tested: the other way around, which the clients' and svscan's own tests have.

use crate::support;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Output, Stdio};

use servicedir::control::is_supervised;
use servicedir::status::{State, Want};
use support::service::{Service, pid_of, proc_status};
use support::{Running, alive, eventually, kill, peer, program, stderr, stdout, until};

/// Runs a peer's program on the service, with these arguments before it.
#[track_caller]
fn run(service: &Service, client: &str, arguments: &[&str]) -> Output {
    let mut command = service.command(&peer(client));
    let dir = service.dir();
    let command = command.args(arguments).arg(&dir);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}

/// What it prints after the service's path, without the seconds.
#[track_caller]
fn line(service: &Service, client: &str, arguments: &[&str]) -> String {
    let output = run(service, client, arguments);
    let text = stdout(&output) + &stderr(&output);
    let text = text.replace(&format!("{}: ", service.dir().display()), "");
    let words: Vec<&str> = text.trim().split(' ').collect();
    let is_seconds = |word: &&str| {
        word.trim_end_matches([',', ';', 's'])
            .parse::<u32>()
            .is_ok()
    };
    let end = |word: &str| {
        word.trim_start_matches(|c: char| c.is_ascii_digit())
            .to_owned()
    };
    let mut shown = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let after_pid = at > 0 && words[at - 1].ends_with("(pid");
        shown.push(if is_seconds(word) && !after_pid {
            format!("N{}", end(word))
        } else {
            (*word).to_owned()
        });
    }
    shown.join(" ")
}

/// Waits until `ok` is open, for clients that do not wait.
#[track_caller]
fn supervised(service: &Service) {
    until("ok", || {
        is_supervised(&service.state_file("ok")).unwrap_or(false)
    });
}

#[test]
fn daemontools_svc_svstat_and_svok_work_on_it() {
    let service = Service::sleeping("web");
    assert_eq!(run(&service, "svok", &[]).status.code(), Some(100));
    let mut supervise = service.supervise();
    let pid = service.until_running();
    supervised(&service);
    assert_eq!(run(&service, "svok", &[]).status.code(), Some(0));
    assert_eq!(
        line(&service, "svstat", &[]),
        format!("up (pid {pid}) N seconds")
    );
    run(&service, "svc", &["-p"]);
    service.until("a pause", |status, _| status.paused);
    assert_eq!(
        line(&service, "svstat", &[]),
        format!("up (pid {pid}) N seconds, paused")
    );
    run(&service, "svc", &["-c"]);
    service.until("it goes on", |status, _| !status.paused);
    run(&service, "svc", &["-d"]);
    service.until_state(State::Stopped);
    assert_eq!(line(&service, "svstat", &[]), "down N seconds, normally up");
    run(&service, "svc", &["-o"]);
    let once = service.until_running();
    assert_eq!(service.status().unwrap().want, Want::Once);
    assert_eq!(
        line(&service, "svstat", &[]),
        format!("up (pid {once}) N seconds")
    );
    run(&service, "svc", &["-u"]);
    service.until("want up", |status, _| status.want == Want::Up);
    run(&service, "svc", &["-t"]);
    let next = service.until_replaced(once);
    assert!(alive(next));
    run(&service, "svc", &["-dx"]);
    assert_eq!(supervise.ended().code(), Some(0));
    assert_eq!(line(&service, "svstat", &[]), "supervise not running");
    assert_eq!(run(&service, "svok", &[]).status.code(), Some(100));
}

#[test]
fn runits_sv_commands_it_and_waits_for_it() {
    let service = Service::sleeping("web");
    let mut supervise = service.supervise();
    let pid = service.until_running();
    supervised(&service);
    let ok = |arguments: &[&str]| {
        let output = run(&service, "sv", arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        stdout(&output)
    };
    assert_eq!(
        line(&service, "sv", &["status"]),
        format!("run: (pid {pid}) Ns")
    );
    assert!(ok(&["check"]).starts_with("ok: run: "));
    assert!(ok(&["-w", "20", "restart"]).starts_with("ok: run: "));
    let next = service.until_replaced(pid);
    assert!(ok(&["-w", "20", "down"]).starts_with("ok: down: "));
    assert_eq!(service.record().state, State::Stopped);
    assert_eq!(line(&service, "sv", &["status"]), "down: Ns, normally up");
    assert!(ok(&["-w", "20", "up"]).starts_with("ok: run: "));
    let third = service.until_replaced(next);
    ok(&["-w", "20", "pause"]);
    assert_eq!(
        line(&service, "sv", &["status"]),
        format!("run: (pid {third}) Ns, paused")
    );
    ok(&["-w", "20", "cont"]);
    assert!(ok(&["-w", "20", "force-stop"]).starts_with("ok: down: "));
    assert!(ok(&["-w", "20", "exit"]).starts_with("ok: "));
    assert_eq!(supervise.ended().code(), Some(0));
    let gone = run(&service, "sv", &["status"]);
    assert!(stdout(&gone).contains("runsv not running"), "{gone:?}");
}

#[test]
fn runits_force_stop_kills_what_does_not_end() {
    let service =
        Service::sleeping("web").script("run", "trap '' TERM; echo >>up; exec sleep 1000");
    let _supervise = service.supervise();
    let pid = service.until_running();
    until("its trap", || !service.read("up").is_empty());
    supervised(&service);
    let output = run(&service, "sv", &["-w", "1", "force-stop"]);
    assert!(stdout(&output).starts_with("kill: run: "), "{output:?}");
    service.until_state(State::Stopped);
    assert!(!alive(pid));
}

#[test]
fn runits_sv_up_starts_a_service_that_was_given_up() {
    let service = Service::new("web")
        .script("run", "[ -e good ] && exec sleep 1000; exit 1")
        .file("options/startretries", "0");
    let _supervise = service.supervise();
    service.until_state(State::Fatal);
    supervised(&service);
    fs::write(service.dir().join("good"), "").unwrap();
    let output = run(&service, "sv", &["-w", "20", "up"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    service.until_running();
}

#[test]
fn s6_svc_sends_what_it_knows() {
    let service = Service::new("web")
        .script(
            "run",
            "for s in HUP ALRM INT TERM QUIT USR1 USR2; do trap \"echo $s >>signals\" $s; done
             echo $$ >>starts; while :; do sleep 0.01; done",
        )
        .file("options/startsecs", "0");
    let mut supervise = service.supervise();
    until("its traps", || service.lines("starts").len() == 1);
    supervised(&service);
    for (number, (letter, signal)) in [
        ("-h", "HUP"),
        ("-a", "ALRM"),
        ("-i", "INT"),
        ("-t", "TERM"),
        ("-q", "QUIT"),
        ("-1", "USR1"),
        ("-2", "USR2"),
    ]
    .into_iter()
    .enumerate()
    {
        let output = run(&service, "s6-svc", &[letter]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        until(letter, || service.lines("signals").len() > number);
        assert_eq!(service.lines("signals")[number], signal);
    }
    let pid: i32 = service.lines("starts")[0].parse().unwrap();
    run(&service, "s6-svc", &["-p"]);
    until("a pause", || proc_status(pid, "State").starts_with('T'));
    run(&service, "s6-svc", &["-c"]);
    until("it goes on", || !proc_status(pid, "State").starts_with('T'));
    run(&service, "s6-svc", &["-k"]);
    let next = service.until_replaced(pid);
    until("its traps again", || service.lines("starts").len() == 2);
    run(&service, "s6-svc", &["-r"]);
    assert!(
        alive(next),
        "r lets it go on where it ignores the stop signal"
    );
    service.until("a restart", |_, record| record.restarting);
    run(&service, "s6-svc", &["-k"]);
    service.until_replaced(next);
    run(&service, "s6-svc", &["-d"]);
    run(&service, "s6-svc", &["-xk"]);
    assert_eq!(supervise.ended().code(), Some(0));
}

#[test]
fn daemontools_svscan_runs_it_with_a_log() {
    let service = Service::new("web")
        .script("run", "echo hello; exec sleep 1000")
        .script("log/run", "exec cat >>../logged")
        .file("options/startsecs", "0");
    let bin = service.folder().join("bin");
    let scan = service.folder().join("scan");
    fs::create_dir(&bin).unwrap();
    fs::create_dir(&scan).unwrap();
    symlink(program("supervise"), bin.join("supervise")).unwrap();
    symlink("../web", scan.join("web")).unwrap();
    let mut command = service.command(&peer("svscan"));
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let svscan = Running::start(command.arg(&scan).env("PATH", path));
    let pid = service.until_running();
    until("a logged line", || service.read("logged") == "hello\n");
    // It is ours that runs: its record says so. Killed, it is started again by svscan, and adopts.
    let ours = service.record().supervise.unwrap().as_raw_nonzero().get();
    kill(ours, libc::SIGKILL);
    let adopted = service.until("another supervise", |_, record| {
        record.supervise.map(|pid| pid.as_raw_nonzero().get()) != Some(ours)
    });
    assert_eq!(pid_of(&adopted), pid);
    assert_eq!(service.read("logged"), "hello\n");
    drop(svscan);
    eventually("the log's supervise", || {
        let fifo = service.dir().join("log/supervise/control");
        let fifo = servicedir::control::open_for_writing(&fifo)?;
        rustix::io::write(fifo, b"dx").map_err(std::io::Error::from)
    });
    service.send("dx");
    service.until("it left", |_, record| record.left);
}
