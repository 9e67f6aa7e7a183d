//! `.svscan.lock` in the scan directory: the lock that keeps a second svscan away, and what the next
//! one needs to know.
//!
//! Only its owner can open it (mode 0600): a lock on the directory itself could be held by every user
//! who may read the directory. Its lines are svscan's pid; a number that is another one for every
//! svscan; the boot and the pid namespace; and for each log's pipe the identity of the log's directory
//! and the inode of the pipe. A pipe is written down before any process has it, so a service cannot
//! pass another FIFO off as its log's pipe.
//!
//! Where the file cannot be made (a read-only file system), the lock is one on the directory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};
use rustix::process::{Pid, geteuid};
use rustix::time::{ClockId, clock_gettime};
use servicedir::process::{World, user};

use crate::process::kernel_holders;
use crate::scan::Id;

/// Its name.
pub(crate) const NAME: &str = ".svscan.lock";

/// The longest file that is read, in bytes: some ten thousand logs.
const LONGEST: usize = 1 << 20;

/// Why the scan directory cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unusable {
    /// Another svscan has it.
    Taken,
    /// A system call failed.
    Failed(Errno),
}

impl From<Errno> for Unusable {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// The lock, as long as it is held, and the pipes of the logs.
#[derive(Debug)]
pub(crate) struct LockFile {
    /// None: it could not be made.
    file: Option<OwnedFd>,
    length: u64,
    pipes: BTreeMap<Id, u64>,
}

impl LockFile {
    /// Locks the scan directory that is open as `folder`.
    ///
    /// # Errors
    /// Another svscan has it, or the file is one that svscan did not make.
    pub(crate) fn take(folder: &OwnedFd, world: &World) -> Result<Self, Unusable> {
        let mut lock = Self {
            file: open(folder)?,
            length: 0,
            pipes: BTreeMap::new(),
        };
        if let Some(file) = &lock.file {
            // Any other failure is that of a file system without locks, and no reason to run no services.
            if flock(file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Err(Unusable::Taken);
            }
            let text = read(file);
            if fstat(file)?.st_uid == geteuid().as_raw() {
                lock.pipes = parse(&text, world);
            }
        }
        // A svscan before version 0.2 has a lock on the directory only.
        let held =
            flock(folder, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK);
        if held && is_svscans(&fstat(folder)?, lock.file.is_some()) {
            return Err(Unusable::Taken);
        }
        lock.write_all(world);
        Ok(lock)
    }

    /// The inode of the pipe of a log, if it was written down.
    pub(crate) fn pipe(&self, log: &Id) -> Option<u64> {
        self.pipes.get(log).copied()
    }

    /// Writes down the pipe of a log. On a full disk the log's pipe is only not found again after the
    /// death of svscan and all supervises at once.
    pub(crate) fn record(&mut self, log: &Id, inode: u64) {
        if self.pipes.insert(log.clone(), inode) != Some(inode) {
            self.append(&line(log, inode));
        }
    }

    /// Takes over the pipes of another directory's lock.
    pub(crate) fn inherit(&mut self, other: Self) {
        for (log, inode) in other.pipes {
            self.record(&log, inode);
        }
    }

    fn write_all(&mut self, world: &World) {
        self.length = 0;
        if let Some(file) = &self.file {
            rustix::fs::ftruncate(file, 0).ok();
        }
        let mut text = format!(
            "{}\n{}\n{}\n",
            std::process::id(),
            life(),
            world_line(world)
        );
        for (log, inode) in &self.pipes {
            text.push_str(&line(log, *inode));
        }
        self.append(&text);
    }

    fn append(&mut self, text: &str) {
        let Some(file) = &self.file else { return };
        if retry_on_intr(|| pwrite(file, text.as_bytes(), self.length)) == Ok(text.len()) {
            self.length += text.len() as u64;
        }
    }
}

/// The pid of the svscan that has locked the scan directory at `folder`, and the number of its life.
pub(crate) fn holder(folder: &OwnedFd) -> Result<Option<(Pid, u64)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat(folder, NAME, flags | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        opened => opened?,
    };
    if flock(&file, FlockOperation::NonBlockingLockShared) != Err(Errno::WOULDBLOCK) {
        return Ok(None);
    }
    let text = read(&file);
    let mut lines = text.lines();
    let pid = lines.next().and_then(|line| line.parse().ok());
    let life = lines.next().and_then(|line| line.parse().ok());
    Ok(pid.and_then(Pid::from_raw).zip(life))
}

/// Opens the file, or makes it; none where it cannot be made.
fn open(folder: &OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match retry_on_intr(|| openat(folder, NAME, flags, mode)) {
        Err(Errno::ROFS | Errno::ACCESS | Errno::NOSPC | Errno::DQUOT | Errno::PERM) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let (stat, directory) = (fstat(&file)?, fstat(folder)?);
    let own = [geteuid().as_raw(), 0, directory.st_uid].contains(&stat.st_uid);
    let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
    if !own || !is_file || stat.st_nlink != 1 {
        return Err(Errno::PERM);
    }
    if stat.st_mode & 0o777 != 0o600 {
        rustix::fs::fchmod(&file, mode)?;
    }
    Ok(Some(file))
}

/// Whether a svscan holds the lock on the directory. Any user who may read it can hold one.
///
/// `has_file`: this process has locked the file, so that the other one is of an older version, or
/// another user's. A holder that the kernel does not name counts only without the file.
fn is_svscans(directory: &Stat, has_file: bool) -> bool {
    let holders = kernel_holders(directory);
    let is_svscan = |pid: &Pid| {
        let trusted = [0, geteuid().as_raw(), directory.st_uid];
        let comm = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
        user(*pid).is_some_and(|user| trusted.contains(&user))
            && comm.is_ok_and(|comm| comm.trim_end() == "svscan")
    };
    holders.iter().any(is_svscan) || holders.is_empty() && !has_file
}

fn read(file: &OwnedFd) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while bytes.len() < LONGEST {
        let offset = bytes.len() as u64;
        match retry_on_intr(|| pread(file.as_fd(), &mut part, offset)) {
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A number that no other svscan of this boot has with the same pid: nanoseconds since the boot.
fn life() -> u128 {
    let now = clock_gettime(ClockId::Boottime);
    std::time::Duration::try_from(now).map_or(0, |now| now.as_nanos())
}

fn world_line(world: &World) -> String {
    let mut line = String::new();
    for byte in world.boot {
        write!(line, "{byte:02x}").ok();
    }
    write!(line, " {}", world.pid_namespace).ok();
    line
}

/// `DEVICE INODE PIPE`, and the instance in hexadecimal digits, if there is one.
fn line(log: &Id, pipe: u64) -> String {
    let mut line = format!("{} {} {pipe}", log.dev, log.ino);
    for (number, byte) in log.instance.iter().flat_map(|it| it.as_bytes()).enumerate() {
        let gap = if number == 0 { " " } else { "" };
        write!(line, "{gap}{byte:02x}").ok();
    }
    line.push('\n');
    line
}

fn parse(text: &str, world: &World) -> BTreeMap<Id, u64> {
    let mut lines = text.lines().skip(2);
    if lines.next() != Some(&world_line(world)) || !world.is(world) {
        return BTreeMap::new();
    }
    lines.filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Id, u64)> {
    let mut fields = line.split(' ');
    let mut number = || fields.next()?.parse().ok();
    let (dev, ino, pipe) = (number()?, number()?, number()?);
    let instance = match fields.next() {
        None => None,
        Some(digits) => Some(OsString::from_vec(from_hex(digits)?)),
    };
    Some((Id { dev, ino, instance }, pipe))
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(instance: Option<&str>) -> Id {
        Id {
            dev: 66,
            ino: 1234,
            instance: instance.map(OsString::from),
        }
    }

    #[test]
    fn a_pipe_is_read_as_it_was_written_and_not_in_another_boot() {
        let world = World {
            boot: [7; 16],
            pid_namespace: 5,
        };
        let mut text = format!("1\n2\n{}\n", world_line(&world));
        for instance in [None, Some("1"), Some("a b\n")] {
            text.push_str(&line(&id(instance), 99));
        }
        let pipes = parse(&text, &world);
        assert_eq!(pipes.len(), 3);
        assert_eq!(pipes.get(&id(Some("a b\n"))), Some(&99));
        let other = World {
            boot: [8; 16],
            ..world
        };
        assert_eq!(parse(&text, &other), BTreeMap::new());
    }

    #[test]
    fn a_second_lock_is_refused_and_the_file_is_the_owners_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            rustix::fs::open(scratch.path(), flags, Mode::empty()).unwrap()
        };
        let world = World::here();
        let mut lock = LockFile::take(&open(), &world).unwrap();
        lock.record(&id(None), 5);
        assert_eq!(
            LockFile::take(&open(), &world).unwrap_err(),
            Unusable::Taken
        );
        let (pid, _) = holder(&open()).unwrap().unwrap();
        assert_eq!(pid, rustix::process::getpid());
        let path = scratch.path().join(NAME);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        drop(lock);
        assert_eq!(holder(&open()), Ok(None));
        assert_eq!(
            LockFile::take(&open(), &world).unwrap().pipe(&id(None)),
            Some(5)
        );
    }
}
