//! svscan as what a system or a container is started from: pid 1, orphans, limits, readiness.

use crate::support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::scanning::{COUNT, SLEEP, Scanning};
use support::{PATIENCE, Running, alive, eventually, kill, peer, program, until};

/// svscan as pid 1 of a pid namespace of its own; with a user namespace where the tests have no root.
fn as_init(scan: &mut Scanning, args: &[&str]) {
    let mut command = Command::new(peer("unshare"));
    if !nix::unistd::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(program("svscan"));
    command.args(args).arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
}

/// The pid here of the svscan that `unshare` started.
fn init_pid(scan: &mut Scanning) -> i32 {
    let unshare = scan.running().pid();
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    eventually("unshare has a child", || {
        let text = fs::read_to_string(&children).unwrap_or_default();
        text.trim().parse::<i32>().map_err(|_| text)
    })
}

#[test]
fn as_pid_1_it_stops_everything_and_exits_0() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    as_init(&mut scan, &[]);
    scan.log_grows("sv/a/log/out");
    let init = init_pid(&mut scan);
    kill(init, libc::SIGTERM);
    assert_eq!(scan.running().ended().code(), Some(0));
    scan.svscan = None;
    assert_eq!(scan.processes(), []);
    assert_eq!(scan.stderr(), "");
}

#[test]
fn as_pid_1_it_never_stays_longer_than_the_time_to_stop_in() {
    let mut scan = Scanning::new();
    scan.service("a", "trap '' TERM; echo >up; while :; do sleep 1; done");
    scan.link("a");
    as_init(&mut scan, &["--shutdown-timeout", "200ms"]);
    until("it is up", || scan.dir("a").join("up").exists());
    let init = init_pid(&mut scan);
    kill(init, libc::SIGTERM);
    assert_eq!(scan.running().ended().code(), Some(99));
    scan.svscan = None;
    until("nothing is left", || scan.processes().is_empty());
}

#[test]
fn orphans_are_reaped() {
    let mut scan = Scanning::new();
    scan.service("a", "sh -c 'sleep 0.05 & echo $! >>orphans'; test $(wc -l <orphans) -lt 20 && exit; exec sleep 1000");
    scan.option("a", "startsecs", "0");
    scan.option("a", "autorestart", "never");
    scan.service("b", "for i in 1 2 3 4 5 6 7 8 9; do sh -c 'sleep 0.05 & echo $! >>orphans'; done; exec sleep 1000");
    scan.link("a");
    scan.link("b");
    scan.start();
    let orphans = |name: &str| -> Vec<i32> {
        let text = fs::read_to_string(scan.dir(name).join("orphans")).unwrap_or_default();
        text.lines().filter_map(|pid| pid.parse().ok()).collect()
    };
    until("they were started", || {
        orphans("b").len() == 9 && orphans("a").len() == 1
    });
    let all = [orphans("a"), orphans("b")].concat();
    until("no zombie is left", || {
        all.iter()
            .all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
}

#[test]
fn services_have_the_limit_of_descriptors_that_svscan_was_given() {
    let mut scan = Scanning::new();
    scan.service("a", "ulimit -Sn >soft; ulimit -Hn >hard; exec sleep 1000");
    scan.link("a");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -Sn 300; ulimit -Hn 600; exec \"$0\" \"$1\""]);
    command.arg(program("svscan")).arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
    until("it is up", || scan.scratch.read("sv/a/hard") == "600\n");
    assert_eq!(scan.scratch.read("sv/a/soft"), "300\n");
    let limits = fs::read_to_string(format!("/proc/{}/limits", scan.running().pid())).unwrap();
    let own = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert_eq!(
        own.split_whitespace().collect::<Vec<_>>()[3..5],
        ["600", "600"]
    );
}

#[test]
fn a_supervise_has_a_group_of_its_own_and_no_blocked_or_ignored_signals() {
    let mut scan = Scanning::new();
    let supervise = scan.scratch.script(
        "supervise",
        "cat /proc/self/status >../status; exec sleep 1000",
    );
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--supervise", supervise.to_str().unwrap()]);
    until("it was started", || {
        scan.scratch.read("status").contains("SigIgn")
    });
    let status = scan.scratch.read("status");
    let mask = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    // Signals 32 and 33 are the C library's own, which ignores them in what it spawns.
    assert_eq!(
        (mask("SigBlk:"), mask("SigIgn:") & !(0b11 << 31)),
        (0, 0),
        "{status}"
    );
    let pid = scan.processes().into_iter().next().unwrap();
    let group = nix::unistd::getpgid(Some(nix::unistd::Pid::from_raw(pid))).unwrap();
    assert_ne!(group.as_raw(), scan.running().pid());
    assert_ne!(group, nix::unistd::getpgrp());
}

#[test]
fn the_service_manager_is_told_ready_and_stopping_and_services_do_not_know_it() {
    let mut scan = Scanning::new();
    scan.service("a", "env >env; exec sleep 1000");
    scan.service("b", SLEEP);
    scan.link("a");
    scan.link("b");
    let path = scan.scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = scan.command(&[]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "1000000")
        .env("WATCHDOG_PID", "1");
    scan.svscan = Some(Running::start(&mut command));
    let receive = || {
        let mut message = [0; 100];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    assert_eq!(receive(), "READY=1\n");
    scan.supervised("a", None);
    scan.supervised("b", None);
    until("the service tells", || {
        scan.scratch.read("sv/a/env").contains("SUPERVISOR_ENABLED")
    });
    let env = scan.scratch.read("sv/a/env");
    assert!(
        !env.contains("NOTIFY_SOCKET") && !env.contains("WATCHDOG"),
        "{env}"
    );
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(receive(), "STOPPING=1\n");
    socket
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    assert!(socket.recv(&mut [0; 100]).is_err(), "each is said once");
}

#[test]
fn an_essential_service_that_ends_ends_everything_with_its_code() {
    for (run, code) in [("exit 7", 7), ("exit 0", 0), ("kill -9 $$", 137)] {
        let mut scan = Scanning::new();
        scan.logged("helper", COUNT);
        scan.link("helper");
        scan.service(
            "main",
            &format!("while ! test -e go; do sleep 0.02; done; {run}"),
        );
        scan.option("main", "essential", "yes");
        scan.option("main", "autorestart", "never");
        scan.option("main", "startsecs", "0");
        scan.link("main");
        scan.start();
        scan.log_grows("sv/helper/log/out");
        scan.up("main");
        scan.scratch.file("sv/main/go", "");
        let mut svscan = scan.svscan.take().unwrap();
        assert_eq!(
            svscan.ended().code(),
            Some(code),
            "{run}: {}",
            scan.stderr()
        );
        assert_eq!(scan.processes(), []);
        scan.says(&format!(
            "main is essential and has ended: stopping everything, exit code {code}"
        ));
    }
}

#[test]
fn an_essential_service_that_cannot_be_started_ends_everything() {
    for (option, value, code) in [
        ("user", "nobody-of-that-name", 111),
        ("startretries", "0", 3),
    ] {
        let mut scan = Scanning::new();
        scan.service("main", "exit 3");
        scan.option("main", "essential", "yes");
        scan.option("main", "startretries", "0");
        scan.option("main", option, value);
        scan.link("main");
        scan.start();
        let mut svscan = scan.svscan.take().unwrap();
        assert_eq!(
            svscan.ended().code(),
            Some(code),
            "{option}: {}",
            scan.stderr()
        );
    }
}

#[test]
fn a_running_service_that_becomes_essential_ends_everything_when_it_ends() {
    let mut scan = Scanning::new();
    let run = "while ! test -e go; do sleep 0.02; done; exit 7";
    scan.service("main", run);
    scan.option("main", "autorestart", "never");
    scan.option("main", "startsecs", "0");
    scan.service("other", SLEEP);
    scan.link("main");
    // Nothing but HUP lets svscan read the option.
    scan.start_with(&["--rescan", "1000 days"]);
    scan.up("main");
    scan.option("main", "essential", "yes");
    scan.running().signal(libc::SIGHUP);
    // Signals are minded before names: when this one is up, the option was read.
    scan.link("other");
    scan.up("other");
    scan.scratch.file("sv/main/go", "");
    let mut svscan = scan.svscan.take().unwrap();
    assert_eq!(svscan.ended().code(), Some(7), "{}", scan.stderr());
    scan.says("main is essential and has ended: stopping everything, exit code 7");
    assert_eq!(scan.processes(), []);
}

#[test]
fn an_essential_service_that_is_told_to_stop_or_restarts_ends_nothing() {
    let mut scan = Scanning::new();
    scan.service("main", SLEEP);
    scan.option("main", "essential", "yes");
    scan.service("other", SLEEP);
    scan.link("main");
    scan.start();
    let pid = scan.up("main");
    kill(pid, libc::SIGKILL);
    until("it is restarted", || {
        scan.pid("main").is_some_and(|new| new != pid)
    });
    let pid = scan.up("main");
    fs::write(scan.dir("main/supervise/control"), "d").unwrap();
    until("it is down", || !alive(pid) && scan.pid("main").is_none());
    scan.link("other");
    scan.up("other");
    assert!(scan.running().child().try_wait().unwrap().is_none());
}

#[test]
fn the_state_of_a_former_life_ends_nothing() {
    let mut scan = Scanning::new();
    scan.service("main", "test -e go || exit 3; exec sleep 1000");
    scan.option("main", "essential", "yes");
    scan.option("main", "startretries", "0");
    scan.link("main");
    scan.start();
    assert_eq!(scan.svscan.take().unwrap().ended().code(), Some(3));
    scan.scratch.file("sv/main/go", "");
    scan.start();
    scan.up("main");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn instances_are_services_of_their_own_with_one_log() {
    let mut scan = Scanning::new();
    scan.service("worker@", "echo I am $INSTANCE; exec sleep 1000");
    scan.scratch.script("sv/worker@/log/run", "exec cat >>out");
    for instance in ["worker@1", "worker@2"] {
        symlink("../sv/worker@", scan.scan_dir().join(instance)).unwrap();
    }
    scan.start();
    let worker = scan.dir("worker@");
    let pid = |instance: &str| -> Option<i32> {
        let file = worker.join(format!("supervise@{instance}/pid"));
        fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    until("both are up", || pid("1").is_some() && pid("2").is_some());
    until("both are logged", || {
        let mut lines: Vec<String> = scan
            .scratch
            .read("sv/worker@/log/out")
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        lines == ["I am 1", "I am 2"]
    });
    // One goes, the other one and the log stay.
    let (one, two, logger) = (pid("1").unwrap(), pid("2").unwrap(), scan.up("worker@/log"));
    fs::write(scan.dir("worker@/supervise@1/control"), "d").unwrap();
    until("it is down", || !alive(one));
    assert!(alive(two) && alive(logger));
    // Both are adopted with the log's pipe.
    scan.end(libc::SIGKILL);
    scan.start();
    let former = scan.supervised("worker@/log", None);
    scan.service("z", SLEEP);
    scan.link("z");
    scan.up("z");
    kill(former, libc::SIGKILL);
    scan.supervised("worker@/log", Some(former));
    assert_eq!((pid("2"), scan.up("worker@/log")), (Some(two), logger));
    fs::write(scan.dir("worker@/supervise@1/control"), "u").unwrap();
    until("it is logged", || {
        scan.scratch.read("sv/worker@/log/out").lines().count() == 3
    });
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn states_can_live_elsewhere() {
    let mut scan = Scanning::new();
    scan.logged("a", COUNT);
    scan.link("a");
    let states = scan.scratch.path().join("states");
    fs::create_dir(&states).unwrap();
    let command = |scan: &Scanning| {
        let mut command = scan.command(&[]);
        command.env("SUPERVISEDIR", &states);
        command
    };
    scan.svscan = Some(Running::start(&mut command(&scan)));
    scan.log_grows("sv/a/log/out");
    assert!(!scan.dir("a/supervise").exists() && !scan.dir("a/log/supervise").exists());
    scan.end(libc::SIGKILL);
    scan.svscan = Some(Running::start(&mut command(&scan)));
    scan.log_grows("sv/a/log/out");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
    assert_eq!(fs::read_dir(&states).unwrap().count(), 2);
}

#[test]
fn as_pid_1_the_stop_signals_of_images_stop_everything_in_order() {
    for signal in [libc::SIGQUIT, libc::SIGWINCH, 37] {
        let mut scan = Scanning::new();
        scan.service(
            "a",
            "trap 'echo saved >saved; exit' TERM; echo >up; while :; do sleep 0.05; done",
        );
        scan.link("a");
        as_init(&mut scan, &[]);
        until("it is up", || scan.dir("a").join("up").exists());
        let init = init_pid(&mut scan);
        let sent = Command::new("kill")
            .args([format!("-{signal}"), init.to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(scan.running().ended().code(), Some(0), "signal {signal}");
        scan.svscan = None;
        assert_eq!(
            scan.scratch.read("sv/a/saved"),
            "saved\n",
            "signal {signal}"
        );
    }
}

#[test]
fn an_essential_that_does_not_parse_counts_as_yes() {
    let mut scan = Scanning::new();
    scan.service("a", "exit 3");
    scan.option("a", "essential", "maybe");
    scan.link("a");
    scan.start();
    scan.says("a/options/essential: line 1: \"maybe\": expected yes or no; the service is taken to be essential\n");
    // Its options are at fault, so it is FATAL before it ever ran.
    assert_eq!(scan.running().ended().code(), Some(111));
    scan.svscan = None;
}

#[test]
fn an_essential_yes_in_capitals_counts_beside_a_fault_of_another_option() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.option("a", "essential", "YES");
    scan.option("a", "startsecs", "never");
    scan.link("a");
    scan.start();
    scan.says("a is essential and has ended");
    assert_eq!(scan.running().ended().code(), Some(111));
    scan.svscan = None;
}

#[test]
fn an_essential_that_ended_well_gives_0_although_another_one_was_killed() {
    let mut scan = Scanning::new();
    scan.service(
        "helper",
        "trap '' TERM; echo >up; while :; do sleep 1; done",
    );
    scan.service(
        "a",
        "until test -e ../helper/up; do sleep 0.05; done; exit 0",
    );
    for (option, value) in [
        ("essential", "yes"),
        ("autorestart", "never"),
        ("startsecs", "0"),
    ] {
        scan.option("a", option, value);
    }
    scan.link("helper");
    scan.link("a");
    scan.start_with(&["--shutdown-timeout", "100ms"]);
    assert_eq!(scan.running().ended().code(), Some(0));
    scan.svscan = None;
    assert!(
        scan.stderr()
            .contains("helper was not down in time: killing it")
    );
    until("nothing is left", || scan.processes().is_empty());
}

#[test]
fn inherited_descriptors_are_closed() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 7>&1 8>&1 >/dev/null; exec \"$0\" \"$1\""])
        .arg(program("svscan"))
        .arg(scan.scan_dir());
    scan.prepare(&mut command);
    command.stdout(std::process::Stdio::piped());
    let mut svscan = Running::start(&mut command);
    let mut output = svscan.child().stdout.take().unwrap();
    scan.svscan = Some(svscan);
    // The end of the pipe is found while svscan and its service run.
    assert_eq!(std::io::Read::read(&mut output, &mut [0; 8]).unwrap(), 0);
    scan.up("a");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_hundred_descriptors_are_enough_for_forty_services_with_logs() {
    let mut scan = Scanning::new();
    for number in 0..40 {
        let name = format!("s{number}");
        scan.logged(&name, "echo up; exec sleep 1000");
        scan.link(&name);
    }
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 100; exec \"$0\" \"$1\""])
        .arg(program("svscan"))
        .arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
    for number in 0..40 {
        let out = format!("sv/s{number}/log/out");
        until("it is logged", || scan.scratch.read(&out) == "up\n");
    }
    assert_eq!(scan.stderr(), "");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
}

#[test]
#[ignore = "open fault: a supervise without memory at its start"]
fn without_memory_for_a_second_stack_it_starts() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    let mut command = Command::new(peer("strace"));
    command.args([
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=mmap,mprotect:error=ENOMEM",
    ]);
    command.arg(program("svscan")).arg(scan.scan_dir());
    scan.prepare(&mut command);
    scan.svscan = Some(Running::start(&mut command));
    scan.up("a");
    assert_eq!(scan.stderr(), "");
}
