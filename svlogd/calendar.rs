//! Rotation at the boundaries of the wall clock: at midnight, or with each hour.
//!
//! Pure: both clocks are arguments. The wall clock decides, since the boundary is a time of day; the
//! monotonic one only wakes, and a wake-up that comes too early after a step of the clock is put off.

use std::time::{Duration, Instant};

use servicedir::tai64n::Tai64n;
use tz::TimeZone;

/// How often `current` is rotated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Period {
    /// `rotate hourly`.
    Hour,
    /// `rotate daily`.
    Day,
}

impl Period {
    /// Its length in seconds, apart from days on which the clocks are changed.
    fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3600,
            Self::Day => 86_400,
        }
    }

    /// The first boundary after a time, both in Unix seconds.
    fn next(self, time: i64, zone: &TimeZone) -> i64 {
        let local = time.saturating_add(offset(time, zone));
        let boundary = local.div_euclid(self.seconds()).saturating_add(1) * self.seconds();
        let guess = boundary.saturating_sub(offset(time, zone));
        // The clocks may be changed before the boundary comes.
        let next = boundary.saturating_sub(offset(guess, zone));
        if next > time { next } else { guess }
    }
}

/// How many seconds the local time of a zone is ahead of UTC.
fn offset(time: i64, zone: &TimeZone) -> i64 {
    zone.find_local_time_type(time)
        .map_or(0, |kind| i64::from(kind.ut_offset()))
}

/// When the `current` of a directory is to be rotated.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    period: Period,
    zone: TimeZone,
    /// The boundary that ends `current`, in Unix seconds; `None` while it is empty.
    boundary: Option<i64>,
    wake: Option<Instant>,
}

impl Calendar {
    /// For an empty `current`.
    pub(crate) fn new(period: Period, zone: TimeZone) -> Self {
        Self {
            period,
            zone,
            boundary: None,
            wake: None,
        }
    }

    /// `current` has something that was written at that time.
    pub(crate) fn begin(&mut self, written: i64, wall: Tai64n, now: Instant) {
        self.boundary = Some(self.period.next(written, &self.zone));
        self.arm(wall, now);
    }

    /// `current` is empty.
    pub(crate) fn end(&mut self) {
        self.boundary = None;
        self.wake = None;
    }

    /// Whether the boundary has passed; if not, the wake-up is set anew.
    pub(crate) fn is_due(&mut self, wall: Tai64n, now: Instant) -> bool {
        let due = self
            .boundary
            .is_some_and(|boundary| boundary <= wall.unix_time());
        if !due && self.wake.is_some_and(|wake| wake <= now) {
            self.arm(wall, now);
        }
        due
    }

    /// When to look whether the boundary has passed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.wake
    }

    fn arm(&mut self, wall: Tai64n, now: Instant) {
        self.wake = self.boundary.map(|boundary| {
            let seconds = boundary.saturating_sub(wall.unix_time());
            let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            now + wait.saturating_sub(Duration::from_nanos(u64::from(wall.nanos())))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Tai64n {
        Tai64n::from_unix(u64::try_from(second).unwrap(), 0)
    }

    /// Berlin's rule: midnight is 23:00 UTC in winter and 22:00 in summer.
    fn berlin() -> TimeZone {
        TimeZone::from_posix_tz("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    #[test]
    fn a_day_ends_at_local_midnight_also_when_the_clocks_change() {
        // 2026-01-10 12:00 UTC; 2026-03-29 00:30 UTC, 23 hours long; 2026-10-25 00:30 UTC, 25 hours.
        for (time, midnight) in [
            (1_768_046_400, 1_768_086_000),
            (1_774_744_200, 1_774_821_600),
            (1_792_888_200, 1_792_969_200),
        ] {
            assert_eq!(Period::Day.next(time, &berlin()), midnight);
        }
        assert_eq!(Period::Hour.next(7199, &TimeZone::utc()), 7200);
        assert_eq!(Period::Hour.next(7200, &TimeZone::utc()), 10_800);
    }

    #[test]
    fn a_wake_up_before_the_boundary_is_put_off() {
        let now = Instant::now();
        let mut calendar = Calendar::new(Period::Hour, TimeZone::utc());
        assert!(!calendar.is_due(at(9000), now) && calendar.deadline().is_none());
        calendar.begin(3590, at(3590), now);
        let ten = now + Duration::from_secs(10);
        assert_eq!(calendar.deadline(), Some(ten));
        // The clock was set back by a minute meanwhile.
        assert!(!calendar.is_due(at(3540), ten));
        assert_eq!(calendar.deadline(), Some(ten + Duration::from_secs(60)));
        assert!(calendar.is_due(at(3600), ten));
        calendar.end();
        assert!(!calendar.is_due(at(9000), ten));
    }

    #[test]
    fn what_was_written_before_the_last_boundary_is_due_at_once() {
        let now = Instant::now();
        let mut calendar = Calendar::new(Period::Day, TimeZone::utc());
        calendar.begin(86_399, at(86_400), now);
        assert!(calendar.is_due(at(86_400), now) && calendar.deadline() == Some(now));
    }

    proptest! {
        #[test]
        fn a_boundary_is_later_and_not_too_late(time in 0_i64..4_000_000_000, day in any::<bool>()) {
            let period = if day { Period::Day } else { Period::Hour };
            let next = period.next(time, &berlin());
            prop_assert!(next > time && next <= time + period.seconds() + 3600, "{time} {next}");
        }
    }
}
