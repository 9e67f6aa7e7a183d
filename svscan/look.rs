//! Looking at the scan directory: when something was noticed, and from time to time.

use std::ffi::{OsStr, OsString};
use std::time::{Duration, Instant};

use servicedir::report::Why;

use crate::directory::{Found, Problem, Refused, hold, is_deleted, target_of};
use crate::event_loop::{EventLoop, Kept};
use crate::scan::{Event, SECOND};
use crate::unit::Id;
use crate::watches::Noticed;

/// How often everything is looked at where not all can be watched.
const BLIND_RESCAN: Duration = Duration::from_secs(5);

impl EventLoop {
    /// Looks at what inotify tells of.
    pub(crate) fn notice(&mut self) {
        let noticed = self.watches.read();
        if noticed.is_empty() {
            return;
        }
        if noticed.contains(&Noticed::All) || self.away.is_some() {
            return self.rescan();
        }
        let mut names = false;
        for what in noticed {
            match what {
                Noticed::Name(name) => {
                    names = true;
                    self.scan_dir.look_at(&name, self.report);
                    if self.watch_name(&name) {
                        self.scan_dir.look_at(&name, self.report);
                    }
                }
                Noticed::Status(id) => self.check_essential(&id),
                Noticed::All => {}
            }
        }
        if names {
            self.seen();
        }
    }

    /// Looks at everything.
    pub(crate) fn rescan(&mut self) {
        let away = match self.scan_dir.follow() {
            Ok(another) => {
                if another || self.away.is_some() {
                    self.watches.scan_dir(self.scan_dir.absolute());
                }
                self.scan_dir
                    .look_at_all(self.report)
                    .err()
                    .map(Refused::Failed)
            }
            Err(refused) => Some(refused),
        };
        self.tell_away(away);
        self.away = away;
        if away.is_some() {
            self.step(Event::Away);
        } else {
            self.watches.begin_names();
            self.watch_scan_dir();
            if self.watch_names() {
                // Something may have happened before it was watched.
                self.scan_dir.look_at_all(self.report).ok();
            }
            self.watches.end_names();
            self.seen();
        }
        self.schedule();
    }

    fn tell_away(&self, away: Option<Refused>) {
        let path = self.scan_dir.path().display();
        match away {
            Some(why) if self.away != away => {
                self.report.warning(format_args!(
                    "unable to scan {path}: {why}; what runs goes on, and it is tried again every second"
                ));
            }
            None if self.away.is_some() => {
                self.report.info(format_args!("{path} is scanned again"))
            }
            Some(_) | None => {}
        }
    }

    /// When to look at everything again.
    fn schedule(&mut self) {
        let fault = self.watches.fault();
        if let Some(errno) = fault
            && self.blind != fault
        {
            self.report.warning(format_args!(
                "unable to watch everything: {}; looking every {} seconds",
                Why::from(errno),
                BLIND_RESCAN.as_secs()
            ));
        }
        self.blind = fault;
        let every = match (self.away, fault) {
            (Some(_), _) => SECOND,
            (None, Some(_)) => self.rescan_every.min(BLIND_RESCAN),
            (None, None) => self.rescan_every,
        };
        self.rescan_at = Instant::now().checked_add(every);
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
        let names: Vec<OsString> = self.scan_dir.found().map(|(name, _)| name.into()).collect();
        names
            .iter()
            .fold(false, |new, name| self.watch_name(name) | new)
    }

    /// Watches what a name depends on: where its link leads, and its `run` as long as it has none.
    fn watch_name(&mut self, name: &OsStr) -> bool {
        let mut new = false;
        if let Some(Found::Waiting(problem)) = self.scan_dir.what(name)
            && !matches!(problem, Problem::Failed(_))
        {
            new |= self.watches.waiting(name);
        }
        if let Some((folder, target)) = target_of(name) {
            new |= self.watches.target(&folder, target);
        }
        new
    }

    /// Tells the machine what stands in the scan directory.
    fn seen(&mut self) {
        let services = self.scan_dir.services();
        for service in &services {
            self.kept.entry(service.id.clone()).or_insert_with(|| Kept {
                held: hold(&service.name, &service.id),
                real: None,
                supervise: None,
                complained: false,
            });
        }
        for id in self.deleted() {
            self.step(Event::Deleted(id));
        }
        // Their supervises were started before the option was there: nobody watches their status.
        let known = |id: &Id| self.scan.units.get(id).is_some_and(|unit| !unit.essential);
        let newly_essential: Vec<Id> = services
            .iter()
            .filter(|service| service.essential && known(&service.id))
            .map(|service| service.id.clone())
            .collect();
        self.step(Event::Seen(services));
        for id in newly_essential {
            self.mind_essential(&id, Instant::now());
        }
    }

    /// The units whose directories have been deleted.
    fn deleted(&self) -> Vec<Id> {
        let kept = self.kept.iter();
        kept.filter(|(_, kept)| kept.held.as_ref().is_some_and(is_deleted))
            .map(|(id, _)| id.clone())
            .collect()
    }
}
