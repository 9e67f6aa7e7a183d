//! Durations as options and command lines write them: `5s`, `1m 30s`, `250ms`, or a number of seconds.

use std::ffi::OsStr;
use std::time::Duration;

/// Longer durations count as this one, 100 years: it can be added to any clock's time.
pub const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A duration as humantime reads it, or a number of seconds, with a fraction or without; `None` for
/// any other text.
#[must_use]
pub fn parse(text: &OsStr) -> Option<Duration> {
    let text = text.to_str()?;
    let parsed = match seconds(text) {
        Some(duration) => duration,
        // humantime reads M as a month; in a duration of a service it would be a mistake for m.
        None if text.contains('M') => return None,
        None => humantime::parse_duration(text).ok()?,
    };
    Some(parsed.min(LONGEST))
}

/// A duration, or `unlimited`, which is `Some(None)`.
#[must_use]
pub fn parse_or_unlimited(text: &OsStr) -> Option<Option<Duration>> {
    if text == "unlimited" {
        Some(None)
    } else {
        parse(text).map(Some)
    }
}

/// `5`, `0.5`; a number that no duration can hold counts as [`LONGEST`].
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    Some(Duration::try_from_secs_f64(text.parse().ok()?).unwrap_or(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_seconds_or_what_humantime_writes() {
        for (text, millis) in [
            ("5", 5000),
            ("0", 0),
            ("0.5", 500),
            ("1.25", 1250),
            ("5s", 5000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1h", 3_600_000),
            ("2days", 172_800_000),
        ] {
            assert_eq!(
                parse(OsStr::new(text)),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5x",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "1.2.3",
            "inf",
            "NaN",
            "1M",
            "1 M",
            "s",
            "5 5",
            "unlimited",
            "0x10",
        ] {
            assert_eq!(parse(OsStr::new(text)), None, "{text}");
        }
    }

    #[test]
    fn a_duration_beyond_all_reason_is_a_hundred_years() {
        for text in [
            "99999999999",
            "99999999999999999999999999999999",
            "1000years",
        ] {
            assert_eq!(parse(OsStr::new(text)), Some(LONGEST), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_that_humantime_shows_reads_back(millis in 0..3_000_000_000_u64) {
            let shown = humantime::format_duration(Duration::from_millis(millis)).to_string();
            // The months that it shows stand as "1month"; no M is among them.
            prop_assert_eq!(parse(OsStr::new(&shown)), Some(Duration::from_millis(millis)), "{}", shown);
        }
    }
}
