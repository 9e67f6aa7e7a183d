//! A scan directory of a test's own, with a svscan on it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::{Running, Scratch, alive, eventually, kill, program, until};

/// A run script of a service that only is there.
pub const SLEEP: &str = "exec sleep 1000";
/// A run script that writes numbered lines as fast as its reader takes them, a few at a time.
pub const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done";

/// Service directories in `sv/`, links to them in `scan/`, and a svscan.
pub struct Scanning {
    pub scratch: Scratch,
    pub svscan: Option<Running>,
}

impl Scanning {
    pub fn new() -> Self {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join("scan")).unwrap();
        fs::create_dir(scratch.path().join("sv")).unwrap();
        Self {
            scratch,
            svscan: None,
        }
    }

    /// A service directory, not linked yet.
    pub fn service(&self, name: &str, run: &str) -> PathBuf {
        self.scratch.script(&format!("sv/{name}/run"), run);
        self.dir(name)
    }

    /// One with a log that adds all that it reads to `out`.
    pub fn logged(&self, name: &str, run: &str) -> PathBuf {
        self.service(name, run);
        self.scratch
            .script(&format!("sv/{name}/log/run"), "exec cat >>out");
        self.dir(name)
    }

    pub fn option(&self, name: &str, option: &str, value: &str) {
        self.scratch
            .file(&format!("sv/{name}/options/{option}"), value);
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.scratch.path().join("sv").join(name)
    }

    pub fn link(&self, name: impl AsRef<OsStr>) {
        let name = name.as_ref();
        symlink(Path::new("../sv").join(name), self.scan_dir().join(name)).unwrap();
    }

    pub fn unlink(&self, name: &str) {
        fs::remove_file(self.scan_dir().join(name)).unwrap();
    }

    pub fn scan_dir(&self) -> PathBuf {
        self.scratch.path().join("scan")
    }

    /// The svscan of this scan directory, as a command that a test may add to.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("svscan"));
        command.args(args).arg(self.scan_dir());
        self.prepare(&mut command);
        command
    }

    /// Gives a command the files that the tests look at for stderr and stdout.
    pub fn prepare(&self, command: &mut Command) {
        let file = |name: &str| {
            let path = self.scratch.path().join(name);
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .unwrap()
        };
        command
            .stdin(std::process::Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        command
            .env_remove("SUPERVISEDIR")
            .env_remove("NOTIFY_SOCKET");
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    pub fn start_with(&mut self, args: &[&str]) {
        self.svscan = Some(Running::start(&mut self.command(args)));
    }

    pub fn running(&mut self) -> &mut Running {
        self.svscan.as_mut().unwrap()
    }

    /// Ends svscan as a test wants it, and waits for that.
    #[track_caller]
    pub fn end(&mut self, signal: i32) -> ExitStatus {
        let mut svscan = self.svscan.take().unwrap();
        if signal != libc::SIGKILL {
            // One that was started just now would be ended by what it is to obey.
            let pid = svscan.pid();
            until("svscan minds signals", || minds_signals(pid) || !alive(pid));
        }
        svscan.signal(signal);
        svscan.ended()
    }

    /// What svscan and the supervises said.
    pub fn stderr(&self) -> String {
        self.scratch.read("stderr")
    }

    /// The pid of the service's process, if there is one that lives, and that has come so far that it is
    /// the service: before that it ends with its supervise.
    pub fn pid(&self, name: &str) -> Option<i32> {
        let pid = self.number(name, "pid").filter(|pid| alive(*pid))?;
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (command != "supervise\n").then_some(pid)
    }

    /// The pid of the supervise, if it lives.
    pub fn supervise(&self, name: &str) -> Option<i32> {
        self.number(name, "lock").filter(|pid| alive(*pid))
    }

    fn number(&self, name: &str, file: &str) -> Option<i32> {
        let text = fs::read_to_string(self.dir(name).join("supervise").join(file)).ok()?;
        text.trim().parse().ok()
    }

    /// Waits until a service runs.
    #[track_caller]
    pub fn up(&self, name: &str) -> i32 {
        eventually(&format!("{name} is up"), || {
            self.pid(name).ok_or_else(|| self.stderr())
        })
    }

    /// Waits until it is supervised, by another process than `former`.
    #[track_caller]
    pub fn supervised(&self, name: &str, former: Option<i32>) -> i32 {
        eventually(&format!("{name} is supervised"), || {
            let pid = self.supervise(name).filter(|pid| Some(*pid) != former);
            pid.ok_or_else(|| self.stderr())
        })
    }

    #[track_caller]
    pub fn says(&self, text: &str) {
        eventually(&format!("svscan says {text}"), || {
            let said = self.stderr();
            if said.contains(text) {
                Ok(())
            } else {
                Err(said)
            }
        });
    }

    /// Every process that works in this test's folder, but svscan.
    pub fn processes(&self) -> Vec<i32> {
        let own = fs::canonicalize(self.scratch.path()).unwrap();
        let own = own.to_str().unwrap().to_owned();
        let svscan = self.svscan.as_ref().map(Running::pid);
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| Some(*pid) != svscan && alive(*pid))
            .filter(|pid| {
                fs::read_link(format!("/proc/{pid}/cwd"))
                    .is_ok_and(|cwd| cwd.to_string_lossy().starts_with(&own))
            })
            .collect()
    }

    /// The lines of a log are 1, 2, 3 and so on; returns how many.
    #[track_caller]
    pub fn counted(&self, out: &str) -> usize {
        let text = self.scratch.read(out);
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        for (number, line) in complete.lines().enumerate() {
            assert_eq!(line, (number + 1).to_string(), "in {out}");
        }
        complete.lines().count()
    }

    /// Waits until a log has more lines than it has now; where its logger was killed, what that had read
    /// and not yet written is missing.
    #[track_caller]
    pub fn log_goes_on(&self, out: &str) {
        let lines = || self.scratch.read(out).lines().count();
        let now = lines();
        until("the log goes on", || lines() > now + 3);
    }

    /// Waits until a log has more lines than it has now, and none is missing.
    #[track_caller]
    pub fn log_grows(&self, out: &str) {
        let now = self.counted(out);
        until("the log goes on", || self.counted(out) > now + 3);
    }
}

impl Drop for Scanning {
    fn drop(&mut self) {
        if let Some(svscan) = self.svscan.take() {
            svscan.signal(libc::SIGKILL);
            drop(svscan);
        }
        // Nothing is left of a test, however it ended.
        while let [first, ..] = self.processes()[..] {
            kill(first, libc::SIGKILL);
        }
    }
}

/// Whether svscan catches USR2, the last of the signals that it begins to catch.
fn minds_signals(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (libc::SIGUSR2 - 1) & 1 == 1)
}
