//! The process of a processor: fork, its five descriptors, `/bin/sh -c`.
//!
//! The standard library's `Command` passes on three descriptors only, and panics where a read from
//! its own pipe fails for want of memory.
#![allow(
    unsafe_code,
    reason = "fork(2), and the child's way from there to execve(2)"
)]

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::unistd::{ForkResult, Pid, fork};
use rustix::io::Errno;
use servicedir::report::Reporter;

use crate::message::{Fault, Message, Verb};
use crate::store::ProcessorFiles;

/// The shell, and the code that a shell gives for a program that is not found.
const SHELL_PATH: &str = "/bin/sh";
const SHELL: &CStr = c"/bin/sh";
const NOT_FOUND: i32 = 127;
/// The descriptors that the child's files are moved to before they get their numbers: higher than any
/// of these, so that none is overwritten before its turn.
const CLEAR: RawFd = 10;

/// Starts `command` in the directory, in a process group of its own.
pub(crate) fn spawn(
    dir: BorrowedFd<'_>,
    command: &[u8],
    files: &ProcessorFiles,
    report: Reporter,
) -> Result<Pid, Errno> {
    let command = CString::new(command).map_err(|_| Errno::INVAL)?;
    // SAFETY: the process has one thread, so the child may do whatever the parent may.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child),
        Ok(ForkResult::Child) => {
            let failed = run(dir, &command, files);
            let fault = Fault::new(Verb::Execute, SHELL_PATH, failed);
            report.warning(Message::Unable(fault));
            // SAFETY: ends the child at once; no destructor or exit handler of the parent's runs.
            unsafe { libc::_exit(NOT_FOUND) }
        }
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

/// The child: becomes the shell, or returns why it cannot.
fn run(dir: BorrowedFd<'_>, command: &CStr, files: &ProcessorFiles) -> Errno {
    match prepare(dir, files) {
        Ok(()) => execute(command),
        Err(errno) => errno,
    }
}

fn prepare(dir: BorrowedFd<'_>, files: &ProcessorFiles) -> Result<(), Errno> {
    rustix::process::setpgid(None, None)?;
    rustix::process::fchdir(dir)?;
    let ProcessorFiles {
        input,
        output,
        state,
        newstate,
    } = files;
    let mut moved: Vec<(OwnedFd, RawFd)> = Vec::with_capacity(4);
    for (file, number) in [(input, 0), (output, 1), (state, 4), (newstate, 5)] {
        moved.push((
            rustix::io::fcntl_dupfd_cloexec(file.as_fd(), CLEAR)?,
            number,
        ));
    }
    for (file, number) in &moved {
        // SAFETY: the number is not one that an owned descriptor of this child still uses: it only
        // executes or exits from here on.
        if unsafe { libc::dup2(file.as_raw_fd(), *number) } < 0 {
            return Err(last_error());
        }
    }
    Ok(())
}

fn execute(command: &CStr) -> Errno {
    let arguments = [
        c"sh".as_ptr(),
        c"-c".as_ptr(),
        command.as_ptr(),
        std::ptr::null(),
    ];
    // SAFETY: the path, each argument and the array end with a null; all outlive the call.
    unsafe { libc::execv(SHELL.as_ptr(), arguments.as_ptr()) };
    last_error()
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
