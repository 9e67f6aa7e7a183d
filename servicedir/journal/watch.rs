//! A wait for new lines in the journals of any number of services: one inotify instance.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::layout::{JOURNAL, Layout};

/// How often a directory that cannot be watched is looked at. inotify does not tell when a directory on
/// the way to it appears, and a user's watches may be used up.
pub const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What happens in a state directory when its journal grows, begins, or is replaced.
const STATE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What happens in a service directory when its state directory appears.
const SERVICE: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// Watches the journals of services.
///
/// A caller adds a service first and reads its journal then, so that no line between the two is missed.
#[derive(Debug)]
pub struct JournalWatch {
    inotify: Option<OwnedFd>,
    watched: Vec<Watched>,
}

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changed {
    /// The journals of these services may have new lines, by the index that they were added with.
    Some(Vec<usize>),
    /// Any journal may have new lines.
    Any,
}

#[derive(Debug)]
struct Watched {
    index: usize,
    layout: Layout,
    place: Where,
}

/// What is watched of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Where {
    /// Its state directory.
    State(i32),
    /// The service directory, because the state directory does not exist.
    Service(i32),
    /// Nothing.
    Nowhere,
}

impl JournalWatch {
    /// A watch of no service yet.
    #[must_use]
    pub fn new() -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Self {
            inotify: inotify::init(flags).ok(),
            watched: Vec::new(),
        }
    }

    /// Watches the journal of a service, as number `index`.
    pub fn add(&mut self, layout: Layout, index: usize) {
        let place = self.watch(&layout);
        self.watched.push(Watched {
            index,
            layout,
            place,
        });
    }

    /// Forgets the service of that number.
    pub fn remove(&mut self, index: usize) {
        let gone: Vec<Watched> = self
            .watched
            .extract_if(.., |watched| watched.index == index)
            .collect();
        for watched in gone {
            self.forget(watched.place);
        }
    }

    /// Polls readable when [`JournalWatch::changed`] has something to tell; none where inotify is not
    /// to be had.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// After which time to look at all services, whatever [`JournalWatch::descriptor`] tells: none
    /// while all of them are watched.
    #[must_use]
    pub fn look_again(&self) -> Option<Duration> {
        let blind = |watched: &Watched| !matches!(watched.place, Where::State(_));
        let all = self.inotify.is_some() && !self.watched.iter().any(blind);
        (!all).then_some(LOOK_AGAIN)
    }

    /// Tries again to watch what could not be watched, and returns the services that now are.
    pub fn retry(&mut self) -> Vec<usize> {
        let mut found = Vec::new();
        for at in 0..self.watched.len() {
            let Some(watched) = self.watched.get(at) else {
                break;
            };
            if matches!(watched.place, Where::State(_)) {
                continue;
            }
            let (before, index) = (watched.place, watched.index);
            let place = self.watch(&watched.layout);
            if matches!(place, Where::State(_)) {
                self.forget(before);
                found.push(index);
            }
            if let Some(watched) = self.watched.get_mut(at) {
                watched.place = place;
            }
        }
        found
    }

    /// What has changed since the last call; it does not wait.
    pub fn changed(&mut self) -> Changed {
        let mut changed = Vec::new();
        let mut appeared = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let Some(inotify) = &self.inotify else {
            return Changed::Any;
        };
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    return Changed::Any;
                }
                Ok(event) => {
                    let gone = event.events().contains(ReadFlags::IGNORED);
                    for watched in &mut self.watched {
                        match watched.place {
                            Where::State(watch) | Where::Service(watch)
                                if gone && watch == event.wd() =>
                            {
                                watched.place = Where::Nowhere;
                                appeared = true;
                            }
                            Where::State(watch) if watch == event.wd() => {
                                if is_journal(event.file_name()) {
                                    changed.push(watched.index);
                                }
                            }
                            Where::Service(watch) if watch == event.wd() => appeared = true,
                            Where::State(_) | Where::Service(_) | Where::Nowhere => {}
                        }
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if appeared {
            changed.extend(self.retry());
        }
        changed.sort_unstable();
        changed.dedup();
        Changed::Some(changed)
    }

    /// Waits until journals may have new lines, or until `timeout` has passed; then none has changed.
    ///
    /// # Errors
    /// As poll(2). A signal ends the wait without a change.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Changed, Errno> {
        let look = self.look_again();
        let shortest = [timeout, look].into_iter().flatten().min();
        let timespec = shortest.and_then(|time| Timespec::try_from(time).ok());
        let polled = match &self.inotify {
            Some(inotify) => poll(
                &mut [PollFd::new(inotify, PollFlags::IN)],
                timespec.as_ref(),
            ),
            None => poll(&mut [], timespec.as_ref()),
        };
        match polled {
            Ok(0) if look.is_some() && look == shortest => {
                self.retry();
                Ok(Changed::Any)
            }
            Ok(0) | Err(Errno::INTR) => Ok(Changed::Some(Vec::new())),
            Ok(_) => Ok(self.changed()),
            Err(errno) => Err(errno),
        }
    }

    fn watch(&self, layout: &Layout) -> Where {
        if let Some(watch) = self.add_watch(&layout.state, STATE) {
            return Where::State(watch);
        }
        match self.add_watch(&layout.dir, SERVICE) {
            // It may have appeared meanwhile.
            Some(service) => match self.add_watch(&layout.state, STATE) {
                Some(watch) => {
                    self.forget(Where::Service(service));
                    Where::State(watch)
                }
                None => Where::Service(service),
            },
            None => Where::Nowhere,
        }
    }

    fn add_watch(&self, folder: &Path, events: WatchFlags) -> Option<i32> {
        inotify::add_watch(self.inotify.as_ref()?, folder, events).ok()
    }

    /// Ends a watch, unless another service shares it.
    fn forget(&self, place: Where) {
        let (Where::State(watch) | Where::Service(watch)) = place else {
            return;
        };
        let shared = |watched: &&Watched| match watched.place {
            Where::State(other) | Where::Service(other) => other == watch,
            Where::Nowhere => false,
        };
        if let Some(inotify) = &self.inotify
            && self.watched.iter().filter(shared).count() < 2
        {
            inotify::remove_watch(inotify, watch).ok();
        }
    }
}

impl Default for JournalWatch {
    fn default() -> Self {
        Self::new()
    }
}

fn is_journal(name: Option<&CStr>) -> bool {
    name.is_none_or(|name| name.to_bytes() == JOURNAL.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::fs;
    use std::io::Write;

    fn service() -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().unwrap();
        let layout =
            Layout::with_supervisedir(folder.path(), Some(OsStr::new("supervise"))).unwrap();
        (folder, layout)
    }

    const LONG: Option<Duration> = Some(Duration::from_secs(60));

    #[test]
    fn a_journal_in_a_state_directory_that_appears_later_is_noticed() {
        let (_folder, layout) = service();
        let mut watch = JournalWatch::new();
        watch.add(layout.clone(), 7);
        assert_eq!(watch.look_again(), Some(LOOK_AGAIN));
        fs::create_dir(&layout.state).unwrap();
        assert_eq!(watch.wait(LONG), Ok(Changed::Some(vec![7])));
        assert_eq!(watch.look_again(), None);
        let mut journal = fs::File::create(layout.state_file(JOURNAL)).unwrap();
        assert_eq!(watch.wait(LONG), Ok(Changed::Some(vec![7])));
        journal.write_all(b"x\n").unwrap();
        assert_eq!(watch.wait(LONG), Ok(Changed::Some(vec![7])));
    }

    #[test]
    fn other_files_of_the_state_directory_are_no_change() {
        let (_folder, layout) = service();
        fs::create_dir(&layout.state).unwrap();
        let mut watch = JournalWatch::new();
        watch.add(layout.clone(), 0);
        fs::write(layout.state_file("status"), "x").unwrap();
        assert_eq!(watch.wait(LONG), Ok(Changed::Some(vec![])));
    }

    #[test]
    fn a_state_directory_that_is_made_again_is_watched_again() {
        let (_folder, layout) = service();
        fs::create_dir(&layout.state).unwrap();
        let mut watch = JournalWatch::new();
        watch.add(layout.clone(), 0);
        fs::remove_dir(&layout.state).unwrap();
        watch.wait(LONG).unwrap();
        fs::create_dir(&layout.state).unwrap();
        while watch.look_again().is_some() {
            watch.wait(LONG).unwrap();
        }
        fs::write(layout.state_file(JOURNAL), "x\n").unwrap();
        assert_eq!(watch.wait(LONG), Ok(Changed::Some(vec![0])));
    }
}
