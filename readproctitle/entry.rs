//! The program's entry: the memory of the last argument is not reached in another way.
//!
//! The unit tests have the entry of their harness instead.
#![expect(
    unsafe_code,
    reason = "the symbol that the C library calls has to have this name, and gets its arguments"
)]
#![cfg_attr(test, allow(dead_code, reason = "the test harness has its own entry"))]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;

/// What the C library calls.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_count: c_int, arguments: *mut *mut c_char) -> c_int {
    let mut copies: Vec<OsString> = Vec::new();
    let mut place: &'static mut [u8] = &mut [];
    let mut next = arguments;
    loop {
        // SAFETY: the C library passes the kernel's argument vector, which a null pointer ends.
        let argument = unsafe { next.read() };
        if argument.is_null() {
            break;
        }
        // SAFETY: each pointer before the end is to a C string.
        let length = unsafe { CStr::from_ptr(argument) }.to_bytes().len();
        // SAFETY: the string is on the stack, in memory that may be written and lives as long as the
        // process; nothing else refers to it, since only copies of the arguments are used.
        let bytes = unsafe { std::slice::from_raw_parts_mut(argument.cast::<u8>(), length) };
        copies.push(OsStr::from_bytes(bytes).to_owned());
        place = bytes;
        // SAFETY: there is one more, the end at the latest.
        next = unsafe { next.add(1) };
    }
    if copies.len() < 2 {
        place = &mut [];
    }
    c_int::from(crate::start(&copies, place))
}
