//! A spool: a directory that holds what one program offers to any number of others, a file an item.
//!
//! An item is written beside the others and renamed to a number, so that a reader sees it whole or not
//! at all. Numbers go up by one. The writer removes the oldest items when there are too many: a reader
//! that is slow or hung costs a bounded part of the disk, and sees by the numbers what it has missed.
//!
//! A file is one line `KIND LABEL PID` and the data behind it: `capture` for what stood between
//! Supervisor's tokens, `log` for output as it came, `remote` for a message of a remote client (its data
//! begins with the line of its type).

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::tai64n::Tai64n;
use crate::trust::{self, Refused};

/// How many items a spool holds at the most.
pub const ITEMS_MAX: usize = 1000;

/// How many bytes a spool holds at the most, the newest item apart.
pub const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The longest item that is read, in bytes.
pub const ITEM_MAX: usize = 4 * 1024 * 1024;

/// The directory in a log service that svcapture offers its events in.
pub const CAPTURE: &str = "capture";

/// The directory in a scan directory that messages of remote clients are offered in.
pub const REMOTE: &str = ".remote";

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What a service wrote between Supervisor's tokens.
    Capture,
    /// What a service wrote, as it came.
    Log,
    /// A message of a remote client: the line of its type, and its data.
    Remote,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Log => "log",
            Self::Remote => "remote",
        }
    }
}

/// One item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// When it was written.
    pub stamp: Tai64n,
    /// The service's pid then; 0 if it was not known.
    pub pid: u32,
    /// Its data.
    pub data: Vec<u8>,
}

impl Item {
    /// The content of its file.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let head = format!("{} {} {}\n", self.kind.name(), self.stamp, self.pid);
        [head.as_bytes(), &self.data].concat()
    }

    /// Reads the content of a file.
    #[must_use]
    pub fn unpack(bytes: &[u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', bytes)?;
        let (head, data) = bytes.split_at_checked(end)?;
        let mut words = std::str::from_utf8(head).ok()?.split(' ');
        let kind = match words.next()? {
            "capture" => Kind::Capture,
            "log" => Kind::Log,
            "remote" => Kind::Remote,
            _ => return None,
        };
        Some(Self {
            kind,
            stamp: Tai64n::from_hex(words.next()?.as_bytes())?,
            pid: words.next()?.parse().ok()?,
            data: data.get(1..)?.to_vec(),
        })
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    next: u64,
    items: VecDeque<(u64, u64)>,
    bytes: u64,
}

impl Spool {
    /// Opens the spool in a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o755).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut items = VecDeque::new();
        for number in numbers(folder)? {
            let size = fs::symlink_metadata(path(folder, number)).map_or(0, |meta| meta.size());
            items.push_back((number, size));
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            next: items.back().map_or(1, |(number, _)| number + 1),
            bytes: items.iter().map(|(_, size)| size).sum(),
            items,
        })
    }

    /// Adds an item, and removes the oldest where there are too many.
    ///
    /// # Errors
    /// It cannot be written; there is no trace of it then.
    pub fn put(&mut self, item: &Item) -> io::Result<()> {
        let bytes = item.pack();
        let new = self.folder.join(format!(".new.{}", std::process::id()));
        let written = write(&new, &bytes).and_then(|()| self.publish(&new));
        if let Err(error) = written {
            fs::remove_file(&new).ok();
            return Err(error);
        }
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.items.push_back((self.next, size));
        self.bytes = self.bytes.saturating_add(size);
        self.next += 1;
        self.trim();
        Ok(())
    }

    /// Gives the new file its number: the next one that no other writer has taken.
    fn publish(&mut self, new: &Path) -> io::Result<()> {
        loop {
            let target = path(&self.folder, self.next);
            match rustix::fs::renameat_with(CWD, new, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(()),
                Err(Errno::EXIST) => self.next += 1,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn trim(&mut self) {
        while self.items.len() > 1 && (self.items.len() > ITEMS_MAX || self.bytes > BYTES_MAX) {
            let Some((number, size)) = self.items.pop_front() else {
                return;
            };
            self.bytes = self.bytes.saturating_sub(size);
            fs::remove_file(path(&self.folder, number)).ok();
        }
    }
}

/// The numbers of the items in a spool, in order.
///
/// # Errors
/// The directory cannot be read.
pub fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name.len() == 20 && name.as_bytes().iter().all(u8::is_ascii_digit) {
            numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads an item; none if what has the number is not one.
///
/// # Errors
/// See [`Refused`].
pub fn read(folder: &Path, number: u64) -> Result<Option<Item>, Refused> {
    let path = path(folder, number);
    let flags = rustix::fs::OFlags::NOFOLLOW;
    let (file, _) = trust::open_file(CWD, &path, flags)?;
    Ok(Item::unpack(&trust::read_open(&file, ITEM_MAX)?))
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}"))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(data: &[u8]) -> Item {
        Item {
            kind: Kind::Capture,
            stamp: Tai64n::from_unix(1, 2),
            pid: 812,
            data: data.to_vec(),
        }
    }

    proptest! {
        #[test]
        fn an_item_is_read_as_it_was_written(data in prop::collection::vec(any::<u8>(), 0..50), pid in any::<u32>()) {
            let item = Item { pid, ..item(&data) };
            prop_assert_eq!(Item::unpack(&item.pack()), Some(item));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            drop(Item::unpack(&bytes));
        }
    }

    #[test]
    fn items_are_numbered_over_writers_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("capture");
        let mut spool = Spool::open(&folder).unwrap();
        spool.put(&item(b"one")).unwrap();
        spool.put(&item(b"two")).unwrap();
        let mut spool = Spool::open(&folder).unwrap();
        spool.put(&item(b"three")).unwrap();
        assert_eq!(numbers(&folder).unwrap(), [1, 2, 3]);
        assert_eq!(read(&folder, 3).unwrap(), Some(item(b"three")));
        for _ in 0..ITEMS_MAX {
            spool.put(&item(b"x")).unwrap();
        }
        let left = numbers(&folder).unwrap();
        assert_eq!((left.len(), left[0]), (ITEMS_MAX, 4));
        let large = item(&vec![b'x'; 9 * 1024 * 1024]);
        spool.put(&large).unwrap();
        spool.put(&large).unwrap();
        assert_eq!(numbers(&folder).unwrap(), [1005]);
    }

    #[test]
    fn two_writers_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = Spool::open(folder.path()).unwrap();
        let mut other = Spool::open(folder.path()).unwrap();
        one.put(&item(b"one")).unwrap();
        other.put(&item(b"other")).unwrap();
        assert_eq!(numbers(folder.path()).unwrap(), [1, 2]);
    }
}
