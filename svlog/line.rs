//! **Pure**: a line of a log, and the time that stands at its beginning.
//!
//! svlogd and multilog write a TAI64N label (`-t`, `t`), svlogd also UTC as people read it
//! (`-tt`: `2026-11-25_18:00:01.12345`, `-ttt` with a `T`). All of them end in a blank.

use servicedir::tai64n::Tai64n;
use tz::UtcDateTime;

/// The length of a stamp in bytes, its blank not counted.
const STAMP: usize = 25;

/// Splits a line into the time of its stamp and the rest. A line without a stamp is all rest.
pub(crate) fn split(line: &[u8]) -> (Option<Tai64n>, &[u8]) {
    let Some((stamp, rest)) = line.split_at_checked(STAMP) else {
        return (None, line);
    };
    let rest = match rest {
        [] => rest,
        [b' ', rest @ ..] => rest,
        _ => return (None, line),
    };
    match Tai64n::from_hex(stamp).or_else(|| from_civil(stamp)) {
        Some(time) => (Some(time), rest),
        None => (None, line),
    }
}

/// Reads `2026-11-25_18:00:01.12345`, in UTC.
fn from_civil(stamp: &[u8]) -> Option<Tai64n> {
    let marks = [(4, b"-"), (7, b"-"), (13, b":"), (16, b":"), (19, b".")];
    let has = |at: usize, mark: &[u8]| stamp.get(at..at + 1) == Some(mark);
    if !marks.iter().all(|(at, mark)| has(*at, *mark)) || !(has(10, b"_") || has(10, b"T")) {
        return None;
    }
    let time = UtcDateTime::new(
        i32::try_from(number(stamp, 0..4)?).ok()?,
        u8::try_from(number(stamp, 5..7)?).ok()?,
        u8::try_from(number(stamp, 8..10)?).ok()?,
        u8::try_from(number(stamp, 11..13)?).ok()?,
        u8::try_from(number(stamp, 14..16)?).ok()?,
        u8::try_from(number(stamp, 17..19)?).ok()?,
        number(stamp, 20..25)? * 10_000,
    )
    .ok()?;
    let seconds = u64::try_from(time.unix_time()).ok()?;
    Some(Tai64n::from_unix(seconds, time.nanoseconds()))
}

/// The decimal number in a part of the stamp.
fn number(stamp: &[u8], part: std::ops::Range<usize>) -> Option<u32> {
    stamp.get(part)?.iter().try_fold(0_u32, |value, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(value * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, time: Option<(u64, u32)>, rest: &str) {
        let (seen, text) = split(line.as_bytes());
        let time = time.map(|(seconds, nanos)| Tai64n::from_unix(seconds, nanos));
        assert_eq!((seen, text), (time, rest.as_bytes()), "{line}");
    }

    #[test]
    fn each_form_of_stamp_is_read() {
        check("@400000000000000b00000001 a b", Some((1, 1)), "a b");
        check(
            "2000-02-29_12:34:56.98765 x",
            Some((951_827_696, 987_650_000)),
            "x",
        );
        check("1970-01-01T00:00:01.00000 ", Some((1, 0)), "");
        check("@400000000000000b00000001", Some((1, 1)), "");
    }

    #[test]
    fn a_line_that_only_looks_like_one_is_text() {
        for line in [
            "",
            "short",
            "@400000000000000b0000000g a",
            "@400000000000000b00000001x",
            "2000-13-29_12:34:56.98765 x",
            "2000-02-29 12:34:56.98765 x",
            "2000-02-29_12:34:56,98765 x",
        ] {
            check(line, None, line);
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let (time, rest) = split(&line);
            prop_assert!(time.is_some() || rest == line.as_slice());
        }
    }
}
