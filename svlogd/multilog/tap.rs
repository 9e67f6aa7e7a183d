//! The first bytes of each selected line, for standard error (`e`) or a status file (`=file`), line by
//! line in the order of the actions.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memchr;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use servicedir::report::{Reporter, Why};

use crate::access::open_file;
use crate::line::Stamp;
use crate::message::{Fault, Message, Verb};
use crate::multilog::script::Target;
use crate::retry::Retry;
use crate::select::Rules;

/// The bytes of a line, its stamp among them, that patterns see and status files keep.
pub(crate) const LINE: usize = 1000;
/// The bytes of a line that standard error gets.
const ALERT: usize = 200;
/// A write to a status file that failed is tried again after this.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// A line of a status file: padded with newlines, and one at its end.
type Status = [u8; LINE + 1];

/// Where the lines go.
#[derive(Debug)]
enum Sink {
    Alert,
    Status {
        file: OwnedFd,
        path: PathBuf,
        /// What a write that failed left undone.
        unwritten: Option<Box<Status>>,
        failing: Retry,
    },
}

/// One action `e` or `=file`, with the patterns before it.
#[derive(Debug)]
struct Tap {
    sink: Sink,
    rules: Rules,
}

/// The actions `e` and `=file` of a script, and the beginning of the line in progress.
#[derive(Debug)]
pub(crate) struct Taps {
    taps: Vec<Tap>,
    report: Reporter,
    line: Vec<u8>,
    /// Whether the line in progress has begun, and whether its beginning was dealt with.
    begun: bool,
    done: bool,
}

impl Taps {
    /// No actions.
    pub(crate) fn none(report: Reporter) -> Self {
        Self {
            taps: Vec::new(),
            report,
            line: Vec::new(),
            begun: false,
            done: false,
        }
    }

    /// Opens the files of the actions.
    pub(crate) fn open(targets: Vec<(Target, Rules)>, report: Reporter) -> Result<Self, Fault> {
        let mut taps = Self::none(report);
        for (target, rules) in targets {
            let sink = match target {
                Target::Alert => Sink::Alert,
                Target::Status(path) => Sink::Status {
                    file: open_status(&path)?,
                    path,
                    unwritten: None,
                    failing: Retry::new(RETRY_WAIT, RETRY_WAIT),
                },
            };
            taps.taps.push(Tap { sink, rules });
        }
        Ok(taps)
    }

    /// Takes input; `alerts` gets the lines for standard error.
    pub(crate) fn feed(&mut self, input: &[u8], stamp: &Stamp, alerts: &mut Vec<u8>, now: Instant) {
        if self.taps.is_empty() {
            return;
        }
        let mut rest = input;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            self.begin_line(stamp);
            self.piece(piece, alerts, now);
            if end.is_some() {
                self.end_line(alerts, now);
            }
            rest = after.get(1..).unwrap_or_default();
        }
    }

    /// The input has ended: so does the line in progress.
    pub(crate) fn finish(&mut self, alerts: &mut Vec<u8>, now: Instant) {
        if self.begun {
            self.end_line(alerts, now);
        }
    }

    fn begin_line(&mut self, stamp: &Stamp) {
        if !self.begun {
            self.begun = true;
            self.line.extend_from_slice(stamp.bytes());
        }
    }

    fn piece(&mut self, piece: &[u8], alerts: &mut Vec<u8>, now: Instant) {
        let room = LINE.saturating_sub(self.line.len());
        let (head, _) = piece.split_at(piece.len().min(room));
        self.line.extend_from_slice(head);
        if self.line.len() >= LINE {
            self.act(alerts, now);
        }
    }

    fn end_line(&mut self, alerts: &mut Vec<u8>, now: Instant) {
        self.act(alerts, now);
        self.line.clear();
        self.begun = false;
        self.done = false;
    }

    /// The beginning of the line is known: carries out the actions in order, once.
    fn act(&mut self, alerts: &mut Vec<u8>, now: Instant) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        for tap in &mut self.taps {
            if tap.rules.select(&self.line).log {
                tap.sink.take(&self.line, alerts);
                tap.sink.write(self.report, now);
            }
        }
    }

    /// Tries again what failed, when it is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        for tap in &mut self.taps {
            if tap.sink.deadline().is_some_and(|due| due <= now) {
                tap.sink.write(self.report, now);
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.taps.iter().filter_map(|tap| tap.sink.deadline()).min()
    }
}

impl Sink {
    /// Takes a selected line.
    fn take(&mut self, line: &[u8], alerts: &mut Vec<u8>) {
        match self {
            Self::Alert => {
                alerts.extend_from_slice(line.get(..ALERT).unwrap_or(line));
                if line.len() > ALERT {
                    alerts.extend_from_slice(b"...");
                }
                alerts.push(b'\n');
            }
            Self::Status { unwritten, .. } => {
                let mut status = Box::new([b'\n'; LINE + 1]);
                for (place, byte) in status.iter_mut().zip(line) {
                    *place = *byte;
                }
                *unwritten = Some(status);
            }
        }
    }

    /// Writes a status that is not written yet.
    fn write(&mut self, report: Reporter, now: Instant) {
        let Self::Status {
            file,
            path,
            unwritten,
            failing,
        } = self
        else {
            return;
        };
        let Some(status) = unwritten else { return };
        let outcome = rustix::io::retry_on_intr(|| rustix::io::pwrite(&*file, &status[..], 0));
        let why = match outcome {
            Ok(written) if written == status.len() => {
                *unwritten = None;
                if failing.over() {
                    report.info(Message::WritingAgain(path.clone()));
                }
                return;
            }
            Ok(_) => Errno::NOSPC,
            Err(errno) => errno,
        };
        let message = Message::StatusNotWritten(path.clone(), Why::from(why));
        if let Some(message) = failing.failed(message, now) {
            report.warning(message);
        }
    }

    /// When a write that failed is tried again.
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Alert => None,
            Self::Status { failing, .. } => failing.deadline(),
        }
    }
}

/// Opens or makes a status file. Another user may write in its directory, as in a log directory.
fn open_status(path: &Path) -> Result<OwnedFd, Fault> {
    let fault = |reason| Fault::new(Verb::Open, path, reason);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(CWD, folder, flags, Mode::empty()).map_err(|errno| fault(errno.into()))?;
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE;
    let (file, _) = open_file(folder.as_fd(), name, flags, 0o600).map_err(fault)?;
    Ok(file)
}
