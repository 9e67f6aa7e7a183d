//! The state directory: the lock, the FIFOs, and the files that are replaced whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::process::Pid;
use servicedir::control::require_fifo;
use servicedir::layout::{CONTROL, LOCK, OK};
use servicedir::lock::{Lock, NotLocked};
use servicedir::process::Place;
use servicedir::report::{Failure, Why};
use servicedir::trust;

use crate::message::{Message, warn};

/// A status is much shorter; what is longer is none.
const READ_MAX: usize = 64 * 1024;

/// How long a lock is waited for that nobody who lives says to hold. Long enough for a child that a
/// busy machine does not let run.
const INHERITED: Duration = Duration::from_secs(3);

/// The step of that wait.
const AGAIN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 2_000_000,
};

/// The state directory of one service, locked, with its FIFOs open.
#[derive(Debug)]
pub(crate) struct StateDir {
    /// Its path from the service directory.
    path: PathBuf,
    /// Its path for messages.
    shown: PathBuf,
    dir: OwnedFd,
    /// The commands.
    pub(crate) control: OwnedFd,
    /// Without a writer of our own the FIFO would poll HUP for ever once a client has left.
    _control_writer: OwnedFd,
    ok: Option<OwnedFd>,
    _lock: Lock,
}

impl StateDir {
    /// Makes what is missing of the state directory at `path`, and takes its lock. `shown` is the
    /// path for messages.
    ///
    /// # Errors
    /// Another supervise is there, or something cannot be made: a [`Failure`] that says it.
    pub(crate) fn open(path: &Path, shown: &Path) -> Result<Self, Failure> {
        let unable = |verb, path: PathBuf, why: Why| {
            Message::State {
                verb,
                path,
                why: why.to_string(),
            }
            .fatal()
        };
        make_dir(path).map_err(|error| unable("create", shown.to_path_buf(), error.into()))?;
        let dir = rustix::fs::open(
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| unable("open", shown.to_path_buf(), errno.into()))?;
        let lock = take_lock(&path.join(LOCK)).map_err(|not| match not {
            NotLocked::Held(holder) => Message::LockHeld {
                path: shown.join(LOCK),
                holder,
            }
            .fatal(),
            NotLocked::Failed(error) => unable("lock", shown.join(LOCK), error.into()),
        })?;
        // A file in the place of `ok` has to be found before the service runs.
        make_fifo(&dir, OK, 0o622).map_err(unable_to_open(shown, OK))?;
        make_fifo(&dir, CONTROL, 0o600).map_err(unable_to_open(shown, CONTROL))?;
        let control =
            |flags| open_fifo(&dir, CONTROL, flags).map_err(unable_to_open(shown, CONTROL));
        Ok(Self {
            control: control(OFlags::RDONLY)?,
            _control_writer: control(OFlags::WRONLY)?,
            ok: None,
            _lock: lock,
            dir,
            path: path.to_path_buf(),
            shown: shown.to_path_buf(),
        })
    }

    /// Opens `ok`: from now on svok(8) finds a supervise there.
    ///
    /// # Errors
    /// A [`Failure`] that says it.
    pub(crate) fn open_ok(&mut self) -> Result<(), Failure> {
        let ok =
            open_fifo(&self.dir, OK, OFlags::RDONLY).map_err(unable_to_open(&self.shown, OK))?;
        self.ok = Some(ok);
        Ok(())
    }

    /// Whether `ok` is open.
    pub(crate) fn is_ok_open(&self) -> bool {
        self.ok.is_some()
    }

    /// A new state directory in the place of this one, if this one was removed and a new one can be
    /// made.
    pub(crate) fn recreate_if_removed(&self) -> Option<Self> {
        let removed = rustix::fs::fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 0);
        if !removed {
            return None;
        }
        let mut again = Self::open(&self.path, &self.shown).ok()?;
        again.open_ok().ok()?;
        Some(again)
    }

    /// The content of a file; `None` if there is none, or if it is not what a supervise wrote: a link,
    /// another kind of file, one with a second name, one of a user who is neither root nor this one.
    /// `service`: the service directory in a warning.
    ///
    /// # Errors
    /// It is there and cannot be read: a [`Failure`] that says it.
    pub(crate) fn read(&self, name: &str, service: &Path) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.shown.join(name);
        match trust::read_own_at(&self.dir, name, READ_MAX) {
            Ok(content) => Ok(Some(content)),
            Err(refused) if refused.is_absent() => Ok(None),
            Err(refused) if refused.errno().is_some() => Err(Message::State {
                verb: "read",
                path,
                why: refused.to_string(),
            }
            .fatal()),
            Err(refused) => {
                let why = refused.to_string();
                warn(service, &Message::NotBelieved { path, why });
                Ok(None)
            }
        }
    }

    /// As [`StateDir::read`], where no content is as good as any reason for it.
    pub(crate) fn content(&self, name: &str) -> Option<Vec<u8>> {
        trust::read_own_at(&self.dir, name, READ_MAX).ok()
    }

    /// Puts a file with this content (mode 0644) in the place of the one of that name: a reader sees
    /// the old one or the new one, whole.
    ///
    /// Where there is no room for a new file, the old one is written over: on a full disk, what the
    /// status says is worth more than that no reader ever meets half a record, and the record's
    /// checksum tells those.
    ///
    /// # Errors
    /// Neither could be done; the error is that of the first.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        let written = self.write_new(&new, content).and_then(|()| {
            retry_on_intr(|| rustix::fs::renameat(&self.dir, &new, &self.dir, name))
                .map_err(io::Error::from)
        });
        written.or_else(|error| {
            rustix::fs::unlinkat(&self.dir, &new, AtFlags::empty()).ok();
            self.write_over(name, content).map_err(|_| error)
        })
    }

    /// Its absolute path.
    ///
    /// # Errors
    /// /proc is not mounted, or the directory has been deleted.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// As unlink(2).
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn write_new(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY
            | OFlags::CREATE
            | OFlags::TRUNC
            | OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o644);
        let file = retry_on_intr(|| rustix::fs::openat(&self.dir, name, flags, mode))?;
        File::from(file).write_all(content)
    }

    fn write_over(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = retry_on_intr(|| rustix::fs::openat(&self.dir, name, flags, Mode::empty()))?;
        let mut file = File::from(file);
        file.write_all(content)?;
        file.set_len(content.len().try_into().unwrap_or(u64::MAX))
    }
}

impl AsFd for StateDir {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Takes the lock. When its holder was killed while it was forking, the child has it still until it
/// gets to closing it, which is its first step: that is waited for.
fn take_lock(path: &Path) -> Result<Lock, NotLocked> {
    let give_up = Instant::now() + INHERITED;
    loop {
        match Lock::take(path) {
            Err(NotLocked::Held(Some(holder))) if is_gone(holder) && Instant::now() < give_up => {
                rustix::event::poll(&mut [], Some(&AGAIN)).ok();
            }
            taken => return taken,
        }
    }
}

fn is_gone(pid: Pid) -> bool {
    Place::of(pid).is_none_or(|place| place.zombie)
}

/// Makes the directory (mode 0755) if it is not there. Where it is a link to nothing, what it points
/// to is made, as Debian's daemontools and runit do: an admin has linked it to /run, which was
/// emptied by a reboot.
fn make_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(path);
        }
        other => return other,
    }
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(rustix::io::Errno::NOTDIR.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = link_target(path)?;
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(target)
        }
        Err(error) => Err(error),
    }
}

/// Where a link points to, as seen from here.
fn link_target(link: &Path) -> io::Result<PathBuf> {
    let target = fs::read_link(link)?;
    Ok(link.parent().unwrap_or(Path::new("")).join(target))
}

fn unable_to_open(dir: &Path, name: &str) -> impl Fn(rustix::io::Errno) -> Failure {
    let path = dir.join(name);
    move |errno| {
        let why = match errno {
            rustix::io::Errno::INVAL => "not a FIFO".to_owned(),
            _ => Why::from(errno).to_string(),
        };
        Message::State {
            verb: "open the FIFO",
            path: path.clone(),
            why,
        }
        .fatal()
    }
}

/// Makes the FIFO, if it is not there.
fn make_fifo(dir: &OwnedFd, name: &str, mode: u32) -> rustix::io::Result<()> {
    match rustix::fs::mkfifoat(dir, name, Mode::from_raw_mode(mode)) {
        // Explicitly, because the umask may have taken bits away.
        Ok(()) => rustix::fs::chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty()),
        Err(rustix::io::Errno::EXIST) => {
            let mode = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
            if FileType::from_raw_mode(mode) == FileType::Fifo {
                Ok(())
            } else {
                Err(rustix::io::Errno::INVAL)
            }
        }
        Err(errno) => Err(errno),
    }
}

fn open_fifo(dir: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fifo = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    require_fifo(&fifo)?;
    Ok(fifo)
}
