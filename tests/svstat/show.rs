//! svstat: its line, table, JSON, live view and quiet answer.
//!
//! Not tested: colours on terminals other than an emulated xterm; that columns of wide characters
//! are aligned (they are not).

use crate::support;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use servicedir::status::{End, Phase, State, Status, Want};
use servicedir::tai64n::Tai64n;
use support::supervised::{Forged, status, with};
use support::{Scratch, peer, program, stderr, stdout, until};

fn svstat(cwd: &Path, args: &[&str]) -> Output {
    command(cwd, args).output().unwrap()
}

fn command(cwd: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program("svstat"));
    command
        .args(args)
        .current_dir(cwd)
        .env_remove("SVDIR")
        .env_remove("SUPERVISEDIR")
        .env_remove("NO_COLOR");
    command
}

/// What it printed, where it said nothing else and exited 0.
#[track_caller]
fn lines(cwd: &Path, args: &[&str]) -> String {
    let output = svstat(cwd, args);
    assert_eq!(
        (stderr(&output), output.status.code()),
        (String::new(), Some(0))
    );
    stdout(&output)
}

fn running() -> Status {
    status(State::Running, 42, Want::Up)
}

/// The line with its seconds, which go on, as `N`.
fn without_seconds(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut shown = Vec::new();
    for (word, next) in words.iter().zip(words.iter().skip(1).chain([&""])) {
        shown.push(if next.starts_with("seconds") {
            "N"
        } else {
            word
        });
    }
    shown.join(" ")
}

#[test]
fn a_line_a_service_as_typed_and_in_the_order_typed() {
    let scratch = Scratch::new();
    let up = Forged::new(&scratch.path().join("up"));
    let down = Forged::new(&scratch.path().join("a b"));
    up.announce(&running());
    down.announce(&status(State::Stopped, 0, Want::Down));
    fs::write(down.dir.join("down"), "").unwrap();
    let shown = lines(scratch.path(), &["./up//", "a b", "missing", "up"]);
    let shown: Vec<String> = shown.lines().map(without_seconds).collect();
    assert_eq!(
        shown,
        [
            "./up//: up (pid 42) N seconds",
            "a b: down N seconds",
            "missing: unable to chdir: file does not exist",
            "up: up (pid 42) N seconds",
        ]
    );
}

#[test]
fn what_daemontools_does_not_know_follows() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let down = |state, want| status(state, 0, want);
    let cases = [
        (
            with(down(State::Backoff, Want::Up), |_, record| {
                record.failed_starts = 2;
                record.start_retries = Some(5);
                record.last_end = Some(End::Exited(3));
                record.next_start = Some(Tai64n::from_unix(Tai64n::now().unix_seconds() + 3, 0));
            }),
            "foo: down N seconds, normally up, want up, exited 3, backoff 2 of 5, next start in N seconds",
        ),
        (
            with(down(State::Fatal, Want::Down), |_, record| {
                record.reason = "options/x: y".to_owned()
            }),
            "foo: down N seconds, normally up, fatal: options/x: y",
        ),
        (
            with(down(State::Exited, Want::Down), |_, record| {
                record.last_end = Some(End::NotStarted(2))
            }),
            "foo: down N seconds, normally up, not started: no such file or directory",
        ),
        (
            with(running(), |_, record| {
                record.tells_ready = true;
                record.message = "7 users\x1b[2J".to_owned();
            }),
            "foo: up (pid 42) N seconds, ready, status: 7 users\\x1b[2J",
        ),
    ];
    for (status, line) in cases {
        foo.announce(&status);
        assert_eq!(
            without_seconds(lines(scratch.path(), &["foo"]).trim_end()),
            line
        );
    }
}

#[test]
fn a_damaged_status_shows_what_is_sound_and_is_told() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.write_status(b"abc");
    let output = svstat(scratch.path(), &["foo"]);
    assert_eq!(
        stdout(&output),
        "foo: unable to read supervise/status: bad format\n"
    );
    assert_eq!(
        stderr(&output),
        "svstat: warning: foo: supervise/status: 3 bytes, expected at least 18\n"
    );
    assert_eq!(output.status.code(), Some(0));

    let mut bytes = running().pack();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    foo.write_status(&bytes);
    let output = svstat(scratch.path(), &["foo"]);
    assert_eq!(
        without_seconds(stdout(&output).trim_end()),
        "foo: up (pid 42) N seconds"
    );
    assert_eq!(
        stderr(&output),
        "svstat: warning: foo: status: wrong checksum: only its first 20 bytes are shown\n"
    );

    let mut newer = running().pack();
    newer[20] = 200;
    foo.write_status(&newer);
    assert_eq!(
        without_seconds(lines(scratch.path(), &["foo"]).trim_end()),
        "foo: up (pid 42) N seconds"
    );
}

#[test]
fn names_are_bytes_and_bare_ones_are_found_in_svdir() {
    let scratch = Scratch::new();
    let name = OsStr::from_bytes(b"caf\xe9");
    let foo = Forged::new(&scratch.path().join("scan").join(name));
    foo.announce(&running());
    let output = command(scratch.path(), &[])
        .arg(name)
        .env("SVDIR", "scan")
        .output()
        .unwrap();
    assert!(output.stdout.starts_with(b"caf\xe9: up (pid 42) "));
    let missing = command(scratch.path(), &["nosuch"])
        .env("SVDIR", "scan")
        .output()
        .unwrap();
    assert_eq!(
        stdout(&missing),
        "nosuch: unable to chdir: file does not exist\n"
    );
    assert_eq!(
        lines(scratch.path(), &[""]),
        ": unable to chdir: file does not exist\n"
    );
}

#[test]
fn without_a_directory_the_plain_view_prints_nothing_and_the_others_all_of_svdir() {
    let scratch = Scratch::new();
    let scan = scratch.path().join("scan");
    for name in ["b", "a", "a/log", ".hidden"] {
        let service = Forged::new(&scan.join(name));
        fs::write(service.dir.join("run"), "").unwrap();
    }
    fs::create_dir(scan.join("norun")).unwrap();
    symlink("nowhere", scan.join("dangling")).unwrap();
    let all = |args: &[&str]| {
        command(scratch.path(), args)
            .env("SVDIR", &scan)
            .output()
            .unwrap()
    };
    assert_eq!(stdout(&all(&[])), "");
    let table = stdout(&all(&["-l"]));
    let names: Vec<&str> = table
        .lines()
        .skip(1)
        .map(|line| line.split("  ").next().unwrap())
        .collect();
    let path = |name: &str| scan.join(name).to_str().unwrap().to_owned();
    assert_eq!(names, [path("a"), path("a/log"), path("b")]);
    let output = command(scratch.path(), &["-l"])
        .env("SVDIR", "missing")
        .output()
        .unwrap();
    assert_eq!(
        stderr(&output),
        "svstat: fatal: unable to read missing: no such file or directory\n"
    );
    assert_eq!(output.status.code(), Some(111));
}

#[test]
fn the_table_is_aligned_and_plain_where_it_is_no_terminal() {
    let scratch = Scratch::new();
    let long = Forged::new(&scratch.path().join("a-long-name"));
    long.announce(&with(running(), |status, record| {
        status.paused = true;
        record.total_starts = 12;
        record.last_end = Some(End::Exited(1));
    }));
    let other = Forged::new(&scratch.path().join("b"));
    let mut foreign = running();
    foreign.record = None;
    foreign.phase = Phase::Finish;
    other.announce(&foreign);
    let table = lines(scratch.path(), &["-l", "a-long-name", "b", "c\n"]);
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(!table.contains('\x1b'));
    let column = rows[0].find("STATE").unwrap();
    assert_eq!(rows[1].find("RUNNING"), Some(column));
    assert_eq!(rows[2].find("finish"), Some(column));
    assert!(
        rows[1].contains("  12  exited 1  paused, ") || rows[1].ends_with("  12  exited 1  paused"),
        "{table}"
    );
    assert!(rows[3].starts_with("c\\n "), "{table}");
    assert!(
        rows[3].ends_with("unable to chdir: file does not exist"),
        "{table}"
    );
}

/// Runs a shell command on a terminal of its own, and returns what it wrote there.
fn on_a_terminal(cwd: &Path, shell: &str) -> String {
    let output = Command::new(peer("script"))
        .args(["-q", "-e", "-c", shell, "/dev/null"])
        .current_dir(cwd)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                program("svstat").parent().unwrap().display()
            ),
        )
        .stdin(Stdio::null())
        .output()
        .unwrap();
    stdout(&output)
}

#[test]
fn the_table_is_coloured_on_a_terminal_unless_its_user_wants_none() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&running());
    assert!(on_a_terminal(scratch.path(), "svstat -l foo").contains("\x1b[32mRUNNING\x1b[m"));
    for shell in [
        "NO_COLOR=1 svstat -l foo",
        "TERM=dumb svstat -l foo",
        "svstat foo",
    ] {
        assert!(
            !on_a_terminal(scratch.path(), shell).contains('\x1b'),
            "{shell}"
        );
    }
}

#[test]
fn json_is_one_array_with_all_that_the_record_carries() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo\"\\\n"));
    foo.announce(&with(running(), |_, record| {
        record.last_end = Some(End::from_wait_status(11 | 0x80).unwrap());
        record.message = "é\t\"x\"".to_owned();
    }));
    let json = lines(scratch.path(), &["--json", "foo\"\\\n", "missing"]);
    let mut python = Command::new(peer("python3"))
        .args(["-c", CHECK_JSON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(json.as_bytes())
        .unwrap();
    let checked = python.wait_with_output().unwrap();
    assert_eq!(
        (stdout(&checked).trim_end(), stderr(&checked)),
        ("sound", String::new()),
        "{json}"
    );
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("servicedir/status.rs"))
            .unwrap();
    let record = source
        .split_once("pub struct Record {")
        .unwrap()
        .1
        .split_once("\n}")
        .unwrap()
        .0;
    for line in record
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub "))
    {
        let field = line.split(':').next().unwrap();
        let key = match field {
            "state_stamp" => "state_since",
            "ready_stamp" => "ready_since",
            "world" => "boot",
            "group" => "process_group",
            "supervise" => "supervise_pid",
            "watchdog" => "watchdog_usec",
            field => field,
        };
        assert!(
            json.contains(&format!("\"{key}\": ")),
            "no {key} for {field}"
        );
    }
}

const CHECK_JSON: &str = r#"
import json, sys
foo, missing = json.load(sys.stdin)
assert foo["service"] == 'foo"\\\n', foo
assert foo["supervised"] is True and foo["up"] is True and foo["pid"] == 42
assert foo["state"] == "RUNNING" and foo["state_number"] == 20 and foo["want"] == "up"
assert foo["last_end"]["signal"] == "SIGSEGV" and foo["last_end"]["core"] is True
assert foo["message"] == 'é\t"x"' and foo["start_retries"] is None
assert list(foo) == list(missing)
assert missing["supervised"] is False and missing["state"] is None
assert foo["normally"] == "up" and missing["normally"] is None
assert missing["problem"] == "unable to chdir: file does not exist"
print("sound")
"#;

#[test]
fn json_tells_the_last_status_where_no_supervise_is_there() {
    let scratch = Scratch::new();
    let mut foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&running());
    foo.vanish();
    let json = lines(scratch.path(), &["--json", "foo"]);
    for part in [
        "\"supervised\": false",
        "\"up\": false",
        "\"problem\": \"supervise not running\"",
        "\"pid\": 42",
    ] {
        assert!(json.contains(part), "no {part}: {json}");
    }
}

#[test]
fn quiet_answers_by_its_exit_code_and_the_worst_counts() {
    let scratch = Scratch::new();
    let forged = |name: &str, status: &Status| {
        let service = Forged::new(&scratch.path().join(name));
        service.announce(status);
        service
    };
    let starting = with(running(), |_, record| {
        record.state = State::Starting;
        record.ready = false;
    });
    let _services = [
        forged("up", &running()),
        forged("starting", &starting),
        forged("down", &status(State::Stopped, 0, Want::Down)),
    ];
    fs::create_dir(scratch.path().join("never")).unwrap();
    for (args, code) in [
        (&["-q", "up", "starting"][..], 0),
        (&["-q", "--ready", "up"], 0),
        (&["-q", "--ready", "up", "starting"], 102),
        (&["-q", "up", "down"], 102),
        (&["-q", "never", "up"], 100),
        (&["-q", "never", "down", "up"], 102),
        (&["-q", "missing", "never"], 111),
    ] {
        let output = svstat(scratch.path(), args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(
            (stdout(&output), stderr(&output)),
            (String::new(), String::new()),
            "{args:?}"
        );
    }
}

#[test]
fn watch_prints_a_line_whenever_a_service_changes() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let bar = Forged::new(&scratch.path().join("bar"));
    foo.announce(&running());
    bar.announce(&running());
    let mut watch = support::Running::start(
        command(scratch.path(), &["--watch", "foo", "bar"]).stdout(Stdio::piped()),
    );
    let mut shown = BufReader::new(watch.child().stdout.take().unwrap()).lines();
    let mut next = || without_seconds(&shown.next().unwrap().unwrap());
    assert_eq!(next(), "foo: up (pid 42) N seconds");
    assert_eq!(next(), "bar: up (pid 42) N seconds");
    bar.announce(&status(State::Stopped, 0, Want::Down));
    assert_eq!(next(), "bar: down N seconds, normally up");
    foo.announce(&status(State::Running, 43, Want::Up));
    assert_eq!(next(), "foo: up (pid 43) N seconds");
    drop(bar);
    assert_eq!(next(), "bar: supervise not running");
}

#[test]
fn watch_takes_up_a_service_that_gets_its_supervise_later() {
    let scratch = Scratch::new();
    let mut watch = support::Running::start(
        command(scratch.path(), &["--watch", "./foo"]).stdout(Stdio::piped()),
    );
    let mut shown = BufReader::new(watch.child().stdout.take().unwrap()).lines();
    let mut next = || without_seconds(&shown.next().unwrap().unwrap());
    assert_eq!(next(), "./foo: unable to chdir: file does not exist");
    fs::create_dir(scratch.path().join("foo")).unwrap();
    assert_eq!(
        next(),
        "./foo: unable to open supervise/ok: file does not exist"
    );
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&running());
    until("its line", || next() == "./foo: up (pid 42) N seconds");
    foo.announce(&status(State::Running, 43, Want::Up));
    assert_eq!(next(), "./foo: up (pid 43) N seconds");
}

#[test]
fn watch_on_a_terminal_draws_over_itself_and_ends_by_ctrl_c_with_the_terminal_as_it_was() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&running());
    let shell = "stty -a > before; svstat --watch foo & watch=$!; \
        while ! [ -e seen ]; do :; done; kill -INT $watch; wait $watch; stty -a > after";
    // The shell's background jobs ignore SIGINT, so it is a child of its own that gets it.
    let shell = shell.replace(
        "svstat --watch foo &",
        "perl -e '$SIG{INT}=\"DEFAULT\"; exec @ARGV' svstat --watch foo > /dev/tty &",
    );
    let path = scratch.path().to_path_buf();
    let mut script = support::Running::start(
        Command::new(peer("script"))
            .args(["-q", "-e", "-f", "-c", &shell, "typescript"])
            .current_dir(&path)
            .env("TERM", "xterm")
            .env(
                "PATH",
                format!(
                    "{}:/usr/bin:/bin",
                    program("svstat").parent().unwrap().display()
                ),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null()),
    );
    until("two pictures", || {
        scratch
            .read("typescript")
            .matches("\x1b[Hfoo: up (pid 42)")
            .count()
            > 1
    });
    scratch.file("seen", "");
    script.ended();
    let drawn = scratch.read("typescript");
    assert!(
        !drawn.contains("\x1b[?"),
        "no mode is set that would have to be set back"
    );
    assert!(!scratch.read("before").is_empty());
    assert_eq!(scratch.read("before"), scratch.read("after"));
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let scratch = Scratch::new();
    let names: Vec<String> = (0..5000)
        .map(|number| format!("missing-{number}"))
        .collect();
    let mut child = command(scratch.path(), &[])
        .args(&names)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}

#[test]
fn a_full_disk_under_stdout_is_a_failure() {
    let output = command(Path::new("/"), &["/nonexistent"])
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(111));
    assert_eq!(
        stderr(&output),
        "svstat: fatal: unable to write to stdout: no space left on device\n"
    );
}

#[test]
fn every_option_stands_in_the_help_and_the_manual() {
    let help = lines(Path::new("/"), &["--help"]);
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svstat.8")).unwrap();
    for option in [
        "-l",
        "-q",
        "--long",
        "--json",
        "--watch",
        "--quiet",
        "--ready",
        "--help",
        "--version",
    ] {
        assert!(help.contains(option), "--help has no {option}");
        assert!(
            page.contains(&format!("Fl {}", &option[1..])),
            "svstat.8 has no {option}"
        );
    }
    assert_eq!(svstat(Path::new("/"), &["-u"]).status.code(), Some(100));
}
