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

/// The services in `.available/`; none where there is no such folder.
fn available(scan: &Path) -> Vec<Process> {
    scan::processes(&scan.join(AVAILABLE)).unwrap_or_default()
}

/// Compares the definitions with what is in use.
///
/// # Errors
/// The scan directory cannot be read.
pub fn changes(scan: &Path) -> io::Result<Changes> {
    let mut groups: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    for definition in definitions(scan)? {
        let Definition { process, in_use } = definition;
        let group = groups.entry(process.group.clone()).or_default();
        group.0 |= in_use;
        group.1 |= !in_use || is_changed(&process);
    }
    let gone = gone(scan)?;
    let pick = |wanted: (bool, bool)| {
        groups
            .iter()
            .filter(|(name, state)| **state == wanted && !gone.contains(*name))
            .map(|(name, _)| name.clone())
            .collect()
    };
    Ok(Changes {
        added: pick((false, true)),
        changed: pick((true, true)),
        removed: gone.into_iter().collect(),
    })
}

/// The groups of which links lead to definitions that are gone. What group such a service was in is not
/// known any more: its name must do.
fn gone(scan: &Path) -> io::Result<BTreeSet<String>> {
    let mut gone = BTreeSet::new();
    for entry in fs::read_dir(scan)? {
        let path = scan.join(entry?.file_name());
        if is_dangling(&path) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            gone.insert(super::names::split(&name).group.to_owned());
        }
    }
    Ok(gone)
}

fn is_dangling(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target.starts_with(AVAILABLE)) && !path.exists()
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
    fn a_definition_that_is_gone_is_told_by_its_link() {
        let scratch = tempfile::tempdir().unwrap();
        let scan = scratch.path();
        symlink(".available/old", scan.join("old")).unwrap();
        symlink("elsewhere", scan.join("not-ours")).unwrap();
        assert_eq!(changes(scan).unwrap().removed, ["old"]);
    }
}
