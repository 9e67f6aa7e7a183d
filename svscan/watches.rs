//! The one inotify instance: which changes svscan acts on at once.
//!
//! It watches the scan directory; the folders that hold the targets of its links, and the scan
//! directory itself; and service directories that have no `run` yet. What cannot be watched is left to
//! the rescan.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use servicedir::layout::{RUN, STATUS};

use crate::scan::Id;

/// Something that has changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Change {
    /// Anything: everything is to be looked at.
    Any,
    /// This name in the scan directory.
    Name(OsString),
    /// The status of this service.
    Status(Id),
}

/// What a watch is there for; one directory may be watched for several reasons.
#[derive(Debug, Default)]
struct Reason {
    scan_dir: bool,
    targets: BTreeSet<OsString>,
    waiting: Option<OsString>,
    states: BTreeSet<Id>,
}

impl Reason {
    fn is_none(&self) -> bool {
        !self.scan_dir
            && self.targets.is_empty()
            && self.waiting.is_none()
            && self.states.is_empty()
    }
}

/// The watches.
#[derive(Debug)]
pub(crate) struct Watches {
    inotify: Option<OwnedFd>,
    reasons: BTreeMap<i32, Reason>,
    fault: Option<Errno>,
}

const ENTRIES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);

impl Watches {
    /// Nothing is watched yet.
    pub(crate) fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK);
        let fault = inotify.as_ref().err().copied();
        Self {
            inotify: inotify.ok(),
            reasons: BTreeMap::new(),
            fault,
        }
    }

    /// The descriptor to poll.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        self.inotify.as_ref()
    }

    /// Why not everything is watched, if so.
    pub(crate) fn fault(&self) -> Option<Errno> {
        self.fault
    }

    /// Watches the scan directory, and nothing that was watched for the sake of another one.
    pub(crate) fn scan_dir(&mut self, path: &Path) {
        self.reasons
            .values_mut()
            .for_each(|reason| reason.scan_dir = false);
        if let Some((reason, _)) = self.add(path, ENTRIES) {
            reason.scan_dir = true;
        }
    }

    /// Forgets what the names of the scan directory were watched for; they are all looked at again.
    pub(crate) fn begin_names(&mut self) {
        for reason in self.reasons.values_mut() {
            reason.targets.clear();
            reason.waiting = None;
        }
    }

    /// Ends the watches that are not needed any more.
    pub(crate) fn end_names(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        self.reasons.retain(|watch, reason| {
            if reason.is_none() {
                // It fails when the directory is gone, and with it the watch.
                inotify::remove_watch(inotify, *watch).ok();
            }
            !reason.is_none()
        });
    }

    /// Watches `folder` for the coming and going of `name`. True: it was not watched before, so
    /// something may have been missed.
    pub(crate) fn target(&mut self, folder: &Path, name: OsString) -> bool {
        self.add(folder, ENTRIES)
            .is_some_and(|(reason, new)| reason.targets.insert(name) && new)
    }

    /// Watches the service directory `name` for its `run`. True: it was not watched before.
    pub(crate) fn waiting(&mut self, name: &OsStr) -> bool {
        let events = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ATTRIB;
        self.add(Path::new(name), events)
            .is_some_and(|(reason, new)| {
                reason.waiting = Some(name.to_os_string());
                new
            })
    }

    /// Watches a state directory for the status of a service.
    ///
    /// # Errors
    /// It is not there, or cannot be watched.
    pub(crate) fn state(&mut self, path: &Path, id: &Id) -> Result<(), Errno> {
        let watch = match &self.inotify {
            Some(inotify) => inotify::add_watch(inotify, path, flags(WatchFlags::MOVED_TO))?,
            None => return Err(Errno::NOSYS),
        };
        self.reasons
            .entry(watch)
            .or_default()
            .states
            .insert(id.clone());
        Ok(())
    }

    fn add(&mut self, path: &Path, events: WatchFlags) -> Option<(&mut Reason, bool)> {
        let inotify = self.inotify.as_ref()?;
        match inotify::add_watch(inotify, path, flags(events)) {
            Ok(watch) => {
                let new = !self.reasons.contains_key(&watch);
                Some((self.reasons.entry(watch).or_default(), new))
            }
            // It is gone again, or closed to us: the next look finds that out.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => None,
            Err(errno) => {
                self.fault = Some(errno);
                None
            }
        }
    }

    /// The changes since the last call.
    pub(crate) fn read(&mut self) -> BTreeSet<Change> {
        let mut changes = BTreeSet::new();
        let Some(inotify) = &self.inotify else {
            return changes;
        };
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                changes.insert(Change::Any);
                continue;
            }
            if flags.contains(ReadFlags::IGNORED) {
                if self
                    .reasons
                    .remove(&event.wd())
                    .is_some_and(|reason| reason.scan_dir)
                {
                    changes.insert(Change::Any);
                }
                continue;
            }
            if let Some(reason) = self.reasons.get(&event.wd()) {
                let name = event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()));
                reason.changes_by(name, &mut changes);
            }
        }
        changes
    }
}

impl Reason {
    /// What an event in the watched directory means; without a name it is about the directory itself.
    fn changes_by(&self, name: Option<&OsStr>, changes: &mut BTreeSet<Change>) {
        if let Some(waiting) = &self.waiting
            && name.is_none_or(|name| name == RUN)
        {
            changes.insert(Change::Name(waiting.clone()));
        }
        let Some(name) = name else { return };
        if self.scan_dir && name.as_bytes().first() != Some(&b'.') {
            changes.insert(Change::Name(name.to_os_string()));
        }
        if self.targets.contains(name) {
            changes.insert(Change::Any);
        }
        if name == STATUS {
            changes.extend(self.states.iter().cloned().map(Change::Status));
        }
    }
}

/// With what else every watch has: events are added to those of a watch that is there.
fn flags(events: WatchFlags) -> WatchFlags {
    events | WatchFlags::ONLYDIR | WatchFlags::MASK_ADD
}
