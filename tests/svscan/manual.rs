//! The manual page and the help of svscan tell the same, and all that it says.

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::{output, program, stdout};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn every_option_stands_in_the_help_and_in_the_manual_and_nothing_else_does() {
    let help = stdout(&output(program("svscan"), ["--help"]));
    let helped: BTreeSet<&str> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .collect();
    let page = read("man/svscan.8");
    let manual: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".It Fl -")?.split_whitespace().next())
        .collect();
    assert_eq!(helped, manual);
    for option in helped {
        assert!(
            read("svscan/main.rs").contains(&format!("Arg::Long(\"{option}\")")),
            "{option}"
        );
    }
}

#[test]
fn every_message_stands_in_the_manual() {
    let page = read("man/svscan.8");
    let (_, page) = page.split_once(".Sh DIAGNOSTICS").unwrap();
    let diagnostics: String = page
        .split_once(".Sh COMPATIBILITY")
        .unwrap()
        .0
        .replace('\n', " ");
    for part in [
        "unable to scan",
        "another svscan runs on it",
        "what runs goes on, and it is tried again every second",
        "is scanned again",
        "unable to find supervise: neither beside svscan nor on PATH",
        "unable to execute",
        "unable to resolve",
        "unable to open",
        "is not executable: not started until it is",
        "is no file: expected an executable program or script",
        "unable to start",
        "tried again every second",
        "was killed by",
        "is supervised already, by a process that cannot be found",
        "unable to watch everything",
        "is essential and has ended: stopping everything, exit code",
        "not everything was down in time: killing what is left",
        "unable to notify $NOTIFY_SOCKET",
        "unable to catch signals",
        "unable to poll",
        "unable to prepare a start",
    ] {
        assert!(diagnostics.contains(part), "{part} is not in the manual");
        let sources = [
            "main",
            "directory",
            "start",
            "end",
            "essential",
            "event_loop",
            "look",
            "spawn",
        ];
        let said = sources
            .iter()
            .any(|name| read(&format!("svscan/{name}.rs")).contains(part));
        assert!(said, "nothing says {part}");
    }
}
