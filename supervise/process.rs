//! Signals to processes and their groups: real-time ones too, which the libraries do not offer.
#![expect(unsafe_code, reason = "a system call, in a block of its own")]

use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::signal::Signal;

pub(crate) use servicedir::pidfd::{exit_status, send as pidfd_kill};

/// Sends a signal to a child that was not reaped yet, or to the group that it leads.
pub(crate) fn kill(child: Pid, signal: Signal, group: bool) -> rustix::io::Result<()> {
    let pid = child.as_raw_nonzero().get();
    // SAFETY: always safe: the call takes numbers. The pid is a child's that this process has not
    // reaped, so that it cannot be another process's.
    checked(unsafe { libc::kill(if group { -pid } else { pid }, signal.number()) }.into())
}

fn checked(result: libc::c_long) -> rustix::io::Result<()> {
    if result == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    Err(Errno::from_raw_os_error(errno))
}
