//! The files of a log directory: `current`, and the old ones, whose names are the times of their ends.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use servicedir::supervisor::logs::CURRENT;
use servicedir::tai64n::Tai64n;
use servicedir::trust::{Refused, open_file};

/// The length of the label in an old file's name.
const LABEL: usize = 25;

/// An old file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Old {
    /// When it was closed: no line in it is younger.
    pub(crate) ended: Tai64n,
    /// Its name in the directory.
    pub(crate) name: OsString,
}

/// An open file of a log directory.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) file: File,
    /// Device and inode.
    pub(crate) identity: (u64, u64),
    /// What is read of it at most, in bytes: its size when it was opened. What is written meanwhile
    /// would be younger than what is read of other services.
    pub(crate) end: u64,
}

/// The files of a directory at one moment.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    /// The oldest first.
    pub(crate) old: VecDeque<Old>,
    pub(crate) current: Option<LogFile>,
}

impl Files {
    /// Opens `current` and lists the old files. In this order a rotation between the two shows the file
    /// twice, by its inode, instead of not at all.
    ///
    /// # Errors
    /// The directory cannot be read, or `current` cannot be opened though it is there.
    pub(crate) fn of(folder: &Path) -> Result<Self, Refused> {
        let current = match open(folder, CURRENT.as_ref()) {
            Ok(current) => Some(current),
            Err(refused) if refused.is_absent() => None,
            Err(refused) => return Err(refused),
        };
        let mut old = old_files(folder)?;
        if let Some(LogFile { identity, .. }) = current {
            old.retain(|old| identity_of(&folder.join(&old.name)) != Some(identity));
        }
        Ok(Self {
            folder: folder.to_owned(),
            old,
            current,
        })
    }

    /// Opens an old file. A processor may have replaced it since it was listed; `None` where it was deleted.
    ///
    /// # Errors
    /// It is there and cannot be opened.
    pub(crate) fn open_old(folder: &Path, old: &Old) -> Result<Option<LogFile>, Refused> {
        let mut processed = old.name.clone().into_encoded_bytes();
        processed.truncate(LABEL);
        processed.extend(b".s");
        for name in [old.name.as_bytes(), &processed] {
            match open(folder, std::ffi::OsStr::from_bytes(name)) {
                Ok(file) => return Ok(Some(file)),
                Err(refused) if refused.is_absent() => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(None)
    }
}

/// The old files of a directory, the oldest first. What a processor is still writing (`.t`) is left out:
/// its input is there, too.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn old_files(folder: &Path) -> Result<VecDeque<Old>, Refused> {
    let entries = fs::read_dir(folder).map_err(refused)?;
    let mut found: Vec<Old> = Vec::new();
    for entry in entries {
        let name = entry.map_err(refused)?.file_name();
        let label = name.as_bytes().get(..LABEL).and_then(Tai64n::from_hex);
        let is_log = matches!(name.as_bytes().get(LABEL..), Some(b".s" | b".u"));
        if let Some(ended) = label.filter(|_| is_log) {
            found.push(Old { ended, name });
        }
    }
    found.sort();
    Ok(found.into())
}

fn refused(error: std::io::Error) -> Refused {
    Refused::Failed(Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn identity_of(path: &Path) -> Option<(u64, u64)> {
    let seen = fs::symlink_metadata(path).ok()?;
    Some((seen.dev(), seen.ino()))
}

/// Opens a regular file of the directory. A link is not followed: the directory may belong to a user who
/// is not allowed to read what root may.
pub(crate) fn open(folder: &Path, name: &std::ffi::OsStr) -> Result<LogFile, Refused> {
    let (file, stat): (OwnedFd, _) =
        open_file(rustix::fs::CWD, folder.join(name), OFlags::NOFOLLOW)?;
    Ok(LogFile {
        file: File::from(file),
        identity: (stat.st_dev, stat.st_ino),
        end: u64::try_from(stat.st_size).unwrap_or(0),
    })
}
