//! Where a service's output is, and Supervisor's rules for reading parts of a log.
//!
//! Offsets count in the file `current` of the log directory alone, as Supervisor's count in its newest
//! file: a rotation starts again at 0.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::layout::{ERRLOG, LOG, Layout};
use crate::reading::status_of;
use crate::status::Phase;

/// The file that svlogd and multilog write to.
pub const CURRENT: &str = "current";

/// Which output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// stdout: the service `log`.
    Stdout,
    /// stderr: the service `errlog`.
    Stderr,
}

/// The directory of the log service of a service: an instance's own (`log@1`), else `log` or `errlog`;
/// `None` where there is none.
#[must_use]
pub fn service(layout: &Layout, channel: Channel) -> Option<PathBuf> {
    let folder = match channel {
        Channel::Stdout => LOG,
        Channel::Stderr => ERRLOG,
    };
    let own = layout.instance.as_ref().map(|instance| {
        let mut name = std::ffi::OsString::from(folder);
        name.push("@");
        name.push(instance);
        layout.dir.join(name)
    });
    own.into_iter()
        .chain([layout.dir.join(folder)])
        .find(|dir| dir.is_dir())
}

/// The file with the newest output of a service: in the first of its log directories.
#[must_use]
pub fn file(layout: &Layout, channel: Channel) -> Option<PathBuf> {
    newest(&service(layout, channel)?)
}

/// The file with the newest output that the log service at `logger` has written; see [`file`].
#[must_use]
pub fn newest(logger: &Path) -> Option<PathBuf> {
    let first = directories(logger).into_iter().next();
    first.map(|directory| directory.join(CURRENT))
}

/// The log directories of a log service: those where the running logger has `current` open; where that
/// cannot be seen, those in the log service (`main` before the others) that a logger has written to.
#[must_use]
pub fn directories(logger: &Path) -> Vec<PathBuf> {
    let opened = opened_by_logger(logger).unwrap_or_default();
    if opened.is_empty() {
        written_directories(logger)
    } else {
        opened
    }
}

fn opened_by_logger(logger: &Path) -> Option<Vec<PathBuf>> {
    let layout = Layout::of(logger).ok()?;
    let status = status_of(&layout).ok()?.status;
    let pid = status.pid.filter(|_| status.phase == Phase::Run)?;
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.file_name().is_some_and(|name| name == CURRENT))
        .filter_map(|path| Some(path.parent()?.to_owned()))
        .collect();
    folders.sort();
    folders.dedup();
    Some(folders)
}

fn written_directories(logger: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(logger) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| !name.as_bytes().starts_with(b"."))
        .filter(|name| logger.join(name).join(CURRENT).is_file())
        .collect();
    names.sort_by_key(|name| (name != "main", name.clone()));
    names.into_iter().map(|name| logger.join(name)).collect()
}

/// The log files of a service that were rotated away, in the directory of `current`.
#[must_use]
pub fn old_files(current: &Path) -> Vec<PathBuf> {
    let Some(entries) = current
        .parent()
        .and_then(|folder| fs::read_dir(folder).ok())
    else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().as_bytes();
            name.starts_with(b"@") && name.len() > 25
        })
        .collect()
}

/// The numbers of a read that mean nothing: a negative length, or an offset from the end with a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadRange;

/// A piece of a file: its first byte and its length.
pub type Piece = (u64, u64);

/// What `readProcessStdoutLog(offset, length)` reads of a file of that size. A negative offset counts
/// from the end and goes with length 0 only; length 0 means up to the end.
///
/// # Errors
/// See [`BadRange`].
pub fn read_piece(size: u64, offset: i64, length: i64) -> Result<Piece, BadRange> {
    if length < 0 || offset < 0 && length != 0 {
        return Err(BadRange);
    }
    let start = if offset < 0 {
        size.saturating_sub(offset.unsigned_abs())
    } else {
        offset.unsigned_abs().min(size)
    };
    let rest = size - start;
    let length = match length.unsigned_abs() {
        0 => rest,
        length => length.min(rest),
    };
    Ok((start, length))
}

/// What `tailProcessStdoutLog(offset, length)` reads of a file of that size, and whether more than
/// `length` bytes have come since `offset`: then, and not only then, it is the last `length` bytes.
#[must_use]
pub fn tail_piece(size: u64, offset: i64, length: i64) -> (Piece, bool) {
    let length = u64::try_from(length).unwrap_or(0);
    let end = i128::from(offset) + i128::from(length);
    let overflow = i128::from(size) > end;
    let past = !overflow && i128::from(offset) > i128::from(size) - 1;
    let length = if past { 0 } else { length.min(size) };
    ((size - length, length), overflow)
}

/// Reads a piece of the file at `path`, whose size `choose` is given. A link is not followed: who owns the
/// log directory may have put it there.
///
/// # Errors
/// As open(2) and read(2).
pub fn read<T>(path: &Path, choose: impl FnOnce(u64) -> (Piece, T)) -> io::Result<(Vec<u8>, T)> {
    let flags = rustix::fs::OFlags::RDONLY
        | rustix::fs::OFlags::NOFOLLOW
        | rustix::fs::OFlags::NONBLOCK
        | rustix::fs::OFlags::NOCTTY
        | rustix::fs::OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let ((start, length), told) = choose(meta.len());
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok((bytes, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdefghij\n";

    fn read(offset: i64, length: i64) -> Option<&'static str> {
        let (start, length) = read_piece(21, offset, length).ok()?;
        let start = usize::try_from(start).unwrap();
        Some(&TEXT[start..start + usize::try_from(length).unwrap()])
    }

    fn tail(offset: i64, length: i64) -> (&'static str, bool) {
        let ((start, length), overflow) = tail_piece(21, offset, length);
        let start = usize::try_from(start).unwrap();
        (
            &TEXT[start..start + usize::try_from(length).unwrap()],
            overflow,
        )
    }

    /// The answers of supervisord 4.3.0 for this file.
    #[test]
    fn a_read_is_as_supervisord_reads() {
        assert_eq!(read(0, 0), Some(TEXT));
        assert_eq!(read(0, 5), Some("01234"));
        assert_eq!(read(5, 0), Some(&TEXT[5..]));
        assert_eq!(read(5, 5), Some("56789"));
        assert_eq!(read(-5, 0), Some("ghij\n"));
        assert_eq!(read(-100, 0), Some(TEXT));
        assert_eq!(read(-5, 3), None);
        assert_eq!(read(0, -1), None);
        assert_eq!(read(100, 0), Some(""));
        assert_eq!(read(100, 5), Some(""));
    }

    /// The answers of supervisord 4.3.0 for this file.
    #[test]
    fn a_tail_is_as_supervisord_tails() {
        assert_eq!(tail(0, 0), ("", true));
        assert_eq!(tail(0, 5), ("ghij\n", true));
        assert_eq!(tail(0, 21), (TEXT, false));
        assert_eq!(tail(0, 50), (TEXT, false));
        assert_eq!(tail(5, 5), ("ghij\n", true));
        assert_eq!(tail(10, 11), ("abcdefghij\n", false));
        assert_eq!(tail(10, 20), (&TEXT[1..], false));
        assert_eq!(tail(20, 1), ("\n", false));
        for offset in [21, 30, 100] {
            assert_eq!(tail(offset, 10), ("", false));
        }
        assert_eq!(tail(-5, 30), (TEXT, false));
        assert_eq!(tail(0, -5), ("", true));
    }
}
