//! Who a service runs as: from the option's text to numbers.
//!
//! The build is static, so the name service of the C library is not linked: names are looked up in
//! `/etc/passwd` and `/etc/group`, and what is not found there by the system's own `getent`. All of
//! it runs in the forked child, before it becomes the service.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use servicedir::options::{Account, User};

use crate::context::Refused;

/// Where the programs that answer for the name service are looked for; never in the caller's PATH.
const PATH: [&str; 6] = [
    "/usr/bin",
    "/bin",
    "/usr/sbin",
    "/sbin",
    "/usr/local/bin",
    "/run/current-system/sw/bin",
];

/// The numbers that a service runs under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Credentials {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// All groups, `gid` among them, sorted; what setgroups(2) is given.
    pub(crate) groups: Vec<u32>,
}

/// One line of `/etc/passwd`, as far as it matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
}

/// Finds the numbers of a user.
///
/// `name` has the groups of its entry and all that list it; `name:group` has that group in place of
/// the entry's, and all that list the name; a number that is given with a group has that group alone.
///
/// # Errors
/// There is no such user or group, or nobody could tell.
pub(crate) fn look_up(wanted: &User) -> Result<Credentials, Refused> {
    let group = wanted.group.as_ref().map(find_group).transpose()?;
    let (uid, gid, mut groups) = match (&wanted.user, group) {
        (Account::Number(uid), Some(gid)) => (*uid, gid, Vec::new()),
        (Account::Number(uid), None) => find_user(&uid.to_string())?.with_groups(None)?,
        (Account::Name(name), group) => find_user(name)?.with_groups(group)?,
    };
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Credentials { uid, gid, groups })
}

impl Entry {
    /// The user's number, the group's, and the groups that list the name.
    fn with_groups(self, group: Option<u32>) -> Result<(u32, u32, Vec<u32>), Refused> {
        let groups = find_memberships(&self.name)?;
        Ok((self.uid, group.unwrap_or(self.gid), groups))
    }
}

/// The entry of that name or, where nobody has that name, of that number.
fn find_user(name: &str) -> Result<Entry, Refused> {
    let text = read("/etc/passwd")?;
    if let Some(entry) = entry_in(&text, name) {
        return Ok(entry);
    }
    ask("getent", &["passwd", name])
        .and_then(|text| entry_in(&text, name))
        .ok_or_else(|| {
            Refused::words(
                format!("unable to run as user {name}"),
                "no such user",
                libc::ENOENT,
            )
        })
}

fn find_group(group: &Account) -> Result<u32, Refused> {
    let name = match group {
        Account::Number(gid) => return Ok(*gid),
        Account::Name(name) => name,
    };
    let text = read("/etc/group")?;
    if let Some(gid) = group_in(&text, name) {
        return Ok(gid);
    }
    ask("getent", &["group", name])
        .and_then(|text| group_in(&text, name))
        .ok_or_else(|| {
            Refused::words(
                format!("unable to run as group {name}"),
                "no such group",
                libc::ENOENT,
            )
        })
}

/// The groups that list the user: those of `/etc/group` and, where the system has others, those too.
fn find_memberships(name: &str) -> Result<Vec<u32>, Refused> {
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
        let what = || format!("unable to find the groups of user {name}");
        let answer =
            answer.ok_or_else(|| Refused::words(what(), "getent and id do not tell", libc::EIO))?;
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
fn read(path: &str) -> Result<String, Refused> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Refused::system(format!("unable to read {path}"), error)),
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

    fn user(text: &str) -> User {
        let account = |text: &str| {
            number(text).map_or_else(|| Account::Name(text.to_owned()), Account::Number)
        };
        match text.split_once(':') {
            Some((user, group)) => User {
                user: account(user),
                group: Some(account(group)),
            },
            None => User {
                user: account(text),
                group: None,
            },
        }
    }

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
        let root = look_up(&user("root")).unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(root.groups.contains(&0));
        assert_eq!(look_up(&user("root:7")).unwrap().gid, 7);
    }

    #[test]
    fn numbers_need_no_entry_and_get_no_other_groups() {
        let numbers = look_up(&user("54321:12345")).unwrap();
        assert_eq!(
            numbers,
            Credentials {
                uid: 54321,
                gid: 12345,
                groups: vec![12345]
            }
        );
    }

    #[test]
    fn who_does_not_exist_is_told_by_name() {
        let refused = look_up(&user("no-such-user-here")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unable to run as user no-such-user-here: no such user"
        );
        let refused = look_up(&user("root:no-such-group-here")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "unable to run as group no-such-group-here: no such group"
        );
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
