//! The stream of the page of one service: its state, and its log.

use std::collections::BTreeSet;

use serde_json::json;
use servicedir::journal::Entry;
use servicedir::journal::reader::Reader;
use servicedir::supervisor::logs::{self, Channel};
use servicedir::supervisor::process::Process;
use servicedir::tai64n::Tai64n;

use super::{MEMORY, send, unless_broken};
use crate::history;
use crate::http::reply::{Kind, Reply};
use crate::http::stream::{self, Left, Outlet};
use crate::logfile::Following;
use crate::page;
use crate::rpc::Caller;
use crate::snapshot::Seen;
use crate::watcher::Watches;

/// The number of the state directory among the watches.
const STATE: usize = 0;

/// The number of the log's directory.
const LOG: usize = 1;

/// What a page of one service shows, and what is watched for it.
struct Page {
    process: Process,
    /// What was sent last.
    html: String,
    /// What comes after the lines that stand on the page.
    journal: Reader,
    /// Lines that were written after the page was made and before this stream began.
    unsent: Vec<Entry>,
    log: Option<Following>,
    watches: Watches,
}

/// Answers `/events/NAME`; the page has the lines of the journal up to number `after`.
pub(crate) fn one(caller: &Caller, process: Process, channel: Channel, after: u64) -> Reply {
    let own = caller.clone();
    stream::reply(&caller.site, Kind::Events, |outlet| {
        let page = Page::open(&own, process, channel, after);
        feed(own, page, outlet)
    })
}

async fn feed(caller: Caller, mut page: Page, outlet: Outlet) -> Result<(), Left> {
    let mut changed = BTreeSet::from([STATE, LOG]);
    loop {
        if changed.contains(&STATE) {
            page.send_facts(&caller, &outlet).await?;
            page.send_history(&caller, &outlet).await?;
        }
        if changed.contains(&LOG) {
            page.send_log(&outlet).await?;
        }
        let next = tokio::time::timeout(MEMORY, page.watches.changed());
        changed = match outlet.unless_left(next).await? {
            Ok(changed) => changed,
            // The memory changes without telling.
            Err(_) => BTreeSet::from([STATE]),
        };
    }
}

impl Page {
    fn open(caller: &Caller, process: Process, channel: Channel, after: u64) -> Self {
        let mut watches = caller.site.watcher.watch(&process.layout.state);
        let (mut entries, journal) = history::latest(&process.layout);
        entries.retain(|entry| entry.number > after);
        entries.reverse();
        // What is there already stands on the page.
        let log =
            logs::file(&process.layout, channel).and_then(|file| Following::begin(&file, 0).ok());
        if let Some(log) = &log {
            watches.add(log.folder());
        }
        Self {
            journal,
            unsent: entries,
            process,
            html: String::new(),
            log,
            watches,
        }
    }

    async fn send_facts(&mut self, caller: &Caller, outlet: &Outlet) -> Result<(), Left> {
        let seen = Seen::with_memory(self.process.clone());
        let control = caller.door.rights.control;
        // Rendered as of the start, so that the running time alone is no change.
        let then = seen.info.start;
        let html = unless_broken(caller.site.pages.facts(&seen, control, then))?;
        if html == self.html {
            return Ok(());
        }
        self.html = html;
        let now = Tai64n::now().unix_seconds();
        let html = unless_broken(caller.site.pages.facts(&seen, control, now))?;
        let state = seen.info.state.name().to_ascii_lowercase();
        let title = format!("{}: {state}", self.process.namespec());
        send(outlet, "facts", &json!({ "html": html, "title": title })).await
    }

    async fn send_history(&mut self, caller: &Caller, outlet: &Outlet) -> Result<(), Left> {
        let mut entries = std::mem::take(&mut self.unsent);
        entries.extend(history::next(&mut self.journal, &self.process.layout));
        for entry in entries {
            let html = unless_broken(caller.site.pages.happened(&entry))?;
            send(outlet, "history", &json!({ "html": html })).await?;
        }
        Ok(())
    }

    async fn send_log(&mut self, outlet: &Outlet) -> Result<(), Left> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        loop {
            match log.next_piece() {
                Ok(piece) if piece.is_empty() => return Ok(()),
                Ok(piece) => {
                    send(outlet, "log", &json!({ "text": page::plain_log(&piece) })).await?;
                }
                Err(_) => {
                    self.log = None;
                    return Ok(());
                }
            }
        }
    }
}
