//! The two options that are svscan's to heed: `priority` and `essential`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use servicedir::layout::{Layout, OPTIONS};
use servicedir::options;
use servicedir::status::{Record, State, Status, Want};

use crate::adopt::status_of;
use crate::event_loop::{EventLoop, Supervise};
use crate::unit::Id;

/// What svscan wants to know of a service's options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// Its place in the order of starting and stopping.
    pub(crate) priority: i32,
    /// Everything is stopped when it has ended for good.
    pub(crate) essential: bool,
}

/// Reads the options of the service at `dir`. Where any of them is at fault, the supervise tells so,
/// and these two are taken as far as they can be read.
pub(crate) fn read(dir: &Path) -> Wanted {
    match options::read(dir) {
        Ok(options) => Wanted {
            priority: options.priority,
            essential: options.essential,
        },
        Err(_) => Wanted {
            priority: value(dir, "priority")
                .and_then(|text| text.parse().ok())
                .unwrap_or(999),
            essential: value(dir, "essential")
                .is_some_and(|text| matches!(text.as_str(), "yes" | "true" | "1")),
        },
    }
}

/// The value in an option file, by itself.
fn value(dir: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(dir.join(OPTIONS).join(name)).ok()?;
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

/// The exit code that an essential service leaves when its status says that it has ended for good,
/// and `supervise` said so: the status file may be one of long ago.
fn end_of(status: &Status, record: &Record, supervise: Pid) -> Option<u8> {
    let ended = matches!(record.state, State::Exited | State::Fatal) && status.want == Want::Down;
    (ended && record.supervise == Some(supervise))
        .then(|| record.last_end.map_or(111, |end| end.shell_code()))
}

/// How soon a state directory that is not there yet is looked for again.
const SOON: Duration = Duration::from_millis(20);
/// And when that has gone on for so long, or it cannot be watched: how often its status is read.
const LATER: Duration = Duration::from_secs(1);

/// An essential service whose state directory is not watched yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unwatched {
    since: Instant,
    at: Instant,
}

impl EventLoop {
    /// A supervise of an essential service was started: its status is to be watched.
    pub(crate) fn mind_essential(&mut self, id: &Id, now: Instant) {
        if self.scan.units.get(id).is_some_and(|unit| unit.essential) {
            self.essential.insert(
                id.clone(),
                Unwatched {
                    since: now,
                    at: now,
                },
            );
        }
    }

    /// When to look for the state directories of essential services again.
    pub(crate) fn essential_deadline(&self) -> Option<Instant> {
        self.essential.values().map(|unwatched| unwatched.at).min()
    }

    /// Watches the states of the essential services that are due.
    pub(crate) fn watch_essential(&mut self, now: Instant) {
        let due = self
            .essential
            .iter()
            .filter(|(_, unwatched)| unwatched.at <= now);
        let due: Vec<(Id, Unwatched)> = due
            .map(|(id, unwatched)| (id.clone(), *unwatched))
            .collect();
        for (id, unwatched) in due {
            let watched = self
                .layout(&id)
                .map(|layout| self.watches.state(&layout.state, &id));
            if watched == Some(Ok(())) || !self.scan.units.contains_key(&id) {
                self.essential.remove(&id);
            } else {
                let young = now.duration_since(unwatched.since) < LATER;
                let at = now + if young { SOON } else { LATER };
                self.essential
                    .insert(id.clone(), Unwatched { at, ..unwatched });
            }
            // After the watch began, so that no change between the two is missed.
            self.check_essential(&id);
        }
    }

    /// Stops everything if this essential service has ended for good.
    pub(crate) fn check_essential(&mut self, id: &Id) {
        let Some(unit) = self.scan.units.get(id).filter(|unit| unit.essential) else {
            return;
        };
        let pid = match self.kept.get(id).and_then(|kept| kept.supervise.as_ref()) {
            Some(Supervise::Child(pid)) => *pid,
            Some(Supervise::Adopted(process)) => process.pid,
            None => return,
        };
        let status = self
            .layout(id)
            .and_then(|layout: Layout| status_of(&layout));
        let code = status.and_then(|(status, record)| end_of(&status, &record, pid));
        if let Some(code) = code
            && self.scan.shutdown.is_none()
        {
            self.report.warning(format_args!(
                "{} is essential and has ended: stopping everything, exit code {code}",
                unit.name.display()
            ));
            self.terminate(code);
        }
    }
}
