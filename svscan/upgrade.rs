//! `svscan --upgrade DIR`: replaces svscan and every supervise of a scan directory, and no service.
//!
//! The svscan of the directory executes its program again on USR2; then each supervise detaches itself
//! and is followed by a new one. A new supervise, or svscan, is known by its lock.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use servicedir::control::Control;
use servicedir::layout::{CONTROL, Layout, instance_of, is_template};
use servicedir::report::{Failure, Why, exit, print};
use servicedir::state_folder::StateFolder;

use crate::directories::{layout_at, logs_at};
use crate::lock_file;
use crate::message::{Message, Messages};
use crate::process::{Supervised, recorded, supervise_of};
use crate::scan::{Id, log_name};

/// How long all of it may take. A svscan with thousands of services needs some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the locks are looked at meanwhile.
const STEP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A supervise that is to be replaced.
#[derive(Debug)]
struct Former {
    name: OsString,
    layout: Layout,
    pid: Pid,
}

/// Replaces svscan and the supervises of the scan directory at `dir`.
///
/// # Errors
/// No svscan runs on it, or it cannot be signalled, or does not come back.
pub(crate) fn upgrade(dir: &Path, messages: &Messages) -> Result<u8, Failure> {
    let unable = |errno: rustix::io::Errno| Message::UnableToScan(dir.into(), Why::from(errno));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(dir, flags, Mode::empty()).map_err(unable)?;
    let deadline = Instant::now() + PATIENCE;
    let Some((svscan, life)) = lock_file::holder(&folder).map_err(unable)? else {
        let message = Message::NoSvscan(dir.into());
        return Err(Failure::new(exit::USAGE, message));
    };
    kill_process(svscan, Signal::USR2)
        .map_err(|errno| Message::UnableToSignal(svscan, Why::from(errno)))?;
    let is_new = || matches!(lock_file::holder(&folder), Ok(Some((_, now))) if now != life);
    if !await_until(deadline, is_new) {
        let message = Message::NotReplaced("svscan".into());
        return Err(Failure::new(exit::TIMED_OUT, message));
    }
    let supervises = supervises(dir, &folder, messages).map_err(unable)?;
    let code = replace(&supervises, deadline, messages);
    print(format_args!(
        "replaced svscan and {} supervises; no service was touched\n",
        supervises.len()
    ))?;
    Ok(code)
}

/// Lets each supervise be followed by a new one; the exit code.
fn replace(supervises: &[Former], deadline: Instant, messages: &Messages) -> u8 {
    let detach = Control::Detach.byte().unwrap_or_default();
    let mut code = exit::DONE;
    for former in supervises {
        let control = StateFolder::open(&former.layout).and_then(|it| it.open_fifo(CONTROL));
        if let Err(refused) =
            control.and_then(|control| Ok(rustix::io::write(&control, &[detach]).map(drop)?))
        {
            messages.warn(&Message::UnableToDetach(former.name.clone(), refused));
            code = exit::SYSTEM;
        }
    }
    for former in supervises {
        let is_new = || matches!(supervise_of(&former.layout), Ok(Supervised::By(now)) if now.pid != former.pid);
        if code != exit::SYSTEM && !await_until(deadline, is_new) {
            messages.warn(&Message::NotReplaced(former.name.clone()));
            code = exit::TIMED_OUT;
        }
    }
    code
}

fn await_until(deadline: Instant, condition: impl Fn() -> bool) -> bool {
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        rustix::event::poll(&mut [], Some(&STEP)).ok();
    }
}

/// The supervises of all services of the scan directory and of their logs. One of another suite does
/// not know how to detach itself, and is left as it is.
fn supervises(
    dir: &Path,
    folder: &OwnedFd,
    messages: &Messages,
) -> Result<Vec<Former>, rustix::io::Errno> {
    let mut paths: Vec<(PathBuf, Id)> = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        let path = dir.join(name);
        let Ok(stat) = rustix::fs::stat(&path) else {
            continue;
        };
        if name.as_bytes().starts_with(b".") || is_template(name) || !path.is_dir() {
            continue;
        }
        let id = Id {
            dev: stat.st_dev,
            ino: stat.st_ino,
            instance: instance_of(&path),
        };
        let logs = logs_at(&path, &id).map_err(|(_, errno)| errno)?;
        for (stream, log) in logs.each() {
            let log_path = log_name(path.as_os_str(), stream, log);
            paths.push((log_path.into(), log.clone()));
        }
        paths.push((path, id));
    }
    paths.sort();
    paths.dedup_by(|(_, one), (_, other)| one == other);
    let formers = paths.into_iter().filter_map(|(path, id)| {
        let layout = layout_at(&path, &id).ok()?;
        let Ok(Supervised::By(process)) = supervise_of(&layout) else {
            return None;
        };
        let name = path.strip_prefix(dir).unwrap_or(&path).into();
        if recorded(&layout).is_none() {
            messages.warn(&Message::AnotherSuite(name));
            return None;
        }
        Some(Former {
            name,
            layout,
            pid: process.pid,
        })
    });
    Ok(formers.collect())
}
