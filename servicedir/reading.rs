//! Reading a status file from outside: what may go wrong, and what is still worth showing then.

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::status::{BadStatus, Status};

/// A status file as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reading {
    /// What it says; without its record where that is damaged.
    pub status: Status,
    /// What is wrong with the record behind the first 20 bytes.
    pub damage: Option<BadStatus>,
    /// How many bytes it has: 18 is daemontools, 20 runit or daemontools-encore.
    pub length: usize,
}

/// Why there is nothing to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unread {
    /// The file cannot be opened.
    Open(Errno),
    /// The file cannot be read.
    Read(Errno),
    /// It is no status file.
    Bad(BadStatus),
}

/// How often a file that looks damaged is read. daemontools-encore writes in place, so a reader can
/// meet half a record; the next look meets a whole one.
const TRIES: u32 = 3;

/// The longest record this suite writes has 2134 bytes; of a longer file the first 20 bytes count.
const LONGEST: usize = 4096;

/// Reads the status file at `path`.
///
/// # Errors
/// See [`Unread`].
pub fn read_status(path: &Path) -> Result<Reading, Unread> {
    let mut outcome = read_once(path);
    for _ in 1..TRIES {
        match &outcome {
            Ok(Reading { damage: None, .. }) | Err(Unread::Open(_) | Unread::Read(_)) => break,
            Ok(_) | Err(Unread::Bad(_)) => outcome = read_once(path),
        }
    }
    outcome
}

fn read_once(path: &Path) -> Result<Reading, Unread> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(Unread::Open)?;
    let mut buffer = [0; LONGEST];
    let length = rustix::io::read(&file, &mut buffer).map_err(Unread::Read)?;
    let bytes = buffer.get(..length).unwrap_or_default();
    match Status::unpack(bytes) {
        Ok(status) => Ok(Reading {
            status,
            damage: None,
            length,
        }),
        Err(damage) => match Status::unpack_prefix(bytes) {
            Ok(status) => Ok(Reading {
                status,
                damage: Some(damage),
                length,
            }),
            Err(bad) => Err(Unread::Bad(bad)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Reading, Unread> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        read_status(file.path())
    }

    #[test]
    fn a_file_of_daemontools_has_no_record_and_no_damage() {
        let reading =
            read(b"\x40\x00\x00\x00\x6b\x01\x8c\x0a\x1a\x2b\x3c\xf4\x62\x4f\x00\x00\x00u").unwrap();
        assert_eq!((reading.length, reading.damage), (18, None));
        assert_eq!(reading.status.record, None);
    }

    #[test]
    fn the_first_bytes_of_a_damaged_record_are_shown() {
        let reading = read(
            b"\x40\x00\x00\x00\x6b\x01\x8c\x0a\x1a\x2b\x3c\xf4\x62\x4f\x00\x00\x00u\0\x01\x01torn",
        )
        .unwrap();
        assert_eq!(reading.damage, Some(BadStatus::Checksum));
        assert!(reading.status.pid.is_some());
    }

    #[test]
    fn three_bytes_and_a_missing_file_and_a_folder_are_told_apart() {
        assert_eq!(read(b"abc"), Err(Unread::Bad(BadStatus::Short(3))));
        assert_eq!(
            read_status(Path::new("/nonexistent/status")),
            Err(Unread::Open(Errno::NOENT))
        );
        assert_eq!(
            read_status(Path::new("/proc")),
            Err(Unread::Read(Errno::ISDIR))
        );
    }
}
