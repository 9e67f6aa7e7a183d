//! The files that tell the machine's state: `pid`, `stat` and `status`. Each is replaced whole, and only
//! when it has changed; a write that failed is tried again each second.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use servicedir::layout::{PID, STAT, STATUS};
use servicedir::status::Status;

use super::state_dir::StateDir;
use crate::message::{Message, warn};

/// After a status could not be written, the next try.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// The content of the files now.
#[derive(Debug, Default)]
pub(crate) struct Published {
    status: Vec<u8>,
    stat: String,
    pid: Option<String>,
    /// The last try failed, and the warning was written.
    failing: bool,
    /// The next try after one that failed.
    again: Option<Instant>,
}

impl Published {
    /// When to try again, if the last try failed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.again
    }

    /// The next try does not wait, even if the last one failed.
    pub(crate) fn retry_now(&mut self) {
        self.again = None;
    }

    /// Writes what has changed: `pid`, `stat`, then `status`, in runit's order. A state directory that
    /// was removed is created again, with its lock and its FIFOs, so that the service can be
    /// controlled, and no second supervise starts it. `shown`: the service directory in messages.
    pub(crate) fn publish(
        &mut self,
        files: &mut StateDir,
        status: &Status,
        stat: &str,
        shown: &Path,
    ) {
        if self.again.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let packed = status.pack();
        if !self.failing && packed == self.status {
            return;
        }
        let pid = status
            .pid
            .map_or_else(String::new, |pid| format!("{}\n", pid.as_raw_nonzero()));
        let mut written = self.write(files, &packed, stat, &pid);
        if written.is_err()
            && let Some(recreated) = files.recreate_if_removed()
        {
            warn(shown, &Message::StateRecreated);
            *files = recreated;
            *self = Self::default();
            written = self.write(files, &packed, stat, &pid);
        }
        match written {
            Ok(()) => {
                self.again = None;
                self.failing = false;
            }
            Err(error) => {
                if !self.failing {
                    warn(shown, &Message::StatusUnwritten(error.into()));
                }
                self.failing = true;
                self.again = Some(Instant::now() + WRITE_AGAIN);
            }
        }
    }

    /// Each file is tried, even if another failed: `status` matters most.
    fn write(&mut self, files: &StateDir, packed: &[u8], stat: &str, pid: &str) -> io::Result<()> {
        let mut outcome = Ok(());
        if self.pid.as_deref() != Some(pid) {
            match files.replace(PID, pid.as_bytes()) {
                Ok(()) => self.pid = Some(pid.to_owned()),
                Err(error) => outcome = Err(error),
            }
        }
        if self.stat != stat {
            match files.replace(STAT, stat.as_bytes()) {
                Ok(()) => stat.clone_into(&mut self.stat),
                Err(error) => outcome = Err(error),
            }
        }
        files.replace(STATUS, packed)?;
        packed.clone_into(&mut self.status);
        outcome
    }
}
