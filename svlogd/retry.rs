//! A fault that lasts: it is reported once, and once more when it is over; the wait between tries
//! grows.
//!
//! Pure: the clock is an argument; the message to print is returned.

use std::time::{Duration, Instant};

use crate::message::Message;

/// One kind of fault of one directory, and when to try again.
#[derive(Debug)]
pub(crate) struct Retry {
    first: Duration,
    longest: Duration,
    wait: Duration,
    next: Option<Instant>,
    reported: Option<Message>,
}

impl Retry {
    /// No fault; the first try comes after `first`, each further wait is twice as long up to `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            wait: first,
            next: None,
            reported: None,
        }
    }

    /// Notes a failed try; returns the message if it was not reported yet.
    pub(crate) fn failed(&mut self, message: Message, now: Instant) -> Option<&Message> {
        self.next = Some(now + self.wait);
        self.wait = (self.wait * 2).min(self.longest);
        if self.reported.as_ref() == Some(&message) {
            return None;
        }
        self.reported = Some(message);
        self.reported.as_ref()
    }

    /// Notes a success; returns whether a fault had been reported.
    pub(crate) fn over(&mut self) -> bool {
        if self.next.is_none() && self.reported.is_none() {
            return false;
        }
        self.next = None;
        self.wait = self.first;
        self.reported.take().is_some()
    }

    /// Whether there is a fault and its next try is not due yet.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| now < next)
    }

    /// Whether there is a fault.
    pub(crate) fn is_on(&self) -> bool {
        self.next.is_some()
    }

    /// When the next try is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// The wait that a failed try begins, for its message.
    pub(crate) fn next_wait(&self) -> Duration {
        self.wait
    }

    /// The next try is due at once: something changed.
    pub(crate) fn hurry(&mut self, now: Instant) {
        if self.next.is_some() {
            self.next = Some(now);
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
    fn the_same_fault_is_reported_once_and_another_one_too() {
        let (full, gone) = (Message::DiskFull("a".into()), Message::NoneUsable);
        let (start, mut retry) = (Instant::now(), Retry::new(ms(10), ms(30)));
        assert_eq!(retry.failed(full.clone(), start), Some(&full));
        assert_eq!(retry.failed(full, start), None);
        assert_eq!(retry.failed(gone.clone(), start), Some(&gone));
        assert!(retry.over());
        assert!(!retry.over());
        assert_eq!(retry.failed(gone.clone(), start), Some(&gone));
    }

    #[test]
    fn the_wait_grows_up_to_its_limit_and_begins_anew() {
        let (start, mut retry) = (Instant::now(), Retry::new(ms(10), ms(30)));
        for wait in [10, 20, 30, 30] {
            retry.failed(Message::NoneUsable, start);
            assert_eq!(retry.deadline(), Some(start + ms(wait)));
        }
        assert!(retry.waits(start) && !retry.waits(start + ms(30)));
        retry.over();
        assert!(!retry.is_on());
        retry.failed(Message::NoneUsable, start);
        assert_eq!(retry.deadline(), Some(start + ms(10)));
    }
}
