//! `svlog -f`: each line once, over whatever happens to the files.

use crate::support;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use servicedir::tai64n::Tai64n;
use support::{Running, Scratch, eventually, program, until};

/// A svlog that follows services of the scratch folder; what it prints is in the file `seen`.
fn follow(scratch: &Scratch, arguments: &[&str]) -> Running {
    let file = |name| File::create(scratch.path().join(name)).unwrap();
    Running::start(
        Command::new(program("svlog"))
            .arg("-f")
            .args(arguments)
            .env("SVDIR", scratch.path())
            .env("TZ", "UTC0")
            .stdout(file("seen"))
            .stderr(file("stderr")),
    )
}

/// A svlogd in `NAME/log`, with lines a few bytes long in files of the least size.
fn logger(scratch: &Scratch, name: &str, config: &str) -> Child {
    scratch.file(&format!("{name}/log/main/config"), config);
    Command::new(program("svlogd"))
        .args(["-t", "main"])
        .current_dir(scratch.path().join(name).join("log"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

fn write(logger: &mut Child, from: usize, to: usize) {
    let stdin = logger.stdin.as_mut().unwrap();
    for number in from..to {
        writeln!(stdin, "{number}").unwrap();
    }
}

/// The texts of what was printed.
fn texts(scratch: &Scratch) -> Vec<String> {
    let seen = scratch.read("seen");
    let text = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    seen.lines().map(text).collect()
}

/// Waits until exactly these numbers were printed, in order.
#[track_caller]
fn numbers(scratch: &Scratch, to: usize) {
    let expected: Vec<String> = (0..to).map(|number| number.to_string()).collect();
    eventually("every line", || {
        let seen = texts(scratch);
        if seen == expected {
            Ok(())
        } else {
            let first = seen
                .iter()
                .zip(&expected)
                .position(|(one, other)| one != other);
            Err((seen.len(), first, scratch.read("stderr")))
        }
    });
}

#[test]
fn every_line_comes_once_and_in_order_over_rotations() {
    let scratch = Scratch::new();
    let mut logger = logger(&scratch, "web", "s3000\nn0\n");
    write(&mut logger, 0, 5);
    let current = scratch.path().join("web/log/main/current");
    until("its first lines", || {
        fs::read(&current).is_ok_and(|text| text.ends_with(b"4\n"))
    });
    let _svlog = follow(&scratch, &["web"]);
    numbers(&scratch, 5);
    for round in 0..10 {
        write(&mut logger, 5 + round * 300, 5 + (round + 1) * 300);
        numbers(&scratch, 5 + (round + 1) * 300);
    }
    drop(logger.stdin.take());
    logger.wait().unwrap();
}

#[test]
fn rotations_through_a_processor_are_passed_over_too() {
    let scratch = Scratch::new();
    let mut logger = logger(&scratch, "web", "s3000\nn0\n!cat\n");
    write(&mut logger, 0, 1);
    let current = scratch.path().join("web/log/main/current");
    until("its first line", || {
        fs::read(&current).is_ok_and(|text| text.ends_with(b"0\n"))
    });
    let _svlog = follow(&scratch, &["web"]);
    numbers(&scratch, 1);
    write(&mut logger, 1, 2000);
    numbers(&scratch, 2000);
    drop(logger.stdin.take());
    logger.wait().unwrap();
}

#[test]
fn a_log_that_appears_later_and_one_that_is_made_again_are_taken_up() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("web")).unwrap();
    let _svlog = follow(&scratch, &["web"]);
    let main = scratch.path().join("web/log/main");
    let log = |number: usize| {
        fs::create_dir_all(&main).unwrap();
        let stamp = Tai64n::from_unix(number as u64, 0);
        fs::write(main.join("current"), format!("{stamp} {number}\n")).unwrap();
    };
    log(0);
    numbers(&scratch, 1);
    fs::remove_dir_all(scratch.path().join("web/log")).unwrap();
    log(1);
    numbers(&scratch, 2);
}

#[test]
fn several_services_are_followed_at_once() {
    let scratch = Scratch::new();
    let (mut web, mut db) = (
        logger(&scratch, "web", "s3000\n"),
        logger(&scratch, "db", "s3000\n"),
    );
    let has_current = |name: &str| {
        let path = scratch.path().join(name).join("log/main/current");
        until("a log", || Path::new(&path).exists());
    };
    has_current("web");
    has_current("db");
    let _svlog = follow(&scratch, &["web", "db"]);
    for round in 0..20 {
        let one = if round % 2 == 0 { &mut web } else { &mut db };
        write(one, round, round + 1);
        numbers(&scratch, round + 1);
    }
    let seen = scratch.read("seen");
    assert!(seen.lines().next().unwrap().starts_with("web: "), "{seen}");
    assert!(seen.lines().nth(1).unwrap().starts_with("db: "), "{seen}");
    for mut logger in [web, db] {
        drop(logger.stdin.take());
        logger.wait().unwrap();
    }
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let scratch = Scratch::new();
    scratch.file("web/log/main/current", "0\n");
    let mut svlog = Running::start(
        Command::new(program("svlog"))
            .args(["-f", "web"])
            .env("SVDIR", scratch.path())
            .stdout(Stdio::piped()),
    );
    // The log is quiet: that the reader has gone is all that happens.
    drop(svlog.child().stdout.take());
    assert!(svlog.ended().success());
}
