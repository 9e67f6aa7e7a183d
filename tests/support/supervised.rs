//! Service directories with a supervise: one of the suites', or the test itself in its place.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::process::Pid;
use servicedir::control;
use servicedir::process::World;
use servicedir::status::{Phase, Record, State, Status, Want};
use servicedir::tai64n::Tai64n;

use super::{Running, kill, until};

/// A service under a real supervise; both end with it.
pub struct Supervised {
    pub dir: PathBuf,
    supervise: Running,
}

impl Supervised {
    /// Starts a supervise (ours, daemontools', or runsv) for a service directory, and waits until it
    /// can be controlled. What it says goes to `DIR.err`.
    #[track_caller]
    pub fn start(supervise: &Path, dir: &Path) -> Self {
        let err = File::options()
            .append(true)
            .create(true)
            .open(dir.with_extension("err"))
            .unwrap();
        let supervise = Running::start(
            Command::new(supervise)
                .arg(dir.file_name().unwrap())
                .current_dir(dir.parent().unwrap())
                .stdin(Stdio::null())
                .stdout(err.try_clone().unwrap())
                .stderr(err),
        );
        let started = Self {
            dir: dir.to_path_buf(),
            supervise,
        };
        until("a supervise that can be controlled", || {
            started.fifo("control").is_some() && started.fifo("ok").is_some()
        });
        started
    }

    /// The supervise itself.
    pub fn supervise(&mut self) -> &mut Running {
        &mut self.supervise
    }

    /// Writes control bytes as `printf d > supervise/control` would.
    pub fn send(&self, bytes: &str) {
        if let Some(fifo) = self.fifo("control") {
            drop(File::from(fifo).write_all(bytes.as_bytes()));
        }
    }

    /// The status now; `None` while there is none.
    pub fn status(&self) -> Option<Status> {
        Status::unpack(&fs::read(self.dir.join("supervise/status")).ok()?).ok()
    }

    /// The pid in the status; 0 is none.
    pub fn pid(&self) -> i32 {
        self.status()
            .and_then(|status| status.pid)
            .map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    fn fifo(&self, name: &str) -> Option<OwnedFd> {
        control::open_for_writing(&self.dir.join("supervise").join(name)).ok()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let pid = self.supervise.pid();
        if matches!(self.supervise.child().try_wait(), Ok(None)) {
            kill(pid, libc::SIGCONT);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.supervise.child().try_wait(), Ok(None)) && Instant::now() < deadline {
            self.send("dxk");
            super::pause();
        }
    }
}

/// A service directory whose supervise is the test: it holds the FIFOs and writes the status.
pub struct Forged {
    pub dir: PathBuf,
    control: OwnedFd,
    ok: Option<OwnedFd>,
}

impl Forged {
    /// Makes the directory with `supervise/` in it.
    pub fn new(dir: &Path) -> Self {
        let state = dir.join("supervise");
        fs::create_dir_all(&state).unwrap();
        let fifo = |name: &str, flags: OFlags| {
            let path = state.join(name);
            if !path.exists() {
                rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
            }
            rustix::fs::open(
                &path,
                flags | OFlags::NONBLOCK | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .unwrap()
        };
        Self {
            dir: dir.to_path_buf(),
            control: fifo("control", OFlags::RDWR),
            ok: Some(fifo("ok", OFlags::RDONLY)),
        }
    }

    /// Replaces the status whole, as a supervise does.
    pub fn announce(&self, status: &Status) {
        self.write_status(&status.pack());
    }

    /// Replaces the status by these bytes.
    pub fn write_status(&self, bytes: &[u8]) {
        let new = self.dir.join("supervise/status.new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, self.dir.join("supervise/status")).unwrap();
    }

    /// The control bytes that have come since the last call.
    pub fn commands(&self) -> String {
        let mut bytes = vec![0; 1 << 16];
        let length = rustix::io::read(&self.control, &mut bytes[..]).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    /// Waits for control bytes.
    #[track_caller]
    pub fn next_commands(&self) -> String {
        super::eventually("a command", || {
            let commands = self.commands();
            if commands.is_empty() {
                Err("none")
            } else {
                Ok(commands)
            }
        })
    }

    /// The FIFO itself.
    pub fn control(&self) -> &OwnedFd {
        &self.control
    }

    /// The supervise is gone, as its clients see it.
    #[track_caller]
    pub fn vanish(&mut self) {
        self.ok = None;
        until_unread(&self.dir.join("supervise/ok"));
    }

    /// The supervise is gone for good.
    #[track_caller]
    pub fn end(mut self) {
        self.vanish();
        let control = self.dir.join("supervise/control");
        drop(self);
        until_unread(&control);
    }
}

/// Waits until nobody has the FIFO open for reading: a child that another test has forked has it until
/// its exec.
#[track_caller]
fn until_unread(fifo: &Path) {
    until("a FIFO without a reader", || {
        control::open_for_writing(fifo).is_err()
    });
}

/// A status of this suite, seven seconds old; pid 0 is down.
pub fn status(state: State, pid: i32, want: Want) -> Status {
    let now = Tai64n::now().unix_seconds();
    Status {
        stamp: Tai64n::from_unix(now - 7, 0),
        pid: Pid::from_raw(pid),
        paused: false,
        want,
        term_sent: false,
        phase: if pid == 0 { Phase::Down } else { Phase::Run },
        record: Some(Record {
            state,
            ready: state == State::Running,
            tells_ready: false,
            exiting: false,
            left: false,
            options_fault: false,
            restarting: false,
            last_end: None,
            ready_stamp: Tai64n::default(),
            pid_start: u64::try_from(pid).unwrap(),
            world: World::here(),
            failed_starts: 0,
            start_retries: None,
            total_starts: 1,
            next_start: None,
            commands: 0,
            group: Pid::from_raw(pid),
            state_stamp: Tai64n::from_unix(now - 7, 0),
            supervise: Some(rustix::process::getpid()),
            watchdog: None,
            run_started: None,
            run_ended: None,
            journal: 0,
            reason: String::new(),
            message: String::new(),
        }),
    }
}

/// The same with some of it changed.
pub fn with(mut status: Status, change: impl FnOnce(&mut Status, &mut Record)) -> Status {
    let mut record = status.record.take().unwrap();
    change(&mut status, &mut record);
    status.record = Some(record);
    status
}
