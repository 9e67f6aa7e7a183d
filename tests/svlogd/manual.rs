//! What svlogd and tai64nlocal can be told stands in their help texts and manual pages.

use crate::support;

use std::fs;

use support::{output, program, stderr, stdout};

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
                "-h",
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
        ("tai64nlocal", &["-h", "--help", "--version"]),
        ("tai64n", &["-h", "--help", "--version"]),
        ("multilog", &["-h", "--help", "--version"]),
        ("readproctitle", &["-h", "--help", "--version"]),
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
        "full wait",
        "rotate daily",
        "rotate hourly",
        "mode Ar",
        "group Ar",
    ] {
        assert!(manual.contains(word), "{word}");
    }
}
