//! supervise(8) and `supervise --help` tell every option and every message.
//!
//! Not tested: that their sentences are true.

use crate::support;

use std::fs;
use std::path::Path;

use support::{output, peer, program, stdout};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("man/supervise.8")).unwrap()
}

#[test]
fn every_option_and_variable_and_exit_code_is_told_twice() {
    let help = stdout(&output(program("supervise"), ["--help"]));
    for (in_help, in_page) in [
        ("--help", ".It Fl -help"),
        ("--version", ".It Fl -version"),
        ("SUPERVISEDIR", ".It Ev SUPERVISEDIR"),
        ("0 told to exit", ".It 0"),
        ("100 wrong usage", ".It 100"),
        ("111 a system call failed", ".It 111"),
    ] {
        assert!(help.contains(in_help), "{in_help}");
        assert!(
            page().replace(".It Fl h , Fl", ".It Fl").contains(in_page),
            "{in_page}"
        );
    }
}

/// The text between the quotes of each message that the program's files write.
fn messages() -> Vec<String> {
    let folder = root().join("supervise");
    let mut found = Vec::new();
    for file in [
        "main.rs",
        "event_loop.rs",
        "state_dir.rs",
        "machine/run.rs",
        "machine/down.rs",
    ] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        let (text, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for piece in text.split('"').skip(1).step_by(2) {
            let piece = piece.trim_start_matches("{}: ");
            let is_message = [
                "unable to ",
                "the state directory ",
                "the watchdog ",
                "not ready ",
                "finish takes ",
            ]
            .iter()
            .any(|start| piece.starts_with(start));
            if is_message && !piece.starts_with("unable to {what}") {
                found.push(piece.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_message_stands_under_diagnostics() {
    let page = page();
    let (_, diagnostics) = page.split_once(".Sh DIAGNOSTICS").unwrap();
    let messages = messages();
    assert!(messages.len() > 12, "{messages:?}");
    for message in messages {
        // Up to the first thing that is put in.
        let fixed = message
            .split('{')
            .next()
            .unwrap()
            .trim_end_matches([' ', ':']);
        assert!(diagnostics.contains(fixed), "{message}");
    }
}

#[test]
fn the_page_is_clean() {
    let lint = output(
        &peer("mandoc"),
        [
            "-T",
            "lint",
            "-W",
            "style",
            root().join("man/supervise.8").to_str().unwrap(),
        ],
    );
    let text = stdout(&lint);
    let faults: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("referenced manual not found"))
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}
