//! svc, svstat and svok in service directories where other users have put something in a file's place.
//!
//! The tests with two users need root; the tests are run by root in CI.

use crate::support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::{CWD, Mode};
use servicedir::status::{State, Want};
use support::supervised::{Forged, status};
use support::{Running, Scratch, program, stderr, stdout};

/// A user who is neither root nor the owner of anything else.
const EVIL: u32 = 54_321;

/// Runs a program of the suite without a controlling terminal; a program that does not end is
/// killed, and its test fails.
fn run(cwd: &Path, name: &str, args: &[&str]) -> Output {
    let mut child = Running::start(
        Command::new("setsid")
            .arg("--wait")
            .arg(program(name))
            .args(args)
            .current_dir(cwd)
            .env_remove("SVDIR")
            .env_remove("SUPERVISEDIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    );
    let status = child.ended();
    let read = |pipe: Option<&mut dyn Read>| {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    };
    let child = child.child();
    let stdout = read(child.stdout.as_mut().map(|pipe| pipe as &mut dyn Read));
    let stderr = read(child.stderr.as_mut().map(|pipe| pipe as &mut dyn Read));
    Output {
        status,
        stdout,
        stderr,
    }
}

fn mkfifo(path: &Path) {
    rustix::fs::mkfifoat(CWD, path, Mode::from(0o600)).unwrap();
}

/// Makes something at a path.
type Put = fn(&Path);

/// A service `web` that is up, and whose status is then replaced by what `put` makes.
fn with_status(put: impl FnOnce(&Path)) -> (Scratch, Forged) {
    let scratch = Scratch::new();
    let web = Forged::new(&scratch.path().join("web"));
    web.announce(&status(State::Running, 5, Want::Up));
    let path = web.dir.join("supervise/status");
    fs::remove_file(&path).unwrap();
    put(&path);
    (scratch, web)
}

#[test]
fn a_status_that_is_not_a_file_is_not_read() {
    let kinds: [(&str, Put); 4] = [
        ("not a regular file", mkfifo),
        ("a symbolic link, which is not followed here", |path| {
            symlink("/dev/zero", path).unwrap();
        }),
        ("a symbolic link, which is not followed here", |path| {
            symlink("/dev/tty", path).unwrap();
        }),
        ("longer than 65536 bytes", |path| {
            fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
        }),
    ];
    for (words, put) in kinds {
        let (scratch, web) = with_status(put);
        let line = run(scratch.path(), "svstat", &["web"]);
        assert_eq!(
            stdout(&line),
            format!("web: unable to open supervise/status: {words}\n")
        );
        let wait = run(scratch.path(), "svc", &["-T", "100ms", "-d", "web"]);
        assert_eq!(wait.status.code(), Some(99), "{}", stderr(&wait));
        assert_eq!(web.commands(), "d");
        let watch = run(scratch.path(), "svstat", &["-q", "web"]);
        assert_eq!(watch.status.code(), Some(111));
    }
}

#[test]
fn commands_in_a_fifo_called_status_stay_there() {
    let scratch = Scratch::new();
    let victim = Forged::new(&scratch.path().join("victim"));
    let evil = Forged::new(&scratch.path().join("evil"));
    let path = evil.dir.join("supervise/status");
    symlink("../../victim/supervise/control", &path).unwrap();
    run(scratch.path(), "svc", &["-u", "victim"]);
    run(scratch.path(), "svstat", &["evil"]);
    assert_eq!(victim.commands(), "u");
}

#[test]
fn a_control_fifo_is_not_reached_through_a_link() {
    let scratch = Scratch::new();
    let victim = Forged::new(&scratch.path().join("victim"));
    let evil = Forged::new(&scratch.path().join("evil"));
    let control = evil.dir.join("supervise/control");
    fs::remove_file(&control).unwrap();
    symlink("../../victim/supervise/control", &control).unwrap();
    let output = run(scratch.path(), "svc", &["-d", "evil"]);
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (
            Some(111),
            "svc: warning: unable to control evil: its control file is a symbolic link, which is \
             not followed here\n"
        )
    );
    assert_eq!(victim.commands(), "");
}

/// A service of root's and a service directory that belongs to another user.
struct TwoUsers {
    scratch: Scratch,
    victim: Forged,
    evil: PathBuf,
}

impl TwoUsers {
    fn new() -> Self {
        assert!(rustix::process::getuid().is_root(), "this test needs root");
        let scratch = Scratch::new();
        let victim = Forged::new(&scratch.path().join("victim"));
        victim.announce(&status(State::Running, 5, Want::Up));
        let evil = scratch.path().join("evil");
        fs::create_dir(&evil).unwrap();
        chown(&evil, Some(EVIL), Some(EVIL)).unwrap();
        Self {
            scratch,
            victim,
            evil,
        }
    }

    /// What root's programs answer for the other user's service: svc's, svstat's and svok's codes
    /// and what they print, in one text.
    fn answers(&self) -> String {
        let svc = run(self.scratch.path(), "svc", &["-d", "evil"]);
        let svstat = run(self.scratch.path(), "svstat", &["evil"]);
        let svok = run(self.scratch.path(), "svok", &["evil"]);
        let code = |output: &Output| output.status.code().unwrap();
        format!(
            "{} {}{} {}{}",
            code(&svc),
            stderr(&svc),
            code(&svok),
            stderr(&svok),
            stdout(&svstat)
        )
    }
}

#[test]
fn a_link_of_another_user_does_not_lead_root_to_root_s_service() {
    let users = TwoUsers::new();
    let link = users.evil.join("supervise");
    symlink("../victim/supervise", &link).unwrap();
    lchown(&link, Some(EVIL), Some(EVIL)).unwrap();
    let why = "owned by user 0, who is not the owner of the service directory";
    assert_eq!(
        users.answers(),
        format!(
            "111 svc: warning: unable to control evil: its control file is {why}\n\
             111 svok: fatal: unable to open evil/supervise/ok: {why}\n\
             evil: unable to open supervise/ok: {why}\n"
        )
    );
    assert_eq!(users.victim.commands(), "");
}

#[test]
fn a_second_name_of_root_s_fifo_in_another_user_s_directory_is_not_used() {
    let users = TwoUsers::new();
    let state = users.evil.join("supervise");
    fs::create_dir(&state).unwrap();
    for name in ["control", "ok", "status"] {
        fs::hard_link(
            users.victim.dir.join("supervise").join(name),
            state.join(name),
        )
        .unwrap();
    }
    assert!(users.answers().starts_with("111 "), "{}", users.answers());
    assert_eq!(users.victim.commands(), "");
}

#[test]
fn root_s_own_link_and_root_s_supervise_in_another_user_s_directory_work() {
    let users = TwoUsers::new();
    let real = users.evil.join("supervise");
    // The supervise of root makes its files there.
    let theirs = Forged::new(&users.evil);
    theirs.announce(&status(State::Running, 5, Want::Up));
    assert!(users.answers().starts_with("0 0 evil: up (pid 5)"));
    assert_eq!(theirs.commands(), "d");
    // The administrator moves the state to another place.
    fs::rename(&real, users.scratch.path().join("state")).unwrap();
    symlink("../state", &real).unwrap();
    assert!(users.answers().starts_with("0 0 evil: up (pid 5)"));
    assert_eq!(theirs.commands(), "d");
}

#[test]
fn a_control_fifo_that_root_gave_away_works_for_its_owner_and_for_root() {
    let users = TwoUsers::new();
    for name in ["control", "ok"] {
        let path = users.victim.dir.join("supervise").join(name);
        chown(path, Some(EVIL), Some(EVIL)).unwrap();
    }
    let output = run(users.scratch.path(), "svc", &["-d", "victim"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(users.victim.commands(), "d");
}
