//! multilog beside that of daemontools, on random scripts and the same input; and none of its losses.

use crate::support;
use crate::support::logging;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logging::{LogDir, Logger, Numbers, numbered};
use support::{Scratch, peer, program, until};

/// A stamp and its blank, in bytes.
const STAMP: usize = 26;

/// Runs a multilog in a folder of its own until the end of the input.
#[track_caller]
fn run(multilog: &Path, folder: &Path, script: &[String], input: &[u8]) -> (i32, String) {
    fs::create_dir_all(folder).unwrap();
    let mut child = Command::new(multilog)
        .args(script)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    drop(stdin.write_all(input));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

fn ours() -> PathBuf {
    program("multilog").to_path_buf()
}

fn words(script: &str) -> Vec<String> {
    script.split('|').map(str::to_owned).collect()
}

/// All that a multilog left in its folder: each file's path, mode and bytes, without stamps.
fn left(folder: &Path, stamped: bool) -> Vec<(String, u32, String)> {
    let mut files = Vec::new();
    for name in ["a", "b"] {
        let dir = LogDir {
            path: folder.join(name),
        };
        for file in dir.files() {
            let text = String::from_utf8_lossy(&file.bytes).into_owned();
            let text = if stamped {
                text.split_inclusive('\n')
                    .map(|line| &line[STAMP..])
                    .collect()
            } else {
                text
            };
            files.push((format!("{name}/{}", file.kind), file.mode, text));
        }
    }
    if let Ok(status) = fs::read(folder.join("status")) {
        let status = String::from_utf8_lossy(&status).into_owned();
        let mode =
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.join("status")).unwrap());
        let skip = if stamped && !status.starts_with('\n') {
            STAMP
        } else {
            0
        };
        files.push((
            "status".into(),
            mode & 0o7777,
            status[skip.min(status.len())..].to_owned(),
        ));
    }
    files
}

/// A random script without the digits of labels, which a star would meet: patterns, alerts, a status file, one or two directories.
fn script(numbers: &mut Numbers, stamped: bool) -> Vec<String> {
    let mut script = Vec::new();
    if stamped {
        script.push("t".to_owned());
    }
    for _ in 0..numbers.below(6) {
        let sign = ["-", "+"][numbers.below(2)];
        let line = numbers.line(b"xxy*+ ", 4);
        let pattern = String::from_utf8(line).unwrap();
        let star = if stamped { "*" } else { "" };
        script.push(format!("{sign}{star}{}", pattern.trim_end_matches('\n')));
        // Alerts would show their stamps.
        match numbers.below(6) {
            0 if !stamped => script.push("e".to_owned()),
            1 if !script.contains(&"=status".to_owned()) => script.push("=status".to_owned()),
            _ => {}
        }
    }
    script.push("./a".to_owned());
    if numbers.below(2) == 0 {
        script.push("-*x".to_owned());
        script.push("./b".to_owned());
    }
    script
}

#[test]
fn random_scripts_leave_the_files_of_daemontools() {
    let mut numbers = Numbers(12);
    for round in 0..120 {
        let stamped = round % 3 == 0;
        let script = script(&mut numbers, stamped);
        let longest = [6, 40, 1300][numbers.below(3)];
        let mut input: Vec<u8> = (0..30)
            .flat_map(|_| numbers.line(b"xxyy+* z", longest))
            .collect();
        if numbers.below(3) == 0 {
            input.extend(b"xy without a newline");
        }
        let scratch = Scratch::new();
        let [theirs, mine] = ["theirs", "ours"].map(|name| scratch.path().join(name));
        let said = run(&peer("multilog"), &theirs, &script, &input);
        let we_said = run(&ours(), &mine, &script, &input);
        let what = format!("{script:?} {:?}", String::from_utf8_lossy(&input));
        assert_eq!(said, we_said, "{what}");
        assert_eq!(left(&theirs, stamped), left(&mine, stamped), "{what}");
    }
}

#[test]
fn rotated_files_hold_all_lines_and_are_as_many() {
    let mut numbers = Numbers(13);
    for (script, kept) in [
        ("s4096|n1000|./a", None),
        ("s4096|n3|./a", Some(2)),
        ("s|n|./a", Some(1)),
        ("s5000x|n4|-*aa|./a", Some(3)),
        ("s4096|n1000|!tr a-c x|./a", None),
        ("s4096|n3|!tr a-c x|./a", Some(2)),
    ] {
        let input: Vec<u8> = (0..1500).flat_map(|_| numbers.line(b"abc", 60)).collect();
        let scratch = Scratch::new();
        let mut texts = Vec::new();
        for multilog in [peer("multilog"), ours()] {
            let folder = scratch.path().join(texts.len().to_string());
            let (code, said) = run(&multilog, &folder, &words(script), &input);
            // daemontools waits for a processor without a message.
            let silent = said.is_empty() || said.contains("wait for the processor");
            assert!(code == 0 && silent, "{script}: {said}");
            let dir = LogDir {
                path: folder.join("a"),
            };
            for file in dir.files().iter().filter(|file| file.kind == ".s") {
                assert!(
                    file.bytes.len() <= 5000 && file.mode == 0o744,
                    "{script}: {file:?}"
                );
            }
            let old = dir.old_names();
            assert!(
                kept.is_none_or(|kept| old.len() == kept),
                "{script}: {old:?}"
            );
            texts.push(dir.text());
        }
        // Files end at different newlines: the current one and, where few are kept, the first differ.
        let length = if script.contains("tr") {
            0
        } else {
            texts[0].len().min(texts[1].len())
        };
        if kept.is_none() && length > 0 {
            assert_eq!(texts[0], texts[1], "{script}");
        }
        let tail = |text: &str| text[text.len() - length.min(2000)..].to_owned();
        assert_eq!(tail(&texts[0]), tail(&texts[1]), "{script}");
        if script == "s4096|n1000|!tr a-c x|./a" {
            assert_eq!(
                texts[0].replace(['a', 'b', 'c'], "x"),
                texts[1].replace(['a', 'b', 'c'], "x")
            );
        }
    }
}

#[test]
fn exit_codes_are_those_of_daemontools() {
    for script in [
        "",
        "e",
        "bogus|./a",
        "e|t|./a",
        "./no/such",
        "=no/such|./a",
        "./a|./a",
        "/dev/null",
        "!|./a",
        "tfoo|e|-*|./b",
    ] {
        let scratch = Scratch::new();
        let script: Vec<String> = if script.is_empty() {
            Vec::new()
        } else {
            words(script)
        };
        let codes = [peer("multilog"), ours()].map(|multilog| {
            let folder = scratch
                .path()
                .join(multilog.parent().unwrap().file_name().unwrap());
            run(&multilog, &folder, &script, b"one\n").0
        });
        assert_eq!(codes[0], codes[1], "{script:?}");
    }
}

#[test]
fn an_unknown_action_is_reported_and_a_bare_processor_empties_nothing() {
    let scratch = Scratch::new();
    let input = numbered(0..2000);
    let script = words("bogus|s4096|n100|!|./a");
    let (code, said) = run(&ours(), scratch.path(), &script, input.as_bytes());
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "multilog: warning: unknown action \"bogus\" is ignored\n"
        )
    );
    let dir = LogDir {
        path: scratch.path().join("a"),
    };
    assert_eq!(dir.text(), input);
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&dir.path).unwrap());
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn files_that_daemontools_left_at_a_crash_are_taken_over() {
    for (done, expected) in [(false, "A\nb\nc\n"), (true, "X\nb\nc\n")] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "a", "");
        fs::write(dir.path.join("previous"), "a\n").unwrap();
        fs::write(dir.path.join("processed"), "X\n").unwrap();
        fs::write(dir.path.join("newstate"), "").unwrap();
        fs::write(dir.path.join("current"), "b\n").unwrap();
        let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(dir.path.join("current"), mode(0o744)).unwrap();
        fs::set_permissions(
            dir.path.join("processed"),
            mode(if done { 0o744 } else { 0o644 }),
        )
        .unwrap();
        let script = words("!tr a-z A-Z|./a");
        assert_eq!(
            run(&ours(), scratch.path(), &script, b"c\n"),
            (0, String::new())
        );
        assert_eq!(dir.text(), expected);
        assert!(!dir.path.join("previous").exists() && !dir.path.join("processed").exists());
    }
}

#[test]
fn term_and_alrm_are_obeyed_while_a_processor_runs() {
    let scratch = Scratch::new();
    let dir = LogDir {
        path: scratch.path().join("a"),
    };
    let mut command = Command::new(ours());
    command.args(["s4096", "n100", "!exec sleep 1000", "./a"]);
    command.current_dir(scratch.path());
    let mut logger = Logger::start(&scratch, &mut command);
    let lines = numbered(0..2000);
    logger.write(&lines);
    dir.holds(&lines);
    logger.running.signal(libc::SIGALRM);
    until("the rotation", || {
        fs::metadata(dir.path.join("current")).is_ok_and(|current| current.len() == 0)
    });
    logger.write("part");
    dir.holds(&format!("{lines}part"));
    logger.running.signal(libc::SIGTERM);
    dir.holds(&format!("{lines}part\n"));
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
}

#[test]
fn a_status_file_that_is_a_link_of_another_user_is_not_written_through() {
    let scratch = Scratch::new();
    let victim = scratch.file("victim", "precious\n");
    let link = scratch.path().join("status");
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65_534), None).unwrap();
    let (code, said) = run(&ours(), scratch.path(), &words("=status"), b"one\n");
    assert!(
        code == 111 && said.contains("a symbolic link of user 65534"),
        "{said}"
    );
    assert_eq!(scratch.read("victim"), "precious\n");
}

#[test]
fn tai64n_puts_the_labels_of_daemontools() {
    let scratch = Scratch::new();
    for input in ["", "one\n\ntwo\n", "part", "a\nb"] {
        let texts = [peer("tai64n"), program("tai64n").to_path_buf()].map(|tai64n| {
            let input = fs::File::open(scratch.file("input", input)).unwrap();
            let output = Command::new(tai64n).stdin(input).output().unwrap();
            assert_eq!(output.status.code(), Some(0));
            String::from_utf8(output.stdout).unwrap()
        });
        let plain = texts.map(|text| {
            let lines = text.split_inclusive('\n').map(|line| {
                assert!(
                    line.starts_with("@400000006") && &line[25..26] == " ",
                    "{line}"
                );
                &line[26..]
            });
            lines.collect::<String>()
        });
        assert_eq!(plain, [input, input]);
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let input = fs::File::open(scratch.file("input", "x\n")).unwrap();
    let status = Command::new(program("tai64n"))
        .stdin(input)
        .stdout(full)
        .stderr(Stdio::null())
        .status();
    assert_eq!(status.unwrap().code(), Some(111));
}

#[test]
fn readproctitle_shows_the_end_of_its_input_as_daemontools_does() {
    let scratch = Scratch::new();
    let long = "0123456789".repeat(1000);
    for input in [
        "",
        "a",
        "fatal error xyz\nwarning abc\n",
        "a\0b\tc\x01",
        &long,
    ] {
        let shown = [
            peer("readproctitle"),
            program("readproctitle").to_path_buf(),
        ]
        .map(|program| {
            let mut command = Command::new(program);
            command.args(["io", "errors:", "..........................."]);
            let mut running = Logger::start(&scratch, &mut command);
            running.write(input);
            let path = format!("/proc/{}/cmdline", running.running.pid());
            let end = input
                .replace('\0', "")
                .chars()
                .rev()
                .take(5)
                .collect::<String>();
            let end: String = end.chars().rev().collect();
            until("the text", || {
                let text = fs::read_to_string(&path).unwrap_or_default();
                text.contains("errors:") && text.trim_end_matches('\0').ends_with(&end)
            });
            let shown = fs::read_to_string(&path).unwrap();
            assert_eq!(running.close(), 0);
            shown.split_once('\0').unwrap().1.to_owned()
        });
        assert_eq!(shown[0], shown[1]);
    }
    for args in [&[][..], &["a"], &["a", "...."], &["....."], &["a", "x...."]] {
        let codes = [
            peer("readproctitle"),
            program("readproctitle").to_path_buf(),
        ]
        .map(|program| {
            let mut command = Command::new(program);
            command
                .args(args)
                .stdin(Stdio::null())
                .stderr(Stdio::null());
            command.status().unwrap().code()
        });
        assert_eq!(codes[0], codes[1], "{args:?}");
    }
}
