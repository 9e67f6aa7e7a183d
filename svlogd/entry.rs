//! The program's entry, without the language's start-up code.
//!
//! That code panics where the system has no memory for its second stack, and it costs each logger two
//! pages. The part of it that svlogd needs is here: the arguments, and descriptors 0, 1 and 2 that are
//! open. (SIGPIPE is caught with the other signals, in `input.rs`.)
//!
//! The unit tests have the entry of their harness instead.
#![expect(
    unsafe_code,
    reason = "the symbol that the C library calls has to have this name, and gets its arguments"
)]
#![cfg_attr(test, allow(dead_code, reason = "the test harness has its own entry"))]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};
use rustix::stdio::raw_stderr;

/// What the C library calls.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_count: c_int, arguments: *const *const c_char) -> c_int {
    open_standard_descriptors();
    // SAFETY: the C library passes the kernel's argument vector.
    let arguments = unsafe { strings(arguments) };
    c_int::from(crate::start(arguments))
}

/// Copies a vector of C strings that a null pointer ends.
///
/// # Safety
/// `vector` is such a vector.
unsafe fn strings(vector: *const *const c_char) -> Vec<OsString> {
    let mut copies = Vec::new();
    let mut next = vector;
    loop {
        // SAFETY: not past the null pointer at the end.
        let string = unsafe { next.read() };
        if string.is_null() {
            return copies;
        }
        // SAFETY: each pointer before the end is to a C string.
        let string = unsafe { CStr::from_ptr(string) };
        copies.push(OsStr::from_bytes(string.to_bytes()).to_owned());
        // SAFETY: there is one more, the end at the latest.
        next = unsafe { next.add(1) };
    }
}

/// A descriptor that is opened later must not become stdin, stdout or stderr by chance.
fn open_standard_descriptors() {
    for _ in 0..=raw_stderr() {
        match rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
            Ok(null) if null.as_raw_fd() <= raw_stderr() => std::mem::forget(null),
            Ok(_) | Err(_) => return,
        }
    }
}
