//! One list of invocations for the real supervisorctl on a real supervisord, and for svctl on the services
//! that were imported from the same file: the outputs and exit codes are the same, but for pids, times, and
//! what svctl(8) lists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{Running, Scratch, eventually, path_of_programs, peer, program, stdout};

/// What is typed, in this order. A line of blanks is a wait until nothing is STARTING, STOPPING or BACKOFF.
const INVOCATIONS: &[&str] = &[
    " ",
    "status",
    "status ok",
    "status ok manual",
    "status grp:*",
    "status grp:",
    "status grp",
    "status grp:g1",
    "status w:w_00 w:w_01",
    "status nope",
    "status nope:*",
    "status nope nope:* ok",
    "status all",
    "avail",
    "avail x",
    "pid ok",
    "pid ok nope manual",
    "pid nope",
    "start",
    "start ok",
    "start manual",
    "start manual ok",
    "start nope",
    "start nope:*",
    "start nope:x",
    "start fails",
    "status fails",
    "start fails ok",
    "start brief",
    "status brief",
    "start grp:*",
    "stop",
    "stop manual",
    "stop manual",
    "stop nope",
    "stop nope:*",
    "stop grp:g1",
    "status grp:g1",
    "start grp:*",
    "start grp:g1",
    "stop grp:g1 grp:g2",
    "start grp:g2 grp:g1",
    "restart",
    "restart ok",
    "restart nope",
    "restart nope:*",
    "restart manual",
    "restart grp:g1 w:w_00",
    "signal",
    "signal HUP",
    "signal USR1 deaf",
    "signal SIGUSR1 deaf",
    "signal usr1 deaf ok:nope",
    "signal 10 deaf",
    "signal FOO deaf",
    "signal USR1 nope",
    "signal USR1 nope:*",
    "signal USR1 fails",
    "signal 0 deaf",
    "tail ok",
    "tail -3 ok",
    "tail ok stdout",
    "tail ok stderr",
    "tail ok STDOUT",
    "tail ok middle",
    "tail nope",
    "tail",
    "tail a b c d",
    "tail -x ok",
    "tail -5",
    "tail deaf",
    "maintail -x",
    "maintail x",
    "maintail a b",
    "clear",
    "clear nope",
    "clear grp:*",
    "clear ok",
    "tail ok",
    "reread",
    "reread x",
    "update",
    "update nope",
    "add",
    "add nope",
    "add ok",
    "remove",
    "remove nope",
    "remove ok",
    "stop ok",
    "remove ok",
    "status ok",
    "add ok",
    " ",
    "status ok",
    "fg",
    "fg nope",
    "fg fails",
    "fg a b",
    "version",
    "version x",
    "open nonsense",
    "nonsense",
    "nonsense with words",
    "-nonsense",
    "help",
    "help nonsense",
    "?",
    "shutdown x",
    "reload x",
    "quit",
    "exit",
    "stop deaf fails",
    "status",
];

/// The same configuration for both. Each program is quick to answer; the two that share a group are started and
/// stopped together, so their answers may come in any order.
fn configuration(place: &Path) -> String {
    let place = place.display();
    let mut text = format!(
        "[unix_http_server]\nfile={place}/real.sock\n\
         [supervisord]\nlogfile={place}/real.log\npidfile={place}/real.pid\nnodaemon=true\nchildlogdir={place}\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{place}/real.sock\n\
         [group:grp]\nprograms=g1,g2\n"
    );
    let programs = [
        ("ok", "/bin/sh -c \"echo hello; exec sleep 1000\"", ""),
        ("manual", "sleep 1000", "autostart=false\n"),
        (
            "fails",
            "/bin/sh -c \"sleep 0.1; exit 3\"",
            "autostart=false\nstartretries=0\n",
        ),
        (
            "brief",
            "/bin/sh -c \"exec sleep 1000\"",
            "autorestart=false\nautostart=false\n",
        ),
        (
            "deaf",
            "/bin/sh -c \"trap '' USR1; while :; do sleep 0.1; done\"",
            "stopasgroup=true\n",
        ),
        ("g1", "sleep 1000", ""),
        ("g2", "sleep 1000", ""),
        (
            "w",
            "sleep 1000",
            "process_name=%(program_name)s_%(process_num)02d\nnumprocs=2\n",
        ),
    ];
    for (name, command, more) in programs {
        let log = match name {
            "ok" => format!("{place}/ok.out"),
            _ => "NONE".to_owned(),
        };
        text.push_str(&format!(
            "[program:{name}]\ncommand={command}\n{more}stdout_logfile={log}\nstderr_logfile=NONE\n"
        ));
    }
    text
}

/// Both sides.
struct Pair {
    scratch: Scratch,
    _supervisord: Running,
    _svscan: Running,
}

impl Pair {
    fn start() -> Self {
        let scratch = Scratch::new();
        let conf = scratch.file("real.conf", configuration(scratch.path()));
        // The other one without its server: that would be one more service.
        let text = fs::read_to_string(&conf).unwrap();
        let (_, rest) = text.split_once("[supervisord]").unwrap();
        let rest = rest.replace("/ok.out", "/imported.out");
        let imported = scratch.file("imported.conf", format!("[supervisord]{rest}"));
        let scan = scratch.path().join("scan");
        let import = Command::new(program("svimport"))
            .arg(imported)
            .arg("--into")
            .arg(&scan)
            .stderr(Stdio::null())
            .output()
            .unwrap();
        assert!(import.status.success());
        let quiet = |command: &mut Command| {
            let command = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .stdin(Stdio::null());
            Running::start(command)
        };
        let supervisord = quiet(
            Command::new(peer_path("supervisord"))
                .arg("-n")
                .arg("-c")
                .arg(&conf),
        );
        let svscan = quiet(
            Command::new(program("svscan"))
                .arg(&scan)
                .env("PATH", path_of_programs())
                .env_remove("SUPERVISEDIR"),
        );
        Self {
            scratch,
            _supervisord: supervisord,
            _svscan: svscan,
        }
    }

    fn theirs(&self, line: &str) -> Output {
        let mut command = Command::new(peer_path("supervisorctl"));
        command.arg("-c").arg(self.scratch.path().join("real.conf"));
        run(command, line)
    }

    fn ours(&self, line: &str) -> Output {
        let mut command = Command::new(program("svctl"));
        command.env("SVDIR", self.scratch.path().join("scan"));
        run(command, line)
    }

    /// Waits until both have come to rest.
    fn settle(&self) {
        eventually("services at rest on both sides", || {
            let sides = [self.theirs("status"), self.ours("status")];
            let moving = |text: &str| {
                [
                    "STARTING",
                    "STOPPING",
                    "BACKOFF",
                    "refused",
                    "no such file",
                    "error",
                    "UNKNOWN",
                ]
                .iter()
                .any(|word| text.contains(word))
            };
            let texts = sides.map(|side| stdout(&side));
            if texts.iter().any(|text| moving(text) || text.is_empty()) {
                Err(texts)
            } else {
                Ok(())
            }
        });
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.theirs("shutdown");
        self.ours("shutdown");
        // Both stop their services before they end.
        drop(self._supervisord.child().wait());
        drop(self._svscan.child().wait());
    }
}

fn peer_path(name: &str) -> PathBuf {
    let found = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| file.exists())
    });
    found.unwrap_or_else(|| peer(name))
}

fn run(mut command: Command, line: &str) -> Output {
    command
        .env("TZ", "UTC0")
        .stdin(Stdio::null())
        .args(line.split(' '))
        .output()
        .unwrap()
}

/// The text with what must differ taken out: pids, uptimes, stop times; and the help texts, which are ours.
fn comparable(output: &Output) -> (Option<i32>, Vec<String>) {
    let mut lines: Vec<String> = stdout(output)
        .lines()
        .filter(|line| !is_help(line))
        .map(|line| {
            let mut line = line.to_owned();
            if let Some((before, after)) = line.split_once("pid ") {
                let rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit());
                let (word, _) = rest.split_once("uptime ").unwrap_or((rest, ""));
                line = format!("{before}pid N{word}uptime T");
            } else if !line.is_empty()
                && line.bytes().all(|byte| byte.is_ascii_digit())
                && line != "0"
            {
                line = "N".to_owned();
            } else if line.ends_with(" AM") || line.ends_with(" PM") {
                let keep = line.len() - "Nov 25 04:32 PM".len();
                line.truncate(keep);
            }
            line
        })
        .collect();
    // Services that are started or stopped at once answer in any order.
    let answers = |line: &String| line.ends_with(": started") || line.ends_with(": stopped");
    if lines.iter().all(answers) {
        lines.sort();
    }
    (output.status.code(), lines)
}

fn is_help(line: &str) -> bool {
    line.contains('\t')
        || line.starts_with("Ex:")
        || line.starts_with("tail [-f]")
        || line.starts_with("Note: ")
}

#[test]
fn every_answer_is_supervisorctl_s() {
    let pair = Pair::start();
    pair.settle();
    let mut differences = Vec::new();
    for line in INVOCATIONS {
        if line.trim().is_empty() {
            pair.settle();
            continue;
        }
        let (theirs, ours) = (comparable(&pair.theirs(line)), comparable(&pair.ours(line)));
        if theirs != ours {
            differences.push(format!("{line}\n  theirs {theirs:?}\n  ours   {ours:?}"));
        }
    }
    assert!(INVOCATIONS.len() > 100);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
