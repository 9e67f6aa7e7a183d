//! svscan on directories in which other users, and services, may put what they like.
//!
//! The tests with two users need root; the tests are run by root in CI.

use crate::support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode};
use support::scanning::{COUNT, SLEEP, Scanning};
use support::{PATIENCE, Running, alive, eventually, kill, peer, until};

/// A user who is neither root nor the owner of anything else.
const EVIL: u32 = 54_321;

const KILL: i32 = libc::SIGKILL;
const TERM: i32 = libc::SIGTERM;

fn mkfifo(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::from(0o600)).unwrap();
}

/// What a process has as a descriptor.
fn descriptor(pid: i32, number: u32) -> String {
    let path = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn kill_and_wait(pid: i32) {
    kill(pid, KILL);
    until("it is dead", || !alive(pid));
}

#[test]
fn a_logger_cannot_pass_a_control_fifo_off_as_its_pipe() {
    let mut scan = Scanning::new();
    let victim = scan.service("victim", SLEEP);
    scan.service("web", "trap 'echo d' HUP; while :; do sleep 0.1; done");
    scan.link("victim");
    scan.start();
    let running = scan.up("victim");
    scan.scratch.script(
        "sv/web/log/run",
        &format!(
            "exec 0<>{}/supervise/control; echo >ready; exec sleep 1000",
            victim.display()
        ),
    );
    scan.link("web");
    until("the logger is ready", || scan.dir("web/log/ready").exists());
    let supervises = [
        scan.supervised("web", None),
        scan.supervised("web/log", None),
    ];
    scan.end(KILL);
    supervises.into_iter().for_each(kill_and_wait);

    scan.start();
    let new = scan.supervised("web", Some(supervises[0]));
    scan.supervised("web/log", Some(supervises[1]));
    let output = descriptor(new, 1);
    assert!(output.starts_with("pipe:["), "{output}");
    // The service still has the pipe that it had.
    assert_eq!(descriptor(scan.up("web"), 1), output);
    assert_eq!(scan.up("victim"), running);
    scan.end(TERM);
}

#[test]
fn a_filter_of_a_service_is_not_taken_for_its_log() {
    let mut scan = Scanning::new();
    let filter = "exec > >(while read -r line; do echo \"filtered $line\"; done)";
    scan.logged("a", &format!("exec bash -c '{filter}; {COUNT}'"));
    scan.link("a");
    scan.start();
    let lines = |scan: &Scanning| scan.scratch.read("sv/a/log/out").lines().count();
    until("there are lines", || lines(&scan) > 3);
    let logger = scan.up("a/log");
    let supervises = [scan.supervised("a", None), scan.supervised("a/log", None)];
    scan.end(KILL);
    supervises.into_iter().for_each(kill_and_wait);
    kill_and_wait(logger);

    scan.start();
    let before = lines(&scan);
    until("the log goes on", || lines(&scan) > before + 20);
    scan.end(TERM);
    for line in scan.scratch.read("sv/a/log/out").lines() {
        assert!(line.starts_with("filtered "), "{line}");
    }
}

#[test]
fn a_pipe_that_no_process_has_any_more_is_reported_and_made_anew() {
    let mut scan = Scanning::new();
    scan.logged("a", "exec >/dev/null; exec sleep 1000");
    scan.link("a");
    scan.start();
    let service = scan.up("a");
    until("it has let go its pipe", || {
        descriptor(service, 1) == "/dev/null"
    });
    let logger = scan.up("a/log");
    let supervises = [scan.supervised("a", None), scan.supervised("a/log", None)];
    scan.end(KILL);
    supervises.into_iter().for_each(kill_and_wait);
    kill_and_wait(logger);
    scan.start();
    scan.says("svscan: warning: the pipe to a/log was not found: made a new one");
    scan.supervised("a", Some(supervises[0]));
    scan.end(TERM);
}

#[test]
fn a_user_who_can_read_the_scan_directory_cannot_keep_svscan_away() {
    let mut scan = Scanning::new();
    fs::set_permissions(scan.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    scan.service("a", SLEEP);
    scan.link("a");
    let lock = |file: &Path| {
        let mut command = Command::new(peer("setpriv"));
        command
            .args(["--reuid", &EVIL.to_string(), "--clear-groups"])
            .arg(peer("flock"))
            .args(["--nonblock".as_ref(), file.as_os_str()])
            .args(["sh", "-c", "echo locked; exec sleep 1000"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        Running::start(&mut command)
    };
    let mut held = lock(&scan.scan_dir());
    let mut line = [0; 7];
    std::io::Read::read_exact(held.child().stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(&line, b"locked\n");
    scan.start();
    scan.up("a");
    // Nor can the lock itself be opened.
    let file = scan.scan_dir().join(".svscan.lock");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!lock(&file).ended().success());
    assert_eq!(scan.end(TERM).code(), Some(0));
}

#[test]
fn a_second_svscan_is_refused_where_the_lock_cannot_be_made() {
    let mut scan = Scanning::new();
    scan.service("a", SLEEP);
    scan.link("a");
    // As on a read-only file system, for which these tests would need a mount.
    let start = |scan: &Scanning| {
        let mut command = Command::new(peer("unshare"));
        command.args(["--mount", "sh", "-c"]);
        command.arg(
            "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && exec \"$0\" \"$1\"",
        );
        command.arg(support::program("svscan")).arg(scan.scan_dir());
        scan.prepare(&mut command);
        Running::start(&mut command)
    };
    scan.svscan = Some(start(&scan));
    scan.up("a");
    assert_eq!(start(&scan).ended().code(), Some(111));
    scan.says("another svscan runs on it");
    assert!(!scan.scan_dir().join(".svscan.lock").exists());
    assert_eq!(scan.end(TERM).code(), Some(0));
}

#[test]
fn a_daemon_whose_pid_file_is_linked_as_a_lock_is_neither_adopted_nor_signalled() {
    let mut scan = Scanning::new();
    let evil = scan.service("evil", SLEEP);
    chown(&evil, Some(EVIL), Some(EVIL)).unwrap();
    let pid_file = scan.scratch.file("daemon.pid", "");
    let mut command = Command::new(peer("flock"));
    command
        .arg("--no-fork")
        .arg(&pid_file)
        .args(["sh", "-c", "echo $$ >\"$0\"; exec sleep 1000"])
        .arg(&pid_file);
    let daemon = Running::start(&mut command);
    until("the daemon is there", || {
        !scan.scratch.read("daemon.pid").is_empty()
    });
    let state = evil.join("supervise");
    fs::create_dir(&state).unwrap();
    mkfifo(&state.join("ok"));
    mkfifo(&state.join("control"));
    for file in ["", "ok", "control"] {
        chown(state.join(file), Some(EVIL), Some(EVIL)).unwrap();
    }
    symlink(&pid_file, state.join("lock")).unwrap();
    // Someone reads the FIFOs, as a supervise does.
    let reads = |name: &str| {
        let mut options = fs::File::options();
        options
            .read(true)
            .write(true)
            .open(state.join(name))
            .unwrap()
    };
    let _held = [reads("ok"), reads("control")];
    scan.link("evil");
    scan.start();
    scan.says("evil is supervised already, by a process that cannot be found");
    assert_eq!(scan.end(TERM).code(), Some(0));
    assert!(alive(daemon.pid()));
}

#[test]
fn a_linked_control_gets_no_command_and_its_service_is_stopped_all_the_same() {
    let mut scan = Scanning::new();
    scan.service("victim", SLEEP);
    let evil = scan.service("evil", SLEEP);
    chown(&evil, Some(EVIL), Some(EVIL)).unwrap();
    scan.link("victim");
    scan.link("evil");
    scan.start_with(&["--stop-removed"]);
    let (victim, stopped) = (scan.up("victim"), scan.up("evil"));
    let control = evil.join("supervise/control");
    fs::remove_file(&control).unwrap();
    symlink(scan.dir("victim/supervise/control"), &control).unwrap();
    scan.unlink("evil");
    until("evil is stopped", || !alive(stopped));
    assert_eq!(scan.up("victim"), victim);
    assert_eq!(scan.end(TERM).code(), Some(0));
    assert_eq!(scan.processes(), []);
}

#[test]
fn a_supervise_that_is_another_users_link_is_not_followed() {
    let mut scan = Scanning::new();
    scan.service("victim", SLEEP);
    let evil = scan.service("evil", SLEEP);
    chown(&evil, Some(EVIL), Some(EVIL)).unwrap();
    scan.link("victim");
    scan.start();
    let victim = scan.up("victim");
    let link = evil.join("supervise");
    symlink(scan.dir("victim/supervise"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(EVIL), Some(EVIL)).unwrap();
    scan.link("evil");
    scan.says("unable to find the supervise of evil: owned by user 0");
    let begun = std::time::Instant::now();
    assert_eq!(scan.end(TERM).code(), Some(0));
    assert!(begun.elapsed() < PATIENCE);
    assert!(!alive(victim));
}

#[test]
fn no_file_in_a_service_directory_hangs_svscan() {
    for file in [
        "options/priority",
        "options/essential",
        "supervise/status",
        "supervise/lock",
        "supervise/ok",
        "supervise/control",
    ] {
        let mut scan = Scanning::new();
        scan.service("b", SLEEP);
        let dir = scan.service("a", SLEEP);
        fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
        mkfifo(&dir.join(file));
        scan.link("a");
        scan.link("b");
        scan.start();
        scan.up("b");
        if file == "options/essential" {
            scan.says("options/essential: ");
            // It counts as yes, and its service is FATAL.
            assert!(scan.running().ended().code().is_some());
            scan.svscan = None;
        } else {
            assert_eq!(scan.end(TERM).code(), Some(0), "{file}");
        }
    }
}

#[test]
fn a_device_in_the_place_of_an_option_does_not_fill_the_memory() {
    let mut scan = Scanning::new();
    let dir = scan.service("a", SLEEP);
    fs::create_dir(dir.join("options")).unwrap();
    symlink("/dev/zero", dir.join("options/priority")).unwrap();
    fs::create_dir(dir.join("supervise")).unwrap();
    symlink("/dev/zero", dir.join("supervise/status")).unwrap();
    scan.service("b", SLEEP);
    scan.link("a");
    scan.link("b");
    scan.start();
    scan.up("b");
    let svscan = scan.running().pid();
    let resident = eventually("its memory is known", || {
        let status = fs::read_to_string(format!("/proc/{svscan}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let text = line
            .and_then(|line| line.split_whitespace().next())
            .unwrap_or("");
        text.parse::<u64>().map_err(|_| status.clone())
    });
    assert!(resident < 32 * 1024, "{resident} KiB");
    assert_eq!(scan.end(TERM).code(), Some(0));
}
