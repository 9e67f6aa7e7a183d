//! The files of one log directory: its lock, `current`, and the old files. Each call does one thing
//! to the disk and says what failed; what to do about it is decided in `directory.rs`.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat, fchmod, flock, fstat,
    fsync, openat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;
use servicedir::report::Why;
use servicedir::tai64n::Tai64n;

use crate::rotate::{Kind, OldFile, OldName, label_after};

/// `current` while it is written.
const OPEN_MODE: u32 = 0o644;
/// A file that was brought to the disk whole.
const DONE_MODE: u32 = 0o744;
/// The bit of it that says so.
const DONE_BIT: u32 = 0o100;
/// A `config` beyond this size in bytes is none.
const CONFIG_MAX: u64 = 1 << 20;

/// What could not be done to which file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// `unable to open web/log/current`.
    pub(crate) what: String,
    /// The errno.
    pub(crate) why: Why,
}

impl Fault {
    fn new(verb: &str, path: &Path, name: &str, errno: impl Into<Why>) -> Self {
        let path = if name.is_empty() {
            path.display().to_string()
        } else {
            path.join(name).display().to_string()
        };
        Self {
            what: format!("unable to {verb} {path}"),
            why: errno.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.why)
    }
}

/// One file for ever: its device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Identity {
    device: u64,
    inode: u64,
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// The open `current` of a directory.
#[derive(Debug)]
pub(crate) struct Current {
    file: OwnedFd,
    identity: Identity,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Whether its last byte is a newline, or it is empty.
    pub(crate) ends_line: bool,
}

/// What happened to `current` when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    /// It was not there, or is empty.
    New,
    /// It goes on.
    Appended,
    /// It was not closed in order, and has this name now.
    Renamed(OldName),
}

/// One log directory, locked.
#[derive(Debug)]
pub(crate) struct Store {
    dir: OwnedFd,
    /// Held as long as it is open.
    _lock: OwnedFd,
    identity: Identity,
    newest: Tai64n,
}

impl Store {
    /// Opens and locks the directory.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let (dir, identity) = open_dir(path)?;
        let lock = take_lock(path, &dir)?;
        let mut store = Self {
            dir,
            _lock: lock,
            identity,
            newest: Tai64n::default(),
        };
        store.look(path)?;
        Ok(store)
    }

    /// Whether `path` still leads to this directory.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool, Fault> {
        statat(CWD, path, AtFlags::empty())
            .map(|stat| Identity::from(&stat) == self.identity)
            .map_err(|errno| Fault::new("open", path, "", errno))
    }

    /// Whether `path` still leads to this directory, and in it to this `current`.
    pub(crate) fn leads_to(&self, path: &Path, current: &Current) -> bool {
        statat(CWD, path.join("current"), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| Identity::from(&stat) == current.identity)
    }

    /// Deletes what processors left half-done, and learns the newest label.
    fn look(&mut self, path: &Path) -> Result<(), Fault> {
        for name in self.names(path)? {
            self.newest = self.newest.max(name.label);
            if name.kind == Kind::Processing {
                self.delete(path, name)?;
            }
        }
        Ok(())
    }

    /// The text of `config`; `None` where there is none.
    pub(crate) fn config(&self, path: &Path) -> Result<Option<Vec<u8>>, Fault> {
        let fault = |why: Why| Fault::new("read", path, "config", why);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.dir, "config", flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(fault(errno.into())),
        };
        let mut text = Vec::new();
        let mut limited = io::Read::take(std::fs::File::from(file), CONFIG_MAX);
        match io::Read::read_to_end(&mut limited, &mut text) {
            Ok(_) => Ok(Some(text)),
            Err(error) => Err(fault(error.into())),
        }
    }

    /// Opens `current` for going on with it. One that was not closed in order is put aside first.
    pub(crate) fn open_current(&mut self, path: &Path) -> Result<(Current, Opened), Fault> {
        let mut opened = Opened::New;
        match statat(&self.dir, "current", AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !FileType::from_raw_mode(stat.st_mode).is_file() => {
                let why = Why(libc::EINVAL);
                return Err(Fault::new("use as a regular file", path, "current", why));
            }
            Ok(stat) if stat.st_size > 0 && stat.st_mode & DONE_BIT == 0 => {
                opened = Opened::Renamed(self.rename_current(path, Kind::Unprocessed)?);
            }
            Ok(stat) if stat.st_size > 0 => opened = Opened::Appended,
            Ok(_) | Err(_) => {}
        }
        Ok((self.create_current(path)?, opened))
    }

    /// Opens or makes `current`, and gives it the mode of a file that is being written.
    pub(crate) fn create_current(&self, path: &Path) -> Result<Current, Fault> {
        let fault = |errno: Errno| Fault::new("open", path, "current", errno);
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let file = openat(&self.dir, "current", flags, Mode::from(OPEN_MODE)).map_err(fault)?;
        fchmod(&file, Mode::from(OPEN_MODE)).map_err(fault)?;
        let stat = fstat(&file).map_err(fault)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut last = [b'\n'];
        if size > 0 {
            rustix::io::pread(&file, &mut last, size - 1).map_err(fault)?;
        }
        Ok(Current {
            file,
            identity: Identity::from(&stat),
            size,
            ends_line: last == [b'\n'],
        })
    }

    /// Gives `current` a name that no file has.
    pub(crate) fn rename_current(&mut self, path: &Path, kind: Kind) -> Result<OldName, Fault> {
        loop {
            let label = label_after(self.newest, Tai64n::now());
            self.newest = label;
            let name = OldName::new(label, kind);
            match self.rename_to_new("current", &name.text()) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Fault::new("rename", path, "current", errno)),
            }
        }
    }

    /// Renames, but never over a file that is there.
    fn rename_to_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            // The file system does not know the flag. The directory is locked: looking first is enough.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match statat(&self.dir, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => renameat(&self.dir, from, &self.dir, to),
                    Ok(_) => Err(Errno::EXIST),
                    Err(errno) => Err(errno),
                }
            }
            outcome => outcome,
        }
    }

    /// The old files, the oldest first.
    pub(crate) fn names(&self, path: &Path) -> Result<Vec<OldName>, Fault> {
        let fault = |errno: Errno| Fault::new("read", path, "", errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir).map_err(fault)? {
            names.extend(OldName::parse(entry.map_err(fault)?.file_name().to_bytes()));
        }
        names.sort_unstable_by_key(|name| name.label);
        Ok(names)
    }

    /// The old files that are whole or wait for something, the oldest first; their sizes, if `sizes`.
    pub(crate) fn old_files(&self, path: &Path, sizes: bool) -> Result<Vec<OldFile>, Fault> {
        let mut names = self.names(path)?;
        names.retain(|name| name.kind != Kind::Processing);
        let size = |name: OldName| {
            let stat = statat(&self.dir, name.text(), AtFlags::SYMLINK_NOFOLLOW).ok();
            let size = stat.and_then(|stat| u64::try_from(stat.st_size).ok());
            size.unwrap_or(0)
        };
        let files = names.into_iter().map(|name| OldFile {
            name,
            size: if sizes { size(name) } else { 0 },
        });
        Ok(files.collect())
    }

    /// The files not processed that are on the disk, as their mode says.
    pub(crate) fn marked(&self, path: &Path) -> Result<Vec<Tai64n>, Fault> {
        let mut names = self.names(path)?;
        names.retain(|name| {
            name.kind == Kind::Unprocessed
                && statat(&self.dir, name.text(), AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| stat.st_mode & DONE_BIT != 0)
        });
        Ok(names.into_iter().map(|name| name.label).collect())
    }

    /// An old file is on the disk: it gets its name for good. One that was deleted meanwhile is no fault.
    pub(crate) fn save(&self, path: &Path, label: Tai64n) -> Result<(), Fault> {
        let name = |kind| OldName::new(label, kind).text();
        match self.rename_to_new(&name(Kind::Unprocessed), &name(Kind::Saved)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                let old = name(Kind::Unprocessed);
                Err(Fault::new("rename", path, &old, errno))
            }
        }
    }

    /// Whether there is a file of that name.
    pub(crate) fn has(&self, name: OldName) -> bool {
        statat(&self.dir, name.text(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Deletes an old file. One that is gone already is no fault.
    pub(crate) fn delete(&self, path: &Path, name: OldName) -> Result<(), Fault> {
        match unlinkat(&self.dir, name.text(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Fault::new("delete", path, &name.text(), errno)),
        }
    }

    /// Opens an old file for the processor to read.
    pub(crate) fn open_old(&self, path: &Path, name: OldName) -> Result<OwnedFd, Fault> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.dir, name.text(), flags, Mode::empty())
            .map_err(|errno| Fault::new("open", path, &name.text(), errno))
    }

    /// Makes the file that takes a processor's output.
    pub(crate) fn create_output(&self, path: &Path, name: OldName) -> Result<OwnedFd, Fault> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.dir, name.text(), flags, Mode::from(OPEN_MODE))
            .map_err(|errno| Fault::new("create", path, &name.text(), errno))
    }

    /// Makes an empty `state` where there is none.
    pub(crate) fn ensure_state(&self, path: &Path) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.dir, "state", flags, Mode::from(OPEN_MODE))
            .map(drop)
            .map_err(|errno| Fault::new("create", path, "state", errno))
    }

    /// A processor has done its work on `label`: its output becomes the old file.
    ///
    /// The order is what the next start relies on: once `@….s` is there, `@….u` beside it is done.
    pub(crate) fn accept(&self, path: &Path, output: &OwnedFd, label: Tai64n) -> Result<(), Fault> {
        let name = |kind| OldName::new(label, kind).text();
        mark(output).map_err(|errno| Fault::new("sync", path, &name(Kind::Processing), errno))?;
        self.rename_to_new(&name(Kind::Processing), &name(Kind::Saved))
            .map_err(|errno| Fault::new("rename", path, &name(Kind::Processing), errno))?;
        self.settle(path, label)
    }

    /// The rest of [`Self::accept`], once `@….s` is there.
    pub(crate) fn settle(&self, path: &Path, label: Tai64n) -> Result<(), Fault> {
        match renameat(&self.dir, "newstate", &self.dir, "state") {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Fault::new("rename", path, "newstate", errno)),
        }
        self.delete(path, OldName::new(label, Kind::Unprocessed))
    }
}

impl Current {
    /// Appends; returns how many bytes went.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let done = rustix::io::write(&self.file, bytes)?;
        self.size = self
            .size
            .saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
        if let Some(last) = done.checked_sub(1).and_then(|at| bytes.get(at)) {
            self.ends_line = *last == b'\n';
        }
        Ok(done)
    }

    /// Brings the file to the disk and marks it as whole.
    pub(crate) fn seal(&self) -> Result<(), Errno> {
        mark(&self.file)
    }

    /// The open file alone.
    pub(crate) fn into_file(self) -> OwnedFd {
        self.file
    }

    /// Whether the file has no name any more.
    pub(crate) fn is_deleted(&self) -> bool {
        is_deleted(&self.file)
    }

    /// Reads from a place in the file; 0 at its end.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        rustix::io::pread(&self.file, buffer, offset)
    }
}

/// Brings a file to the disk and marks it as whole.
pub(crate) fn mark(file: &OwnedFd) -> Result<(), Errno> {
    sync(file.as_fd())?;
    fchmod(file, Mode::from(DONE_MODE))
}

/// Whether the mode of a file says that it is whole.
pub(crate) fn is_marked(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_mode & DONE_BIT != 0)
}

/// Whether a file has no name any more.
pub(crate) fn is_deleted(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}

/// fsync(2), which some file systems and special files do not know.
fn sync(file: BorrowedFd<'_>) -> Result<(), Errno> {
    match fsync(file) {
        Err(Errno::INVAL | Errno::ROFS) => Ok(()),
        outcome => outcome,
    }
}

fn open_dir(path: &Path) -> Result<(OwnedFd, Identity), Fault> {
    let fault = |errno: Errno| Fault::new("open", path, "", errno);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let dir = openat(CWD, path, flags, Mode::empty()).map_err(fault)?;
    let identity = Identity::from(&fstat(&dir).map_err(fault)?);
    Ok((dir, identity))
}

/// Takes the lock as runit and multilog take it: flock(2) on the file `lock`.
fn take_lock(path: &Path, dir: &OwnedFd) -> Result<OwnedFd, Fault> {
    let fault = |errno: Errno| Fault::new("lock", path, "", errno);
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::APPEND
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let lock = openat(dir, "lock", flags, Mode::from(0o600)).map_err(fault)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        // "Try again" would not say that another logger has it.
        Err(Errno::WOULDBLOCK) => Err(fault(Errno::BUSY)),
        Err(errno) => Err(fault(errno)),
    }
}
