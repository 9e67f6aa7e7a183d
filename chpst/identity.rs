//! Which numbers an account has.

use std::ffi::CStr;

use servicedir::accounts::{self, Unreadable};
use servicedir::error_words::ErrorWords;

use crate::message::{Failure, Step};
use crate::number;
use crate::plan::Account;

/// A user and its groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// All groups, `gid` first, in the order that was typed: what setgroups(2) is given.
    pub(crate) groups: Vec<u32>,
}

/// Finds the numbers of an account.
pub(crate) fn find(account: &Account) -> Result<Identity, Failure> {
    match account {
        Account::Name(name) => user(name, name.as_bytes(), None),
        Account::WithGroups(text) => match text.as_bytes() {
            [b':', numbers @ ..] => number::identity(numbers)
                .and_then(|(uid, groups)| of(uid, groups))
                .ok_or_else(|| Failure::BadNumbers(numbers.to_vec())),
            bytes => match bytes.iter().position(|byte| *byte == b':') {
                None => user(text, bytes, None),
                Some(colon) => {
                    let (name, groups) = bytes.split_at(colon);
                    user(text, name, Some(groups.get(1..).unwrap_or_default()))
                }
            },
        },
    }
}

/// The identity of a named user, with its own group or with these.
fn user(typed: &CStr, name: &[u8], groups: Option<&[u8]>) -> Result<Identity, Failure> {
    let unknown = || Failure::Unknown(typed.to_owned());
    let word = |bytes| std::str::from_utf8(bytes).map_err(|_| unknown());
    let entry = accounts::user_named(word(name)?)?.ok_or_else(unknown)?;
    let Some(groups) = groups else {
        return of(entry.uid, vec![entry.gid]).ok_or_else(unknown);
    };
    let mut gids = Vec::new();
    for group in groups.split(|byte| *byte == b':') {
        gids.push(accounts::group_named(word(group)?)?.ok_or_else(unknown)?);
    }
    of(entry.uid, gids).ok_or_else(unknown)
}

/// The identity with these groups, of which there is at least one.
fn of(uid: u32, groups: Vec<u32>) -> Option<Identity> {
    let gid = *groups.first()?;
    Some(Identity { uid, gid, groups })
}

/// Takes on the identity: groups, group, user, in the order that the rights allow.
pub(crate) fn become_it(identity: &Identity) -> Result<(), Failure> {
    use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
    let groups: Vec<Gid> = identity
        .groups
        .iter()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    let failed = |step: Step| move |errno: nix::errno::Errno| Failure::system(step, errno);
    setgroups(&groups).map_err(failed(Step::SetGroups))?;
    setgid(Gid::from_raw(identity.gid)).map_err(failed(Step::SetGroup))?;
    setuid(Uid::from_raw(identity.uid)).map_err(failed(Step::SetUser))
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Self {
        Self::Accounts(unreadable.what, ErrorWords(unreadable.why.0))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn find_with_groups(text: &str) -> Result<Identity, Failure> {
        find(&Account::WithGroups(CString::new(text).unwrap()))
    }

    #[test]
    fn a_user_has_its_own_group_or_those_that_are_named() {
        let groups =
            |text| find_with_groups(text).map(|found| (found.uid, found.gid, found.groups));
        assert_eq!(groups("root"), Ok((0, 0, vec![0])));
        assert_eq!(groups("root:bin:root"), Ok((0, 2, vec![2, 0])));
        assert_eq!(groups(":7:8:9"), Ok((7, 8, vec![8, 9])));
    }

    #[test]
    fn what_is_unknown_is_refused_as_it_was_typed() {
        for text in [
            "no-such-user",
            "root:",
            "root:no-such-group",
            "root:bin:",
            "0",
            "",
        ] {
            assert_eq!(
                find_with_groups(text),
                Err(Failure::Unknown(CString::new(text).unwrap())),
                "{text}"
            );
        }
        for text in [":", ":1", ":1:x"] {
            assert_eq!(
                find_with_groups(text),
                Err(Failure::BadNumbers(text.as_bytes()[1..].to_vec())),
                "{text}"
            );
        }
    }

    #[test]
    fn daemontools_knows_no_groups_after_a_name() {
        let name = CString::new("root:bin").unwrap();
        assert_eq!(
            find(&Account::Name(name.clone())),
            Err(Failure::Unknown(name))
        );
    }
}
