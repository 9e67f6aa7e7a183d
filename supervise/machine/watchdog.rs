//! The watchdog of sd_notify(3): the interval in which a service has promised to report.

use std::time::{Duration, Instant};

/// The promise of a service, if it made one.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Watchdog(Option<Promise>);

#[derive(Clone, Copy, Debug)]
struct Promise {
    interval: Duration,
    until: Instant,
}

impl Watchdog {
    /// A watch with that interval, which begins now; none for `None`.
    pub(super) fn of(interval: Option<Duration>, now: Instant) -> Self {
        Self(interval.and_then(|interval| {
            Some(Promise {
                interval,
                until: now.checked_add(interval)?,
            })
        }))
    }

    /// The interval, to be fed once in each.
    pub(super) fn interval(self) -> Option<Duration> {
        self.0.map(|promise| promise.interval)
    }

    /// When the interval ends.
    pub(super) fn due(self) -> Option<Instant> {
        self.0.map(|promise| promise.until)
    }

    /// The service reported, or was continued after a pause: the interval begins anew.
    pub(super) fn feed(&mut self, now: Instant) {
        *self = Self::of(self.interval(), now);
    }
}
