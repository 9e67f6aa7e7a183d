//! svcapture: what stands between the tokens becomes an event, and the log loses nothing.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};

use servicedir::spool;

use crate::support::{Running, Scratch, program, until};

/// A svcapture before a `cat` that writes to `log`.
fn capture(scratch: &Scratch, logger: &str) -> Running {
    let log = File::options()
        .append(true)
        .create(true)
        .open(scratch.path().join("log"))
        .unwrap();
    Running::start(
        Command::new(program("svcapture"))
            .args(["sh", "-c", logger])
            .current_dir(scratch.path())
            .stdin(Stdio::piped())
            .stdout(log),
    )
}

/// The data of all events that are offered.
fn offered(scratch: &Scratch) -> Vec<String> {
    let folder = scratch.path().join("capture");
    let numbers = spool::numbers(&folder).unwrap_or_default();
    let item = |number| spool::read(&folder, number).unwrap().unwrap();
    numbers
        .into_iter()
        .map(|number| String::from_utf8(item(number).data).unwrap())
        .collect()
}

fn write(capture: &mut Running, text: &str) {
    let stdin = capture.child().stdin.as_mut().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
}

#[test]
fn captures_are_offered_and_all_else_reaches_the_logger() {
    let scratch = Scratch::new();
    let mut capture = capture(&scratch, "exec cat");
    write(&mut capture, "a<!--XSUPERVISOR:BEG");
    until("the first part", || scratch.read("log") == "a");
    write(&mut capture, "IN-->one<!--XSUPERVISOR:END-->b\nshort");
    until("the log", || scratch.read("log") == "ab\nshort");
    assert_eq!(offered(&scratch), ["one"]);
    write(&mut capture, "<!--XSUPERVISOR:BEGIN-->no end");
    drop(capture.child().stdin.take());
    assert!(capture.ended().success());
    assert_eq!(
        scratch.read("log"),
        "ab\nshort<!--XSUPERVISOR:BEGIN-->no end"
    );
}

#[test]
fn a_logger_that_is_killed_leaves_its_input_to_the_next() {
    let scratch = Scratch::new();
    let mut first = capture(&scratch, "echo $$ >pid; read line; exec sleep 1000");
    write(&mut first, "one\ntwo\n<!--XSUPERVISOR:BEGIN-->thr");
    until("the logger", || scratch.read("pid").ends_with('\n'));
    let logger: i32 = scratch.read("pid").trim().parse().unwrap();
    until("one line that was read", || {
        fs::read_to_string(format!("/proc/{logger}/comm")).is_ok_and(|name| name == "sleep\n")
    });
    crate::support::kill(logger, libc::SIGKILL);
    assert_eq!(first.ended().code(), Some(128 + libc::SIGKILL));
    let mut second = capture(&scratch, "exec cat");
    write(&mut second, "ee<!--XSUPERVISOR:END-->four\n");
    drop(second.child().stdin.take());
    assert!(second.ended().success());
    assert_eq!(scratch.read("log"), "two\nfour\n");
    assert_eq!(offered(&scratch), ["three"]);
    assert!(!scratch.path().join("capture/rest").exists());
}

#[test]
fn term_ends_it_in_order_and_hup_goes_to_the_logger() {
    let scratch = Scratch::new();
    let python = "import signal, sys
signal.signal(signal.SIGHUP, lambda *_: print('hup'))
print('ready')
for line in sys.stdin: print(line, end='')
print('end')
";
    scratch.file("logger.py", python);
    let logger = "exec python3 -u logger.py";
    let mut capture = capture(&scratch, logger);
    until("the logger", || scratch.read("log") == "ready\n");
    capture.signal(libc::SIGHUP);
    until("the signal", || scratch.read("log") == "ready\nhup\n");
    write(&mut capture, "x\n");
    until("a line", || scratch.read("log") == "ready\nhup\nx\n");
    capture.signal(libc::SIGTERM);
    assert!(capture.ended().success());
    assert_eq!(scratch.read("log"), "ready\nhup\nx\nend\n");
}

#[test]
fn every_option_stands_in_the_help_and_the_manual() {
    let help = crate::support::stdout(&crate::support::output(program("svcapture"), ["--help"]));
    let page = include_str!("../../man/svcapture.8");
    for option in ["log", "max", "spool", "help", "version"] {
        assert!(help.contains(&format!("--{option}")), "{option}");
        assert!(page.contains(&format!("Fl -{option}")), "{option}");
    }
    assert!(help.lines().all(|line| line.len() < 80));
}
