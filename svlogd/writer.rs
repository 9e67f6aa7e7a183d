//! One open log directory: bytes in, `current` and old files out, rotated where they must be.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use servicedir::report::Why;

use crate::age::Age;
use crate::archive::Archive;
use crate::config::Config;
use crate::current::Current;
use crate::limit::Limit;
use crate::message::{Deed, Fault, Message, Verb};
use crate::retry::Retry;
use crate::rotate::{Kind, OldName, Step};
use crate::seal::Job;
use crate::settings::{Settings, calendar, read_config, warn};
use crate::store::{Opened, Store};

/// The waits between tries to write to a disk that takes nothing.
const FULL_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The waits between tries of a rotation.
const ROTATION_WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long a rotation that was asked for waits for the end of the line in progress.
const LINE_WAIT: Duration = Duration::from_secs(1);
/// A `current` that is too old while too many files wait for the processor is looked at again.
const AGE_WAIT: Duration = Duration::from_secs(1);

/// An open directory.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What its `config` says.
    pub(crate) config: Config,
    /// Its old files.
    pub(crate) archive: Archive,
    /// Why lines cannot be written.
    pub(crate) full: Retry,
    /// Whether the directory cannot be found by its name any more: no rotation, and a bound on what
    /// is kept for its return.
    pub(crate) gone: bool,
    /// The size of `current` when it was last found by its name.
    pub(crate) found_size: u64,
    store: Store,
    current: Current,
    settings: Settings,
    /// The step of a rotation that failed, and is tried again.
    step: Option<Step>,
    /// The name that `current` has got, until a new one is open.
    renamed: Option<OldName>,
    /// The old file that is to be brought to the disk.
    unsealed: Option<Job>,
    rotating: Retry,
    /// A rotation was asked for in mid-line: it comes with the newline, at the latest then.
    wanted: Option<Instant>,
    /// When `current` is too old.
    age: Age,
}

impl Writer {
    /// Opens the directory, reads its `config` if none is `given`, and opens `current`.
    pub(crate) fn open(
        path: &Path,
        settings: Settings,
        given: Option<&Config>,
        now: Instant,
    ) -> Result<Self, Fault> {
        let mut store = Store::open(path, settings.dir_mode)?;
        let config = match given {
            Some(config) => config.clone(),
            // Which files may be deleted is not known.
            None => read_config(&mut store, path, settings).unwrap_or_else(|| Config {
                keep: 0,
                ..Config::default()
            }),
        };
        if config.state {
            store.take_over(path)?;
            store.ensure_state(path)?;
        }
        let (current, opened) = store.open_current(path)?;
        let mut writer = Self {
            age: Age::new(config.age, calendar(&config, settings)),
            config,
            archive: Archive::new(settings),
            full: Retry::new(FULL_WAIT.0, FULL_WAIT.1),
            gone: false,
            found_size: current.size,
            store,
            current,
            settings,
            step: None,
            renamed: None,
            unsealed: None,
            rotating: Retry::new(ROTATION_WAIT.0, ROTATION_WAIT.1),
            wanted: None,
        };
        writer.opened(path, &opened, now);
        let Self {
            archive,
            store,
            config,
            ..
        } = &writer;
        archive.repair(store, config, path);
        archive.trim(store, config, path);
        writer.process(path, now);
        Ok(writer)
    }

    /// Reads `config` again if none is `given`, closes `current` and opens what has that name now, as
    /// after a HUP.
    pub(crate) fn reopen(
        &mut self,
        path: &Path,
        given: Option<&Config>,
        now: Instant,
    ) -> Result<(), Fault> {
        if given.is_none()
            && let Some(config) = read_config(&mut self.store, path, self.settings)
        {
            self.age = Age::new(config.age, calendar(&config, self.settings));
            self.config = config;
            self.archive.new_config();
        }
        self.close(path);
        if let Some(name) = self.renamed {
            self.archive
                .sealed(&self.store, &self.config, path, &[name.label]);
        }
        let (current, opened) = self.store.open_current(path)?;
        self.current = current;
        self.found();
        self.opened(path, &opened, now);
        self.process(path, now);
        Ok(())
    }

    /// Opens what has the name `current` now, and returns the file that had it.
    pub(crate) fn replace_current(&mut self, path: &Path, now: Instant) -> Result<Current, Fault> {
        let (current, opened) = self.store.open_current(path)?;
        let old = std::mem::replace(&mut self.current, current);
        self.found();
        self.opened(path, &opened, now);
        // The old file may have waited for the end of its writing.
        self.process(path, now);
        Ok(old)
    }

    /// Gives the open `current` away: the directory has another writer now.
    pub(crate) fn into_current(self) -> Current {
        self.current
    }

    fn found(&mut self) {
        self.gone = false;
        self.found_size = self.current.size;
        self.step = None;
        self.renamed = None;
        self.wanted = None;
        self.rotating.over();
    }

    fn opened(&mut self, path: &Path, opened: &Opened, now: Instant) {
        let file = path.join("current");
        if let Opened::Renamed(name) = opened {
            self.settings
                .did(Deed::Rename, &file, &format!(" {}", name.text()));
        }
        let deed = match opened {
            Opened::Appended => Deed::Append,
            Opened::New | Opened::Renamed(_) => Deed::New,
        };
        self.settings.did(deed, &file, "");
        self.age.end();
        if self.current.size > 0 {
            self.age.begin(Some(self.current.written), now);
        }
    }

    /// Whether the directory's name leads to this `current`.
    pub(crate) fn is_found(&mut self, path: &Path) -> bool {
        let found = self.store.leads_to(path, &self.current);
        if found {
            self.gone = false;
            self.found_size = self.current.size;
        }
        found
    }

    /// Whether the directory's name leads to this directory.
    pub(crate) fn is_at(&self, path: &Path) -> Result<bool, Fault> {
        self.store.is_at(path)
    }

    /// Whether the log so far ends with a newline, or is empty.
    pub(crate) fn ends_line(&self) -> bool {
        self.current.ends_line
    }

    /// Whether nothing can be written now: a write failed a moment ago, or a rotation waits for the
    /// processor.
    pub(crate) fn is_blocked(&self, now: Instant) -> bool {
        self.full.waits(now) || self.archive.is_full()
    }

    /// Appends to `current`, rotating where its limits say so; returns how many bytes were written.
    /// Fewer than all: [`Self::is_blocked`].
    pub(crate) fn append(&mut self, path: &Path, bytes: &[u8], now: Instant) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        self.rotate_if_old(path, now);
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let plan = self
                .limit()
                .plan(self.current.size, self.current.ends_line, rest);
            if plan.take > 0 {
                let piece = rest.get(..plan.take).unwrap_or(rest);
                match self.write(piece, now) {
                    Ok(written) => {
                        done += written;
                        if written < plan.take {
                            continue;
                        }
                    }
                    Err(Errno::INTR) => continue,
                    Err(errno) if self.make_room(path, errno, now) => continue,
                    Err(_) => return done,
                }
            }
            if plan.rotate && !self.rotate_if_allowed(path, now) {
                return done;
            }
        }
        if self.full.over() {
            let message = Message::WritingAgain(path.join("current"));
            self.settings.report.info(message);
        }
        done
    }

    fn write(&mut self, piece: &[u8], now: Instant) -> Result<usize, Errno> {
        if self.gone && self.current.size.saturating_sub(self.found_size) > self.keep_while_gone() {
            return Err(Errno::NOENT);
        }
        if self.current.size == 0 {
            self.age.begin(None, now);
        }
        match self.current.append(piece) {
            Ok(0) => Err(Errno::NOSPC),
            outcome => outcome,
        }
    }

    /// How much of the input is kept while the directory is gone: a file's size.
    fn keep_while_gone(&self) -> u64 {
        self.config.size.max(1_000_000)
    }

    fn limit(&self) -> Limit {
        if self.gone || self.rotating.is_on() {
            return Limit::NONE;
        }
        let Settings { slack, stamp, .. } = self.settings;
        let limit = Limit::new(self.config.size, slack, stamp);
        if self.wanted.is_some() {
            limit.at_next_newline()
        } else {
            limit
        }
    }

    /// A write failed. Makes room if it may; returns whether the write can be tried again at once.
    fn make_room(&mut self, path: &Path, errno: Errno, now: Instant) -> bool {
        let full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
        if full
            && self.config.may_delete_when_full()
            && self.archive.delete_oldest(&self.store, &self.config, path)
        {
            return true;
        }
        // RLIMIT_FSIZE or the file system's own limit: the next file has room again.
        if errno == Errno::FBIG && self.current.size > 0 && !self.rotating.is_on() {
            self.rotate(path, now);
            return !self.rotating.is_on();
        }
        let file = path.join("current");
        let message = Message::UnableToWrite(file, Why::from(errno), self.may_drop());
        if let Some(message) = self.full.failed(message, now) {
            self.settings.report.warning(message);
        }
        false
    }

    /// Whether lines that cannot be written are dropped.
    pub(crate) fn may_drop(&self) -> bool {
        self.config.drop_when_full || self.gone
    }

    /// Rotates a `current` that is not empty: now, or when the line in progress has ended.
    pub(crate) fn ask_to_rotate(&mut self, path: &Path, now: Instant) {
        if self.current.size == 0 || self.gone {
            return;
        }
        if self.current.ends_line {
            self.rotate(path, now);
        } else {
            self.wanted = Some(now + LINE_WAIT);
        }
    }

    /// Rotates, unless too many files wait for the processor; returns whether it did.
    fn rotate_if_allowed(&mut self, path: &Path, now: Instant) -> bool {
        let size = self.current.size;
        let allowed = self
            .archive
            .may_rotate(&self.store, &self.config, path, size);
        if allowed {
            self.rotate(path, now);
        }
        allowed
    }

    /// Takes the steps of a rotation, as far as they go.
    fn rotate(&mut self, path: &Path, now: Instant) {
        let mut step = self.step.unwrap_or(Step::FIRST);
        loop {
            if let Err(fault) = self.take_step(path, step, now) {
                self.step = Some(step);
                let message = Message::NotRotated(fault, path.to_owned());
                if let Some(message) = self.rotating.failed(message, now) {
                    self.settings.report.warning(message);
                }
                return;
            }
            match step.next() {
                Some(next) => step = next,
                None => break,
            }
        }
        self.step = None;
        self.wanted = None;
        self.age.end();
        self.rotating.over();
        self.process(path, now);
    }

    fn take_step(&mut self, path: &Path, step: Step, now: Instant) -> Result<(), Fault> {
        match step {
            Step::Rename => self.rename(path)?,
            Step::Open => {
                let mut new = self.store.create_current(path)?;
                // A line that was cut goes on in the new file.
                new.ends_line = self.current.ends_line;
                let old = std::mem::replace(&mut self.current, new);
                self.found_size = self.current.size;
                self.unsealed = self.renamed.take().map(|name| Job {
                    file: old.into_file(),
                    label: name.label,
                });
            }
            Step::Seal => {
                if let Some(job) = self.unsealed.take() {
                    self.archive.add(&self.store, &self.config, path, job, now);
                }
            }
            Step::Trim => self.archive.trim(&self.store, &self.config, path),
        }
        Ok(())
    }

    fn rename(&mut self, path: &Path) -> Result<(), Fault> {
        let name = self.store.rename_current(path, Kind::Unprocessed)?;
        self.renamed = Some(name);
        let shown = if self.config.processor.is_some() {
            name
        } else {
            OldName::new(name.label, Kind::Saved)
        };
        let rest = format!(" {} {}", shown.text(), self.current.size);
        self.settings
            .did(Deed::Rename, &path.join("current"), &rest);
        Ok(())
    }

    /// Whether a file may be fed to a processor: it has one, and no line goes to an old file any
    /// more, as it does between the steps of a rotation.
    fn may_process(&self) -> bool {
        self.config.processor.is_some() && self.renamed.is_none()
    }

    /// Runs the processor if a file waits for it.
    fn process(&mut self, path: &Path, now: Instant) {
        if self.may_process() {
            self.archive.process(&self.store, &self.config, path, now);
        }
    }

    /// A child has ended: the processor, or the one that brings files to the disk.
    pub(crate) fn reap(&mut self, path: &Path, now: Instant, start_next: bool) {
        let processed = self.archive.reap(&self.store, &self.config, path, now);
        if processed && start_next {
            self.process(path, now);
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, path: &Path, now: Instant) {
        if self.rotating.is_on() && !self.rotating.waits(now) && !self.gone {
            self.rotate(path, now);
        }
        if self.wanted.is_some_and(|latest| latest <= now) {
            self.rotate(path, now);
            self.wanted = None;
        }
        self.rotate_if_old(path, now);
        self.archive.tick(&self.store, &self.config, path, now);
        if self.archive.retries(now) {
            self.process(path, now);
        }
    }

    /// Rotates a `current` that is too old, or leaves it until the processor has caught up.
    fn rotate_if_old(&mut self, path: &Path, now: Instant) {
        if self.is_rotating() || !self.age.is_over(now) {
            return;
        }
        // Until the processor has caught up, lines go on into the old file.
        let size = self.current.size;
        let waits = self
            .archive
            .has_too_many(&self.store, &self.config, path, size);
        if waits.is_some() {
            self.age.put_off(AGE_WAIT, now);
        } else {
            self.ask_to_rotate(path, now);
        }
    }

    /// Whether a rotation is under way, or impossible for want of the directory.
    fn is_rotating(&self) -> bool {
        self.gone || self.rotating.is_on() || self.wanted.is_some()
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let rotating = self.rotating.deadline().filter(|_| !self.gone);
        // What `process` would not do now must not wake: it would wake for ever.
        let processor = self.archive.processor_deadline();
        [
            self.full.deadline(),
            rotating,
            self.archive.sealer_deadline(),
            self.wanted,
            self.age.deadline().filter(|_| !self.is_rotating()),
            processor.filter(|_| self.may_process()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Closes `current` in order: it is on the disk, and its mode says so.
    pub(crate) fn close(&mut self, path: &Path) {
        let sealed = self.current.seal();
        let sealed = sealed.map_err(|errno| Fault::new(Verb::Sync, path.join("current"), errno));
        warn(self.settings, sealed);
        // What a child of a killed svlogd finished after this one had started.
        self.archive.repair(&self.store, &self.config, path);
        self.settings.did(Deed::Close, path, "");
    }

    /// The program ends: children do at once what they were to do later.
    pub(crate) fn hurry(&mut self, path: &Path, now: Instant) {
        self.archive.hurry(now);
        self.archive.tick(&self.store, &self.config, path, now);
    }
}
