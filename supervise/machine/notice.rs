//! What a service tells of itself while it runs: its readiness, its main process, its watchdog.

use servicedir::report::Why;

use super::watchdog::Watchdog;
use super::{Machine, State};
use crate::event::{Moment, Notice};

impl Machine {
    /// The service told something of itself.
    pub(super) fn notice(&mut self, notice: Notice, now: Moment) {
        if let Notice::MainPid(process) = notice {
            return self.change_main(process);
        }
        let Self {
            state: State::Run(run),
            history,
            ..
        } = self
        else {
            return;
        };
        match notice {
            Notice::Ready if !run.ready => {
                run.ready = true;
                history.ready_stamp = now.label;
            }
            Notice::Reloading | Notice::Stopping if run.ready => {
                run.ready = false;
                history.ready_stamp = now.label;
            }
            Notice::Ready | Notice::Reloading | Notice::Stopping => {}
            Notice::Status(text) => history.message = text,
            Notice::Errno(errno) => history.message = Why(errno).to_string(),
            Notice::MainPid(_) => {}
            Notice::WatchdogInterval(interval) => run.watchdog = Watchdog::of(interval, now.clock),
            Notice::WatchdogFed => run.watchdog.feed(now.clock),
            Notice::WatchdogTrigger if !run.is_stopping() => self.watchdog_expired(now),
            Notice::WatchdogTrigger => {}
            Notice::Extend(time) => run.extend(now.clock.checked_add(time)),
        }
    }
}
