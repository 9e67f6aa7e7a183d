//! Children and their ends, and signals to them: as exactly as the system calls tell, real-time signals
//! too, which the libraries do not know.
#![expect(unsafe_code, reason = "system calls, each in a block of its own")]

use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::signal::Signal;
use servicedir::status::End;

pub(crate) use servicedir::pidfd::{exit_status, send as pidfd_kill};

/// The next child that has ended, left a zombie: its pid and its group are its own until [`reap`].
pub(crate) fn next_ended() -> Option<(Pid, End)> {
    // SAFETY: plain data, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo_t, to where one is.
    let mut ask = || checked(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }.into());
    rustix::io::retry_on_intr(&mut ask).ok()?;
    // SAFETY: waitid(2) has filled in this part of the union, or left the zeros in it.
    let pid = Pid::from_raw(unsafe { info.si_pid() })?;
    // SAFETY: as above.
    let value = unsafe { info.si_status() };
    // Not as wait(2)'s status through a library: those know no real-time signals.
    let status = match info.si_code {
        libc::CLD_EXITED => value << 8,
        libc::CLD_DUMPED => value | 0x80,
        _ => value,
    };
    let end = End::from_wait_status(status).unwrap_or(End::Unknown);
    Some((pid, end))
}

/// Reaps a child that [`next_ended`] has told of.
pub(crate) fn reap(child: Pid) {
    // SAFETY: a null status is allowed; the call takes numbers otherwise.
    unsafe {
        libc::waitpid(
            child.as_raw_nonzero().get(),
            std::ptr::null_mut(),
            libc::WNOHANG,
        )
    };
}

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
