//! svlogd: what its directories hold, and what it obeys.

use crate::support;
use crate::support::logging;

use std::fs;
use std::path::Path;
use std::process::Command;

use logging::{LogDir, Logger, log, numbered, svlogd};
use support::{Scratch, output, peer, stdout, until};

#[test]
fn each_form_of_stamp_is_what_it_says() {
    for (arg, digits) in [
        ("-t", "@dddddddddddddddddddddddd "),
        ("-tt", "dddd-dd-dd_dd:dd:dd.ddddd "),
        ("--utc", "dddd-dd-dd_dd:dd:dd.ddddd "),
        ("-ttt", "dddd-dd-ddTdd:dd:dd.ddddd "),
        ("--iso", "dddd-dd-ddTdd:dd:dd.ddddd "),
    ] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", "");
        assert_eq!(log(svlogd(), &[arg], &[&dir], b"x\n").0, 0);
        let text = dir.text();
        assert_eq!(text.len(), digits.len() + 2, "{text:?}");
        for (byte, form) in text.chars().zip(digits.chars()) {
            assert!(
                byte == form || (form == 'd' && byte.is_ascii_hexdigit()),
                "{text:?}"
            );
        }
    }
}

#[test]
fn a_rotation_never_cuts_a_stamp() {
    for size in [1, 2, 5, 10, 20, 25, 26, 27, 30, 60, 75, 90, 100, 113] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", &format!("s{size}\nn0\n"));
        let lines = numbered(0..50);
        assert_eq!(log(svlogd(), &["-t"], &[&dir], lines.as_bytes()).0, 0);
        for line in dir.text().lines() {
            assert!(line.starts_with("@4") && line.contains(" line "), "{line}");
        }
        for file in dir.files().iter().filter(|file| file.kind == ".s") {
            assert!(file.bytes.len() <= size.max(26), "{file:?}");
            let begins = file.bytes.split(|byte| *byte == b'@').skip(1);
            for rest in begins {
                assert!(rest.len() >= 25 && rest[24] == b' ', "s{size}: {file:?}");
            }
        }
    }
}

#[test]
fn the_age_of_a_file_is_that_of_its_first_line() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "t2\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("");
    until("the start", || dir.path.join("current").exists());
    let start = std::time::Instant::now();
    until("a quiet time", || start.elapsed().as_millis() > 2200);
    logger.write("one\n");
    dir.holds("one\n");
    logger.write("two\n");
    until("the rotation", || !dir.old_names().is_empty());
    dir.holds("one\ntwo\n");
    let old = dir.path.join(&dir.old_names()[0]);
    assert_eq!(fs::read_to_string(old).unwrap(), "one\ntwo\n");
    assert_eq!(logger.close(), 0);
}

#[test]
fn files_have_the_mode_and_the_group_of_the_config() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s30\nn3\nmode 0640\ngroup adm\n");
    let lines = numbered(0..9);
    assert_eq!(log(svlogd(), &["-l", "10"], &[&dir], lines.as_bytes()).0, 0);
    let adm = stdout(&output(Path::new("getent"), ["group", "adm"]));
    let gid: u32 = adm.split(':').nth(2).unwrap().parse().unwrap();
    let files = dir.files();
    assert!(files.len() >= 4, "{files:?}");
    for file in &files {
        let expected = if file.kind == "lock" { 0o600 } else { 0o740 };
        assert_eq!(file.mode, expected, "{file:?}");
    }
    for name in dir
        .old_names()
        .iter()
        .map(String::as_str)
        .chain(["current"])
    {
        let group =
            std::os::unix::fs::MetadataExt::gid(&fs::metadata(dir.path.join(name)).unwrap());
        assert_eq!(group, gid, "{name}");
    }
    fs::write(dir.path.join("config"), "group no-such-group\n").unwrap();
    let (code, said) = log(svlogd(), &[], &[&dir], b"one\n");
    assert_eq!(code, 0);
    assert!(
        said.contains("config: no such group: no-such-group"),
        "{said}"
    );
}

#[test]
fn a_directory_is_made_where_its_parent_exists() {
    let scratch = Scratch::new();
    let made = LogDir {
        path: scratch.path().join("main"),
    };
    assert_eq!(log(svlogd(), &[], &[&made], b"one\n"), (0, String::new()));
    assert_eq!(made.text(), "one\n");
    let nowhere = LogDir {
        path: scratch.path().join("a/b/main"),
    };
    let (code, said) = log(svlogd(), &[], &[&nowhere], b"one\n");
    let parent = scratch.path().join("a");
    let reason = format!("b/main: {} does not exist\n", parent.display());
    assert!(code == 111 && said.contains(&reason), "{code} {said}");
}

#[test]
fn a_config_line_that_sets_nothing_is_reported() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "# a comment\n\nn3\nkeep 10\n s100\n");
    let (code, said) = log(svlogd(), &[], &[&dir], b"one\n");
    assert_eq!((code, dir.text().as_str()), (0, "one\n"));
    for line in [
        "config: line 4: expected a setting of svlogd(8), found \"keep 10\"",
        "config: line 5: expected a setting of svlogd(8), found \" s100\"",
    ] {
        assert!(said.contains(line), "{said}");
    }
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_datagram_that_cannot_be_sent_is_logged_with_a_warning() {
    let scratch = Scratch::new();
    // No process may send to the broadcast address without asking for it.
    let dir = LogDir::new(&scratch, "log", "U255.255.255.255:9\n");
    log(svlogd(), &[], &[&dir], b"one\n");
    assert_eq!(dir.text(), "warning: failure sending through udp: one\n");
}

#[test]
fn a_last_line_without_its_newline_is_kept_with_one() {
    for config in ["", "+*\n", "s0\n"] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", config);
        assert_eq!(log(svlogd(), &[], &[&dir], b"one\npart").0, 0);
        assert_eq!(dir.text(), "one\npart\n", "{config:?}");
    }
}

#[test]
fn term_keeps_the_line_in_progress() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\npart");
    dir.holds("one\npart");
    logger.running.signal(libc::SIGTERM);
    assert_eq!(logger.running.ended().code(), Some(0));
    assert_eq!(dir.text(), "one\npart\n");
}

#[test]
fn term_reads_what_the_pipe_held() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "n0\ns500\n");
    let mut logger = Logger::svlogd(&scratch, &["-l", "100"], &[&dir]);
    logger.write("first\n");
    dir.holds("first\n");
    logger.running.signal(libc::SIGSTOP);
    let lines = numbered(0..5000);
    logger.write(&lines);
    logger.running.signal(libc::SIGTERM);
    logger.running.signal(libc::SIGCONT);
    assert_eq!(logger.running.ended().code(), Some(0));
    assert_eq!(dir.text(), format!("first\n{lines}"));
}

#[test]
fn all_of_a_long_line_has_its_characters_replaced() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let line = [&b"a\x01"[..], &b"\x02b".repeat(5000), b"\n"].concat();
    log(svlogd(), &["-r", "?"], &[&dir], &line);
    assert_eq!(dir.text(), format!("a?{}\n", "?b".repeat(5000)));
}

#[test]
fn any_byte_is_kept_also_one_at_a_time() {
    let scratch = Scratch::new();
    let plain = LogDir::new(&scratch, "plain", "");
    let chosen = LogDir::new(&scratch, "chosen", "-*\n+*\npx\n");
    let mut logger = Logger::svlogd(&scratch, &["-l", "3"], &[&plain, &chosen]);
    let text: Vec<u8> = (0..=255).chain(*b"\n\n\0\n\xf0\x9f\n").collect();
    for byte in &text {
        logger.write([*byte]);
    }
    assert_eq!(logger.close(), 0);
    assert_eq!(fs::read(plain.path.join("current")).unwrap(), text);
    let prefixed: Vec<u8> = text
        .split_inclusive(|byte| *byte == b'\n')
        .flat_map(|line| [b"x", line].concat())
        .collect();
    assert_eq!(fs::read(chosen.path.join("current")).unwrap(), prefixed);
}

#[test]
fn hup_reads_the_config_again_and_alrm_rotates() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &["-v"], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    fs::write(dir.path.join("config"), "pp: \n").unwrap();
    logger.running.signal(libc::SIGHUP);
    logger.says("HUP received");
    logger.says("append:");
    logger.write("two\n");
    dir.holds("one\np: two\n");
    logger.running.signal(libc::SIGALRM);
    until("the rotated file", || {
        dir.old_names().iter().any(|name| name.ends_with(".s"))
    });
    logger.write("three\n");
    assert_eq!(logger.close(), 0);
    let files = dir.files();
    assert_eq!(files[0].bytes, b"one\np: two\n");
    assert_eq!((files[0].mode, files[1].mode), (0o744, 0o744));
    assert_eq!(files[1].bytes, b"p: three\n");
}

#[test]
fn alrm_does_not_rotate_what_is_empty() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let logger = Logger::svlogd(&scratch, &["-v"], &[&dir]);
    logger.says("new:");
    logger.running.signal(libc::SIGALRM);
    logger.says("ALRM received");
    assert_eq!(logger.close(), 0);
    assert_eq!(dir.old_names(), [""; 0]);
}

#[test]
fn an_old_current_is_rotated_by_its_age() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "t1\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\n");
    until("the rotation", || dir.old_names().len() == 1);
    logger.write("two\n");
    until("the next rotation", || dir.old_names().len() == 2);
    assert_eq!(logger.close(), 0);
    assert_eq!(dir.text(), "one\ntwo\n");
}

#[test]
fn a_storm_of_signals_loses_nothing() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "n0\n");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("begin\n");
    dir.holds("begin\n");
    let mut wanted = String::from("begin\n");
    for number in 0..600 {
        let line = format!("line {number}\n");
        logger.write(&line);
        wanted += &line;
        logger
            .running
            .signal([libc::SIGHUP, libc::SIGALRM, libc::SIGCHLD][number % 3]);
    }
    assert_eq!(logger.close(), 0);
    assert_eq!(dir.text(), wanted);
}

#[test]
fn the_writers_descriptor_stays_as_it_was() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\n");
    dir.holds("one\n");
    let info = fs::read_to_string(format!("/proc/{}/fdinfo/0", logger.running.pid())).unwrap();
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .unwrap();
    let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
    assert_eq!(flags & libc::O_NONBLOCK, 0, "{info}");
    assert_eq!(logger.close(), 0);
}

#[test]
fn several_directories_each_have_their_config() {
    let scratch = Scratch::new();
    let all = LogDir::new(&scratch, "all", "");
    let errors = LogDir::new(&scratch, "errors", "-*\n+*error*\npE \n");
    assert_eq!(
        log(svlogd(), &[], &[&all, &errors], b"a\nan error\nb\n").0,
        0
    );
    assert_eq!(all.text(), "a\nan error\nb\n");
    assert_eq!(errors.text(), "E an error\n");
}

#[test]
fn the_directory_as_a_whole_has_a_size_limit() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "s1000\nn0\nS5000\n");
    let lines = numbered(0..3000);
    assert_eq!(log(svlogd(), &["-l", "50"], &[&dir], lines.as_bytes()).0, 0);
    let sum: usize = dir.files().iter().map(|file| file.bytes.len()).sum();
    assert!((3000..=5000).contains(&sum), "{sum}");
    assert!(lines.ends_with(&dir.text()));
}

#[test]
fn a_current_that_was_not_closed_in_order_is_put_aside() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
    logger.write("one\nhal");
    dir.holds("one\nhal");
    logger.running.signal(libc::SIGKILL);
    logger.running.ended();
    assert_eq!(log(svlogd(), &[], &[&dir], b"f\ntwo\n").0, 0);
    let kinds: Vec<(String, u32)> = dir
        .files()
        .into_iter()
        .map(|file| (file.kind, file.mode))
        .collect();
    let want = [(".u", 0o644), ("current", 0o744), ("lock", 0o600)];
    assert_eq!(kinds, want.map(|(kind, mode)| (kind.to_owned(), mode)));
    assert_eq!(dir.text(), "one\nhalf\ntwo\n");
}

#[test]
fn what_cannot_be_read_in_a_config_is_named_by_its_line() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "n3\nsbig\nu1.2.3\n");
    let (code, said) = log(svlogd(), &[], &[&dir], b"one\n");
    assert_eq!(code, 0);
    let file = dir.path.join("config");
    assert!(
        said.contains(&format!(
            "svlogd: warning: {}: line 2: expected a size",
            file.display()
        )),
        "{said}"
    );
    assert!(said.contains("line 3: expected an address"), "{said}");
    assert_eq!(dir.text(), "one\n");
}

#[test]
fn wrong_usage_is_100_and_no_directory_111() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    for args in [
        &[][..],
        &["-x", "d"],
        &["-r", "ab", "d"],
        &["-r", "", "d"],
        &["-l", "2000", "d"],
        &["-l", "x", "d"],
    ] {
        assert_eq!(log(svlogd(), args, &[], b"").0, 100, "{args:?}");
    }
    let (code, said) = log(svlogd(), &["no/where"], &[], b"one\n");
    assert_eq!(code, 111);
    assert!(
        said.contains("svlogd: warning: unable to open no/where: no does not exist\n"),
        "{said}"
    );
    assert!(
        said.contains("svlogd: fatal: no log directory can be used\n"),
        "{said}"
    );
    let mut first = Logger::svlogd(&scratch, &[], &[&dir]);
    first.write("one\n");
    dir.holds("one\n");
    assert_eq!(log(svlogd(), &[], &[&dir], b"two\n").0, 111);
    assert_eq!(log(&peer("svlogd"), &[], &[&dir], b"two\n").0, 111);
    assert_eq!(first.close(), 0);
    assert_eq!(dir.text(), "one\n");
}

#[test]
fn a_trickle_costs_a_read_and_a_write_a_line() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    let trace = scratch.path().join("trace");
    let mut command = Command::new(peer("strace"));
    command
        .arg("-o")
        .arg(&trace)
        .arg(svlogd())
        .arg("-t")
        .arg(&dir.path);
    let mut logger = Logger::start(&scratch, &mut command);
    for number in 0..200 {
        logger.write(format!("line {number}\n"));
        until("the line", || dir.text().lines().count() == number + 1);
    }
    assert_eq!(logger.close(), 0);
    let trace = fs::read_to_string(&trace).unwrap();
    let all: Vec<&str> = trace
        .lines()
        .skip_while(|line| !line.contains("\"line 0\\n\""))
        .collect();
    let (reads, writes) = (
        all.iter()
            .filter(|line| line.starts_with("read(") && line.contains("\"line "))
            .count(),
        all.iter()
            .filter(|line| line.starts_with("write(") && line.contains("line "))
            .count(),
    );
    assert_eq!((reads, writes), (200, 200));
    // The rest is the look once a second whether the directory is still there, and the end.
    let polls = all.iter().filter(|line| line.contains("poll(")).count();
    assert!(polls < 100, "{polls}: {trace}");
}

#[test]
fn a_current_of_an_earlier_day_is_rotated_at_the_start_and_one_of_today_is_not() {
    for (word, old) in [("daily", "2 days ago"), ("hourly", "2 hours ago")] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", &format!("rotate {word}\n"));
        assert_eq!(log(svlogd(), &[], &[&dir], b"old\n"), (0, String::new()));
        let current = dir.path.join("current");
        let current = current.to_str().unwrap();
        let touched = output(Path::new("touch"), ["-d", old, current]);
        assert!(touched.status.success());
        // Nothing is written: the start alone rotates.
        let mut logger = Logger::svlogd(&scratch, &[], &[&dir]);
        until("the rotation", || dir.old_names().len() == 1);
        logger.write("new\n");
        dir.holds("old\nnew\n");
        assert_eq!(fs::read_to_string(current).unwrap(), "new\n");
        assert_eq!(logger.close(), 0);
        assert_eq!(log(svlogd(), &[], &[&dir], b"newer\n"), (0, String::new()));
        assert!(dir.old_names().len() <= 2, "{:?}", dir.old_names());
        assert_eq!(dir.text(), "old\nnew\nnewer\n");
    }
}

#[test]
fn a_processor_may_open_its_input_again_as_the_manual_has_it() {
    let scratch = Scratch::new();
    let dir = LogDir::new(
        &scratch,
        "log",
        "s40\nn9\n!cat >>../copy </dev/stdin && cat\n",
    );
    let lines = numbered(0..20);
    assert_eq!(log(svlogd(), &["-l", "10"], &[&dir], lines.as_bytes()).0, 0);
    assert_eq!(dir.text(), lines);
    let current = fs::read_to_string(dir.path.join("current")).unwrap();
    assert_eq!(scratch.read("copy") + &current, lines);
}
