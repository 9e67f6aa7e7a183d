//! The pid file: what it says, whether it was written in this run, and when it changes.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::process::Pid;

/// What tells one writing of a file from another. Neither its owner nor its mode: start scripts
/// change those of a file that is left over.
type Stamp = (u64, u64, u64, i64, i64);

/// How many symlinks on the way to the file are followed; the kernel follows 40.
const MAX_LINKS: usize = 40;

/// A pid file.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// The file that was there before the command was started: the last boot's, or the last run's.
    stale: Option<Stamp>,
    inotify: Option<OwnedFd>,
    /// Some change may go unnoticed: it is looked for again and again.
    blind: bool,
}

impl PidFile {
    /// The pid file at `path`. What it says now does not count.
    pub(crate) fn new(path: PathBuf) -> Self {
        let stale = fs::metadata(&path).ok().map(|meta| stamp(&meta));
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let mut file = Self {
            path,
            stale,
            blind: inotify.is_none(),
            inotify,
        };
        file.watch();
        file
    }

    /// Its path, as the user gave it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its changes have to be looked for, since the system does not tell of them.
    pub(crate) fn is_blind(&self) -> bool {
        self.blind
    }

    /// The pid that it names, if it was written since the command was started and names one.
    ///
    /// # Errors
    /// It is there, and cannot be read, or is no plain file.
    pub(crate) fn read(&self) -> io::Result<Option<Pid>> {
        let opened = fs::OpenOptions::new()
            .read(true)
            // A FIFO must not make us wait.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&self.path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(Errno::ISDIR.into());
        }
        if !meta.is_file() {
            return Err(Errno::INVAL.into());
        }
        if self.stale == Some(stamp(&meta)) {
            return Ok(None);
        }
        let mut text = Vec::new();
        file.take(64).read_to_end(&mut text)?;
        Ok(parse(&text))
    }

    /// Takes note that something changed, and watches what there is now.
    pub(crate) fn changed(&mut self) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut moved = false;
        while let Ok(event) = reader.next() {
            moved |= !event.events().intersects(ReadFlags::MODIFY);
            // One buffer a turn: a directory that is never quiet must not keep us here.
            if reader.is_buffer_empty() {
                break;
            }
        }
        if moved {
            self.watch();
        }
    }

    /// Watches the directory of the file, and of every symlink on the way to it; where one does not
    /// exist yet, the nearest one above that does. Then the file: what is written in a directory, a
    /// data directory say, must not wake us, but what is written to the file must.
    fn watch(&mut self) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let mut blind = false;
        let mut path = self.path.clone();
        for _ in 0..MAX_LINKS {
            let directory = parent(&path);
            blind |= !watch_nearest(inotify, directory);
            let Ok(target) = fs::read_link(&path) else {
                break;
            };
            path = directory.join(target);
        }
        let written = inotify::add_watch(inotify, &self.path, WatchFlags::MODIFY);
        self.blind = blind || !matches!(written, Ok(_) | Err(Errno::NOENT));
    }

    /// What polls readable when the file may have changed.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }
}

fn stamp(meta: &Metadata) -> Stamp {
    (
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
    )
}

/// The directory that holds the entry of this path.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => Path::new("/"),
    }
}

/// Whether the directory, or the nearest one above it that exists, is watched.
fn watch_nearest(inotify: &OwnedFd, directory: &Path) -> bool {
    let events = WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    let mut at = directory;
    loop {
        match inotify::add_watch(inotify, at, events) {
            // What is missing may have been made before the watch above it stood: look again.
            Ok(_) if at != directory && directory.exists() => at = directory,
            Ok(_) => return true,
            Err(Errno::NOENT) if at != parent(at) => at = parent(at),
            Err(_) => return false,
        }
    }
}

/// The number on the first line: PostgreSQL writes more below it.
fn parse(text: &[u8]) -> Option<Pid> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let number = std::str::from_utf8(line).ok()?.trim();
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    Pid::from_raw(number.parse().ok().filter(|pid| is_number && *pid > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Option<i32> {
        parse(text).map(|pid| pid.as_raw_nonzero().get())
    }

    #[test]
    fn a_pid_is_the_number_on_the_first_line() {
        for text in [
            "42",
            "42\n",
            " 42 \n",
            "42\r\n",
            "42\n/var/lib/postgresql\n1700000000\n",
        ] {
            assert_eq!(read(text.as_bytes()), Some(42), "{text:?}");
        }
        for text in [
            "",
            "\n42",
            "4 2",
            "-42",
            "+42",
            "0",
            "99999999999",
            "pid 42",
            "42\0",
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(read(b"\xff\n"), None);
    }

    #[test]
    fn what_was_there_before_does_not_count_until_it_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        let file = PidFile::new(path.clone());
        assert_eq!(file.read().unwrap(), None);
        fs::write(dir.path().join("new"), "1\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(file.read().unwrap(), Pid::from_raw(1));
    }

    #[test]
    fn a_directory_in_its_place_is_a_fault_and_a_missing_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(PidFile::new(dir.path().to_owned()).read().is_err());
        assert_eq!(PidFile::new(dir.path().join("none")).read().unwrap(), None);
    }

    #[test]
    fn the_directory_of_a_path_is_where_its_entry_is() {
        assert_eq!(parent(Path::new("/run/x/pid")), Path::new("/run/x"));
        assert_eq!(parent(Path::new("/pid")), Path::new("/"));
        assert_eq!(parent(Path::new("pid")), Path::new("."));
        assert_eq!(parent(Path::new("/")), Path::new("/"));
    }
}
