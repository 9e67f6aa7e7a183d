//! One service's events, in its order: from its journal, and from what svcapture offers.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use servicedir::journal::reader::{Cursor, Found, Reader};
use servicedir::layout::Layout;
use servicedir::spool;
use servicedir::tai64n::Tai64n;

use crate::event::{Event, Name};
use crate::kind::{Channel, Subscription};

/// How many lines are read ahead: what waits is on the disk, not in memory.
const AHEAD: usize = 16;

/// The longest wait before an event that was not processed is given again.
const LONGEST: Duration = Duration::from_secs(10);

/// Which event was given, so that its lane can move on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// A line of the journal.
    Journal,
    /// An item of the spool of that index.
    Spool(usize),
    /// An event that svevent made.
    Own,
}

/// The events of one service. At most one of them is given at a time, so that they are processed in
/// order.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Name,
    pub(crate) layout: Layout,
    reader: Reader,
    /// The journal may hold more than `queue`.
    pub(crate) more: bool,
    queue: VecDeque<(Event, Cursor)>,
    /// The last line that was processed, or passed over.
    pub(crate) done: Option<Cursor>,
    pub(crate) spools: Vec<SpoolEnd>,
    pub(crate) pace: Pace,
    /// The service has left the scan directory.
    pub(crate) gone: bool,
}

/// When the next event of a lane can be given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// One is given, and not answered.
    pub(crate) busy: bool,
    /// The number of the event that is, or was, given: the same when it is given again.
    pub(crate) serial: Option<u64>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Pace {
    pub(crate) fn is_free(&self, now: Instant) -> bool {
        !self.busy && self.not_before.is_none_or(|at| at <= now)
    }

    /// The event was processed.
    pub(crate) fn done(&mut self) {
        *self = Self::default();
    }

    /// It was not: it is given again, at once the first time, then after longer and longer waits.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.busy = false;
        self.failures = self.failures.saturating_add(1);
        let doubled = self.failures.saturating_sub(2).min(10);
        self.not_before = (self.failures > 1)
            .then(|| now + (Duration::from_millis(100) * (1 << doubled)).min(LONGEST));
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.not_before.filter(|_| !self.busy)
    }
}

/// A spool, and how far it is processed.
#[derive(Debug)]
pub(crate) struct SpoolEnd {
    pub(crate) folder: PathBuf,
    pub(crate) channel: Channel,
    /// The last item that was processed.
    pub(crate) done: u64,
    pub(crate) more: bool,
    pub(crate) next: Option<(u64, Event)>,
}

impl SpoolEnd {
    pub(crate) fn new(folder: PathBuf, channel: Channel, done: u64) -> Self {
        Self {
            folder,
            channel,
            done,
            more: true,
            next: None,
        }
    }

    /// Reads the next item that is wanted.
    pub(crate) fn refill(
        &mut self,
        wants: &Subscription,
        since: Tai64n,
        event_of: impl Fn(spool::Item) -> Option<Event>,
    ) {
        if self.next.is_some() || !self.more {
            return;
        }
        self.more = false;
        let Ok(numbers) = spool::numbers(&self.folder) else {
            return;
        };
        if numbers.last().is_some_and(|last| *last < self.done) {
            // The spool was emptied, and counts anew.
            self.done = 0;
        }
        let done = self.done;
        for number in numbers.into_iter().filter(|number| *number > done) {
            let item = spool::read(&self.folder, number).ok().flatten();
            let event = item
                .filter(|item| item.stamp >= since)
                .and_then(&event_of)
                .filter(|event| wants.takes(event.kind));
            match event {
                Some(event) => {
                    self.next = Some((number, event));
                    self.more = true;
                    return;
                }
                None => self.done = number,
            }
        }
    }
}

/// What svcapture has offered. A service that offers a remote client's message is not one.
fn output(item: spool::Item, channel: Channel, name: &Name) -> Option<Event> {
    let captured = match item.kind {
        spool::Kind::Capture => true,
        spool::Kind::Log => false,
        spool::Kind::Remote => return None,
    };
    let (stamp, pid) = (item.stamp, item.pid);
    Some(Event::of_output(
        stamp, captured, channel, name, pid, item.data,
    ))
}

impl Lane {
    /// The lane of a service, whose journal is read from there on.
    pub(crate) fn new(name: Name, layout: Layout, reader: Reader) -> Self {
        Self {
            name,
            layout,
            done: reader.cursor(),
            reader,
            more: true,
            queue: VecDeque::new(),
            spools: Vec::new(),
            pace: Pace::default(),
            gone: false,
        }
    }

    /// Reads what is needed to know the next event; returns warnings.
    pub(crate) fn refill(&mut self, wants: &Subscription, since: Tai64n) -> Vec<String> {
        let mut warnings = Vec::new();
        while self.queue.is_empty() && self.more {
            let found = match self.reader.read(&self.layout, AHEAD) {
                Ok(found) => found,
                Err(refused) => {
                    warnings.push(format!("unable to read the journal: {refused}"));
                    Vec::new()
                }
            };
            self.more = !found.is_empty();
            for found in found {
                warnings.extend(self.take(found, wants));
            }
        }
        let name = &self.name;
        for spool in &mut self.spools {
            let channel = spool.channel;
            spool.refill(wants, since, |item| output(item, channel, name));
        }
        warnings
    }

    fn take(&mut self, found: Found, wants: &Subscription) -> Option<String> {
        match found {
            Found::Entry(entry) => {
                let cursor = Cursor {
                    number: entry.number,
                    stamp: entry.stamp,
                };
                match Event::of_entry(&entry, &self.name).filter(|event| wants.takes(event.kind)) {
                    Some(event) => self.queue.push_back((event, cursor)),
                    None => match self.queue.back_mut() {
                        // Processed together with the event before it.
                        Some((_, last)) => *last = cursor,
                        None => self.done = Some(cursor),
                    },
                }
                None
            }
            Found::Missed { first, last } => Some(format!(
                "lines {first} to {last} of the journal are missing: their events are lost"
            )),
            Found::Restarted => None,
        }
    }

    /// The next event.
    pub(crate) fn head(&self) -> Option<(&Event, Mark)> {
        let journal = self.queue.front().map(|(event, _)| (event, Mark::Journal));
        let spools = self.spools.iter().enumerate().filter_map(|(at, spool)| {
            spool
                .next
                .as_ref()
                .map(|(_, event)| (event, Mark::Spool(at)))
        });
        journal
            .into_iter()
            .chain(spools)
            .min_by_key(|(event, _)| event.stamp)
    }

    /// The event was processed: the next one is the head.
    pub(crate) fn advance(&mut self, mark: Mark) {
        match mark {
            Mark::Journal => {
                if let Some((_, cursor)) = self.queue.pop_front() {
                    self.done = Some(cursor);
                }
            }
            Mark::Spool(at) => {
                if let Some(spool) = self.spools.get_mut(at)
                    && let Some((number, _)) = spool.next.take()
                {
                    spool.done = number;
                }
            }
            Mark::Own => {}
        }
        self.pace.done();
    }
}
