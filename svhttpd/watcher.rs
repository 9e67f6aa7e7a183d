//! Changes of directories, by one inotify instance for the whole process.
//!
//! A directory is watched only while a request waits for it or a page shows it; without any, nothing
//! wakes this process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use servicedir::layout::OK;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

/// How often to look where inotify is not to be had: its instances or watches are used up, or the
/// directory is not there yet.
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

/// The directories that are watched now: how many watch each, and how they are told.
type Watched = BTreeMap<i32, (usize, watch::Sender<()>)>;

/// The watches of the process.
#[derive(Debug)]
pub(crate) struct Watcher {
    inotify: Option<AsyncFd<OwnedFd>>,
    watched: RefCell<Watched>,
}

/// One directory that is watched, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Rc<Watcher>,
    /// Its number and its changes; `None`: it cannot be watched, and is looked at again and again.
    told: Option<(i32, watch::Receiver<()>)>,
}

impl Watcher {
    /// Watches nothing yet. To be called in the runtime.
    pub(crate) fn new() -> Rc<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .ok()
            .and_then(registered);
        let watcher = Rc::new(Self {
            inotify,
            watched: RefCell::default(),
        });
        tokio::task::spawn_local(pass_on(Rc::clone(&watcher)));
        watcher
    }

    /// Watches a directory. What happens in it from now on ends [`Watch::changed`].
    pub(crate) fn watch(self: &Rc<Self>, directory: &Path) -> Watch {
        let number = self
            .inotify
            .as_ref()
            .and_then(|inotify| inotify::add_watch(inotify.get_ref(), directory, EVENTS).ok());
        let told = number.map(|number| {
            let mut watched = self.watched.borrow_mut();
            let (count, sender) = watched
                .entry(number)
                .or_insert_with(|| (0, watch::Sender::new(())));
            *count += 1;
            (number, sender.subscribe())
        });
        Watch {
            watcher: Rc::clone(self),
            told,
        }
    }

    /// Tells those who watch what the kernel has told.
    fn read(&self, inotify: &OwnedFd) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    let watched = self.watched.borrow();
                    watched
                        .values()
                        .for_each(|(_, sender)| sender.send_replace(()));
                }
                Ok(event) => {
                    // A reader's close is told of every file; that of `ok` alone means something, and
                    // our own reads would wake us again.
                    let name = event.file_name().map(std::ffi::CStr::to_bytes);
                    let closed = event.events().contains(ReadFlags::CLOSE_NOWRITE);
                    if !closed || name == Some(OK.as_bytes()) {
                        self.tell(event.wd());
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    fn tell(&self, number: i32) {
        if let Some((_, sender)) = self.watched.borrow().get(&number) {
            sender.send_replace(());
        }
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

impl Watch {
    /// Ends when something has changed since the last call, or since the watch began: who looks in between
    /// misses nothing.
    pub(crate) async fn changed(&mut self) {
        match &mut self.told {
            // The sender lives as long as this does.
            Some((_, told)) => told.changed().await.unwrap_or_default(),
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some((number, _)) = &self.told else {
            return;
        };
        let mut watched = self.watcher.watched.borrow_mut();
        let Some((count, _)) = watched.get_mut(number) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            watched.remove(number);
            if let Some(inotify) = &self.watcher.inotify {
                // The directory, and its watch with it, may be gone already.
                inotify::remove_watch(inotify.get_ref(), *number).unwrap_or_default();
            }
        }
    }
}
