//! The supervises that there are, and their ends.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, kill_process, pidfd_send_signal, wait,
};

use crate::process::Process;
use crate::scan::Id;

/// A supervise.
#[derive(Debug)]
pub(crate) enum Supervise {
    /// A child of this process; its pid is its own until it is reaped.
    Child(Pid),
    /// One that another svscan, or a person, started.
    Adopted(Process),
}

/// The supervises by their units.
#[derive(Debug, Default)]
pub(crate) struct Supervises {
    by_unit: BTreeMap<Id, Supervise>,
    children: BTreeMap<i32, Id>,
}

impl Supervises {
    pub(crate) fn add(&mut self, id: &Id, supervise: Supervise) {
        if let Supervise::Child(pid) = supervise {
            self.children.insert(pid.as_raw_nonzero().get(), id.clone());
        }
        self.by_unit.insert(id.clone(), supervise);
    }

    pub(crate) fn remove(&mut self, id: &Id) {
        self.by_unit.remove(id);
    }

    /// The pid of a unit's supervise.
    pub(crate) fn pid(&self, id: &Id) -> Option<Pid> {
        self.by_unit.get(id).map(|supervise| match supervise {
            Supervise::Child(pid) => *pid,
            Supervise::Adopted(process) => process.pid,
        })
    }

    /// Whether a unit's supervise is a child of this process.
    pub(crate) fn is_child(&self, id: &Id) -> bool {
        matches!(self.by_unit.get(id), Some(Supervise::Child(_)))
    }

    /// The adopted supervises: each polls readable when it has ended.
    pub(crate) fn adopted(&self) -> impl Iterator<Item = (&Id, &OwnedFd)> {
        self.by_unit
            .iter()
            .filter_map(|(id, supervise)| match supervise {
                Supervise::Adopted(process) => Some((id, &process.pidfd)),
                Supervise::Child(_) => None,
            })
    }

    /// Sends a signal to a unit's supervise.
    pub(crate) fn signal(&self, id: &Id, signal: Signal) {
        let sent = match self.by_unit.get(id) {
            Some(Supervise::Child(pid)) => kill_process(*pid, signal),
            Some(Supervise::Adopted(process)) => pidfd_send_signal(&process.pidfd, signal),
            None => Ok(()),
        };
        // A process that is gone by now is what was wanted.
        sent.ok();
    }

    /// Reaps every child that has ended: supervises, and whatever was orphaned. Returns the units
    /// whose supervises have ended.
    pub(crate) fn reap(&mut self) -> Vec<(Id, WaitStatus)> {
        let mut ended = Vec::new();
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if let Some(id) = self.children.remove(&pid.as_raw_nonzero().get()) {
                self.by_unit.remove(&id);
                ended.push((id, status));
            }
        }
        ended
    }
}
