//! Daemons that put themselves in the background, and what runs them in the tests.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Pid;
use servicedir::kin;

use crate::support::{self, PATIENCE, Running, Scratch, alive, eventually, program, until};

/// A program of the suite in the foreground, with all that it runs: none of that outlives the test.
pub struct InFront {
    running: Running,
}

impl InFront {
    /// Starts `name ARGS` in the scratch folder; its stderr goes to the file `stderr` there.
    #[track_caller]
    pub fn start(scratch: &Scratch, name: &str, args: &[&str]) -> Self {
        Self::of(scratch, Command::new(program(name)).args(args))
    }

    /// Starts any command so.
    #[track_caller]
    pub fn of(scratch: &Scratch, command: &mut Command) -> Self {
        let log = std::fs::File::create(scratch.path().join("stderr")).unwrap();
        let command = command
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Self {
            running: Running::start(command),
        }
    }

    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    pub fn signal(&self, signal: i32) {
        self.running.signal(signal);
    }

    /// Its exit code, or the negative number of the signal that killed it.
    #[track_caller]
    pub fn code(&mut self) -> i32 {
        let status = self.running.ended();
        status.code().unwrap_or_else(|| -status.signal().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.running.child().try_wait().unwrap().is_none()
    }

    /// All that it runs.
    pub fn below(&self) -> Vec<i32> {
        below(self.pid())
    }
}

impl Drop for InFront {
    fn drop(&mut self) {
        for pid in self.below() {
            support::kill(pid, libc::SIGKILL);
        }
    }
}

/// The processes that descend from one that the test started.
pub fn below(top: i32) -> Vec<i32> {
    let mut found = vec![Pid::from_raw(top).unwrap()];
    // Parents come before their children.
    for kin in kin::descendants(&[]).unwrap() {
        if found.contains(&kin.parent) {
            found.push(kin.pid);
        }
    }
    found[1..]
        .iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
}

/// Writes the script `name`: a daemon that writes its pid to `pid_file`, notes signals in the file
/// `log`, and ends at TERM with exit code 3. A shell runs its traps between two naps, when it has no child
/// that it could leave behind.
pub fn daemon(scratch: &Scratch, name: &str, pid_file: &str) {
    let body = format!(
        r#"for signal in HUP ALRM INT QUIT USR1 USR2 WINCH; do
    trap "echo $signal >> log" $signal
done
trap 'echo CONT >> log' CONT
trap 'echo TERM >> log; exit 3' TERM
echo $$ > {pid_file}.new && mv {pid_file}.new {pid_file}
while :; do sleep 0.05; done"#
    );
    scratch.script(name, &body);
}

/// Writes the script `start`: it puts the program `name` in the background by two forks and a session
/// of its own, and ends.
pub fn launcher(scratch: &Scratch, name: &str) {
    // A shell has its background jobs ignore INT and QUIT.
    let body = format!(
        "( (setsid env --default-signal ./{name} </dev/null >/dev/null 2>&1 &) & )\nexit 0"
    );
    scratch.script("start", &body);
}

/// The pid that the file names, once it names one that lives.
#[track_caller]
pub fn pid_in(scratch: &Scratch, name: &str) -> i32 {
    eventually(&format!("a living process in {name}"), || {
        let text = scratch.read(name);
        match text.trim().parse() {
            Ok(pid) if alive(pid) => Ok(pid),
            _ => Err((text, scratch.read("stderr"))),
        }
    })
}

/// Waits until the file holds this text.
#[track_caller]
pub fn until_says(scratch: &Scratch, name: &str, text: &str) {
    eventually(&format!("{text:?} in {name}"), || {
        let seen = scratch.read(name);
        if seen.contains(text) {
            Ok(())
        } else {
            Err(seen)
        }
    });
}

/// Waits until the process has ended.
#[track_caller]
pub fn until_gone(pid: i32) {
    until(&format!("the end of {pid}, in {PATIENCE:?}"), || {
        !alive(pid)
    });
}

/// A file of the test's own folder, as an argument.
pub fn path(scratch: &Scratch, name: &str) -> String {
    let path: &Path = scratch.path();
    path.join(name).to_str().unwrap().to_owned()
}
