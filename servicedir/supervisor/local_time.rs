//! The stop time of a process in local time: strftime's `%b %d %I:%M %p`, as Supervisor shows it.

use std::fs;

use tz::{DateTime, TimeZone};

/// The months' names of the C locale, which Supervisor's programs run in.
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The zone that `TZ` names, else the machine's; UTC where there is none.
#[must_use]
pub fn zone() -> TimeZone {
    match std::env::var("TZ") {
        Ok(name) if name.is_empty() => TimeZone::utc(),
        Ok(name) => TimeZone::from_posix_tz(&name).unwrap_or_else(|_| TimeZone::utc()),
        Err(_) => fs::read("/etc/localtime")
            .ok()
            .and_then(|data| TimeZone::from_tz_data(&data).ok())
            .unwrap_or_else(TimeZone::utc),
    }
}

/// A Unix time as `Nov 25 04:32 PM`; empty for a time that no calendar has.
#[must_use]
pub fn stop_time(unix: u64, zone: &TimeZone) -> String {
    let Ok(seconds) = i64::try_from(unix) else {
        return String::new();
    };
    let Ok(time) = DateTime::from_timespec(seconds, 0, zone.as_ref()) else {
        return String::new();
    };
    let month = MONTHS
        .get(usize::from(time.month()).saturating_sub(1))
        .unwrap_or(&"");
    let hour = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    format!(
        "{month} {:02} {hour:02}:{:02} {}",
        time.month_day(),
        time.minute(),
        if time.hour() < 12 { "AM" } else { "PM" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noon_and_midnight_are_twelve() {
        let utc = TimeZone::utc();
        assert_eq!(stop_time(0, &utc), "Jan 01 12:00 AM");
        assert_eq!(stop_time(12 * 3600 + 59, &utc), "Jan 01 12:00 PM");
        assert_eq!(stop_time(1_795_624_320, &utc), "Nov 25 04:32 PM");
    }
}
