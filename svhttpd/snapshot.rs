//! The services as they are at one moment: what the page, JSON and the metrics show.

use servicedir::status::{Record, State, Status, Want};
use servicedir::supervisor::fault::Fault;
use servicedir::supervisor::process::{Info, Process, ProcessState};
use servicedir::tai64n::Tai64n;

use crate::memory::Memory;
use crate::site::Site;

/// A service at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Where it is.
    pub(crate) process: Process,
    /// As Supervisor's clients see it.
    pub(crate) info: Info,
    /// Its status; `None` where no supervise is there.
    pub(crate) status: Option<Status>,
    /// The memory that its processes use, in bytes; `None` where it has none, or that was not asked for.
    pub(crate) memory: Option<u64>,
}

/// All services at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// The services, sorted by group and name.
    pub(crate) services: Vec<Seen>,
    /// When that was.
    pub(crate) now: Tai64n,
}

impl Snapshot {
    /// Looks at all services and their memory.
    ///
    /// # Errors
    /// The scan directory cannot be read.
    pub(crate) fn take(site: &Site) -> Result<Self, Fault> {
        let mut services: Vec<Seen> = site.processes()?.into_iter().map(Seen::of).collect();
        let memory = Memory::by_session();
        for service in &mut services {
            service.memory = memory.of(service.info.pid);
        }
        Ok(Self {
            services,
            now: Tai64n::now(),
        })
    }
}

impl Seen {
    /// Looks at a service; its memory is not asked for.
    pub(crate) fn of(process: Process) -> Self {
        let (info, status) = process.look_with_status();
        Self {
            process,
            info,
            status,
            memory: None,
        }
    }

    /// Looks at a service and its memory.
    pub(crate) fn with_memory(process: Process) -> Self {
        let mut seen = Self::of(process);
        seen.memory = Memory::by_session().of(seen.info.pid);
        seen
    }

    /// This suite's own record.
    pub(crate) fn record(&self) -> Option<&Record> {
        self.status.as_ref()?.record.as_ref()
    }

    /// How often it was started.
    pub(crate) fn starts(&self) -> u64 {
        self.record().map_or(0, |record| record.total_starts)
    }

    /// Whether it runs and is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.info.state == ProcessState::Known(State::Running)
            && self.record().is_none_or(|record| record.ready)
    }

    /// Whether it was stopped by SIGSTOP.
    pub(crate) fn is_paused(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.paused)
    }

    /// Why it is not up, or what is wrong with its options, in words; empty where nothing is.
    pub(crate) fn problem(&self) -> String {
        let Some(status) = &self.status else {
            return "no supervise runs for it".to_owned();
        };
        let Some(record) = &status.record else {
            return self.info.spawnerr.clone();
        };
        let end = record
            .last_end
            .map(|end| end.to_string())
            .unwrap_or_default();
        match record.state {
            State::Fatal if record.reason.is_empty() => end,
            State::Fatal => record.reason.clone(),
            State::Backoff if record.failed_starts == 1 => end,
            State::Backoff => format!("{end}; {} failed starts in a row", record.failed_starts),
            State::Exited if !self.info.spawnerr.is_empty() => end,
            _ if record.options_fault => record.reason.clone(),
            State::Exited | State::Stopped | State::Starting | State::Running | State::Stopping => {
                String::new()
            }
        }
    }

    /// What else there is to say: what the service tells of itself, what its start waits for, how it ended.
    pub(crate) fn words(&self) -> String {
        let Some(record) = self.record() else {
            return String::new();
        };
        match record.state {
            State::Starting if !record.reason.is_empty() => record.reason.clone(),
            State::Exited
                if self
                    .status
                    .as_ref()
                    .is_some_and(|status| status.want != Want::Up) =>
            {
                record
                    .last_end
                    .map(|end| end.to_string())
                    .unwrap_or_default()
            }
            State::Starting | State::Running => record.message.clone(),
            State::Exited | State::Stopped | State::Backoff | State::Stopping | State::Fatal => {
                String::new()
            }
        }
    }
}
