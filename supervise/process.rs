//! Signals to processes and their groups, and the ends of processes that are not our children: the
//! raw calls that the libraries do not offer (real-time signals, PIDFD_GET_INFO, signals to a group).
#![expect(unsafe_code, reason = "system calls, each in a block of its own")]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::signal::Signal;
use servicedir::status::End;

/// `struct pidfd_info` of linux/pidfd.h, as Linux 6.15 has it (PIDFD_INFO_SIZE_VER0, 64 bytes).
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: the exit code is asked for, and was given.
const INFO_EXIT: u64 = 1 << 3;

/// `PIDFD_GET_INFO`: _IOWR(PIDFS_IOCTL_MAGIC, 11, struct pidfd_info).
const GET_INFO: libc::Ioctl = {
    let size = size_of::<PidfdInfo>();
    0xC000_0000 | (size as libc::Ioctl) << 16 | 0xFF << 8 | 11
};

/// `PIDFD_SIGNAL_PROCESS_GROUP` (Linux 6.9).
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// How the process of the descriptor ended: known on Linux 6.15 and later, and only once its parent
/// has reaped it.
pub(crate) fn exit_status(pidfd: &OwnedFd) -> Option<End> {
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most the
    // size that is encoded in the request, which is that of the value.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    if result != 0 || info.mask & INFO_EXIT == 0 {
        return None;
    }
    End::from_wait_status(info.exit_code)
}

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

/// Sends a signal to the process of the descriptor, or to the group that it leads, even when it is
/// itself a zombie, or reaped. A pid or a group whose number was reused is never hit.
///
/// # Errors
/// For a group `EINVAL` before Linux 6.9; else as pidfd_send_signal(2).
pub(crate) fn pidfd_kill(pidfd: &OwnedFd, signal: Signal, group: bool) -> rustix::io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed; a null siginfo is allowed and
    // means what kill(2) would send.
    checked(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal.number(),
            std::ptr::null::<libc::siginfo_t>(),
            if group { SIGNAL_PROCESS_GROUP } else { 0 },
        )
    })
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
