//! svlogd: what its directories hold, beside runit's on the same input, and what it obeys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test does not expect ends it"
)]

mod logging;
mod support;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use logging::{LogDir, LogFile, Logger, Numbers, log, numbered, svlogd};
use support::{Scratch, eventually, output, peer, program, stderr, stdout, until};

const STAMP: usize = 26;

/// Replaces what differs from run to run: the stamps.
fn without_stamps(files: Vec<LogFile>) -> Vec<LogFile> {
    let strip = |line: &[u8]| -> Vec<u8> {
        let (stamp, rest) = line.split_at(line.len().min(STAMP));
        assert!(
            stamp.len() == STAMP && stamp[25] == b' ',
            "{:?}",
            String::from_utf8_lossy(line)
        );
        rest.to_vec()
    };
    files
        .into_iter()
        .map(|file| LogFile {
            bytes: file
                .bytes
                .split_inclusive(|byte| *byte == b'\n')
                .flat_map(strip)
                .collect(),
            ..file
        })
        .collect()
}

/// Runs both svlogds and compares all that can be compared.
#[track_caller]
fn same_as_runit(config: &str, args: &[&str], input: &[u8]) {
    let scratch = Scratch::new();
    let theirs = LogDir::new(&scratch, "theirs", config);
    let ours = LogDir::new(&scratch, "ours", config);
    let said = log(&peer("svlogd"), args, &[&theirs], input);
    let we_said = log(svlogd(), args, &[&ours], input);
    let what = format!("{config:?} {args:?} {:?}", String::from_utf8_lossy(input));
    let stamped = args.iter().any(|arg| arg.starts_with("-t"));
    if stamped {
        assert_eq!(said.0, we_said.0, "{what}");
        assert_eq!(
            without_stamps(theirs.files()),
            without_stamps(ours.files()),
            "{what}"
        );
    } else {
        assert_eq!(said, we_said, "{what}");
        assert_eq!(theirs.files(), ours.files(), "{what}");
    }
}

#[test]
fn sizes_counts_lengths_and_prefixes_give_runits_files() {
    let mut numbers = Numbers(1);
    for (size, lines) in [
        ("0", 60),
        ("1", 2),
        ("100", 8),
        ("500", 20),
        ("1000", 40),
        ("2k", 40),
        ("1m", 60),
    ] {
        for count in [0, 1, 3] {
            for (args, longest) in [
                (&["-l", "20"][..], 70),
                (&["-l", "300"], 90),
                (&[], if size == "1" { 40 } else { 1500 }),
            ] {
                let prefix = ["", "ppre: \n"][numbers.below(2)];
                let config = format!("# size\ns{size}\nn{count}\n{prefix}");
                let input: Vec<u8> = (0..lines)
                    .flat_map(|_| numbers.line(b"abc x", longest))
                    .collect();
                same_as_runit(&config, args, &input);
            }
        }
    }
}

#[test]
fn patterns_give_runits_files_and_stderr() {
    let mut numbers = Numbers(2);
    for patterns in [
        "-a*",
        "-*\n+*b",
        "-*\n++a*\n-*c*",
        "e*a*",
        "e*\nE+ab",
        "-*\n+",
        "+*+a*",
        "-a*b*c\n+**",
        "-*\ne*",
    ] {
        for args in [&[][..], &["-l", "5"]] {
            let config = format!("s300\nn4\n{patterns}\n");
            // No empty lines: on them runit matches a plus against the line before.
            let lines = std::iter::repeat_with(|| numbers.line(b"aabc+*", 8));
            let input: Vec<u8> = lines
                .filter(|line| line.len() > 1)
                .take(80)
                .flatten()
                .collect();
            same_as_runit(&config, args, &input);
        }
    }
}

#[test]
fn replaced_characters_are_runits_up_to_the_length() {
    let mut numbers = Numbers(3);
    let input: Vec<u8> = (0..80)
        .flat_map(|_| numbers.line(b"ab\t\0\x01\x7f\x80\xffc~", 40))
        .collect();
    for args in [
        &["-r", "?"][..],
        &["-R", "ab"],
        &["-r", ".", "-R", "~c"],
        &["-r", ".", "-l", "50"],
    ] {
        same_as_runit("s400\n", args, &input);
    }
}

#[test]
fn stamps_stand_where_runits_stand() {
    let mut numbers = Numbers(4);
    for stamp in ["-t", "-tt", "-ttt", "-tttt"] {
        let input: Vec<u8> = (0..60).flat_map(|_| numbers.line(b"abc", 40)).collect();
        same_as_runit("s500\nn3\npp \n-a*\n", &[stamp, "-l", "100"], &input);
        same_as_runit("s0\n", &[stamp], &input);
    }
}

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
    for size in [60, 75, 90, 100, 113] {
        let scratch = Scratch::new();
        let dir = LogDir::new(&scratch, "log", &format!("s{size}\nn0\n"));
        let lines = numbered(0..50);
        assert_eq!(log(svlogd(), &["-t"], &[&dir], lines.as_bytes()).0, 0);
        for line in dir.text().lines() {
            assert!(line.starts_with("@4") && line.contains(" line "), "{line}");
        }
        for file in dir.files().iter().filter(|file| file.kind == ".s") {
            assert!(file.bytes.len() <= size, "{file:?}");
            let stamps = file.bytes.iter().filter(|byte| **byte == b'@').count();
            let blanks = file
                .bytes
                .windows(6)
                .filter(|six| six[5..] == *b" " && six[0].is_ascii_hexdigit())
                .count();
            assert!(blanks >= stamps, "{file:?}");
        }
    }
}

#[test]
fn udp_sends_what_runit_sends() {
    let mut sent = Vec::new();
    for logger in [peer("svlogd"), svlogd().to_path_buf()] {
        for letter in ["u", "U"] {
            let scratch = Scratch::new();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(logging::DEADLINE)).unwrap();
            let port = socket.local_addr().unwrap().port();
            let config = format!("{letter}127.0.0.1:{port}\npp: \n-no*\n");
            let dir = LogDir::new(&scratch, "log", &config);
            let input = b"one\n\nnot me\n0123456789\n01234567890123\n\xff\x00\tz\n";
            assert_eq!(log(&logger, &["-l", "10", "-r", "?"], &[&dir], input).0, 0);
            let mut datagrams = Vec::new();
            for _ in 0..5 {
                let mut datagram = [0; 100];
                let size = socket.recv(&mut datagram).unwrap();
                datagrams.push(String::from_utf8_lossy(&datagram[..size]).into_owned());
            }
            let logged = if letter == "U" {
                dir.text()
            } else {
                String::new()
            };
            sent.push((letter, datagrams, logged));
        }
    }
    assert_eq!(sent[..2], sent[2..]);
    assert_eq!(sent[2].1[2], "p: 0123456789...\n");
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
    let (code, said) = log(svlogd(), &["nowhere"], &[], b"one\n");
    assert_eq!(code, 111);
    assert!(
        said.contains("svlogd: warning: unable to open nowhere: no such file or directory\n"),
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
fn options_stand_in_the_help_and_in_the_manual() {
    for (name, options) in [
        (
            "svlogd",
            &[
                "-t",
                "-tt",
                "-ttt",
                "-r",
                "-R",
                "-l",
                "-b",
                "-v",
                "--timestamp",
                "--utc",
                "--iso",
                "--replace",
                "--replace-also",
                "--length",
                "--buffer",
                "--verbose",
                "--help",
                "--version",
            ][..],
        ),
        ("tai64nlocal", &["--help", "--version"]),
    ] {
        let help = output(program(name), ["--help"]);
        assert_eq!((help.status.code(), stderr(&help).as_str()), (Some(0), ""));
        let manual = format!("{}/man/{name}.8", env!("CARGO_MANIFEST_DIR"));
        let manual = fs::read_to_string(&manual).unwrap().replace("\\-", "-");
        for option in options {
            assert!(
                stdout(&help).contains(option),
                "{option} in --help of {name}"
            );
            let plain = option.trim_start_matches('-');
            let mdoc = [
                format!("Fl {plain}"),
                format!("Fl -{plain}"),
                format!("| -{plain}"),
            ];
            assert!(
                mdoc.iter().any(|form| manual.contains(form.as_str())),
                "{option} in {name}.8"
            );
        }
        let version = output(program(name), ["--version"]);
        assert!(stdout(&version).starts_with(&format!("{name} (servicedir) ")));
    }
}

#[test]
fn the_manual_names_every_word_of_a_config() {
    let manual = format!("{}/man/svlogd.8", env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(&manual).unwrap();
    for word in [
        "s Ns",
        "n Ns",
        "N Ns",
        "S Ns",
        "t Ns",
        "! Ns",
        "p Ns",
        "u Ns",
        "U Ns",
        "+ Ns",
        "e Ns",
        "E Ns",
        "full drop",
    ] {
        assert!(manual.contains(word), "{word}");
    }
}

#[test]
fn labels_become_local_time_as_multilogs_do() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    log(svlogd(), &["-t"], &[&dir], b"one\ntwo @4\n");
    let labels = dir.path.join("current");
    let mut both = Vec::new();
    for zone in ["UTC", "Europe/Berlin", ":America/New_York", "EST5EDT"] {
        for converter in [peer("tai64nlocal"), program("tai64nlocal").to_path_buf()] {
            let input = fs::File::open(&labels).unwrap();
            let result = Command::new(converter)
                .env("TZ", zone)
                .stdin(input)
                .output()
                .unwrap();
            both.push(stdout(&result));
        }
    }
    for pair in both.chunks(2) {
        assert_eq!(pair[0], pair[1]);
        assert!(pair[1].contains(" two @4\n"), "{}", pair[1]);
    }
    eventually("a time, not a label", || {
        if both[1].starts_with('2') {
            Ok(())
        } else {
            Err(&both[1])
        }
    });
}
