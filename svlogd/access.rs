//! Opening the files of a log directory in which other users may write.
//!
//! A FIFO under the name of a file would block the logger, and a symbolic link would lead root to any
//! file of the system. So every file is opened here: without waiting, as a regular file only, and
//! through a link only where the link belongs to root or to svlogd's own user.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, readlinkat, statat,
    unlinkat,
};
use rustix::io::Errno;

use crate::message::Reason;

/// Flags of every open: wait for no other end of a FIFO, take no terminal, leave nothing to a child.
const CAREFUL: OFlags = OFlags::NONBLOCK
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens a regular file of the directory.
pub(crate) fn open_file(
    dir: BorrowedFd<'_>,
    name: impl AsRef<OsStr>,
    flags: OFlags,
    mode: u32,
) -> Result<(OwnedFd, Stat), Reason> {
    let name = name.as_ref();
    let flags = flags | CAREFUL;
    let mode = Mode::from(mode);
    let file = match openat(dir, name, flags | OFlags::NOFOLLOW, mode) {
        Err(Errno::LOOP) => openat(dir, trusted_target(dir, name)?, flags, mode)?,
        // A socket, a FIFO without a reader, a directory.
        Err(Errno::NXIO | Errno::NODEV | Errno::ISDIR) => return Err(Reason::NotFile),
        outcome => outcome?,
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode).is_file() {
        Ok((file, stat))
    } else {
        Err(Reason::NotFile)
    }
}

/// Makes a new file of the directory. What has the name, left by a crash or put there by another
/// user, is deleted and not written to.
pub(crate) fn create_file(dir: BorrowedFd<'_>, name: &str, mode: u32) -> Result<OwnedFd, Reason> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | CAREFUL;
    Ok(openat(dir, name, flags, Mode::from(mode))?)
}

/// Where a symbolic link leads to that belongs to root or to svlogd's own user.
///
/// The link is opened itself, so that its owner and its target are those of one and the same link.
fn trusted_target(dir: BorrowedFd<'_>, name: &OsStr) -> Result<PathBuf, Reason> {
    use std::os::unix::ffi::OsStringExt;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = openat(dir, name, flags, Mode::empty())?;
    let owner = fstat(&link)?.st_uid;
    if !is_trusted(owner) {
        return Err(Reason::Link(owner));
    }
    let target = readlinkat(&link, "", Vec::new())?;
    Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
}

/// Whether a directory entry may be one of svlogd's files: a regular file, or a link that is followed.
pub(crate) fn is_file(dir: BorrowedFd<'_>, name: &str, kind: FileType) -> bool {
    match kind {
        FileType::RegularFile => true,
        FileType::Symlink | FileType::Unknown => statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| {
                let kind = FileType::from_raw_mode(stat.st_mode);
                kind.is_file() || (kind.is_symlink() && is_trusted(stat.st_uid))
            }),
        FileType::Fifo
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Directory
        | FileType::Socket => false,
    }
}

/// Whether svlogd does what a file of this user says.
pub(crate) fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Opens a log directory, which is made where only its last name is missing.
pub(crate) fn open_dir(path: &Path, mode: u32) -> Result<(OwnedFd, Stat), Reason> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | CAREFUL;
    let dir = match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            match mkdirat(CWD, path, Mode::from(mode)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Err(missing(path)),
                Err(errno) => return Err(errno.into()),
            }
            openat(CWD, path, flags, Mode::empty())?
        }
        outcome => outcome?,
    };
    let stat = fstat(dir.as_fd())?;
    Ok((dir, stat))
}

/// The first directory on the way to `path` that does not exist.
fn missing(path: &Path) -> Reason {
    let exists = |dir: &&Path| statat(CWD, *dir, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    let mut first = path;
    for dir in path.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
        if exists(&dir) {
            break;
        }
        first = dir;
    }
    Reason::Missing(first.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_directory_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        let Err(reason) = open_dir(&path, 0o755) else {
            panic!("opened");
        };
        assert_eq!(reason, Reason::Missing(folder.path().join("a")));
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        assert!(open_dir(&path, 0o755).is_ok() && path.is_dir());
    }

    #[test]
    fn nothing_but_a_file_is_opened_and_nothing_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let dir = fs::File::open(folder.path()).unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::RUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("dir")).unwrap();
        for name in ["fifo", "socket", "dir"] {
            for flags in [OFlags::RDONLY, OFlags::WRONLY] {
                let opened = open_file(dir.as_fd(), name, flags, 0).map(drop);
                assert_eq!(opened, Err(Reason::NotFile), "{name}");
            }
        }
        fs::write(at("victim"), "precious").unwrap();
        std::os::unix::fs::symlink("victim", at("link")).unwrap();
        drop(create_file(dir.as_fd(), "link", 0o600).unwrap());
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_file());
    }
}
