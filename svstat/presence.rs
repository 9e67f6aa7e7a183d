//! Whether a supervise is there, and what stands in the way of seeing it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use servicedir::error_words::ErrorWords;
use servicedir::layout::{Layout, OK};

/// Why no supervise was found. It is displayed in daemontools' words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// The directory cannot be entered.
    Chdir(Errno),
    /// Nobody holds the `ok` FIFO.
    NotRunning,
    /// The `ok` FIFO, by its name in the service directory, cannot be opened.
    OpenOk(PathBuf, Errno),
}

impl Absent {
    /// Whether this is how a directory looks that no supervise has, as opposed to a failed call.
    pub(crate) fn is_certain(&self) -> bool {
        matches!(self, Self::NotRunning | Self::OpenOk(_, Errno::NOENT))
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chdir(errno) => write!(out, "unable to chdir: {}", ErrorWords::from(*errno)),
            Self::NotRunning => out.write_str("supervise not running"),
            Self::OpenOk(path, errno) => {
                write!(
                    out,
                    "unable to open {}: {}",
                    path.display(),
                    ErrorWords::from(*errno)
                )
            }
        }
    }
}

/// What entering the directory would fail with; it is not entered.
pub(crate) fn enter(dir: &Path) -> Result<(), Absent> {
    // The look-up of `.` in a directory needs what chdir(2) needs: a directory, and search permission.
    match rustix::fs::stat(dir.join(".")) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Absent::Chdir(errno)),
    }
}

/// Whether a supervise holds the `ok` FIFO: opening it for writing then succeeds.
pub(crate) fn probe(layout: &Layout) -> Result<(), Absent> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(layout.state_file(OK), flags, Mode::empty()) {
        Ok(_) => Ok(()),
        Err(Errno::NXIO) => Err(Absent::NotRunning),
        Err(errno) => Err(Absent::OpenOk(in_directory(layout, OK), errno)),
    }
}

/// A state file's path as seen from the service directory: `supervise/ok`.
pub(crate) fn in_directory(layout: &Layout, name: &str) -> PathBuf {
    let path = layout.state_file(name);
    match path.strip_prefix(&layout.dir) {
        Ok(inside) => inside.to_path_buf(),
        Err(_) => path,
    }
}
