//! sv, beside runit's sv on the same services, under our supervise and under runsv.

mod command;
mod names;
mod script;
mod status;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Scratch, peer, program, stderr, stdout};

/// What a sv answered: its exit code, and what it printed on stdout and stderr.
pub type Answer = (Option<i32>, String, String);

/// Runs a sv in the scratch directory; SVDIR is `sv` in it.
pub fn run(sv: &Path, scratch: &Scratch, args: &[&str]) -> Answer {
    let output: Output = Command::new(sv)
        .args(args)
        .current_dir(scratch.path())
        .env("SVDIR", scratch.path().join("sv"))
        .env_remove("SVWAIT")
        .env_remove("SUPERVISEDIR")
        .output()
        .unwrap();
    (output.status.code(), stdout(&output), stderr(&output))
}

/// Runs our sv.
pub fn ours(scratch: &Scratch, args: &[&str]) -> Answer {
    run(program("sv"), scratch, args)
}

/// Runs our sv: its exit code and what it printed, with every number of seconds as `N`.
pub fn answer(scratch: &Scratch, args: &[&str]) -> (Option<i32>, String) {
    let (code, out, err) = ours(scratch, args);
    assert_eq!(err, "");
    (code, without_seconds(&out))
}

/// Both answers to the same question, with every number of seconds as `N`: a second may pass between.
pub fn both(scratch: &Scratch, args: &[&str]) -> (Answer, Answer) {
    let blurred = |sv: &Path| {
        let (code, out, err) = run(sv, scratch, args);
        (code, without_seconds(&out), err)
    };
    (blurred(program("sv")), blurred(&peer("sv")))
}

/// The text with `12s` as `Ns`.
pub fn without_seconds(text: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' => digits.push(letter),
            's' if !digits.is_empty() => {
                out.push_str("Ns");
                digits.clear();
            }
            other => {
                out.push_str(&digits);
                digits.clear();
                out.push(other);
            }
        }
    }
    out + &digits
}

/// Makes a service with this `run`, down until it is asked up.
pub fn make(scratch: &Scratch, name: &str, run: &str) {
    scratch.script(&format!("sv/{name}/run"), run);
    scratch.file(&format!("sv/{name}/down"), "");
    let dir = scratch.path().join("sv").join(name).join("options");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("startsecs"), "0").unwrap();
}
