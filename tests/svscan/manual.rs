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
