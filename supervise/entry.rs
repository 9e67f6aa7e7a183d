//! The program's entry, without the language's start-up code.
//!
//! There is a supervise for each service, so what every start costs counts a thousandfold: that code
//! reads /proc/self/maps to find the stack's guard page and maps a second stack for its overflow,
//! which is a page of memory and a twelfth of the time to start. What it does that is needed is done
//! here: the descriptors 0, 1 and 2 are open. (SIGPIPE is blocked with other signals, in `main`.)
//!
//! For glibc alone: musl hands the arguments to Rust's start-up code and nowhere else. The unit tests
//! have the entry of their harness.
#![expect(
    unsafe_code,
    reason = "the symbol that the C library calls has to have this name"
)]

use std::ffi::{c_char, c_int};

use rustix::fs::{Mode, OFlags};
use rustix::stdio::{raw_stderr, raw_stdin, raw_stdout};

/// What the C library calls. The arguments are found by `std::env::args_os`, as everywhere.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    open_standard_descriptors();
    c_int::from(crate::finish())
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

fn is_standard(descriptor: &std::os::fd::OwnedFd) -> bool {
    std::os::fd::AsRawFd::as_raw_fd(descriptor) <= raw_stderr()
}
