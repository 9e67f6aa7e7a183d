//! The scan directory on the disk: what is there, and carrying out a plan.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use servicedir::report::Failure;
use servicedir::supervisor::catalog::AVAILABLE;
use servicedir::trust;

use crate::manifest::{self, Manifest};
use crate::plan::{Plan, Step, Written, is_link, service_of};
use crate::tree::{Node, Tree};

/// The longest file that is compared, in bytes: what an import writes is far shorter.
const LONGEST: usize = 128 * 1024;

/// Reads the manifest; an empty one where there is none.
///
/// # Errors
/// It cannot be read, or is not a manifest: without it, nothing tells what was changed by hand.
pub(crate) fn manifest(scan: &Path) -> Result<Option<Manifest>, Failure> {
    let path = scan.join(manifest::PATH);
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(
            servicedir::report::exit::SYSTEM,
            format_args!("unable to read {}: {why}", path.display()),
        )
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&servicedir::report::Why::from(error))),
    };
    let text = String::from_utf8(bytes).ok();
    match text.as_deref().and_then(Manifest::parse) {
        Some(manifest) => Ok(Some(manifest)),
        None => Err(failed(&"not a manifest of this svimport")),
    }
}

/// What is there under the paths that are wanted or were written, and under the names of their services.
pub(crate) fn found(scan: &Path, wanted: &Tree, before: &Written) -> Tree {
    let paths: BTreeSet<&str> = wanted
        .keys()
        .chain(before.keys())
        .map(String::as_str)
        .collect();
    let services = paths.iter().filter_map(|path| service_of(path));
    let all: BTreeSet<&str> = paths.iter().copied().chain(services).collect();
    all.into_iter()
        .filter_map(|path| Some((path.to_owned(), node(&scan.join(path))?)))
        .collect()
}

fn node(path: &Path) -> Option<Node> {
    let meta = fs::symlink_metadata(path).ok()?;
    if meta.is_symlink() {
        let target = fs::read_link(path).ok()?;
        return Some(Node::Link(target.to_string_lossy().into_owned()));
    }
    let text = trust::read(path, LONGEST)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Some(text.map_or(Node::Folder, |text| Node::File {
        text,
        executable: meta.permissions().mode() & 0o100 != 0,
        secret: false,
    }))
}

/// Carries out a plan: definitions first, then the links that put them to use, then the manifest.
///
/// A new service is made beside its place and renamed, so that nobody meets half of it; a file that changes is
/// replaced whole.
///
/// # Errors
/// The first thing that cannot be done. A later run goes on from there.
pub(crate) fn apply(
    scan: &Path,
    plan: &Plan,
    wanted: &Tree,
    manifest: &Manifest,
) -> Result<(), Failure> {
    make_folders(&scan.join(AVAILABLE))?;
    let (links, files): (Vec<&Step>, Vec<&Step>) =
        plan.steps.iter().partition(|step| is_link(path_of(step)));
    let new = new_services(scan, &files);
    for service in &new {
        make_service(scan, service, wanted)?;
    }
    for step in files.iter().chain(&links) {
        let path = path_of(step);
        if service_of(path).is_some_and(|service| new.contains(service) && !is_link(path)) {
            continue;
        }
        match (step, wanted.get(path)) {
            (Step::Add(_) | Step::Change(_), Some(node)) => write(&scan.join(path), node)?,
            (Step::Remove(_), _) => remove(scan, path)?,
            (Step::Add(_) | Step::Change(_) | Step::Keep { .. }, _) => {}
        }
    }
    write(&scan.join(manifest::PATH), &Node::file(manifest.text()))
}

fn path_of(step: &Step) -> &str {
    match step {
        Step::Add(path) | Step::Change(path) | Step::Remove(path) | Step::Keep { path, .. } => path,
    }
}

/// The services of which nothing is there yet.
fn new_services(scan: &Path, files: &[&Step]) -> BTreeSet<String> {
    files
        .iter()
        .filter(|step| matches!(step, Step::Add(_)))
        .filter_map(|step| service_of(path_of(step)))
        .filter(|service| fs::symlink_metadata(scan.join(AVAILABLE).join(service)).is_err())
        .map(str::to_owned)
        .collect()
}

/// Makes a definition under a hidden name, and renames it.
fn make_service(scan: &Path, service: &str, wanted: &Tree) -> Result<(), Failure> {
    let place = scan.join(AVAILABLE).join(service);
    let beside = scan.join(AVAILABLE).join(format!(".{service}.new"));
    match fs::remove_dir_all(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &beside, error));
        }
        Ok(()) | Err(_) => {}
    }
    let prefix = format!("{AVAILABLE}/{service}/");
    for (path, node) in wanted {
        if let Some(rest) = path.strip_prefix(&prefix) {
            write(&beside.join(rest), node)?;
        }
    }
    fs::rename(&beside, &place).map_err(|error| failed("rename", &beside, error))
}

/// Writes a file or link beside its place, and renames it.
fn write(path: &Path, node: &Node) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folders(folder)?;
    let beside = folder.join(".svimport.new");
    let made = match node {
        Node::Link(target) => {
            drop(fs::remove_file(&beside));
            symlink(target, &beside)
        }
        Node::File { text, .. } => write_file(&beside, text, node.mode()),
        Node::Folder => return make_folders(path),
    };
    made.map_err(|error| failed("write", path, error))?;
    fs::rename(&beside, path).map_err(|error| failed("write", path, error))
}

fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    drop(fs::remove_file(path));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o700)
        .open(path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    // Whatever the umask is: the service's user must be able to run it.
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// Makes a directory and those above it, each of mode 0755 whatever the umask is.
fn make_folders(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        make_folders(parent)?;
    }
    fs::create_dir(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .map_err(|error| failed("make", path, error))
}

/// Removes a file, and the folders that are empty then, up to the service.
fn remove(scan: &Path, path: &str) -> Result<(), Failure> {
    let full = scan.join(path);
    fs::remove_file(&full).map_err(|error| failed("remove", &full, error))?;
    let top = scan.join(AVAILABLE);
    let mut folder = full.parent().map(Path::to_path_buf);
    while let Some(empty) =
        folder.filter(|folder: &PathBuf| folder.starts_with(&top) && *folder != top)
    {
        if fs::remove_dir(&empty).is_err() {
            break;
        }
        folder = empty.parent().map(Path::to_path_buf);
    }
    Ok(())
}

fn failed(verb: &str, path: &Path, error: io::Error) -> Failure {
    Failure::system(format_args!("unable to {verb} {}", path.display()), error)
}
