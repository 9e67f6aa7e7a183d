//! One wait for the outcome of all services.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use servicedir::layout::{LOCK, Layout};
use servicedir::lock;
use servicedir::reading::{Unread, read_status};
use servicedir::report::{Failure, Reporter, exit};
use servicedir::state_folder::StateFolder;
use servicedir::status::Status;
use servicedir::tai64n::Tai64n;
use servicedir::trust::Refused;
use servicedir::wait::{Seen, StatusWatch};
use servicedir::words::Words;

use crate::outcome::{Answer, Asked, Before, Now, Progress, judge, progress};
use crate::send::{self, Unsent};

/// How long a supervise that is gone is given to come back: svscan starts a new one within a second
/// or two.
const GRACE: Duration = Duration::from_secs(3);

/// How often to look at a supervise of another suite, which does not announce all that it does.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A service whose outcome is waited for.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// As the user typed it.
    typed: OsString,
    /// Where its files are.
    layout: Layout,
    /// Its control FIFO. While it is open, what was written to it outlives a supervise that dies
    /// before it read it: the next one does.
    control: Option<OwnedFd>,
    /// What was there before.
    before: Before,
    /// When its supervise was missed first.
    missed: Option<Instant>,
    /// When to look at it again without being told to.
    again: Option<Instant>,
    /// There is nothing more to wait for.
    settled: bool,
}

/// What was there at a look.
struct Looked {
    supervised: bool,
    drained: bool,
    status: Option<Status>,
    /// The system was short of something: the rest says less than it could, and means nothing.
    blurred: bool,
}

impl Looked {
    fn now(&self) -> Now<'_> {
        Now {
            supervised: self.supervised,
            drained: self.drained,
            status: self.status.as_ref(),
        }
    }
}

impl Awaited {
    /// A service, with what is there before the commands are written.
    pub(crate) fn new(typed: OsString, layout: Layout, control: Option<OwnedFd>) -> Self {
        let mut service = Self {
            typed,
            layout,
            control,
            before: Before::default(),
            missed: None,
            again: None,
            settled: false,
        };
        service.remember();
        service
    }

    /// Writes the commands, at the latest by `room`.
    pub(crate) fn send(&self, letters: &[u8], room: Instant) -> Result<(), Unsent> {
        match &self.control {
            Some(control) => send::write(control, letters, room),
            None => Ok(()),
        }
    }

    /// Looks, judges, and says what went wrong; the exit code when there is nothing more to wait for.
    fn settle(&mut self, asked: &Asked, now: Instant, report: Reporter) -> Option<u8> {
        let looked = self.look();
        if looked.blurred {
            self.again = Some(now + LOOK_AGAIN);
            return None;
        }
        let typed = self.typed.display();
        let code = match judge(asked, &self.before, looked.now()) {
            Answer::Done => Some(exit::DONE),
            Answer::Failed(reason) => {
                report.warning(format_args!("{typed}: not {}: {reason}", asked.word()));
                Some(exit::SERVICE_FAILED)
            }
            Answer::Absent | Answer::Lost
                if self.missed.is_some_and(|missed| now >= missed + GRACE) =>
            {
                let why = if looked.supervised {
                    "the supervise that took the command is gone, and another one is there"
                } else {
                    "supervise not running"
                };
                report.warning(format_args!("{typed}: not {}: {why}", asked.word()));
                Some(exit::USAGE)
            }
            Answer::Absent | Answer::Lost => {
                self.missed = self.missed.or(Some(now));
                None
            }
            Answer::Pending => {
                self.missed = None;
                None
            }
        };
        self.settled = code.is_some();
        self.again = if self.settled {
            None
        } else {
            self.look_again(&looked, now)
        };
        code
    }

    fn remember(&mut self) {
        self.before.status = self.look().status;
        // A supervise locks before it opens its FIFOs.
        self.before.supervise = lock::holder(&self.layout.state_file(LOCK));
        self.before.unread = self.unread();
    }

    fn unread(&self) -> u32 {
        self.control.as_ref().map_or(0, |control| {
            let unread = rustix::io::ioctl_fionread(control).unwrap_or(0);
            u32::try_from(unread).unwrap_or(u32::MAX)
        })
    }

    fn look(&self) -> Looked {
        // First the FIFO, then the status: what has been read was acted on before it was announced.
        let drained = self.unread() == 0;
        let mut looked = Looked {
            supervised: false,
            drained,
            status: None,
            blurred: false,
        };
        let seen = StateFolder::open(&self.layout).and_then(|state| {
            looked.supervised = state.is_supervised()?;
            match read_status(&state) {
                Ok(reading) => looked.status = Some(reading.status),
                Err(Unread::Refused(refused)) => return Err(refused),
                Err(Unread::Bad(_)) => {}
            }
            Ok(())
        });
        looked.blurred = seen.is_err_and(|refused: Refused| !refused.is_about_the_file());
        looked
    }

    /// When to look again without being told to.
    fn look_again(&self, looked: &Looked, now: Instant) -> Option<Instant> {
        let status = looked.status.as_ref();
        let announces = status.is_some_and(|status| status.record.is_some());
        match self.missed {
            Some(missed) => Some(missed + GRACE),
            None if announces => None,
            None => Some(now + LOOK_AGAIN),
        }
    }

    /// The last thing seen, for the report of a time-out.
    fn last_seen(&self, asked: &Asked) -> String {
        let looked = self.look();
        let Some(status) = &looked.status else {
            return "no status".to_owned();
        };
        let words = Words {
            status,
            normally_up: None,
            now: Tai64n::now(),
        };
        let acted = progress(asked, &self.before, looked.now()) == Progress::Acted;
        match (looked.supervised, acted) {
            (false, _) => format!("supervise not running, last seen {words}"),
            (true, false) => format!("supervise has not read the command, {words}"),
            (true, true) => words.to_string(),
        }
    }
}

/// The wait for all services.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    asked: Asked,
    services: &'a mut [Awaited],
    watch: &'a StatusWatch,
    report: Reporter,
    /// The worst exit code so far.
    worst: u8,
}

impl<'a> Wait<'a> {
    /// A wait for these services, of which the `watch` knows by their index.
    pub(crate) fn new(
        asked: Asked,
        services: &'a mut [Awaited],
        watch: &'a StatusWatch,
        report: Reporter,
    ) -> Self {
        Self {
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
            self.settle(&seen);
            if self.services.iter().all(|service| service.settled) {
                return Ok(self.worst);
            }
            let now = Instant::now();
            if end.is_some_and(|end| now >= end) {
                self.report_late(timeout.unwrap_or_default());
                return Ok(self.worst.max(exit::TIMED_OUT));
            }
            let again = self.services.iter().filter_map(|service| service.again);
            seen = self
                .watch
                .wait(again.chain(end).min())
                .map_err(|error| Failure::system("unable to wait", error))?;
        }
    }

    /// Looks at the services that may have changed, and at those whose time has come.
    fn settle(&mut self, seen: &Seen) {
        let now = Instant::now();
        for (index, service) in self.services.iter_mut().enumerate() {
            let due = service.again.is_some_and(|again| again <= now);
            let changed = match seen {
                Seen::Any => true,
                Seen::Changed(indices) => indices.binary_search(&index).is_ok(),
                Seen::TimedOut => false,
            };
            if service.settled || !(due || changed) {
                continue;
            }
            if let Some(code) = service.settle(&self.asked, now, self.report) {
                self.worst = self.worst.max(code);
            }
        }
    }

    /// Says what each of the rest still is.
    fn report_late(&self, timeout: Duration) {
        for service in self.services.iter().filter(|service| !service.settled) {
            self.report.warning(format_args!(
                "{}: not {} after {}: {}",
                service.typed.display(),
                self.asked.word(),
                humantime::format_duration(timeout),
                service.last_seen(&self.asked)
            ));
        }
    }
}
