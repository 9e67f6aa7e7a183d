//! Faults of the system: each errno in the words of the originals, and nothing hangs or grows.

use crate::support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use support::{Scratch, peer, program, stderr};

/// What a loader says and exits with where a system call fails.
fn injected(
    scratch: &Scratch,
    path: &Path,
    call: &str,
    errno: &str,
    words: &[&str],
) -> (Option<i32>, String) {
    let output = Command::new(peer("strace"))
        .current_dir(scratch.path())
        .args(["-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:error={errno}"))
        .arg(path)
        .args(words)
        .output()
        .unwrap();
    (output.status.code(), stderr(&output))
}

/// Each errno that strace can name.
const ERRNOS: &str = "\
EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK \
EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE \
EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM \
ENOSTR ETIME ENOSR ENONET EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EBADMSG EREMCHG \
EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT \
EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET \
ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED \
EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EDQUOT";

#[test]
fn an_errno_has_the_words_of_the_originals() {
    let scratch = Scratch::new();
    for errno in ERRNOS.split_whitespace() {
        let said = |path: &Path| injected(&scratch, path, "flock", errno, &["lock", "true"]);
        assert_eq!(said(program("setlock")), said(&peer("setlock")), "{errno}");
    }
}

#[test]
fn a_step_that_fails_is_named_as_the_originals_name_it() {
    let scratch = Scratch::new();
    scratch.file("env/A", "1");
    for (name, call, words) in [
        ("setuidgid", "setgroups", "nobody true"),
        ("setuidgid", "setgid", "nobody true"),
        ("setuidgid", "setuid", "nobody true"),
        ("chpst", "setgroups", "-u nobody true"),
        ("chpst", "setgid", "-u nobody true"),
        ("chpst", "setuid", "-u nobody true"),
        ("chpst", "chroot", "-/ / true"),
        ("chpst", "setpriority", "-n 5 true"),
        ("chpst", "flock", "-l lock true"),
        ("chpst", "setsid", "-P true"),
        ("pgrphack", "setsid", "true"),
        ("chpst", "chdir", "-e env true"),
        ("envdir", "chdir", "env true"),
        ("chpst", "fchdir", "-e env true"),
        ("envdir", "fchdir", "env true"),
        ("chpst", "getdents64", "-e env true"),
        ("envdir", "getdents64", "env true"),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        for errno in ["EPERM", "ENOMEM", "EIO"] {
            let said = |path: &Path| injected(&scratch, path, call, errno, &words);
            assert_eq!(
                said(program(name)),
                said(&peer(name)),
                "{name} {call} {errno}"
            );
        }
    }
}

#[test]
fn a_limit_that_is_refused_is_an_error() {
    let scratch = Scratch::new();
    for (name, said) in [
        (
            "softlimit",
            "softlimit: fatal: setrlimit failed: permission denied\n",
        ),
        (
            "chpst",
            "chpst: fatal: unable to setrlimit(): permission denied\n",
        ),
    ] {
        let words = ["-t", "100", "true"];
        // Only the call that sets it; the C library of the originals reads one before.
        let strace = |path: &Path| {
            let output = Command::new(peer("strace"))
                .current_dir(scratch.path())
                .args(["-o", "/dev/null", "-e", "trace=prlimit64", "-e"])
                .arg(format!("inject=prlimit64:error=EPERM:when={}", 3))
                .arg(path)
                .args(words)
                .output()
                .unwrap();
            (output.status.code(), stderr(&output))
        };
        let theirs = strace(&peer(name));
        assert_eq!(theirs, (Some(111), said.to_owned()), "{name}");
        let failed = (2..=3)
            .map(|when| {
                let output = Command::new(peer("strace"))
                    .current_dir(scratch.path())
                    .args(["-o", "/dev/null", "-e", "trace=prlimit64", "-e"])
                    .arg(format!("inject=prlimit64:error=EPERM:when={when}"))
                    .arg(program(name))
                    .args(words)
                    .output()
                    .unwrap();
                (output.status.code(), stderr(&output))
            })
            .any(|outcome| outcome == theirs);
        assert!(failed, "{name}");
    }
}

/// A file without an end fills no memory: execve(2) refuses its first part, as it refuses the
/// originals what they have read.
#[test]
fn a_variable_without_an_end_is_refused() {
    let scratch = Scratch::new();
    scratch.file("empty/A", "");
    std::fs::create_dir(scratch.path().join("env")).unwrap();
    symlink("/dev/zero", scratch.path().join("env/ENDLESS")).unwrap();
    let output = Command::new(program("softlimit"))
        .current_dir(scratch.path())
        .args(["-d", "50000000"])
        .arg(program("envdir"))
        .args(["env", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(111));
    assert_eq!(
        stderr(&output),
        "envdir: fatal: unable to run true: argument list too long\n"
    );
}

/// A name from a directory of others cannot forge a line of a log.
#[test]
fn a_name_with_a_newline_stays_one_line() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path().join("env/a\nb")).unwrap();
    let output = Command::new(program("envdir"))
        .current_dir(scratch.path())
        .args(["env", "true"])
        .output()
        .unwrap();
    assert_eq!(
        stderr(&output),
        "envdir: fatal: unable to read env/a\\x0ab: is a directory\n"
    );
}

/// Users that cannot be read are not unknown users.
#[test]
fn users_that_cannot_be_read_are_not_unknown() {
    let scratch = Scratch::new();
    for (name, words, what) in [
        ("setuidgid", "nobody true", "unable to read /etc/passwd"),
        (
            "chpst",
            "-u nobody true",
            "unable to get password/group file entry",
        ),
    ] {
        let output = Command::new(peer("strace"))
            .current_dir(scratch.path())
            .args(["-o", "/dev/null", "-P", "/etc/passwd"])
            .args(["-e", "trace=openat,open"])
            .args(["-e", "inject=openat,open:error=EMFILE"])
            .arg(program(name))
            .args(words.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(111));
        let said = format!("{name}: fatal: {what}: process cannot open more files\n");
        assert_eq!(stderr(&output), said);
    }
}
