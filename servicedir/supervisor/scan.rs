//! The services of a scan directory, and the svscan that keeps it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use super::process::Process;
use crate::layout::{self, Layout, OK, RUN, instance_of};

/// The scan directory that clients mean: `$SVDIR`, else `/service`.
#[must_use]
pub fn directory() -> PathBuf {
    layout::scan_directory()
}

/// The services of a scan directory, sorted by group, then by name, as `getAllProcessInfo` sorts them.
/// Log services are not among them.
///
/// # Errors
/// The directory cannot be read.
pub fn processes(scan: &Path) -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir(scan)? {
        let path = scan.join(entry?.file_name());
        if is_service(&path)
            && let Ok(process) = Process::at(&path)
        {
            processes.push(process);
        }
    }
    processes.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    Ok(processes)
}

/// The services in the order in which Supervisor starts and stops all: by group priority, in a group by
/// priority. A group's priority is the lowest of its services'.
pub fn by_priority(processes: &mut [Process]) {
    let lowest: Vec<(String, i32)> = processes
        .iter()
        .map(|process| (process.group.clone(), process.priority))
        .collect();
    let group_priority = |group: &str| {
        lowest
            .iter()
            .filter(|(name, _)| name == group)
            .map(|(_, priority)| *priority)
            .min()
    };
    processes.sort_by_cached_key(|process| {
        (
            group_priority(&process.group),
            process.group.clone(),
            process.priority,
            process.name.clone(),
        )
    });
}

/// Whether the name at `path` is that of a service: a directory with a `run`, or with the state of a
/// supervise that goes on without one, whose name neither begins with a dot nor ends in `@` (a template).
#[must_use]
pub fn is_service(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let template = name.ends_with(b"@") && instance_of(path).is_none();
    let has_state = || Layout::of(path).is_ok_and(|layout| layout.state_file(OK).exists());
    !name.starts_with(b".") && !template && (path.join(RUN).exists() || has_state())
}

/// The file in the scan directory that svscan holds locked.
const SVSCAN_LOCK: &str = ".svscan.lock";

/// The pid of the svscan that keeps the directory: the process that holds the lock of `.svscan.lock`, or, in an
/// earlier version, of the directory itself.
///
/// Who holds it is read from `/proc/locks`; where the file system shows another device there than
/// stat(2) does (overlayfs), the inode and the program's name must do.
#[must_use]
pub fn svscan(scan: &Path) -> Option<Pid> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    holder_of(&locks, &scan.join(SVSCAN_LOCK)).or_else(|| holder_of(&locks, scan))
}

/// The process that holds the lock of the file at `path`, among the lines of `/proc/locks`.
fn holder_of(locks: &str, path: &Path) -> Option<Pid> {
    let meta = fs::metadata(path).ok()?;
    let inode = meta.ino().to_string();
    let device = meta.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let exact = format!("{major:02x}:{minor:02x}");
    let holders: Vec<(bool, Pid)> = locks
        .lines()
        .filter_map(|line| holder(line, &inode, &exact))
        .collect();
    let by_device = holders.iter().find(|(same_device, _)| *same_device);
    let by_name = || holders.iter().find(|(_, pid)| is_svscan(*pid));
    by_device.or_else(by_name).map(|(_, pid)| *pid)
}

/// The pid of a line of `/proc/locks` with that inode, and whether the device is the same:
/// `1: FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF`.
fn holder(line: &str, inode: &str, device: &str) -> Option<(bool, Pid)> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next() != Some("FLOCK") {
        return None;
    }
    let mut words = words.skip(2);
    let pid = words.next()?.parse().ok().and_then(Pid::from_raw)?;
    let (on, number) = words.next()?.rsplit_once(':')?;
    (number == inode).then_some((on == device, pid))
}

fn is_svscan(pid: Pid) -> bool {
    let name = fs::read(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    name.is_ok_and(|name| {
        let name = OsStr::from_bytes(name.trim_ascii());
        name == "svscan" || name == "runsvdir"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_found_by_inode_and_device() {
        let line = "12: FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF";
        let pid = Pid::from_raw(812).unwrap();
        assert_eq!(holder(line, "4711", "08:01"), Some((true, pid)));
        assert_eq!(holder(line, "4711", "00:2f"), Some((false, pid)));
        assert_eq!(holder(line, "711", "08:01"), None);
        let other = "12: POSIX  ADVISORY  WRITE 812 08:01:4711 0 EOF";
        assert_eq!(holder(other, "4711", "08:01"), None);
        let blocked = "12: -> FLOCK  ADVISORY  WRITE 812 08:01:4711 0 EOF";
        assert_eq!(holder(blocked, "4711", "08:01"), None);
    }

    #[test]
    fn services_are_sorted_by_group_and_started_by_priority() {
        let scan = tempfile::tempdir().unwrap();
        let service = |name: &str, options: &[(&str, &str)]| {
            let dir = scan.path().join(name);
            fs::create_dir_all(dir.join("options")).unwrap();
            fs::write(dir.join("run"), "").unwrap();
            for (option, text) in options {
                fs::write(dir.join("options").join(option), text).unwrap();
            }
        };
        service("web", &[("priority", "10")]);
        service("b", &[("group", "jobs")]);
        service("c", &[("group", "jobs"), ("priority", "5")]);
        service("all:web", &[]);
        service(".hidden", &[]);
        service("template@", &[]);
        fs::create_dir(scan.path().join("no-run")).unwrap();
        let names = |processes: &[Process]| -> Vec<String> {
            processes.iter().map(Process::namespec).collect()
        };
        let mut processes = processes(scan.path()).unwrap();
        assert_eq!(names(&processes), ["all:web", "jobs:b", "jobs:c", "web"]);
        by_priority(&mut processes);
        assert_eq!(names(&processes), ["jobs:c", "jobs:b", "web", "all:web"]);
    }
}
