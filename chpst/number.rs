//! Numbers on command lines: **pure**.
//!
//! daemontools and runit take an empty text for 0 and let a number that is too large wrap around, so
//! that a user's number became root's and no limit at all. Both are refused here.

/// A number without a sign.
pub(crate) fn unsigned(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| digits)?
        .parse()
        .ok()
}

/// A number that may have a sign.
pub(crate) fn signed(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A user's number and its groups' numbers, the first of which is its own: `UID:GID[:GID...]`.
pub(crate) fn identity(text: &[u8]) -> Option<(u32, Vec<u32>)> {
    let mut numbers = text
        .split(|byte| *byte == b':')
        .map(|part| unsigned(part).and_then(|number| u32::try_from(number).ok()));
    let uid = numbers.next()??;
    let gids = numbers.collect::<Option<Vec<u32>>>()?;
    (1..=MOST_GROUPS)
        .contains(&gids.len())
        .then_some((uid, gids))
}

/// As many groups as runit's chpst takes: with more it calls them invalid.
const MOST_GROUPS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_all_digits_and_fits() {
        assert_eq!(unsigned(b"0"), Some(0));
        assert_eq!(unsigned(b"007"), Some(7));
        assert_eq!(unsigned(b"18446744073709551615"), Some(u64::MAX));
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1k",
            "18446744073709551616",
            "\u{661}",
        ] {
            assert_eq!(unsigned(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_nice_value_may_have_a_sign() {
        assert_eq!(signed(b"5"), Some(5));
        assert_eq!(signed(b"+5"), Some(5));
        assert_eq!(signed(b"-5"), Some(-5));
        for text in ["", "+", "-", "5x", "--5", "4294967297"] {
            assert_eq!(signed(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_identity_has_a_user_and_groups_and_nothing_is_empty() {
        assert_eq!(identity(b"1:2"), Some((1, vec![2])));
        assert_eq!(identity(b"1:2:3:2"), Some((1, vec![2, 3, 2])));
        for text in [
            "",
            ":",
            "1",
            "1:",
            ":1",
            "1::2",
            "1:2:",
            "1:a",
            "4294967296:1",
            "1:4294967296",
        ] {
            assert_eq!(identity(text.as_bytes()), None, "{text}");
        }
        let groups = |count: usize| format!("1{}", ":5".repeat(count));
        assert!(identity(groups(60).as_bytes()).is_some());
        assert!(identity(groups(61).as_bytes()).is_none());
    }
}
