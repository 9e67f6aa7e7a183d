//! `svlog -f`: what the logs hold, then each line as it is written, over rotations and new directories.

use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::show::Show;
use crate::source::{Service, Source};
use crate::stream::is_double;
use crate::tail::Tail;
use crate::{Out, open, print_past};

/// How often a directory that cannot be watched is looked at: it is not there yet, or this user's watches
/// are used up.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What happens in a log directory: lines and rotations.
const LOGGED: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// What happens where a log directory may appear.
const APPEARS: WatchFlags = WatchFlags::MOVED_TO
    .union(WatchFlags::CREATE)
    .union(WatchFlags::ONLYDIR);

/// The sources that are followed, and the watches on them.
struct Followed<'a> {
    services: &'a [Service],
    sources: Vec<Source>,
    tails: Vec<Tail>,
    /// For each source, the watch on its directory.
    watches: Vec<Option<i32>>,
    inotify: OwnedFd,
    /// Whether every directory that matters is watched.
    all_watched: bool,
}

/// Prints the past of the sources, then what is added, until the output takes no more.
///
/// # Errors
/// A log cannot be read, or nothing can be watched.
pub(crate) fn follow(
    services: &[Service],
    sources: Vec<Source>,
    show: &Show,
    lines: Option<usize>,
    out: &mut Out<'_>,
) -> io::Result<()> {
    let mut followed = Followed {
        services,
        sources,
        tails: Vec::new(),
        watches: Vec::new(),
        inotify: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
        all_watched: true,
    };
    // Watched before it is read, so that no line between the two is missed.
    followed.watch();
    let mut files = Vec::new();
    for (at, source) in followed.sources.iter().enumerate() {
        let mut opened = open(source)?;
        followed.tails.push(Tail::at_the_end(at, &mut opened)?);
        files.push(opened);
    }
    print_past(files, &followed.sources, show, lines, out)?;
    out.flush()?;
    let mut changed = Changed::All;
    loop {
        followed.print(&changed, show, out)?;
        out.flush()?;
        changed = followed.wait()?;
        if matches!(changed, Changed::All) {
            followed.look_for_sources();
        }
    }
}

/// Which sources may have new lines.
enum Changed {
    /// Those with these watches.
    Watches(Vec<i32>),
    /// Any, and there may be new ones.
    All,
}

impl Followed<'_> {
    /// Watches the directories of all sources, and where more may appear.
    fn watch(&mut self) {
        let add = |path: &Path, flags| inotify::add_watch(&self.inotify, path, flags).ok();
        self.watches = self
            .sources
            .iter()
            .map(|source| add(&source.folder, LOGGED))
            .collect();
        let mut places = self.services.iter().flat_map(Service::places);
        let places_watched = places.all(|place| add(&place, APPEARS).is_some());
        let sources_watched = self.watches.iter().all(Option::is_some);
        let complete = self.services.iter().all(|service| {
            let dir = &service.dir;
            self.sources
                .iter()
                .any(|source| source.folder.starts_with(dir))
        });
        self.all_watched = places_watched && sources_watched && complete;
    }

    /// Takes up log directories that have appeared.
    fn look_for_sources(&mut self) {
        for source in self.services.iter().flat_map(Service::sources) {
            if !self.sources.contains(&source) {
                let folder = source.folder.clone();
                self.tails
                    .push(Tail::at_the_beginning(self.sources.len(), folder));
                self.sources.push(source);
            }
        }
        self.watch();
    }

    /// Prints what was added, in the order of time.
    fn print(&mut self, changed: &Changed, show: &Show, out: &mut Out<'_>) -> io::Result<()> {
        let mut found = Vec::new();
        for (at, tail) in self.tails.iter_mut().enumerate() {
            let watch = self.watches.get(at).copied().flatten();
            let touched = match changed {
                Changed::All => true,
                Changed::Watches(watches) => watch.is_some_and(|watch| watches.contains(&watch)),
            };
            if touched {
                found.extend(tail.advance()?);
            }
        }
        found.sort_by_key(|entry| entry.time);
        found.dedup_by(|one, other| one.source != other.source && is_double(one, other));
        let mut wanted = found.iter().filter(|entry| show.wants(&entry.text));
        wanted.try_for_each(|entry| show.print(out, &self.sources, entry))
    }

    /// Waits until something is added. Ends with an error when the output's reader has gone.
    fn wait(&self) -> io::Result<Changed> {
        let timeout = (!self.all_watched)
            .then(|| Timespec::try_from(LOOK_AGAIN).ok())
            .flatten();
        let stdout = io::stdout();
        let mut waited = [
            PollFd::new(&self.inotify, PollFlags::IN),
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        match poll(&mut waited, timeout.as_ref()) {
            Ok(0) => return Ok(Changed::All),
            Err(Errno::INTR) => return Ok(Changed::Watches(Vec::new())),
            Err(errno) => return Err(errno.into()),
            Ok(_) => {}
        }
        let [_, output] = &waited;
        if output.revents().contains(PollFlags::ERR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(self.events())
    }

    fn events(&self) -> Changed {
        let mut watches = Vec::new();
        let mut all = false;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let lost = ReadFlags::QUEUE_OVERFLOW
            | ReadFlags::IGNORED
            | ReadFlags::DELETE_SELF
            | ReadFlags::MOVE_SELF;
        while let Ok(event) = reader.next() {
            let of_a_source = self.watches.contains(&Some(event.wd()));
            all |= !of_a_source || event.events().intersects(lost);
            watches.push(event.wd());
        }
        if all {
            return Changed::All;
        }
        watches.sort_unstable();
        watches.dedup();
        Changed::Watches(watches)
    }
}
