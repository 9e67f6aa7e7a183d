//! Starting programs: the fork, what the child does before it becomes the program, and the go-ahead
//! that `run` waits for. The process has one thread, so that the child may use the library freely.
#![expect(unsafe_code, reason = "fork, dup2 and _exit have no safe form")]

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use nix::sys::signal::SigSet;
use nix::unistd::ForkResult;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::Pid;
use servicedir::layout::Layout;
use servicedir::options::Options;
use servicedir::report::Why;
use servicedir::trust::is_passing;

use super::descriptors::close_all_but;
use super::go_ahead::Held;
use super::{context, inherited};
use crate::message::{Message, REPORTER};

/// The exit code of a child that could not become its program: temporary failure, as daemontools.
const NOT_EXECUTED: i32 = 111;

/// What a program is started with.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    /// Its path from the service directory, `run`.
    pub(crate) file: &'a str,
    /// The name that it is given, `./run`, and its arguments.
    pub(crate) arguments: Vec<CString>,
    pub(crate) options: &'a Options,
    pub(crate) layout: &'a Layout,
    /// Variables that only this program gets.
    pub(crate) granted: Vec<(&'static str, OsString)>,
    /// The umask that supervise was started with.
    pub(crate) umask: Mode,
    /// Its stdout goes nowhere.
    pub(crate) silent: bool,
}

/// What only `run` has.
#[derive(Debug)]
pub(crate) struct RunContext {
    /// A pipe's end, and the number that it is to have (`ready: fd N`).
    pub(crate) ready: Option<(OwnedFd, RawFd)>,
    /// Stdout, and stderr, are pipes to a log service.
    pub(crate) logged: [bool; 2],
}

/// Whether the file is there and may be executed.
///
/// # Errors
/// The system failed, which says nothing about the file (`ENOMEM`, `EIO` …).
pub(crate) fn is_executable(file: &str) -> io::Result<bool> {
    let known = |called: rustix::io::Result<bool>| match called {
        Err(errno) if is_passing(errno) => Err(errno),
        called => Ok(called.unwrap_or(false)),
    };
    let access = || rustix::fs::accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS);
    let is_file = || {
        let mode = rustix::fs::stat(file)?.st_mode;
        Ok(FileType::from_raw_mode(mode) == FileType::RegularFile)
    };
    Ok(known(retry_on_intr(access).map(|()| true))? && known(retry_on_intr(is_file))?)
}

/// Forks a `run` that waits for its go-ahead.
///
/// # Errors
/// The system has no process or no descriptor left.
pub(crate) fn run(program: &Program<'_>, context: RunContext) -> io::Result<(Pid, Held)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let ready = context.ready.as_ref().map(|(end, _)| end.as_raw_fd());
    let kept: Vec<RawFd> = ready.into_iter().chain([theirs.as_raw_fd()]).collect();
    match fork(&kept)? {
        ForkResult::Parent { child } => Ok((parent_pid(child)?, Held::new(ours))),
        ForkResult::Child => {
            let theirs = match &context.ready {
                Some((_, number)) => out_of_the_way(theirs, *number),
                None => theirs,
            };
            let (what, errno) = become_run(program, context, &theirs);
            drop((&theirs).write_all(&[&errno.to_le_bytes(), what.as_bytes()].concat()));
            leave()
        }
    }
}

/// Starts a program beside the service; if it cannot be executed, the child says so and exits 111.
///
/// # Errors
/// The system has no process left.
pub(crate) fn beside(program: &Program<'_>, shown: &std::path::Path) -> io::Result<Pid> {
    match fork(&[])? {
        ForkResult::Parent { child } => parent_pid(child),
        ForkResult::Child => {
            rustix::process::umask(program.umask);
            let errno = execute(program, &Path::Relative);
            REPORTER.warning(Message::NotExecuted {
                path: shown.to_path_buf(),
                why: reason(&Path::Relative, program.file, errno),
            });
            leave()
        }
    }
}

/// Where the program's file is sought.
enum Path {
    /// From the working directory, which is the service directory.
    Relative,
    /// In this directory, because the working directory is another.
    In(std::path::PathBuf),
}

/// All that the child of a `run` does: it returns only when that failed, with what and why.
fn become_run(program: &Program<'_>, run: RunContext, line: &UnixStream) -> (String, i32) {
    let mut go = [0];
    if !matches!((&mut &*line).read(&mut go), Ok(1)) {
        // The supervise is gone: it may not know of this run, so there must be none.
        leave();
    }
    let failed = |what: &str, errno: Errno| {
        (
            format!("{what}: {}", Why::from(errno)),
            errno.raw_os_error(),
        )
    };
    let path = match &program.options.directory {
        None => Path::Relative,
        Some(_) => match std::env::current_dir() {
            Ok(dir) => Path::In(dir),
            Err(error) => {
                return (
                    "unable to find the service directory".to_owned(),
                    Why::from(error).0,
                );
            }
        },
    };
    for (descriptor, _) in (1..).zip(run.logged).filter(|(_, logged)| *logged) {
        reopen_for_both(descriptor);
    }
    if program.options.redirect_stderr
        && let Err(errno) = rustix::stdio::dup2_stderr(rustix::stdio::stdout())
    {
        return failed("unable to redirect stderr", errno);
    }
    if let Some((end, number)) = run.ready
        && let Err(errno) = place(end, number)
    {
        return failed("unable to set up the readiness descriptor", errno);
    }
    rustix::process::umask(program.umask);
    if let Err(refused) = context::enter(program.options) {
        return (refused.to_string(), refused.errno);
    }
    let errno = execute(program, &path);
    (
        format!(
            "unable to start {}: {}",
            program.file,
            reason(&path, program.file, errno)
        ),
        errno.raw_os_error(),
    )
}

/// Why execve(2) failed, where its errno alone would mislead: a file that is there is not found.
fn reason(path: &Path, file: &str, errno: Errno) -> String {
    let file = match path {
        Path::Relative => file.into(),
        Path::In(dir) => dir.join(file),
    };
    match (errno, std::fs::metadata(file)) {
        (Errno::NOENT, Ok(_)) => "its interpreter does not exist".to_owned(),
        (Errno::ACCESS, Ok(meta)) if meta.is_dir() => Why::from(Errno::ISDIR).to_string(),
        (_, _) => Why::from(errno).to_string(),
    }
}

/// The log pipe, opened for reading too: as long as the service lives, its pipe has a reader, and no
/// death of a logger or a supervise can break it. Without /proc it stays as it is.
fn reopen_for_both(descriptor: RawFd) {
    let path = format!("/proc/self/fd/{descriptor}");
    let Ok(pipe) = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) else {
        return;
    };
    let placed = if descriptor == 1 {
        rustix::stdio::dup2_stdout(pipe)
    } else {
        rustix::stdio::dup2_stderr(pipe)
    };
    placed.ok();
}

/// The line to supervise, on a descriptor that is not the one that the service is to have.
fn out_of_the_way(line: UnixStream, number: RawFd) -> UnixStream {
    if line.as_raw_fd() != number {
        return line;
    }
    // The number itself is not given, since the line still has it.
    match rustix::io::fcntl_dupfd_cloexec(&line, 3) {
        Ok(moved) => moved.into(),
        Err(_) => line,
    }
}

/// Gives a descriptor its number.
fn place(end: OwnedFd, number: RawFd) -> rustix::io::Result<()> {
    if end.as_raw_fd() == number {
        return rustix::io::fcntl_setfd(&end, rustix::io::FdFlags::empty())
            .map(|()| std::mem::forget(end));
    }
    // SAFETY: the number is free, or a descriptor that nobody in this child uses any more.
    let placed = unsafe { libc::dup2(end.as_raw_fd(), number) };
    if placed == number {
        Ok(())
    } else {
        Err(Errno::BADF)
    }
}

/// Becomes the program; returns only if that failed.
fn execute(program: &Program<'_>, path: &Path) -> Errno {
    if program.silent
        && let Ok(null) =
            rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
    {
        rustix::stdio::dup2_stdout(null).ok();
    }
    inherited::change_environment(context::names(program.layout));
    inherited::change_environment(context::variables(program.options, &program.granted));
    let absolute = match path {
        Path::Relative => None,
        Path::In(dir) => Some(c_string(dir.join(program.file).as_os_str())),
    };
    let Some(file) = absolute.as_ref().or(program.arguments.first()) else {
        return Errno::INVAL;
    };
    match nix::unistd::execv(file, &program.arguments) {
        Ok(never) => match never {},
        Err(errno) => Errno::from_raw_os_error(errno as i32),
    }
}

/// A C string of a path or an argument; what follows a NUL, which none has, is cut off.
pub(crate) fn c_string(text: &OsStr) -> CString {
    let bytes = text.as_bytes();
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    CString::new(bytes.get(..end).unwrap_or_default()).unwrap_or_default()
}

/// Forks. The child has a session of its own, default signal dispositions, an empty signal mask, and
/// no descriptors but 0, 1, 2 and those that are kept: above all not the lock, which would outlive
/// its supervise in it.
///
/// What it does before exec(2) is kept short: each page that it touches is copied or mapped for it.
pub(super) fn fork(kept: &[RawFd]) -> io::Result<ForkResult> {
    // SAFETY: the process has one thread, so the child is in no other thread's critical section.
    let forked = unsafe { nix::unistd::fork() };
    if let Ok(ForkResult::Child) = forked {
        // First: should supervise be killed now, its lock is held for no longer than this takes.
        close_all_but(kept);
        rustix::process::setsid().ok();
        SigSet::empty().thread_set_mask().ok();
    }
    forked.map_err(io::Error::from)
}

pub(super) fn parent_pid(child: nix::unistd::Pid) -> io::Result<Pid> {
    Pid::from_raw(child.as_raw()).ok_or(io::ErrorKind::InvalidData.into())
}

/// Ends the child without running anything that belongs to the parent.
pub(super) fn leave() -> ! {
    // SAFETY: always safe: it ends the process.
    unsafe { libc::_exit(NOT_EXECUTED) }
}
