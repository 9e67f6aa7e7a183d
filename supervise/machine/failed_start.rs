//! Starts that failed: how they are counted, how long the next one waits, and when none follows.
//!
//! A start that the system refuses (`EMFILE`, `ENOMEM`, no process left) is a failed start too.

use std::time::Duration;

use servicedir::report::Why;
use servicedir::status::{End, Want};

use super::finish::Next;
use super::{History, Machine};
use crate::event::Moment;
use crate::message::Message;

impl Machine {
    /// There is no process: the system refused it.
    pub(super) fn run_not_spawned(&mut self, errno: i32, now: Moment) {
        self.history.last_start = Some(now.clock);
        self.start_refused(format!("unable to fork: {}", Why(errno)), errno, now);
    }

    /// A start failed before there was a process.
    pub(super) fn start_refused(&mut self, refusal: String, errno: i32, now: Moment) {
        self.history.last_end = Some(End::NotStarted(errno));
        self.history.run_ended = Some(now.label);
        self.journal.note_end(None, End::NotStarted(errno), false);
        let is_news = self.history.refusal != refusal;
        self.history.refusal = refusal;
        let next = self.failed_start(now);
        if is_news {
            self.warn(Message::StartFailed {
                reason: self.history.refusal.clone(),
                next: next.wait(now),
            });
        }
        self.enter(next, now);
    }

    pub(super) fn refused(&mut self, why: String, errno: i32) {
        let Some(run) = self.run() else { return };
        run.refused = Some(errno);
        // A service that is tried every second says its reason once, and again when it is another.
        if self.history.refusal != why {
            self.history.refusal.clone_from(&why);
            self.warn(Message::StartFailed {
                reason: why,
                next: None,
            });
        }
    }

    /// One more start has failed.
    pub(super) fn failed_start(&mut self, now: Moment) -> Next {
        match self.want {
            Want::Down => return Next::Stopped,
            Want::Once => return Next::Exited,
            Want::Up => {}
        }
        let failed = self.history.failed_starts.saturating_add(1);
        self.history.failed_starts = failed;
        if self
            .options
            .startretries
            .is_some_and(|retries| failed > retries)
        {
            let next = self.given_up();
            if let Next::Fatal(reason) = &next {
                self.warn(Message::GivenUp {
                    reason: reason.clone(),
                });
            }
            return next;
        }
        let wait = self.options.backoff.wait(failed);
        let until = now
            .clock
            .checked_add(wait)
            .unwrap_or(now.clock + Duration::from_secs(u64::from(u32::MAX)));
        Next::Backoff {
            until,
            label: now.label.after(until.saturating_duration_since(now.clock)),
        }
    }

    /// What follows the last start that was to be tried.
    pub(super) fn given_up(&self) -> Next {
        let History {
            failed_starts: failed,
            last_end,
            refusal,
            ..
        } = &self.history;
        let last = match last_end {
            Some(_) if !refusal.is_empty() => format!(", the last: {refusal}"),
            Some(end) => format!(", the last: {end}"),
            None => String::new(),
        };
        let starts = if *failed == 1 { "start" } else { "starts" };
        Next::Fatal(format!("{failed} failed {starts}{last}"))
    }
}
