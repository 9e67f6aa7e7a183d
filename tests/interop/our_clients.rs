//! Our svc, svstat and svok on the supervises of daemontools and runit (Debian's packages).

use crate::support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use support::supervised::{Forged, Supervised};
use support::{Scratch, alive, eventually, output, peer, program, stderr, stdout, until};

/// The supervises of others that keep daemontools' protocol.
const SUPERVISES: [&str; 2] = ["supervise", "runsv"];

fn run(program: &Path, cwd: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .current_dir(cwd)
        .env_remove("SVDIR")
        .env_remove("SUPERVISEDIR")
        .output()
        .unwrap()
}

#[track_caller]
fn svc(cwd: &Path, args: &[&str]) {
    let output = run(program("svc"), cwd, args);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new()),
        "svc {args:?}"
    );
}

/// Asserts that both svstats print the same bytes for the same directories, and returns them. The
/// seconds go on between two looks: the same are seen sooner or later, or never.
#[track_caller]
fn assert_same_lines(cwd: &Path, dirs: &[&str]) -> String {
    eventually("the same bytes", || {
        let theirs = stdout(&run(&peer("svstat"), cwd, dirs));
        let ours = run(program("svstat"), cwd, dirs);
        assert_eq!(ours.status.code(), Some(0));
        let ours = stdout(&ours);
        if ours == theirs {
            Ok(ours)
        } else {
            Err((ours, theirs))
        }
    })
}

/// A service that writes down the signals it gets.
const LOGS_SIGNALS: &str =
    "for s in HUP ALRM INT TERM QUIT USR1 USR2; do trap \"echo $s >> signals\" $s; done
echo up >> signals
while :; do sleep 0.02; done";

#[test]
fn every_letter_has_its_effect() {
    for supervise in SUPERVISES {
        let scratch = Scratch::new();
        scratch.script("foo/run", LOGS_SIGNALS);
        let foo = Supervised::start(&peer(supervise), &scratch.path().join("foo"));
        let cwd = scratch.path();
        let logged = |word: &str| {
            until(word, || {
                scratch.read("foo/signals").lines().any(|line| line == word)
            });
        };
        logged("up");
        for (letter, signal) in [("-h", "HUP"), ("-a", "ALRM"), ("-i", "INT"), ("-t", "TERM")] {
            svc(cwd, &[letter, "foo"]);
            logged(signal);
        }
        if supervise == "runsv" {
            for (letter, signal) in [("-q", "QUIT"), ("-1", "USR1"), ("-2", "USR2")] {
                svc(cwd, &[letter, "foo"]);
                logged(signal);
            }
        }
        svc(cwd, &["-p", "-T30", "foo"]);
        assert!(foo.status().unwrap().paused, "{supervise}");
        svc(cwd, &["-c", "-T30", "foo"]);
        assert!(!foo.status().unwrap().paused, "{supervise}");
        let first = foo.pid();
        svc(cwd, &["-k", "-T30", "foo"]);
        until("another run", || ![0, first].contains(&foo.pid()));
        assert!(!alive(first));
        // It ignores TERM, so that it is down only when it is killed.
        svc(cwd, &["-dk", "-T30", "foo"]);
        assert_eq!(foo.pid(), 0, "{supervise}");
        svc(cwd, &["-u", "-T30", "foo"]);
        assert!(alive(foo.pid()), "{supervise}");
        svc(cwd, &["-dkx", "-T30", "foo"]);
        let gone = run(program("svc"), cwd, &["-u", "foo"]);
        assert_eq!(gone.status.code(), Some(100));
        assert_eq!(
            stderr(&gone),
            stderr(&run(&peer("svc"), cwd, &["-u", "foo"]))
        );
    }
}

#[test]
fn a_wait_sees_restarts_and_single_runs() {
    for supervise in SUPERVISES {
        let scratch = Scratch::new();
        scratch.script("foo/run", "exec sleep 1000");
        scratch.script("once/run", "echo ran >> ran");
        scratch.file("once/down", "");
        let foo = Supervised::start(&peer(supervise), &scratch.path().join("foo"));
        let once = Supervised::start(&peer(supervise), &scratch.path().join("once"));
        let cwd = scratch.path();
        svc(cwd, &["-uw", "foo"]);
        let first = foo.pid();
        svc(cwd, &["-tw", "foo"]);
        let second = foo.pid();
        assert!(![0, first].contains(&second), "{supervise}");
        svc(cwd, &["-duw", "foo"]);
        assert!(![0, first, second].contains(&foo.pid()), "{supervise}");
        svc(cwd, &["-ow", "once"]);
        until("the single run", || scratch.read("once/ran") == "ran\n");
        svc(cwd, &["-w", "--wait=down", "once"]);
        let refused = run(program("svc"), cwd, &["-r", "foo"]);
        assert_eq!(refused.status.code(), Some(100));
        drop(once);
    }
}

#[test]
fn svstat_prints_the_same_bytes() {
    for supervise in SUPERVISES {
        let scratch = Scratch::new();
        scratch.script("up/run", "exec sleep 1000");
        scratch.script("down/run", "exec sleep 1000");
        scratch.file("down/down", "");
        let up = Supervised::start(&peer(supervise), &scratch.path().join("up"));
        let down = Supervised::start(&peer(supervise), &scratch.path().join("down"));
        let cwd = scratch.path();
        until("a run", || up.pid() > 0);
        let all = ["up", "down", "./up//", "down/."];
        let lines = assert_same_lines(cwd, &all);
        assert!(lines.starts_with("up: up (pid "), "{lines}");
        assert!(lines.contains("\ndown: down "), "{lines}");
        svc(cwd, &["-pw", "up"]);
        svc(cwd, &["-uw", "down"]);
        let lines = assert_same_lines(cwd, &all);
        assert!(
            lines.contains(", paused\n") && lines.contains(", normally down\n"),
            "{lines}"
        );
        svc(cwd, &["-c", "up"]);
        svc(cwd, &["-dw", "up", "down"]);
        let lines = assert_same_lines(cwd, &all);
        assert!(lines.contains(", normally up\n"), "{lines}");
        drop(down);
        assert_eq!(
            assert_same_lines(cwd, &["down"]),
            "down: supervise not running\n"
        );
    }
}

#[test]
fn svstat_prints_the_same_errors() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.file("plain", "");
    fs::create_dir(cwd.join("never")).unwrap();
    symlink("loop", cwd.join("loop")).unwrap();
    fs::create_dir(cwd.join("downloop")).unwrap();
    symlink("down", cwd.join("downloop/down")).unwrap();
    scratch.file("okdir/supervise/ok/file", "");
    let short = Forged::new(&cwd.join("short"));
    short.write_status(b"12345678901234567");
    let _nostatus = Forged::new(&cwd.join("nostatus"));
    let long = format!("./{}", "x".repeat(300));
    let names = [
        "missing", "./plain", "plain/", "never", "./loop", "downloop", "okdir", "short",
        "nostatus", "folder", "", &long, "a\nb", "mis sing",
    ];
    let lines = assert_same_lines(cwd, &names);
    for part in [
        "missing: unable to chdir: file does not exist\n",
        "downloop: unable to stat down: symbolic link loop\n",
        "never: unable to open supervise/ok: file does not exist\n",
        "short: unable to read supervise/status: bad format\n",
        ": unable to chdir: file name too long\n",
    ] {
        assert!(lines.contains(part), "no {part}: {lines}");
    }
}

#[test]
fn who_may_not_look_reads_the_same() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    let foo = Forged::new(&cwd.join("foo"));
    fs::create_dir(cwd.join("closed")).unwrap();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&foo.dir.join("supervise"), 0o700);
    mode(&cwd.join("closed"), 0o700);
    let copy = cwd.join("ours");
    support::copy_of("svstat", &copy);
    mode(cwd, 0o755);
    if !rustix::process::getuid().is_root() {
        mode(&foo.dir.join("supervise"), 0);
        mode(&cwd.join("closed"), 0);
    }
    let look = |program: &Path| {
        let mut command = Command::new(program);
        command.args(["foo", "closed"]).current_dir(cwd);
        if rustix::process::getuid().is_root() {
            command.uid(65534).gid(65534);
        }
        stdout(&command.output().unwrap())
    };
    let ours = look(&copy);
    assert_eq!(
        ours,
        "foo: unable to open supervise/ok: access denied\nclosed: unable to chdir: access denied\n"
    );
    assert_eq!(ours, look(&peer("svstat")));
    mode(&foo.dir.join("supervise"), 0o700);
    mode(&cwd.join("closed"), 0o700);
}

#[test]
fn svok_answers_and_says_the_same() {
    for supervise in SUPERVISES {
        let scratch = Scratch::new();
        let cwd = scratch.path();
        scratch.script("foo/run", "exec sleep 1000");
        scratch.script("gone/run", "exec sleep 1000");
        scratch.file("plain", "");
        fs::create_dir(cwd.join("never")).unwrap();
        let _foo = Supervised::start(&peer(supervise), &cwd.join("foo"));
        drop(Supervised::start(&peer(supervise), &cwd.join("gone")));
        for (name, code) in [
            ("foo", 0),
            ("gone", 100),
            ("never", 100),
            ("missing", 111),
            ("./plain", 111),
        ] {
            let ours = run(program("svok"), cwd, &[name]);
            let theirs = run(&peer("svok"), cwd, &[name]);
            assert_eq!(ours.status.code(), Some(code), "{name}");
            assert_eq!(ours, theirs, "{name}");
        }
    }
}

#[test]
fn a_service_of_s6_is_no_service_of_ours_and_is_not_misread() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script("foo/run", "exec sleep 1000");
    let mut s6 = support::Running::start(
        Command::new(peer("s6-supervise"))
            .arg("foo")
            .current_dir(cwd),
    );
    until("a status", || cwd.join("foo/supervise/status").exists());
    assert_same_lines(cwd, &["foo"]);
    let control = cwd.join("foo/supervise/control");
    until("a control FIFO", || {
        servicedir::control::open_for_writing(&control).is_ok()
    });
    svc(cwd, &["-dx", "foo"]);
    assert!(s6.ended().success());
    assert_eq!(
        output(program("svok"), [cwd.join("foo")]).status.code(),
        Some(100)
    );
}
