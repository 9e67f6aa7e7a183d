//! Old files are brought to the disk by a child, so that logging does not wait for the disk.
//!
//! A file that was rotated is `@….u` until fsync(2) has returned and its mode says so; then it is
//! `@….s`. Files that are deleted before their turn comes cost nothing.
#![allow(
    unsafe_code,
    reason = "fork(2), and what its child does before it ends"
)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use servicedir::tai64n::Tai64n;

use crate::current::{is_deleted, is_marked, mark};

/// The number of files that may wait for the disk; beyond that, logging waits for it.
const MOST_WAITING: usize = 16;
/// How long a file waits before it is brought to the disk. In a flood that fills all files of a
/// directory within that time, those that are deleted meanwhile never go there.
const DELAY: Duration = Duration::from_millis(100);

/// A file to bring to the disk.
#[derive(Debug)]
pub(crate) struct Job {
    /// The file.
    pub(crate) file: OwnedFd,
    /// Its name's label.
    pub(crate) label: Tai64n,
}

/// The files of one directory that are not on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Sealer {
    child: Option<Pid>,
    /// What the child works on.
    working: Vec<Job>,
    waiting: Vec<Job>,
    /// When a child is to be started for those that wait.
    due: Option<Instant>,
    /// Whether a file could not be brought to the disk since that was last asked.
    failed: bool,
}

impl Sealer {
    /// Takes a file. Returns the labels of files that are on the disk now.
    pub(crate) fn add(&mut self, job: Job, now: Instant) -> Vec<Tai64n> {
        self.waiting.push(job);
        self.due.get_or_insert(now + DELAY);
        if self.waiting.len() <= MOST_WAITING {
            return Vec::new();
        }
        self.waiting.retain(|job| !is_deleted(&job.file));
        if self.waiting.len() <= MOST_WAITING {
            return Vec::new();
        }
        if self.child.is_none() {
            return self.start();
        }
        let first = self.waiting.drain(..1).collect();
        self.seal_here(first)
    }

    /// Starts a child if one is due. Returns the labels of files that are on the disk now.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Tai64n> {
        if self.child.is_none() && self.due.is_some_and(|due| due <= now) {
            return self.start();
        }
        Vec::new()
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.filter(|_| self.child.is_none())
    }

    /// The program ends: what waits is due.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.due = self.due.map(|_| now);
    }

    /// Whether files are on their way to the disk.
    pub(crate) fn is_busy(&self) -> bool {
        self.child.is_some() || !self.waiting.is_empty()
    }

    /// Looks whether the child has ended. Returns the labels of files that are on the disk now.
    pub(crate) fn reap(&mut self) -> Vec<Tai64n> {
        let Some(child) = self.child else {
            return Vec::new();
        };
        let done = match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Vec::new(),
            Ok(WaitStatus::Exited(_, 0)) => labels(&self.working),
            // fsync(2) tells a fault once: asked again it would say that all is well.
            Ok(WaitStatus::Exited(..)) => {
                self.failed = true;
                self.working.retain(|job| is_marked(&job.file));
                labels(&self.working)
            }
            // What it did not do is done here: rather late than not at all.
            Ok(_) | Err(_) => {
                let jobs = std::mem::take(&mut self.working);
                self.seal_here(jobs)
            }
        };
        self.child = None;
        self.working.clear();
        done
    }

    /// Whether a file could not be brought to the disk since the last call: it stays `@….u`.
    pub(crate) fn has_failed(&mut self) -> bool {
        std::mem::take(&mut self.failed)
    }

    /// Brings files to the disk while the caller waits; returns the labels of those that went.
    fn seal_here(&mut self, jobs: Vec<Job>) -> Vec<Tai64n> {
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            match mark(&job.file) {
                Ok(()) => done.push(job.label),
                Err(_) => self.failed = true,
            }
        }
        done
    }

    /// Starts a child for all that waits; without one, does it here.
    fn start(&mut self) -> Vec<Tai64n> {
        self.due = None;
        let mut jobs = std::mem::take(&mut self.waiting);
        jobs.retain(|job| !is_deleted(&job.file));
        if jobs.is_empty() {
            return Vec::new();
        }
        // SAFETY: the process has one thread; the child calls only fsync, fchmod, close_range and
        // _exit, and does not return.
        match unsafe { fork() } {
            Ok(ForkResult::Child) => seal_and_exit(&jobs),
            Ok(ForkResult::Parent { child }) => {
                self.child = Some(child);
                self.working = jobs;
                Vec::new()
            }
            Err(_) => self.seal_here(jobs),
        }
    }
}

fn labels(jobs: &[Job]) -> Vec<Tai64n> {
    jobs.iter().map(|job| job.label).collect()
}

/// The child: it keeps nothing but its files, above all no lock.
fn seal_and_exit(jobs: &[Job]) -> ! {
    let mut first = 0;
    let mut keep: Vec<RawFd> = jobs.iter().map(|job| job.file.as_raw_fd()).collect();
    keep.sort_unstable();
    for fd in keep.into_iter().filter_map(|fd| u32::try_from(fd).ok()) {
        if first < fd {
            close_between(first, fd - 1);
        }
        first = fd + 1;
    }
    close_between(first, u32::MAX);
    // A file that fails does not keep the others from the disk.
    let failed = jobs.iter().filter(|job| mark(&job.file).is_err()).count() > 0;
    // SAFETY: ends the process at once; no destructor or exit handler of the parent's runs.
    unsafe { libc::_exit(i32::from(failed)) }
}

fn close_between(first: u32, last: u32) {
    // SAFETY: nothing in this child uses the descriptors that are closed: it only calls fsync and
    // fchmod on the files that it keeps, and _exit.
    let failed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    // A kernel before 5.9 keeps them open until the child has ended: milliseconds.
    let _ = failed;
}
