//! Changes of directories, by one inotify instance for the whole process.
//!
//! A directory is watched only while a request waits for it or a page shows it; without any, nothing
//! wakes this process.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use servicedir::layout::OK;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// How often to look where a directory cannot be watched: the system's watches are used up, or it is not
/// there yet.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What is told of a directory: files in it that are made, written, renamed or removed, its own end, and
/// the end of its `ok` FIFO's reader, which is a supervise.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::CLOSE_NOWRITE);

/// The watches of the process: who is told of each of them.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Option<AsyncFd<OwnedFd>>,
    told: RefCell<BTreeMap<i32, Vec<Listener>>>,
}

/// One who watches a directory, which has this number there.
type Listener = (Rc<Inbox>, usize);

/// What one of those who watch has not taken yet: bounded by the number of its directories, however
/// slow it is.
#[derive(Debug, Default)]
struct Inbox {
    changed: RefCell<BTreeSet<usize>>,
    /// The directories of these numbers are not watched, or not any more.
    blind: RefCell<BTreeSet<usize>>,
    came: Notify,
}

/// Directories that are watched together, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watches {
    watcher: Rc<Watcher>,
    inbox: Rc<Inbox>,
    directories: Vec<PathBuf>,
}

impl Watcher {
    /// Watches nothing yet. To be called in the runtime.
    pub(crate) fn new() -> Rc<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .ok()
            .and_then(registered);
        let watcher = Rc::new(Self {
            inotify,
            told: RefCell::default(),
        });
        tokio::task::spawn_local(pass_on(Rc::clone(&watcher)));
        watcher
    }

    /// Watches nothing yet, on behalf of one who will be told.
    pub(crate) fn watches(self: &Rc<Self>) -> Watches {
        Watches {
            watcher: Rc::clone(self),
            inbox: Rc::default(),
            directories: Vec::new(),
        }
    }

    /// Watches one directory.
    pub(crate) fn watch(self: &Rc<Self>, directory: &Path) -> Watches {
        let mut watches = self.watches();
        watches.add(directory);
        watches
    }

    /// Tells those who watch what the kernel has told.
    fn read(&self, inotify: &OwnedFd) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    self.told.borrow().values().for_each(|all| tell(all));
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => self.lose(event.wd()),
                Ok(event) => {
                    // A reader's close is told of every file; that of `ok` alone means something, and
                    // our own reads would wake us again.
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    let closed = event.events().contains(ReadFlags::CLOSE_NOWRITE);
                    if let Some(all) = self.told.borrow().get(&event.wd())
                        && (!closed || name == Some(OK.as_bytes()))
                    {
                        tell(all);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// A directory is gone, and its watch with it.
    fn lose(&self, watch: i32) {
        for (inbox, index) in self.told.borrow_mut().remove(&watch).unwrap_or_default() {
            inbox.blind.borrow_mut().insert(index);
            inbox.came.notify_one();
        }
    }
}

fn tell(all: &[Listener]) {
    for (inbox, index) in all {
        inbox.changed.borrow_mut().insert(*index);
        inbox.came.notify_one();
    }
}

/// The descriptor in the runtime's poll set.
#[expect(
    deprecated,
    reason = "the descriptor is owned, so that what AsyncFd::register asks of an unsafe caller holds"
)]
fn registered(inotify: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(inotify).ok()
}

/// Reads what the kernel tells.
async fn pass_on(watcher: Rc<Watcher>) {
    let Some(inotify) = &watcher.inotify else {
        return;
    };
    while let Ok(mut ready) = inotify.readable().await {
        watcher.read(inotify.get_ref());
        ready.clear_ready();
    }
}

impl Watches {
    /// Watches one more directory. What happens in it from now on ends [`Watches::changed`].
    pub(crate) fn add(&mut self, directory: &Path) {
        let index = self.directories.len();
        self.directories.push(directory.to_owned());
        if !self.begin(index, directory) {
            self.inbox.blind.borrow_mut().insert(index);
        }
    }

    fn begin(&self, index: usize, directory: &Path) -> bool {
        let Some(inotify) = &self.watcher.inotify else {
            return false;
        };
        let Ok(watch) = inotify::add_watch(inotify.get_ref(), directory, EVENTS) else {
            return false;
        };
        let mut told = self.watcher.told.borrow_mut();
        let all = told.entry(watch).or_default();
        all.push((Rc::clone(&self.inbox), index));
        true
    }

    /// Ends when something has changed since the last call, or since the watch began: who looks in between
    /// misses nothing. Returns in which directories, by the order in which they were added.
    pub(crate) async fn changed(&mut self) -> BTreeSet<usize> {
        loop {
            let changed = self.inbox.changed.take();
            if !changed.is_empty() {
                return changed;
            }
            if self.inbox.blind.borrow().is_empty() {
                self.inbox.came.notified().await;
            } else {
                let woken = tokio::time::timeout(LOOK_AGAIN, self.inbox.came.notified()).await;
                if woken.is_err() {
                    return self.try_again();
                }
            }
        }
    }

    /// Tries to watch what could not be watched, and returns it: it may have changed.
    fn try_again(&self) -> BTreeSet<usize> {
        let blind = self.inbox.blind.take();
        let still = blind.iter().filter(|index| {
            let directory = self.directories.get(**index);
            !directory.is_some_and(|directory| self.begin(**index, directory))
        });
        let still = still.copied().collect();
        self.inbox.blind.replace(still);
        blind
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        self.watcher.told.borrow_mut().retain(|watch, all| {
            all.retain(|(inbox, _)| !Rc::ptr_eq(inbox, &self.inbox));
            if let (true, Some(inotify)) = (all.is_empty(), &self.watcher.inotify) {
                // The directory, and its watch with it, may be gone already.
                inotify::remove_watch(inotify.get_ref(), *watch).unwrap_or_default();
            }
            !all.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a future as svhttpd does.
    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn a_change_between_two_waits_is_not_missed_and_reading_is_none() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let (a, b) = (folder.path().join("a"), folder.path().join("b"));
            std::fs::create_dir(&a).unwrap();
            std::fs::create_dir(&b).unwrap();
            let watcher = Watcher::new();
            let mut watches = watcher.watches();
            watches.add(&a);
            watches.add(&b);
            std::fs::write(b.join("status"), "1").unwrap();
            assert_eq!(watches.changed().await, BTreeSet::from([1]));
            std::fs::read(b.join("status")).unwrap();
            let mut nothing = Box::pin(watches.changed());
            let waited = tokio::time::timeout(LOOK_AGAIN, &mut nothing).await;
            assert!(waited.is_err(), "{waited:?}");
        });
    }

    #[test]
    fn a_directory_that_comes_or_is_made_again_is_found() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().join("supervise");
            let watcher = Watcher::new();
            let mut watches = watcher.watch(&dir);
            assert_eq!(watches.changed().await, BTreeSet::from([0]));
            std::fs::create_dir(&dir).unwrap();
            while watcher.told.borrow().is_empty() {
                watches.changed().await;
            }
            std::fs::remove_dir(&dir).unwrap();
            assert_eq!(watches.changed().await, BTreeSet::from([0]));
            drop(watches);
            assert!(watcher.told.borrow().is_empty());
        });
    }

    #[test]
    fn one_who_leaves_does_not_take_the_other_s_watch() {
        run(async {
            let folder = tempfile::tempdir().unwrap();
            let watcher = Watcher::new();
            let first = watcher.watch(folder.path());
            let mut second = watcher.watch(folder.path());
            drop(first);
            std::fs::write(folder.path().join("status"), "1").unwrap();
            assert_eq!(second.changed().await, BTreeSet::from([0]));
        });
    }
}
