//! One wait for the outcome of all services.

use std::time::{Duration, Instant};

use servicedir::control::Control;
use servicedir::report::{Failure, Reporter, exit};
use servicedir::wait::{Seen, StatusWatch};

use crate::message::Message;
use crate::outcome::Asked;
use crate::service::Awaited;

/// The wait for all services.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    commands: &'a [Control],
    asked: Asked,
    services: &'a mut [Awaited],
    /// Knows the services by their index.
    watch: StatusWatch,
    report: Reporter,
    /// The worst exit code so far.
    worst: u8,
}

impl<'a> Wait<'a> {
    /// A wait for these services, to which the commands have been sent as far as a supervise was there.
    pub(crate) fn new(
        commands: &'a [Control],
        asked: Asked,
        services: &'a mut [Awaited],
        watch: StatusWatch,
        report: Reporter,
    ) -> Self {
        Self {
            commands,
            asked,
            services,
            watch,
            report,
            worst: exit::DONE,
        }
    }

    /// Waits until nothing is pending, at the longest for `timeout`; returns the worst exit code.
    pub(crate) fn run(mut self, timeout: Option<Duration>) -> Result<u8, Failure> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut seen = Seen::Any;
        loop {
            self.settle(&seen, end);
            if self.services.iter().all(Awaited::is_settled) {
                return Ok(self.worst);
            }
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                self.report_late(timeout.unwrap_or_default());
                return Ok(self.worst);
            }
            let again = self.services.iter().filter_map(Awaited::again);
            seen = self
                .watch
                .wait(again.chain(end).min())
                .map_err(|error| Failure::new(exit::SYSTEM, Message::Wait(error.into())))?;
        }
    }

    /// Looks at the services that may have changed, and at those whose time has come.
    fn settle(&mut self, seen: &Seen, end: Option<Instant>) {
        let now = Instant::now();
        let patience = end.is_some();
        for (index, service) in self.services.iter_mut().enumerate() {
            let due = service.again().is_some_and(|again| again <= now);
            let changed = match seen {
                Seen::Any => true,
                Seen::Changed(indices) => indices.binary_search(&index).is_ok(),
                Seen::TimedOut => false,
            };
            if service.is_settled() || !(due || changed) {
                continue;
            }
            if service.is_unsent() {
                match service.begin(self.commands, end.unwrap_or(now), patience) {
                    Ok(()) if service.is_unsent() => continue,
                    // Before it is looked at, so that no change is missed.
                    Ok(()) => self.watch.add(&service.layout().state, index),
                    Err(unsent) => {
                        self.worst = self.worst.max(service.fail(unsent, self.report));
                        continue;
                    }
                }
            }
            if let Some(code) = service.settle(&self.asked, now, patience, self.report) {
                self.worst = self.worst.max(code);
            }
        }
    }

    /// Reports what each of the rest still is.
    fn report_late(&mut self, timeout: Duration) {
        for service in self.services.iter_mut().filter(|one| !one.is_settled()) {
            let code = service.report_late(&self.asked, timeout, self.report);
            self.worst = self.worst.max(code);
        }
    }
}
