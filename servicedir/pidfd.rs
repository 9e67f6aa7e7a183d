//! Processes by descriptor: the calls that the libraries do not offer (PIDFD_GET_INFO, real-time
//! signals, signals to a group). A pid that was reused is never hit.
#![allow(unsafe_code, reason = "system calls, each in a block of its own")]

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::signal::Signal;
use crate::status::End;

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
/// Written as hexadecimal digits of 32 bits: glibc takes a request as an unsigned long, musl as an int.
const GET_INFO: u32 = 0xC040_FF0B;
const _: () = assert!(size_of::<PidfdInfo>() == 0x40);

/// `PIDFD_SIGNAL_PROCESS_GROUP` (Linux 6.9).
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

/// How the process of the descriptor ended: known on Linux 6.15 and later, and only once its parent
/// has reaped it.
#[must_use]
pub fn exit_status(pidfd: impl AsFd) -> Option<End> {
    let mut info = PidfdInfo {
        mask: INFO_EXIT,
        ..PidfdInfo::default()
    };
    let descriptor = pidfd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most the
    // size that is encoded in the request, which is that of the value.
    let result = unsafe { libc::ioctl(descriptor, GET_INFO as libc::Ioctl, &raw mut info) };
    if result != 0 || info.mask & INFO_EXIT == 0 {
        return None;
    }
    End::from_wait_status(info.exit_code)
}

/// Sends a signal to the process of the descriptor, or to the group that it leads, even when it is
/// itself a zombie, or reaped.
///
/// # Errors
/// For a group `EINVAL` before Linux 6.9; else as pidfd_send_signal(2).
pub fn send(pidfd: impl AsFd, signal: Signal, group: bool) -> rustix::io::Result<()> {
    // SAFETY: the descriptor is open for as long as it is borrowed; a null siginfo is allowed and
    // means what kill(2) would send.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal.number(),
            std::ptr::null::<libc::siginfo_t>(),
            if group { SIGNAL_PROCESS_GROUP } else { 0 },
        )
    };
    if result == 0 {
        return Ok(());
    }
    let errno = std::io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EINVAL);
    Err(Errno::from_raw_os_error(errno))
}
