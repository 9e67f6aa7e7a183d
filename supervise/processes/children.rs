//! Children and their ends, and signals to them: as exactly as the system calls tell, real-time signals
//! too, which the libraries do not know.
#![expect(unsafe_code, reason = "system calls, each in a block of its own")]

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};
use servicedir::signal::Signal;
use servicedir::status::End;

/// The next child that has ended, left a zombie: its pid and its group are its own until [`reap`].
///
/// # Errors
/// As waitid(2): whether one has ended is not known.
pub(crate) fn next_ended() -> rustix::io::Result<Option<(Pid, End)>> {
    // SAFETY: plain data, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo_t, to where one is.
    let mut ask = || checked(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }.into());
    match rustix::io::retry_on_intr(&mut ask) {
        Ok(()) => {}
        Err(Errno::CHILD) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    // SAFETY: waitid(2) has filled in this part of the union, or left the zeros in it.
    let Some(pid) = Pid::from_raw(unsafe { info.si_pid() }) else {
        return Ok(None);
    };
    // SAFETY: as above.
    let value = unsafe { info.si_status() };
    // Not as wait(2)'s status through a library: those know no real-time signals.
    let status = match info.si_code {
        libc::CLD_EXITED => value << 8,
        libc::CLD_DUMPED => value | 0x80,
        _ => value,
    };
    let end = End::from_wait_status(status).unwrap_or(End::Unknown);
    Ok(Some((pid, end)))
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

/// Sends a signal to a child that was not reaped yet, or to its group.
///
/// # Errors
/// `ESRCH`: it is not a child, and its number may be another process's; else as kill(2).
pub(crate) fn kill_child(child: Pid, signal: Signal, group: bool) -> rustix::io::Result<()> {
    if !is_child(child)? {
        return Err(Errno::SRCH);
    }
    match kill(child, signal, group) {
        // One that has just been forked may not have made its group yet; then it is alone.
        Err(Errno::SRCH) if group => kill(child, signal, false),
        sent => sent,
    }
}

/// Whether it is a child that was not reaped yet: only such a pid is its own for certain.
fn is_child(pid: Pid) -> rustix::io::Result<bool> {
    // SAFETY: plain data, for which zeros are a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let id = pid.as_raw_nonzero().get().cast_unsigned();
    // SAFETY: the kernel writes one siginfo_t, to where one is.
    let ask = || checked(unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) }.into());
    match rustix::io::retry_on_intr(ask) {
        Ok(()) => Ok(true),
        Err(Errno::CHILD) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A descriptor of a child that was not reaped yet.
pub(crate) fn descriptor(child: Pid) -> Option<OwnedFd> {
    if is_child(child) != Ok(true) {
        return None;
    }
    rustix::process::pidfd_open(child, PidfdFlags::empty()).ok()
}

/// Whether a process that is not a child of this one has that pid.
pub(crate) fn is_reused(pid: Pid) -> bool {
    is_child(pid) == Ok(false) && rustix::process::test_kill_process(pid) != Err(Errno::SRCH)
}

/// Whether the group of that number has a member: `ESRCH` if not.
pub(crate) fn test_group(group: Pid) -> rustix::io::Result<()> {
    rustix::process::test_kill_process_group(group)
}

/// Sends a signal to a process, or to the group of that number. Whose the number is, the caller knows.
pub(crate) fn kill(process: Pid, signal: Signal, group: bool) -> rustix::io::Result<()> {
    let pid = process.as_raw_nonzero().get();
    // SAFETY: always safe: the call takes numbers.
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
