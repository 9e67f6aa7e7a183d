//! Closing the descriptors that a child must not inherit.
#![expect(unsafe_code, reason = "descriptors are closed by their numbers")]

use std::os::fd::RawFd;

/// Closes all descriptors from 3 on, except these.
pub(crate) fn close_all_but(kept: &[RawFd]) {
    let mut kept: Vec<libc::c_uint> = kept.iter().filter_map(|fd| (*fd).try_into().ok()).collect();
    kept.sort_unstable();
    let mut first = 3;
    for descriptor in kept.into_iter().chain([libc::c_uint::MAX]) {
        if descriptor > first {
            close_range(first, descriptor - 1);
        }
        first = descriptor.saturating_add(1);
    }
}

/// Closes the descriptors from `first` to `last`; before Linux 5.9, and where a container forbids the
/// system call, one by one up to the limit.
fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: the child uses none of these: it never returns into the event loop. (By number, since
    // musl has no function for it.)
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let end = limit.map_or(1 << 20, |limit| limit.min(1 << 20));
    for descriptor in (first..=last).take_while(|descriptor| u64::from(*descriptor) < end) {
        if let Ok(descriptor) = descriptor.try_into() {
            // SAFETY: as above.
            unsafe { libc::close(descriptor) };
        }
    }
}
