//! All events of a scan directory, and which one is the next.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use servicedir::journal::reader::{Reader, Start};
use servicedir::journal::watch::{Changed, JournalWatch};
use servicedir::layout::{ERRLOG, LOG};
use servicedir::process::Identity;
use servicedir::spool;
use servicedir::supervisor::process::Process;
use servicedir::supervisor::scan;
use servicedir::tai64n::Tai64n;

use crate::args::Args;
use crate::cursor::Cursors;
use crate::event::{Event, Name};
use crate::folders::Folders;
use crate::kind::{Channel, Kind, Subscription};
use crate::lane::{Lane, Mark, Pace, SpoolEnd};
use crate::message::Message;
use crate::ticks::Ticks;

/// A svscan that is younger than this has started together with svevent, when the machine was booted:
/// then no event since its start is passed over. An older one was there before svevent was set up.
const STARTED_TOGETHER: Duration = Duration::from_secs(60);

/// An event that is given to the command.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) event: Event,
    pub(crate) serial: u64,
    /// Whose event; none for svevent's own.
    lane: Option<usize>,
    mark: Mark,
}

/// The events, and how far they are processed.
#[derive(Debug)]
pub(crate) struct Feed {
    scan: PathBuf,
    wants: Subscription,
    cursor_path: PathBuf,
    cursors: Cursors,
    lanes: Vec<Option<(String, Lane)>>,
    /// svevent's own events, and those of remote clients.
    own: VecDeque<Event>,
    remote: SpoolEnd,
    own_pace: Pace,
    ticks: Ticks,
    pub(crate) watch: JournalWatch,
    pub(crate) folders: Folders,
    /// The last write of the cursor file failed, and a warning has told so.
    failing: bool,
}

impl Feed {
    /// The events that are not processed yet.
    pub(crate) fn open(args: &Args) -> Self {
        let now = Tai64n::now();
        let exists = fs::symlink_metadata(&args.cursor).is_ok();
        let cursors = Cursors::read(&args.cursor);
        if exists && cursors.is_none() {
            let path = args.cursor.clone();
            Message::CursorUnread { path }.warn();
        }
        let since = match (args.from_start, exists) {
            (true, _) => Tai64n::default(),
            (false, true) => now,
            (false, false) => first_since(&args.scan, now),
        };
        let cursors = cursors.unwrap_or_else(|| Cursors::new(since));
        let remote = args.scan.join(spool::REMOTE);
        let folders = Folders::new(&args.scan);
        if args.events.takes(Kind::Remote) {
            folders.add_spool(&remote);
        }
        let mut feed = Self {
            scan: args.scan.clone(),
            wants: args.events.clone(),
            cursor_path: args.cursor.clone(),
            remote: SpoolEnd::new(remote, Channel::Stdout, cursors.remote),
            cursors,
            lanes: Vec::new(),
            own: VecDeque::new(),
            own_pace: Pace::default(),
            ticks: Ticks::new(&args.events, now.unix_seconds()),
            watch: JournalWatch::new(),
            folders,
            failing: false,
        };
        let since = feed.cursors.since;
        feed.rescan(since);
        feed.note_svscan(since);
        feed.save();
        feed
    }

    /// Looks which services there are. `stamp`: when groups came or went.
    pub(crate) fn rescan(&mut self, stamp: Tai64n) {
        let found = match services(&self.scan) {
            Ok(found) => found,
            Err(error) => {
                let path = self.scan.clone();
                Message::NoScan {
                    path,
                    why: error.into(),
                }
                .warn();
                return;
            }
        };
        for lane in self.lanes.iter_mut().flatten() {
            let is_same = |(key, process): &(String, Process)| {
                *key == lane.0 && process.layout == lane.1.layout
            };
            lane.1.gone = !found.iter().any(is_same);
        }
        self.note_groups(&found, stamp);
        for (key, process) in found {
            let known = |lane: &(String, Lane)| lane.0 == key && !lane.1.gone;
            if !self.lanes.iter().flatten().any(known) {
                self.add(key, process);
            }
        }
    }

    fn add(&mut self, key: String, process: Process) {
        let start = match self.cursors.journals.get(&key) {
            Some(cursor) => Start::After(*cursor),
            None => Start::Since(self.cursors.since),
        };
        let name = Name {
            process: process.name,
            group: process.group,
        };
        let mut lane = Lane::new(name, process.layout, Reader::new(start));
        if self.wants.takes_captures() {
            for (log, channel) in [(LOG, Channel::Stdout), (ERRLOG, Channel::Stderr)] {
                let folder = lane.layout.dir.join(log).join(spool::CAPTURE);
                self.folders.add_spool(&folder);
                let done = self.cursors.spools.get(&(key.clone(), channel));
                let done = done.copied().unwrap_or(0);
                lane.spools.push(SpoolEnd::new(folder, channel, done));
            }
        }
        let index = self
            .lanes
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.lanes.len());
        self.watch.add(lane.layout.clone(), index);
        match self.lanes.get_mut(index) {
            Some(free) => *free = Some((key, lane)),
            None => self.lanes.push(Some((key, lane))),
        }
    }

    /// Groups that came and went.
    fn note_groups(&mut self, found: &[(String, Process)], stamp: Tai64n) {
        let groups: BTreeSet<String> = found
            .iter()
            .map(|(_, process)| process.group.clone())
            .collect();
        let removed = self.cursors.groups.difference(&groups);
        let removed = removed.map(|group| Event::of_group(stamp, false, group));
        let added = groups.difference(&self.cursors.groups);
        let added = added.map(|group| Event::of_group(stamp, true, group));
        let events: Vec<Event> = removed.chain(added).collect();
        self.own.extend(
            events
                .into_iter()
                .filter(|event| self.wants.takes(event.kind)),
        );
        self.cursors.groups = groups;
    }

    /// A svscan that is another than the last one has begun its work.
    fn note_svscan(&mut self, stamp: Tai64n) {
        let svscan = scan::svscan(&self.scan).map(Identity::of);
        let svscan = svscan.map(|svscan| (svscan.pid.as_raw_nonzero().get(), svscan.start));
        if svscan.is_some() && svscan != self.cursors.svscan {
            self.cursors.svscan = svscan;
            self.push_own(Event::of_svscan(stamp, true));
        }
    }

    fn push_own(&mut self, event: Event) {
        if self.wants.takes(event.kind) {
            self.own.push_back(event);
        }
    }

    /// svscan stops all services: the last event. False where it does not, or no listener asked.
    pub(crate) fn note_stopping(&mut self) -> bool {
        let stopping = self.wants.takes(Kind::SupervisorStopping) && self.all_exiting();
        if stopping {
            self.own.push_back(Event::of_svscan(Tai64n::now(), false));
        }
        stopping
    }

    /// Whether each service was told to stop and its supervise to exit, as only svscan's end does.
    fn all_exiting(&self) -> bool {
        let mut services = self.lanes.iter().flatten().filter(|(_, lane)| !lane.gone);
        services.all(|(_, lane)| {
            let reading = servicedir::reading::status_of(&lane.layout).ok();
            let record = reading.and_then(|reading| reading.status.record);
            record.is_none_or(|record| record.exiting || record.left)
        })
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self) {
        let now = Tai64n::now();
        for (period, when) in self.ticks.passed(now.unix_seconds()) {
            let tick = Event::of_tick(now, period, when);
            // Of ticks that nobody has taken yet, the last one stands for all.
            let is_busy = usize::from(self.own_pace.serial.is_some());
            let waiting = self.own.iter_mut().skip(is_busy);
            match waiting.rev().find(|event| event.kind == tick.kind) {
                Some(before) => *before = tick,
                None => self.own.push_back(tick),
            }
        }
    }

    /// Journals have changed.
    pub(crate) fn journals_changed(&mut self, changed: &Changed) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some((_, lane)) = lane
                && match changed {
                    Changed::Some(indices) => indices.contains(&index),
                    Changed::Any => true,
                }
            {
                lane.more = true;
            }
        }
    }

    /// Spools have changed, or appeared.
    pub(crate) fn spools_changed(&mut self) {
        for (_, lane) in self.lanes.iter_mut().flatten() {
            for spool in &mut lane.spools {
                self.folders.add_spool(&spool.folder);
                spool.more = true;
            }
        }
        self.folders.add_spool(&self.remote.folder);
        self.remote.more = true;
    }

    /// Reads what is needed to know the next event of each service.
    fn refill(&mut self) {
        let since = self.cursors.since;
        for slot in &mut self.lanes {
            let Some((_, lane)) = slot else { continue };
            for what in lane.refill(&self.wants, since) {
                let name = lane.name.process.clone();
                Message::Service { name, what }.warn();
            }
        }
        self.remote.refill(&self.wants, since, remote_event);
        self.forget_gone();
    }

    /// A service that has left the scan directory is forgotten once its events are given.
    fn forget_gone(&mut self) {
        for (index, slot) in self.lanes.iter_mut().enumerate() {
            let over = |lane: &Lane| lane.gone && !lane.pace.busy && lane.head().is_none();
            if slot.as_ref().is_some_and(|(_, lane)| over(lane)) {
                self.watch.remove(index);
                if let Some((key, _)) = slot.take() {
                    self.cursors.journals.remove(&key);
                    self.cursors.spools.retain(|(name, _), _| *name != key);
                }
            }
        }
    }

    /// The oldest event that can be given now. It is given until [`Feed::done`] or [`Feed::again`].
    pub(crate) fn next(&mut self, now: Instant) -> Option<Given> {
        self.refill();
        let own = self
            .own_head()
            .filter(|_| self.own_pace.is_free(now))
            .map(|(event, mark)| (event, None, mark));
        let lanes = self.lanes.iter().enumerate().filter_map(|(index, lane)| {
            let (_, lane) = lane.as_ref()?;
            let (event, mark) = lane.head().filter(|_| lane.pace.is_free(now))?;
            Some((event, Some(index), mark))
        });
        let oldest = own.into_iter().chain(lanes);
        let (event, lane, mark) = oldest.min_by_key(|(event, ..)| event.stamp)?;
        let event = event.clone();
        let number = self.cursors.serial;
        let pace = self.pace(lane)?;
        pace.busy = true;
        let serial = *pace.serial.get_or_insert(number);
        if serial == number {
            self.cursors.serial = number.wrapping_add(1);
        }
        Some(Given {
            event,
            serial,
            lane,
            mark,
        })
    }

    fn own_head(&self) -> Option<(&Event, Mark)> {
        let own = self.own.front().map(|event| (event, Mark::Own));
        let remote = self.remote.next.as_ref();
        let remote = remote.map(|(_, event)| (event, Mark::Spool(0)));
        match self.own_pace.serial {
            // Given again: the same one, whatever has come since.
            Some(_) => own.or(remote),
            None => own
                .into_iter()
                .chain(remote)
                .min_by_key(|(event, _)| event.stamp),
        }
    }

    fn pace(&mut self, lane: Option<usize>) -> Option<&mut Pace> {
        match lane {
            None => Some(&mut self.own_pace),
            Some(index) => {
                let (_, lane) = self.lanes.get_mut(index)?.as_mut()?;
                Some(&mut lane.pace)
            }
        }
    }

    /// The event was processed: the cursor moves.
    pub(crate) fn done(&mut self, given: &Given) {
        match given.lane {
            None => {
                match given.mark {
                    Mark::Spool(_) => {
                        if let Some((number, _)) = self.remote.next.take() {
                            self.remote.done = number;
                        }
                    }
                    Mark::Own | Mark::Journal => drop(self.own.pop_front()),
                }
                self.own_pace.done();
            }
            Some(index) => {
                if let Some(Some((_, lane))) = self.lanes.get_mut(index) {
                    lane.advance(given.mark);
                }
            }
        }
        self.save();
    }

    /// The event was not processed: it is given again.
    pub(crate) fn again(&mut self, given: &Given, now: Instant) {
        if let Some(pace) = self.pace(given.lane) {
            pace.failed(now);
        }
    }

    /// When there may be something to give, whatever happens until then.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let lanes = self.lanes.iter().flatten();
        let paces = lanes
            .filter(|(_, lane)| lane.head().is_some())
            .filter_map(|(_, lane)| lane.pace.deadline());
        let own = self.own_head().and_then(|_| self.own_pace.deadline());
        let label = Tai64n::now();
        let wall = Duration::new(label.unix_seconds(), label.nanos());
        let tick = self.ticks.next(wall).map(|wait| now + wait);
        let look = self.watch.look_again().map(|wait| now + wait);
        paces.chain(own).chain(tick).chain(look).min()
    }

    /// Writes the cursor file.
    fn save(&mut self) {
        for (key, lane) in self.lanes.iter().flatten() {
            if let Some(done) = lane.done {
                self.cursors.journals.insert(key.clone(), done);
            }
            for spool in &lane.spools {
                let place = (key.clone(), spool.channel);
                self.cursors.spools.insert(place, spool.done);
            }
        }
        self.cursors.remote = self.remote.done;
        let written = self.cursors.write(&self.cursor_path);
        if let Err(error) = &written
            && !self.failing
        {
            let (path, why) = (self.cursor_path.clone(), error.into());
            Message::CursorUnwritten { path, why }.warn();
        }
        self.failing = written.is_err();
    }
}

/// Where the first start of all begins.
fn first_since(scan: &Path, now: Tai64n) -> Tai64n {
    let clock = Instant::now();
    let age = scan::svscan(scan)
        .map(|pid| clock.saturating_duration_since(Identity::of(pid).started(clock)))
        .filter(|age| *age < STARTED_TOGETHER);
    match age {
        Some(age) => Tai64n::from_unix(now.unix_seconds().saturating_sub(age.as_secs() + 1), 0),
        None => now,
    }
}

/// The services of a scan directory by their names there; a directory without `run` has no events, but
/// for one that a supervise has.
fn services(scan: &Path) -> std::io::Result<Vec<(String, Process)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(scan)? {
        let name = entry?.file_name();
        let path = scan.join(&name);
        if name.as_bytes().starts_with(b".") || !path.is_dir() {
            continue;
        }
        if let Ok(process) = Process::at(&path)
            && (scan::is_service(&path) || process.layout.state.is_dir())
        {
            found.push((name.to_string_lossy().into_owned(), process));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// A message of a remote client: the line of its type, and its data.
fn remote_event(item: spool::Item) -> Option<Event> {
    if item.kind != spool::Kind::Remote {
        return None;
    }
    let end = memchr::memchr(b'\n', &item.data)?;
    let (kind, data) = item.data.split_at_checked(end)?;
    Some(Event::of_remote(item.stamp, kind, data.get(1..)?.to_vec()))
}
