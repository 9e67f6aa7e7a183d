//! One service directory under a supervise of its own.

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use servicedir::control::open_for_writing;
use servicedir::status::{Record, State, Status};

use super::{Running, Scratch, eventually, kill, program};

/// The variable by which the processes of one test are known again, whoever is their parent.
const MARK: &str = "SERVICEDIR_TEST";

/// A service directory `NAME` in a folder of the test's own. Whatever was started from it ends with
/// it.
pub struct Service {
    scratch: Scratch,
    name: String,
    mark: String,
    /// Where the state is, from the folder.
    state: Cell<&'static str>,
}

impl Service {
    /// An empty directory.
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new();
        fs::create_dir(scratch.path().join(name)).unwrap();
        Self {
            scratch,
            name: name.to_owned(),
            mark: format!("{}.{number}", std::process::id()),
            state: Cell::new(""),
        }
    }

    /// One that runs, and counts as RUNNING, at once.
    pub fn sleeping(name: &str) -> Self {
        Self::new(name)
            .script("run", "exec sleep 1000")
            .file("options/startsecs", "0")
    }

    /// With an executable script.
    pub fn script(self, name: &str, body: &str) -> Self {
        self.scratch.script(&format!("{}/{name}", self.name), body);
        self
    }

    /// With a file.
    pub fn file(self, name: &str, text: &str) -> Self {
        self.scratch.file(&format!("{}/{name}", self.name), text);
        self
    }

    /// With its state in this place of the folder instead of `NAME/supervise`.
    pub fn state_in(self, place: &'static str) -> Self {
        self.state.set(place);
        self
    }

    /// The folder that the service directory is in.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// The service directory.
    pub fn dir(&self) -> PathBuf {
        self.folder().join(&self.name)
    }

    /// A file of the state directory.
    pub fn state_file(&self, name: &str) -> PathBuf {
        match self.state.get() {
            "" => self.dir().join("supervise").join(name),
            place => self.folder().join(place).join(name),
        }
    }

    /// The text of a file of the service directory; empty where there is none yet.
    pub fn read(&self, name: &str) -> String {
        self.scratch.read(&format!("{}/{name}", self.name))
    }

    /// The lines of such a file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }

    /// What the supervises and the service have written to stderr.
    pub fn messages(&self) -> String {
        self.scratch.read("stderr")
    }

    /// A command that runs in the folder, as part of this test.
    pub fn command(&self, program: &Path) -> Command {
        let stderr = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("stderr"))
            .unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.folder())
            .env(MARK, &self.mark)
            .env_remove("SUPERVISEDIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        command
    }

    /// Starts a supervise.
    #[track_caller]
    pub fn supervise(&self) -> Running {
        self.supervise_by(program("supervise"))
    }

    /// Starts the supervise of that path, ours or another suite's.
    #[track_caller]
    pub fn supervise_by(&self, program: &Path) -> Running {
        Running::start(self.command(program).arg(&self.name))
    }

    /// Starts a supervise behind a wrapper: `WRAPPER supervise NAME`.
    #[track_caller]
    pub fn supervise_behind(&self, wrapper: &str, arguments: &[&str]) -> Running {
        let mut command = self.command(&super::peer(wrapper));
        command.args(arguments).arg(program("supervise"));
        Running::start(command.arg(&self.name))
    }

    /// Waits until commands are obeyed, and writes these in one write.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let path = self.state_file("control");
        let mut fifo = eventually("a supervise that reads control", || {
            open_for_writing(&path).map(fs::File::from)
        });
        fifo.write_all(bytes.as_ref()).unwrap();
    }

    /// The status now; `None` if there is none. A damaged one fails the test.
    #[track_caller]
    pub fn status(&self) -> Option<Status> {
        let bytes = fs::read(self.state_file("status")).ok()?;
        Some(Status::unpack(&bytes).unwrap())
    }

    /// The record in the status now.
    #[track_caller]
    pub fn record(&self) -> Record {
        self.status().unwrap().record.unwrap()
    }

    /// Waits for a status.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Status, &Record) -> bool) -> Status {
        eventually(what, || {
            let status = self.status();
            match &status {
                Some(seen)
                    if seen
                        .record
                        .as_ref()
                        .is_some_and(|record| holds(seen, record)) =>
                {
                    Ok(seen.clone())
                }
                Some(_) | None => Err(Box::new((status, self.messages()))),
            }
        })
    }

    /// Waits for a state.
    #[track_caller]
    pub fn until_state(&self, state: State) -> Status {
        self.until(state.name(), |_, record| record.state == state)
    }

    /// Waits until the service is RUNNING, and returns its pid.
    #[track_caller]
    pub fn until_running(&self) -> i32 {
        pid_of(&self.until_state(State::Running))
    }

    /// Waits until it runs with another pid than this one.
    #[track_caller]
    pub fn until_replaced(&self, old: i32) -> i32 {
        pid_of(&self.until("another pid", |status, record| {
            record.state == State::Running && pid_of(status) != old
        }))
    }

    /// All processes that were started from here and have not ended.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark).into_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|byte| *byte == 0).any(|text| text == mark) {
                found.extend(
                    entry
                        .file_name()
                        .to_str()
                        .and_then(|pid| pid.parse::<i32>().ok()),
                );
            }
        }
        found
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Again and again, because one that was not seen may have forked another.
        for _ in 0..100 {
            let found = self.processes();
            if found.is_empty() {
                return;
            }
            found.into_iter().for_each(|pid| kill(pid, libc::SIGKILL));
        }
    }
}

/// The pid in a status.
#[track_caller]
pub fn pid_of(status: &Status) -> i32 {
    status.pid.map_or(0, |pid| pid.as_raw_nonzero().get())
}

/// A line of `/proc/PID/status`, without its name.
#[track_caller]
pub fn proc_status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap().trim().to_owned()
}

/// The numbers of a process's open descriptors.
pub fn descriptors(pid: i32) -> Vec<i32> {
    let mut found: Vec<i32> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    found.sort_unstable();
    found
}
