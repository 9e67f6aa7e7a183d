//! **Pure**: the times of `--since` and `--until`, and a time as people read it.

use servicedir::tai64n::Tai64n;
use tz::{DateTime, LocalTimeType, TimeZone};

/// The forms that [`parse`] knows, for a message.
pub(crate) const FORMS: &str =
    "expected 2026-11-25, \"2026-11-25 18:00\", 18:00:05, today, yesterday, or 10m (ago)";

/// The time that a word of the command line means. Dates and times of day are those of the zone.
pub(crate) fn parse(word: &str, now: Tai64n, zone: &TimeZone) -> Option<Tai64n> {
    let word = word.trim();
    let day = |ago: u64| at_midnight(now, ago, zone);
    match word {
        "now" => return Some(now),
        "today" => return day(0),
        "yesterday" => return day(1),
        _ => {}
    }
    if let Some(number) = word.strip_prefix('@') {
        let label = Tai64n::from_hex(word.as_bytes());
        return label.or_else(|| Some(Tai64n::from_unix(number.parse().ok()?, 0)));
    }
    if let Ok(ago) = humantime::parse_duration(word) {
        let unix = now.unix_seconds().checked_sub(ago.as_secs())?;
        return Some(Tai64n::from_unix(unix, now.nanos()));
    }
    let (date, time) = match word.split_once([' ', 'T', '_']) {
        Some((date, time)) => (Some(date), Some(time)),
        None if word.contains(':') => (None, Some(word)),
        None => (Some(word), None),
    };
    let (year, month, day) = match date {
        Some(date) => date_of(date)?,
        None => {
            let today = local(now, zone)?;
            (today.year(), today.month(), today.month_day())
        }
    };
    let (hour, minute, second, nanos) = match time {
        Some(time) => time_of_day(time)?,
        None => (0, 0, 0, 0),
    };
    label_of((year, month, day), (hour, minute, second, nanos), zone)
}

/// `2026-11-25`.
fn date_of(text: &str) -> Option<(i32, u8, u8)> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    Some((
        year,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}

/// `18:00`, `18:00:05` or `18:00:05.25`.
fn time_of_day(text: &str) -> Option<(u8, u8, u8, u32)> {
    let mut parts = text.splitn(3, ':');
    let hour = parts.next()?.parse().ok()?;
    let minute = parts.next()?.parse().ok()?;
    let Some(seconds) = parts.next() else {
        return Some((hour, minute, 0, 0));
    };
    let (second, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some((hour, minute, second.parse().ok()?, digits.parse().ok()?))
}

/// The first moment that a calendar of the zone calls so: where clocks are put back there are two.
fn label_of(
    (year, month, day): (i32, u8, u8),
    (hour, minute, second, nanos): (u8, u8, u8, u32),
    zone: &TimeZone,
) -> Option<Tai64n> {
    let found =
        DateTime::find(year, month, day, hour, minute, second, nanos, zone.as_ref()).ok()?;
    let time = found.earliest()?;
    Some(Tai64n::from_unix(
        u64::try_from(time.unix_time()).ok()?,
        nanos,
    ))
}

/// Midnight of the day that many days before today.
fn at_midnight(now: Tai64n, days: u64, zone: &TimeZone) -> Option<Tai64n> {
    // Noon of today, less whole days, lies in the day that is meant, whatever the clocks did between.
    let today = local(now, zone)?;
    let noon = label_of(
        (today.year(), today.month(), today.month_day()),
        (12, 0, 0, 0),
        zone,
    )?;
    let then = noon.unix_seconds().checked_sub(days * 86_400)?;
    let day = local(Tai64n::from_unix(then, 0), zone)?;
    label_of(
        (day.year(), day.month(), day.month_day()),
        (0, 0, 0, 0),
        zone,
    )
}

/// The time of a label in the zone; `None` for one that no calendar has.
fn local(label: Tai64n, zone: &TimeZone) -> Option<DateTime> {
    let seconds = i64::try_from(label.unix_seconds()).ok()?;
    // Where the rules of the zone's file end, UTC is better than nothing.
    let utc = LocalTimeType::utc();
    let kind = zone.find_local_time_type(seconds).unwrap_or(&utc);
    DateTime::from_timespec_and_local(seconds, label.nanos().min(999_999_999), *kind).ok()
}

/// A time as `2026-11-25 18:00:01.123`; a label that no calendar has as it is.
pub(crate) fn shown(label: Tai64n, zone: &TimeZone) -> String {
    match local(label, zone) {
        Some(time) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            time.year(),
            time.month(),
            time.month_day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanoseconds() / 1_000_000
        ),
        None => label.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-25 16:32:00 UTC.
    const NOW: u64 = 1_795_624_320;

    #[track_caller]
    fn check(word: &str, offset: i32, expected: Option<&str>) {
        let zone = TimeZone::fixed(offset).unwrap();
        let time = parse(word, Tai64n::from_unix(NOW, 5_000_000), &zone);
        assert_eq!(
            time.map(|time| shown(time, &zone)).as_deref(),
            expected,
            "{word}"
        );
    }

    #[test]
    fn dates_and_times_of_day_are_those_of_the_zone() {
        check("2026-11-25", 3600, Some("2026-11-25 00:00:00.000"));
        check("2026-11-25 18:00", 0, Some("2026-11-25 18:00:00.000"));
        check(
            "2026-11-25T18:00:05.25",
            -7200,
            Some("2026-11-25 18:00:05.250"),
        );
        check("2026-11-25_18:00:05", 0, Some("2026-11-25 18:00:05.000"));
        check("18:00", 0, Some("2026-11-25 18:00:00.000"));
        check("today", 36_000, Some("2026-11-26 00:00:00.000"));
        check("yesterday", 0, Some("2026-11-24 00:00:00.000"));
    }

    #[test]
    fn a_duration_is_that_long_ago_and_a_label_is_itself() {
        check("now", 0, Some("2026-11-25 16:32:00.005"));
        check("1h 2m", 0, Some("2026-11-25 15:30:00.005"));
        check(
            "@400000000000000b00000000",
            0,
            Some("1970-01-01 00:00:01.000"),
        );
        check("@60", 0, Some("1970-01-01 00:01:00.000"));
    }

    #[test]
    fn anything_else_is_refused() {
        for word in ["", "soon", "2026-13-01", "25:00", "2026-11", "@x", "18:0x"] {
            check(word, 0, None);
        }
    }

    proptest! {
        #[test]
        fn no_word_makes_it_panic(word in "[0-9:T_ .@a-z-]{0,30}") {
            parse(&word, Tai64n::from_unix(NOW, 0), &TimeZone::utc());
        }

        #[test]
        fn a_shown_time_is_read_again(unix in 0_u64..4_000_000_000) {
            let zone = TimeZone::fixed(19_800).unwrap();
            let label = Tai64n::from_unix(unix, 0);
            prop_assert_eq!(parse(&shown(label, &zone), Tai64n::from_unix(NOW, 0), &zone), Some(label));
        }
    }
}
