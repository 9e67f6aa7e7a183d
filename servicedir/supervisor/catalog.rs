//! Definitions and what is in use: the counterpart of Supervisor's configuration and its active groups.
//!
//! Definitions are service directories in `.available/` of the scan directory, which svscan does not
//! look into; `DIR/web -> .available/web` puts one to use. `svimport` writes them there. A service that
//! an administrator made in the scan directory itself is in use, and moves to `.available/` when it is
//! removed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::process::Process;
use super::scan;
use crate::layout::{CHECK, ERRLOG, FINISH, LOCK, LOG, OPTIONS, RUN};
use crate::status::Phase;

/// The folder of definitions in a scan directory.
pub const AVAILABLE: &str = ".available";

/// What a `reloadConfig` finds: groups' names, sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Groups with a definition that are not in use.
    pub added: Vec<String>,
    /// Groups in use of which a file was changed since they were last started.
    pub changed: Vec<String>,
    /// Groups in use whose definition is gone.
    pub removed: Vec<String>,
}

/// A definition, and whether it is in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// The service.
    pub process: Process,
    /// Whether the scan directory has it.
    pub in_use: bool,
}

/// All definitions, in use or not, sorted by the process's name.
///
/// # Errors
/// The scan directory cannot be read.
pub fn definitions(scan: &Path) -> io::Result<Vec<Definition>> {
    let active = scan::processes(scan)?;
    let names: BTreeSet<OsString> = active
        .iter()
        .map(|process| process.layout.name.clone())
        .collect();
    let mut all: Vec<Definition> = active
        .into_iter()
        .map(|process| Definition {
            process,
            in_use: true,
        })
        .collect();
    for process in available(scan) {
        if !names.contains(&process.layout.name) {
            all.push(Definition {
                process,
                in_use: false,
            });
        }
    }
    all.sort_by(|a, b| a.process.name.cmp(&b.process.name));
    Ok(all)
}

/// The services in `.available/` that have a `run`; none where there is no such folder.
fn available(scan: &Path) -> Vec<Process> {
    let mut all = scan::processes(&scan.join(AVAILABLE)).unwrap_or_default();
    all.retain(|process| process.layout.dir.join(RUN).exists());
    all
}

/// What is known of a group while the definitions are compared.
#[derive(Default)]
struct Members {
    /// How many of its services are in use, and how many of those have no `run` any more.
    in_use: usize,
    gone: usize,
    /// A definition that is not in use, or was changed since its service was started.
    differs: bool,
}

/// Compares the definitions with what is in use.
///
/// # Errors
/// The scan directory cannot be read.
pub fn changes(scan: &Path) -> io::Result<Changes> {
    let mut groups: BTreeMap<String, Members> = BTreeMap::new();
    for Definition { process, in_use } in definitions(scan)? {
        let group = groups.entry(process.group.clone()).or_default();
        let gone = !process.layout.dir.join(RUN).exists();
        group.in_use += usize::from(in_use);
        group.gone += usize::from(gone);
        group.differs |= !gone && (!in_use || is_changed(&process));
    }
    for (_, group) in dangling(scan)? {
        let group = groups.entry(group).or_default();
        group.in_use += 1;
        group.gone += 1;
    }
    let mut changes = Changes::default();
    for (name, group) in groups {
        let kind = match group {
            Members { in_use: 0, .. } => &mut changes.added,
            Members {
                in_use,
                gone,
                differs: false,
            } if gone == in_use => &mut changes.removed,
            Members { gone, differs, .. } if differs || gone > 0 => &mut changes.changed,
            Members { .. } => continue,
        };
        kind.push(name);
    }
    Ok(changes)
}

/// The links that lead to no definition any more, each with its group: what `options/group` said is not known,
/// so the name must do.
fn dangling(scan: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(scan)? {
        let path = scan.join(entry?.file_name());
        let ours = fs::read_link(&path).is_ok_and(|target| target.starts_with(AVAILABLE));
        if ours && !path.exists() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let group = super::names::split(&name).group.to_owned();
            found.push((path, group));
        }
    }
    Ok(found)
}

/// Removes the links of a group that lead to no definition any more.
///
/// # Errors
/// A link cannot be removed.
pub fn sweep(scan: &Path, group: &str) -> io::Result<()> {
    dangling(scan)?
        .iter()
        .filter(|(_, of)| of == group)
        .try_for_each(|(link, _)| fs::remove_file(link))
}

/// Whether a file of the definition is newer than what runs: the last start, or, of a service that is
/// down, the start of its supervise, if that was later.
fn is_changed(process: &Process) -> bool {
    let Some(status) = process.status() else {
        return false;
    };
    let started = UNIX_EPOCH
        + Duration::new(
            status.stamp.unix_seconds(),
            status.stamp.nanos().min(999_999_999),
        );
    let supervised = fs::metadata(process.layout.state_file(LOCK))
        .and_then(|meta| meta.modified())
        .unwrap_or(UNIX_EPOCH);
    let since = match status.phase {
        Phase::Run => started,
        Phase::Down | Phase::Finish => started.max(supervised),
    };
    newest(&process.layout.dir).is_some_and(|newest| newest > since)
}

/// When the youngest file of a definition was changed.
fn newest(dir: &Path) -> Option<SystemTime> {
    let mut newest = None;
    for name in [RUN, FINISH, CHECK, OPTIONS] {
        newest = newest.max(newest_below(&dir.join(name)));
    }
    for log in [LOG, ERRLOG] {
        for name in [RUN, "config", OPTIONS] {
            newest = newest.max(newest_below(&dir.join(log).join(name)));
        }
    }
    newest
}

fn newest_below(path: &Path) -> Option<SystemTime> {
    let meta = fs::metadata(path).ok()?;
    let mut newest = meta.modified().ok();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        newest = newest.max(newest_below(&entry.path()));
    }
    newest
}

/// Puts the services of a group to use: a link to each definition. Returns their paths.
///
/// # Errors
/// A link cannot be made.
pub fn activate(scan: &Path, group: &str) -> io::Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    for process in available(scan) {
        let name = &process.layout.name;
        let link = scan.join(name);
        if process.group != group || link.symlink_metadata().is_ok() {
            continue;
        }
        symlink(Path::new(AVAILABLE).join(name), &link)?;
        made.push(link);
    }
    Ok(made)
}

/// Takes one service out of use, and returns where it is now. A link to a definition is removed; any other
/// service becomes a definition.
///
/// # Errors
/// The link cannot be removed, or the directory not moved.
pub fn deactivate(scan: &Path, process: &Process) -> io::Result<PathBuf> {
    let name = &process.layout.name;
    let here = scan.join(name);
    let definition = scan.join(AVAILABLE).join(name);
    let target = fs::read_link(&here).ok();
    if target
        .as_ref()
        .is_some_and(|target| target.starts_with(AVAILABLE))
    {
        fs::remove_file(&here)?;
        return Ok(definition);
    }
    fs::create_dir_all(scan.join(AVAILABLE))?;
    match target {
        // A relative target is relative to the scan directory.
        Some(target) => {
            symlink(scan.join(target), &definition)?;
            fs::remove_file(&here)?;
        }
        None => fs::rename(&here, &definition)?,
    }
    Ok(definition)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(dir: &Path, name: &str, group: Option<&str>) {
        let dir = dir.join(name);
        fs::create_dir_all(dir.join(OPTIONS)).unwrap();
        fs::write(dir.join(RUN), "").unwrap();
        if let Some(group) = group {
            fs::write(dir.join(OPTIONS).join("group"), group).unwrap();
        }
    }

    #[test]
    fn a_definition_is_put_to_use_and_taken_out_again() {
        let scratch = tempfile::tempdir().unwrap();
        let scan = scratch.path();
        let defined = scan.join(AVAILABLE);
        service(&defined, "a", Some("jobs"));
        service(&defined, "b", Some("jobs"));
        service(&defined, "web", None);
        assert_eq!(changes(scan).unwrap().added, ["jobs", "web"]);
        assert_eq!(activate(scan, "jobs").unwrap().len(), 2);
        assert_eq!(changes(scan).unwrap().added, ["web"]);
        let used = scan::processes(scan).unwrap();
        assert_eq!(used.len(), 2);
        for process in &used {
            deactivate(scan, process).unwrap();
        }
        assert_eq!(changes(scan).unwrap().added, ["jobs", "web"]);
    }

    #[test]
    fn a_service_of_the_administrator_becomes_a_definition() {
        let scratch = tempfile::tempdir().unwrap();
        let scan = scratch.path();
        service(scan, "own", None);
        let process = Process::at(&scan.join("own")).unwrap();
        let moved = deactivate(scan, &process).unwrap();
        assert!(moved.join(RUN).exists());
        assert_eq!(changes(scan).unwrap().added, ["own"]);
    }

    #[test]
    fn a_group_is_gone_when_all_its_services_are_and_changed_when_some_are() {
        let scratch = tempfile::tempdir().unwrap();
        let scan = scratch.path();
        service(&scan.join(AVAILABLE), "a", Some("jobs"));
        service(&scan.join(AVAILABLE), "b", Some("jobs"));
        activate(scan, "jobs").unwrap();
        let without_run = |name: &str| {
            let dir = scan.join(AVAILABLE).join(name);
            fs::create_dir_all(dir.join("supervise")).unwrap();
            fs::write(dir.join("supervise/ok"), "").unwrap();
            fs::remove_file(dir.join(RUN)).unwrap();
        };
        without_run("a");
        assert_eq!(changes(scan).unwrap().changed, ["jobs"]);
        without_run("b");
        assert_eq!(changes(scan).unwrap().removed, ["jobs"]);
    }

    #[test]
    fn a_definition_that_is_gone_is_told_by_its_link() {
        let scratch = tempfile::tempdir().unwrap();
        let scan = scratch.path();
        symlink(".available/old", scan.join("old")).unwrap();
        symlink("elsewhere", scan.join("not-ours")).unwrap();
        assert_eq!(changes(scan).unwrap().removed, ["old"]);
        sweep(scan, "old").unwrap();
        assert_eq!(changes(scan).unwrap(), Changes::default());
    }
}
