//! Services that outlive their supervises.

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use servicedir::status::Status;

use super::service::Service;
use super::{Running, eventually};

/// What supervise leaves behind becomes a child of this process, as it becomes svscan's.
pub fn be_the_subreaper() {
    let this = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(this)).unwrap();
}

/// Reaps an orphan, as svscan does.
#[track_caller]
pub fn reap(pid: i32) {
    eventually("the end of an orphan", || {
        match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
            Ok(seen) if seen.pid().is_some() => Ok(()),
            seen => Err(seen),
        }
    });
}

/// Waits until this supervise writes the status.
#[track_caller]
pub fn taken_over(service: &Service, supervise: &Running) -> Status {
    service.until("a status of the new supervise", |_, record| {
        record.supervise.map(|pid| pid.as_raw_nonzero().get()) == Some(supervise.pid())
    })
}

/// Kills a supervise, and starts the next one.
#[track_caller]
pub fn replace(service: &Service, mut old: Running) -> (Running, Status) {
    old.signal(libc::SIGKILL);
    old.ended();
    let new = service.supervise();
    let status = taken_over(service, &new);
    (new, status)
}

/// A service that counts its starts, and holds a lock that a second instance would not get.
pub fn alone(name: &str) -> Service {
    Service::new(name)
        .script(
            "run",
            "exec 9>>lock; flock -n 9 || { echo second >>faults; exit 1; }
             echo $$ >>starts; exec sleep 1000",
        )
        .file("options/startsecs", "0")
        .file("options/backoff", "constant 10ms")
}
