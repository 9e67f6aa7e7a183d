//! TICK events: when a multiple of five seconds, a minute, an hour has passed. **Pure.**

use std::time::Duration;

use crate::kind::{Period, Subscription};

/// The slices of time that have begun.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    slices: Vec<(Period, u64)>,
}

impl Ticks {
    /// The ticks that are wanted. `now`: seconds since 1970. The slice that has begun already has no
    /// tick.
    pub(crate) fn new(wants: &Subscription, now: u64) -> Self {
        let slices = Period::ALL
            .into_iter()
            .filter(|period| wants.takes(crate::kind::Kind::Tick(*period)))
            .map(|period| (period, now / period.seconds()))
            .collect();
        Self { slices }
    }

    /// The periods that have another slice now, and its begin in seconds since 1970. A jump of the
    /// clock gives one tick.
    pub(crate) fn passed(&mut self, now: u64) -> Vec<(Period, u64)> {
        let mut passed = Vec::new();
        for (period, slice) in &mut self.slices {
            let current = now / period.seconds();
            if current != *slice {
                *slice = current;
                passed.push((*period, current.saturating_mul(period.seconds())));
            }
        }
        passed
    }

    /// How long until the next slice begins; none where no tick is wanted. `now`: since 1970.
    pub(crate) fn next(&self, now: Duration) -> Option<Duration> {
        let until = |period: Period| {
            let next = (now.as_secs() / period.seconds() + 1).saturating_mul(period.seconds());
            Duration::from_secs(next).saturating_sub(now)
        };
        self.slices.iter().map(|(period, _)| until(*period)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_when_its_slice_begins_and_not_for_the_first() {
        let wants = Subscription::parse("TICK_5,TICK_60").unwrap();
        let mut ticks = Ticks::new(&wants, 1003);
        assert_eq!(ticks.passed(1004), []);
        assert_eq!(ticks.passed(1005), [(Period::Five, 1005)]);
        assert_eq!(ticks.passed(1009), []);
        assert_eq!(
            ticks.passed(1021),
            [(Period::Five, 1020), (Period::Minute, 1020)]
        );
        assert_eq!(
            ticks.passed(990),
            [(Period::Five, 990), (Period::Minute, 960)]
        );
        assert_eq!(
            ticks.next(Duration::from_millis(1_003_500)),
            Some(Duration::from_millis(1500))
        );
        let none = Ticks::new(&Subscription::parse("PROCESS_STATE").unwrap(), 0);
        assert_eq!(none.next(Duration::ZERO), None);
    }
}
