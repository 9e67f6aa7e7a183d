//! The processor of a log directory: what it reads and leaves, and one that does not do its work.

use crate::support;
use crate::support::logging;

use std::fs;
use std::time::{Duration, Instant};

use logging::{LogDir, Logger, log, numbered, svlogd};
use support::{Scratch, alive, eventually, until};

fn processed(dir: &LogDir) -> Vec<String> {
    let files = dir.files();
    files
        .iter()
        .filter(|file| file.kind == ".s")
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .collect()
}

/// Writes `one`, rotates, and waits until the processor has been started.
fn rotate_one(logger: &mut Logger, dir: &LogDir) {
    logger.write("one\n");
    dir.holds("one\n");
    logger.running.signal(libc::SIGALRM);
    until("the rotation", || !dir.old_names().is_empty());
}

#[test]
fn a_processor_reads_state_and_writes_newstate() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "!tr a-z A-Z; cat <&4; echo seen >&5\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    rotate_one(&mut logger, &dir);
    until("the output", || processed(&dir) == ["ONE\n"]);
    logger.write("two\n");
    until("the line", || dir.text().ends_with("two\n"));
    logger.running.signal(libc::SIGALRM);
    until("the next output", || {
        processed(&dir) == ["ONE\n", "TWO\nseen\n"]
    });
    assert_eq!(logger.close(), 0);
    let kinds: Vec<String> = dir
        .files()
        .into_iter()
        .map(|file| format!("{} {:o}", file.kind, file.mode))
        .collect();
    assert_eq!(
        kinds,
        [".s 744", ".s 744", "current 744", "lock 600", "state 644"]
    );
}

#[test]
fn a_processor_that_fails_or_is_killed_or_missing_is_run_again_later() {
    for command in ["exit 3", "kill -KILL $$", "no-such-command"] {
        let scratch = Scratch::new();
        let once = scratch.path().join("once");
        let script = format!(
            "!echo x >>{0}; test $(wc -l <{0}) -gt 1 || {{ cat; {command}; }}; cat\n",
            once.display()
        );
        let script = if command == "no-such-command" {
            format!(
                "!echo x >>{0}; test $(wc -l <{0}) -gt 1 || exec {command}; cat\n",
                once.display()
            )
        } else {
            script
        };
        let dir = LogDir::new(&scratch, "log", &script);
        let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
        rotate_one(&mut logger, &dir);
        logger.says("next try in 1 s");
        assert_eq!(processed(&dir), [""; 0]);
        logger.write("two\n");
        until("the line", || dir.text().ends_with("two\n"));
        until("the output", || processed(&dir) == ["one\n"]);
        assert_eq!(fs::read_to_string(&once).unwrap(), "x\nx\n");
        assert_eq!(logger.close(), 0);
    }
}

#[test]
fn a_logger_reads_on_when_a_processor_that_failed_is_taken_away() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "!exit 1\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    rotate_one(&mut logger, &dir);
    logger.says("next try in 1 s");
    fs::write(dir.path.join("config"), "").unwrap();
    logger.running.signal(libc::SIGHUP);
    // Until that try would have been due and is over: it must not keep the logger from its input.
    let since = Instant::now();
    let mut text = "one\n".to_owned();
    for number in 0.. {
        let line = format!("line {number}\n");
        logger.write(&line);
        until("the line", || dir.text().ends_with(&line));
        text += &line;
        if since.elapsed() > Duration::from_millis(1500) {
            break;
        }
    }
    dir.holds(&text);
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_new_processor_does_not_wait_for_the_failed_one() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "!exit 1\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    rotate_one(&mut logger, &dir);
    logger.says("exited 1; next try in 4 s");
    // The new one fails once, to tell how: after a try of its own, whose wait is the first one again.
    let once = scratch.path().join("once");
    let once = once.display();
    let script = format!("!test -e {once} || {{ : >{once}; exit 3; }}; tr a-z A-Z\n");
    fs::write(dir.path.join("config"), script).unwrap();
    logger.running.signal(libc::SIGHUP);
    logger.says("exited 3; next try in 1 s");
    until("the output", || processed(&dir) == ["ONE\n"]);
    assert_eq!(logger.close(), 0);
}

#[test]
fn a_processor_that_hangs_stops_neither_logging_nor_a_second_term() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn0\n!echo $$ >&2; exec sleep 1000\n");
    let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
    let lines = numbered(0..200);
    logger.write(&lines);
    until("the last line", || dir.text().ends_with("line 199\n"));
    let first = dir
        .old_names()
        .into_iter()
        .find(|name| name.ends_with(".u"))
        .unwrap();
    assert!(
        fs::read_to_string(dir.path.join(&first))
            .unwrap()
            .starts_with("line 0\n"),
        "its file is kept"
    );
    let pid = eventually("the processor", || logger.said().trim().parse::<i32>());
    logger.running.signal(libc::SIGTERM);
    until("the closed current", || {
        dir.files()
            .iter()
            .any(|file| file.kind == "current" && file.mode == 0o744)
    });
    assert!(alive(logger.running.pid()));
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
    until("the end of the processor", || !alive(pid));
    assert!(dir.path.join(&first).exists());
}

#[test]
fn a_processor_that_hangs_does_not_keep_a_logger_from_ending() {
    let scratch = Scratch::new();
    let dir = LogDir::new(
        &scratch,
        "log",
        "!trap '' TERM; while :; do sleep 1; done\n",
    );
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    rotate_one(&mut logger, &dir);
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
    assert_eq!(dir.text(), "one\n");
    fs::write(dir.path.join("config"), "!cat\n").unwrap();
    assert_eq!(log(svlogd(), &[], &[&dir], b"").0, 0);
    assert_eq!(processed(&dir), ["one\n"]);
}

#[test]
fn what_a_crash_left_is_processed_at_the_next_start() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "!tr a-z A-Z\n");
    let name = |digit: u8, kind: &str| {
        dir.path
            .join(format!("@40000000000000{digit:02}00000000.{kind}"))
    };
    fs::write(name(1, "u"), "one\n").unwrap();
    fs::write(name(1, "t"), "ON").unwrap();
    // Here the processor had succeeded already.
    fs::write(name(2, "u"), "two\n").unwrap();
    fs::write(name(2, "s"), "Two\n").unwrap();
    fs::write(dir.path.join("newstate"), "new").unwrap();
    fs::write(dir.path.join("current"), "three\n").unwrap();
    assert_eq!(log(svlogd(), &[], &[&dir], b"four\n").0, 0);
    let texts: Vec<String> = processed(&dir);
    assert_eq!(texts, ["ONE\n", "Two\n", "THREE\n"]);
    assert_eq!(dir.text(), "ONE\nTwo\nTHREE\nfour\n");
    assert!(dir.old_names().iter().all(|name| name.ends_with(".s")));
}

/// A processor that waits for the file `go` beside the log directory, and adds its input to `all`.
const GATED: &str = "!while ! test -e ../go; do sleep 0.02; done; tee -a ../all\n";

#[test]
fn a_slow_processor_gets_every_file() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", &format!("s40\nn3\n{GATED}"));
    let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
    let lines = numbered(0..200);
    logger.write(&lines);
    logger.says("wait for the processor; reading stops until one is done");
    let waiting = dir
        .old_names()
        .iter()
        .filter(|name| name.ends_with('u'))
        .count();
    assert_eq!(waiting, 3, "{:?}", dir.old_names());
    scratch.file("go", "");
    until("the last line", || dir.text().ends_with("line 199\n"));
    assert_eq!(logger.said().matches("reading stops").count(), 1);
    assert_eq!(logger.close(), 0);
    let all = scratch.read("all");
    let rest = fs::read_to_string(dir.path.join("current")).unwrap();
    assert_eq!(format!("{all}{rest}"), lines);
}

#[test]
fn full_drop_deletes_what_a_slow_processor_leaves_and_reports_it() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", &format!("s40\nn3\nfull drop\n{GATED}"));
    let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
    logger.write(numbered(0..200));
    until("the last line", || dir.text().ends_with("line 199\n"));
    logger.says("deleted before it was processed: ");
    assert!(dir.old_names().len() <= 6, "{:?}", dir.old_names());
    scratch.file("go", "");
    assert_eq!(logger.close(), 0);
}

#[test]
fn term_does_not_wait_for_a_slow_processor_to_read_the_pipe() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s40\nn2\n!exec sleep 1000\n");
    let mut logger = Logger::svlogd(&scratch, &["-l", "10"], &[&dir]);
    let lines = numbered(0..50);
    logger.write(&lines);
    logger.says("reading stops");
    logger.running.signal(libc::SIGTERM);
    dir.holds(&lines);
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
}

#[test]
#[ignore = "open fault: rotates by age while it waits"]
fn an_old_file_that_waits_for_the_processor_takes_lines_until_it_is_full() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "t1\nn1\n!exec sleep 1000\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    rotate_one(&mut logger, &dir);
    logger.write("two\n");
    let since = Instant::now();
    until("more than the age", || {
        since.elapsed() > Duration::from_millis(1300)
    });
    logger.write("three\n");
    dir.holds("one\ntwo\nthree\n");
    assert_eq!(dir.old_names().len(), 1);
    logger.running.signal(libc::SIGTERM);
    dir.holds("one\ntwo\nthree\n");
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
}
