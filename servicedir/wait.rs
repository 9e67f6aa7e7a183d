//! Waiting until a status changes: one inotify instance for any number of services.

use std::cell::Cell;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::layout::{OK, STATUS};

/// How often to look where inotify is not to be had (its instances are used up, say).
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Watches the state directories of services.
///
/// A caller adds the directories first and reads the status files then, so that no change between
/// the two is missed.
#[derive(Debug)]
pub struct StatusWatch {
    inotify: Option<OwnedFd>,
    watched: Vec<(i32, usize)>,
    /// Some directory cannot be watched, or is not any more, and all are looked at again and again.
    blind: Cell<bool>,
}

/// What a wait has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// These services may have changed, by the index that they were added with.
    Changed(Vec<usize>),
    /// Any of the services may have changed.
    Any,
    /// The deadline has passed.
    TimedOut,
}

impl StatusWatch {
    /// A watch of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let inotify = inotify::init(flags).ok();
        Self {
            blind: Cell::new(inotify.is_none()),
            inotify,
            watched: Vec::new(),
        }
    }

    /// Watches the state directory at `state` as number `index`; several numbers may share one.
    pub fn add(&mut self, state: &Path, index: usize) {
        // The status is replaced (MOVED_TO) or, by daemontools-encore, written in place (MODIFY); the
        // ok FIFO's only reader, the supervise, goes away (CLOSE_NOWRITE). Opening is not watched:
        // every look of ours would wake us again.
        let events = WatchFlags::MOVED_TO
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_NOWRITE
            | WatchFlags::DELETE_SELF;
        let watch = match &self.inotify {
            Some(inotify) => inotify::add_watch(inotify, state, events),
            None => return,
        };
        match watch {
            Ok(watch) => self.watched.push((watch, index)),
            Err(_) => self.blind.set(true),
        }
    }

    /// Whether some directory is not watched, or not any more.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.blind.get()
    }

    /// Waits until a watched status may have changed, or a supervise may have come or gone, at the
    /// longest until `deadline`.
    ///
    /// # Errors
    /// As poll(2) and read(2) of an inotify descriptor; EINTR is no error.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Seen> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = if self.blind.get() {
                Some(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN)))
            } else {
                left
            };
            let timeout = left.map(|left| {
                Timespec::try_from(left).unwrap_or(Timespec {
                    tv_sec: 3600,
                    tv_nsec: 0,
                })
            });
            let polled = match &self.inotify {
                Some(inotify) => poll(&mut [PollFd::new(inotify, PollFlags::IN)], timeout.as_ref()),
                None => poll(&mut [], timeout.as_ref()),
            };
            match polled {
                // Before the deadline is asked for: the caller may have one sooner than the next look.
                Ok(0) if self.blind.get() => return Ok(Seen::Any),
                Ok(0) if deadline.is_some_and(|deadline| Instant::now() >= deadline) => {
                    return Ok(Seen::TimedOut);
                }
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => match self.read()? {
                    Seen::Changed(none) if none.is_empty() => {}
                    seen @ (Seen::Changed(_) | Seen::Any | Seen::TimedOut) => return Ok(seen),
                },
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn read(&self) -> io::Result<Seen> {
        let mut seen = Vec::new();
        let Some(inotify) = &self.inotify else {
            return Ok(Seen::Any);
        };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    return Ok(Seen::Any);
                }
                Ok(event) if matters(event.events(), event.file_name()) => {
                    if event.events().contains(ReadFlags::IGNORED) {
                        // The directory is gone; one that is made in its place has no watch.
                        self.blind.set(true);
                    }
                    seen.extend(
                        self.watched
                            .iter()
                            .filter(|(watch, _)| *watch == event.wd())
                            .map(|(_, index)| *index),
                    );
                }
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        seen.sort_unstable();
        seen.dedup();
        Ok(Seen::Changed(seen))
    }
}

impl Default for StatusWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// A status that changed, an ok FIFO that lost its reader, or the end of the directory itself.
fn matters(events: ReadFlags, name: Option<&CStr>) -> bool {
    match name.map(CStr::to_bytes) {
        None => true,
        Some(name) if name == STATUS.as_bytes() => {
            events.intersects(ReadFlags::MOVED_TO | ReadFlags::MODIFY)
        }
        Some(name) => name == OK.as_bytes() && events.contains(ReadFlags::CLOSE_NOWRITE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_made_again_is_looked_at_although_its_watch_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("supervise");
        std::fs::create_dir(&state).unwrap();
        let mut watch = StatusWatch::new();
        watch.add(&state, 0);
        assert!(!watch.is_blind());
        std::fs::remove_dir(&state).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(watch.wait(Some(deadline)).unwrap(), Seen::Changed(vec![0]));
        assert!(watch.is_blind());
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join(STATUS), "").unwrap();
        assert_eq!(watch.wait(Some(deadline)).unwrap(), Seen::Any);
    }
}
