//! The old files of a directory after their rotation: brought to the disk, processed, deleted.

use std::path::Path;
use std::time::Instant;

use servicedir::signal::Signal;
use servicedir::tai64n::Tai64n;

use crate::config::Config;
use crate::message::{Deed, Message};
use crate::processor::Processor;
use crate::rotate::{Kind, OldFile, Quota, surplus};
use crate::seal::{Job, Sealer};
use crate::settings::{Settings, warn};
use crate::store::Store;

/// The children that work on a directory's old files.
#[derive(Debug)]
pub(crate) struct Archive {
    processor: Processor,
    sealer: Sealer,
    settings: Settings,
    /// Too many files wait for the processor: the next rotation waits for it.
    full: bool,
    /// That was reported since the last time that no file waited.
    reported: bool,
    /// The program ends: no rotation waits.
    leaving: bool,
}

impl Archive {
    /// No child runs.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            processor: Processor::new(settings.report, settings.verbose),
            sealer: Sealer::default(),
            settings,
            full: false,
            reported: false,
            leaving: false,
        }
    }

    /// The command may be another one now: its first try need not wait.
    pub(crate) fn new_config(&mut self) {
        self.processor.forget();
        self.full = false;
    }

    /// Takes a file that was rotated.
    pub(crate) fn add(
        &mut self,
        store: &Store,
        config: &Config,
        path: &Path,
        job: Job,
        now: Instant,
    ) {
        let done = self.sealer.add(job, now);
        self.sealed(store, config, path, &done);
    }

    /// Files are on the disk: they get their last name, unless the processor is to have them.
    pub(crate) fn sealed(&self, store: &Store, config: &Config, path: &Path, labels: &[Tai64n]) {
        if config.processor.is_some() {
            return;
        }
        for label in labels {
            warn(self.settings, store.save(path, *label));
        }
    }

    /// Finishes what was on the disk already when svlogd was killed.
    pub(crate) fn repair(&self, store: &Store, config: &Config, path: &Path) {
        if config.processor.is_none() {
            let done = store.marked(path).unwrap_or_default();
            self.sealed(store, config, path, &done);
        }
    }

    /// Whether a file of `size` bytes can be rotated now. If not, it waits: the processor's end makes it
    /// possible again.
    pub(crate) fn may_rotate(
        &mut self,
        store: &Store,
        config: &Config,
        path: &Path,
        size: u64,
    ) -> bool {
        let waiting = self.has_too_many(store, config, path, size);
        self.full = waiting.is_some();
        if let Some(count) = waiting
            && !std::mem::replace(&mut self.reported, true)
        {
            let message = Message::QueueFull(path.to_owned(), count);
            self.settings.report.warning(message);
        }
        !self.full
    }

    /// The number of files that wait for the processor, if with one of `size` bytes they would be more
    /// than are kept.
    pub(crate) fn has_too_many(
        &mut self,
        store: &Store,
        config: &Config,
        path: &Path,
        size: u64,
    ) -> Option<u64> {
        if config.processor.is_none() || config.drop_when_full || self.leaving {
            return None;
        }
        let mut files = store.old_files(path, config.total > 0).unwrap_or_default();
        files.retain(|file| file.name.kind == Kind::Unprocessed);
        let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        self.reported &= count > 0;
        let bytes = files.iter().map(|file| file.size).sum::<u64>();
        let many = config.keep > 0 && count >= config.keep;
        let large = config.total > 0 && count > 0 && bytes.saturating_add(size) > config.total;
        (many || large).then_some(count)
    }

    /// Whether a rotation waits for the processor.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Deletes what is too old or too much, but not the file that is being processed; and no file
    /// that waits for it, unless lines may be dropped.
    pub(crate) fn trim(&self, store: &Store, config: &Config, path: &Path) {
        if config.keep == 0 && config.total == 0 {
            return;
        }
        let outcome = store
            .old_files(path, config.total > 0)
            .and_then(|files| self.delete_surplus(store, config, path, files));
        warn(self.settings, outcome);
    }

    fn delete_surplus(
        &self,
        store: &Store,
        config: &Config,
        path: &Path,
        mut files: Vec<OldFile>,
    ) -> Result<(), crate::message::Fault> {
        let busy = self.processor.label();
        let all = files.len();
        files.retain(|file| Some(file.name.label) != busy);
        // As in runit, one file more stays with a processor: the one that it is for.
        let spare = config.spare && config.processor.is_some() && files.len() == all;
        let keep = config.keep.saturating_add(u64::from(spare));
        let quota = Quota {
            files: (config.keep > 0).then_some(keep),
            bytes: (config.total > 0).then(|| config.total.saturating_sub(config.size)),
        };
        for file in surplus(&files, quota) {
            let waits = config.processor.is_some() && file.name.kind == Kind::Unprocessed;
            if waits && !config.drop_when_full {
                continue;
            }
            store.delete(path, file.name)?;
            let name = file.name.at(path);
            if waits {
                self.settings.report.warning(Message::Unprocessed(name));
            } else {
                self.settings.did(Deed::Delete, &name, "");
            }
        }
        Ok(())
    }

    /// The disk is full: deletes the oldest file, if there are more than `N`.
    pub(crate) fn delete_oldest(&self, store: &Store, config: &Config, path: &Path) -> bool {
        let files = store.old_files(path, false).unwrap_or_default();
        let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let oldest = files
            .iter()
            .find(|file| Some(file.name.label) != self.processor.label());
        let Some(oldest) = oldest.filter(|_| count > config.keep_when_full) else {
            return false;
        };
        let deleted = store.delete(path, oldest.name).is_ok();
        if deleted {
            let message = Message::DiskFull(oldest.name.at(path));
            self.settings.report.warning(message);
        }
        deleted
    }

    /// Whether a child works for this directory.
    pub(crate) fn is_busy(&self) -> bool {
        self.processor.runs() || self.sealer.is_busy()
    }

    /// Runs the processor if a file waits for it.
    pub(crate) fn process(&mut self, store: &Store, config: &Config, path: &Path, now: Instant) {
        if let Some(command) = &config.processor {
            self.processor.start(store, path, command, now);
        }
    }

    /// A child has ended. Returns whether it was the processor.
    pub(crate) fn reap(
        &mut self,
        store: &Store,
        config: &Config,
        path: &Path,
        now: Instant,
    ) -> bool {
        let done = self.sealer.reap();
        self.sealed(store, config, path, &done);
        if self.sealer.has_failed() {
            let message = Message::NotSynced(path.to_owned());
            self.settings.report.warning(message);
        }
        if !self.processor.runs() {
            return false;
        }
        self.processor.reap(store, path, now);
        let ended = !self.processor.runs();
        if ended {
            self.full = false;
            // It may have grown, and it is no longer exempt.
            self.trim(store, config, path);
        }
        ended
    }

    /// Starts the child for the files that wait for the disk, if it is due.
    pub(crate) fn tick(&mut self, store: &Store, config: &Config, path: &Path, now: Instant) {
        let done = self.sealer.tick(now);
        self.sealed(store, config, path, &done);
    }

    /// Whether a processor that failed is to be run again.
    pub(crate) fn retries(&self, now: Instant) -> bool {
        self.processor.deadline().is_some_and(|next| next <= now)
    }

    /// When a failed processor is run again.
    pub(crate) fn processor_deadline(&self) -> Option<Instant> {
        self.processor.deadline()
    }

    /// When files that wait for the disk are brought there.
    pub(crate) fn sealer_deadline(&self) -> Option<Instant> {
        self.sealer.deadline()
    }

    /// The program ends: what waits for the disk is due, and no rotation waits any more.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
        self.full = false;
    }

    /// Files that wait for the disk are due.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.sealer.hurry(now);
    }

    /// Sends a signal to the processor.
    pub(crate) fn end_processor(&self, signal: Signal) {
        self.processor.end(signal);
    }
}
