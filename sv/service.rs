//! One service: where it is, what is seen of it, and what is wrong in runit's words.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use servicedir::error_words::ErrorWords;
use servicedir::layout::{CONTROL, DEFAULT_SVDIR, DOWN, LOG, Layout, OK, STATUS, SVDIR};
use servicedir::options;
use servicedir::reading::{Unread, read_status};
use servicedir::state_folder::StateFolder;
use servicedir::status::Status;
use servicedir::trust::Refused;

/// Where Debian's runit keeps the services; used where there is no [`DEFAULT_SVDIR`].
const RUNIT_SVDIR: &str = "/etc/service";

/// A service as it was named, and where it is.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its name, as typed; `NAME/log` for a log, in messages.
    pub(crate) name: OsString,
    /// Its directory.
    pub(crate) dir: PathBuf,
}

/// What is seen of a service that a supervise is there for.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its status.
    pub(crate) status: Status,
    /// Whether it is started together with its supervise.
    pub(crate) normally_up: Option<bool>,
}

/// What is wrong with a service. It is displayed as runit's `sv` prints it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// Its directory cannot be entered.
    Directory(Errno),
    /// The directory of a log cannot be entered.
    LogDirectory(Errno),
    /// No supervise is there.
    NotRunning,
    /// A file of its state cannot be opened.
    Open(PathBuf, Refused),
    /// Its status is not a status.
    BadFormat(PathBuf),
    /// Its control FIFO takes no commands.
    Write(PathBuf, Errno),
}

impl Wrong {
    /// Whether the system was short of something: the next look may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Open(_, refused) => !refused.is_about_the_file(),
            Self::Directory(errno) | Self::LogDirectory(errno) => {
                !Refused::Failed(*errno).is_about_the_file()
            }
            Self::NotRunning | Self::BadFormat(_) | Self::Write(..) => false,
        }
    }

    /// The line that `sv` prints, without its end.
    pub(crate) fn line(&self, name: &OsStr) -> String {
        let kind = match self {
            Self::Directory(_) | Self::NotRunning => "fail",
            Self::LogDirectory(_) | Self::Open(..) | Self::BadFormat(_) | Self::Write(..) => {
                "warning"
            }
        };
        format!("{kind}: {}: {self}", name.display())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(errno) => write!(
                out,
                "unable to change to service directory: {}",
                ErrorWords::from(*errno)
            ),
            Self::LogDirectory(errno) => {
                write!(
                    out,
                    "unable to change directory: {}",
                    ErrorWords::from(*errno)
                )
            }
            Self::NotRunning => out.write_str("runsv not running"),
            Self::Open(path, refused) => {
                write!(out, "unable to open {}: ", path.display())?;
                match refused.errno() {
                    Some(errno) => ErrorWords::from(errno).fmt(out),
                    None => refused.fmt(out),
                }
            }
            Self::BadFormat(path) => write!(out, "unable to read {}: bad format", path.display()),
            Self::Write(path, errno) => write!(
                out,
                "unable to write to {}: {}",
                path.display(),
                ErrorWords::from(*errno)
            ),
        }
    }
}

impl Service {
    /// The service that `name` means: a path, if it begins with a dot or a slash or ends with a slash,
    /// else a name in the directory of services.
    pub(crate) fn named(name: &OsStr) -> Self {
        let is_path = matches!(name.as_bytes(), [b'.' | b'/', ..] | [.., b'/']);
        let dir = if is_path {
            PathBuf::from(name)
        } else {
            services().join(name)
        };
        Self {
            name: name.to_os_string(),
            dir: if name.is_empty() { PathBuf::new() } else { dir },
        }
    }

    /// The service in `log`, as far as there is such a name.
    pub(crate) fn log(&self) -> Option<Self> {
        let own = Layout::of(&self.dir).ok()?.instance.map(|instance| {
            let mut name = OsString::from("log@");
            name.push(instance);
            self.dir.join(name)
        });
        let dir = own
            .filter(|own| own.exists())
            .unwrap_or_else(|| self.dir.join(LOG));
        std::fs::symlink_metadata(&dir).ok()?;
        let mut name = self.name.clone();
        name.push("/log");
        Some(Self { name, dir })
    }

    /// Opens its state; a supervise is there.
    pub(crate) fn open(&self) -> Result<(Layout, StateFolder), Wrong> {
        self.enter()?;
        let layout = Layout::of(&self.dir)
            .map_err(|error| Wrong::Directory(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let unable = |refused| Wrong::Open(in_directory(&layout, OK), refused);
        let state = StateFolder::open(&layout).map_err(unable)?;
        match state.open_fifo(OK) {
            Ok(_) => Ok((layout, state)),
            Err(Refused::Failed(Errno::NXIO)) => Err(Wrong::NotRunning),
            Err(refused) => Err(unable(refused)),
        }
    }

    /// Fails as entering its directory would.
    pub(crate) fn enter(&self) -> Result<(), Wrong> {
        if self.dir.as_os_str().is_empty() {
            return Err(Wrong::Directory(Errno::NOENT));
        }
        // The look-up of `.` needs what chdir(2) needs: a directory, and the right to search it.
        rustix::fs::stat(self.dir.join("."))
            .map(drop)
            .map_err(Wrong::Directory)
    }

    /// Looks at it.
    pub(crate) fn look(&self) -> Result<Seen, Wrong> {
        let (layout, state) = self.open()?;
        self.read(&layout, &state)
    }

    /// Reads its status.
    pub(crate) fn read(&self, layout: &Layout, state: &StateFolder) -> Result<Seen, Wrong> {
        let path = || in_directory(layout, STATUS);
        match read_status(state) {
            Ok(reading) => Ok(Seen {
                status: reading.status,
                normally_up: self.normally_up(),
            }),
            Err(Unread::Refused(refused)) => Err(Wrong::Open(path(), refused)),
            Err(Unread::Bad(_)) => Err(Wrong::BadFormat(path())),
        }
    }

    fn normally_up(&self) -> Option<bool> {
        match rustix::fs::stat(self.dir.join(DOWN)) {
            Ok(_) => Some(false),
            Err(Errno::NOENT) => options::read_only(&self.dir, "autostart")
                .ok()
                .map(|options| options.autostart),
            Err(_) => None,
        }
    }
}

/// The path of the control FIFO, for messages.
pub(crate) fn control_path(layout: &Layout) -> PathBuf {
    in_directory(layout, CONTROL)
}

/// A state file's path as seen from the service directory: `supervise/ok`.
fn in_directory(layout: &Layout, name: &str) -> PathBuf {
    let path = layout.state_file(name);
    match path.strip_prefix(&layout.dir) {
        Ok(inside) => inside.to_path_buf(),
        Err(_) => path,
    }
}

/// The directory of services.
fn services() -> PathBuf {
    if let Some(named) = std::env::var_os(SVDIR).filter(|value| !value.is_empty()) {
        return PathBuf::from(named);
    }
    let known = [DEFAULT_SVDIR, RUNIT_SVDIR].map(Path::new);
    let there = known.into_iter().find(|dir| dir.is_dir());
    there.unwrap_or(Path::new(DEFAULT_SVDIR)).to_path_buf()
}
