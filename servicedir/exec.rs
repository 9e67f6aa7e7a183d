//! Starting a program with default dispositions for all signals and an empty mask.
//!
//! The standard library resets SIGPIPE alone. Signals 32 and 33, which the C library keeps for
//! itself, stay as they are.
#![allow(unsafe_code, reason = "the dispositions are set between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// Starts the command; whatever is ignored or blocked here is not there.
///
/// # Errors
/// It could not be executed, or the system has no process left.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    // SAFETY: the closure makes async-signal-safe calls only, and allocates nothing.
    unsafe { command.pre_exec(default_dispositions) };
    command.spawn()
}

/// exec(2) resets what is caught; what is ignored has to be reset by hand.
fn default_dispositions() -> io::Result<()> {
    for number in 1..=64 {
        // SAFETY: the default disposition runs no code of ours. It is refused for KILL, STOP and the
        // C library's own signals.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    Ok(())
}
