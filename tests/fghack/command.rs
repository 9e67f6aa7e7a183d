//! fghack: it stays until all that came from its command has ended, and passes signals on.
//!
//! Not tested: a system without /proc.

use crate::support;
use crate::support::daemon as daemon_support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use daemon_support::{InFront, daemon, launcher, pid_in, until_gone, until_says};
use support::{Scratch, alive, kill, output, peer, program, stderr, stdout, until};

/// A double-forking daemon under fghack, up, and its pid.
#[track_caller]
fn up(scratch: &Scratch, options: &[&str]) -> (InFront, i32) {
    daemon(scratch, "daemon", "pid");
    launcher(scratch, "daemon");
    let args: Vec<&str> = options.iter().copied().chain(["./start"]).collect();
    let fghack = InFront::start(scratch, "fghack", &args);
    let pid = pid_in(scratch, "pid");
    // The launcher has ended, and was waited for: the daemon, the only child of fghack or of its inner
    // process, is the one that gets the signals.
    until("an orphan alone", || {
        let top = if options.is_empty() {
            fghack.pid()
        } else {
            children_of(fghack.pid()).first().copied().unwrap_or(0)
        };
        children_of(top) == [pid]
    });
    (fghack, pid)
}

/// The children of a process, zombies included.
fn children_of(pid: i32) -> Vec<i32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let pids = children.split_whitespace();
    pids.map(|pid| pid.parse().unwrap()).collect()
}

fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn it_stays_while_the_daemon_is_up_and_ends_with_its_code() {
    let scratch = Scratch::new();
    let (mut fghack, pid) = up(&scratch, &[]);
    assert!(fghack.is_running());
    kill(pid, libc::SIGTERM);
    assert_eq!(fghack.code(), 3);
    assert!(
        scratch.read("stderr").is_empty(),
        "{}",
        scratch.read("stderr")
    );
}

#[test]
fn signals_reach_the_daemon_and_a_stop_ends_it() {
    let scratch = Scratch::new();
    let (mut fghack, pid) = up(&scratch, &[]);
    let signals = [
        (libc::SIGHUP, "HUP"),
        (libc::SIGALRM, "ALRM"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGUSR2, "USR2"),
        (libc::SIGWINCH, "WINCH"),
        (libc::SIGCONT, "CONT"),
    ];
    for (number, name) in signals {
        fghack.signal(number);
        until_says(&scratch, "log", name);
    }
    assert!(alive(pid) && fghack.is_running());
    fghack.signal(libc::SIGTERM);
    assert_eq!(fghack.code(), 3);
    assert!(!alive(pid));
}

/// The kernel shows a command's name as it is, between numbers that are to be read.
#[test]
fn a_daemon_whose_name_is_not_utf8_is_stopped_too() {
    let scratch = Scratch::new();
    // Where fghack does not find it, neither does the test's end: it ends with its folder.
    let script = scratch.script(
        "daemon",
        "trap 'exit 3' TERM\necho $$ > pid\nwhile test -e pid; do sleep 0.05; done",
    );
    let name = scratch.path().join(OsStr::from_bytes(b"daemon\xff"));
    fs::rename(script, name).unwrap();
    launcher(&scratch, "daemon*");
    let mut fghack = InFront::start(&scratch, "fghack", &["./start"]);
    let pid = pid_in(&scratch, "pid");
    assert_eq!(
        fs::read(format!("/proc/{pid}/comm")).unwrap(),
        b"daemon\xff\n"
    );
    until("an orphan alone", || children_of(fghack.pid()) == [pid]);
    fghack.signal(libc::SIGTERM);
    assert_eq!(fghack.code(), 3);
    assert!(!alive(pid));
}

#[test]
fn workers_that_their_daemon_forgets_are_stopped_too() {
    let scratch = Scratch::new();
    scratch.script("worker", "echo $$ > worker.pid\nexec sleep 1000");
    // It is killed by the signal, and tells its worker nothing.
    scratch.script("daemon", "setsid ./worker &\necho $$ > pid\nwait");
    launcher(&scratch, "daemon");
    let mut fghack = InFront::start(&scratch, "fghack", &["./start"]);
    let daemon = pid_in(&scratch, "pid");
    let worker = pid_in(&scratch, "worker.pid");
    fghack.signal(libc::SIGTERM);
    assert_eq!(fghack.code(), 128 + libc::SIGTERM);
    assert!(!alive(daemon) && !alive(worker));
}

#[test]
fn it_waits_for_workers_that_outlive_their_daemon() {
    let scratch = Scratch::new();
    scratch.script(
        "worker",
        "echo $$ > worker.pid\nuntil test -e go; do sleep 0.02; done\nexit 6",
    );
    scratch.script(
        "daemon",
        "setsid ./worker &\nuntil test -s worker.pid; do sleep 0.02; done\nexit 0",
    );
    launcher(&scratch, "daemon");
    let mut fghack = InFront::start(&scratch, "fghack", &["./start"]);
    let worker = pid_in(&scratch, "worker.pid");
    until("an orphan", || parent_of(worker) == fghack.pid());
    assert!(fghack.is_running());
    scratch.file("go", "");
    assert_eq!(fghack.code(), 6);
}

#[test]
fn the_code_of_a_command_that_fails_comes_first() {
    let scratch = Scratch::new();
    let script = "(until test -e go; do sleep 0.02; done) & exit 7";
    let mut fghack = InFront::start(&scratch, "fghack", &["sh", "-c", script]);
    assert!(fghack.is_running());
    scratch.file("go", "");
    assert_eq!(fghack.code(), 7);
    for (script, code) in [("exit 0", 0), ("exit 9", 9), ("kill -KILL $$", 137)] {
        let mut fghack = InFront::start(&scratch, "fghack", &["sh", "-c", script]);
        assert_eq!(fghack.code(), code, "{script}");
    }
}

#[test]
fn killed_it_takes_the_daemon_with_it_if_asked() {
    let scratch = Scratch::new();
    let (mut fghack, pid) = up(&scratch, &["--die-with-me"]);
    let all = fghack.below();
    assert!(all.contains(&pid));
    fghack.signal(libc::SIGKILL);
    assert_eq!(fghack.code(), -libc::SIGKILL);
    for pid in all {
        until_gone(pid);
    }
}

#[test]
fn a_guarded_daemon_is_stopped_with_its_code() {
    let scratch = Scratch::new();
    let (mut fghack, pid) = up(&scratch, &["--die-with-me"]);
    fghack.signal(libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    fghack.signal(libc::SIGTERM);
    assert_eq!(fghack.code(), 3);
    assert!(!alive(pid));
}

/// Nobody in a new pid namespace knows a number for the group that its first process is in.
#[test]
fn guarded_in_a_process_group_without_a_number_the_command_gets_its_own() {
    let scratch = Scratch::new();
    let mut command = Command::new(peer("unshare"));
    command
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(program("fghack"))
        .args(["--die-with-me", "sh", "-c"])
        .arg("read -r pid rest < /proc/self/stat; set -- $rest; echo $pid $4 > place; exit 4");
    let mut fghack = InFront::of(&scratch, &mut command);
    assert_eq!(fghack.code(), 4, "{}", scratch.read("stderr"));
    let said = scratch.read("place");
    let (pid, group) = said.trim().split_once(' ').unwrap();
    assert_eq!(pid, group, "{said:?}");
}

#[test]
fn children_from_before_are_none_of_its_business() {
    let scratch = Scratch::new();
    let script = "sleep 1000 & echo $! > before; exec \"$FGHACK\" sh -c 'exit 4'";
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("FGHACK", program("fghack"));
    let mut fghack = InFront::of(&scratch, &mut command);
    assert_eq!(fghack.code(), 4);
    let before = pid_in(&scratch, "before");
    kill(before, libc::SIGKILL);
}

#[test]
fn where_orphans_cannot_be_had_the_pipe_tells_and_finds_them() {
    let scratch = Scratch::new();
    daemon(&scratch, "daemon", "pid");
    launcher(&scratch, "daemon");
    let mut command = Command::new(peer("strace"));
    command
        .args([
            "-o",
            "/dev/null",
            "-e",
            "trace=prctl",
            "-e",
            "inject=prctl:error=EINVAL:when=1",
        ])
        .arg(program("fghack"))
        .arg("./start");
    let mut tracer = InFront::of(&scratch, &mut command);
    let daemon = pid_in(&scratch, "pid");
    let fghack = tracer.below()[0];
    // Nor is the launcher there any more, which would get the signals too.
    until("the daemon to be nobody's", || tracer.below() == [fghack]);
    until_says(
        &scratch,
        "stderr",
        "fghack: warning: unable to become a child subreaper: invalid argument; \
         watching for the end of a pipe instead\n",
    );
    kill(fghack, libc::SIGUSR1);
    until_says(&scratch, "log", "USR1");
    assert!(tracer.is_running());
    kill(fghack, libc::SIGTERM);
    // The command's own code: those of others' children are not to be had.
    assert_eq!(tracer.code(), 0);
    assert!(!alive(daemon));
}

#[test]
fn a_wrong_command_line_is_told() {
    for (args, code, said) in [
        (&[][..], 100, "no command; see --help\n"),
        (
            &["--", "--die"],
            111,
            "unable to run --die: no such file or directory\n",
        ),
        (&["-x"], 100, "invalid option '-x'; see --help\n"),
        (
            &["/dev/null"],
            111,
            "unable to run /dev/null: permission denied\n",
        ),
    ] {
        let output = output(program("fghack"), args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(stderr(&output), format!("fghack: fatal: {said}"));
    }
}

#[test]
fn every_option_stands_in_the_help_and_in_the_page() {
    let help = stdout(&output(program("fghack"), ["--help"]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/fghack.8");
    let page = fs::read_to_string(page).unwrap();
    let mut listed: Vec<&str> = Vec::new();
    for option in ["die-with-me", "help", "version"] {
        assert!(help.contains(&format!("--{option}")), "{option}");
        assert!(page.contains(&format!("-{option}")), "{option}");
        listed.push(option);
    }
    for word in help.split(|letter: char| letter.is_whitespace() || "[]".contains(letter)) {
        if let Some(option) = word.strip_prefix("--") {
            assert!(listed.contains(&option), "{option} is not listed here");
        }
    }
    let version = stdout(&output(program("fghack"), ["--version"]));
    assert_eq!(
        version,
        concat!("fghack (servicedir) ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
