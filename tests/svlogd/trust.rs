//! svlogd in a directory that other users may write in.

use crate::support;
use crate::support::logging;

use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::Path;

use logging::{LogDir, Logger, log, numbered, svlogd};
use support::{Scratch, output, until};

/// A user who may write in the directory and is not svlogd's.
const OTHER: u32 = 65_534;

/// Puts a link of the other user there.
fn foreign_link(target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    lchown(link, Some(OTHER), Some(OTHER)).unwrap();
}

fn mkfifo(path: &Path) {
    let made = output(Path::new("mkfifo"), [path.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
}

/// Logs some lines, and rotates; returns the logger's exit code and messages.
#[track_caller]
fn rotate_in(dir: &LogDir) -> (i32, String) {
    log(svlogd(), &["-l", "10"], &[dir], numbered(0..9).as_bytes())
}

#[test]
fn links_for_a_processors_files_lead_to_no_other_file() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn9\n!cat; echo new >&5\n");
    let victim = scratch.file("victim", "precious\n");
    foreign_link(&victim, &dir.path.join("newstate"));
    assert_eq!(rotate_in(&dir), (0, String::new()));
    assert_eq!(scratch.read("victim"), "precious\n");
    assert_eq!(fs::read_to_string(dir.path.join("state")).unwrap(), "new\n");
}

#[test]
fn a_state_that_is_a_link_of_another_user_is_neither_made_nor_read() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn9\n!cat <&4\n");
    let victim = scratch.path().join("victim");
    foreign_link(&victim, &dir.path.join("state"));
    let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
    logger.write(numbered(0..9));
    logger.says("state: a symbolic link of user 65534, which is not followed");
    assert!(!victim.exists());
    dir.holds(&numbered(0..9));
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
}

#[test]
fn a_fifo_under_an_old_files_name_blocks_nothing() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn9\n!tr a-z A-Z\n");
    for kind in ["u", "s", "t"] {
        mkfifo(&dir.path.join(format!("@400000000000000b00000000.{kind}")));
    }
    assert_eq!(rotate_in(&dir), (0, String::new()));
}

#[test]
fn a_fifo_or_a_link_without_end_is_not_read_as_config() {
    for target in [None, Some("/dev/zero")] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", "");
        let config = dir.path.join("config");
        match target {
            None => mkfifo(&config),
            Some(target) => symlink(target, &config).unwrap(),
        }
        let (code, said) = rotate_in(&dir);
        assert!(
            code == 0 && said.contains("config: not a regular file"),
            "{said}"
        );
    }
}

#[test]
fn a_directory_under_an_outputs_name_stops_nothing() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn1\n");
    fs::create_dir(dir.path.join("@400000006b00000000000000.t")).unwrap();
    fs::create_dir(dir.path.join("@400000006b00000000000000.s")).unwrap();
    assert_eq!(rotate_in(&dir), (0, String::new()));
}

#[test]
fn a_stray_label_of_the_far_future_changes_no_order() {
    for label in [
        "ffffffffffffffffffffffff",
        "7fffffffffffffff3b9ac9ff",
        "40000003ffffffff3b9ac9ff",
    ] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", "s40\nn3\n");
        fs::write(dir.path.join(format!("@{label}.s")), "").unwrap();
        assert_eq!(rotate_in(&dir), (0, String::new()));
        assert_eq!(rotate_in(&dir), (0, String::new()));
        let ours: Vec<String> = dir
            .old_names()
            .into_iter()
            .filter(|name| !name.contains(label))
            .collect();
        assert!(ours.len() >= 2, "{ours:?}");
        for name in &ours {
            assert!(name.starts_with("@400000006"), "{label}: {ours:?}");
        }
    }
}

#[test]
fn a_current_that_is_a_link_is_followed_only_for_its_owner() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let victim = scratch.file("victim", "precious\n");
    foreign_link(&victim, &dir.path.join("current"));
    let (code, said) = log(svlogd(), &[], &[&dir], b"one\n");
    assert_eq!((code, scratch.read("victim").as_str()), (111, "precious\n"));
    assert!(said.contains("a symbolic link of user 65534"), "{said}");
    fs::remove_file(dir.path.join("current")).unwrap();
    let elsewhere = scratch.path().join("elsewhere");
    symlink(&elsewhere, dir.path.join("current")).unwrap();
    assert_eq!(log(svlogd(), &[], &[&dir], b"one\n"), (0, String::new()));
    assert_eq!(log(svlogd(), &[], &[&dir], b"two\n"), (0, String::new()));
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "one\ntwo\n");
}

#[test]
fn what_is_not_a_regular_file_is_not_written_to() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    mkfifo(&dir.path.join("current"));
    let (code, said) = log(svlogd(), &[], &[&dir], b"one\n");
    assert!(
        code == 111 && said.contains("current: not a regular file"),
        "{said}"
    );
}

#[test]
fn a_processor_of_another_users_config_is_not_run() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn3\n!touch ../ran; cat\n");
    lchown(dir.path.join("config"), Some(OTHER), None).unwrap();
    let (code, said) = rotate_in(&dir);
    assert!(
        code == 0 && said.contains("owned by user 65534: its processor is not run"),
        "{said}"
    );
    assert!(!scratch.path().join("ran").exists());
    assert!(dir.old_names().iter().all(|name| name.ends_with(".s")));
}

#[test]
fn a_current_that_becomes_a_foreign_link_is_left_alone() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let victim = scratch.file("victim", "precious\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    let current = dir.path.join("current");
    fs::rename(&current, dir.path.join("moved")).unwrap();
    foreign_link(&victim, &current);
    logger.running.signal(libc::SIGHUP);
    logger.says("current: a symbolic link of user 65534");
    logger.write("two\n");
    fs::remove_file(&current).unwrap();
    until("the new file", || current.exists());
    logger.write("three\n");
    until("the line", || {
        fs::read_to_string(&current).is_ok_and(|text| text.ends_with("three\n"))
    });
    assert_eq!(scratch.read("victim"), "precious\n");
    assert_eq!(logger.close(), 0);
}
