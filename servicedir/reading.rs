//! Reading a status file from outside: what may go wrong, and what is still worth showing then.

use crate::layout::{Layout, STATUS};
use crate::state_folder::{STATE_FILE_MAX, StateFolder};
use crate::status::{BadStatus, Status};
use crate::trust::Refused;

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
    /// The file cannot be opened or read, or its owner has no say here.
    Refused(Refused),
    /// It is not a status file.
    Bad(BadStatus),
}

/// How often a file that looks damaged is read. daemontools-encore writes in place, so a reader can
/// meet half a record; the next look meets a whole one.
const TRIES: u32 = 3;

/// Reads the status file of a service.
///
/// # Errors
/// See [`Unread`].
pub fn status_of(layout: &Layout) -> Result<Reading, Unread> {
    read_status(&StateFolder::open(layout).map_err(Unread::Refused)?)
}

/// Reads the status file of an open state directory.
///
/// # Errors
/// See [`Unread`].
pub fn read_status(state: &StateFolder) -> Result<Reading, Unread> {
    let mut outcome = read_once(state);
    for _ in 1..TRIES {
        match &outcome {
            Ok(Reading { damage: None, .. }) | Err(Unread::Refused(_)) => break,
            Ok(_) | Err(Unread::Bad(_)) => outcome = read_once(state),
        }
    }
    outcome
}

fn read_once(state: &StateFolder) -> Result<Reading, Unread> {
    let file = state
        .read(STATUS, STATE_FILE_MAX)
        .map_err(Unread::Refused)?;
    interpret(&file.bytes)
}

/// What the bytes of a status file say; of a damaged record, what its first 20 bytes say.
fn interpret(bytes: &[u8]) -> Result<Reading, Unread> {
    let length = bytes.len();
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
    use rustix::io::Errno;

    #[test]
    fn a_file_of_daemontools_has_no_record_and_no_damage() {
        let reading =
            interpret(b"\x40\x00\x00\x00\x6b\x01\x8c\x0a\x1a\x2b\x3c\xf4\x62\x4f\x00\x00\x00u")
                .unwrap();
        assert_eq!((reading.length, reading.damage), (18, None));
        assert_eq!(reading.status.record, None);
    }

    #[test]
    fn the_first_bytes_of_a_damaged_record_are_shown() {
        let reading = interpret(
            b"\x40\x00\x00\x00\x6b\x01\x8c\x0a\x1a\x2b\x3c\xf4\x62\x4f\x00\x00\x00u\0\x01\x01torn",
        )
        .unwrap();
        assert_eq!(reading.damage, Some(BadStatus::Checksum));
        assert!(reading.status.pid.is_some());
    }

    #[test]
    fn three_bytes_and_a_missing_file_and_a_folder_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("supervise");
        std::fs::create_dir(&state).unwrap();
        let layout = Layout::with_supervisedir(scratch.path(), None).unwrap();
        let folder = StateFolder::open(&layout).unwrap();
        assert_eq!(
            read_status(&folder),
            Err(Unread::Refused(Refused::Failed(Errno::NOENT)))
        );
        std::fs::write(state.join(STATUS), "abc").unwrap();
        assert_eq!(read_status(&folder), Err(Unread::Bad(BadStatus::Short(3))));
        std::fs::remove_file(state.join(STATUS)).unwrap();
        std::fs::create_dir(state.join(STATUS)).unwrap();
        assert_eq!(read_status(&folder), Err(Unread::Refused(Refused::NotFile)));
    }
}
