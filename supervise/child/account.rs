//! Who a service runs as: from the option's text to numbers.
//!
//! All of it runs in the forked child, before it becomes the service.

use servicedir::accounts::{self, Entry, Unreadable};
use servicedir::options::{Account, User};

use super::refused::Refused;

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
        (Account::Number(uid), None) => with_groups(find_user(&uid.to_string())?, None)?,
        (Account::Name(name), group) => with_groups(find_user(name)?, group)?,
    };
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(Credentials { uid, gid, groups })
}

/// The user's number, the group's, and the groups that list the name.
fn with_groups(user: Entry, group: Option<u32>) -> Result<(u32, u32, Vec<u32>), Refused> {
    let groups = accounts::memberships(&user.name)?;
    Ok((user.uid, group.unwrap_or(user.gid), groups))
}

fn find_user(name: &str) -> Result<Entry, Refused> {
    accounts::user(name)?.ok_or_else(|| {
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
    accounts::group_named(name)?.ok_or_else(|| {
        Refused::words(
            format!("unable to run as group {name}"),
            "no such group",
            libc::ENOENT,
        )
    })
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        Self::system(unreadable.what, unreadable.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> User {
        let account = |text: &str| {
            text.parse()
                .map_or_else(|_| Account::Name(text.to_owned()), Account::Number)
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
}
