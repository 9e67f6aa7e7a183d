//! Notices of changes in directories: the scan directory, and the spools.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// Names that come, go and move; a name that becomes a directory is one that comes.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

/// Names that are moved in, as an item of a spool is; and a spool that is made.
const ITEMS: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::CREATE)
    .union(WatchFlags::ONLYDIR);

/// What has changed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Changed {
    /// The names of the scan directory.
    pub(crate) scan: bool,
    /// Some spool.
    pub(crate) spools: bool,
}

/// Watches directories.
#[derive(Debug)]
pub(crate) struct Folders {
    inotify: Option<OwnedFd>,
    scan: Option<i32>,
}

impl Folders {
    /// Watches the scan directory.
    pub(crate) fn new(scan: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        let watch = inotify
            .as_ref()
            .and_then(|inotify| inotify::add_watch(inotify, scan, NAMES).ok());
        Self {
            inotify,
            scan: watch,
        }
    }

    /// Watches a spool, or the directory that it would be in. One that does not exist is not watched:
    /// the directory above it tells when it is made.
    pub(crate) fn add_spool(&self, folder: &Path) {
        let Some(inotify) = &self.inotify else { return };
        if inotify::add_watch(inotify, folder, ITEMS).is_err()
            && let Some(above) = folder.parent()
        {
            inotify::add_watch(inotify, above, ITEMS).ok();
        }
    }

    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// What has changed since the last call; it does not wait.
    pub(crate) fn changed(&self) -> Changed {
        let mut changed = Changed::default();
        let Some(inotify) = &self.inotify else {
            return changed;
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                return Changed {
                    scan: true,
                    spools: true,
                };
            }
            if Some(event.wd()) == self.scan {
                changed.scan = true;
            } else {
                changed.spools = true;
            }
        }
        changed
    }
}
