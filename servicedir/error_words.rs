//! The words of daemontools and runit for an errno: their programs print them, and scripts read them.
//!
//! Both have the same table; Debian's packages printed these words for each errno that strace(1)
//! injected. Programs that are not named after one of theirs print the words of [`Why`] instead.

use std::fmt::{self, Display};

use crate::report::Why;

/// An errno in daemontools' words; one that its table lacks, in the system's (daemontools prints
/// `unknown error` for it).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorWords(pub i32);

impl<T: Into<Why>> From<T> for ErrorWords {
    fn from(error: T) -> Self {
        Self(error.into().0)
    }
}

impl Display for ErrorWords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match words(self.0) {
            Some(words) => out.write_str(words),
            None => write!(out, "{}", Why(self.0)),
        }
    }
}

/// daemontools' words for an errno; `None` for one that it calls an unknown error.
#[must_use]
pub fn words(errno: i32) -> Option<&'static str> {
    let words = match errno {
        libc::EPERM => "permission denied",
        libc::ENOENT => "file does not exist",
        libc::ESRCH => "no such process",
        libc::EINTR => "interrupted system call",
        libc::EIO => "input/output error",
        libc::ENXIO => "device not configured",
        libc::E2BIG => "argument list too long",
        libc::ENOEXEC => "exec format error",
        libc::EBADF => "file descriptor not open",
        libc::ECHILD => "no child processes",
        libc::EAGAIN => "temporary failure",
        libc::ENOMEM => "out of memory",
        libc::EACCES => "access denied",
        libc::EFAULT => "bad address",
        libc::ENOTBLK => "not a block device",
        libc::EBUSY => "device busy",
        libc::EEXIST => "file already exists",
        libc::EXDEV => "cross-device link",
        libc::ENODEV => "device does not support operation",
        libc::ENOTDIR => "not a directory",
        libc::EISDIR => "is a directory",
        libc::EINVAL => "invalid argument",
        libc::ENFILE => "system cannot open more files",
        libc::EMFILE => "process cannot open more files",
        libc::ENOTTY => "not a tty",
        libc::ETXTBSY => "text busy",
        libc::EFBIG => "file too big",
        libc::ENOSPC => "out of disk space",
        libc::ESPIPE => "unseekable descriptor",
        libc::EROFS => "read-only file system",
        libc::EMLINK => "too many links",
        libc::EPIPE => "broken pipe",
        libc::EDOM => "input out of range",
        libc::ERANGE => "output out of range",
        libc::EDEADLK => "operation would cause deadlock",
        libc::ENAMETOOLONG => "file name too long",
        libc::ENOLCK => "no locks available",
        libc::ENOSYS => "system call not available",
        libc::ENOTEMPTY => "directory not empty",
        libc::ELOOP => "symbolic link loop",
        libc::ENOMSG => "no message of desired type",
        libc::EIDRM => "identifier removed",
        libc::ENOSTR => "not a stream device",
        libc::ETIME => "timer expired",
        libc::ENOSR => "out of stream resources",
        libc::ENONET => "machine not on network",
        libc::EREMOTE => "too many levels of remote in path",
        libc::ENOLINK => "link severed",
        libc::EADV => "advertise error",
        libc::ESRMNT => "srmount error",
        libc::ECOMM => "communication error",
        libc::EPROTO => "protocol error",
        libc::EMULTIHOP => "multihop attempted",
        libc::EBADMSG => "bad message type",
        libc::EREMCHG => "remote address changed",
        libc::EUSERS => "too many users",
        libc::ENOTSOCK => "not a socket",
        libc::EDESTADDRREQ => "destination address required",
        libc::EMSGSIZE => "message too long",
        libc::EPROTOTYPE => "incorrect protocol type",
        libc::ENOPROTOOPT => "protocol not available",
        libc::EPROTONOSUPPORT => "protocol not supported",
        libc::ESOCKTNOSUPPORT => "socket type not supported",
        libc::EOPNOTSUPP => "operation not supported",
        libc::EPFNOSUPPORT => "protocol family not supported",
        libc::EAFNOSUPPORT => "address family not supported",
        libc::EADDRINUSE => "address already used",
        libc::EADDRNOTAVAIL => "address not available",
        libc::ENETDOWN => "network down",
        libc::ENETUNREACH => "network unreachable",
        libc::ENETRESET => "network reset",
        libc::ECONNABORTED => "connection aborted",
        libc::ECONNRESET => "connection reset",
        libc::ENOBUFS => "out of buffer space",
        libc::EISCONN => "already connected",
        libc::ENOTCONN => "not connected",
        libc::ESHUTDOWN => "socket shut down",
        libc::ETOOMANYREFS => "too many references",
        libc::ETIMEDOUT => "timed out",
        libc::ECONNREFUSED => "connection refused",
        libc::EHOSTDOWN => "host down",
        libc::EHOSTUNREACH => "host unreachable",
        libc::EALREADY => "operation already in progress",
        libc::EINPROGRESS => "operation in progress",
        libc::ESTALE => "stale NFS file handle",
        libc::EDQUOT => "disk quota exceeded",
        _ => return None,
    };
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_daemontools_words_and_else_the_systems() {
        assert_eq!(ErrorWords(libc::EPERM).to_string(), "permission denied");
        assert_eq!(ErrorWords(libc::EACCES).to_string(), "access denied");
        assert_eq!(
            ErrorWords::from(rustix::io::Errno::AGAIN).to_string(),
            "temporary failure"
        );
        assert_eq!(words(libc::ENODATA), None);
        assert_eq!(
            ErrorWords(libc::ENODATA).to_string(),
            Why(libc::ENODATA).to_string()
        );
    }
}
