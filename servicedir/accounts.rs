//! The system's users and groups: from a name to numbers.
//!
//! The build is static, so the name service of the C library is not linked: names are looked up in
//! `/etc/passwd` and `/etc/group`, and what is not found there by the system's own `getent`.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::Why;

/// Where the programs that answer for the name service are looked for; never in the caller's PATH.
const PATH: [&str; 6] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/run/current-system/sw/bin",
];

/// One line of `/etc/passwd`, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The user's name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's own group.
    pub gid: u32,
}

/// The users or groups could not be read: whether a name exists is not known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unreadable {
    /// What could not be done, `unable to read /etc/passwd`.
    pub what: String,
    /// The errno that says why.
    pub why: Why,
}

impl Display for Unreadable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.why)
    }
}

/// The entry of that name or, where nobody has that name, of that number.
///
/// # Errors
/// `/etc/passwd` cannot be read.
pub fn user(name: &str) -> Result<Option<Entry>, Unreadable> {
    let text = read("/etc/passwd")?;
    let asked = || ask("getent", &["passwd", name]).and_then(|text| entry_in(&text, name));
    Ok(entry_in(&text, name).or_else(asked))
}

/// The entry of that name, as getpwnam(3) finds it.
///
/// # Errors
/// `/etc/passwd` cannot be read.
pub fn user_named(name: &str) -> Result<Option<Entry>, Unreadable> {
    Ok(user(name)?.filter(|entry| entry.name == name))
}

/// The number of the group of that name, as getgrnam(3) finds it.
///
/// # Errors
/// `/etc/group` cannot be read.
pub fn group_named(name: &str) -> Result<Option<u32>, Unreadable> {
    let text = read("/etc/group")?;
    let asked = || ask("getent", &["group", name]).and_then(|text| group_in(&text, name));
    Ok(group_in(&text, name).or_else(asked))
}

/// The groups that list the user: those of `/etc/group` and, where the system has others, those too.
///
/// # Errors
/// `/etc/group` cannot be read, or the system has other groups and does not tell them.
pub fn memberships(name: &str) -> Result<Vec<u32>, Unreadable> {
    let mut groups = memberships_in(&read("/etc/group")?, name);
    let elsewhere = fs::read("/etc/nsswitch.conf")
        .is_ok_and(|text| groups_elsewhere(&String::from_utf8_lossy(&text)));
    if elsewhere {
        // glibc's getent knows this database, musl's does not; id asks in its own way.
        let answer = ask("getent", &["initgroups", name])
            .map(|text| {
                text.split_once(' ')
                    .map_or(String::new(), |(_, groups)| groups.to_owned())
            })
            .or_else(|| ask("id", &["-G", name]));
        let answer = answer.ok_or_else(|| Unreadable {
            what: format!("unable to find the groups of user {name} by getent and id"),
            why: Why(libc::EIO),
        })?;
        groups.extend(answer.split_ascii_whitespace().filter_map(number));
    }
    Ok(groups)
}

/// Whether `nsswitch.conf` names a source of groups beside the files. That of systemd knows only
/// groups of users that it has made itself, who are not found in the files either.
fn groups_elsewhere(nsswitch: &str) -> bool {
    nsswitch
        .lines()
        .filter_map(|line| line.split('#').next()?.split_once(':'))
        .filter(|(database, _)| ["group", "initgroups"].contains(&database.trim()))
        .flat_map(|(_, sources)| sources.split_ascii_whitespace())
        .any(|source| {
            !source.starts_with('[')
                && !source.ends_with(']')
                && !["files", "systemd"].contains(&source)
        })
}

/// The line of `passwd` with that name, or else with that number.
fn entry_in(passwd: &str, name: &str) -> Option<Entry> {
    let entries = || {
        passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            Some(Entry {
                name: name.to_owned(),
                uid: number(uid)?,
                gid: number(gid)?,
            })
        })
    };
    entries()
        .find(|entry| entry.name == name)
        .or_else(|| number(name).and_then(|uid| entries().find(|entry| entry.uid == uid)))
}

/// The number of the group of that name.
fn group_in(group: &str, name: &str) -> Option<u32> {
    groups_in(group)
        .find(|(known, ..)| *known == name)
        .map(|(_, gid, _)| gid)
}

/// The numbers of the groups that list the user.
fn memberships_in(group: &str, user: &str) -> Vec<u32> {
    groups_in(group)
        .filter(|(.., members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

/// The lines of `group`: name, number, members.
fn groups_in(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((name, number(gid)?, fields.next().unwrap_or_default()))
    })
}

/// A user's or group's number. The largest means "none" to the kernel: setting it sets nothing.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && *number != u32::MAX)
}

/// A file of the system; one that does not exist is empty.
fn read(path: &str) -> Result<String, Unreadable> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Unreadable {
            what: format!("unable to read {path}"),
            why: error.into(),
        }),
    }
}

/// What a program answers; `None` where it is not installed or says no.
fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(find(program)?)
        .args(arguments.iter().map(OsStr::new))
        .env_clear()
        .env("PATH", PATH.join(":"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn find(program: &str) -> Option<PathBuf> {
    PATH.iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a comment:x:1:1\n\
        web:x:1000:100:Web,,,:/srv:/bin/false\n\
        broken:x:many:100::\n\
        none:x:4294967295:0::\n\
        1001:x:7:70::\n\
        +::::::\n";
    const GROUP: &str = "root:x:0:\nlog:x:4:web,root\nwebs:x:100:\nlogs:x:44:rooted,webmaster\nshort:x:9\nadm:x:5:root,web\n";

    #[test]
    fn a_user_is_found_by_name_and_else_by_number() {
        let ids = |name| entry_in(PASSWD, name).map(|entry| (entry.uid, entry.gid));
        assert_eq!(ids("web"), Some((1000, 100)));
        assert_eq!(ids("1000"), Some((1000, 100)));
        assert_eq!(
            ids("1001"),
            Some((7, 70)),
            "a name of digits is a name first"
        );
        for name in ["we", "webs", "broken", "none", "4294967295", "", "+", "x"] {
            assert_eq!(ids(name), None, "{name}");
        }
    }

    #[test]
    fn memberships_are_whole_names() {
        assert_eq!(memberships_in(GROUP, "web"), [4, 5]);
        assert_eq!(memberships_in(GROUP, "root"), [4, 5]);
        assert_eq!(memberships_in(GROUP, "roo"), Vec::<u32>::new());
        assert_eq!(group_in(GROUP, "short"), Some(9));
        assert_eq!(group_in(GROUP, "lo"), None);
    }

    #[test]
    fn the_name_service_is_asked_only_where_it_knows_more() {
        assert!(!groups_elsewhere(
            "passwd: files ldap\ngroup:  files systemd # ldap\n"
        ));
        assert!(!groups_elsewhere(
            "group: files [SUCCESS=merge] systemd\n#group: ldap"
        ));
        assert!(groups_elsewhere("group: files [NOTFOUND=return] sss\n"));
        assert!(groups_elsewhere("initgroups: ldap\n"));
        assert!(!groups_elsewhere(""));
    }

    #[test]
    fn root_is_found_on_this_system() {
        let root = Entry {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
        };
        assert_eq!(user("0"), Ok(Some(root.clone())));
        assert_eq!(user_named("root"), Ok(Some(root)));
        assert_eq!(user_named("0"), Ok(None));
        assert_eq!(group_named("root"), Ok(Some(0)));
        assert_eq!(group_named("no-such-group-here"), Ok(None));
    }

    #[test]
    fn the_systems_own_program_answers() {
        let entry = ask("getent", &["passwd", "root"]).and_then(|text| entry_in(&text, "root"));
        assert_eq!(
            entry,
            Some(Entry {
                name: "root".to_owned(),
                uid: 0,
                gid: 0
            })
        );
        assert_eq!(ask("getent", &["passwd", "no-such-user-here"]), None);
        assert_eq!(ask("no-such-program-here", &[]), None);
        assert_eq!(
            ask("id", &["-G", "root"]).as_deref().map(str::trim),
            Some("0")
        );
    }
}
