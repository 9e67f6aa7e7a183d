//! The files of one log directory by their names: its lock, `config`, `current`, the old files. Each
//! call does one thing to the disk and returns what failed; `directory.rs` decides what follows.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, OFlags, RawDir, RenameFlags, SeekFrom, flock, renameat,
    renameat_with, seek, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use servicedir::tai64n::Tai64n;

use crate::access::{create_file, is_file, open_dir, open_file};
use crate::current::{Access, Current, Identity, is_done, mark};
use crate::message::{Fault, Reason, Verb};
use crate::rotate::{Kind, OldFile, OldName, label_after};

/// The longest `config` in bytes: a longer one is a mistake or an attack.
const CONFIG_MAX: usize = 1 << 20;
/// It is read in pieces of this size in bytes; most have less.
const CONFIG_BUFFER: usize = 512;
/// Directory entries are read in pieces of this size in bytes: about 40 old files.
const NAMES_BUFFER: usize = 2048;

/// What happened to `current` when it was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Opened {
    /// It did not exist, or is empty.
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
    /// Mode and group of new files.
    pub(crate) access: Access,
}

impl Store {
    /// Opens and locks the directory; one whose parent exists is made with this mode.
    pub(crate) fn open(path: &Path, mode: u32) -> Result<Self, Fault> {
        let (dir, stat) =
            open_dir(path, mode).map_err(|reason| Fault::new(Verb::Open, path, reason))?;
        let lock = take_lock(&dir).map_err(|reason| Fault::new(Verb::Lock, path, reason))?;
        let mut store = Self {
            dir,
            _lock: lock,
            identity: Identity::from(&stat),
            newest: Tai64n::default(),
            access: Access::default(),
        };
        store.clean(path)?;
        Ok(store)
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Whether `path` still leads to this directory.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool, Fault> {
        statat(CWD, path, AtFlags::empty())
            .map(|stat| Identity::from(&stat) == self.identity)
            .map_err(|errno| Fault::new(Verb::Open, path, errno))
    }

    /// Whether `path` still leads to this directory, and in it to this `current`.
    pub(crate) fn leads_to(&self, path: &Path, current: &Current) -> bool {
        statat(CWD, path.join("current"), AtFlags::empty())
            .is_ok_and(|stat| Identity::from(&stat) == current.identity)
    }

    /// Deletes the unfinished output of processors, and learns the newest label.
    fn clean(&mut self, path: &Path) -> Result<(), Fault> {
        for name in self.names(path)? {
            self.newest = self.newest.max(name.label);
            if name.kind == Kind::Processing {
                self.delete(path, name)?;
            }
        }
        Ok(())
    }

    /// The text of `config` and its owner; `None` where it does not exist.
    pub(crate) fn config(&self, path: &Path) -> Result<Option<(Vec<u8>, u32)>, Fault> {
        let fault = |reason| Fault::new(Verb::Read, path.join("config"), reason);
        let dir = self.dir.as_fd();
        let (file, stat) = match open_file(dir, "config", OFlags::RDONLY, 0) {
            Err(Reason::Errno(why)) if why.0 == libc::ENOENT => return Ok(None),
            outcome => outcome.map_err(fault)?,
        };
        let mut text = Vec::new();
        let mut buffer = [0; CONFIG_BUFFER];
        loop {
            let read = retry_on_intr(|| rustix::io::read(&file, &mut buffer))
                .map_err(|errno| fault(errno.into()))?;
            text.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if read == 0 {
                return Ok(Some((text, stat.st_uid)));
            }
            if text.len() > CONFIG_MAX {
                return Err(fault(Reason::Long(CONFIG_MAX)));
            }
        }
    }

    /// Opens `current` and goes on with it. One that was not closed in order is put aside first.
    pub(crate) fn open_current(&mut self, path: &Path) -> Result<(Current, Opened), Fault> {
        let mut opened = Opened::New;
        match open_file(self.dir.as_fd(), "current", OFlags::RDONLY, 0) {
            Ok((_, stat)) if stat.st_size == 0 => {}
            Ok((_, stat)) if is_done(&stat) => opened = Opened::Appended,
            Ok(_) => opened = Opened::Renamed(self.rename_current(path, Kind::Unprocessed)?),
            Err(Reason::Errno(why)) if why.0 == libc::ENOENT => {}
            Err(reason) => return Err(Fault::new(Verb::Open, path.join("current"), reason)),
        }
        Ok((self.create_current(path)?, opened))
    }

    /// Opens or makes `current`, and gives it the mode of a file that is being written.
    pub(crate) fn create_current(&self, path: &Path) -> Result<Current, Fault> {
        let fault = |reason| Fault::new(Verb::Open, path.join("current"), reason);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        let (file, _) =
            open_file(self.dir.as_fd(), "current", flags, self.access.mode).map_err(fault)?;
        self.access
            .give(&file)
            .map_err(|errno| fault(errno.into()))?;
        Current::new(file).map_err(|errno| fault(errno.into()))
    }

    /// Gives `current` a name that no file has.
    pub(crate) fn rename_current(&mut self, path: &Path, kind: Kind) -> Result<OldName, Fault> {
        self.rename_to_old(path, "current", kind)
    }

    /// Gives a file the name of the newest old file.
    pub(crate) fn rename_to_old(
        &mut self,
        path: &Path,
        from: &str,
        kind: Kind,
    ) -> Result<OldName, Fault> {
        loop {
            let label = label_after(self.newest, Tai64n::now());
            self.newest = label;
            let name = OldName::new(label, kind);
            match self.rename_to_new(from, &name.text()) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(Fault::new(Verb::Rename, path.join(from), errno)),
            }
        }
    }

    /// Renames, but never over another file.
    fn rename_to_new(&self, from: &str, to: &str) -> Result<(), Errno> {
        match renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            // The file system does not know the flag; the directory is locked, so a look is enough.
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

    /// The old files, the oldest first. Directories, FIFOs and other users' links are not among them.
    pub(crate) fn names(&self, path: &Path) -> Result<Vec<OldName>, Fault> {
        let fault = |errno: Errno| Fault::new(Verb::Read, path, errno);
        let mut names = Vec::new();
        // Each page that the start touches stays with the logger: so a small buffer, on the stack.
        let mut buffer = [MaybeUninit::uninit(); NAMES_BUFFER];
        seek(&self.dir, SeekFrom::Start(0)).map_err(fault)?;
        let mut entries = RawDir::new(&self.dir, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(fault)?;
            let name = OldName::parse(entry.file_name().to_bytes());
            names.extend(
                name.filter(|name| is_file(self.dir.as_fd(), &name.text(), entry.file_type())),
            );
        }
        names.sort_unstable_by_key(|name| name.label);
        Ok(names)
    }

    /// The old files that are whole or wait for the processor, the oldest first; their sizes if `sizes`.
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

    /// The unprocessed files that are on the disk, as their mode says.
    pub(crate) fn marked(&self, path: &Path) -> Result<Vec<Tai64n>, Fault> {
        let mut names = self.names(path)?;
        names.retain(|name| {
            name.kind == Kind::Unprocessed
                && statat(&self.dir, name.text(), AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| is_done(&stat))
        });
        Ok(names.into_iter().map(|name| name.label).collect())
    }

    /// An old file is on the disk: it gets its last name. One that was deleted meanwhile is not a fault.
    pub(crate) fn save(&self, path: &Path, label: Tai64n) -> Result<(), Fault> {
        let name = |kind| OldName::new(label, kind).text();
        match self.rename_to_new(&name(Kind::Unprocessed), &name(Kind::Saved)) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => {
                let old = path.join(name(Kind::Unprocessed));
                Err(Fault::new(Verb::Rename, old, errno))
            }
        }
    }

    /// Whether a file has that name.
    pub(crate) fn has(&self, name: OldName) -> bool {
        statat(&self.dir, name.text(), AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Deletes an old file. One that is gone already is not a fault.
    pub(crate) fn delete(&self, path: &Path, name: OldName) -> Result<(), Fault> {
        match unlinkat(&self.dir, name.text(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(Fault::new(Verb::Delete, path.join(name.text()), errno)),
        }
    }

    /// The descriptors of a processor that works on `label`: the old file and `state` to read, the
    /// output and `newstate` to write.
    pub(crate) fn processor_files(
        &self,
        path: &Path,
        label: Tai64n,
    ) -> Result<ProcessorFiles, Fault> {
        let unprocessed = OldName::new(label, Kind::Unprocessed).text();
        let processing = OldName::new(label, Kind::Processing).text();
        Ok(ProcessorFiles {
            input: self.open_to_read(path, &unprocessed, false)?,
            output: self.create(path, &processing)?,
            state: self.open_to_read(path, "state", true)?,
            newstate: self.create(path, "newstate")?,
        })
    }

    /// Opens a file for reading; makes it, empty, where `create` and it does not exist.
    fn open_to_read(&self, path: &Path, name: &str, create: bool) -> Result<OwnedFd, Fault> {
        match open_file(self.dir.as_fd(), name, OFlags::RDONLY, 0) {
            Ok((file, _)) => Ok(file),
            Err(Reason::Errno(why)) if create && why.0 == libc::ENOENT => self.create(path, name),
            Err(reason) => Err(Fault::new(Verb::Open, path.join(name), reason)),
        }
    }

    /// Makes a new file in the place of any that has the name.
    fn create(&self, path: &Path, name: &str) -> Result<OwnedFd, Fault> {
        let fault = |reason| Fault::new(Verb::Create, path.join(name), reason);
        let file = create_file(self.dir.as_fd(), name, self.access.mode).map_err(fault)?;
        self.access
            .give(&file)
            .map_err(|errno| fault(errno.into()))?;
        Ok(file)
    }

    /// Makes an empty `state` where it does not exist, as multilog does.
    pub(crate) fn ensure_state(&self, path: &Path) -> Result<(), Fault> {
        self.open_to_read(path, "state", true).map(drop)
    }

    /// Gives the files that daemontools' multilog left at a crash the names of this suite: `previous`
    /// was to be processed, `processed` is its output, done if its mode says so.
    pub(crate) fn take_over(&mut self, path: &Path) -> Result<(), Fault> {
        let open = |name| open_file(self.dir.as_fd(), name, OFlags::RDONLY, 0);
        let previous = open("previous").is_ok();
        let done = open("processed").is_ok_and(|(_, stat)| is_done(&stat));
        if done {
            self.rename_to_old(path, "processed", Kind::Saved)?;
        } else if previous {
            self.rename_to_old(path, "previous", Kind::Unprocessed)?;
        }
        for name in ["previous", "processed"] {
            match unlinkat(&self.dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(Fault::new(Verb::Delete, path.join(name), errno)),
            }
        }
        Ok(())
    }

    /// A processor has done its work on `label`: its output becomes the old file.
    ///
    /// The next start relies on the order: once `@….s` exists, `@….u` beside it is done.
    pub(crate) fn accept(&self, path: &Path, output: &OwnedFd, label: Tai64n) -> Result<(), Fault> {
        let processing = OldName::new(label, Kind::Processing).text();
        let fault = |verb, errno| Fault::new(verb, path.join(&processing), errno);
        mark(output).map_err(|errno| fault(Verb::Sync, errno))?;
        let saved = OldName::new(label, Kind::Saved).text();
        self.rename_to_new(&processing, &saved)
            .map_err(|errno| fault(Verb::Rename, errno))?;
        self.settle(path, label)
    }

    /// The rest of [`Self::accept`], once `@….s` exists.
    pub(crate) fn settle(&self, path: &Path, label: Tai64n) -> Result<(), Fault> {
        match renameat(&self.dir, "newstate", &self.dir, "state") {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(Fault::new(Verb::Rename, path.join("newstate"), errno)),
        }
        self.delete(path, OldName::new(label, Kind::Unprocessed))
    }
}

/// What a processor reads and writes.
#[derive(Debug)]
pub(crate) struct ProcessorFiles {
    /// Its standard input, `@….u`.
    pub(crate) input: OwnedFd,
    /// Its standard output, `@….t`.
    pub(crate) output: OwnedFd,
    /// Its descriptor 4.
    pub(crate) state: OwnedFd,
    /// Its descriptor 5.
    pub(crate) newstate: OwnedFd,
}

/// Takes the lock as runit and multilog take it: flock(2) on the file `lock`.
fn take_lock(dir: &OwnedFd) -> Result<OwnedFd, Reason> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
    let (lock, _) = open_file(dir.as_fd(), "lock", flags, 0o600)?;
    match retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(Reason::Held),
        Err(errno) => Err(errno.into()),
    }
}
