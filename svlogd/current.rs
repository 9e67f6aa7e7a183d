//! One open file of a log directory, most often `current`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, Stat, Uid, fchmod, fchown, fstat, fsync};
use rustix::io::Errno;

/// The bit of a file's mode that says that it was brought to the disk whole.
const DONE_BIT: u32 = 0o100;

/// Mode and group that the files of a directory get.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    /// The mode of a file that is being written; [`DONE_BIT`] is added when it is whole.
    pub(crate) mode: u32,
    /// The group, where it is not the one that the system gives a new file.
    pub(crate) group: Option<u32>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            mode: 0o644,
            group: None,
        }
    }
}

impl Access {
    /// Gives an open file this group, and the mode of one that is being written.
    pub(crate) fn give(self, file: &OwnedFd) -> Result<(), Errno> {
        if let Some(group) = self.group {
            fchown(file, None::<Uid>, Some(Gid::from_raw(group)))?;
        }
        fchmod(file, Mode::from(self.mode))
    }
}

/// One file for ever: its device and inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
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
    pub(crate) identity: Identity,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When it was last written, in Unix seconds, before it was opened.
    pub(crate) written: i64,
    /// Whether what was written last ended with a newline: here, or in the file before this one.
    pub(crate) ends_line: bool,
}

impl Current {
    /// The open `current` of the directory; the next byte goes behind the last one.
    pub(crate) fn new(file: OwnedFd) -> Result<Self, Errno> {
        let stat = fstat(&file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut last = [b'\n'];
        if size > 0 {
            rustix::io::pread(&file, &mut last, size - 1)?;
        }
        Ok(Self {
            identity: Identity::from(&stat),
            file,
            size,
            written: stat.st_mtime,
            ends_line: last == [b'\n'],
        })
    }

    /// Appends; returns how many bytes were written.
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
    match fsync(file.as_fd()) {
        // Some file systems and special files do not know fsync(2).
        Err(Errno::INVAL | Errno::ROFS) | Ok(()) => {}
        Err(errno) => return Err(errno),
    }
    let mode = fstat(file)?.st_mode & 0o7777;
    fchmod(file, Mode::from(mode | DONE_BIT))
}

/// Whether a mode says that the file is whole.
pub(crate) fn is_done(stat: &Stat) -> bool {
    stat.st_mode & DONE_BIT != 0
}

/// Whether the mode of a file says that it is whole.
pub(crate) fn is_marked(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| is_done(&stat))
}

/// Whether a file has no name any more.
pub(crate) fn is_deleted(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}
