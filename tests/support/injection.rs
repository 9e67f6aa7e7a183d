//! Every system call of a program fails once, with every error that Linux gives there.
//!
//! A scenario is run once under strace(1), which lists its calls; then once for each call and error, with
//! that one call failing (`strace -e inject`). After each run these must hold: never two instances,
//! every command is obeyed, a program that gave up has written why, and every line is in its log. A program
//! that ends with a message may be started again, as svscan or an init does it.
//!
//! Not injected: the calls of children between fork and exec, and memory that a fault of a page wants.

pub mod scenario;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use super::{Running, Scratch, peer, program};

/// One failing call: which one, the how manieth of its name, and the error.
#[derive(Clone, Debug)]
pub struct Injection {
    pub call: String,
    pub nth: usize,
    pub errno: &'static str,
}

impl std::fmt::Display for Injection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} number {}: {}", self.call, self.nth, self.errno)
    }
}

/// What the program of a scenario runs under.
#[derive(Clone, Debug)]
pub enum Under {
    /// strace, which writes the calls to this file of the scratch folder.
    Trace,
    /// strace, which makes one call fail.
    Failing(Injection),
}

/// The file that a trace is written to.
const TRACE: &str = "trace";

/// A scenario: its name, and what it does and checks. An error says which invariant does not hold.
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Scratch, &Under) -> Result<(), String>,
}

/// The errors that Linux gives for a call that is otherwise right. Errors that a supervisor could not
/// meet there, and calls that cannot fail, are left out.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        "open" | "openat" => &["EMFILE", "ENFILE", "ENOMEM", "EIO", "EINTR"],
        "read" | "pread64" | "readv" => &["EIO", "EINTR"],
        "write" | "pwrite64" | "writev" => &["EIO", "EINTR", "ENOSPC", "ENOMEM"],
        "stat" | "lstat" | "newfstatat" | "fstat" | "statx" | "access" | "faccessat"
        | "faccessat2" | "readlink" | "readlinkat" | "chdir" | "fchdir" => &["ENOMEM", "EIO"],
        "getdents64" => &["EIO", "ENOMEM"],
        "rename" | "renameat" | "renameat2" | "mkdir" | "mkdirat" | "mknod" | "mknodat"
        | "symlink" | "symlinkat" | "link" | "linkat" => &["ENOSPC", "EIO", "ENOMEM"],
        "unlink" | "unlinkat" | "rmdir" | "ftruncate" | "truncate" | "fchmod" | "chmod"
        | "fchmodat" | "fchown" | "fsync" | "fdatasync" => &["EIO", "ENOMEM"],
        "clone" | "clone3" | "fork" | "vfork" => &["EAGAIN", "ENOMEM"],
        "pipe" | "pipe2" | "dup" | "dup2" | "dup3" | "inotify_init1" | "pidfd_open" | "socket"
        | "socketpair" => &["EMFILE", "ENFILE", "ENOMEM"],
        "inotify_add_watch" => &["ENOSPC", "ENOMEM"],
        "poll" | "ppoll" | "wait4" | "waitid" => &["EINTR", "ENOMEM"],
        "flock" | "fcntl" => &["EINTR", "ENOMEM"],
        "sendto" | "sendmsg" | "recvfrom" | "recvmsg" | "bind" => &["ENOMEM", "EINTR"],
        "kill" | "pidfd_send_signal" => &["ENOMEM", "EINTR"],
        "mmap" | "brk" | "mremap" => &["ENOMEM"],
        "setrlimit" | "prlimit64" | "setpgid" | "setpriority" | "prctl" => &["EPERM"],
        _ => &[],
    }
}

/// All injections of a scenario: each call that its trace lists, with each of its errors.
///
/// # Errors
/// The scenario itself fails without an injection.
pub fn injections(scenario: &Scenario) -> Result<Vec<Injection>, String> {
    let scratch = Scratch::new();
    (scenario.run)(&scratch, &Under::Trace)
        .map_err(|fault| format!("{}: without an injection: {fault}", scenario.name))?;
    let trace = scratch.read(TRACE);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for name in trace.lines().filter_map(called) {
        let nth = seen.entry(name).or_insert(0);
        *nth += 1;
        found.extend(errors(name).iter().map(|errno| Injection {
            call: name.to_owned(),
            nth: *nth,
            errno,
        }));
    }
    Ok(found)
}

/// The name of the call in a line of a trace.
fn called(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('(')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
}

/// Runs a scenario with one call failing.
///
/// # Errors
/// What does not hold after it, with the messages of all programs.
pub fn inject(scenario: &Scenario, injection: &Injection) -> Result<(), String> {
    let scratch = Scratch::new();
    (scenario.run)(&scratch, &Under::Failing(injection.clone())).map_err(|fault| {
        let messages = scratch.read("stderr");
        format!("{}: {injection}: {fault}\n{messages}", scenario.name)
    })
}

impl Under {
    /// Whether the failing call is one that asks for memory.
    fn refuses_memory(&self) -> bool {
        matches!(self, Self::Failing(Injection { call, .. })
            if ["brk", "mmap", "mremap"].contains(&call.as_str()))
    }

    /// A command that runs a program of the suite under strace. The process that the caller starts is the
    /// program itself: `-D` puts strace aside.
    fn command(&self, scratch: &Scratch, name: &str) -> Command {
        let mut command = Command::new(peer("strace"));
        command.args(["-D", "-q", "-o"]);
        match self {
            Self::Trace => command.arg(scratch.path().join(TRACE)),
            Self::Failing(Injection { call, nth, errno }) => command.args([
                "/dev/null",
                "-e",
                &format!("trace={call}"),
                "-e",
                &format!("inject={call}:error={errno}:when={nth}"),
            ]),
        };
        command.arg(program(name));
        prepare(scratch, &mut command);
        command
    }
}

/// A command that runs in the scratch folder, and whose messages are kept.
fn prepare(scratch: &Scratch, command: &mut Command) {
    let stderr = fs::File::options()
        .create(true)
        .append(true)
        .open(scratch.path().join("stderr"));
    command
        .current_dir(scratch.path())
        .env_remove("SUPERVISEDIR")
        .env_remove("NOTIFY_SOCKET")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(stderr.unwrap());
}

/// A program of the suite without strace.
fn plain(scratch: &Scratch, name: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(program(name));
    prepare(scratch, &mut command);
    Running::start(command.args(arguments))
}
