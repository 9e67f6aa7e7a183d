//! The start of a program that has to work when memory is short: without the language's start-up code.
//!
//! That code panics where no memory is left for a second stack, which a supervisor does not need: a
//! system that runs out of memory needs its supervisor more than ever. What it does that is needed is
//! done here. Besides, descriptors above 2 are closed: whoever started the program by mistake with a
//! pipe or a lock open would wait for it to end.
#![allow(unsafe_code, reason = "descriptors are closed by their numbers")]

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use rustix::stdio::{raw_stderr, raw_stdin, raw_stdout};

/// Defines what the C library calls: it prepares the descriptors and calls a `fn() -> u8`, whose result
/// is the exit code. The crate has `no_main` where this is used; with a C library that does not hand
/// the arguments to the language otherwise (musl), the program keeps an ordinary `main`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        /// What the C library calls.
        #[cfg(all(not(test), target_env = "gnu"))]
        #[allow(unsafe_code, reason = "the C library calls it by this name")]
        #[unsafe(no_mangle)]
        extern "C" fn main(
            _count: ::std::ffi::c_int,
            _arguments: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            $crate::entry::prepare_descriptors();
            ::std::ffi::c_int::from($main())
        }

        #[cfg(not(all(not(test), target_env = "gnu")))]
        fn main() -> ::std::process::ExitCode {
            $crate::entry::prepare_descriptors();
            ::std::process::ExitCode::from($main())
        }
    };
}

/// Opens /dev/null in the place of a missing stdin, stdout or stderr, and closes all others. To be
/// called first, before the program has a descriptor of its own.
pub fn prepare_descriptors() {
    open_standard_descriptors();
    close_inherited();
}

/// A descriptor that is opened later must not become stdin, stdout or stderr by chance.
fn open_standard_descriptors() {
    for _ in [raw_stdin(), raw_stdout(), raw_stderr()] {
        match rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(null) if is_standard(&null) => std::mem::forget(null),
            Ok(_) | Err(_) => return,
        }
    }
}

fn is_standard(descriptor: &OwnedFd) -> bool {
    descriptor.as_raw_fd() <= raw_stderr()
}

/// Before Linux 5.9, and where a container forbids close_range(2), they are closed one by one up to the
/// limit.
fn close_inherited() {
    // SAFETY: the program has just begun, and owns no descriptor above 2.
    if unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    let limit = getrlimit(Resource::Nofile).current;
    let end = limit.map_or(1 << 16, |limit| limit.min(1 << 16));
    for descriptor in
        (3..1 << 16).take_while(|descriptor: &i32| u64::from(descriptor.unsigned_abs()) < end)
    {
        // SAFETY: as above.
        unsafe { libc::close(descriptor) };
    }
}
