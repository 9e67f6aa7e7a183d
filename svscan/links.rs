//! The links that a path goes through.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// How many links a path may go through (path_resolution(7)).
const MAX: usize = 40;

/// Every entry that decides where `path`, an absolute one, leads: each symbolic link on the way, in
/// the folder without links that holds it, and the target itself, or the first entry that is missing.
pub(crate) fn entries_on_the_way(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut entries = Vec::new();
    let mut folder = PathBuf::from("/");
    let mut left: VecDeque<OsString> = components(path).collect();
    let mut links = 0;
    while let Some(name) = left.pop_front() {
        if name == ".." {
            folder.pop();
            continue;
        }
        let path = folder.join(&name);
        match fs::read_link(&path) {
            Ok(target) => {
                links += 1;
                if links > MAX {
                    return entries;
                }
                entries.push((folder.clone(), name));
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                }
                for component in components(&target).collect::<Vec<_>>().into_iter().rev() {
                    left.push_front(component);
                }
            }
            Err(_) if left.is_empty() || fs::symlink_metadata(&path).is_err() => {
                entries.push((folder, name));
                return entries;
            }
            Err(_) => folder = path,
        }
    }
    entries
}

fn components(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// The table of mounts: it polls with PRI when one is made or taken away, which inotify does not
/// report. None where /proc is not mounted.
pub(crate) fn mounts() -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/self/mountinfo", flags, Mode::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_link_in_mid_path_counts_and_what_is_missing() {
        let scratch = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(scratch.path()).unwrap();
        fs::create_dir_all(root.join("releases/1/web")).unwrap();
        symlink("releases/1", root.join("current")).unwrap();
        symlink("../current/web", root.join("releases/link")).unwrap();
        let names = |path: &str| -> Vec<(PathBuf, String)> {
            let entries = entries_on_the_way(&root.join(path)).into_iter();
            let inside = entries.filter_map(|(folder, name)| {
                let folder = folder.strip_prefix(&root).ok()?.to_path_buf();
                Some((folder, name.into_string().ok()?))
            });
            inside.collect()
        };
        let entry = |folder: &str, name: &str| (PathBuf::from(folder), name.to_owned());
        assert_eq!(
            names("releases/link"),
            [
                entry("releases", "link"),
                entry("", "current"),
                entry("releases/1", "web")
            ]
        );
        assert_eq!(
            names("current/gone/deep"),
            [entry("", "current"), entry("releases/1", "gone")]
        );
        symlink("loop", root.join("loop")).unwrap();
        assert!(names("loop").len() <= MAX);
    }
}
