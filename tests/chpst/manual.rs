//! The pages of chpst and the loaders tell every option letter, and each is clean.
//!
//! Not tested: that their sentences are true. The messages are walked in `chpst/message.rs`.

use crate::support;

use std::fs;
use std::path::Path;

use support::{output, peer, program, stdout};

/// Each name with its option letters.
const NAMES: [(&str, &str); 7] = [
    ("chpst", "uUbe/CnlLmdopfcrtP012vV"),
    ("setuidgid", ""),
    ("envuidgid", ""),
    ("envdir", ""),
    ("softlimit", "acdflmoprst"),
    ("setlock", "nNxX"),
    ("pgrphack", ""),
];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    fs::read_to_string(path.join(format!("{name}.8"))).unwrap()
}

#[test]
fn every_letter_is_told_twice() {
    for (name, letters) in NAMES {
        let help = output(program(name), ["--help"]);
        assert_eq!(help.status.code(), Some(0), "{name}");
        let (help, page) = (stdout(&help), page(name));
        for letter in letters.chars() {
            assert!(help.contains(&format!("-{letter}")), "{name} -{letter}");
            let told = page.lines().any(|line| {
                let words = line.strip_prefix(".It Fl ").unwrap_or_default();
                words
                    .split([' ', ','])
                    .any(|word| word == letter.to_string())
            });
            assert!(told, "{name} -{letter}");
        }
        assert!(page.contains("-help"), "{name}");
        let version = stdout(&output(program(name), ["--version"]));
        let expected = format!("{name} (servicedir) {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(version, expected);
    }
}

/// Only alone: else it is an argument as any other.
#[test]
fn help_is_an_answer_only_where_it_is_the_one_argument() {
    for (name, args) in [
        ("chpst", ["--help", "true"]),
        ("pgrphack", ["true", "--help"]),
        ("softlimit", ["--version", "true"]),
    ] {
        let ran = output(program(name), args);
        assert_eq!(
            (ran.status.code(), stdout(&ran).contains("usage")),
            (Some(0), false)
        );
    }
    let ran = output(program("setuidgid"), ["--help", "true"]);
    assert_eq!(ran.status.code(), Some(111));
}

#[test]
fn the_pages_are_clean() {
    for (name, _) in NAMES {
        let path = format!("{}/man/{name}.8", env!("CARGO_MANIFEST_DIR"));
        let lint = stdout(&output(
            &peer("mandoc"),
            ["-T", "lint", "-W", "style", &path],
        ));
        let faults: Vec<&str> = lint
            .lines()
            .filter(|line| !line.contains("referenced manual not found"))
            .collect();
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}
