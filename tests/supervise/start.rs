//! How supervise starts a service, and what it does when it cannot.
//!
//! Not tested: the options of a start, which have tests of their own.

use crate::support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use servicedir::status::{End, Phase, State, Want};
use support::service::{Service, descriptors, pid_of, proc_status};
use support::{Running, eventually, output, peer, program, stderr, stdout, until};

/// The session of a process.
fn session(pid: i32) -> i32 {
    nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(pid)))
        .unwrap()
        .as_raw()
}

/// Waits until the process has these descriptors: a shell has its script open for a moment.
#[track_caller]
fn has_only(pid: i32, wanted: &[i32]) {
    eventually("no other descriptors", || {
        let seen = descriptors(pid);
        if seen == wanted { Ok(()) } else { Err(seen) }
    });
}

#[test]
fn a_service_leads_a_session_of_its_own() {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    let pid = service.until_running();
    assert_eq!(session(pid), pid);
    assert_eq!(
        service
            .record()
            .group
            .map(|group| group.as_raw_nonzero().get()),
        Some(pid)
    );
}

#[test]
fn signals_that_supervise_was_started_with_ignored_or_blocked_are_clean_in_the_service() {
    let service = Service::sleeping("web");
    let arguments = [
        "--ignore-signal=HUP,PIPE,CHLD,USR1,RTMIN+3,RTMAX",
        "--block-signal=TERM,CHLD,INT,USR2,RTMIN+1",
    ];
    let mut supervise = service.supervise_behind("env", &arguments);
    let pid = service.until_running();
    for set in ["SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"] {
        // The shell catches CHLD until it has become the program.
        eventually(set, || match proc_status(pid, set) {
            clean if clean == "0".repeat(16) => Ok(()),
            dirty => Err(dirty),
        });
    }
    // And supervise itself hears of ends and of TERM.
    support::kill(pid, libc::SIGKILL);
    service.until_replaced(pid);
    supervise.signal(libc::SIGTERM);
    assert_eq!(supervise.ended().code(), Some(0));
}

#[test]
fn a_service_has_three_descriptors_even_if_supervise_was_started_with_more() {
    let service = Service::sleeping("web");
    let line = r#"exec 3</dev/null 7>/dev/null 9</dev/zero; exec "$0" "$@""#;
    let _supervise = service.supervise_behind("sh", &["-c", line]);
    has_only(service.until_running(), &[0, 1, 2]);
}

#[test]
fn a_service_has_three_descriptors_even_if_supervise_was_started_with_none() {
    let service = Service::sleeping("web");
    let line = r#"exec <&- >&- 2>&-; exec "$0" "$@""#;
    let supervise = service.supervise_behind("sh", &["-c", line]);
    has_only(service.until_running(), &[0, 1, 2]);
    let lock = fs::read_link(format!("/proc/{}/fd/0", supervise.pid())).unwrap();
    assert_eq!(lock.to_str(), Some("/dev/null"));
}

#[test]
fn a_readiness_descriptor_may_have_any_number() {
    for number in 3..=16 {
        let service = Service::new("web")
            .script(
                "run",
                &format!(
                    "exec {} -c 'import os,time; os.write({number}, b\"\\n\"); time.sleep(1000)'",
                    peer_python()
                ),
            )
            .file("options/ready", &format!("fd {number}"))
            .file("options/startsecs", "0");
        let _supervise = service.supervise();
        let pid = service.until_running();
        has_only(pid, &[0, 1, 2, number]);
        assert!(service.record().ready);
    }
}

fn peer_python() -> String {
    peer("python3").display().to_string()
}

#[test]
fn a_service_runs_in_its_directory_with_its_names_and_no_arguments() {
    let service = Service::new("web").script(
        "run",
        "pwd >cwd; echo \"$0:$#\" >argv; env >env.new; mv env.new env; umask >umask; exec sleep 1000",
    );
    let mut command = service.command(program("supervise"));
    let _supervise = Running::start(
        command
            .arg("web/")
            .env("GREETING", "hello world")
            .env("NOTIFY_SOCKET", "/x")
            .env("WATCHDOG_USEC", "1"),
    );
    until("the run's words", || !service.read("umask").is_empty());
    let real = fs::canonicalize(service.dir()).unwrap();
    assert_eq!(service.read("cwd").trim(), real.to_str().unwrap());
    assert_eq!(service.read("argv"), "./run:0\n");
    let variables = service.lines("env");
    for wanted in [
        "SUPERVISOR_ENABLED=1",
        "SUPERVISOR_PROCESS_NAME=web",
        "SUPERVISOR_GROUP_NAME=web",
        "GREETING=hello world",
    ] {
        assert!(
            variables.iter().any(|line| line == wanted),
            "{wanted}: {variables:?}"
        );
    }
    for refused in ["NOTIFY_SOCKET=", "WATCHDOG_USEC="] {
        assert!(
            !variables.iter().any(|line| line.starts_with(refused)),
            "{refused}"
        );
    }
}

#[test]
fn the_umask_of_supervise_is_that_of_its_service() {
    let service = Service::new("web").script("run", "umask >umask; exec sleep 1000");
    let line = r#"umask 027; exec "$0" "$@""#;
    let _supervise = service.supervise_behind("sh", &["-c", line]);
    until("the umask", || service.read("umask") == "0027\n");
}

#[test]
fn a_service_with_a_down_file_waits_for_its_command() {
    let service = Service::sleeping("web").file("down", "");
    let _supervise = service.supervise();
    let status = service.until("a supervise", |_, _| service.state_file("ok").exists());
    service.send("");
    assert_eq!(
        (status.pid, status.phase, status.want),
        (None, Phase::Down, Want::Down)
    );
    assert_eq!(service.record().state, State::Stopped);
    assert_eq!(service.record().total_starts, 0);
    service.send("u");
    service.until_running();
}

/// Starts a service that cannot be started, and checks that it is said once, with its reason, that it
/// is tried again, that commands are obeyed meanwhile, and that it starts once it can.
#[track_caller]
fn refused(service: &Service, errno: i32, reason: &str, repair: impl FnOnce()) {
    let _supervise = service.supervise();
    let status = service.until("three failed starts", |_, record| record.failed_starts >= 3);
    assert_eq!(
        status.record.unwrap().last_end,
        Some(End::NotStarted(errno))
    );
    let message = format!("supervise: warning: web: unable to start run: {reason}\n");
    assert_eq!(service.messages(), message, "said once");
    let commands = service.record().commands;
    service.send("#");
    // Obeyed though nothing can be started: an unknown byte counts as one that was acted on.
    service.until("an answer", |_, record| record.commands == commands + 1);
    repair();
    service.until_running();
    service.send("d");
    service.until_state(State::Stopped);
    assert_eq!(service.messages(), message);
}

#[test]
fn a_missing_run_is_said_once_and_tried_again() {
    let service = Service::new("web").file("options/backoff", "constant 50ms");
    refused(&service, libc::ENOENT, "no such file or directory", || {
        let script = service.folder().join("web/run.new");
        support::executable(&script, "#!/bin/sh\nexec sleep 1000\n");
        fs::rename(script, service.dir().join("run")).unwrap();
    });
}

#[test]
fn a_run_that_is_not_executable_is_said_once_and_tried_again() {
    let service = Service::new("web")
        .file("run", "#!/bin/sh\nexec sleep 1000\n")
        .file("options/backoff", "constant 50ms");
    refused(&service, libc::EACCES, "permission denied", || {
        let run = service.dir().join("run");
        fs::set_permissions(run, fs::Permissions::from_mode(0o755)).unwrap();
    });
}

#[test]
fn a_run_that_is_a_directory_is_said_once_and_tried_again() {
    let service = Service::new("web").file("options/backoff", "constant 50ms");
    fs::create_dir(service.dir().join("run")).unwrap();
    refused(&service, libc::EACCES, "is a directory", || {
        let script = service.folder().join("script");
        support::executable(&script, "#!/bin/sh\nexec sleep 1000\n");
        fs::remove_dir(service.dir().join("run")).unwrap();
        std::os::unix::fs::symlink(script, service.dir().join("run")).unwrap();
    });
}

#[test]
fn a_bad_interpreter_is_said_once_and_tried_again() {
    let service = Service::new("web").file("options/backoff", "constant 50ms");
    support::executable(
        &service.dir().join("run"),
        "#!/nowhere/sh\nexec sleep 1000\n",
    );
    refused(
        &service,
        libc::ENOENT,
        "its interpreter does not exist",
        || {
            // Whole at once: it is tried all the while, and half a script has a reason of its own.
            let new = service.dir().join("run.new");
            support::executable(&new, "#!/bin/sh\nexec sleep 1000\n");
            fs::rename(new, service.dir().join("run")).unwrap();
        },
    );
}

#[test]
fn a_run_without_an_interpreter_line_is_said_once_and_tried_again() {
    let service = Service::new("web").file("options/backoff", "constant 50ms");
    support::executable(&service.dir().join("run"), "exec sleep 1000\n");
    refused(&service, libc::ENOEXEC, "exec format error", || {
        // Whole at once: it is tried all the while, and half a script has a reason of its own.
        let new = service.dir().join("run.new");
        support::executable(&new, "#!/bin/sh\nexec sleep 1000\n");
        fs::rename(new, service.dir().join("run")).unwrap();
    });
}

#[test]
fn without_options_a_start_that_fails_is_tried_again_after_a_second() {
    let service = Service::new("web");
    let _supervise = service.supervise();
    let first = service.until("a failed start", |_, record| record.failed_starts >= 1);
    let due = first.record.as_ref().unwrap().next_start.unwrap();
    let wait = first.record.unwrap().state_stamp.age(due);
    assert!(
        wait <= Duration::from_secs(1) && wait > Duration::from_millis(900),
        "{wait:?}"
    );
    service.until("a second one", |_, record| record.failed_starts >= 2);
}

#[test]
fn down_and_up_are_obeyed_while_a_start_waits() {
    let service = Service::new("web").file("options/backoff", "constant 1h");
    let _supervise = service.supervise();
    service.until_state(State::Backoff);
    service.send("u");
    service.until("a start at once", |_, record| record.failed_starts == 2);
    service.send("d");
    service.until_state(State::Stopped);
    service.send("dx");
    service.until("an end", |_, record| record.left);
}

#[test]
fn help_and_version_go_to_stdout_and_wrong_usage_to_stderr() {
    let help = output(program("supervise"), ["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).starts_with("usage: supervise DIR\n"));
    let version = output(program("supervise"), ["--version"]);
    assert!(stdout(&version).starts_with("supervise (servicedir) "));
    for arguments in [&[][..], &["a", "b"], &["--no-such"], &["-q", "a"], &[""]] {
        let failed = output(program("supervise"), arguments);
        assert_eq!(failed.status.code(), Some(100), "{arguments:?}");
        let message = stderr(&failed);
        assert!(
            message.starts_with("supervise: fatal: ") && message.lines().count() == 1,
            "{message}"
        );
    }
}

#[test]
fn a_directory_that_is_none_is_named_with_its_reason() {
    let service = Service::new("web").file("plain", "");
    for (dir, reason) in [
        (
            "nosuch",
            "unable to chdir to nosuch: no such file or directory",
        ),
        ("web/plain", "unable to chdir to web/plain: not a directory"),
    ] {
        let mut command = service.command(program("supervise"));
        let failed = command.arg(dir).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(failed.status.code(), Some(111));
        assert_eq!(stderr(&failed), format!("supervise: fatal: {reason}\n"));
    }
}

#[test]
fn a_stderr_that_is_full_or_closed_stops_nothing() {
    let service = Service::new("web").file("options/backoff", "constant 20ms");
    let (reader, writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while rustix::io::write(&writer, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut command = service.command(program("supervise"));
    let mut supervise = Running::start(command.arg("web").stderr(writer));
    service.until("failed starts", |_, record| record.failed_starts >= 2);
    drop((command, reader));
    fs::create_dir(service.dir().join("run")).unwrap();
    service.until("more of them", |_, record| {
        record.last_end == Some(End::NotStarted(libc::EACCES))
    });
    service.send("dx");
    assert_eq!(supervise.ended().code(), Some(0));
    assert_eq!(pid_of(&service.status().unwrap()), 0);
}
