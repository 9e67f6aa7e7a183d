//! The stream of the page of all services.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use servicedir::supervisor::process::{Process, ProcessState};
use servicedir::tai64n::Tai64n;

use super::{MEMORY, send, unless_broken};
use crate::http::reply::{Kind, Reply};
use crate::http::stream::{self, Left, Outlet};
use crate::memory::Memory;
use crate::page;
use crate::rpc::Caller;
use crate::snapshot::Seen;
use crate::watcher::Watches;

/// What the page shows of a service: as long as this stays, there is nothing to send.
#[derive(Clone, PartialEq, Debug)]
struct Shown {
    state: ProcessState,
    pid: i32,
    starts: u64,
    ready: bool,
    paused: bool,
    problem: String,
    words: String,
}

impl Shown {
    fn of(seen: &Seen) -> Self {
        Self {
            state: seen.info.state,
            pid: seen.info.pid,
            starts: seen.starts(),
            ready: seen.is_ready(),
            paused: seen.is_paused(),
            problem: seen.problem(),
            words: seen.words(),
        }
    }
}

/// The services that a page shows, with their watches: number 0 is the scan directory's.
struct Listed {
    processes: Vec<Process>,
    shown: Vec<Shown>,
    watches: Watches,
}

/// Answers `/events`.
pub(crate) fn list(caller: &Caller) -> Reply {
    let own = caller.clone();
    stream::reply(&caller.site, Kind::Events, |outlet| feed(own, outlet))
}

async fn feed(caller: Caller, outlet: Outlet) -> Result<(), Left> {
    loop {
        let Some(mut listed) = Listed::look(&caller) else {
            return Ok(());
        };
        // The page may be older than this look.
        send(&outlet, "list", &json!({})).await?;
        while !listed.follow(&caller, &outlet).await? {}
    }
}

impl Listed {
    /// Watches first and looks then, so that no change between the two is missed.
    fn look(caller: &Caller) -> Option<Self> {
        let mut watches = caller.site.watcher.watch(&caller.site.dir);
        let processes = caller.site.processes().ok()?;
        for process in &processes {
            watches.add(&process.layout.state);
        }
        let shown = processes.iter().cloned().map(Seen::of);
        Some(Self {
            shown: shown.map(|seen| Shown::of(&seen)).collect(),
            processes,
            watches,
        })
    }

    /// Sends what changes next; whether the list itself has changed.
    async fn follow(&mut self, caller: &Caller, outlet: &Outlet) -> Result<bool, Left> {
        let next = tokio::time::timeout(MEMORY, self.watches.changed());
        let Ok(changed) = outlet.unless_left(next).await? else {
            self.send_memory(outlet).await?;
            return Ok(false);
        };
        let mut again = false;
        for number in changed {
            match number.checked_sub(1) {
                None => again |= self.is_another_list(caller),
                Some(index) => self.send_service(caller, outlet, index).await?,
            }
        }
        Ok(again)
    }

    fn is_another_list(&self, caller: &Caller) -> bool {
        caller.site.processes().ok().as_ref() != Some(&self.processes)
    }

    /// Looks at a service, and sends its row where that has changed.
    async fn send_service(
        &mut self,
        caller: &Caller,
        outlet: &Outlet,
        index: usize,
    ) -> Result<(), Left> {
        let Some(process) = self.processes.get(index) else {
            return Ok(());
        };
        let seen = Seen::with_memory(process.clone());
        let shown = Shown::of(&seen);
        if self.shown.get(index) == Some(&shown) {
            return Ok(());
        }
        if let Some(old) = self.shown.get_mut(index) {
            *old = shown;
        }
        let now = Tai64n::now().unix_seconds();
        let pages = &caller.site.pages;
        let html = unless_broken(pages.row(&seen, caller.door.rights.control, now))?;
        let counts = unless_broken(pages.counts(self.shown.iter().map(|shown| shown.state)))?;
        let data = json!({ "name": process.namespec(), "html": html.trim(), "counts": counts });
        send(outlet, "service", &data).await
    }

    async fn send_memory(&self, outlet: &Outlet) -> Result<(), Left> {
        let memory = Memory::by_session();
        let sizes: BTreeMap<String, u64> = std::iter::zip(&self.processes, &self.shown)
            .filter_map(|(process, shown)| Some((process.namespec(), memory.of(shown.pid)?)))
            .collect();
        let sizes: Map<String, Value> = sizes
            .into_iter()
            .map(|(name, bytes)| (name, page::size(bytes).into()))
            .collect();
        send(outlet, "memory", &sizes.into()).await
    }
}
