//! Which names in a scan directory become services, and when.

use crate::support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use support::scanning::{SLEEP, Scanning};
use support::{Scratch, output, program, stderr, stdout, until};

#[test]
fn what_stands_there_at_the_start_is_started() {
    let mut scan = Scanning::new();
    for name in ["a", "b"] {
        scan.service(name, SLEEP);
        scan.link(name);
    }
    scan.start();
    scan.up("a");
    scan.up("b");
}

#[test]
fn a_new_link_is_acted_on_without_a_rescan() {
    let mut scan = Scanning::new();
    scan.service("first", SLEEP);
    scan.service("late", SLEEP);
    scan.link("first");
    scan.start_with(&["--rescan", "1000 days"]);
    scan.up("first");
    scan.link("late");
    scan.up("late");
}

#[test]
fn a_directory_becomes_a_service_when_its_run_is_there_and_executable() {
    let mut scan = Scanning::new();
    let slow = scan.scan_dir().join("slow");
    fs::create_dir(&slow).unwrap();
    scan.service("end", SLEEP);
    scan.start_with(&["--rescan", "1000 days"]);
    scan.link("end");
    scan.up("end");
    let run = slow.join("run");
    fs::write(&run, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    scan.says("slow/run is not executable");
    assert!(!slow.join("supervise").exists());
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    until("it is supervised", || {
        slow.join("supervise/status").exists()
    });
    assert_eq!(scan.stderr().lines().count(), 1, "{}", scan.stderr());
}

#[test]
fn dots_plain_files_and_directories_without_run_are_ignored() {
    let mut scan = Scanning::new();
    scan.service("real", SLEEP);
    for path in ["scan/.hidden/run", "sv/x"] {
        scan.scratch.script(path, SLEEP);
    }
    scan.scratch.file("scan/plain", "text");
    fs::create_dir(scan.scan_dir().join("empty")).unwrap();
    fs::create_dir_all(scan.scan_dir().join("odd/run")).unwrap();
    scan.start();
    // In the order of names `real` comes last: when it runs, the others have been looked at.
    scan.link("real");
    scan.up("real");
    scan.says("odd/run is not a file: expected an executable program or script");
    for name in [".hidden", "empty", "odd"] {
        assert!(
            !scan.scan_dir().join(name).join("supervise").exists(),
            "{name}"
        );
    }
    assert_eq!(scan.stderr().lines().count(), 1, "{}", scan.stderr());
}

#[test]
fn a_dangling_link_is_told_of_once_and_starts_when_its_target_appears() {
    let mut scan = Scanning::new();
    scan.service("other", SLEEP);
    scan.link("late");
    scan.start_with(&["--rescan", "1000 days"]);
    scan.says("unable to open late: no such file or directory");
    scan.link("other");
    scan.up("other");
    // Complete at once, as a package would put it there.
    scan.scratch.script("new/run", SLEEP);
    fs::rename(scan.scratch.path().join("new"), scan.dir("late")).unwrap();
    scan.up("late");
    assert_eq!(scan.stderr().lines().count(), 1, "{}", scan.stderr());
}

#[test]
fn a_renamed_link_is_the_same_service_and_two_links_are_one() {
    let mut scan = Scanning::new();
    scan.service("one", SLEEP);
    scan.service("end", SLEEP);
    scan.link("one");
    scan.start();
    let (service, supervise) = (scan.up("one"), scan.supervised("one", None));
    fs::rename(scan.scan_dir().join("one"), scan.scan_dir().join("two")).unwrap();
    symlink("../sv/one", scan.scan_dir().join("three")).unwrap();
    scan.link("end");
    scan.up("end");
    assert_eq!(scan.up("one"), service);
    // Under its new names the supervise is started again as before.
    support::kill(supervise, libc::SIGKILL);
    scan.supervised("one", Some(supervise));
    assert_eq!(scan.up("one"), service);
    let supervises = scan.processes().len() - 2;
    assert_eq!(supervises, 2, "one for each directory");
}

#[test]
fn odd_names_work() {
    let mut scan = Scanning::new();
    scan.service("plain", SLEEP);
    let longest = [b'x'; 255];
    let names: [&[u8]; 5] = [b"new\nline", b"-dash", b"a b'\"$", b"\xff\xfe", &longest];
    for name in names {
        symlink("../sv/plain", scan.scan_dir().join(OsStr::from_bytes(name))).unwrap();
    }
    // Each a directory of its own, in place.
    for name in names {
        let dir = scan.scan_dir().join(OsStr::from_bytes(name));
        fs::remove_file(&dir).unwrap();
        fs::create_dir(&dir).unwrap();
        let run = fs::read(scan.dir("plain").join("run")).unwrap();
        support::executable(&dir.join("run"), run);
    }
    scan.start();
    for name in names {
        let dir = scan.scan_dir().join(OsStr::from_bytes(name));
        until("it runs", || {
            fs::read_to_string(dir.join("supervise/pid")).is_ok_and(|pid| pid.len() > 1)
        });
    }
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_log_under_an_odd_name_works() {
    let mut scan = Scanning::new();
    let name = "x".repeat(255);
    scan.logged(&name, "echo hello; exec sleep 1000");
    scan.link(&name);
    scan.start();
    until("the line is logged", || {
        scan.scratch.read(&format!("sv/{name}/log/out")) == "hello\n"
    });
}

#[test]
fn services_are_started_by_priority_and_then_by_name() {
    let mut scan = Scanning::new();
    for (name, priority) in [
        ("a", Some("20")),
        ("b", None),
        ("c", Some("-5")),
        ("d", Some("20")),
    ] {
        scan.service(name, SLEEP);
        if let Some(priority) = priority {
            scan.option(name, "priority", priority);
        }
        scan.link(name);
    }
    // A supervise that only says that it was started; in which order is strace's to tell.
    let supervise = scan
        .scratch
        .script("supervise", "echo $1 >>../order; exec sleep 1000");
    let log = scan.scratch.path().join("trace");
    let mut strace = Command::new(support::peer("strace"));
    strace.args([
        "-f",
        "-qq",
        "-e",
        "trace=execve",
        "-e",
        "status=successful",
        "-s",
        "200",
        "-o",
    ]);
    strace
        .arg(&log)
        .arg(program("svscan"))
        .arg("--supervise")
        .arg(&supervise)
        .arg(scan.scan_dir());
    scan.prepare(&mut strace);
    scan.svscan = Some(support::Running::start(&mut strace));
    until("all are started", || {
        scan.scratch.read("order").lines().count() == 4
    });
    let trace = fs::read_to_string(&log).unwrap();
    let order: Vec<&str> = trace
        .lines()
        .filter_map(|line| Some(line.split_once("[\"supervise\", \"")?.1.split_once('"')?.0))
        .collect();
    assert_eq!(order, ["c", "a", "d", "b"]);
}

#[test]
fn a_second_svscan_is_refused() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start();
    let pid = scan.up("a");
    let second = output(program("svscan"), [scan.scan_dir()]);
    assert_eq!(second.status.code(), Some(111));
    assert_eq!(
        stderr(&second),
        format!(
            "svscan: fatal: unable to scan {}: another svscan runs on it\n",
            scan.scan_dir().display()
        )
    );
    assert_eq!(scan.up("a"), pid);
}

#[test]
fn what_is_no_directory_is_refused() {
    let scratch = Scratch::new();
    let (none, file) = (scratch.path().join("none"), scratch.file("file", ""));
    for (path, why) in [
        (none, "no such file or directory"),
        (file, "not a directory"),
    ] {
        let refused = output(program("svscan"), [&path]);
        assert_eq!(refused.status.code(), Some(111));
        assert_eq!(
            stderr(&refused),
            format!("svscan: fatal: unable to scan {}: {why}\n", path.display())
        );
    }
}

#[test]
fn a_wrong_command_line_is_refused() {
    for (args, why) in [
        (
            &["--nonsense"][..],
            "invalid option '--nonsense'; see --help",
        ),
        (&["a", "b"], "unexpected argument \"b\"; see --help"),
        (&["--rescan", "0"], "--rescan: expected a time above 0"),
        (
            &["--rescan", "unlimited"],
            "--rescan: expected a time above 0",
        ),
        (&["--shutdown-timeout", "5x"], "--shutdown-timeout 5x: "),
    ] {
        let refused = output(program("svscan"), args);
        assert_eq!(refused.status.code(), Some(100), "{args:?}");
        assert!(
            stderr(&refused).starts_with(&format!("svscan: fatal: {why}")),
            "{}",
            stderr(&refused)
        );
    }
    let refused = output(program("svscan"), ["--supervise", "/nonexistent/supervise"]);
    assert_eq!(refused.status.code(), Some(111));
    assert_eq!(
        stderr(&refused),
        "svscan: fatal: unable to execute /nonexistent/supervise: no such file or directory\n"
    );
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = output(program("svscan"), ["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(stdout(&help).starts_with("usage: svscan [OPTION]... [DIR]\n"));
    let version = output(program("svscan"), ["--version"]);
    assert!(
        stdout(&version).starts_with("svscan (servicedir) "),
        "{}",
        stdout(&version)
    );
}

#[test]
fn without_an_argument_the_working_directory_is_scanned() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    let mut command = Command::new(program("svscan"));
    scan.prepare(command.current_dir(scan.scan_dir()));
    scan.svscan = Some(support::Running::start(&mut command));
    scan.up("a");
}

#[test]
fn a_scan_directory_that_goes_away_is_told_of_once_and_taken_up_when_it_returns() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.service("b", SLEEP);
    scan.link("a");
    scan.start_with(&["--rescan", "1000 days"]);
    let (service, supervise) = (scan.up("a"), scan.supervised("a", None));
    fs::remove_dir_all(scan.scan_dir()).unwrap();
    scan.says("no such file or directory; services go on, retrying every second");
    assert_eq!(scan.up("a"), service);
    fs::create_dir(scan.scan_dir()).unwrap();
    scan.link("a");
    scan.link("b");
    scan.up("b");
    scan.says("is scanned again");
    assert_eq!(
        (scan.up("a"), scan.supervised("a", None)),
        (service, supervise)
    );
    assert_eq!(scan.stderr().lines().count(), 2, "{}", scan.stderr());
    // It is locked as the first one was.
    assert_eq!(
        output(program("svscan"), [scan.scan_dir()]).status.code(),
        Some(111)
    );
}

#[test]
fn a_scan_directory_that_is_a_link_is_followed_when_it_is_switched() {
    let mut scan = Scanning::new();
    let at = |name: &str| scan.scratch.path().join(name);
    for name in ["both", "old", "new"] {
        scan.service(name, SLEEP);
    }
    for (set, names) in [("one", ["both", "old"]), ("two", ["both", "new"])] {
        fs::create_dir(at(set)).unwrap();
        for name in names {
            symlink(at("sv").join(name), at(set).join(name)).unwrap();
        }
    }
    fs::remove_dir(scan.scan_dir()).unwrap();
    symlink("one", at("scan")).unwrap();
    scan.start_with(&["--rescan", "1000 days", "--stop-removed"]);
    let pid = scan.up("both");
    let old = scan.up("old");
    symlink("two", scan.scratch.path().join("scan.new")).unwrap();
    fs::rename(scan.scratch.path().join("scan.new"), scan.scan_dir()).unwrap();
    scan.up("new");
    until("the one that is not there any more is stopped", || {
        !support::alive(old)
    });
    assert_eq!(scan.up("both"), pid);
}

#[test]
fn hup_looks_at_everything() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    scan.start_with(&["--rescan", "1000 days"]);
    let pid = scan.up("a");
    // What inotify does not tell: a directory that is reached through two links.
    symlink("../far/b", scan.dir("b")).unwrap();
    scan.link("b");
    scan.says("unable to open b");
    scan.scratch.script("far/b/run", "exec sleep 1000");
    scan.running().signal(libc::SIGHUP);
    scan.up("b");
    assert_eq!(scan.up("a"), pid);
}

#[test]
fn a_log_that_is_linked_itself_is_the_log_of_its_service_alone() {
    // Before its service in one case, and behind it in the other.
    for name in ["early", "zlate"] {
        let mut scan = Scanning::new();
        scan.logged("middle", "echo hello; exec sleep 1000");
        symlink("../sv/middle/log", scan.scan_dir().join(name)).unwrap();
        scan.start();
        scan.link("middle");
        until("the line is logged", || {
            scan.scratch.read("sv/middle/log/out") == "hello\n"
        });
        assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
        assert_eq!(scan.processes(), []);
        assert_eq!(scan.stderr(), "");
    }
}

#[test]
fn one_log_may_read_both_outputs_and_a_service_is_no_log_of_its_own() {
    let mut scan = Scanning::new();
    scan.logged("a", "echo out; echo err >&2; exec sleep 1000");
    symlink("log", scan.dir("a/errlog")).unwrap();
    scan.service("b", SLEEP);
    symlink(".", scan.dir("b/log")).unwrap();
    scan.link("a");
    scan.link("b");
    scan.start();
    until("both are logged", || {
        scan.scratch.read("sv/a/log/out") == "out\nerr\n"
    });
    scan.up("b");
    assert_eq!(scan.end(libc::SIGTERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}
