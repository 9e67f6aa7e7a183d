//! What a program has by inheritance: default signal dispositions, and the environment.
#![expect(
    unsafe_code,
    reason = "signal dispositions and the environment are the whole process's"
)]

use std::ffi::OsString;

use servicedir::signal::Signal;

/// Sets these signals to what they do by default, in supervise itself, once: its children inherit it.
///
/// exec(2) does not reset what is ignored: SIGPIPE by many languages' start-up code, and whatever a
/// script that starts supervise has ignored.
pub(crate) fn default_dispositions(signals: impl IntoIterator<Item = Signal>) {
    // The kernel's own structure: handler, flags, restorer, mask. Not through the C library, which keeps
    // two signals to itself and would leave them as they are.
    let default = [0_u64; 4];
    for signal in signals {
        // SAFETY: the default disposition runs no code of ours, and the kernel reads no more than the
        // four words. What has none that can be set (KILL, STOP) is refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal.number(),
                default.as_ptr(),
                std::ptr::null::<u64>(),
                8,
            )
        };
    }
}

/// Sets each of the variables, or removes it where it has no value.
///
/// A name is not empty and has no `=`, and neither it nor the value a NUL: they come from file names,
/// or from readers that have seen to it.
pub(crate) fn change_environment(
    variables: impl IntoIterator<Item = (OsString, Option<OsString>)>,
) {
    for (name, value) in variables {
        match value {
            // SAFETY: the process has one thread, so that nobody reads the environment meanwhile.
            Some(value) => unsafe { std::env::set_var(name, value) },
            // SAFETY: as above.
            None => unsafe { std::env::remove_var(name) },
        }
    }
}
