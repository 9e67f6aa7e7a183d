//! The clients of daemontools and runit (Debian's packages) on our supervise.

use crate::support;

use std::path::Path;
use std::process::{Command, Output};

use support::supervised::Supervised;
use support::{Scratch, alive, eventually, peer, program, stderr, stdout, until};

fn run(program: &Path, cwd: &Path, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .current_dir(cwd)
        .env("SVDIR", cwd)
        .env("SVWAIT", "30")
        .env_remove("SUPERVISEDIR")
        .output()
        .unwrap()
}

/// Runs a peer's client to its success, and returns what it printed.
#[track_caller]
fn succeeds(name: &str, cwd: &Path, args: &[&str]) -> String {
    let output = run(&peer(name), cwd, args);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new()),
        "{name} {args:?}: {output:?}"
    );
    stdout(&output)
}

fn ours(dir: &Path) -> Supervised {
    Supervised::start(program("supervise"), dir)
}

#[test]
fn daemontools_svc_svstat_and_svok_work() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script(
        "foo/run",
        "for s in HUP ALRM INT TERM; do trap \"echo $s >> signals\" $s; done
echo up >> signals
while :; do sleep 0.02; done",
    );
    scratch.file("foo/down", "");
    let mut foo = ours(&cwd.join("foo"));
    succeeds("svok", cwd, &["foo"]);
    until("its first status", || {
        succeeds("svstat", cwd, &["foo"]).starts_with("foo: down ")
    });
    succeeds("svc", cwd, &["-u", "foo"]);
    let logged = |word: &str| {
        until(word, || {
            scratch.read("foo/signals").lines().any(|line| line == word)
        });
    };
    logged("up");
    let line = format!("foo: up (pid {}) ", foo.pid());
    until("its line", || {
        let shown = succeeds("svstat", cwd, &["foo"]);
        shown.starts_with(&line) && shown.ends_with(" seconds, normally down\n")
    });
    for (letter, signal) in [("-h", "HUP"), ("-a", "ALRM"), ("-i", "INT"), ("-t", "TERM")] {
        succeeds("svc", cwd, &[letter, "foo"]);
        logged(signal);
    }
    succeeds("svc", cwd, &["-p", "foo"]);
    until("paused", || {
        succeeds("svstat", cwd, &["foo"]).contains(", paused")
    });
    succeeds("svc", cwd, &["-c", "foo"]);
    until("continued", || {
        !succeeds("svstat", cwd, &["foo"]).contains(", paused")
    });
    let first = foo.pid();
    succeeds("svc", cwd, &["-k", "foo"]);
    until("another run", || ![0, first].contains(&foo.pid()));
    until("its traps", || {
        scratch.read("foo/signals").matches("up\n").count() == 2
    });
    succeeds("svc", cwd, &["-d", "foo"]);
    until("want down", || {
        succeeds("svstat", cwd, &["foo"]).ends_with(", want down\n")
    });
    succeeds("svc", cwd, &["-kx", "foo"]);
    assert!(foo.supervise().ended().success());
    assert_eq!(run(&peer("svok"), cwd, &["foo"]).status.code(), Some(100));
    assert_eq!(
        succeeds("svstat", cwd, &["foo"]),
        "foo: supervise not running\n"
    );
}

#[test]
fn once_is_once() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script("foo/run", "echo ran >> ran; exec sleep 1000");
    scratch.file("foo/down", "");
    let foo = ours(&cwd.join("foo"));
    succeeds("svc", cwd, &["-o", "foo"]);
    until("the run", || {
        foo.pid() > 0 && scratch.read("foo/ran") == "ran\n"
    });
    assert!(!succeeds("svstat", cwd, &["foo"]).contains("want"));
    succeeds("svc", cwd, &["-t", "foo"]);
    until("its end", || foo.pid() == 0);
    assert!(succeeds("svstat", cwd, &["foo"]).starts_with("foo: down "));
    assert_eq!(scratch.read("foo/ran"), "ran\n");
}

#[test]
fn both_svstats_agree_on_what_daemontools_knows() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script("foo/run", "exec sleep 1000");
    let foo = ours(&cwd.join("foo"));
    for letters in ["-u", "-p", "-c", "-d", "-o"] {
        let args = [letters, "-T30", "foo"];
        let output = run(program("svc"), cwd, &args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{letters}: {}",
            stderr(&output)
        );
        // The seconds go on between two looks: the same bytes are seen sooner or later, or never.
        eventually("the same bytes", || {
            let theirs = succeeds("svstat", cwd, &["foo"]);
            let ours = stdout(&run(program("svstat"), cwd, &["foo"]));
            if ours == theirs {
                Ok(())
            } else {
                Err((letters, ours, theirs))
            }
        });
    }
    drop(foo);
}

#[test]
fn runits_sv_works() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script("foo/run", "exec sleep 1000");
    scratch.script("foo/check", "exit 0");
    let mut foo = ours(&cwd.join("foo"));
    let sv = |args: &[&str]| succeeds("sv", cwd, args);
    until("a run", || foo.pid() > 0);
    let first = foo.pid();
    assert!(sv(&["status", "foo"]).starts_with(&format!("run: foo: (pid {first}) ")));
    assert!(sv(&["-v", "up", "foo"]).starts_with("ok: run: foo: "));
    assert!(sv(&["check", "foo"]).starts_with("ok: run: foo: "));
    assert!(sv(&["restart", "foo"]).starts_with("ok: run: foo: "));
    until("another run", || ![0, first].contains(&foo.pid()));
    assert!(!alive(first));
    assert!(sv(&["down", "foo"]).is_empty());
    assert!(sv(&["-v", "down", "foo"]).starts_with("ok: down: foo: "));
    assert_eq!(foo.pid(), 0);
    assert!(sv(&["status", "foo"]).ends_with(", normally up\n"));
    assert!(sv(&["start", "foo"]).starts_with("ok: run: foo: "));
    assert!(alive(foo.pid()));
    sv(&["pause", "foo"]);
    until("paused", || sv(&["status", "foo"]).contains(", paused"));
    sv(&["cont", "foo"]);
    until("continued", || !sv(&["status", "foo"]).contains(", paused"));
    assert!(sv(&["stop", "foo"]).starts_with("ok: down: foo: "));
    assert!(sv(&["force-restart", "foo"]).starts_with("ok: run: foo: "));
    assert!(sv(&["force-stop", "foo"]).starts_with("ok: down: foo: "));
    // Its `exit` is our `x`, which stops nothing: the service is down already.
    sv(&["exit", "foo"]);
    assert!(foo.supervise().ended().success());
    let gone = run(&peer("sv"), cwd, &["status", "foo"]);
    assert_eq!(
        (gone.status.code(), stdout(&gone).as_str()),
        (Some(1), "fail: foo: runsv not running\n")
    );
}

#[test]
fn runits_sv_sees_finish_term_and_a_service_that_will_not_start() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script(
        "foo/run",
        "trap '' TERM; echo up > up; while :; do sleep 0.05; done",
    );
    scratch.script(
        "foo/finish",
        "echo $1 $2 > finished; while ! [ -e go ]; do sleep 0.02; done",
    );
    scratch.script("bad/run", "exit 1");
    scratch.file("bad/options/startretries", "0");
    let foo = ours(&cwd.join("foo"));
    let bad = ours(&cwd.join("bad"));
    let status = |name: &str| succeeds("sv", cwd, &["status", name]);
    until("the trap", || !scratch.read("foo/up").is_empty());
    succeeds("sv", cwd, &["term", "foo"]);
    until("got TERM", || status("foo").ends_with(", got TERM\n"));
    succeeds("sv", cwd, &["down", "foo"]);
    until("want down", || {
        status("foo").ends_with(", want down, got TERM\n")
    });
    succeeds("sv", cwd, &["kill", "foo"]);
    until("finish", || status("foo").starts_with("finish: foo: (pid "));
    until("what finish was told", || {
        scratch.read("foo/finished") == "-1 9\n"
    });
    scratch.file("foo/go", "");
    until("down", || status("foo").starts_with("down: foo: "));
    until("FATAL", || {
        bad.status().is_some_and(|status| {
            status.pid.is_none() && status.want == servicedir::status::Want::Down
        })
    });
    // `sv up` sends nothing where it reads `u`: a service that is FATAL must not say so.
    scratch.file("bad/options/startretries", "unlimited");
    scratch.script("bad/run", "exec sleep 1000");
    assert!(succeeds("sv", cwd, &["-v", "up", "bad"]).starts_with("ok: run: bad: "));
    drop(foo);
}

#[test]
fn runits_sv_as_an_init_script_works() {
    let scratch = Scratch::new();
    let cwd = scratch.path();
    scratch.script("foo/run", "exec sleep 1000");
    scratch.file("foo/down", "");
    let foo = ours(&cwd.join("foo"));
    let script = cwd.join("init.d-foo");
    std::fs::create_dir(&script).unwrap();
    std::os::unix::fs::symlink(peer("sv"), script.join("foo")).unwrap();
    let init = |command: &str| run(&script.join("foo"), cwd, &[command]).status.code();
    assert_eq!(init("status"), Some(3));
    assert_eq!(init("start"), Some(0));
    assert_eq!(init("status"), Some(0));
    assert!(alive(foo.pid()));
    assert_eq!(init("stop"), Some(0));
    assert_eq!(init("status"), Some(3));
    assert_eq!(foo.pid(), 0);
}
