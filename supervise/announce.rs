//! The files that say what the machine says: `pid`, `stat` and `status`. Each is replaced whole, and only
//! when it has changed; what cannot be written is tried again.

use std::io;
use std::time::{Duration, Instant};

use servicedir::layout::{PID, STAT, STATUS};
use servicedir::report::Why;

use crate::event_loop::Supervisor;

/// After a status could not be written, the next try.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// What stands in the files now.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    status: Vec<u8>,
    stat: String,
    pid: Option<String>,
    /// The last try failed, which has been said.
    failing: bool,
    /// The next try after one that failed.
    again: Option<Instant>,
}

impl Announced {
    /// When to try again, if the last try failed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// The next try is not put off, whatever became of the last.
    pub(crate) fn not_put_off(&mut self) {
        self.again = None;
    }
}

impl Supervisor {
    /// Writes what has changed: `pid`, `stat`, then `status`, in runit's order.
    ///
    /// The lines of the journal come first: what a status shows is in the journal by then.
    pub(crate) fn announce(&mut self) {
        self.write_journal();
        if self.announced.again.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let status = self.machine.status();
        let packed = status.pack();
        if !self.announced.failing && packed == self.announced.status {
            return;
        }
        let pid = status
            .pid
            .map_or_else(String::new, |pid| format!("{}\n", pid.as_raw_nonzero()));
        let stat = self.machine.stat();
        let mut written = self.write(&packed, &stat, &pid);
        if written.is_err() && self.make_again() {
            written = self.write(&packed, &stat, &pid);
        }
        match written {
            Ok(()) => {
                self.announced.again = None;
                self.announced.failing = false;
            }
            Err(error) => {
                if !self.announced.failing {
                    let why = Why::from(error);
                    self.warn(&format!(
                        "unable to write the status: {why}; tried again each second"
                    ));
                }
                self.announced.failing = true;
                self.announced.again = Some(Instant::now() + WRITE_AGAIN);
            }
        }
    }

    /// Appends the lines that have come up. What cannot be written is lost; a warning tells so once.
    fn write_journal(&mut self) {
        let lines = self.machine.take_journal();
        if lines.is_empty() {
            return;
        }
        let mut outcome = self.journal.append(&self.files, &lines);
        if outcome.is_err() && self.make_again() {
            outcome = self.journal.append(&self.files, &lines);
        }
        if self.journal.is_news(&outcome)
            && let Err(why) = outcome
        {
            self.warn(&format!("unable to write the journal: {why}"));
        }
    }

    /// Each file is tried, whatever became of the others: that `status` is right matters most.
    fn write(&mut self, packed: &[u8], stat: &str, pid: &str) -> io::Result<()> {
        let mut outcome = Ok(());
        if self.announced.pid.as_deref() != Some(pid) {
            match self.files.replace(PID, pid.as_bytes()) {
                Ok(()) => self.announced.pid = Some(pid.to_owned()),
                Err(error) => outcome = Err(error),
            }
        }
        if self.announced.stat != stat {
            match self.files.replace(STAT, stat.as_bytes()) {
                Ok(()) => stat.clone_into(&mut self.announced.stat),
                Err(error) => outcome = Err(error),
            }
        }
        self.files.replace(STATUS, packed)?;
        packed.clone_into(&mut self.announced.status);
        outcome
    }

    /// Somebody removed the state directory: it is made again, with its lock and its FIFOs, so that
    /// the service can be controlled, and no second supervise starts it.
    fn make_again(&mut self) -> bool {
        if !self.files.is_removed() {
            return false;
        }
        let Ok(files) = self.files.open_again() else {
            return false;
        };
        self.warn("the state directory was removed; it is made again");
        self.files = files;
        self.announced = Announced::default();
        true
    }
}
