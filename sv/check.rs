//! The script `check` of a service, as runit's `sv` runs it: exit 0 means that the service is available.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use servicedir::layout::CHECK;

/// Runs the script in the service directory, until `deadline` at the longest. True where there is none.
///
/// A script that belongs to another user than root and the caller is not run: its owner would act with
/// the caller's rights.
pub(crate) fn says_available(dir: &Path, deadline: Option<Instant>) -> bool {
    let path = dir.join(CHECK);
    let Ok(meta) = std::fs::metadata(&path) else {
        return true;
    };
    let caller = rustix::process::geteuid().as_raw();
    let executable = meta.is_file() && meta.mode() & 0o111 != 0;
    if !executable || (meta.uid() != 0 && meta.uid() != caller) {
        return true;
    }
    let mut command = Command::new("./check");
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let Ok(mut child) = command.spawn() else {
        return false;
    };
    if !ends_in_time(Pid::from_child(&child), deadline) {
        child.kill().ok();
    }
    child.wait().is_ok_and(|status| status.success())
}

fn ends_in_time(pid: Pid, deadline: Option<Instant>) -> bool {
    // Without a descriptor it is waited for: it is runit's way.
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    loop {
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}
