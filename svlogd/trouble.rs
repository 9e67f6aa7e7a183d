//! A trouble is said once, and once more when it is over; the wait between tries grows.
//!
//! Pure: the clock is an argument; what is to be said is returned.

use std::time::{Duration, Instant};

/// One kind of trouble of one directory, and when to try again.
#[derive(Debug)]
pub(crate) struct Trouble {
    first: Duration,
    longest: Duration,
    wait: Duration,
    retry: Option<Instant>,
    said: Option<String>,
}

impl Trouble {
    /// No trouble; the first try comes after `first`, each further wait is twice as long up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            wait: first,
            retry: None,
            said: None,
        }
    }

    /// Notes a failed try; returns the message if it is news.
    pub(crate) fn failed(&mut self, message: String, now: Instant) -> Option<&str> {
        self.retry = Some(now + self.wait);
        self.wait = (self.wait * 2).min(self.longest);
        if self.said.as_ref() == Some(&message) {
            return None;
        }
        self.said = Some(message);
        self.said.as_deref()
    }

    /// Notes that all is well; says whether there had been trouble.
    pub(crate) fn over(&mut self) -> bool {
        if self.retry.is_none() && self.said.is_none() {
            return false;
        }
        self.retry = None;
        self.wait = self.first;
        self.said.take().is_some()
    }

    /// Whether there is trouble and its next try is not due yet.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.retry.is_some_and(|retry| now < retry)
    }

    /// Whether there is trouble.
    pub(crate) fn is_on(&self) -> bool {
        self.retry.is_some()
    }

    /// When the next try is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry
    }

    /// How long the wait is that has just begun, for a message that precedes it.
    pub(crate) fn next_wait(&self) -> Duration {
        self.wait
    }

    /// The next try may come at once: something changed.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.retry.is_some() {
            self.retry = Some(now);
            self.wait = self.first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_same_trouble_is_said_once_and_another_one_too() {
        let (start, mut trouble) = (Instant::now(), Trouble::new(ms(10), ms(30)));
        assert_eq!(trouble.failed("full".into(), start), Some("full"));
        assert_eq!(trouble.failed("full".into(), start), None);
        assert_eq!(trouble.failed("gone".into(), start), Some("gone"));
        assert!(trouble.over());
        assert!(!trouble.over());
        assert_eq!(trouble.failed("gone".into(), start), Some("gone"));
    }

    #[test]
    fn the_wait_grows_up_to_its_limit_and_begins_anew() {
        let (start, mut trouble) = (Instant::now(), Trouble::new(ms(10), ms(30)));
        for wait in [10, 20, 30, 30] {
            trouble.failed(String::new(), start);
            assert_eq!(trouble.deadline(), Some(start + ms(wait)));
        }
        assert!(trouble.waits(start) && !trouble.waits(start + ms(30)));
        trouble.over();
        assert!(!trouble.is_on());
        trouble.failed(String::new(), start);
        assert_eq!(trouble.deadline(), Some(start + ms(10)));
    }
}
