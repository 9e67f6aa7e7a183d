//! The words of daemontools for an errno: its `svstat` and `svok` print them, and scripts read them.

use rustix::io::Errno;
use servicedir::report::Why;
use servicedir::trust::Refused;

/// Why a file was not opened or read; what daemontools never asks about, in this suite's words.
pub(crate) fn refused(refused: Refused) -> String {
    match refused.errno() {
        Some(errno) => words(errno),
        None => refused.to_string(),
    }
}

/// What looking at files may fail with, in daemontools' words; any other errno in the system's.
pub(crate) fn words(errno: Errno) -> String {
    let known = match errno {
        Errno::PERM => "permission denied",
        Errno::NOENT => "file does not exist",
        Errno::INTR => "interrupted system call",
        Errno::IO => "input/output error",
        Errno::NXIO => "device not configured",
        Errno::AGAIN => "temporary failure",
        Errno::NOMEM => "out of memory",
        Errno::ACCESS => "access denied",
        Errno::BUSY => "device busy",
        Errno::NODEV => "device does not support operation",
        Errno::NOTDIR => "not a directory",
        Errno::ISDIR => "is a directory",
        Errno::INVAL => "invalid argument",
        Errno::NFILE => "system cannot open more files",
        Errno::MFILE => "process cannot open more files",
        Errno::TXTBSY => "text busy",
        Errno::NOSPC => "out of disk space",
        Errno::ROFS => "read-only file system",
        Errno::NAMETOOLONG => "file name too long",
        Errno::LOOP => "symbolic link loop",
        Errno::TIMEDOUT => "timed out",
        Errno::HOSTDOWN => "host down",
        Errno::STALE => "stale NFS file handle",
        Errno::DQUOT => "disk quota exceeded",
        other => return Why::from(other).to_string(),
    };
    known.to_owned()
}
