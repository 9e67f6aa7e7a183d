//! pidproxy: the daemon in the pid file gets the signals, and its end is the program's end.
//!
//! Not tested: kernels that do not tell the exit code of another's child (before Linux 6.15), and
//! processes that pidproxy may not signal.

use crate::support;
use crate::support::daemon as daemon_support;

use std::fs;
use std::path::Path;
use std::process::Command;

use daemon_support::{InFront, daemon, launcher, pid_in, until_gone, until_says};
use support::{Running, Scratch, alive, kill, output, program, stderr, stdout, until};

/// A double-forking daemon under pidproxy, up, and its pid.
#[track_caller]
fn up(scratch: &Scratch, options: &[&str]) -> (InFront, i32) {
    daemon(scratch, "daemon", "pid");
    launcher(scratch, "daemon");
    let args: Vec<&str> = options.iter().copied().chain(["pid", "./start"]).collect();
    let proxy = InFront::start(scratch, "pidproxy", &args);
    let pid = pid_in(scratch, "pid");
    // Once a signal arrives, the daemon is followed.
    (proxy, pid)
}

#[test]
fn every_signal_that_svc_sends_reaches_the_daemon() {
    let scratch = Scratch::new();
    let (mut proxy, pid) = up(&scratch, &[]);
    let signals = [
        (libc::SIGHUP, "HUP"),
        (libc::SIGALRM, "ALRM"),
        (libc::SIGINT, "INT"),
        (libc::SIGQUIT, "QUIT"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGWINCH, "WINCH"),
        (libc::SIGCONT, "CONT"),
    ];
    for (number, name) in signals {
        proxy.signal(number);
        until_says(&scratch, "log", name);
    }
    assert!(alive(pid));
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
    assert!(!alive(pid));
    assert!(
        scratch.read("stderr").is_empty(),
        "{}",
        scratch.read("stderr")
    );
}

#[test]
fn it_does_not_end_before_the_daemon_that_it_told_to_stop() {
    let scratch = Scratch::new();
    scratch.script(
        "daemon",
        "trap 'echo TERM >> log; until test -e go; do sleep 0.02; done; rm pid; exit 5' TERM\n\
         echo $$ > pid\nwhile :; do sleep 0.05; done",
    );
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let pid = pid_in(&scratch, "pid");
    proxy.signal(libc::SIGTERM);
    until_says(&scratch, "log", "TERM");
    assert!(alive(pid) && proxy.is_running());
    scratch.file("go", "");
    assert_eq!(proxy.code(), 5);
}

#[test]
fn a_daemon_that_is_killed_ends_it_with_128_and_the_signal() {
    let scratch = Scratch::new();
    let (mut proxy, pid) = up(&scratch, &[]);
    kill(pid, libc::SIGSEGV);
    assert_eq!(proxy.code(), 128 + libc::SIGSEGV);
    until("an empty tree", || proxy.below().is_empty());
}

#[test]
fn the_code_of_a_daemon_that_its_launcher_waits_for_is_known() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    // As mysqld_safe: it minds no signals, and its own exit code says nothing.
    scratch.script("start", "trap '' HUP INT QUIT TERM\n./daemon\nexit 0");
    // A trap that ignores is inherited, so that the daemon is one that the shell cannot keep deaf.
    scratch.script(
        "daemon",
        "echo $$ > pid\nexec env --default-signal sleep 1000",
    );
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let pid = pid_in(&scratch, "pid");
    until("sleep", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c == "sleep\n")
    });
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 128 + libc::SIGTERM);
}

#[test]
fn signals_go_to_the_command_while_there_is_no_pid_file() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "elsewhere");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./daemon"]);
    pid_in(&scratch, "elsewhere");
    proxy.signal(libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_stop_before_the_pid_file_is_written_stops_the_daemon_all_the_same() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    scratch.script(
        "late",
        "echo here > here\nuntil test -e go; do sleep 0.02; done\nexec ./daemon",
    );
    // The launcher ends at TERM without telling what it has started.
    scratch.script(
        "start",
        "trap 'exit 0' TERM\nsetsid ./late &\nwhile :; do sleep 0.02; done",
    );
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    until_says(&scratch, "here", "here");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 0);
    assert!(scratch.read("pid").is_empty());
}

#[test]
fn a_pid_file_that_is_late_is_noticed() {
    let scratch = Scratch::new();
    daemon(&scratch, "prompt", "pid");
    scratch.script("daemon", "sleep 5\nexec ./prompt");
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["--timeout", "1m", "pid", "./start"]);
    pid_in(&scratch, "pid");
    proxy.signal(libc::SIGHUP);
    until_says(&scratch, "log", "HUP");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_pid_file_in_a_directory_that_is_made_late_is_noticed() {
    let scratch = Scratch::new();
    daemon(&scratch, "prompt", "run/web/pid");
    scratch.script(
        "daemon",
        "mkdir run\nsleep 0.1\nmkdir run/web\nexec ./prompt",
    );
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["run/web/pid", "./start"]);
    let pid = pid_in(&scratch, "run/web/pid");
    // The end of the daemon alone, without a signal that would have made pidproxy look.
    kill(pid, libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_pid_file_behind_a_symlink_is_noticed() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real/pid", scratch.path().join("pid")).unwrap();
    daemon(&scratch, "daemon", "real/pid");
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let pid = pid_in(&scratch, "real/pid");
    kill(pid, libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_daemon_that_replaces_itself_is_followed() {
    let scratch = Scratch::new();
    daemon(&scratch, "second", "pid");
    // As sshd without -D does at HUP under a subreaper: it forks, and only then is there a pid file.
    scratch.script(
        "first",
        "trap 'setsid ./slowly & exit 0' HUP\necho $$ > pid\nwhile :; do sleep 0.05; done",
    );
    scratch.script("slowly", "rm pid\nsleep 0.3\nexec ./second");
    launcher(&scratch, "first");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let first = pid_in(&scratch, "pid");
    proxy.signal(libc::SIGHUP);
    until_gone(first);
    let second = pid_in(&scratch, "pid");
    assert_ne!(first, second);
    proxy.signal(libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_failed_replacement_leaves_the_first_daemon_in_charge() {
    let scratch = Scratch::new();
    daemon(&scratch, "first", "pid");
    scratch.script("second", "cp pid pid.old\necho $$ > pid\nuntil test -e go; do sleep 0.02; done\nmv pid.old pid\nexit 1");
    scratch.script("start", "( (setsid ./first &) & )\nuntil test -e pid; do sleep 0.02; done\nuntil test -e upgrade; do sleep 0.02; done\n( (setsid ./second &) & )\nexit 0");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let first = pid_in(&scratch, "pid");
    proxy.signal(libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    scratch.file("upgrade", "");
    until("the second daemon", || {
        scratch.read("pid").trim() != first.to_string()
    });
    let second = pid_in(&scratch, "pid");
    scratch.file("go", "");
    until_gone(second);
    proxy.signal(libc::SIGUSR2);
    until_says(&scratch, "log", "USR2");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn a_stale_pid_file_names_nobody() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    launcher(&scratch, "daemon");
    scratch.script(
        "slowly",
        "until test -e go; do sleep 0.02; done\nexec ./start",
    );
    // The last boot's: its pid belongs to a stranger now.
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    scratch.file("pid", format!("{}\n", stranger.pid()));
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./slowly"]);
    proxy.signal(libc::SIGCONT);
    scratch.file("go", "");
    until("a new pid", || {
        scratch.read("pid").trim() != stranger.pid().to_string()
    });
    pid_in(&scratch, "pid");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
    assert!(stranger.child().try_wait().unwrap().is_none());
    assert!(
        scratch.read("stderr").is_empty(),
        "{}",
        scratch.read("stderr")
    );
}

#[test]
fn a_stale_pid_that_is_the_commands_own_does_not_make_it_the_daemon() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    // As in a container, where every boot counts pids from 1: the file is older than the process.
    scratch.script(
        "start",
        "( (setsid ./daemon </dev/null >/dev/null 2>&1 &) & )\nexit 0",
    );
    scratch.script(
        "again",
        "echo $$ > pid\nexec \"$PIDPROXY\" pid sh -c './start; exit 0'",
    );
    let mut command = Command::new(scratch.path().join("again"));
    command.env("PIDPROXY", program("pidproxy"));
    let mut proxy = InFront::of(&scratch, &mut command);
    until("the daemon", || {
        let named = scratch.read("pid");
        named
            .trim()
            .parse::<i32>()
            .is_ok_and(|pid| pid != proxy.pid() && alive(pid))
    });
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn another_programs_pid_gets_no_signal() {
    let scratch = Scratch::new();
    let mut stranger = Running::start(Command::new("sleep").arg("1000"));
    let body = format!("echo {} > pid\nexec ./daemon", stranger.pid());
    scratch.script("start", &body);
    daemon(&scratch, "daemon", "elsewhere");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    let warning = format!(
        "pidproxy: warning: pid: process {} does not come from the command: it gets no signals\n",
        stranger.pid()
    );
    until_says(&scratch, "stderr", &warning);
    pid_in(&scratch, "elsewhere");
    proxy.signal(libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
    assert!(stranger.child().try_wait().unwrap().is_none());
    assert_eq!(scratch.read("stderr"), warning, "said once");
}

#[test]
fn a_pid_file_that_never_appears_ends_all_after_the_timeout() {
    let scratch = Scratch::new();
    scratch.script("daemon", "echo $$ > elsewhere\nexec sleep 1000");
    launcher(&scratch, "daemon");
    // Not before the daemon is there: the time runs from the start of the command.
    scratch.script(
        "patient",
        "./start\nuntil test -s elsewhere; do sleep 0.02; done",
    );
    let mut proxy = InFront::start(
        &scratch,
        "pidproxy",
        &["--timeout", "3s", "pid", "./patient"],
    );
    let pid = pid_in(&scratch, "elsewhere");
    assert_eq!(proxy.code(), 99);
    assert!(!alive(pid));
    let said = "pidproxy: fatal: pid: named no process in time: ended the command\n";
    assert_eq!(scratch.read("stderr"), said);
}

#[test]
fn a_command_that_fails_ends_it_with_its_code() {
    let scratch = Scratch::new();
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "sh", "-c", "exit 7"]);
    assert_eq!(proxy.code(), 7);
    // And takes with it what it had started.
    let script = "sleep 1000 & echo $! > child; exit 8";
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "sh", "-c", script]);
    assert_eq!(proxy.code(), 8);
    let child: i32 = scratch.read("child").trim().parse().unwrap();
    assert!(!alive(child));
}

#[test]
fn a_daemon_that_ends_at_once_is_known_by_its_pid_file() {
    let scratch = Scratch::new();
    scratch.script("daemon", "echo $$ > pid\nexit 9");
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    assert_eq!(proxy.code(), 9);
}

#[test]
fn what_a_daemon_leaves_behind_is_ended_even_if_it_minds_no_term() {
    let scratch = Scratch::new();
    scratch.script(
        "worker",
        "trap '' TERM\necho $$ > worker.pid\nwhile :; do sleep 0.1; done",
    );
    scratch.script(
        "daemon",
        "trap 'exit 4' TERM\n./worker &\nuntil test -s worker.pid; do sleep 0.02; done\n\
         echo $$ > pid\nwhile :; do sleep 0.05; done",
    );
    launcher(&scratch, "daemon");
    let mut proxy = InFront::start(&scratch, "pidproxy", &["pid", "./start"]);
    pid_in(&scratch, "pid");
    let worker = pid_in(&scratch, "worker.pid");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 4);
    assert!(!alive(worker));
}

#[test]
fn what_a_daemon_leaves_behind_is_left_alone_if_asked() {
    // The guard of --die-with-me is for a pidproxy that is killed, not for one that ends in order.
    for options in [&["--leave-rest"][..], &["--leave-rest", "--die-with-me"]] {
        let scratch = Scratch::new();
        scratch.script("worker", "echo $$ > worker.pid\nexec sleep 1000");
        scratch.script(
            "daemon",
            "trap 'exit 4' TERM\nsetsid ./worker &\nuntil test -s worker.pid; do sleep 0.02; done\n\
             echo $$ > pid\nwhile :; do sleep 0.05; done",
        );
        launcher(&scratch, "daemon");
        let args: Vec<&str> = options.iter().copied().chain(["pid", "./start"]).collect();
        let mut proxy = InFront::start(&scratch, "pidproxy", &args);
        pid_in(&scratch, "pid");
        let worker = pid_in(&scratch, "worker.pid");
        proxy.signal(libc::SIGTERM);
        let code = proxy.code();
        assert!(alive(worker), "{options:?}");
        kill(worker, libc::SIGKILL);
        assert_eq!(code, 4, "{options:?}");
    }
}

#[test]
fn killed_it_takes_the_daemon_with_it_if_asked() {
    let scratch = Scratch::new();
    let (mut proxy, pid) = up(&scratch, &["--die-with-me"]);
    let all = proxy.below();
    assert!(all.contains(&pid));
    proxy.signal(libc::SIGHUP);
    until_says(&scratch, "log", "HUP");
    // A group's KILL, as supervise sends it with killasgroup, is not one for both.
    proxy.signal(libc::SIGKILL);
    assert_eq!(proxy.code(), -libc::SIGKILL);
    for pid in all {
        until_gone(pid);
    }
    assert!(!scratch.read("log").contains("TERM"));
}

#[test]
fn killed_with_its_guard_it_leaves_nothing_if_asked() {
    let scratch = Scratch::new();
    let (mut proxy, pid) = up(&scratch, &["--die-with-me"]);
    // The inner process is the daemon's ancestor and pidproxy's only child.
    let inner = proxy.below()[0];
    assert_ne!(inner, pid);
    kill(inner, libc::SIGKILL);
    assert_eq!(proxy.code(), 128 + libc::SIGKILL);
    assert!(!alive(pid));
}

#[test]
fn a_guarded_daemon_is_signalled_and_its_code_is_passed_on() {
    let scratch = Scratch::new();
    let (mut proxy, _) = up(&scratch, &["--die-with-me"]);
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
}

#[test]
fn killed_it_leaves_the_daemon_if_not_asked() {
    let scratch = Scratch::new();
    let (mut proxy, pid) = up(&scratch, &[]);
    let all = proxy.below();
    proxy.signal(libc::SIGKILL);
    assert_eq!(proxy.code(), -libc::SIGKILL);
    assert!(alive(pid));
    for pid in all {
        kill(pid, libc::SIGKILL);
    }
}

#[test]
fn the_command_has_default_dispositions_an_empty_mask_and_three_descriptors() {
    let scratch = Scratch::new();
    let show = "ls /proc/$$/fd > descriptors; exec grep -E '^Sig(Blk|Ign)' /proc/self/status";
    for options in [&[][..], &["--die-with-me"]] {
        let args: Vec<&str> = options
            .iter()
            .copied()
            .chain(["pid", "sh", "-c", show])
            .collect();
        let shown = Command::new(program("pidproxy"))
            .args(args)
            .current_dir(scratch.path())
            .output()
            .unwrap();
        let shown = stdout(&shown);
        let sets: Vec<u64> = shown
            .lines()
            .map(|line| u64::from_str_radix(line.split('\t').next_back().unwrap(), 16).unwrap())
            .collect();
        // 32 and 33 are the C library's own.
        let own = 0b11 << 31;
        assert!(
            sets.len() == 2 && sets.iter().all(|set| set & !own == 0),
            "{shown}"
        );
        let descriptors = scratch.read("descriptors");
        assert!(!descriptors.contains('4'), "{descriptors}");
    }
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let scratch = Scratch::new();
    let (mut proxy, _) = up(&scratch, &[]);
    proxy.signal(libc::SIGHUP);
    until_says(&scratch, "log", "HUP");
    let asleep = || fs::read_to_string(format!("/proc/{}/wchan", proxy.pid())).unwrap();
    until("poll", || asleep().contains("poll"));
    let elsewhere = Scratch::new();
    let trace = elsewhere.path().join("trace");
    let mut tracer = Running::start(
        Command::new(support::peer("strace"))
            .args(["-q", "-p", &proxy.pid().to_string(), "-o"])
            .arg(&trace),
    );
    until("strace", || {
        fs::read_to_string(format!("/proc/{}/status", proxy.pid()))
            .is_ok_and(|s| s.contains(&format!("TracerPid:\t{}\n", tracer.pid())))
    });
    // The daemon is busy meanwhile, and writes beside its pid file.
    kill(proxy.below()[0], libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    proxy.signal(libc::SIGTERM);
    assert_eq!(proxy.code(), 3);
    tracer.ended();
    let trace = fs::read_to_string(&trace).unwrap();
    let waits = trace.lines().take_while(|line| !line.contains("SIGTERM"));
    let waits: Vec<&str> = waits.filter(|line| !line.contains("poll")).collect();
    assert!(waits.is_empty(), "{waits:?}");
}

#[test]
fn a_wrong_command_line_is_told() {
    for (args, said) in [
        (&[][..], "no pid file"),
        (&["pid"], "no command"),
        (&["", "true"], "no pid file"),
        (
            &["--timeout", "soon", "pid", "true"],
            "--timeout soon: expected a duration",
        ),
        (
            &["--timeuot", "1", "pid", "true"],
            "invalid option '--timeuot'",
        ),
    ] {
        let output = output(program("pidproxy"), args);
        assert_eq!(output.status.code(), Some(100), "{args:?}");
        let said = format!("pidproxy: fatal: {said}");
        assert!(stderr(&output).starts_with(&said), "{}", stderr(&output));
    }
    let output = output(program("pidproxy"), ["pid", "./no-such-program"]);
    assert_eq!(output.status.code(), Some(111));
    let said = "pidproxy: fatal: unable to run ./no-such-program: no such file or directory\n";
    assert_eq!(stderr(&output), said);
}

#[test]
fn every_option_stands_in_the_help_and_in_the_page() {
    let help = stdout(&output(program("pidproxy"), ["--help"]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/pidproxy.8");
    let page = fs::read_to_string(page).unwrap();
    let mut listed: Vec<&str> = Vec::new();
    for option in ["timeout", "leave-rest", "die-with-me", "help", "version"] {
        assert!(help.contains(&format!("--{option}")), "{option}");
        assert!(page.contains(&format!("-{option}")), "{option}");
        listed.push(option);
    }
    for word in help.split(|letter: char| letter.is_whitespace() || "[]".contains(letter)) {
        if let Some(option) = word.strip_prefix("--") {
            assert!(listed.contains(&option), "{option} is not listed here");
        }
    }
    let version = stdout(&output(program("pidproxy"), ["--version"]));
    assert_eq!(
        version,
        concat!("pidproxy (servicedir) ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
