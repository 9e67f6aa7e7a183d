//! supervise(8) and `supervise --help` tell every option. (The messages: `supervise/message.rs`.)
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
