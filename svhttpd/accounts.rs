//! Users and groups by name, for a socket's owner.

use std::fs;
use std::io;

/// The numbers of `user`, `user:group` or `:group`, each a name of `/etc/passwd` and `/etc/group` or a
/// number. A part that is not given is left as it is.
///
/// # Errors
/// There is no such user or group.
pub(crate) fn look_up(owner: &str) -> io::Result<(Option<u32>, Option<u32>)> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    Ok((number(user, "/etc/passwd")?, number(group, "/etc/group")?))
}

fn number(name: &str, database: &str) -> io::Result<Option<u32>> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let text = String::from_utf8_lossy(&fs::read(database)?).into_owned();
    number_in(&text, name)
        .map(Some)
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The third field of the line whose first is `name`: both files have them so.
fn number_in(text: &str, name: &str) -> Option<u32> {
    text.lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1))?)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_found() {
        assert_eq!(look_up("root").unwrap(), (Some(0), None));
        assert_eq!(look_up("root:0").unwrap(), (Some(0), Some(0)));
        assert_eq!(look_up(":7").unwrap(), (None, Some(7)));
        assert!(look_up("no-such-user").is_err());
    }

    #[test]
    fn the_number_is_the_third_field() {
        let text = "a:x:1:2:A::\nb:x:3:4:B::\n";
        assert_eq!(number_in(text, "b"), Some(3));
        assert_eq!(number_in(text, "c"), None);
        assert_eq!(number_in("a", "a"), None);
    }
}
