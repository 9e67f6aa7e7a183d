//! What svctl can be told stands in its help text and its manual page.

use std::fs;

use crate::support::{output, program, stderr, stdout};

#[test]
fn commands_and_options_stand_in_the_help_and_in_the_manual() {
    let help = output(program("svctl"), ["--help"]);
    assert_eq!((help.status.code(), stderr(&help).as_str()), (Some(0), ""));
    let help = stdout(&help);
    assert!(help.lines().all(|line| line.len() < 80), "{help}");
    let manual = format!("{}/man/svctl.8", env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(&manual).unwrap();
    let list = stdout(&output(program("svctl"), ["help"]));
    let commands = list.lines().skip(3).flat_map(str::split_whitespace);
    for command in commands {
        assert!(help.contains(command), "{command}");
        assert!(
            manual.contains(&format!(".It Ic {command}"))
                || manual.contains(&format!(", {command}")),
            "{command}"
        );
    }
    for option in [
        "svdir",
        "interactive",
        "history-file",
        "configuration",
        "serverurl",
        "username",
        "password",
    ] {
        assert!(manual.contains(&format!("Fl -{option}")), "{option}");
    }
    let version = output(program("svctl"), ["--version"]);
    assert!(stdout(&version).starts_with("svctl (servicedir) "));
}

#[test]
fn an_option_that_is_none_exits_2_as_supervisorctl_does() {
    let output = output(program("svctl"), ["--nope"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("svctl: fatal: "),
        "{}",
        stderr(&output)
    );
}
