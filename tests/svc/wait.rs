//! svc --wait: on our supervise, and on a supervise that the test plays.
//!
//! Not tested: other suites' supervises (interop_clients.rs); that no time is wasted (benches).

use crate::support;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use servicedir::status::{End, State, Want};
use support::supervised::{Forged, Supervised, status, with};
use support::{Scratch, kill, program, stderr, stdout, until};

fn svc(cwd: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program("svc"));
    command
        .args(args)
        .current_dir(cwd)
        .env_remove("SVDIR")
        .env_remove("SUPERVISEDIR");
    command
}

/// Runs svc to its end: its exit code and what it said.
fn answer(cwd: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = svc(cwd, args).output().unwrap();
    assert_eq!(stdout(&output), "", "svc prints nothing");
    (output.status.code(), stderr(&output))
}

fn begun(cwd: &Path, args: &[&str]) -> Child {
    svc(cwd, args).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), stderr(&output))
}

const DONE: (Option<i32>, String) = (Some(0), String::new());

/// A service that sleeps under our supervise; `down` keeps it down until asked.
fn service(scratch: &Scratch, name: &str, run: &str) -> Supervised {
    scratch.script(&format!("{name}/run"), run);
    scratch.file(&format!("{name}/down"), "");
    Supervised::start(program("supervise"), &scratch.path().join(name))
}

const SLEEPS: &str = "exec sleep 1000";

#[test]
fn up_down_and_restart_are_waited_for() {
    let scratch = Scratch::new();
    let foo = service(&scratch, "foo", SLEEPS);
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    let first = foo.pid();
    assert_eq!(foo.status().unwrap().record.unwrap().state, State::Running);
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    assert_eq!(foo.pid(), first, "it was up already");
    assert_eq!(answer(scratch.path(), &["-rw", "foo"]), DONE);
    let second = foo.pid();
    assert_ne!(first, second);
    assert!(!support::alive(first));
    assert_eq!(answer(scratch.path(), &["-tw", "foo"]), DONE);
    assert_ne!(foo.pid(), second);
    assert_eq!(answer(scratch.path(), &["-dw", "foo"]), DONE);
    assert_eq!(foo.pid(), 0);
    assert_eq!(answer(scratch.path(), &["-dw", "foo"]), DONE);
    assert_eq!(answer(scratch.path(), &["-rw", "foo"]), DONE);
    assert!(
        foo.pid() > 0,
        "a restart of a service that is down starts it"
    );
}

#[test]
fn within_the_time_a_supervise_that_is_coming_is_waited_for() {
    let scratch = Scratch::new();
    scratch.script("web/run", SLEEPS);
    scratch.file("web/down", "");
    let sends = begun(scratch.path(), &["-w", "-T", "60s", "-u", "web"]);
    let waits = begun(scratch.path(), &["--wait=up", "-T", "60s", "web"]);
    until("both wait", || {
        [&sends, &waits].iter().all(|svc| is_asleep(svc.id()))
    });
    let web = Supervised::start(program("supervise"), &scratch.path().join("web"));
    assert_eq!(ended(sends), DONE);
    assert_eq!(ended(waits), DONE);
    assert!(web.pid() > 0);
}

/// Whether the process waits for something.
fn is_asleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains("(svc) S"))
}

#[test]
fn a_supervise_that_does_not_come_in_time_is_reported() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("never")).unwrap();
    assert_eq!(
        answer(scratch.path(), &["-w", "-T", "100ms", "-u", "never"]),
        (
            Some(100),
            "svc: warning: unable to control never: supervise not running\n".to_owned()
        )
    );
    // Without a time to wait, the answer is immediate.
    let (code, _) = answer(scratch.path(), &["-w", "-u", "never"]);
    assert_eq!(code, Some(100));
}

#[test]
fn pause_continue_signals_and_exit_are_waited_for() {
    let scratch = Scratch::new();
    let mut foo = service(
        &scratch,
        "foo",
        "trap 'echo hup >> log' HUP; echo up >> log; while :; do sleep 0.05; done",
    );
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    until("the trap", || scratch.read("foo/log").contains("up"));
    assert_eq!(answer(scratch.path(), &["-pw", "foo"]), DONE);
    assert!(foo.status().unwrap().paused);
    assert_eq!(answer(scratch.path(), &["-cw", "foo"]), DONE);
    assert!(!foo.status().unwrap().paused);
    assert_eq!(answer(scratch.path(), &["-hw", "foo"]), DONE);
    until("the signal", || scratch.read("foo/log").contains("hup"));
    assert_eq!(answer(scratch.path(), &["-dxw", "foo"]), DONE);
    assert!(foo.supervise().ended().success());
}

#[test]
fn down_means_that_finish_has_ended() {
    let scratch = Scratch::new();
    scratch.script("foo/finish", "sleep 0.3; echo finished > finished");
    let _foo = service(&scratch, "foo", SLEEPS);
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    assert_eq!(answer(scratch.path(), &["-dw", "foo"]), DONE);
    assert_eq!(scratch.read("foo/finished"), "finished\n");
}

#[test]
fn a_start_that_fails_for_good_is_told_with_its_reason() {
    let scratch = Scratch::new();
    scratch.file("foo/options/startretries", "1");
    scratch.file("foo/options/backoff", "constant 10ms");
    let _foo = service(&scratch, "foo", "exit 3");
    let (code, said) = answer(scratch.path(), &["-uw", "foo"]);
    assert_eq!(code, Some(102));
    assert!(
        said.starts_with("svc: warning: foo: not up: fatal: "),
        "{said}"
    );
    assert!(said.contains("exited 3"), "{said}");
    assert_eq!(answer(scratch.path(), &["-dw", "foo"]), DONE);
}

#[test]
fn a_fault_in_the_options_is_the_answer() {
    let scratch = Scratch::new();
    scratch.file("foo/options/startsec", "5");
    let _foo = service(&scratch, "foo", SLEEPS);
    let (code, said) = answer(scratch.path(), &["-u", "--wait=ready", "foo"]);
    assert_eq!(code, Some(102));
    assert!(
        said.starts_with("svc: warning: foo: not ready: fatal: options/startsec"),
        "{said}"
    );
}

#[test]
fn one_run_that_fails_is_told_and_one_that_ends_well_is_done() {
    let scratch = Scratch::new();
    let _good = service(&scratch, "good", "exit 0");
    let _bad = service(&scratch, "bad", "kill -9 $$");
    assert_eq!(answer(scratch.path(), &["-ow", "good"]), DONE);
    assert_eq!(
        answer(scratch.path(), &["-ow", "bad"]),
        (
            Some(102),
            "svc: warning: bad: not up: killed by SIGKILL\n".to_owned()
        )
    );
}

#[test]
fn a_backoff_is_waited_for_until_the_time_is_up_and_told_then() {
    let scratch = Scratch::new();
    scratch.file("foo/options/backoff", "constant 1h");
    let _foo = service(&scratch, "foo", "exit 3");
    let (code, said) = answer(scratch.path(), &["-u", "-T", "1s", "foo"]);
    assert_eq!(code, Some(99));
    assert!(
        said.starts_with("svc: warning: foo: not up after 1s: down "),
        "{said}"
    );
    assert!(
        said.contains("exited 3, backoff 1, next start in 3"),
        "{said}"
    );
}

#[test]
fn many_services_are_one_wait_and_the_worst_counts() {
    let scratch = Scratch::new();
    scratch.file("bad/options/startretries", "0");
    let services = [
        service(&scratch, "one", SLEEPS),
        service(&scratch, "bad", "exit 7"),
        service(&scratch, "two", SLEEPS),
    ];
    let (code, said) = answer(scratch.path(), &["-uw", "one", "bad", "two", "one"]);
    assert_eq!(code, Some(102));
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("svc: warning: bad: not up: fatal: "),
        "{said}"
    );
    assert!(services[0].pid() > 0 && services[2].pid() > 0);
}

#[test]
fn a_stopped_supervise_and_a_deaf_service_are_told_apart_when_the_time_is_up() {
    let scratch = Scratch::new();
    let mut stopped = service(&scratch, "stopped", SLEEPS);
    let _deaf = service(
        &scratch,
        "deaf",
        "trap '' TERM; echo > up; while :; do sleep 0.1; done",
    );
    assert_eq!(answer(scratch.path(), &["-uw", "stopped", "deaf"]), DONE);
    until("the trap", || !scratch.read("deaf/up").is_empty());
    stopped.supervise().signal(libc::SIGSTOP);
    let (code, said) = answer(scratch.path(), &["-d", "-T", "500ms", "stopped", "deaf"]);
    assert_eq!(code, Some(99));
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("svc: warning: stopped: not down after 500ms: supervise has not read the command, up (pid "),
        "{said}"
    );
    assert!(
        lines[1].starts_with("svc: warning: deaf: not down after 500ms: up (pid "),
        "{said}"
    );
    assert!(
        lines[1].ends_with(", normally down, want down") || lines[1].ends_with(", want down"),
        "{said}"
    );
    stopped.supervise().signal(libc::SIGCONT);
    assert_eq!(
        answer(scratch.path(), &["-w", "--wait=down", "stopped"]),
        DONE
    );
}

#[test]
fn a_command_outlives_a_supervise_that_dies_before_it_read_it() {
    let scratch = Scratch::new();
    let mut foo = service(&scratch, "foo", SLEEPS);
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    let run = foo.pid();
    foo.supervise().signal(libc::SIGSTOP);
    let waits = begun(scratch.path(), &["-dw", "foo"]);
    until("the command in the FIFO", || unread(&scratch, "foo") == 1);
    foo.supervise().signal(libc::SIGKILL);
    foo.supervise().ended();
    let next = Supervised::start(program("supervise"), &scratch.path().join("foo"));
    assert_eq!(ended(waits), DONE);
    until("the run's end", || !support::alive(run));
    assert_eq!(next.pid(), 0);
}

/// How many bytes the control FIFO holds.
fn unread(scratch: &Scratch, name: &str) -> u64 {
    let path = scratch.path().join(name).join("supervise/control");
    let fifo = servicedir::control::open_for_writing(&path).unwrap();
    rustix::io::ioctl_fionread(&fifo).unwrap()
}

#[test]
fn a_supervise_that_does_not_come_back_is_given_up() {
    let scratch = Scratch::new();
    let mut foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&status(State::Stopped, 0, Want::Down));
    let waits = begun(scratch.path(), &["-uw", "foo"]);
    assert_eq!(foo.next_commands(), "u");
    foo.vanish();
    assert_eq!(
        ended(waits),
        (
            Some(100),
            "svc: warning: foo: not up: supervise not running\n".to_owned()
        )
    );
}

#[test]
fn an_old_state_that_looks_like_the_answer_is_none() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let up = with(status(State::Running, 5, Want::Up), |_, record| {
        record.commands = 7;
        record.supervise = None;
    });
    foo.announce(&up);
    let waits = begun(scratch.path(), &["-uw", "foo"]);
    assert_eq!(foo.next_commands(), "u");
    // It dies just now, and the command finds it dead: the old RUNNING was no answer.
    foo.announce(&up);
    foo.announce(&with(status(State::Exited, 0, Want::Down), |_, record| {
        record.commands = 8;
        record.supervise = None;
        record.last_end = Some(End::Exited(4));
    }));
    assert_eq!(
        ended(waits),
        (
            Some(102),
            "svc: warning: foo: not up: exited 4\n".to_owned()
        )
    );
}

#[test]
fn a_wait_alone_sends_nothing_and_needs_a_state() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&status(State::Stopped, 0, Want::Down));
    assert_eq!(answer(scratch.path(), &["--wait=down", "foo"]), DONE);
    let waits = begun(scratch.path(), &["--wait=ready", "foo"]);
    let not_ready = with(status(State::Running, 5, Want::Up), |_, record| {
        record.ready = false
    });
    foo.announce(&not_ready);
    foo.announce(&status(State::Running, 5, Want::Up));
    assert_eq!(ended(waits), DONE);
    assert_eq!(foo.commands(), "");
    let (code, said) = answer(scratch.path(), &["--wait=up", "missing"]);
    assert_eq!(code, Some(111));
    assert_eq!(
        said,
        "svc: warning: unable to control missing: no such file or directory\n"
    );
}

#[test]
fn no_time_is_a_look_at_what_is() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&status(State::Running, 5, Want::Up));
    assert_eq!(answer(scratch.path(), &["--wait=up", "-T0", "foo"]), DONE);
    let (code, said) = answer(scratch.path(), &["--wait=down", "-T0", "foo"]);
    assert_eq!(code, Some(99));
    // The clock may have struck since the status was made.
    let age = said
        .strip_prefix("svc: warning: foo: not down after 0s: up (pid 5) ")
        .and_then(|rest| rest.strip_suffix(" seconds\n"));
    assert!(
        age.is_some_and(|age| age.parse::<u64>().is_ok_and(|age| age >= 7)),
        "{said}"
    );
}

#[test]
fn a_detached_service_goes_on() {
    let scratch = Scratch::new();
    let mut foo = service(&scratch, "foo", SLEEPS);
    assert_eq!(answer(scratch.path(), &["-uw", "foo"]), DONE);
    let run = foo.pid();
    assert_eq!(answer(scratch.path(), &["--detach", "-w", "foo"]), DONE);
    assert!(foo.supervise().ended().success());
    assert!(support::alive(run));
    kill(run, libc::SIGKILL);
}

#[test]
fn more_services_than_the_soft_limit_of_open_files_are_one_wait() {
    let scratch = Scratch::new();
    let mut foreign = status(State::Running, 5, Want::Up);
    foreign.record = None;
    let services: Vec<Forged> = (0..60)
        .map(|number| {
            let service = Forged::new(&scratch.path().join(format!("s{number}")));
            service.announce(&foreign);
            service
        })
        .collect();
    let shell = format!("ulimit -S -n 30; exec {} -hw s*", program("svc").display());
    let mut waits = Command::new("/bin/sh")
        .args(["-c", &shell])
        .current_dir(scratch.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut taken = 0;
    until("every command and the end of the wait", || {
        taken += services
            .iter()
            .map(|service| service.commands().len())
            .sum::<usize>();
        waits.try_wait().unwrap().is_some()
    });
    assert_eq!(ended(waits), DONE);
    assert_eq!(taken, services.len());
}

#[test]
fn where_no_inotify_is_to_be_had_the_wait_looks_again_and_again() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&with(status(State::Stopped, 0, Want::Down), |_, record| {
        record.supervise = None;
    }));
    let waits = Command::new(support::peer("strace"))
        .args(["-o", "/dev/null", "-e", "inject=inotify_init1:error=EMFILE"])
        .arg(program("svc"))
        .args(["-u", "-T60", "foo"])
        .current_dir(scratch.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(foo.next_commands(), "u");
    foo.announce(&with(status(State::Running, 5, Want::Up), |_, record| {
        record.commands = 1;
        record.supervise = None;
    }));
    assert_eq!(ended(waits), DONE);
}
