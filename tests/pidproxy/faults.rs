//! pidproxy where the system refuses something, or the pid file is not what it should be.
//!
//! Not tested: a system without /proc, and processes that pidproxy may not signal.

use crate::support;
use crate::support::daemon as daemon_support;

use std::fs;
use std::process::Command;

use daemon_support::{InFront, daemon, launcher, pid_in};
use support::{Scratch, kill, peer, program};

/// `pidproxy ARGS` with one system call that fails.
#[track_caller]
fn with_fault(scratch: &Scratch, calls: &str, fault: &str, args: &[&str]) -> InFront {
    let mut command = Command::new(peer("strace"));
    command
        .args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:{fault}")])
        .arg(program("pidproxy"))
        .args(args);
    InFront::of(scratch, &mut command)
}

#[test]
fn without_inotify_it_looks_every_second() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    launcher(&scratch, "daemon");
    let fault = "error=EMFILE";
    let mut proxy = with_fault(&scratch, "inotify_init1", fault, &["pid", "./start"]);
    let pid = pid_in(&scratch, "pid");
    kill(pid, libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
    assert_eq!(
        scratch.read("stderr"),
        "pidproxy: warning: unable to watch the directory of pid; looking every second\n"
    );
}

#[test]
fn a_failed_fork_is_told() {
    for (options, said) in [
        (&[][..], "unable to run true: try again"),
        (&["--die-with-me"], "unable to fork: try again"),
    ] {
        let scratch = Scratch::new();
        let args: Vec<&str> = options.iter().copied().chain(["pid", "true"]).collect();
        let fault = "error=EAGAIN:when=1";
        let mut proxy = with_fault(&scratch, "clone,clone3,vfork,fork", fault, &args);
        assert_eq!(proxy.code(), 111);
        let said = format!("pidproxy: fatal: {said}\n");
        assert_eq!(scratch.read("stderr"), said);
    }
}

#[test]
fn a_system_that_knows_no_subreaper_is_refused() {
    let scratch = Scratch::new();
    let fault = "error=EINVAL:when=1";
    let mut proxy = with_fault(&scratch, "prctl", fault, &["pid", "true"]);
    assert_eq!(proxy.code(), 111);
    assert_eq!(
        scratch.read("stderr"),
        "pidproxy: fatal: unable to become a child subreaper: invalid argument\n"
    );
}

#[test]
fn a_pid_file_that_is_no_plain_file_is_told_and_holds_nothing_up() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("dir")).unwrap();
    let fifo = scratch.path().join("fifo");
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
    for (file, why) in [("dir", "is a directory"), ("fifo", "invalid argument")] {
        let args = ["--timeout", "100ms", file, "sleep", "1000"];
        let mut proxy = InFront::start(&scratch, "pidproxy", &args);
        assert_eq!(proxy.code(), 99);
        let said = format!(
            "pidproxy: warning: unable to read {file}: {why}\n\
             pidproxy: fatal: {file}: named no process in time: ended the command\n"
        );
        assert_eq!(scratch.read("stderr"), said);
    }
}

#[test]
fn a_pid_file_that_names_pidproxy_itself_makes_it_signal_nobody() {
    let scratch = Scratch::new();
    let script = "echo $PPID > pid; exec sleep 1000";
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "sh", "-c", script]);
    daemon_support::until_says(&scratch, "stderr", "does not come from the command");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 128 + libc::SIGTERM);
}
