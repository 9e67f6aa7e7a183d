//! What svctl does on its own: definitions, logs, the shell, and an end without a svscan.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::support::scanning::{SLEEP, Scanning};
use crate::support::{Running, eventually, path_of_programs, program, stderr, stdout, until};

/// A scan directory that was imported, with a svscan on it.
struct Imported {
    scanning: Scanning,
}

impl Imported {
    fn new(programs: &str) -> Self {
        let mut imported = Self {
            scanning: Scanning::new(),
        };
        imported.configure(programs);
        let output = Command::new(program("svimport"))
            .arg(imported.file())
            .arg("--into")
            .arg(imported.scanning.scan_dir())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let mut svscan = imported.scanning.command(&[]);
        svscan.env("PATH", path_of_programs());
        imported.scanning.svscan = Some(Running::start(&mut svscan));
        imported
    }

    fn file(&self) -> PathBuf {
        self.scanning.scratch.path().join("supervisord.conf")
    }

    fn configure(&self, programs: &str) {
        let text = format!("[supervisord]\nnodaemon=true\n{programs}");
        self.scanning.scratch.file("supervisord.conf", text);
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program("svctl"));
        command
            .args(words)
            .env("SVDIR", self.scanning.scan_dir())
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line.split(' ').collect();
        self.command(&words).output().unwrap()
    }

    fn says(&self, line: &str) -> String {
        stdout(&self.run(line))
    }

    #[track_caller]
    fn is(&self, name: &str, state: &str) {
        eventually(&format!("{name} {state}"), || {
            let text = self.says(&format!("status {name}"));
            if text.split_whitespace().nth(1) == Some(state) {
                Ok(())
            } else {
                Err(text)
            }
        });
    }
}

fn sleeping(name: &str, more: &str) -> String {
    format!(
        "[program:{name}]\ncommand=sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n{more}"
    )
}

#[test]
fn a_changed_file_is_reread_and_updated_group_by_group() {
    let imported =
        Imported::new(&(sleeping("stays", "") + &sleeping("changes", "") + &sleeping("goes", "")));
    for name in ["stays", "changes", "goes"] {
        imported.is(name, "RUNNING");
    }
    assert_eq!(imported.says("reread"), "No config updates to processes\n");
    let pid = |name: &str| imported.says(&format!("pid {name}"));
    let (stays, changes) = (pid("stays"), pid("changes"));
    imported.configure(
        &(sleeping("stays", "")
            + &sleeping("changes", "stopwaitsecs=3\n")
            + &sleeping("comes", "")),
    );
    let changed = "changes: changed\ncomes: available\ngoes: disappeared\n";
    assert_eq!(imported.says("reread"), changed);
    assert_eq!(imported.says("reread"), changed);
    imported.is("goes", "RUNNING");
    assert!(
        imported
            .says("avail")
            .contains("comes                            avail     auto      999:999\n")
    );
    assert_eq!(
        imported.says("update"),
        "goes: stopped\ngoes: removed process group\nchanges: stopped\nchanges: updated process group\ncomes: added process group\n"
    );
    for name in ["stays", "changes", "comes"] {
        imported.is(name, "RUNNING");
    }
    assert_eq!(pid("stays"), stays);
    assert_ne!(pid("changes"), changes);
    assert_eq!(
        imported.says("status goes"),
        "goes: ERROR (no such process)\n"
    );
    assert_eq!(imported.says("update"), "");
    assert_eq!(imported.says("reread"), "No config updates to processes\n");
}

#[test]
fn a_fault_in_the_file_is_the_answer_of_reread_and_touches_nothing() {
    let imported = Imported::new(&sleeping("web", ""));
    imported.is("web", "RUNNING");
    imported.configure(&sleeping("web", "startsecs=soon\n"));
    for line in ["reread", "update"] {
        let output = imported.run(line);
        assert_eq!(output.status.code(), Some(1));
        let text = stdout(&output);
        assert!(text.contains("CANT_REREAD: "), "{text}");
        assert!(
            text.contains("[program:web] startsecs: \"soon\": expected a whole number"),
            "{text}"
        );
    }
    imported.is("web", "RUNNING");
}

#[test]
fn a_removed_service_ends_with_its_log_and_comes_back() {
    let imported = Imported::new("[program:web]\ncommand=sleep 1000\nstderr_logfile=NONE\n");
    imported.is("web", "RUNNING");
    assert_eq!(
        imported.says("remove web"),
        "ERROR: process/group still running: web\n"
    );
    imported.run("stop web");
    assert_eq!(imported.says("remove web"), "web: removed process group\n");
    assert!(!imported.scanning.scan_dir().join("web").exists());
    for state in ["web/supervise", "web/log/supervise"] {
        let ok = imported
            .scanning
            .scan_dir()
            .join(".available")
            .join(state)
            .join("ok");
        assert!(!servicedir::control::is_supervised(&ok).unwrap(), "{state}");
    }
    assert_eq!(imported.says("add web"), "web: added process group\n");
    imported.is("web", "RUNNING");
}

#[test]
fn a_service_of_the_administrator_is_removed_and_added_too() {
    let imported = Imported::new(&sleeping("web", ""));
    imported.scanning.scratch.script("scan/own/run", SLEEP);
    imported.is("own", "RUNNING");
    imported.run("stop own");
    assert_eq!(imported.says("remove own"), "own: removed process group\n");
    assert!(
        imported
            .says("avail")
            .contains("own                              avail     auto      999:999\n")
    );
    assert_eq!(imported.says("add own"), "own: added process group\n");
    imported.is("own", "RUNNING");
}

#[test]
fn a_log_is_followed_over_its_rotation() {
    let imported = Imported::new(
        "[program:count]\ncommand=/bin/sh -c \"i=0; while :; do i=$((i+1)); echo line $i; sleep 0.005; done\"\n\
         stdout_logfile_maxbytes=4KB\nstdout_logfile_backups=3\nredirect_stderr=true\n",
    );
    imported.is("count", "RUNNING");
    until("a log", || imported.says("tail count").starts_with("line "));
    let mut tail = Running::start(
        imported
            .command(&["tail", "-f", "count"])
            .stdout(Stdio::piped()),
    );
    let out = tail.child().stdout.take().unwrap();
    let mut lines = BufReader::new(out).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "==> Press Ctrl-C to exit <==");
    // The first line may be half of one.
    let mut last = 0;
    for line in lines.by_ref().skip(1).take(1500) {
        let number: u32 = line.strip_prefix("line ").unwrap().parse().unwrap();
        assert!(last == 0 || number == last + 1, "{last}, then {number}");
        last = number;
    }
    tail.signal(libc::SIGINT);
    // The rest is read, so that the end of the program is not held up by a full pipe.
    let rest: Vec<String> = lines.collect();
    assert_eq!(rest.last().map(String::as_str), Some(""));
    assert_eq!(tail.ended().code(), Some(0));
}

#[test]
fn clear_leaves_an_empty_log_and_no_old_files() {
    let imported = Imported::new(
        "[program:web]\ncommand=/bin/sh -c \"echo out; echo err >&2; exec sleep 1000\"\n",
    );
    imported.is("web", "RUNNING");
    until("both logs", || {
        imported.says("tail web") == "out\n\n" && imported.says("tail web stderr") == "err\n\n"
    });
    assert_eq!(imported.says("clear web"), "web: cleared\n");
    assert_eq!(
        (imported.says("tail web"), imported.says("tail web stderr")),
        ("\n".into(), "\n".into())
    );
    let log = imported.scanning.scan_dir().join("web/log/main");
    let old = fs::read_dir(log).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with('@')
    });
    assert_eq!(old.count(), 0);
    imported.run("restart web");
    until("the log goes on", || imported.says("tail web") == "out\n\n");
}

#[test]
fn the_shell_runs_status_first_and_exits_0() {
    let imported = Imported::new(&sleeping("web", ""));
    imported.is("web", "RUNNING");
    let mut shell = imported
        .command(&[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(b"stop nope\n\npid nope\nquit\n").unwrap();
    drop(input);
    let output = shell.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    let (first, rest) = text.split_once('\n').unwrap();
    assert!(
        first.starts_with("web  ") && first.contains("RUNNING"),
        "{first}"
    );
    assert_eq!(
        rest,
        "supervisor> nope: ERROR (no such process)\nsupervisor> supervisor> No such process nope\nsupervisor> \n"
    );
}

#[test]
fn without_a_svscan_the_codes_are_those_of_a_server_that_is_down() {
    let mut imported = Imported::new(&sleeping("web", ""));
    imported.is("web", "RUNNING");
    assert_eq!(imported.says("shutdown"), "Shut down\n");
    assert_eq!(
        imported.scanning.svscan.take().unwrap().ended().code(),
        Some(0)
    );
    let scan = imported.scanning.scan_dir();
    let shown = scan.display();
    for (line, text, code) in [
        ("status", "refused connection", 4),
        ("start web", "refused connection", 4),
        ("pid", "refused connection", 4),
        ("update", "refused connection", 1),
    ] {
        let output = imported.run(line);
        assert_eq!(stdout(&output), format!("{shown} {text}\n"), "{line}");
        assert_eq!(output.status.code(), Some(code), "{line}");
    }
    let shutdown = imported.run("shutdown");
    assert_eq!(
        (stdout(&shutdown), shutdown.status.code()),
        (
            format!("ERROR: {shown} refused connection (already shut down?)\n"),
            Some(1)
        )
    );
    let nowhere = Command::new(program("svctl"))
        .args(["--svdir", "/nonexistent", "start", "x"])
        .output()
        .unwrap();
    assert_eq!(
        (stdout(&nowhere), nowhere.status.code()),
        ("/nonexistent no such file\n".into(), Some(7))
    );
}

#[test]
fn supervisorctl_s_options_are_taken_and_another_machine_is_refused() {
    let imported = Imported::new(&sleeping("web", ""));
    imported.is("web", "RUNNING");
    let ours = [
        "-c",
        "/etc/supervisord.conf",
        "-u",
        "a",
        "-p",
        "b",
        "-s",
        "unix:///run/s.sock",
        "pid",
        "web",
    ];
    assert_eq!(
        imported.command(&ours).output().unwrap().status.code(),
        Some(0)
    );
    let other = imported
        .command(&["-s", "http://elsewhere:9001", "stop", "web"])
        .output()
        .unwrap();
    assert_eq!(other.status.code(), Some(2));
    assert!(
        stderr(&other).contains("svctl controls the scan directory of this machine"),
        "{}",
        stderr(&other)
    );
    imported.is("web", "RUNNING");
}

#[test]
fn who_may_not_control_is_told_so() {
    let imported = Imported::new(&sleeping("web", ""));
    imported.is("web", "RUNNING");
    let scratch = imported.scanning.scratch.path();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(scratch, all).unwrap();
    let nobody = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        // The built program may stand where only root can go.
        let copy = scratch.join("svctl");
        if !copy.exists() {
            crate::support::copy_of("svctl", &copy);
        }
        command
            .arg(copy)
            .args(words)
            .env("SVDIR", imported.scanning.scan_dir());
        command.output().unwrap()
    };
    assert!(stdout(&nobody("status")).contains("RUNNING"));
    let stop = nobody("stop web");
    assert_eq!(stop.status.code(), Some(1));
    assert_eq!(
        stdout(&stop),
        "web: ERROR (unable to control web: permission denied)\n"
    );
    imported.is("web", "RUNNING");
}
