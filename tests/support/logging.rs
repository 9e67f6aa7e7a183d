//! What the tests of svlogd share: log directories, running loggers, and what is to be found on disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use crate::support::{PATIENCE, Running, Scratch, eventually, program};

/// One file of a log directory: the letter of its kind or its name, its mode, its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct LogFile {
    pub kind: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        write!(
            out,
            "{} {:o} {}: {text:?}",
            self.kind,
            self.mode,
            self.bytes.len()
        )
    }
}

/// A log directory.
pub struct LogDir {
    pub path: PathBuf,
}

impl LogDir {
    pub fn new(scratch: &Scratch, name: &str, config: &str) -> Self {
        let path = scratch.path().join(name);
        fs::create_dir(&path).unwrap();
        if !config.is_empty() {
            fs::write(path.join("config"), config).unwrap();
        }
        Self { path }
    }

    /// Names of the old files, the oldest first.
    pub fn old_names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with('@'))
            .collect();
        names.sort();
        names
    }

    /// All files that svlogd makes, the oldest first.
    pub fn files(&self) -> Vec<LogFile> {
        let read = |name: &str, kind: &str| {
            let path = self.path.join(name);
            Some(LogFile {
                kind: kind.to_owned(),
                mode: fs::metadata(&path).ok()?.mode() & 0o7777,
                bytes: fs::read(&path).ok()?,
            })
        };
        let mut files: Vec<LogFile> = self
            .old_names()
            .iter()
            .filter_map(|name| read(name, &name[25..]))
            .collect();
        files.extend(
            ["current", "lock", "state", "newstate"]
                .iter()
                .filter_map(|name| read(name, name)),
        );
        files
    }

    /// What all files hold together, in the order of writing.
    pub fn text(&self) -> String {
        // A logger at work renames its files: what was read counts if the names are still the same.
        loop {
            let names = self.old_names();
            let mut bytes = Vec::new();
            for name in names.iter().filter(|name| !name.ends_with('t')) {
                bytes.extend(fs::read(self.path.join(name)).unwrap_or_default());
            }
            bytes.extend(fs::read(self.path.join("current")).unwrap_or_default());
            if self.old_names() == names {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    }

    /// Waits until the files together hold `text` and nothing else.
    #[track_caller]
    pub fn holds(&self, text: &str) {
        eventually("the lines on disk", || {
            let seen = self.text();
            if seen == text {
                Ok(())
            } else {
                Err(seen.chars().take(2000).collect::<String>())
            }
        });
    }
}

/// Runs a logger to its end on `input`; returns its exit code and stderr.
#[track_caller]
pub fn log(logger: &Path, args: &[&str], dirs: &[&LogDir], input: &[u8]) -> (i32, String) {
    let mut child = Command::new(logger)
        .args(args)
        .args(dirs.iter().map(|dir| &dir.path))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The inputs of these tests fit into a pipe together with what the logger has read, or it reads on.
    let mut stdin = child.stdin.take().unwrap();
    drop(stdin.write_all(input));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Our svlogd.
pub fn svlogd() -> &'static Path {
    program("svlogd")
}

/// A logger that runs.
pub struct Logger {
    pub running: Running,
    pub stdin: Option<ChildStdin>,
    stderr: PathBuf,
}

impl Logger {
    /// Starts `command`, with stderr to a file of the scratch folder.
    pub fn start(scratch: &Scratch, command: &mut Command) -> Self {
        let stderr = scratch.path().join("stderr");
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(&stderr)
            .unwrap();
        let mut running = Running::start(command.stdin(Stdio::piped()).stderr(file));
        let stdin = running.child().stdin.take();
        Self {
            running,
            stdin,
            stderr,
        }
    }

    /// Starts our svlogd.
    pub fn svlogd(scratch: &Scratch, args: &[&str], dirs: &[&LogDir]) -> Self {
        Self::start(
            scratch,
            Command::new(svlogd())
                .args(args)
                .args(dirs.iter().map(|dir| &dir.path)),
        )
    }

    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_ref())
            .unwrap();
    }

    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until stderr has this text.
    #[track_caller]
    pub fn says(&self, text: &str) {
        eventually(text, || {
            let said = self.said();
            if said.contains(text) {
                Ok(())
            } else {
                Err(said)
            }
        });
    }

    /// Ends the input and waits for the exit code.
    #[track_caller]
    pub fn close(mut self) -> i32 {
        drop(self.stdin.take());
        self.running.ended().code().unwrap_or(-1)
    }
}

/// A small generator of numbers, the same at every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    /// A line of up to `longest` of these characters, with its newline.
    pub fn line(&mut self, alphabet: &[u8], longest: usize) -> Vec<u8> {
        let length = self.below(longest + 1);
        let mut line: Vec<u8> = (0..length)
            .map(|_| alphabet[self.below(alphabet.len())])
            .collect();
        line.push(b'\n');
        line
    }
}

/// The lines of a test, numbered: `line 1`, and so on.
pub fn numbered(range: std::ops::Range<usize>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

/// Times out a test that waits for a process in the background of its own.
pub const DEADLINE: std::time::Duration = PATIENCE;
