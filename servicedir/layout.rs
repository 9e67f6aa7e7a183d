//! The names in a service directory, and where a service keeps its state.
//!
//! The state lives in `supervise/` of the service directory, unless the environment has
//! `SUPERVISEDIR` (as daemontools-encore defines it: a relative value replaces the name `supervise`,
//! an absolute one is the folder that holds the states of all services, each under its service
//! directory's path with `:` for `/`; a `:` in the path itself is written `%3a`).
//!
//! A directory whose name ends in `@` is a *template*. A link `worker@1` to it is an *instance*: a
//! service of its own, whose state lives in `supervise@1/` of the template. Any other link is just
//! another name of its target, whatever it is called.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The service itself, in the foreground.
pub const RUN: &str = "run";
/// What is run after every end of `run`.
pub const FINISH: &str = "finish";
/// If it exists, the service is not started until asked.
pub const DOWN: &str = "down";
/// The service that reads this one's stdout.
pub const LOG: &str = "log";
/// The service that reads this one's stderr.
pub const ERRLOG: &str = "errlog";
/// One file an option.
pub const OPTIONS: &str = "options";
/// The health check.
pub const CHECK: &str = "check";
/// runit's scripts that run in place of signals.
pub const CONTROL_SCRIPTS: &str = "control";

/// In the state directory: locked while a supervise lives; holds its pid as text.
pub const LOCK: &str = "lock";
/// In the state directory: the FIFO of commands.
pub const CONTROL: &str = "control";
/// In the state directory: the FIFO that opens for writing exactly while a supervise lives.
pub const OK: &str = "ok";
/// In the state directory: see [`crate::status`].
pub const STATUS: &str = "status";
/// In the state directory: runit's text file with the pid, empty when down.
pub const PID: &str = "pid";
/// In the state directory: runit's text file with the state in words.
pub const STAT: &str = "stat";
/// In the state directory: the socket of services that say `ready: notify`.
pub const NOTIFY: &str = "notify";

/// In the state directory: see [`crate::journal`].
pub const JOURNAL: &str = "journal";
/// In the state directory: the journal before its last rotation.
pub const JOURNAL_OLD: &str = "journal.old";

/// The variable that moves the state out of the service directory.
pub const SUPERVISEDIR: &str = "SUPERVISEDIR";
/// The variable that names the scan directory for clients.
pub const SVDIR: &str = "SVDIR";
/// The scan directory where `SVDIR` is not set.
pub const DEFAULT_SVDIR: &str = "/service";
/// The scan directory of Debian's packages, for systems that have no [`DEFAULT_SVDIR`].
pub const DEBIAN_SVDIR: &str = "/etc/service";

/// A service directory: its path as the user gave it, its names, and the path of its state directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The path as it was given, without slashes at its end.
    pub dir: PathBuf,
    /// The service's name: the last component, `foo/log` for a log service.
    pub name: OsString,
    /// What follows the `@` of an instance.
    pub instance: Option<OsString>,
    /// The state directory, to be used from where `dir` is valid.
    pub state: PathBuf,
}

impl Layout {
    /// The layout of the service directory at `dir`, with `SUPERVISEDIR` from the environment.
    ///
    /// # Errors
    /// The directory cannot be resolved, where its real path is needed.
    pub fn of(dir: &Path) -> io::Result<Self> {
        Self::with_supervisedir(dir, std::env::var_os(SUPERVISEDIR).as_deref())
    }

    /// The layout with an explicit value of `SUPERVISEDIR`.
    ///
    /// # Errors
    /// As [`Layout::of`].
    pub fn with_supervisedir(dir: &Path, supervisedir: Option<&OsStr>) -> io::Result<Self> {
        let dir = without_trailing_slashes(dir);
        let instance = instance_of(&dir);
        let supervisedir = supervisedir
            .filter(|value| !value.is_empty())
            .unwrap_or(OsStr::new("supervise"));
        let mut state = if Path::new(supervisedir).is_absolute() {
            Path::new(supervisedir)
                .join(flattened(&fs::canonicalize(&dir)?))
                .into_os_string()
        } else {
            dir.join(supervisedir).into_os_string()
        };
        if let Some(instance) = &instance {
            state.push("@");
            state.push(instance);
        }
        Ok(Self {
            name: name_of(&dir)?,
            instance,
            state: PathBuf::from(state),
            dir,
        })
    }

    /// The path of a file in the state directory.
    #[must_use]
    pub fn state_file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The name of the group: the part before the `@` for an instance, else the service's name.
    #[must_use]
    pub fn group(&self) -> &OsStr {
        match &self.instance {
            None => &self.name,
            Some(instance) => {
                let length = self.name.len().saturating_sub(instance.len() + 1);
                OsStr::from_bytes(self.name.as_bytes().get(..length).unwrap_or_default())
            }
        }
    }
}

/// The instance that the path names: the part after `@` of a link `NAME@INSTANCE` to a template.
///
/// In a template, a link `log@INSTANCE` (or `errlog@INSTANCE`) to any directory is the log of that
/// instance alone, and an instance of the directory that it leads to.
#[must_use]
pub fn instance_of(dir: &Path) -> Option<OsString> {
    let name = dir.file_name()?;
    let (first, instance) = split_instance(name)?;
    let is_link = fs::symlink_metadata(dir).is_ok_and(|meta| meta.file_type().is_symlink());
    if !is_link {
        return None;
    }
    let leads_to_template = || {
        let target = fs::canonicalize(dir).ok();
        target.is_some_and(|target| target.file_name().is_some_and(is_template))
    };
    (leads_to_template() || is_log(first) && lies_in_template(dir)).then(|| instance.to_owned())
}

/// Whether a directory of that name is a template, whose instances are services and which is none
/// itself: it ends in `@`.
#[must_use]
pub fn is_template(name: &OsStr) -> bool {
    matches!(name.as_bytes(), [_, .., b'@'])
}

/// `worker@1` as `worker` and `1`; `None` where either would be empty.
fn split_instance(name: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let at = name.as_bytes().iter().position(|byte| *byte == b'@')?;
    let (first, rest) = name.as_bytes().split_at_checked(at)?;
    let instance = rest.get(1..)?;
    let both = !first.is_empty() && !instance.is_empty();
    both.then(|| (OsStr::from_bytes(first), OsStr::from_bytes(instance)))
}

fn lies_in_template(dir: &Path) -> bool {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::canonicalize(parent).is_ok_and(|parent| parent.file_name().is_some_and(is_template))
}

/// The directory that a client means by `name`: itself if it has a slash or is a directory here, else
/// the one of that name in the scan directory.
#[must_use]
pub fn find_service(name: &OsStr) -> PathBuf {
    let here = PathBuf::from(name);
    if name.is_empty() || name.as_bytes().contains(&b'/') || here.is_dir() {
        return here;
    }
    scan_directory().join(here)
}

/// The scan directory that clients mean: `$SVDIR`, else `/service`, or `/etc/service` on a system that
/// has that one alone.
#[must_use]
pub fn scan_directory() -> PathBuf {
    let set = std::env::var_os(SVDIR).filter(|value| !value.is_empty());
    set.map_or_else(|| default_of(Path::exists), PathBuf::from)
}

/// The scan directory without `SVDIR`, where `exists` tells which directories are there.
fn default_of(exists: impl Fn(&Path) -> bool) -> PathBuf {
    let [usual, debian] = [DEFAULT_SVDIR, DEBIAN_SVDIR].map(Path::new);
    let is_debian = !exists(usual) && exists(debian);
    if is_debian { debian } else { usual }.to_path_buf()
}

/// `/service/a` as the one name `service:a`. What stands for `/` is escaped where it occurs in the
/// path, so that `a/b` and `a:b` do not share one state.
fn flattened(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    for byte in bytes.strip_prefix(b"/").unwrap_or(bytes) {
        match byte {
            b'/' => name.push(b':'),
            b':' => name.extend(b"%3a"),
            b'%' => name.extend(b"%25"),
            plain => name.push(*plain),
        }
    }
    OsString::from_vec(name)
}

fn name_of(dir: &Path) -> io::Result<OsString> {
    let real;
    let named = match dir.components().next_back() {
        Some(std::path::Component::Normal(_)) => dir,
        _ => {
            real = fs::canonicalize(dir)?;
            &real
        }
    };
    let Some(last) = named.file_name() else {
        return Ok(OsString::from("/"));
    };
    let parent = named.parent().and_then(Path::file_name);
    match parent {
        Some(parent) if is_log(last) => Ok([parent, last].join(OsStr::new("/"))),
        _ => Ok(last.to_os_string()),
    }
}

/// Whether a directory of that name is a log: `log`, `errlog`, and `log@1` for an instance's own.
fn is_log(name: &OsStr) -> bool {
    let (first, _) = split_instance(name).unwrap_or((name, name));
    first == LOG || first == ERRLOG
}

fn without_trailing_slashes(dir: &Path) -> PathBuf {
    let bytes = dir.as_os_str().as_bytes();
    let length = bytes
        .iter()
        .rposition(|byte| *byte != b'/')
        .map_or(bytes.len().min(1), |last| last + 1);
    PathBuf::from(OsStr::from_bytes(bytes.get(..length).unwrap_or(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn layout(dir: &str, supervisedir: Option<&str>) -> Layout {
        Layout::with_supervisedir(Path::new(dir), supervisedir.map(OsStr::new)).unwrap()
    }

    #[test]
    fn the_state_lives_in_supervise_beside_run() {
        let layout = layout("/service/foo/", None);
        assert_eq!(
            layout.state_file(STATUS),
            Path::new("/service/foo/supervise/status")
        );
        assert_eq!(layout.name, "foo");
        assert_eq!(layout.group(), "foo");
    }

    #[test]
    fn a_relative_supervisedir_replaces_the_name() {
        assert_eq!(
            layout("/service/foo", Some("run-state")).state,
            Path::new("/service/foo/run-state")
        );
    }

    #[test]
    fn an_absolute_supervisedir_holds_the_flattened_path() {
        assert_eq!(
            layout("/usr/bin/..", Some("/run/sv")).state,
            Path::new("/run/sv/usr")
        );
        assert_eq!(
            layout("/dev/fd/..", Some("/run/sv")).state.parent(),
            Some(Path::new("/run/sv"))
        );
    }

    #[test]
    fn a_log_service_is_named_with_its_main_service() {
        assert_eq!(layout("/service/foo/log", None).name, "foo/log");
        assert_eq!(layout("foo/errlog//", None).name, "foo/errlog");
        assert_eq!(layout("foo@1/log@1", None).name, "foo@1/log@1");
        assert_eq!(layout("foo/logger", None).name, "logger");
    }

    #[test]
    fn no_two_paths_share_a_state() {
        let flat = |path: &str| flattened(Path::new(path)).into_string().unwrap();
        assert_eq!(flat("/service/web"), "service:web");
        assert_eq!(flat("/a:b"), "a%3ab");
        assert_eq!(flat("/a%3ab"), "a%253ab");
    }

    #[test]
    fn a_link_to_a_template_is_an_instance() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("worker@")).unwrap();
        symlink("worker@", at("worker@1")).unwrap();

        let worker = Layout::with_supervisedir(&at("worker@1/"), None).unwrap();
        assert_eq!(worker.state, at("worker@1/supervise@1"));
        assert_eq!(
            (worker.name.to_str(), worker.group().to_str()),
            (Some("worker@1"), Some("worker"))
        );
        assert_eq!(worker.instance.as_deref(), Some(OsStr::new("1")));
    }

    #[test]
    fn any_other_link_is_another_name_of_its_target() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        fs::create_dir(at("mail")).unwrap();
        fs::create_dir(at("getty@tty1")).unwrap();
        fs::create_dir(at("worker@")).unwrap();
        symlink("mail", at("mail@example.org")).unwrap();
        symlink("getty@tty1", at("tty@1")).unwrap();
        symlink("worker@", at("worker")).unwrap();
        symlink("none@", at("none@1")).unwrap();
        for name in [
            "mail@example.org",
            "tty@1",
            "getty@tty1",
            "worker",
            "none@1",
        ] {
            assert_eq!(instance_of(&at(name)), None, "{name}");
        }
        let mail = Layout::with_supervisedir(&at("mail@example.org"), None).unwrap();
        assert_eq!(mail.state, at("mail@example.org/supervise"));
    }

    #[test]
    fn in_a_template_an_instance_may_have_a_log_of_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name);
        for name in ["worker@/log", "plain/log"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        symlink("worker@", at("worker@1")).unwrap();
        symlink("log", at("worker@/log@1")).unwrap();
        symlink("log", at("plain/log@1")).unwrap();
        let log = Layout::with_supervisedir(&at("worker@1/log@1"), None).unwrap();
        assert_eq!(log.name, "worker@1/log@1");
        assert_eq!(log.state, at("worker@1/log@1/supervise@1"));
        assert_eq!(instance_of(&at("worker@1/log")), None);
        assert_eq!(instance_of(&at("plain/log@1")), None);
    }

    #[test]
    fn without_svdir_service_is_the_scan_directory_and_etc_service_where_it_is_alone() {
        let of = |there: &[&str]| default_of(|path| there.iter().any(|it| Path::new(it) == path));
        assert_eq!(of(&[]), Path::new("/service"));
        assert_eq!(of(&["/service"]), Path::new("/service"));
        assert_eq!(of(&["/service", "/etc/service"]), Path::new("/service"));
        assert_eq!(of(&["/etc/service"]), Path::new("/etc/service"));
    }
}
