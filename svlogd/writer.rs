//! One open log directory: bytes in, `current` and old files out, rotated where they must be.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use servicedir::report::{Reporter, Why};

use crate::config::Config;
use crate::limit::Limit;
use crate::processor::Processor;
use crate::rotate::{Kind, OldName, Quota, Step, surplus};
use crate::seal::{Job, Sealer};
use crate::store::{Current, Fault, Opened, Store};
use crate::trouble::Trouble;

/// The waits between tries to write to a disk that takes nothing.
const FULL_WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// The waits between tries of a rotation.
const ROTATION_WAIT: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// A rotation that was asked for waits so long for the end of the line in progress.
const LINE_WAIT: Duration = Duration::from_secs(1);

/// What the command line says to every directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `-l`, in bytes.
    pub(crate) len: usize,
    /// The length of the stamps, 0 without.
    pub(crate) stamp: usize,
    /// `-v`.
    pub(crate) verbose: bool,
    /// Where messages go.
    pub(crate) report: Reporter,
}

/// An open directory.
#[derive(Debug)]
pub(crate) struct Writer {
    /// What its `config` says.
    pub(crate) config: Config,
    /// What runs on its old files.
    pub(crate) processor: Processor,
    /// Why lines cannot be written.
    pub(crate) full: Trouble,
    /// Whether the directory cannot be found by its name any more: no rotation, and a bound on what
    /// is kept for its return.
    pub(crate) gone: bool,
    /// How much of `current` was there when it was last found by its name.
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
    sealer: Sealer,
    rotating: Trouble,
    /// A rotation was asked for in mid-line: it comes with the newline, at the latest then.
    wanted: Option<Instant>,
    /// When `current` is too old.
    due: Option<Instant>,
}

impl Writer {
    /// Opens the directory, reads its `config`, and opens `current`.
    pub(crate) fn open(path: &Path, settings: Settings, now: Instant) -> Result<Self, Fault> {
        let mut store = Store::open(path)?;
        let config = read_config(&store, path, settings).unwrap_or_else(|| Config {
            // Nobody knows what may be deleted.
            keep: 0,
            ..Config::default()
        });
        let (current, opened) = store.open_current(path)?;
        let mut writer = Self {
            due: config.age.map(|age| now + age),
            config,
            processor: Processor::new(settings.report, settings.verbose),
            full: Trouble::new(FULL_WAIT.0, FULL_WAIT.1),
            gone: false,
            found_size: current.size,
            store,
            current,
            settings,
            step: None,
            renamed: None,
            unsealed: None,
            sealer: Sealer::default(),
            rotating: Trouble::new(ROTATION_WAIT.0, ROTATION_WAIT.1),
            wanted: None,
        };
        writer.opened(path, &opened);
        writer.repair(path);
        writer.trim(path);
        writer.process(path, now);
        Ok(writer)
    }

    /// Finishes what was on the disk already when svlogd was killed.
    fn repair(&self, path: &Path) {
        if self.config.processor.is_none() {
            let done = self.store.marked(path).unwrap_or_default();
            self.sealed(path, &done);
        }
    }

    /// Reads `config` again, closes `current` and opens what has that name now, as after a HUP.
    pub(crate) fn reopen(&mut self, path: &Path, now: Instant) -> Result<(), Fault> {
        if let Some(config) = read_config(&self.store, path, self.settings) {
            self.config = config;
            // What failed was perhaps another command.
            self.processor.forget();
        }
        self.close(path);
        if let Some(name) = self.renamed {
            self.sealed(path, &[name.label]);
        }
        let (current, opened) = self.store.open_current(path)?;
        self.current = current;
        self.found();
        self.opened(path, &opened);
        self.due = self.config.age.map(|age| now + age);
        self.process(path, now);
        Ok(())
    }

    /// Opens what has the name `current` now, and returns what had it.
    pub(crate) fn replace_current(&mut self, path: &Path, now: Instant) -> Result<Current, Fault> {
        let (current, opened) = self.store.open_current(path)?;
        let old = std::mem::replace(&mut self.current, current);
        self.found();
        self.opened(path, &opened);
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

    fn opened(&mut self, path: &Path, opened: &Opened) {
        let file = path.join("current");
        match opened {
            Opened::New => self.info("new", &file, ""),
            Opened::Appended => self.info("append", &file, ""),
            Opened::Renamed(name) => {
                self.info("rename", &file, &format!(" {}", name.text()));
                self.info("new", &file, "");
            }
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

    /// Whether the last byte of `current` is a newline, or it is empty.
    pub(crate) fn ends_line(&self) -> bool {
        self.current.ends_line
    }

    /// Appends to `current`, rotating where its limits say so; returns how many bytes were written.
    /// Fewer than all: the disk takes no more, and [`Self::full`] knows when to try again.
    pub(crate) fn append(&mut self, path: &Path, bytes: &[u8], now: Instant) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let plan = self
                .limit()
                .plan(self.current.size, self.current.ends_line, rest);
            if plan.take > 0 {
                let piece = rest.get(..plan.take).unwrap_or(rest);
                match self.write(piece) {
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
            if plan.rotate {
                self.rotate(path, now);
            }
        }
        if self.full.over() {
            let file = path.join("current");
            self.settings
                .report
                .info(format_args!("writing again to {}", file.display()));
        }
        done
    }

    fn write(&mut self, piece: &[u8]) -> Result<usize, Errno> {
        if self.gone && self.current.size.saturating_sub(self.found_size) > self.keep_while_gone() {
            return Err(Errno::NOENT);
        }
        match self.current.append(piece) {
            Ok(0) => Err(Errno::NOSPC),
            outcome => outcome,
        }
    }

    /// How much is kept of what comes while the directory is gone: a file's size.
    fn keep_while_gone(&self) -> u64 {
        self.config.size.max(1_000_000)
    }

    fn limit(&self) -> Limit {
        if self.gone || self.rotating.is_on() {
            return Limit::NONE;
        }
        let limit = Limit::new(self.config.size, self.settings.len, self.settings.stamp);
        if self.wanted.is_some() {
            limit.at_next_newline()
        } else {
            limit
        }
    }

    /// A write failed. Makes room if it may; says whether the write can be tried again at once.
    fn make_room(&mut self, path: &Path, errno: Errno, now: Instant) -> bool {
        let full = matches!(errno, Errno::NOSPC | Errno::DQUOT);
        if full && self.config.may_delete_when_full() && self.delete_oldest(path) {
            return true;
        }
        // RLIMIT_FSIZE or the file system's own limit: the next file has room again.
        if errno == Errno::FBIG && self.current.size > 0 && !self.rotating.is_on() {
            self.rotate(path, now);
            return !self.rotating.is_on();
        }
        let then = if self.may_drop() {
            "lines are dropped and counted"
        } else {
            "reading stops"
        };
        let file = path.join("current");
        let (file, why) = (file.display(), Why::from(errno));
        let message = format!("unable to write to {file}: {why}; {then} until it takes them");
        if let Some(news) = self.full.failed(message, now) {
            self.settings.report.warning(news);
        }
        false
    }

    /// Whether lines that cannot be written are dropped.
    pub(crate) fn may_drop(&self) -> bool {
        self.config.drop_when_full || self.gone
    }

    /// Deletes the oldest file, if there are more than `N`.
    fn delete_oldest(&self, path: &Path) -> bool {
        let files = self.store.old_files(path, false).unwrap_or_default();
        let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
        let oldest = files
            .iter()
            .find(|file| Some(file.name.label) != self.processor.label());
        let Some(oldest) = oldest.filter(|_| count > self.config.keep_when_full) else {
            return false;
        };
        let deleted = self.store.delete(path, oldest.name).is_ok();
        if deleted {
            let file = path.join(oldest.name.text());
            self.settings
                .report
                .warning(format_args!("disk full, deleted: {}", file.display()));
        }
        deleted
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

    /// Takes the steps of a rotation, as far as they go.
    fn rotate(&mut self, path: &Path, now: Instant) {
        let mut step = self.step.unwrap_or(Step::FIRST);
        loop {
            if let Err(fault) = self.take_step(path, step, now) {
                self.step = Some(step);
                let message = format!("{fault}; {} is not rotated", path.display());
                if let Some(news) = self.rotating.failed(message, now) {
                    self.settings.report.warning(news);
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
        self.due = self.config.age.map(|age| now + age);
        self.rotating.over();
        self.process(path, now);
    }

    fn take_step(&mut self, path: &Path, step: Step, now: Instant) -> Result<(), Fault> {
        match step {
            Step::Rename => self.rename(path)?,
            Step::Open => {
                let new = self.store.create_current(path)?;
                let old = std::mem::replace(&mut self.current, new);
                self.found_size = self.current.size;
                self.unsealed = self.renamed.take().map(|name| Job {
                    file: old.into_file(),
                    label: name.label,
                });
            }
            Step::Seal => {
                if let Some(job) = self.unsealed.take() {
                    let done = self.sealer.add(job, now);
                    self.sealed(path, &done);
                }
            }
            Step::Trim => self.trim(path),
        }
        Ok(())
    }

    fn rename(&mut self, path: &Path) -> Result<(), Fault> {
        let name = self.store.rename_current(path, Kind::Unprocessed)?;
        self.renamed = Some(name);
        if self.settings.verbose {
            let shown = if self.config.processor.is_some() {
                name
            } else {
                OldName::new(name.label, Kind::Saved)
            };
            let rest = format!(" {} {}", shown.text(), self.current.size);
            self.info("rename", &path.join("current"), &rest);
        }
        Ok(())
    }

    /// Files are on the disk: they are whole now, unless the processor is to have them.
    fn sealed(&self, path: &Path, labels: &[servicedir::tai64n::Tai64n]) {
        if self.config.processor.is_some() {
            return;
        }
        for label in labels {
            if let Err(fault) = self.store.save(path, *label) {
                self.settings.report.warning(fault);
            }
        }
    }

    /// Deletes what is too old or too much, but not the file that is being processed.
    fn trim(&self, path: &Path) {
        let (keep, total) = (self.config.keep, self.config.total);
        if keep == 0 && total == 0 {
            return;
        }
        let busy = self.processor.label();
        let outcome = self.store.old_files(path, total > 0).and_then(|mut files| {
            let all = files.len();
            files.retain(|file| Some(file.name.label) != busy);
            // As in runit, one file more stays with a processor: the one that it is for.
            let spare = usize::from(self.config.processor.is_some() && files.len() == all);
            let keep = keep.saturating_add(u64::try_from(spare).unwrap_or(0));
            let quota = Quota {
                files: (self.config.keep > 0).then_some(keep),
                bytes: (total > 0).then(|| total.saturating_sub(self.config.size)),
            };
            for file in surplus(&files, quota) {
                self.store.delete(path, file.name)?;
                self.info("delete", &path.join(file.name.text()), "");
            }
            Ok(())
        });
        if let Err(fault) = outcome {
            self.settings.report.warning(fault);
        }
    }

    /// Whether a child works for this directory.
    pub(crate) fn is_busy(&self) -> bool {
        self.processor.runs() || self.sealer.is_busy()
    }

    /// Whether a file may be fed to a processor: there is one, and no line goes to an old file any
    /// more, as it does between the steps of a rotation.
    fn may_process(&self) -> bool {
        self.config.processor.is_some() && self.renamed.is_none()
    }

    /// Runs the processor if something waits for it.
    fn process(&mut self, path: &Path, now: Instant) {
        if !self.may_process() {
            return;
        }
        if let Some(command) = &self.config.processor {
            self.processor.start(&self.store, path, command, now);
        }
    }

    /// A child has ended: the processor, or the one that brings files to the disk.
    pub(crate) fn reap(&mut self, path: &Path, now: Instant, start_next: bool) {
        let done = self.sealer.reap();
        self.sealed(path, &done);
        if self.sealer.has_failed() {
            let path = path.display();
            let report = self.settings.report;
            report.warning(format_args!(
                "unable to sync an old file in {path}; it stays @*.u"
            ));
        }
        if self.processor.runs() {
            self.processor.reap(&self.store, path, now);
            if !self.processor.runs() {
                // It may have grown, and it is no longer exempt.
                self.trim(path);
                if start_next {
                    self.process(path, now);
                }
            }
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
        if let (Some(due), Some(age)) = (self.due, self.config.age)
            && due <= now
        {
            self.due = Some(due + age);
            if self.current.size > 0 {
                self.due = Some(now + age);
                self.ask_to_rotate(path, now);
            } else if due + age <= now {
                self.due = Some(now + age);
            }
        }
        let done = self.sealer.tick(now);
        self.sealed(path, &done);
        if self.processor.deadline().is_some_and(|retry| retry <= now) {
            self.process(path, now);
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let rotating = self.rotating.deadline().filter(|_| !self.gone);
        let sealer = self.sealer.deadline();
        let due = self.due.filter(|_| self.current.size > 0);
        // What `process` would not do now must not wake: it would wake for ever.
        let processor = self.processor.deadline().filter(|_| self.may_process());
        [
            self.full.deadline(),
            rotating,
            sealer,
            self.wanted,
            due,
            processor,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Closes `current` in order: it is on the disk, and its mode says so.
    pub(crate) fn close(&mut self, path: &Path) {
        if let Err(errno) = self.current.seal() {
            let file = path.join("current");
            let (file, why) = (file.display(), Why::from(errno));
            self.settings
                .report
                .warning(format_args!("unable to sync {file}: {why}"));
        }
        // What a child of a killed svlogd finished after this one had started.
        self.repair(path);
        self.info("close", path, "");
    }

    /// The program ends: children do at once what they were to do later.
    pub(crate) fn hurry(&mut self, path: &Path, now: Instant) {
        self.sealer.hurry(now);
        let done = self.sealer.tick(now);
        self.sealed(path, &done);
    }

    fn info(&self, what: &str, path: &Path, rest: &str) {
        if self.settings.verbose {
            let path = path.display();
            self.settings
                .report
                .info(format_args!("{what}: {path}{rest}"));
        }
    }
}

/// Reads `config` and says what is wrong in it. `None` where it is there and cannot be read.
fn read_config(store: &Store, path: &Path, settings: Settings) -> Option<Config> {
    match store.config(path) {
        Ok(None) => Some(Config::default()),
        Ok(Some(text)) => {
            let (config, complaints) = Config::parse(&text);
            let file = path.join(OsStr::new("config"));
            for complaint in complaints {
                settings
                    .report
                    .warning(format_args!("{}: {complaint}", file.display()));
            }
            if settings.verbose {
                settings
                    .report
                    .info(format_args!("read: {}", file.display()));
            }
            Some(config)
        }
        Err(fault) => {
            settings.report.warning(fault);
            None
        }
    }
}
