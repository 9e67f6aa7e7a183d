//! The two options that are svscan's: `priority` and `essential`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::Pid;
use servicedir::layout::Layout;
use servicedir::options::{self, Fault};
use servicedir::status::{Record, State, Status, Want};

use crate::message::{Message, Messages, Topic};
use crate::process::recorded;
use crate::scan::Id;

/// The options of a service that are svscan's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Essential {
    /// Its place in the order of starting and stopping.
    pub(crate) priority: i32,
    /// Everything is stopped when it has ended for good.
    pub(crate) essential: bool,
}

impl Essential {
    /// Reads the options of the service at `dir`, whatever is wrong with its other ones. `before` is
    /// what they were: a file that cannot be read for now changes nothing.
    ///
    /// An `essential` that is at fault counts as yes: the file exists because the default is not
    /// wanted, and a container that goes on without its service is worse than one that ends.
    pub(crate) fn read(dir: &Path, before: Option<(i32, bool)>, messages: &mut Messages) -> Self {
        let name = dir.as_os_str();
        let passing = |fault: &Fault| before.filter(|_| fault.passing);
        let priority = match options::read_only(dir, "priority") {
            Ok(options) => options.priority,
            // The supervise reports it.
            Err(fault) => passing(&fault).map_or_else(
                || options::Options::default().priority,
                |(priority, _)| priority,
            ),
        };
        let topic = Topic::Essential(name.to_os_string());
        let essential = match options::read_only(dir, "essential") {
            Ok(options) => {
                messages.clear(&topic);
                options.essential
            }
            Err(fault) => passing(&fault).map_or_else(
                || {
                    let message = Message::EssentialFault(name.to_os_string(), fault.to_string());
                    messages.warn_once(topic, message);
                    true
                },
                |(_, essential)| essential,
            ),
        };
        Self {
            priority,
            essential,
        }
    }
}

/// The exit code that an essential service leaves when its status says that it has ended for good.
/// The record has to be of the supervise that runs now: the file may be one of long ago.
pub(crate) fn exit_code(layout: &Layout, supervise: Pid) -> Option<u8> {
    let (status, record) = recorded(layout)?;
    end_of(&status, &record, supervise)
}

fn end_of(status: &Status, record: &Record, supervise: Pid) -> Option<u8> {
    let ended = matches!(record.state, State::Exited | State::Fatal) && status.want == Want::Down;
    (ended && record.supervise == Some(supervise))
        .then(|| record.last_end.map_or(111, |end| end.shell_code()))
}

/// How soon a state directory that does not exist yet is looked for again.
const SOON: Duration = Duration::from_millis(20);
/// When that has gone on for so long, or it cannot be watched: how often its status is read.
const LATER: Duration = Duration::from_secs(1);

/// An essential service whose state directory is not watched yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unwatched {
    since: Instant,
    at: Instant,
}

/// The essential services whose state directories are not watched yet.
#[derive(Debug, Default)]
pub(crate) struct Essentials(BTreeMap<Id, Unwatched>);

impl Essentials {
    /// A supervise of an essential service was started: its status is to be watched.
    pub(crate) fn add(&mut self, id: &Id, now: Instant) {
        let unwatched = Unwatched {
            since: now,
            at: now,
        };
        self.0.insert(id.clone(), unwatched);
    }

    /// When to try again to watch a state directory.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|unwatched| unwatched.at).min()
    }

    /// The services whose state directories are to be watched now.
    pub(crate) fn due(&self, now: Instant) -> Vec<Id> {
        let due = self.0.iter().filter(|(_, unwatched)| unwatched.at <= now);
        due.map(|(id, _)| id.clone()).collect()
    }

    /// Whether the state directory is watched now, or why not; none: the service is gone.
    pub(crate) fn watched(&mut self, id: &Id, watched: Option<Result<(), Errno>>, now: Instant) {
        match (watched, self.0.get_mut(id)) {
            (Some(Err(_)), Some(unwatched)) => {
                let young = now.duration_since(unwatched.since) < LATER;
                unwatched.at = now + if young { SOON } else { LATER };
            }
            (None | Some(_), _) => drop(self.0.remove(id)),
        }
    }
}
