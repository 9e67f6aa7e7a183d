//! Looking at the scan directory: when inotify reports a change, and from time to time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use servicedir::report::Why;

use crate::message::{Message, Messages, Topic};
use crate::names::{Found, Names, Problem};
use crate::scan::{Id, SECOND, Service};
use crate::scan_dir::{ScanDir, Unusable};
use crate::watches::{Change, Watches};

/// How often everything is looked at where not all can be watched.
const UNWATCHED_RESCAN: Duration = Duration::from_secs(5);

/// What a look at the scan directory found.
#[derive(Debug)]
pub(crate) enum View {
    /// All its services, sorted by name.
    Services(Vec<Rc<Service>>),
    /// It cannot be read.
    Away,
}

/// What changed since the last look.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The scan directory, if anything in it did.
    pub(crate) view: Option<View>,
    /// The services whose status did.
    pub(crate) statuses: Vec<Id>,
}

/// The scan directory and what is watched of it.
#[derive(Debug)]
pub(crate) struct Survey {
    scan_dir: ScanDir,
    names: Names,
    watches: Watches,
    away: bool,
    rescan_every: Duration,
    rescan_at: Option<Instant>,
}

impl Survey {
    /// A survey of a scan directory that has been entered, before the first look.
    pub(crate) fn new(scan_dir: ScanDir, rescan_every: Duration) -> Self {
        let mut watches = Watches::new();
        watches.scan_dir(scan_dir.absolute());
        Self {
            scan_dir,
            names: Names::default(),
            watches,
            away: false,
            rescan_every,
            rescan_at: None,
        }
    }

    /// The watches: their descriptor is polled, and states are watched with them.
    pub(crate) fn watches(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// When to look at everything again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rescan_at
    }

    /// Looks at what inotify reports, and at everything when it is time to.
    pub(crate) fn take_changes(&mut self, now: Instant, messages: &mut Messages) -> Changes {
        let changes = self.watches.read();
        let all = changes.contains(&Change::Any) || (self.away && !changes.is_empty());
        if all || self.rescan_at.is_some_and(|at| at <= now) {
            return Changes {
                view: Some(self.look_at_all(now, messages)),
                statuses: Vec::new(),
            };
        }
        let mut taken = Changes::default();
        let mut names = false;
        for change in changes {
            match change {
                Change::Name(name) => {
                    names = true;
                    self.names.look_at(&name, messages);
                    if self.watch_name(&name) {
                        self.names.look_at(&name, messages);
                    }
                }
                Change::Status(id) => taken.statuses.push(id),
                Change::Any => {}
            }
        }
        taken.view = names.then(|| View::Services(self.names.services()));
        taken
    }

    /// Looks at everything.
    pub(crate) fn look_at_all(&mut self, now: Instant, messages: &mut Messages) -> View {
        let view = match self.enter_and_look(messages) {
            Ok(()) => {
                let message = self.scan_dir.back();
                messages.clear_and_inform(&Topic::ScanDir, &message);
                self.away = false;
                View::Services(self.names.services())
            }
            Err(unusable) => {
                messages.warn_once(Topic::ScanDir, self.scan_dir.away(unusable));
                self.away = true;
                View::Away
            }
        };
        self.schedule(now, messages);
        view
    }

    fn enter_and_look(&mut self, messages: &mut Messages) -> Result<(), Unusable> {
        let another = self.scan_dir.follow()?;
        if another || self.away {
            self.watches.scan_dir(self.scan_dir.absolute());
        }
        self.names.look_at_all(self.scan_dir.names()?, messages);
        self.watches.begin_names();
        self.watch_scan_dir();
        if self.watch_names() {
            // Something may have happened before it was watched.
            self.names.look_at_all(self.scan_dir.names()?, messages);
        }
        self.watches.end_names();
        Ok(())
    }

    fn schedule(&mut self, now: Instant, messages: &mut Messages) {
        let fault = self.watches.fault();
        if let Some(errno) = fault {
            let message = Message::UnableToWatch(Why::from(errno), UNWATCHED_RESCAN.as_secs());
            messages.warn_once(Topic::Watches, message);
        }
        let every = match (self.away, fault) {
            (true, _) => SECOND,
            (false, Some(_)) => self.rescan_every.min(UNWATCHED_RESCAN),
            (false, None) => self.rescan_every,
        };
        self.rescan_at = now.checked_add(every);
    }

    /// Watches for the scan directory itself to go, or to be put in place of another.
    fn watch_scan_dir(&mut self) {
        let path = self.scan_dir.absolute().to_path_buf();
        let named = path.parent().zip(path.file_name());
        let target = target_of(path.as_os_str());
        for (folder, name) in named
            .map(|(folder, name)| (folder.to_path_buf(), name.to_os_string()))
            .into_iter()
            .chain(target)
        {
            self.watches.target(&folder, name);
        }
    }

    /// Watches what the names of the scan directory depend on; true: some of it for the first time.
    fn watch_names(&mut self) -> bool {
        let names: Vec<OsString> = self.names.iter().map(|(name, _)| name.into()).collect();
        names
            .iter()
            .fold(false, |new, name| self.watch_name(name) | new)
    }

    /// Watches what a name depends on: where its link leads, and its `run` as long as it has none.
    fn watch_name(&mut self, name: &OsStr) -> bool {
        let mut new = false;
        if let Some(Found::Waiting(problem)) = self.names.get(name)
            && !matches!(problem, Problem::Failed(_))
        {
            new |= self.watches.waiting(name);
        }
        if let Some((folder, target)) = target_of(name) {
            new |= self.watches.target(&folder, target);
        }
        new
    }
}

/// Where a symlink leads: the folder that holds its target, and the target's name there. The target
/// itself need not exist.
fn target_of(name: &OsStr) -> Option<(PathBuf, OsString)> {
    let link = fs::read_link(name).ok()?;
    let target = fs::canonicalize(name).or_else(|_| {
        let (parent, last) = (link.parent(), link.file_name());
        let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
        fs::canonicalize(parent.unwrap_or(Path::new(".")))
            .map(|parent| parent.join(last.unwrap_or_default()))
    });
    let target = target.ok()?;
    Some((
        target.parent()?.to_path_buf(),
        target.file_name()?.to_os_string(),
    ))
}
