//! svlogd beside the svlogd of runit, and tai64nlocal beside that of daemontools, on the same input.

use crate::support;
use crate::support::logging;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use logging::{LogDir, LogFile, Numbers, log, svlogd};
use support::{Scratch, eventually, peer, program, stdout};

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
fn an_empty_pattern_matches_the_empty_line_as_in_runit() {
    for patterns in ["-", "-*\n+", "e", "e*\nE", "-a*\n-", "-\n+\n-"] {
        for args in [&[][..], &["-l", "5"]] {
            let config = format!("{patterns}\n");
            same_as_runit(&config, args, b"abc\n\nb\n\n\nabcdefg\n");
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
fn labels_become_local_time_as_multilogs_do() {
    let scratch = Scratch::new();
    let dir = LogDir::new(&scratch, "log", "");
    log(svlogd(), &["-t"], &[&dir], b"one\ntwo @4\n");
    let labels = dir.path.join("current");
    let mut both = Vec::new();
    for zone in [
        "UTC",
        "Europe/Berlin",
        ":America/New_York",
        "EST5EDT",
        "CET-1CEST",
        "/usr/share/zoneinfo/Asia/Kolkata",
        "Nonsense",
    ] {
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

#[test]
fn labels_before_1970_become_the_times_that_daemontools_gives() {
    let scratch = Scratch::new();
    let labels = "@3ffffffff0000000075bcd15 old\n@400000000000000900000000 x\n";
    let labels = scratch.file("labels", labels);
    let times = [peer("tai64nlocal"), program("tai64nlocal").to_path_buf()].map(|converter| {
        let input = fs::File::open(&labels).unwrap();
        let mut command = Command::new(converter);
        stdout(
            &command
                .env("TZ", "Europe/Berlin")
                .stdin(input)
                .output()
                .unwrap(),
        )
    });
    assert_eq!(times[0], times[1]);
    assert!(times[1].starts_with("1961-"), "{}", times[1]);
}

#[test]
fn a_time_zone_without_end_is_not_one() {
    for zone in ["/dev/zero", ":/dev/zero", "../../../dev/zero"] {
        let mut command = Command::new(program("tai64nlocal"));
        let result = command
            .env("TZ", zone)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(said.contains("is not a time zone; using UTC"), "{said}");
        assert_eq!(result.status.code(), Some(0));
    }
}
