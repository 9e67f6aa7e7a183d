//! Ending supervises, and what they leave.

use rustix::process::{Signal, kill_process, kill_process_group, pidfd_send_signal};
use servicedir::control::{self, Control};
use servicedir::layout::{CONTROL, Layout};
use servicedir::status::Want;

use crate::adopt::{Supervised, process_of, status_of, supervise_of};
use crate::event_loop::{EventLoop, Supervise};
use crate::pipes::Pipe;
use crate::scan::{Event, SECOND};
use crate::unit::{Ending, Id};

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    /// It is in the control FIFO.
    Heard,
    /// Nobody reads the FIFO, or there is none.
    Nobody,
}

impl EventLoop {
    /// Tells a supervise to end: by its control FIFO, which every suite's supervise obeys, else by
    /// TERM. One that was started just now may not have come to either.
    pub(crate) fn end(&mut self, id: Id, ending: Ending) {
        let commands: &[Control] = match ending {
            Ending::Stop => &[Control::Down, Control::Exit],
            Ending::Drain if self.waits_for_logger(&id) => {
                return self.step(Event::NotHeard(id, ending));
            }
            Ending::Drain => &[Control::Exit],
        };
        let told = self
            .layout(&id)
            .map_or(Told::Nobody, |layout| tell(&layout, commands));
        if told == Told::Nobody && self.is_young(&id) {
            return self.step(Event::NotHeard(id, ending));
        }
        match ending {
            // With svscan's ends closed the logger finds the end of its input, as soon as no process
            // that wrote to it is left.
            Ending::Drain => drop(self.pipes.remove(&id)),
            Ending::Stop if told == Told::Nobody => self.signal(&id, Signal::TERM),
            Ending::Stop => {}
        }
        // A log that nobody writes to any more is stopped when its time to drain is over: what it left
        // is no reason to start it once more.
        if ending == Ending::Stop && self.scan.writers(&id).next().is_none() {
            self.pipes.remove(&id);
        }
    }

    /// Whether lines wait in the pipe for a logger that is to be started again: a supervise that is told
    /// to exit meanwhile does so without it.
    fn waits_for_logger(&self, id: &Id) -> bool {
        let lines = self.pipes.get(id).is_some_and(Pipe::has_lines);
        lines && {
            let status = self.layout(id).and_then(|layout| status_of(&layout));
            status.is_some_and(|(status, _)| status.want == Want::Up && status.pid.is_none())
        }
    }

    /// Whether a supervise was started so recently that it may not listen yet.
    fn is_young(&self, id: &Id) -> bool {
        let started = self.scan.units.get(id).and_then(|unit| unit.started);
        let child = self
            .kept
            .get(id)
            .is_some_and(|kept| matches!(kept.supervise, Some(Supervise::Child(_))));
        child && started.is_some_and(|then| then.elapsed() < SECOND)
    }

    fn signal(&self, id: &Id, signal: Signal) {
        let told = match self.kept.get(id).and_then(|kept| kept.supervise.as_ref()) {
            Some(Supervise::Child(pid)) => kill_process(*pid, signal),
            Some(Supervise::Adopted(process)) => pidfd_send_signal(&process.pidfd, signal),
            None => Ok(()),
        };
        // A process that is gone by now is what was wanted.
        told.ok();
    }

    /// Looks whether anything of a unit without a supervise of ours is left.
    pub(crate) fn look(&mut self, id: Id) {
        let alive = self.layout(&id).is_some_and(|layout| {
            !is_anothers(&layout)
                && (process_of(&layout, &self.world).is_some()
                    || !matches!(supervise_of(&layout), Supervised::No))
        });
        let lines = self.scan.units.get(&id).is_some_and(|unit| !unit.is_main())
            && self.pipes.get(&id).is_some_and(|pipe| pipe.has_lines());
        self.step(Event::Looked(id, alive || lines));
    }

    /// Kills every service with its process group, and every supervise.
    pub(crate) fn kill_all(&self) {
        self.report
            .warning("not everything was down in time: killing what is left");
        for id in self.scan.units.keys() {
            // The supervise first: it would run `finish`, or start a service again, that was killed
            // before it.
            self.signal(id, Signal::KILL);
            if let Some(layout) = self.layout(id) {
                self.kill_service(&layout);
            }
        }
    }

    fn kill_service(&self, layout: &Layout) {
        let Some(process) = process_of(layout, &self.world) else {
            return;
        };
        let group = status_of(layout).and_then(|(_, record)| record.group);
        // The process is known to live, so a group that it leads is its own.
        if group == Some(process.pid) {
            kill_process_group(process.pid, Signal::KILL).ok();
        }
        pidfd_send_signal(&process.pidfd, Signal::KILL).ok();
    }
}

/// Whether only somebody else may control a service: it is not ours to stop, nor to wait for.
fn is_anothers(layout: &Layout) -> bool {
    control::open_for_writing(&layout.state_file(CONTROL))
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// Writes commands to a service's control FIFO.
fn tell(layout: &Layout, commands: &[Control]) -> Told {
    let bytes: Vec<u8> = commands
        .iter()
        .filter_map(|command| command.byte())
        .collect();
    let Ok(fifo) = control::open_for_writing(&layout.state_file(CONTROL)) else {
        return Told::Nobody;
    };
    match rustix::io::write(&fifo, &bytes) {
        Ok(_) => Told::Heard,
        // Full, or closed since.
        Err(_) => Told::Nobody,
    }
}
