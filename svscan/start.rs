//! Starting the supervise of a unit, or adopting the one that is there.

use std::ffi::OsStr;
use std::path::Path;

use rustix::process::{Pid, getpid};
use servicedir::layout::Layout;
use servicedir::process::Place;
use servicedir::report::Why;

use crate::directories::{layout_at, log_id, logs_at};
use crate::holdings::Holdings;
use crate::lock_file::LockFile;
use crate::log_pipe::{Outcome, Search};
use crate::message::{Message, Messages, Topic};
use crate::pipes::{Pipe, Pipes};
use crate::process::{Process, Supervised, supervise_of};
use crate::scan::{Event, Id, Logs, Stream, Unit, Units, log_name};
use crate::spawn::{Spawner, Streams};
use crate::supervises::Supervise;

/// What a start works with.
#[derive(Debug)]
pub(crate) struct Starter<'a> {
    /// The units.
    pub(crate) units: &'a Units,
    /// What is held for them.
    pub(crate) holdings: &'a mut Holdings,
    /// Where the pipes of logs are written down.
    pub(crate) lock: &'a mut LockFile,
    /// What starts processes.
    pub(crate) spawner: &'a Spawner,
    /// For what goes wrong.
    pub(crate) messages: &'a mut Messages,
}

impl Starter<'_> {
    /// Starts the supervise of a unit, unless one is there; returns what came of it.
    pub(crate) fn start(&mut self, id: &Id) -> Vec<Event> {
        let Some(unit) = self.units.get(id) else {
            return Vec::new();
        };
        let failed = Event::StartFailed(id.clone());
        let Some(layout) = self.holdings.layout(id, self.units) else {
            let mut events = self.replaced_logs(id, unit);
            events.push(failed);
            return events;
        };
        if !unit.is_main() {
            return vec![match self.ensure_pipe(id, &layout, &[], &unit.name) {
                true => self.supervise(id, unit, &layout, &Logs::default()),
                false => failed,
            }];
        }
        let logs = match logs_at(&layout.dir, id) {
            Ok(logs) => logs,
            Err((path, errno)) => {
                let message = Message::UnableToOpen(path.into_os_string(), Why::from(errno));
                self.messages.warn_once(Topic::name(&unit.name), message);
                return vec![failed];
            }
        };
        self.keep_pipes(id, unit, &logs);
        let outcome = match self.ensure_pipes(unit, &layout, &logs) {
            true => self.supervise(id, unit, &layout, &logs),
            false => failed,
        };
        vec![Event::Logs(id.clone(), logs), outcome]
    }

    /// A log whose directory is gone: the logs of the services that write to it, where each of them
    /// has another directory in its place.
    fn replaced_logs(&self, id: &Id, unit: &Unit) -> Vec<Event> {
        if unit.is_main() {
            return Vec::new();
        }
        let is_replaced = |writer: &Id, its: &Unit| {
            let service = Path::new(&its.name);
            let mut read = its.logs().filter(|(_, log)| *log == id);
            read.all(|(stream, _)| {
                matches!(
                    log_id(service, stream, writer.instance.as_deref()),
                    Ok(Some(_))
                )
            })
        };
        let writers = self.units.writers(id);
        let writers = writers.filter(|(writer, its)| is_replaced(writer, its));
        let events = writers.filter_map(|(writer, _)| {
            let layout = self.holdings.layout(writer, self.units)?;
            let logs = logs_at(&layout.dir, writer).ok()?;
            Some(Event::Logs(writer.clone(), logs))
        });
        events.collect()
    }

    /// The service writes to the pipe that it has: where the directory of its log was replaced, the
    /// pipe goes to the new one. That of a log that other services write to stays theirs.
    fn keep_pipes(&mut self, id: &Id, unit: &Unit, logs: &Logs) {
        for (stream, old) in unit.logs() {
            if let Some(new) = logs.of(stream)
                && new != old
                && self.units.writers(old).all(|(writer, _)| writer == id)
                && let Some(pipe) = self.holdings.pipes.remove(old)
            {
                self.holdings.pipes.insert(new.clone(), pipe);
            }
        }
    }

    /// Makes sure that the pipes of a service's logs are there.
    fn ensure_pipes(&mut self, unit: &Unit, layout: &Layout, logs: &Logs) -> bool {
        logs.each().all(|(stream, log)| {
            let path = log_name(layout.dir.as_os_str(), stream, log);
            let writer = [(layout.clone(), stream)];
            layout_at(Path::new(&path), log)
                .is_ok_and(|its| self.ensure_pipe(log, &its, &writer, &unit.name))
        })
    }

    /// Makes sure that the pipe of a log is there: the one that its processes have, or a new one.
    /// `writers` are those that the log is not yet known to have.
    fn ensure_pipe(
        &mut self,
        log: &Id,
        layout: &Layout,
        writers: &[(Layout, Stream)],
        name: &OsStr,
    ) -> bool {
        if self.holdings.pipes.contains_key(log) {
            return true;
        }
        let known = self.units.writers(log).flat_map(|(id, unit)| {
            let streams = unit.logs().filter(|(_, read)| *read == log);
            streams.filter_map(|(stream, _)| {
                let layout = self.holdings.layout(id, self.units)?;
                Some((layout, stream))
            })
        });
        let writers: Vec<_> = writers.iter().cloned().chain(known).collect();
        let search = Search {
            log: layout,
            writers: &writers,
            recorded: self.lock.pipe(log),
            world: &self.holdings.world,
        };
        let pipe = match search.run() {
            Outcome::Found(pipe) => Ok(pipe),
            Outcome::None => Pipe::new(),
            Outcome::Lost => {
                self.messages.warn(&Message::PipeLost(layout.name.clone()));
                Pipe::new()
            }
        };
        match pipe.and_then(|pipe| Ok((pipe.inode()?, pipe))) {
            Ok((inode, pipe)) => {
                // Before any process has it.
                self.lock.record(log, inode);
                self.holdings.pipes.insert(log.clone(), pipe);
                true
            }
            Err(errno) => {
                self.warn_unable_to_start(name, Why::from(errno));
                false
            }
        }
    }

    /// Adopts the supervise that is there, or starts one.
    fn supervise(&mut self, id: &Id, unit: &Unit, layout: &Layout, logs: &Logs) -> Event {
        self.holdings.directories.remember(id, layout);
        let name = unit.name.as_os_str();
        let failed = Event::StartFailed(id.clone());
        let (supervise, event) = match supervise_of(layout) {
            Ok(Supervised::By(process)) => (adopt(process), Event::Adopted(id.clone())),
            Ok(Supervised::No) => match self.spawn(id, unit, layout, logs) {
                Some(pid) => (Supervise::Child(pid), Event::Started(id.clone())),
                None => return failed,
            },
            Ok(Supervised::Unknown) => {
                let message = Message::HolderUnknown(unit.name.clone());
                self.messages.warn_once(Topic::supervise(name), message);
                return failed;
            }
            Err(refused) => {
                let message = Message::UnableToFindSupervise(unit.name.clone(), refused);
                self.messages.warn_once(Topic::supervise(name), message);
                return failed;
            }
        };
        self.messages.clear(&Topic::supervise(name));
        self.holdings.supervises.add(id, supervise);
        event
    }

    /// Starts a supervise with the path of its directory: the unit's name, or another one where that
    /// is gone.
    fn spawn(&mut self, id: &Id, unit: &Unit, layout: &Layout, logs: &Logs) -> Option<Pid> {
        let log = (!unit.is_main()).then_some(id);
        let started = streams(&self.holdings.pipes, logs, log)
            .map_err(Why::from)
            .and_then(|streams| {
                let path = layout.dir.as_os_str();
                self.spawner.start(path, &streams).map_err(Why::from)
            });
        match started {
            Ok(pid) => {
                self.messages.clear(&Topic::Start);
                Some(pid)
            }
            Err(why) => {
                self.warn_unable_to_start(&unit.name, why);
                None
            }
        }
    }

    /// Warns once that nothing can be started, until something can or the reason is another one.
    fn warn_unable_to_start(&mut self, name: &OsStr, why: Why) {
        let program = self.spawner.program().to_path_buf();
        let message = Message::UnableToStart(program, name.to_os_string(), why);
        self.messages.warn_once(Topic::Start, message);
    }
}

/// The descriptors of a supervise: the pipes of a service's logs, or the one that a log reads.
fn streams(pipes: &Pipes, logs: &Logs, log: Option<&Id>) -> rustix::io::Result<Streams> {
    let write = |log: &Option<Id>| {
        let pipe = log.as_ref().and_then(|log| pipes.get(log));
        pipe.map(Pipe::writer).transpose()
    };
    let read = log.and_then(|log| pipes.get(log));
    Ok(Streams {
        stdin: read.map(Pipe::reader).transpose()?,
        stdout: write(&logs.out)?,
        stderr: write(&logs.err)?,
    })
}

/// A svscan that replaced itself by exec(2) has the children of the one before.
fn adopt(process: Process) -> Supervise {
    let parent = Place::of(process.pid).and_then(|place| place.parent);
    match parent == Some(getpid()) {
        true => Supervise::Child(process.pid),
        false => Supervise::Adopted(process),
    }
}
