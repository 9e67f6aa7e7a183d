//! The harness of the black-box tests: a folder a test, programs that end with it, waits for conditions.
//!
//! Not tested: behaviour over a reboot, file systems other than the one under the temporary
//! directory (and tmpfs), kernels other than the one that runs the tests.

pub mod adoption;
pub mod chaos;
pub mod daemon;
pub mod injection;
pub mod logging;
pub mod puppet;
pub mod scanning;
pub mod service;
pub mod supervised;
pub mod world;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

/// How long a test waits for a thing that is sure to come. Long, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The path of a program of the suite, freshly built.
pub fn program(name: &str) -> &'static Path {
    Path::new(match name {
        "svscan" => env!("CARGO_BIN_EXE_svscan"),
        "supervise" => env!("CARGO_BIN_EXE_supervise"),
        "svc" => env!("CARGO_BIN_EXE_svc"),
        "svstat" => env!("CARGO_BIN_EXE_svstat"),
        "runsv" => env!("CARGO_BIN_EXE_runsv"),
        "runsvchdir" => env!("CARGO_BIN_EXE_runsvchdir"),
        "sv" => env!("CARGO_BIN_EXE_sv"),
        "svevent" => env!("CARGO_BIN_EXE_svevent"),
        "svcapture" => env!("CARGO_BIN_EXE_svcapture"),
        "svok" => env!("CARGO_BIN_EXE_svok"),
        "svlogd" => env!("CARGO_BIN_EXE_svlogd"),
        "tai64n" => env!("CARGO_BIN_EXE_tai64n"),
        "readproctitle" => env!("CARGO_BIN_EXE_readproctitle"),
        "svlog" => env!("CARGO_BIN_EXE_svlog"),
        "tai64nlocal" => env!("CARGO_BIN_EXE_tai64nlocal"),
        "pidproxy" => env!("CARGO_BIN_EXE_pidproxy"),
        "fghack" => env!("CARGO_BIN_EXE_fghack"),
        #[cfg(feature = "supervisor")]
        "svimport" => env!("CARGO_BIN_EXE_svimport"),
        #[cfg(feature = "supervisor")]
        "svctl" => env!("CARGO_BIN_EXE_svctl"),
        #[cfg(feature = "svhttpd")]
        "svhttpd" => env!("CARGO_BIN_EXE_svhttpd"),
        "chpst" => env!("CARGO_BIN_EXE_chpst"),
        _ => return link(name),
    })
}

/// A link to a program under another name, as the file `links` has it, in a folder of such links.
fn link(name: &str) -> &'static Path {
    let links = include_str!("../../links")
        .lines()
        .map(str::split_whitespace);
    let target = links
        .filter_map(|mut words| words.next().filter(|word| *word == name).and(words.next()))
        .next()
        .unwrap_or_else(|| panic!("no program {name}"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("names");
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join(name);
    let is_right = || fs::read_link(&link).is_ok_and(|target_of| target_of == program(target));
    if !is_right() {
        // Another test may be making it: each makes a link of its own and renames it.
        let own = tempfile::tempdir_in(&folder).unwrap();
        let new = own.path().join(name);
        std::os::unix::fs::symlink(program(target), &new).unwrap();
        fs::rename(&new, &link).unwrap();
    }
    Box::leak(link.into_boxed_path())
}

/// A PATH that has the programs of the suite first, for scripts that call them by name.
pub fn path_of_programs() -> String {
    let folder = program("svlogd").parent().unwrap().display().to_string();
    format!("{folder}:{}", std::env::var("PATH").unwrap_or_default())
}

/// The program of another suite. CI installs them all: a missing one is a failure, not a skipped test.
pub fn peer(name: &str) -> PathBuf {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: see .ci/run"))
}

/// A folder of the test's own, removed at its end.
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    pub fn new() -> Self {
        Self {
            dir: tempfile::Builder::new()
                .prefix("servicedir-")
                .tempdir()
                .unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, with its folders.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes an executable shell script, with its folders.
    pub fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        executable(&path, format!("#!/bin/sh\n{body}\n"));
        path
    }

    /// The text of a file; empty where there is none yet.
    pub fn read(&self, name: &str) -> String {
        fs::read(self.path().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

/// Writes a file that is to be executed.
///
/// A child that another test forks meanwhile has it open for writing until its exec, and as long nobody
/// can execute it (ETXTBSY). Such a child has the lock with us: who gets it again knows that all of them
/// have closed the file.
pub fn executable(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = fs::File::create(path).unwrap();
    file.lock().unwrap();
    file.write_all(text.as_ref()).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
    drop(file);
    fs::File::open(path).unwrap().lock().unwrap();
}

/// A copy of a program of the suite.
pub fn copy_of(name: &str, path: &Path) {
    executable(path, fs::read(program(name)).unwrap());
}

/// Waits until `condition` gives a value, and fails with the last thing seen when it never does.
#[track_caller]
pub fn eventually<T, E: std::fmt::Debug>(
    what: &str,
    mut condition: impl FnMut() -> Result<T, E>,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match condition() {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => {
                panic!("{what}: not in {PATIENCE:?}; last seen: {seen:?}")
            }
            Err(_) => pause(),
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(what, || if condition() { Ok(()) } else { Err("no") });
}

#[expect(
    clippy::disallowed_methods,
    reason = "the step of a wait for a condition, never a wait itself"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

/// A process that the test started, and that ends with it.
pub struct Running {
    child: Child,
}

impl Running {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self {
            child: command
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}")),
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn signal(&self, signal: i32) {
        kill(self.pid(), signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the end of a process", || {
            self.child.try_wait().unwrap().ok_or("running")
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a process that the test knows to be its own.
pub fn kill(pid: i32, signal: i32) {
    assert!(pid > 1, "no process: {pid}");
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
}

/// Whether a process of that number exists and has not ended.
pub fn alive(pid: i32) -> bool {
    // The command's name in it may be any bytes.
    fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        String::from_utf8_lossy(&stat)
            .rsplit_once(')')
            .is_some_and(|(_, rest)| !rest.starts_with(" Z") && !rest.starts_with(" X"))
    })
}

/// Runs a command to its end and returns what it printed.
#[track_caller]
pub fn output<A: AsRef<OsStr>>(program: &Path, args: impl IntoIterator<Item = A>) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Stdout as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Stderr as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
