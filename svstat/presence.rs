//! Whether a supervise is there, and what stands in the way of seeing it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use servicedir::layout::{Layout, OK};
use servicedir::state_folder::StateFolder;
use servicedir::trust::Refused;

use crate::djb;

/// Why no supervise was found. It is displayed in daemontools' words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// The directory cannot be entered.
    Chdir(Errno),
    /// Nobody holds the `ok` FIFO.
    NotRunning,
    /// The `ok` FIFO, by its name in the service directory, cannot be opened.
    OpenOk(PathBuf, Refused),
}

impl Absent {
    /// Whether this is how a directory looks that no supervise has, as opposed to a failed call.
    pub(crate) fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::NotRunning | Self::OpenOk(_, Refused::Failed(Errno::NOENT))
        )
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chdir(errno) => write!(out, "unable to chdir: {}", djb::words(*errno)),
            Self::NotRunning => out.write_str("supervise not running"),
            Self::OpenOk(path, refused) => {
                write!(
                    out,
                    "unable to open {}: {}",
                    path.display(),
                    djb::refused(*refused)
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

/// Opens the state directory of a service that a supervise is there for.
pub(crate) fn probe(layout: &Layout) -> Result<StateFolder, Absent> {
    let unable = |refused| Absent::OpenOk(in_directory(layout, OK), refused);
    let state = StateFolder::open(layout).map_err(unable)?;
    match state.open_fifo(OK) {
        Ok(_) => Ok(state),
        Err(Refused::Failed(Errno::NXIO) | Refused::NotFifo) => Err(Absent::NotRunning),
        Err(refused) => Err(unable(refused)),
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
