//! The one place that starts a supervise.
//!
//! posix_spawn(3) shares svscan's memory with the child until it executes the program: a start costs
//! the same however much svscan has in memory.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use servicedir::trust::is_passing;

use crate::message::Message;

/// What speaks to a service manager above svscan is svscan's alone.
const OWN_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Starts supervises.
#[derive(Debug)]
pub(crate) struct Spawner {
    supervise: PathBuf,
    /// The name that a supervise is called by.
    called: CString,
    environment: Vec<CString>,
    attributes: PosixSpawnAttr,
    given: Rlimit,
    own: Rlimit,
}

/// The descriptors of a supervise that are not svscan's own.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// A log's input.
    pub(crate) stdin: Option<OwnedFd>,
    /// The pipe to `log/`.
    pub(crate) stdout: Option<OwnedFd>,
    /// The pipe to `errlog/`.
    pub(crate) stderr: Option<OwnedFd>,
}

impl Spawner {
    /// A spawner of the program at `supervise`. Raises this process's limit of descriptors; what it
    /// starts gets the old one.
    ///
    /// # Errors
    /// No memory is left.
    pub(crate) fn new(supervise: PathBuf, called: CString) -> nix::Result<Self> {
        let given = getrlimit(Resource::Nofile);
        let own = Rlimit {
            current: given.maximum,
            maximum: given.maximum,
        };
        let environment = std::env::vars_os()
            .filter(|(name, _)| OWN_VARIABLES.iter().all(|own| name != own))
            .filter_map(|(name, value)| {
                let bytes = [name.into_vec(), vec![b'='], value.into_vec()].concat();
                CString::new(bytes).ok()
            })
            .collect();
        let spawner = Self {
            supervise,
            called,
            environment,
            attributes: attributes()?,
            given,
            own,
        };
        spawner.limit(own);
        Ok(spawner)
    }

    /// Starts `supervise NAME` in the working directory, in a process group of its own.
    ///
    /// # Errors
    /// As fork(2) and execve(2).
    pub(crate) fn start(&self, name: &OsStr, streams: &Streams) -> nix::Result<Pid> {
        let mut actions = PosixSpawnFileActions::init()?;
        let wanted = [&streams.stdin, &streams.stdout, &streams.stderr];
        for (number, descriptor) in (0..).zip(wanted) {
            if let Some(descriptor) = descriptor {
                actions.add_dup2(descriptor.as_raw_fd(), number)?;
            }
        }
        let argv = [self.called.clone(), argument(name)?];
        let path = self.supervise.as_path();
        let pid = self.with_given_limit(|| {
            posix_spawn(path, &actions, &self.attributes, &argv, &self.environment)
        });
        Pid::from_raw(pid?.as_raw()).ok_or(nix::Error::ESRCH)
    }

    /// Calls `execute` with the limit of descriptors that svscan was started with.
    pub(crate) fn with_given_limit<T>(&self, execute: impl FnOnce() -> T) -> T {
        self.limit(self.given);
        let outcome = execute();
        self.limit(self.own);
        outcome
    }

    /// The program that is started.
    pub(crate) fn program(&self) -> &Path {
        &self.supervise
    }

    /// The soft limit is between 0 and the hard one, so this cannot fail.
    fn limit(&self, limit: Rlimit) {
        setrlimit(Resource::Nofile, limit).ok();
    }
}

/// A process group of its own, no signal blocked, and SIGPIPE, which svscan catches, as it was.
fn attributes() -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(
        PosixSpawnFlags::POSIX_SPAWN_SETPGROUP
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK
            | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF,
    )?;
    attributes.set_pgroup(nix::unistd::Pid::from_raw(0))?;
    attributes.set_sigmask(&SigSet::empty())?;
    let mut default = SigSet::empty();
    default.add(Signal::SIGPIPE);
    attributes.set_sigdefault(&default)?;
    Ok(attributes)
}

/// A name as an argument: one that starts with a dash is no option.
fn argument(name: &OsStr) -> nix::Result<CString> {
    let bytes = name.as_bytes();
    let bytes = match bytes.first() {
        Some(b'-') => [b"./", bytes].concat(),
        _ => bytes.to_vec(),
    };
    CString::new(bytes).map_err(|_| nix::Error::EINVAL)
}

/// The supervise to start: the given one, else the one beside this program, else the one on PATH.
///
/// # Errors
/// There is none.
pub(crate) fn find_supervise(given: Option<PathBuf>) -> Result<PathBuf, Message> {
    if let Some(path) = given {
        rustix::fs::access(&path, rustix::fs::Access::EXEC_OK)
            .map_err(|errno| Message::UnableToExecute(path.clone(), errno.into()))?;
        return std::path::absolute(&path)
            .map_err(|error| Message::UnableToResolve(path, error.into()));
    }
    let beside = match std::env::current_exe() {
        Ok(own) => own.parent().map(|folder| folder.join("supervise")),
        // The one on PATH may be of another suite.
        Err(error) if Errno::from_io_error(&error).is_some_and(is_passing) => {
            return Err(Message::UnableToResolve(
                "/proc/self/exe".into(),
                error.into(),
            ));
        }
        // /proc is not mounted.
        Err(_) => None,
    };
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&paths).map(|folder| folder.join("supervise"));
    for path in beside.into_iter().chain(on_path) {
        match is_program(&path) {
            Ok(true) => {
                return std::path::absolute(&path)
                    .map_err(|error| Message::UnableToResolve(path, error.into()));
            }
            Ok(false) => {}
            Err(errno) => return Err(Message::UnableToExecute(path, errno.into())),
        }
    }
    Err(Message::NoSupervise)
}

/// Whether an executable file is there.
///
/// # Errors
/// That cannot be found out for now.
fn is_program(path: &Path) -> rustix::io::Result<bool> {
    let found = rustix::fs::stat(path).and_then(|stat| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?;
        Ok(FileType::from_raw_mode(stat.st_mode).is_file())
    });
    match found {
        Err(errno) if !is_passing(errno) => Ok(false),
        found => found,
    }
}
