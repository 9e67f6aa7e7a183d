//! svok: its three answers.

use crate::support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::supervised::Forged;
use support::{Scratch, program, stderr, stdout};

fn svok(cwd: &Path, args: &[&str]) -> Output {
    Command::new(program("svok"))
        .args(args)
        .current_dir(cwd)
        .env("SVDIR", cwd.join("scan"))
        .env_remove("SUPERVISEDIR")
        .output()
        .unwrap()
}

/// Its exit code and what it said.
fn answer(cwd: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = svok(cwd, args);
    assert_eq!(stdout(&output), "");
    (output.status.code(), stderr(&output))
}

fn silent(code: i32) -> (Option<i32>, String) {
    (Some(code), String::new())
}

#[test]
fn a_supervise_is_there_or_not() {
    let scratch = Scratch::new();
    let mut foo = Forged::new(&scratch.path().join("foo"));
    assert_eq!(answer(scratch.path(), &["foo"]), silent(0));
    foo.vanish();
    assert_eq!(answer(scratch.path(), &["foo"]), silent(100));
    fs::create_dir(scratch.path().join("never")).unwrap();
    assert_eq!(answer(scratch.path(), &["never"]), silent(100));
}

#[test]
fn a_plain_file_called_ok_is_held_by_no_supervise() {
    let scratch = Scratch::new();
    scratch.file("foo/supervise/ok", "");
    assert_eq!(answer(scratch.path(), &["foo"]), silent(100));
}

#[test]
fn what_is_no_service_directory_is_a_failure() {
    let scratch = Scratch::new();
    scratch.file("plain", "");
    scratch.file("odd/supervise/ok/file", "");
    for (name, line) in [
        (
            "missing",
            "svok: fatal: unable to chdir to missing: file does not exist\n",
        ),
        (
            "./plain",
            "svok: fatal: unable to chdir to ./plain: not a directory\n",
        ),
        (
            "",
            "svok: fatal: unable to chdir to : file does not exist\n",
        ),
        (
            "odd",
            "svok: fatal: unable to open odd/supervise/ok: is a directory\n",
        ),
    ] {
        assert_eq!(
            answer(scratch.path(), &[name]),
            (Some(111), line.to_owned())
        );
    }
}

#[test]
fn bare_names_are_found_in_svdir_and_supervisedir_is_honoured() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("scan/foo"));
    assert_eq!(answer(scratch.path(), &["foo"]), silent(0));
    fs::rename(foo.dir.join("supervise"), foo.dir.join("state")).unwrap();
    assert_eq!(answer(scratch.path(), &["foo"]), silent(100));
    let output = Command::new(program("svok"))
        .arg(&foo.dir)
        .env("SUPERVISEDIR", "state")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_command_line_is_one_directory() {
    let scratch = Scratch::new();
    for args in [&[][..], &["a", "b"], &["-u", "a"]] {
        let (code, said) = answer(scratch.path(), args);
        assert_eq!(code, Some(100), "{args:?}");
        assert!(said.starts_with("svok: fatal: "), "{said}");
    }
    let help = stdout(&svok(scratch.path(), &["--help"]));
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svok.8")).unwrap();
    for option in ["--help", "--version"] {
        assert!(help.contains(option));
        assert!(page.contains(&format!("Fl {}", &option[1..])));
    }
}
