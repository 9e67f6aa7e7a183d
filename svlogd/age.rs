//! When `current` is too old: the time `t` after its first line, or at a boundary of the wall clock.
//!
//! Pure but for the wall clock, which is read only where the calendar needs it.

use std::time::{Duration, Instant};

use servicedir::tai64n::Tai64n;

use crate::calendar::Calendar;

/// The age of a `current`.
#[derive(Debug)]
pub(crate) struct Age {
    limit: Option<Duration>,
    /// When the limit is reached; `None` while `current` is empty.
    due: Option<Instant>,
    calendar: Option<Calendar>,
    /// The rotation of a file that is too old waits until then.
    put_off: Option<Instant>,
}

impl Age {
    /// That of an empty `current`.
    pub(crate) fn new(limit: Option<Duration>, calendar: Option<Calendar>) -> Self {
        Self {
            limit,
            due: None,
            calendar,
            put_off: None,
        }
    }

    /// `current` is not empty any more: its age counts from now, its day or hour is that in which it
    /// was written, in Unix seconds.
    pub(crate) fn begin(&mut self, written: Option<i64>, now: Instant) {
        self.due = self.limit.map(|limit| now + limit);
        if let Some(calendar) = &mut self.calendar {
            let wall = Tai64n::now();
            calendar.begin(written.unwrap_or(wall.unix_time()), wall, now);
        }
    }

    /// `current` is empty.
    pub(crate) fn end(&mut self) {
        self.due = None;
        self.put_off = None;
        if let Some(calendar) = &mut self.calendar {
            calendar.end();
        }
    }

    /// Whether it is to be rotated now.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        if self.put_off.is_some_and(|until| now < until) {
            return false;
        }
        let calendar = self.calendar.as_mut();
        self.due.is_some_and(|due| due <= now)
            || calendar.is_some_and(|calendar| calendar.is_due(Tai64n::now(), now))
    }

    /// It cannot be rotated now: it is looked at again after this time.
    pub(crate) fn put_off(&mut self, wait: Duration, now: Instant) {
        self.put_off = Some(now + wait);
    }

    /// When [`Self::is_over`] may become true.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let calendar = self.calendar.as_ref().and_then(Calendar::deadline);
        let first = self.due.into_iter().chain(calendar).min()?;
        Some(self.put_off.map_or(first, |until| first.max(until)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Period;
    use tz::TimeZone;

    #[test]
    fn the_age_counts_from_the_first_line() {
        let (start, limit) = (Instant::now(), Duration::from_secs(10));
        let mut age = Age::new(Some(limit), None);
        assert!(!age.is_over(start + limit) && age.deadline().is_none());
        age.begin(None, start + limit);
        assert!(!age.is_over(start + limit) && age.is_over(start + 2 * limit));
        age.put_off(limit, start + 2 * limit);
        assert!(!age.is_over(start + 2 * limit) && age.is_over(start + 3 * limit));
        assert_eq!(age.deadline(), Some(start + 3 * limit));
        age.end();
        assert!(!age.is_over(start + 9 * limit) && age.deadline().is_none());
    }

    #[test]
    fn a_file_of_an_earlier_day_is_over_at_once() {
        let calendar = Calendar::new(Period::Day, TimeZone::utc());
        let mut age = Age::new(None, Some(calendar));
        age.begin(Some(0), Instant::now());
        assert!(age.is_over(Instant::now()));
        age.begin(None, Instant::now());
        assert!(
            age.deadline()
                .is_some_and(|deadline| deadline > Instant::now())
        );
    }
}
