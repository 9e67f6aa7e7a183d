//! Looking at the scan directory: when inotify reports a change, and from time to time.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use servicedir::report::Why;

use crate::links::{entries_on_the_way, mounts};
use crate::lock_file::{LockFile, Unusable};
use crate::message::{Message, Messages, Topic};
use crate::names::{Found, Names, Problem};
use crate::scan::{Id, SECOND, Service};
use crate::scan_dir::ScanDir;
use crate::watches::{Change, Watches};

/// How often everything is looked at where not all can be watched.
const UNWATCHED_RESCAN: Duration = Duration::from_secs(5);

/// How long after a change of the mounts everything is looked at.
const MOUNTED_RESCAN: Duration = Duration::from_secs(1);

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
    mounts: Option<OwnedFd>,
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
            mounts: mounts(),
            away: false,
            rescan_every,
            rescan_at: None,
        }
    }

    /// The watches, for states to be watched with them.
    pub(crate) fn watches(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// The inotify instance, to poll for IN.
    pub(crate) fn inotify(&self) -> Option<&OwnedFd> {
        self.watches.descriptor()
    }

    /// The table of mounts, to poll for PRI.
    pub(crate) fn mounts(&self) -> Option<&OwnedFd> {
        self.mounts.as_ref()
    }

    /// Something was mounted or unmounted: everything is to be looked at, soon. Not at once, because
    /// on some machines that happens many times a second.
    pub(crate) fn note_mount(&mut self, now: Instant) {
        let soon = now + MOUNTED_RESCAN;
        self.rescan_at = Some(self.rescan_at.map_or(soon, |at| at.min(soon)));
    }

    /// The lock of the scan directory.
    pub(crate) fn lock(&mut self) -> &mut LockFile {
        self.scan_dir.lock()
    }

    /// When to look at something again.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.rescan_at
            .into_iter()
            .chain(self.names.deadline())
            .min()
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
        let mut names = self.names.due(now);
        for change in changes {
            match change {
                Change::Name(name) => names.push(name),
                Change::Status(id) => taken.statuses.push(id),
                Change::Any => {}
            }
        }
        for name in &names {
            self.names.look_at(name, now, messages);
            if self.watch_name(name) {
                self.names.look_at(name, now, messages);
            }
        }
        taken.view = (!names.is_empty()).then(|| View::Services(self.names.services()));
        taken
    }

    /// Looks at everything.
    pub(crate) fn look_at_all(&mut self, now: Instant, messages: &mut Messages) -> View {
        let view = match self.enter_and_look(now, messages) {
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

    fn enter_and_look(&mut self, now: Instant, messages: &mut Messages) -> Result<(), Unusable> {
        let another = self.scan_dir.follow()?;
        if another || self.away {
            self.watches.scan_dir(self.scan_dir.absolute());
        }
        self.names
            .look_at_all(self.scan_dir.names()?, now, messages);
        self.watches.begin_names();
        self.watch_scan_dir();
        if self.watch_names() {
            // Something may have happened before it was watched.
            self.names
                .look_at_all(self.scan_dir.names()?, now, messages);
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
        for (folder, name) in entries_on_the_way(&path) {
            self.watches.target(&folder, name);
        }
    }

    /// Watches what the names of the scan directory depend on; true: some of it for the first time.
    fn watch_names(&mut self) -> bool {
        let names: Vec<OsString> = self.names.iter().map(OsStr::to_os_string).collect();
        names
            .iter()
            .fold(false, |new, name| self.watch_name(name) | new)
    }

    /// Watches what a name depends on: the links on its way, and its `run` as long as it has none.
    fn watch_name(&mut self, name: &OsStr) -> bool {
        let mut new = false;
        if let Some(Found::Waiting(problem)) = self.names.get(name)
            && !matches!(problem, Problem::Failed(_) | Problem::Settling(_))
        {
            new |= self.watches.waiting(name);
        }
        if Path::new(name).is_symlink() {
            let path = self.scan_dir.absolute().join(name);
            // The scan directory and what leads to it are watched anyway.
            let entries = entries_on_the_way(&path).into_iter();
            for (folder, entry) in entries.skip_while(|(_, entry)| entry != name).skip(1) {
                new |= self.watches.target(&folder, entry);
            }
        }
        new
    }
}
