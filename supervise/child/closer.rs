//! Closing descriptors that others have sent.
//!
//! close(2) of a socket with SO_LINGER and unsent data, or of a file of a slow file system, may take as
//! long as its sender wishes. So supervise never closes such a descriptor as the last process that has
//! it: a child that was forked for it does.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::unistd::ForkResult;
use rustix::fs::FileType;
use rustix::process::Pid;

use super::fork::{fork, leave, parent_pid};

/// How many children may be closing at once. Each may take for ever, and whoever may write to the
/// socket can make them: beyond these, supervise reads no more of it until one has ended.
const CLOSERS: usize = 8;

/// The children that are closing.
#[derive(Debug, Default)]
pub(crate) struct Closers(Vec<Pid>);

impl Closers {
    /// Whether one more may be forked.
    pub(crate) fn has_room(&self) -> bool {
        self.0.len() < CLOSERS
    }

    /// A child has ended.
    pub(crate) fn ended(&mut self, child: Pid) {
        self.0.retain(|closer| *closer != child);
    }

    /// Closes these: pipes at once, which never blocks, everything else in a child. Where no child can
    /// be forked they stay open: a descriptor is worth less than a supervise that obeys.
    pub(crate) fn close(&mut self, descriptors: Vec<OwnedFd>) {
        let slow: Vec<OwnedFd> = descriptors.into_iter().filter(|it| !is_pipe(it)).collect();
        if slow.is_empty() {
            return;
        }
        match hand_over(&slow) {
            Ok((child, line)) => {
                self.0.push(child);
                // The child has them too: these are not the last.
                drop(slow);
                drop(line);
            }
            Err(_) => slow.into_iter().for_each(std::mem::forget),
        }
    }
}

/// Whether it is a pipe or a FIFO.
pub(crate) fn is_pipe(descriptor: &OwnedFd) -> bool {
    rustix::fs::fstat(descriptor)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// Forks a child that keeps the descriptors until the line is closed, and then ends.
fn hand_over(descriptors: &[OwnedFd]) -> std::io::Result<(Pid, UnixStream)> {
    let (ours, mut theirs) = UnixStream::pair()?;
    let kept: Vec<_> = descriptors
        .iter()
        .map(AsRawFd::as_raw_fd)
        .chain([theirs.as_raw_fd()])
        .collect();
    match fork(&kept)? {
        ForkResult::Parent { child } => Ok((parent_pid(child)?, ours)),
        ForkResult::Child => {
            drop(theirs.read(&mut [0]));
            leave()
        }
    }
}
