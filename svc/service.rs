//! One service whose outcome is waited for: its commands are sent, and it is looked at again and again.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use servicedir::control::Control;
use servicedir::layout::{LOCK, Layout};
use servicedir::lock;
use servicedir::progress::{Before, Progress, progress};
use servicedir::reading::{Unread, read_status};
use servicedir::report::{Reporter, exit};
use servicedir::state_folder::{StateFolder, is_supervised};
use servicedir::status::Status;
use servicedir::tai64n::Tai64n;
use servicedir::trust::Refused;
use servicedir::words::Words;

use crate::message::Message;
use crate::outcome::{Answer, Asked, Now, judge};
use crate::send::{self, Unsent};

/// How long a supervise that is gone is given to come back: svscan starts a new one within a second
/// or two.
const GRACE: Duration = Duration::from_secs(3);

/// How often to look at a supervise of another suite, which does not announce all that it does, and
/// for a supervise that is still to come.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How many descriptors are left for looking at services while their FIFOs are kept open.
const SPARE: u64 = 8;

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
    /// Why the commands have not been sent yet: no supervise is there, and one may be coming.
    unsent: Option<Unsent>,
    /// Its supervise has been there.
    met: bool,
    /// When its supervise was missed first.
    missed: Option<Instant>,
    /// When to look at it again without a change.
    again: Option<Instant>,
    /// There is nothing more to wait for.
    settled: bool,
}

/// What was there at a look.
struct Looked {
    supervised: bool,
    drained: bool,
    status: Option<Status>,
    /// The system was short of something, so the rest means nothing.
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
    /// A service to which nothing has been sent yet.
    pub(crate) fn new(typed: OsString, layout: Layout) -> Self {
        Self {
            typed,
            layout,
            control: None,
            before: Before::default(),
            unsent: None,
            met: false,
            missed: None,
            again: None,
            settled: false,
        }
    }

    /// Where its status is.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether there is nothing more to wait for.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether the commands wait for a supervise to come.
    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent.is_some()
    }

    /// When to look at it again without a change.
    pub(crate) fn again(&self) -> Option<Instant> {
        self.again
    }

    /// Sends the commands, at the latest by `room`. With `patience`, a supervise that is not there may
    /// still come.
    ///
    /// # Errors
    /// Why the commands cannot be sent.
    pub(crate) fn begin(
        &mut self,
        commands: &[Control],
        room: Instant,
        patience: bool,
    ) -> Result<(), Unsent> {
        self.unsent = None;
        match self.open_and_send(commands, room) {
            Err(Unsent::NotRunning) if patience => {
                self.unsent = Some(Unsent::NotRunning);
                self.again = Instant::now().checked_add(LOOK_AGAIN);
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn open_and_send(&mut self, commands: &[Control], room: Instant) -> Result<(), Unsent> {
        if commands.is_empty() {
            // A wait alone needs no right to control the service.
            rustix::fs::stat(&self.layout.dir).map_err(Unsent::Failed)?;
            is_supervised(&self.layout)?;
        } else {
            let fifo = send::open(&self.layout, commands)?;
            require_room_to_look(&fifo)?;
            self.control = Some(fifo);
        }
        self.before.status = self.look().status;
        // A supervise locks before it opens its FIFOs.
        self.before.supervise = lock::holder(&self.layout.state_file(LOCK));
        self.before.unread = self.unread();
        match &self.control {
            Some(control) => send::write(control, commands, room),
            None => Ok(()),
        }
    }

    /// Looks, judges, and reports what went wrong; the exit code when there is nothing more to wait
    /// for. With `patience`, a supervise that was never there may still come.
    pub(crate) fn settle(
        &mut self,
        asked: &Asked,
        now: Instant,
        patience: bool,
        report: Reporter,
    ) -> Option<u8> {
        let looked = self.look();
        if looked.blurred {
            self.again = now.checked_add(LOOK_AGAIN);
            return None;
        }
        self.met |= looked.supervised;
        let code = match judge(asked, &self.before, looked.now()) {
            Answer::Done => Some(exit::DONE),
            Answer::Failed(reason) => {
                report.warning(Message::Failed(&self.typed, asked.word(), &reason));
                Some(exit::SERVICE_FAILED)
            }
            Answer::Absent | Answer::Lost if self.is_given_up(now, patience) => {
                report.warning(if looked.supervised {
                    Message::Replaced(&self.typed, asked.word())
                } else {
                    Message::Gone(&self.typed, asked.word())
                });
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
        self.again = match code {
            Some(_) => None,
            None => self.look_again(&looked, now),
        };
        code
    }

    fn is_given_up(&self, now: Instant, patience: bool) -> bool {
        let may_come = patience && !self.met;
        !may_come && self.missed.is_some_and(|missed| now >= missed + GRACE)
    }

    /// Reports that the commands cannot be sent; the exit code.
    pub(crate) fn fail(&mut self, unsent: Unsent, report: Reporter) -> u8 {
        report.warning(Message::Uncontrolled(&self.typed, unsent));
        self.settled = true;
        self.again = None;
        unsent.code()
    }

    /// Reports what it still is when the time is up; the exit code.
    pub(crate) fn report_late(&mut self, asked: &Asked, time: Duration, report: Reporter) -> u8 {
        if let Some(unsent) = self.unsent {
            return self.fail(unsent, report);
        }
        let last = self.last_seen(asked);
        report.warning(Message::Late(&self.typed, asked.word(), time, &last));
        exit::TIMED_OUT
    }

    fn unread(&self) -> u32 {
        self.control.as_ref().map_or(0, |control| {
            let unread = rustix::io::ioctl_fionread(control).unwrap_or(0);
            u32::try_from(unread).unwrap_or(u32::MAX)
        })
    }

    fn look(&self) -> Looked {
        // First the FIFO, then the status: what has been read was acted on before it was announced.
        let mut looked = Looked {
            supervised: false,
            drained: self.unread() == 0,
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

    /// When to look again without a change.
    fn look_again(&self, looked: &Looked, now: Instant) -> Option<Instant> {
        let status = looked.status.as_ref();
        let announces = status.is_some_and(|status| status.record.is_some());
        match self.missed {
            Some(_) if !self.met => now.checked_add(LOOK_AGAIN),
            Some(missed) => Some(missed + GRACE),
            None if announces => None,
            None => now.checked_add(LOOK_AGAIN),
        }
    }

    /// The last thing seen.
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
        let progress = progress(asked.sent, &self.before, looked.drained, Some(status));
        match (looked.supervised, progress) {
            (false, _) => format!("supervise not running, last seen {words}"),
            (true, Progress::Acted) => words.to_string(),
            (true, Progress::Unread | Progress::Lost) => {
                format!("supervise has not read the command, {words}")
            }
        }
    }
}

/// A FIFO that is kept open must leave descriptors to look with: without them a living supervise would
/// seem gone.
fn require_room_to_look(fifo: &OwnedFd) -> Result<(), Unsent> {
    let limit = getrlimit(Resource::Nofile).current;
    let number = u64::from(fifo.as_raw_fd().unsigned_abs());
    if limit.is_some_and(|limit| number + SPARE >= limit) {
        return Err(Unsent::Failed(Errno::MFILE));
    }
    Ok(())
}
