//! The processes of a service: who supervises it, and what it runs.
//!
//! Both are found through files that the owner of the service directory may have written, so each
//! has to prove itself: a supervise by what it has open, a service's process by its start time and
//! its session.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::fs::{AtFlags, FileType, Stat, statat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use servicedir::layout::{LOCK, Layout, OK};
use servicedir::process::{Identity, Place, World, user};
use servicedir::reading::{Unread, status_of};
use servicedir::state_folder::StateFolder;
use servicedir::status::{Record, Status};
use servicedir::trust::Refused;

/// A process, with the descriptor that names it even after its pid was reused.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its pid.
    pub(crate) pid: Pid,
    /// Polls readable when it has ended.
    pub(crate) pidfd: OwnedFd,
}

/// The supervise of a service.
#[derive(Debug)]
pub(crate) enum Supervised {
    /// It has none.
    No,
    /// This process.
    By(Process),
    /// It has one, which was not found.
    Unknown,
}

/// Finds the supervise of a service.
///
/// # Errors
/// Whether there is one cannot be found out.
pub(crate) fn supervise_of(layout: &Layout) -> Result<Supervised, Refused> {
    let state = match StateFolder::open(layout) {
        Ok(state) => state,
        Err(refused) if refused.is_absent() => return Ok(Supervised::No),
        Err(refused) => return Err(refused),
    };
    if !state.is_supervised()? {
        return Ok(Supervised::No);
    }
    match lock_holder(&state)? {
        Some(process) => Ok(Supervised::By(process)),
        // It may have ended since.
        None if !state.is_supervised()? => Ok(Supervised::No),
        None => Ok(Supervised::Unknown),
    }
}

/// The process that holds the lock: the one that the file names, as this suite's supervise writes
/// it, or else the one that the kernel names. It is a supervise: it has `ok` open, too.
fn lock_holder(state: &StateFolder) -> Result<Option<Process>, Refused> {
    let (lock, ok) = (entry(state, LOCK)?, entry(state, OK)?);
    if !FileType::from_raw_mode(lock.st_mode).is_file() {
        return Ok(None);
    }
    let is_supervise =
        |process: &Process| holds_lock(process.pid, &lock) && has_open(process.pid, &ok);
    let named = state.read(LOCK, PID_MAX).ok().and_then(|file| {
        let text = String::from_utf8(file.bytes).ok()?;
        text.trim().parse().ok().and_then(Pid::from_raw)
    });
    for pid in named.into_iter().chain(kernel_holders(&lock)) {
        if let Some(process) = open(pid)?.filter(is_supervise) {
            return Ok(Some(process));
        }
    }
    Ok(None)
}

/// The longest text of a lock file, in bytes: a pid and a newline.
const PID_MAX: usize = 32;

fn entry(state: &StateFolder, name: &str) -> Result<Stat, Refused> {
    Ok(statat(state.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn open(pid: Pid) -> Result<Option<Process>, Errno> {
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(Process { pid, pidfd })),
        // It is gone, or the number is that of a thread.
        Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Whether a process holds a flock(2) on a file: `/proc/PID/fdinfo` lists the locks of each
/// descriptor, `lock: 1: FLOCK  ADVISORY  WRITE 812 fe:01:1234 0 EOF`.
fn holds_lock(pid: Pid, file: &Stat) -> bool {
    open_files(pid).any(|(number, stat)| {
        is_same(&stat, file)
            && fs::read_to_string(format!("/proc/{}/fdinfo/{number}", pid.as_raw_nonzero()))
                .is_ok_and(|info| {
                    info.lines()
                        .any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
                })
    })
}

/// Whether a process has that file open.
fn has_open(pid: Pid, file: &Stat) -> bool {
    open_files(pid).any(|(_, stat)| is_same(&stat, file))
}

/// The descriptors of a process, with their files' devices and inodes.
pub(crate) fn open_files(pid: Pid) -> impl Iterator<Item = (String, fs::Metadata)> {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()));
    let descriptors = descriptors.into_iter().flatten().flatten();
    descriptors.filter_map(|entry| {
        let number = entry.file_name().into_string().ok()?;
        Some((number, fs::metadata(entry.path()).ok()?))
    })
}

fn is_same(one: &fs::Metadata, other: &Stat) -> bool {
    (one.dev(), one.ino()) == (other.st_dev, other.st_ino)
}

/// The processes that may hold a file's flock(2), as /proc/locks lists them: the fifth field is the
/// pid, the sixth ends with the inode. Its device is not that of stat(2) on every file system.
pub(crate) fn kernel_holders(file: &Stat) -> Vec<Pid> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = format!(":{}", file.st_ino);
    let holders = locks.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (kind, pid, place) = (fields.next()?, fields.nth(2)?, fields.next()?);
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        pid.filter(|_| kind == "FLOCK" && place.ends_with(&inode))
    });
    holders.collect()
}

/// The status of a service, if this suite wrote it.
pub(crate) fn recorded(layout: &Layout) -> Option<(Status, Record)> {
    try_recorded(layout).ok().flatten()
}

/// As [`recorded`].
///
/// # Errors
/// It cannot be read for now.
fn try_recorded(layout: &Layout) -> Result<Option<(Status, Record)>, Refused> {
    match status_of(layout) {
        Ok(reading) => {
            let mut status = reading.status;
            Ok(status.record.take().map(|record| (status, record)))
        }
        Err(Unread::Refused(refused)) if !refused.is_about_the_file() => Err(refused),
        Err(_) => Ok(None),
    }
}

/// The process of a service (its run, or its finish), if it lives in this world.
///
/// The record may be forged where the owner of the service directory is another user, so the
/// process has to lead a session, as all that supervise starts do, and, in such a directory, to run
/// as that user.
///
/// # Errors
/// That cannot be found out for now.
pub(crate) fn process_of(layout: &Layout, world: &World) -> Result<Option<Process>, Refused> {
    let Some((status, record)) = try_recorded(layout)? else {
        return Ok(None);
    };
    let Some(pid) = status.pid.filter(|_| world.is(&record.world)) else {
        return Ok(None);
    };
    let start = record.pid_start;
    let pidfd = match (Identity { pid, start }).open() {
        Err(Errno::SRCH) => return Ok(None),
        opened => opened?,
    };
    let leads_session = Place::of(pid).is_some_and(|place| place.session == Some(pid));
    let owner = rustix::fs::stat(&layout.dir)?.st_uid;
    let trusted = owner == 0 || owner == geteuid().as_raw() || user(pid) == Some(owner);
    Ok((leads_session && trusted).then_some(Process { pid, pidfd }))
}
