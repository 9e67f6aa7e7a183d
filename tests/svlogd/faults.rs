//! svlogd on bad days: killed at each step, system calls that fail, a full disk, directories that go
//! and come, processors that do not do their work.

use crate::support;
use crate::support::logging;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logging::{LogDir, Logger, log, numbered, svlogd};
use support::{Scratch, eventually, peer, until};

/// A svlogd under strace, which does `injection` to it.
fn under_strace(scratch: &Scratch, injection: &str, dir: &LogDir) -> Logger {
    let mut command = Command::new(peer("strace"));
    command
        .args(["-o", "/dev/null", "-e"])
        .arg(format!("inject={injection}"));
    command.arg(svlogd()).args(["-l", "10"]).arg(&dir.path);
    Logger::start(scratch, &mut command)
}

#[test]
fn killed_at_any_step_of_a_rotation_it_loses_and_doubles_nothing() {
    let steps = [
        ("renameat2", 1..6),
        ("openat", 1..12),
        ("fchmod", 1..6),
        ("fstat", 1..6),
        ("unlinkat", 1..3),
        ("getdents64", 1..6),
        ("clone", 1..2),
        ("wait4", 1..2),
        ("fsync", 1..2),
        ("close", 1..20),
        ("timer_settime", 1..3),
        ("dup3", 1..3),
    ];
    let mut killed = 0;
    for (call, times) in steps {
        for time in times {
            let scratch = Scratch::new();
            let dir = LogDir::new(&scratch, "log", "s40\nn3\n");
            let mut logger =
                under_strace(&scratch, &format!("{call}:signal=KILL:when={time}"), &dir);
            let written = feed(&mut logger, &dir, 60);
            drop(logger.stdin.take());
            let status = logger.running.ended();
            killed += usize::from(!status.success());
            let before = dir.text();
            let next = numbered(1000..1003);
            let (code, said) = log(svlogd(), &["-l", "10"], &[&dir], next.as_bytes());
            assert_eq!(code, 0, "{call} {time}: {said}");
            check(
                &dir,
                &format!("{before}{next}"),
                written,
                &format!("{call} {time}"),
            );
        }
    }
    assert!(killed > 20, "the injections met only {killed} loggers");
}

/// Feeds numbered lines one by one, each when the one before is on disk, until the logger is gone;
/// returns how many are on disk.
fn feed(logger: &mut Logger, dir: &LogDir, most: usize) -> usize {
    use std::io::Write;
    let mut last = 0;
    for number in 0..most {
        let line = format!("line {number}\n");
        if logger
            .stdin
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .is_err()
        {
            return last;
        }
        let mut gone = false;
        until("the line, or the logger's end", || {
            gone = logger.running.child().try_wait().unwrap().is_some();
            gone || dir.text().ends_with(&line)
        });
        if dir.text().ends_with(&line) {
            last = number + 1;
        }
        if gone {
            return last;
        }
    }
    last
}

/// The lines on disk are a piece of the input without a gap, up to the last one; the modes are right.
#[track_caller]
fn check(dir: &LogDir, wanted: &str, written: usize, what: &str) {
    let text = dir.text();
    assert!(wanted.ends_with(&text), "{what}: {text:?} of {wanted:?}");
    if written > 0 {
        let first = numbered(0..written);
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| line.len() < 9 && !line.starts_with("line 100"))
            .collect();
        let tail: Vec<&str> = first.lines().rev().take(kept.len()).collect();
        assert!(kept.iter().rev().eq(tail.iter()), "{what}: {kept:?}");
        assert!(
            !kept.is_empty(),
            "{what}: nothing of {written} lines is left"
        );
    }
    let files = dir.files();
    assert!(
        files
            .iter()
            .filter(|file| file.kind.starts_with('.'))
            .count()
            <= 4,
        "{what}: {files:?}"
    );
    for file in files {
        match file.kind.as_str() {
            ".s" | "current" => assert_eq!(file.mode, 0o744, "{what}: {file:?}"),
            // Marked by a child that outlived its parent: the start after this one makes it `.s`.
            ".u" => assert!([0o644, 0o744].contains(&file.mode), "{what}: {file:?}"),
            "lock" => assert_eq!(file.mode, 0o600, "{what}"),
            other => panic!("{what}: {other}"),
        }
    }
}

#[test]
fn a_system_call_that_fails_costs_no_line() {
    for (call, error) in [
        ("renameat2", "ENOSPC"),
        ("renameat2", "EIO"),
        ("renameat2", "EINVAL"),
        ("openat", "EMFILE"),
        ("openat", "ENOSPC"),
        ("fchmod", "EIO"),
        ("fstat", "EIO"),
        ("fsync", "EIO"),
        ("unlinkat", "EPERM"),
        ("getdents64", "EIO"),
        ("clone", "EAGAIN"),
        ("clone", "ENOMEM"),
        ("write", "ENOSPC"),
        ("write", "EINTR"),
        ("write", "EIO"),
        ("read", "EINTR"),
        ("read", "EAGAIN"),
        ("timer_settime", "EINVAL"),
        ("ppoll", "EINTR"),
        ("flock", "EINTR"),
    ] {
        // The first calls open the directory: what fails there is said, and there is no other one.
        for time in ["3+5", "4", "5..7", "9+1"] {
            if matches!(
                (call, time),
                ("openat", "9+1") | ("write" | "read" | "renameat2" | "fstat", "9+1")
            ) {
                continue;
            }
            let scratch = Scratch::new();
            let dir = LogDir::new(&scratch, "log", "s40\nn0\n");
            let mut logger =
                under_strace(&scratch, &format!("{call}:error={error}:when={time}"), &dir);
            let mut started = false;
            until("the start, or its failure", || {
                let gone = logger.running.child().try_wait().unwrap().is_some();
                started = dir.path.join("current").exists();
                started || gone
            });
            if !started {
                continue;
            }
            let written = feed(&mut logger, &dir, 40);
            let said = logger.said();
            let code = logger.close();
            let what = format!("{call} {error} {time}: {said}");
            if code == 0 {
                assert_eq!((written, dir.text()), (40, numbered(0..40)), "{what}");
            } else {
                assert_eq!((code, written), (111, 0), "{what}");
            }
        }
    }
}

/// A svlogd on a file system of so many KiB of its own; the directory as it is seen from outside.
fn on_small_disk(scratch: &Scratch, size: usize, config: &str) -> (Logger, LogDir) {
    let mount = scratch.path().join("disk");
    fs::create_dir(&mount).unwrap();
    fs::write(scratch.path().join("config"), config).unwrap();
    let script = format!(
        "mount -t tmpfs -o size={size}k none {disk} && mkdir {disk}/log && cp {config} {disk}/log/ && exec {svlogd} -l 100 {disk}/log",
        disk = mount.display(),
        config = scratch.path().join("config").display(),
        svlogd = svlogd().display(),
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    let logger = Logger::start(scratch, &mut command);
    let inside = PathBuf::from(format!("/proc/{}/root", logger.running.pid()));
    let path = inside.join(mount.strip_prefix("/").unwrap()).join("log");
    until("the logger on its disk", || path.join("current").exists());
    (logger, LogDir { path })
}

/// Fills the disk that `dir` is on.
fn fill(dir: &LogDir) -> PathBuf {
    use std::io::Write;
    let path = dir.path.join("ballast");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    path
}

#[test]
fn a_full_disk_stops_reading_and_nothing_is_lost() {
    let scratch = Scratch::new();
    let (mut logger, dir) = on_small_disk(&scratch, 64, "s0\n");
    logger.write("begin\n");
    dir.holds("begin\n");
    let ballast = fill(&dir);
    let lines = numbered(0..2000);
    logger.write(&lines);
    logger.says("reading stops until it takes them");
    let ticks = cpu_ticks(logger.running.pid());
    fs::remove_file(ballast).unwrap();
    dir.holds(&format!("begin\n{lines}"));
    logger.says("writing again");
    assert_eq!(
        logger.said().matches("reading stops").count(),
        1,
        "{}",
        logger.said()
    );
    assert!(cpu_ticks(logger.running.pid()) - ticks < 50);
    assert_eq!(logger.close(), 0);
}

/// The processor time of a process, in hundredths of a second.
fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn term_is_obeyed_while_the_disk_is_full() {
    let scratch = Scratch::new();
    let (mut logger, dir) = on_small_disk(&scratch, 64, "s0\n");
    fill(&dir);
    logger.write(numbered(0..1000));
    logger.says("reading stops");
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(111));
    assert!(
        logger.said().contains("bytes are not written"),
        "{}",
        logger.said()
    );
}

#[test]
fn on_a_full_disk_old_files_go_down_to_their_minimum() {
    let scratch = Scratch::new();
    let (mut logger, dir) = on_small_disk(&scratch, 64, "s8000\nn100\nN2\n");
    let lines = numbered(0..20000);
    logger.write(&lines);
    until("the last line", || dir.text().ends_with("line 19999\n"));
    assert!(
        logger.said().contains("disk full, deleted: "),
        "{}",
        logger.said()
    );
    assert!(lines.ends_with(&dir.text()));
    assert!(dir.old_names().len() >= 2);
    assert_eq!(logger.close(), 0);
}

#[test]
fn lines_are_dropped_and_counted_where_the_config_asks_for_it() {
    let scratch = Scratch::new();
    let (mut logger, dir) = on_small_disk(&scratch, 64, "s0\nfull drop\n");
    logger.write("begin\n");
    dir.holds("begin\n");
    let ballast = fill(&dir);
    // More than pipe, buffer and disk hold: it can only go on by dropping.
    logger.write(numbered(0..50000));
    logger.says("lines are dropped and counted");
    fs::remove_file(ballast).unwrap();
    logger.says("writing again");
    logger.write("end\n");
    until("the last line", || dir.text().ends_with("end\n"));
    let text = dir.text();
    let counted: usize = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("svlogd: warning: ")?
                .split(' ')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    let whole = text
        .lines()
        .filter(|line| line.starts_with("line ") && numbered_line(line))
        .count();
    assert!(counted > 0, "{text}");
    // A line that was cut on the full disk is counted, and its piece may look whole.
    assert!(
        (49_999..=50_001).contains(&(whole + counted)),
        "{whole} and {counted}"
    );
    assert_eq!(logger.close(), 0);
}

fn numbered_line(line: &str) -> bool {
    line.strip_prefix("line ")
        .is_some_and(|number| number.parse::<usize>().is_ok())
}

#[test]
fn a_directory_that_is_replaced_is_followed_with_what_it_had_lost() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let other = LogDir::new(&scratch, "other", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir, &other]);
    logger.write("one\n");
    dir.holds("one\n");
    fs::remove_dir_all(&dir.path).unwrap();
    logger.write("two\n");
    other.holds("one\ntwo\n");
    logger.says("unable to open ");
    logger.write("three\n");
    other.holds("one\ntwo\nthree\n");
    fs::create_dir(&dir.path).unwrap();
    logger.says("log directory is usable");
    logger.write("four\n");
    eventually("the lines in the new directory", || {
        let text = dir.text();
        if text.ends_with("two\nthree\nfour\n") {
            Ok(())
        } else {
            Err(text)
        }
    });
    assert_eq!(
        logger.said().matches("unable to open").count(),
        1,
        "{}",
        logger.said()
    );
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_directory_that_is_moved_away_keeps_its_lines_and_the_new_one_goes_on() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    let moved = LogDir {
        path: scratch.path().join("moved"),
    };
    fs::rename(&dir.path, &moved.path).unwrap();
    fs::create_dir(&dir.path).unwrap();
    until("the new directory in use", || {
        dir.path.join("current").exists()
    });
    logger.write("two\n");
    dir.holds("two\n");
    assert_eq!(moved.text(), "one\n");
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_current_that_is_removed_is_made_again() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    fs::remove_file(dir.path.join("current")).unwrap();
    logger.write("two\n");
    eventually("the line", || {
        if dir.text().ends_with("two\n") {
            Ok(())
        } else {
            Err(dir.text())
        }
    });
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_hup_after_current_was_moved_away_reads_the_config() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &["-v"], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    fs::write(dir.path.join("config"), "pX: \n").unwrap();
    fs::rename(dir.path.join("current"), scratch.path().join("moved")).unwrap();
    logger.running.signal(libc::SIGHUP);
    // A line that is written before that may be read before the signal is seen.
    logger.says("HUP received");
    logger.write("two\n");
    until("the line", || dir.text().ends_with("two\n"));
    assert_eq!(dir.text(), "X: two\n");
    assert_eq!(scratch.read("moved"), "one\n");
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_directory_missing_at_the_start_is_used_when_it_is_there() {
    let scratch = Scratch::new();
    let here = LogDir::new(&scratch, "here", "");
    let late = LogDir {
        path: scratch.path().join("parent/late"),
    };
    let mut logger = Logger::svlogd(&scratch, &[], &[&late, &here]);
    logger.write("one\n");
    here.holds("one\n");
    let parent = scratch.path().join("parent");
    logger.says(&format!("{} does not exist", parent.display()));
    fs::create_dir(&parent).unwrap();
    logger.says("log directory is usable");
    logger.write("two\n");
    late.holds("two\n");
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_stderr_that_is_closed_or_full_stops_nothing() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "e*\n");
    let full = fs::File::options()
        .write(true)
        .open(Path::new("/dev/full"))
        .unwrap();
    let input = fs::File::open(scratch.file("input", numbered(0..100))).unwrap();
    let status = Command::new(svlogd())
        .arg(&dir.path)
        .stdin(input)
        .stderr(Stdio::from(full))
        .status()
        .unwrap();
    assert_eq!((status.code(), dir.text()), (Some(0), numbered(0..100)));
}

#[test]
fn a_logger_that_starts_right_after_a_kill_gets_the_lock() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "n0\ns100\n");
    let mut text = String::new();
    let mut killed = None;
    for round in 0..40 {
        let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
        drop(killed.take());
        let line = format!("line {round}\n");
        logger.write(&line);
        text += &line;
        until("the line", || dir.text().ends_with(&line));
        logger.running.signal(libc::SIGKILL);
        assert_eq!(logger.said(), "", "round {round}");
        // Not waited for before the next one starts.
        killed = Some(logger);
    }
    drop(killed);
    assert_eq!(dir.text(), text);
}

#[test]
fn a_lock_that_is_held_for_a_moment_is_waited_for() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let lock = fs::File::create(dir.path.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    let opened = format!("/proc/{}/fd", logger.running.pid());
    // Its signal pipes are open: the next step is the lock.
    until("the start", || {
        fs::read_dir(&opened).is_ok_and(|fds| fds.count() > 8)
    });
    drop(lock);
    logger.write("one\n");
    dir.holds("one\n");
    assert_eq!((logger.said().as_str(), logger.close()), ("", 0));
}

#[test]
fn a_lock_that_stays_held_is_named() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let lock = fs::File::create(dir.path.join("lock")).unwrap();
    lock.lock().unwrap();
    let (code, said) = log(svlogd(), &[], &[&dir], b"");
    assert_eq!(code, 111);
    assert!(said.contains("another logger writes there"), "{said}");
}

#[test]
fn term_waits_for_a_disk_that_has_room_a_moment_later() {
    let scratch = Scratch::new();
    let (mut logger, dir) = on_small_disk(&scratch, 64, "s0\n");
    let ballast = dir.path.join("ballast");
    until("the start", || dir.path.join("current").exists());
    drop(fs::write(&ballast, vec![0; 1 << 20]));
    logger.write(numbered(0..1000));
    logger.says("unable to write");
    logger.running.signal(libc::SIGTERM);
    fs::remove_file(&ballast).unwrap();
    // The disk is gone with the process that sees it: what it holds is read before.
    logger.says("writing again");
    assert_eq!(logger.running.ended().code(), Some(0), "{}", logger.said());
}

#[test]
fn a_start_without_memory_for_a_second_stack_is_a_start() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = under_strace(&scratch, "sigaltstack:error=ENOMEM", &dir);
    logger.write("one\n");
    dir.holds("one\n");
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_processor_that_cannot_be_started_for_want_of_memory_is_tried_again() {
    for injection in [
        "clone:error=ENOMEM:when=1",
        "pipe2:error=ENOMEM:when=3+",
        "execve:error=ENOMEM:when=2",
    ] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", "s20\nn3\n!tr a-z A-Z\n");
        let mut command = Command::new(peer("strace"));
        command.args(["-f", "-o", "/dev/null", "-e"]);
        command.arg(format!("inject={injection}"));
        command.arg(svlogd()).args(["-l", "10"]).arg(&dir.path);
        let mut logger = Logger::start(&scratch, &mut command);
        logger.write("line 1\nline 2\nline 3\n");
        until("the output", || dir.text().starts_with("LINE 1\nLINE 2\n"));
        assert_eq!(logger.close(), 0, "{injection}");
    }
}
