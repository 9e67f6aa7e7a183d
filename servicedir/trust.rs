//! Reading the files of a service directory without trusting the users that may write in it.
//!
//! Root's programs read directories that others may write in. A FIFO in the place of a file would
//! block the reader, a device would never end, a terminal would become the controlling terminal, and
//! a sparse file would fill the memory. So every file of a service directory is read by [`read`] or
//! [`read_at`], and every file of its state directory through a
//! [`StateFolder`](crate::state_folder::StateFolder), which follows no link either.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;

use crate::report::Why;

/// Flags of every open: wait for no other end of a FIFO, take no terminal, leave nothing to a child.
const CAREFUL: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Why a file was not read, or a FIFO not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// A system call failed.
    Failed(Errno),
    /// It is a symbolic link, where none is followed.
    Link,
    /// It has another hard link, where a file must have one name.
    SecondName,
    /// It is not a regular file.
    NotFile,
    /// It is not a FIFO.
    NotFifo,
    /// It has more than this many bytes.
    Long(usize),
    /// It belongs to the user of this number, whom the service directory gives no say.
    Owner(u32),
}

impl Refused {
    /// Whether this says something about the file: a reader may decide by it what the service is.
    ///
    /// Otherwise the system was short of something (see [`is_passing`]): the reader has to try again.
    #[must_use]
    pub fn is_about_the_file(self) -> bool {
        !self.errno().is_some_and(is_passing)
    }

    /// The errno of the call that failed; none where the file is at fault.
    #[must_use]
    pub fn errno(self) -> Option<Errno> {
        match self {
            Self::Failed(errno) => Some(errno),
            Self::Link
            | Self::SecondName
            | Self::NotFile
            | Self::NotFifo
            | Self::Long(_)
            | Self::Owner(_) => None,
        }
    }

    /// Whether the file, or a directory on the way to it, does not exist.
    #[must_use]
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Failed(Errno::NOENT | Errno::NOTDIR))
    }
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

impl From<Refused> for std::io::Error {
    /// `EINVAL` where the file is at fault.
    fn from(refused: Refused) -> Self {
        refused.errno().unwrap_or(Errno::INVAL).into()
    }
}

impl fmt::Display for Refused {
    /// The end of a message: `unable to open foo/supervise/control: not a FIFO`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(errno) => Why::from(*errno).fmt(out),
            Self::Link => out.write_str("a symbolic link, which is not followed here"),
            Self::SecondName => out.write_str("it has another hard link"),
            Self::NotFile => out.write_str("not a regular file"),
            Self::NotFifo => out.write_str("not a FIFO"),
            Self::Long(limit) => write!(out, "longer than {limit} bytes"),
            Self::Owner(uid) => write!(
                out,
                "owned by user {uid}, who is not the owner of the service directory"
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// Whether an errno says nothing about the file that was asked for: the process, the system or the
/// disk failed, and the same call may succeed later (`EMFILE`, `ENOMEM`, `EIO` …).
///
/// The list names the errnos that do say something; a program must not take any other one for the
/// answer to what a service is.
#[must_use]
pub fn is_passing(errno: Errno) -> bool {
    !matches!(
        errno,
        Errno::NOENT
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::ACCESS
            | Errno::PERM
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL
            | Errno::OVERFLOW
            | Errno::OPNOTSUPP
    )
}

/// Reads a file of a service directory whole, if it has at most `limit` bytes. Links are followed:
/// whoever owns the service directory says what stands in it.
///
/// # Errors
/// See [`Refused`].
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Refused> {
    read_at(CWD, path, limit)
}

/// As [`read`], for a name in an open directory.
///
/// # Errors
/// See [`Refused`].
pub fn read_at(folder: impl AsFd, name: impl Arg, limit: usize) -> Result<Vec<u8>, Refused> {
    let (file, _) = open_file(folder, name, OFlags::empty())?;
    read_open(&file, limit)
}

/// Reads a file that only root or this process's user can have written: no link is followed, and a file
/// that has a second name, by which it may belong to another service, does not count.
///
/// # Errors
/// See [`Refused`].
pub fn read_own_at(folder: impl AsFd, name: impl Arg, limit: usize) -> Result<Vec<u8>, Refused> {
    let (file, stat) = open_file(folder, name, OFlags::NOFOLLOW)?;
    let trusted = [0, rustix::process::geteuid().as_raw()];
    if !trusted.contains(&stat.st_uid) {
        return Err(Refused::Owner(stat.st_uid));
    }
    if stat.st_nlink > 1 {
        return Err(Refused::SecondName);
    }
    read_open(&file, limit)
}

/// Opens a regular file for reading, with `more` flags (`NOFOLLOW`, say).
///
/// # Errors
/// See [`Refused`].
pub fn open_file(
    folder: impl AsFd,
    name: impl Arg,
    more: OFlags,
) -> Result<(OwnedFd, Stat), Refused> {
    match open(folder, name, OFlags::RDONLY | more) {
        // A socket, or a device without a driver, cannot be opened at all.
        Err(Refused::Failed(Errno::NXIO | Errno::NODEV)) => Err(Refused::NotFile),
        Err(refused) => Err(refused),
        Ok((_, stat)) if kind(&stat) != FileType::RegularFile => Err(Refused::NotFile),
        Ok(opened) => Ok(opened),
    }
}

/// Opens a FIFO in one direction, without following a link and without waiting for its other end.
///
/// # Errors
/// `ENXIO` in [`Refused::Failed`]: it was to be written, and no process reads it. Otherwise as
/// [`Refused`] says.
pub fn open_fifo(
    folder: impl AsFd,
    name: impl Arg,
    direction: OFlags,
) -> Result<(OwnedFd, Stat), Refused> {
    let (fifo, stat) = open(folder, name, direction | OFlags::NOFOLLOW)?;
    if kind(&stat) == FileType::Fifo {
        Ok((fifo, stat))
    } else {
        Err(Refused::NotFifo)
    }
}

fn open(folder: impl AsFd, name: impl Arg, flags: OFlags) -> Result<(OwnedFd, Stat), Refused> {
    let folder = folder.as_fd();
    let opened = name.into_with_c_str(|name| {
        retry_on_intr(|| rustix::fs::openat(folder, name, flags | CAREFUL, Mode::empty()))
    });
    let opened = opened.map_err(|errno| match errno {
        Errno::LOOP if flags.contains(OFlags::NOFOLLOW) => Refused::Link,
        other => Refused::Failed(other),
    })?;
    let stat = rustix::fs::fstat(&opened)?;
    Ok((opened, stat))
}

/// Reads an open regular file whole, if it has at most `limit` bytes.
pub(crate) fn read_open(file: &OwnedFd, limit: usize) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    // The size that fstat(2) tells is not asked: it is 0 in /proc, and the file may grow meanwhile.
    loop {
        let length = retry_on_intr(|| rustix::io::read(file, &mut buffer))?;
        if length == 0 {
            return Ok(bytes);
        }
        if bytes.len() + length > limit {
            return Err(Refused::Long(limit));
        }
        bytes.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_read_whole_up_to_its_limit_and_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![b'x'; 10_000]).unwrap();
        assert_eq!(read(&path, 10_000).unwrap().len(), 10_000);
        assert_eq!(read(&path, 9_999), Err(Refused::Long(9_999)));
        symlink("file", folder.path().join("link")).unwrap();
        assert_eq!(
            read(&folder.path().join("link"), 10_000).unwrap().len(),
            10_000
        );
    }

    #[test]
    fn nothing_but_a_file_is_read_and_nothing_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        symlink("/dev/tty", at("tty")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        for name in ["fifo", "socket", "zero", "dir"] {
            assert_eq!(read(&at(name), 100), Err(Refused::NotFile), "{name}");
        }
        // Without a controlling terminal there is no such device.
        assert_eq!(read(&at("tty"), 100), Err(Refused::NotFile));
        assert!(read(&at("none"), 100).unwrap_err().is_absent());
    }

    #[test]
    fn a_sparse_file_costs_no_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read(file.path(), 65_536), Err(Refused::Long(65_536)));
    }

    #[test]
    fn a_fifo_is_not_reached_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        symlink("fifo", at("link")).unwrap();
        fs::write(at("file"), "").unwrap();
        let open = |name: &str, direction| open_fifo(CWD, at(name), direction).map(drop);
        assert_eq!(open("fifo", OFlags::RDONLY), Ok(()));
        assert_eq!(
            open("fifo", OFlags::WRONLY),
            Err(Refused::Failed(Errno::NXIO))
        );
        assert_eq!(open("link", OFlags::RDONLY), Err(Refused::Link));
        assert_eq!(open("file", OFlags::WRONLY), Err(Refused::NotFifo));
    }

    #[test]
    fn only_an_errno_of_the_file_decides() {
        for errno in [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOMEM,
            Errno::IO,
            Errno::INTR,
            Errno::STALE,
        ] {
            assert!(!Refused::Failed(errno).is_about_the_file(), "{errno:?}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::LOOP, Errno::NOTDIR] {
            assert!(Refused::Failed(errno).is_about_the_file(), "{errno:?}");
        }
        assert!(Refused::NotFile.is_about_the_file());
    }
}
