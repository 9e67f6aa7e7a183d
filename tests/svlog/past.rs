//! What svlog prints of logs that are there.

use crate::support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use servicedir::tai64n::Tai64n;
use support::{Scratch, output, peer, program, stderr, stdout};

/// A service whose log directory has these files, as a logger leaves them.
fn service(scratch: &Scratch, name: &str, files: &[(&str, &str)]) {
    for (file, text) in files {
        scratch.file(&format!("{name}/log/main/{file}"), text);
    }
}

fn stamped(seconds: u64, text: &str) -> String {
    format!("{} {text}\n", Tai64n::from_unix(seconds, 0))
}

fn old(seconds: u64) -> String {
    format!("{}.s", Tai64n::from_unix(seconds, 0))
}

fn svlog(scratch: &Scratch, arguments: &[&str]) -> Output {
    Command::new(program("svlog"))
        .args(arguments)
        .env("SVDIR", scratch.path())
        .env("TZ", "UTC0")
        .output()
        .unwrap()
}

/// What it prints; it must have nothing to complain about.
#[track_caller]
fn printed(scratch: &Scratch, arguments: &[&str]) -> String {
    let output = svlog(scratch, arguments);
    assert_eq!((output.status.code(), &*stderr(&output)), (Some(0), ""));
    stdout(&output)
}

/// Lines 1 to 6, one a second, in two old files and `current`.
fn three_files(scratch: &Scratch) {
    let lines = |from: u64, to: u64| -> String {
        (from..=to)
            .map(|n| stamped(n, &format!("line {n}")))
            .collect()
    };
    service(
        scratch,
        "web",
        &[
            (&old(2), &lines(1, 2)),
            (&old(4), &lines(3, 4)),
            ("current", &lines(5, 6)),
        ],
    );
}

#[test]
fn old_files_and_current_are_one_log_in_local_time() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let seen = printed(&scratch, &["web"]);
    let expected: String = (1..=6)
        .map(|n| format!("1970-01-01 00:00:0{n}.000 line {n}\n"))
        .collect();
    assert_eq!(seen, expected);
    let east = Command::new(program("svlog"))
        .arg("web")
        .env("SVDIR", scratch.path())
        .env("TZ", "XXX-2")
        .output()
        .unwrap();
    assert!(stdout(&east).starts_with("1970-01-01 02:00:01.000 line 1\n"));
    let utc = Command::new(program("svlog"))
        .args(["--utc", "web"])
        .env("SVDIR", scratch.path())
        .env("TZ", "XXX-2")
        .output()
        .unwrap();
    assert_eq!(stdout(&utc), expected);
}

#[test]
fn the_last_lines_are_found_over_files() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let seen = printed(&scratch, &["-n", "3", "web"]);
    let lines: Vec<&str> = seen.lines().map(|line| &line[24..]).collect();
    assert_eq!(lines, ["line 4", "line 5", "line 6"]);
    assert_eq!(printed(&scratch, &["-n", "0", "web"]), "");
    assert_eq!(printed(&scratch, &["-n", "100", "web"]).lines().count(), 6);
}

#[test]
fn since_and_until_are_bounds_that_belong_to_it() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let seen = printed(
        &scratch,
        &["--since", "@2", "--until", "1970-01-01 00:00:05", "web"],
    );
    let lines: Vec<&str> = seen.lines().map(|line| &line[24..]).collect();
    assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5"]);
    let last = printed(&scratch, &["--until", "@4", "-n1", "web"]);
    assert_eq!(&last[24..], "line 4\n");
    assert_eq!(printed(&scratch, &["--since", "today", "web"]), "");
}

#[test]
fn grep_looks_at_the_text_and_counts_before_n() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let seen = printed(&scratch, &["--grep", "LINE [135]", "-i", "-n2", "web"]);
    let lines: Vec<&str> = seen.lines().map(|line| &line[24..]).collect();
    assert_eq!(lines, ["line 3", "line 5"]);
    assert_eq!(printed(&scratch, &["-g", "1970", "web"]), "");
}

#[test]
fn several_services_are_merged_by_time_each_line_after_its_name() {
    let scratch = Scratch::new();
    service(
        &scratch,
        "web",
        &[(
            "current",
            &(stamped(1, "a") + "  continued\n" + &stamped(4, "d")),
        )],
    );
    service(
        &scratch,
        "db",
        &[(&old(3), &stamped(2, "b")), ("current", &stamped(3, "c"))],
    );
    let seen = printed(&scratch, &["web", "db"]);
    assert_eq!(
        seen,
        "web: 1970-01-01 00:00:01.000 a\nweb:   continued\ndb: 1970-01-01 00:00:02.000 b\n\
         db: 1970-01-01 00:00:03.000 c\nweb: 1970-01-01 00:00:04.000 d\n"
    );
    let last = printed(&scratch, &["-n1", "--no-names", "web", "db"]);
    assert_eq!(last, "1970-01-01 00:00:04.000 d\n");
}

#[test]
fn a_line_in_two_log_directories_of_a_service_is_printed_once() {
    let scratch = Scratch::new();
    let error = stamped(2, "error");
    service(
        &scratch,
        "web",
        &[("current", &(stamped(1, "info") + &error))],
    );
    scratch.file("web/log/errors/current", &error);
    for arguments in [&["web"][..], &["-n5", "web"]] {
        let seen = printed(&scratch, arguments);
        assert_eq!(seen.matches("error").count(), 1, "{seen}");
    }
}

#[test]
fn a_compressed_old_file_is_read_through() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let path = scratch.path().join("web/log/main").join(old(4));
    let mut gzip = Command::new(peer("gzip"))
        .stdin(fs::File::open(&path).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut packed = Vec::new();
    std::io::Read::read_to_end(&mut gzip.stdout.take().unwrap(), &mut packed).unwrap();
    gzip.wait().unwrap();
    fs::write(&path, packed).unwrap();
    assert_eq!(printed(&scratch, &["web"]).lines().count(), 6);
    assert_eq!(printed(&scratch, &["-n", "4", "web"]).lines().count(), 4);
    assert_eq!(
        printed(&scratch, &["--since", "@4", "web"]).lines().count(),
        3
    );
}

/// What svlogd itself writes, in each of its forms, over rotations.
#[test]
fn the_logs_of_svlogd_are_read_whole() {
    for form in ["-t", "-tt", "-ttt"] {
        let scratch = Scratch::new();
        scratch.file("web/log/main/config", "s2000\nn0\n");
        let mut logger = Command::new(program("svlogd"))
            .args([form, "main"])
            .current_dir(scratch.path().join("web/log"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = logger.stdin.take().unwrap();
        for number in 0..500 {
            writeln!(stdin, "line {number}").unwrap();
        }
        drop(stdin);
        assert!(logger.wait().unwrap().success());
        let seen = printed(&scratch, &["web"]);
        let lines: Vec<&str> = seen.lines().map(|line| &line[24..]).collect();
        let expected: Vec<String> = (0..500).map(|number| format!("line {number}")).collect();
        assert_eq!(lines, expected, "{form}");
    }
}

#[test]
fn a_link_in_a_log_directory_is_not_followed() {
    let scratch = Scratch::new();
    service(&scratch, "web", &[("current", "x\n")]);
    let current = scratch.path().join("web/log/main/current");
    fs::remove_file(&current).unwrap();
    scratch.file("secret", "root's own\n");
    symlink(scratch.path().join("secret"), &current).unwrap();
    let output = svlog(&scratch, &["web"]);
    assert_eq!(output.status.code(), Some(111));
    assert!(!stdout(&output).contains("root's own"));
    assert!(
        stderr(&output).contains("web/log/main"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_service_without_a_log_and_a_name_without_a_service_are_reported() {
    let scratch = Scratch::new();
    three_files(&scratch);
    fs::create_dir_all(scratch.path().join("mute")).unwrap();
    let output = svlog(&scratch, &["web", "mute"]);
    assert_eq!(output.status.code(), Some(111));
    assert!(stderr(&output).contains("mute: it has no log directory"));
    assert_eq!(stdout(&output).lines().count(), 6);
    let output = svlog(&scratch, &["nowhere"]);
    assert_eq!(output.status.code(), Some(111));
    assert!(stderr(&output).contains("nowhere: no such file or directory"));
}

#[test]
fn a_wrong_command_line_is_100_and_says_what_was_expected() {
    let scratch = Scratch::new();
    three_files(&scratch);
    for (arguments, message) in [
        (&[][..], "no service named"),
        (
            &["--since", "soon", "web"],
            "--since \"soon\": expected 2026-11-25",
        ),
        (&["-g", "(", "web"], "--grep ("),
        (&["-f", "--until", "now", "web"], "cannot be combined"),
        (&["-n", "x", "web"], "\"x\""),
    ] {
        let output = svlog(&scratch, arguments);
        assert_eq!(output.status.code(), Some(100), "{arguments:?}");
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
}

#[test]
fn a_terminal_gets_no_control_characters_unless_asked_for() {
    let scratch = Scratch::new();
    service(&scratch, "web", &[("current", "red \x1b[31m\n")]);
    let command = |more: &str| {
        let line = format!(
            "{} {more} {}/web",
            program("svlog").display(),
            scratch.path().display()
        );
        output(&peer("script"), ["-qec", &line, "/dev/null"])
    };
    assert!(stdout(&command("")).contains("red \\x1b[31m"));
    assert!(stdout(&command("--raw")).contains("red \x1b[31m"));
    let piped = printed(&scratch, &["web"]);
    assert_eq!(piped, "red \x1b[31m\n");
}

#[test]
fn a_log_directory_can_be_named_itself() {
    let scratch = Scratch::new();
    three_files(&scratch);
    let path = scratch.path().join("web/log/main");
    let output = output(Path::new(program("svlog")), [path]);
    assert_eq!(stdout(&output).lines().count(), 6);
}
