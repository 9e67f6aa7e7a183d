//! Log files: which one is the main log, and following one over rotations.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use servicedir::supervisor::logs;

/// The name of the log service in a scan directory that has none of its own.
const MAIN_LOG: &str = ".log";

/// How much is read at a time, in bytes.
const PIECE: usize = 16 << 10;

/// What Supervisor puts in where a file became shorter.
const TRUNCATED: &[u8] = b"==> File truncated <==\n";

/// The main log's service directory.
pub(crate) fn main_service(scan: &Path) -> PathBuf {
    scan.join(MAIN_LOG)
}

/// The newest file of the main log; `None` where the scan directory has none.
pub(crate) fn main(scan: &Path) -> Option<PathBuf> {
    logs::newest(&main_service(scan))
}

/// A log file that is followed: bytes are taken from it as they come, and none is lost where it is rotated.
#[derive(Debug)]
pub(crate) struct Following {
    path: PathBuf,
    file: File,
    position: u64,
}

impl Following {
    /// Follows the file at `path`, from so many bytes before its end on.
    ///
    /// # Errors
    /// It cannot be opened, or is not a regular file.
    pub(crate) fn begin(path: &Path, before_end: u64) -> io::Result<Self> {
        let file = open(path)?;
        let position = file.metadata()?.len().saturating_sub(before_end);
        Ok(Self {
            path: path.to_owned(),
            file,
            position,
        })
    }

    /// When the file was last changed.
    pub(crate) fn modified(&self) -> SystemTime {
        let modified = self.file.metadata().and_then(|meta| meta.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The directory in which changes are told.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The next bytes; empty where there are none yet.
    ///
    /// # Errors
    /// As pread(2).
    pub(crate) fn next_piece(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let mut piece = vec![0; PIECE];
            let length = self.file.read_at(&mut piece, self.position)?;
            if length > 0 {
                self.position += length as u64;
                piece.truncate(length);
                return Ok(piece);
            }
            if self.file.metadata()?.len() < self.position {
                self.position = 0;
                return Ok(TRUNCATED.to_vec());
            }
            if !self.go_on()? {
                return Ok(Vec::new());
            }
        }
    }

    /// Goes to the file that was begun after this one, if there is one. This one has been read to its end:
    /// it was renamed before the next was made, and nobody writes to it any more.
    fn go_on(&mut self) -> io::Result<bool> {
        let ours = identity(&self.file.metadata()?);
        if fs::metadata(&self.path).is_ok_and(|meta| identity(&meta) == ours) {
            return Ok(false);
        }
        // What came between the look at the end and the rename is read first.
        if self.file.metadata()?.len() > self.position {
            return Ok(true);
        }
        let next = self.next_file(ours);
        match open(&next) {
            Ok(file) => {
                self.file = file;
                self.position = 0;
                Ok(true)
            }
            // A rotation is under way: the new file is told of when it is there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Old files have the time of their rotation as a name, so that they stand in order.
    fn next_file(&self, ours: (u64, u64)) -> PathBuf {
        let mut old = logs::old_files(&self.path);
        old.sort();
        let position = old
            .iter()
            .position(|file| fs::metadata(file).is_ok_and(|meta| identity(&meta) == ours));
        position
            .and_then(|position| old.into_iter().nth(position + 1))
            .unwrap_or_else(|| self.path.clone())
    }
}

/// Opens a log file. No link is followed, and nothing but a file is opened: who owns the directory may
/// have put it there.
fn open(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn identity(meta: &fs::Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(following: &mut Following) -> String {
        let mut text = Vec::new();
        loop {
            let piece = following.next_piece().unwrap();
            if piece.is_empty() {
                return String::from_utf8(text).unwrap();
            }
            text.extend(piece);
        }
    }

    /// The name that svlogd gives.
    fn old(number: u8) -> String {
        format!("@40000000678d0a1b0000000{number}.s")
    }

    #[test]
    fn no_byte_is_lost_over_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        fs::write(&current, "0123456789").unwrap();
        let mut following = Following::begin(&current, 4).unwrap();
        assert_eq!(all(&mut following), "6789");
        let append = |text: &str| {
            use std::io::Write;
            let mut file = File::options()
                .append(true)
                .create(true)
                .open(&current)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("a");
        fs::rename(&current, folder.path().join(old(1))).unwrap();
        append("b");
        fs::rename(&current, folder.path().join(old(2))).unwrap();
        append("c");
        assert_eq!(all(&mut following), "abc");
        fs::rename(&current, folder.path().join(old(3))).unwrap();
        assert_eq!(all(&mut following), "");
        append("d");
        assert_eq!(all(&mut following), "d");
    }

    #[test]
    fn a_shorter_file_is_told_and_read_from_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        fs::write(&current, "0123456789").unwrap();
        let mut following = Following::begin(&current, 1024).unwrap();
        all(&mut following);
        fs::write(&current, "new").unwrap();
        assert_eq!(all(&mut following), "==> File truncated <==\nnew");
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        std::os::unix::fs::symlink("/etc/passwd", &current).unwrap();
        assert!(Following::begin(&current, 10).is_err());
    }
}
