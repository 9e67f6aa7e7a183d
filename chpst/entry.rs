//! The program's entry, without the language's start-up code.
//!
//! A loader hands on what it has: that start-up code would ignore SIGPIPE for the program too, and
//! open closed descriptors, which run scripts have closed on purpose.
//!
//! The unit tests have the entry of their harness instead.
#![expect(
    unsafe_code,
    reason = "the symbol that the C library calls has to have this name, and gets its arguments"
)]

use std::ffi::{CStr, CString, c_char, c_int};

/// What the C library calls.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: the C library passes the kernel's argument vector.
    let arguments = unsafe { strings(arguments) };
    c_int::from(crate::run(arguments, environment()))
}

/// Copies a vector of C strings that a null pointer ends.
///
/// # Safety
/// `vector` is null, or such a vector.
unsafe fn strings(vector: *const *const c_char) -> Vec<CString> {
    let mut copies = Vec::new();
    let mut next = vector;
    if next.is_null() {
        return copies;
    }
    loop {
        // SAFETY: not past the null pointer at the end.
        let string = unsafe { next.read() };
        if string.is_null() {
            return copies;
        }
        // SAFETY: each pointer before the end is to a C string.
        copies.push(unsafe { CStr::from_ptr(string) }.to_owned());
        // SAFETY: there is one more, the end at the latest.
        next = unsafe { next.add(1) };
    }
}

/// The environment as it was inherited, entry by entry; also what has no `=`.
fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // SAFETY: the C library keeps the pointer, nobody changes the environment: one thread, no setenv.
    let vector = unsafe { environ };
    // SAFETY: as the C library sets it up, from the kernel's.
    unsafe { strings(vector) }
}
