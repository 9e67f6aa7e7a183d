//! What svimport can be told stands in its help text and its manual page.

use std::fs;

use crate::support::{output, program, stderr, stdout};

#[test]
fn options_and_keys_stand_in_the_help_and_in_the_manual() {
    let help = output(program("svimport"), ["--help"]);
    assert_eq!((help.status.code(), stderr(&help).as_str()), (Some(0), ""));
    let manual = format!("{}/man/svimport.8", env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(&manual).unwrap();
    for option in ["into", "check", "cwd", "help", "version"] {
        assert!(stdout(&help).contains(&format!("--{option}")), "{option}");
        assert!(manual.contains(&format!("Fl -{option}")), "{option}");
    }
    assert!(stdout(&help).lines().all(|line| line.len() < 80));
    let version = output(program("svimport"), ["--version"]);
    assert!(stdout(&version).starts_with("svimport (servicedir) "));
}

#[test]
fn a_wrong_command_line_exits_100() {
    for args in [&[][..], &["--nope"], &["a", "b"], &["--into"]] {
        let output = output(program("svimport"), args);
        assert_eq!(output.status.code(), Some(100), "{args:?}");
    }
}
