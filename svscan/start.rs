//! Starting a supervise, or finding the one that is there.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::process::Pid;
use servicedir::layout::{ERRLOG, LOG, Layout};
use servicedir::report::Why;

use crate::adopt::{Supervised, find_pipe, supervise_of};
use crate::directory::{leads_to, log_id, path_of};
use crate::event_loop::{EventLoop, Kept, Supervise};
use crate::pipes::Pipe;
use crate::scan::Event;
use crate::spawn::Streams;
use crate::unit::{Id, Logs, Stream, Unit};

impl EventLoop {
    /// Starts the supervise of a unit, unless one is there.
    pub(crate) fn start(&mut self, id: Id) {
        for service in self.to_look_at(&id) {
            self.look_at_logs(&service);
        }
        let event = match self.try_start(&id) {
            true => Event::Started(id),
            false => Event::StartFailed(id),
        };
        self.step(event);
    }

    /// Whose logs are looked at before a start: the service's own; for a log whose directory is not at
    /// its path any more, those of the services that write to it, if there is another one there.
    fn to_look_at(&self, id: &Id) -> Vec<Id> {
        let is_log = self.scan.units.get(id).is_some_and(|unit| !unit.is_main());
        if !is_log || self.layout(id).is_some() {
            return vec![id.clone()];
        }
        let replaced = |writer: &Id, unit: &Unit| {
            let mut read = unit.logs().filter(|(_, log)| *log == id);
            read.all(|(stream, _)| {
                let folder = match stream {
                    Stream::Out => LOG,
                    Stream::Err => ERRLOG,
                };
                let instance = writer.instance.as_deref();
                log_id(Path::new(&unit.name), folder, instance).is_some()
            })
        };
        let writers = self.scan.writers(id);
        let writers = writers.filter(|(writer, unit)| replaced(writer, unit));
        writers.map(|(writer, _)| writer.clone()).collect()
    }

    /// The logs of a service are looked at whenever its supervise is started.
    fn look_at_logs(&mut self, id: &Id) {
        let Some(unit) = self.scan.units.get(id).filter(|unit| unit.is_main()) else {
            return;
        };
        // The name may be gone, or lead to another directory by now: its logs are not this one's.
        let Some(layout) = self.layout(id) else {
            return;
        };
        let folder = layout.dir.as_path();
        // A link to the service itself is no log of it.
        let other = |log: &Id| (log.dev, log.ino) != (id.dev, id.ino);
        let instance = id.instance.as_deref();
        let logs = Logs {
            out: log_id(folder, LOG, instance).filter(other),
            err: log_id(folder, ERRLOG, instance).filter(other),
        };
        let old: Vec<(Stream, Id)> = unit
            .logs()
            .map(|(stream, id)| (stream, id.clone()))
            .collect();
        for (stream, log) in old {
            let new = match stream {
                Stream::Out => &logs.out,
                Stream::Err => &logs.err,
            };
            // The service writes to the pipe that it has: it goes to the directory's successor. That of a
            // log that others write to stays theirs.
            if let Some(new) = new
                && *new != log
                && self.scan.writers(&log).all(|(writer, _)| writer == id)
                && let Some(pipe) = self.pipes.remove(&log)
            {
                self.pipes.insert(new.clone(), pipe);
            }
        }
        self.step(Event::Logs(id.clone(), logs));
    }

    fn try_start(&mut self, id: &Id) -> bool {
        let Some(unit) = self.scan.units.get(id) else {
            return false;
        };
        let name = unit.name.clone();
        let logs: Vec<Id> = match unit.is_main() {
            true => unit.logs().map(|(_, log)| log.clone()).collect(),
            false => vec![id.clone()],
        };
        if !logs.into_iter().all(|log| self.ensure_pipe(log, &name)) {
            return false;
        }
        let Some(layout) = self.layout(id) else {
            return false;
        };
        let real = self.real_path(id, &layout);
        let supervise = match supervise_of(&layout) {
            Supervised::By(process) => Some(Supervise::Adopted(process)),
            Supervised::Unknown => return self.complain(id, &name),
            Supervised::No => self.spawn(id, &layout.dir).map(Supervise::Child),
        };
        if let Some(Supervise::Child(pid)) = supervise {
            self.children.insert(pid.as_raw_nonzero().get(), id.clone());
        }
        let started = supervise.is_some();
        let kept = self.kept.entry(id.clone()).or_insert(Kept {
            held: None,
            real: None,
            supervise: None,
            complained: false,
        });
        (kept.real, kept.supervise, kept.complained) = (real, supervise, false);
        if started {
            self.mind_essential(id, Instant::now());
        }
        started
    }

    /// Makes sure that the pipe of a log is there: the one that its processes have, or a new one.
    fn ensure_pipe(&mut self, log: Id, name: &OsStr) -> bool {
        if self.pipes.contains_key(&log) {
            return true;
        }
        match self.find_pipe(&log).map_or_else(Pipe::new, Ok) {
            Ok(pipe) => drop(self.pipes.insert(log, pipe)),
            Err(errno) => {
                self.say_spawn_fault(name, nix::Error::from_raw(errno.raw_os_error()));
                return false;
            }
        }
        true
    }

    fn find_pipe(&self, log: &Id) -> Option<Pipe> {
        let layout = self.layout(log)?;
        let writers: Vec<(Layout, Stream)> = self
            .scan
            .writers(log)
            .flat_map(|(id, unit)| {
                let streams = unit.logs().filter(|(_, read)| *read == log);
                streams.filter_map(|(stream, _)| Some((self.layout(id)?, stream)))
            })
            .collect();
        let writers = writers.iter().map(|(layout, stream)| (layout, *stream));
        find_pipe(&layout, writers, &self.world)
    }

    /// The path is the unit's name, or where its directory is now that the name is gone.
    fn spawn(&mut self, id: &Id, path: &Path) -> Option<Pid> {
        let unit = self.scan.units.get(id)?;
        let mut streams = Streams::default();
        for (stream, log) in unit.logs() {
            let end = self.pipes.get(log).map(|pipe| pipe.write.as_fd());
            match stream {
                Stream::Out => streams.stdout = end,
                Stream::Err => streams.stderr = end,
            }
        }
        if !unit.is_main() {
            streams.stdin = self.pipes.get(id).map(|pipe| pipe.read.as_fd());
        }
        match self.spawner.start(path.as_os_str(), streams) {
            Ok(pid) => {
                self.spawn_fault = None;
                Some(pid)
            }
            Err(errno) => {
                let name = unit.name.clone();
                self.say_spawn_fault(&name, errno);
                None
            }
        }
    }

    /// Says that nothing can be started, once until something can or the reason is another one.
    fn say_spawn_fault(&mut self, name: &OsStr, errno: nix::Error) {
        if self.spawn_fault != Some(errno) {
            self.report.warning(format_args!(
                "unable to start {} for {}: {}; tried again every second",
                self.spawner.program().display(),
                name.display(),
                Why::from(errno)
            ));
        }
        self.spawn_fault = Some(errno);
    }

    /// Says, once, that a supervise is there that cannot be watched; it is looked for every second.
    fn complain(&mut self, id: &Id, name: &OsStr) -> bool {
        if let Some(kept) = self.kept.get_mut(id)
            && !kept.complained
        {
            kept.complained = true;
            self.report.warning(format_args!(
                "{} is supervised already, by a process that cannot be found",
                name.display()
            ));
        }
        false
    }

    /// What is kept of a log's path: its service's name may go before it. A service's own directory is
    /// held, and can be asked.
    fn real_path(&self, id: &Id, layout: &Layout) -> Option<PathBuf> {
        let held = self.kept.get(id).is_some_and(|kept| kept.held.is_some());
        (!held)
            .then(|| std::fs::canonicalize(&layout.dir).ok())
            .flatten()
    }

    /// The layout of a unit, by a path that leads to its directory now.
    pub(crate) fn layout(&self, id: &Id) -> Option<Layout> {
        let named = self
            .scan
            .units
            .get(id)
            .map(|unit| PathBuf::from(&unit.name));
        let path = named.filter(|path| leads_to(path, id)).or_else(|| {
            let kept = self.kept.get(id)?;
            let real = kept.real.clone().or_else(|| path_of(kept.held.as_ref()?))?;
            leads_to(&real, id).then_some(real)
        })?;
        layout_at(&path, id).ok()
    }
}

/// The layout at a path that need not be the link that makes it an instance.
fn layout_at(path: &Path, id: &Id) -> io::Result<Layout> {
    let mut layout = Layout::of(path)?;
    if layout.instance.is_none()
        && let Some(instance) = &id.instance
    {
        let mut state = std::mem::take(&mut layout.state).into_os_string();
        state.push("@");
        state.push(instance);
        layout.state = PathBuf::from(state);
        layout.instance = Some(instance.clone());
    }
    Ok(layout)
}
