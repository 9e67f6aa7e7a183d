//! Clearing logs: the logger rotates, and what was rotated away is removed.
//!
//! Only the logger writes to its files: truncated by another program, `current` would lose lines that
//! come meanwhile. Where no logger is there, its files are removed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use servicedir::layout::{CONTROL, Layout};
use servicedir::report::Why;
use servicedir::state_folder::{StateFolder, is_supervised};
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::logs::{self, Channel};
use servicedir::supervisor::process::Process;

use super::Caller;
use super::control::result_of;
use super::params::{Params, text};
use crate::logfile;
use crate::site::Site;
use crate::xml::Value;

/// How long a logger may take to rotate: svlogd does it between two reads, and its disk may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// The control byte that has svlogd and multilog rotate: ALRM.
const ROTATE: &[u8] = b"a";

/// The end of a rotated file's name whose content is not on the disk yet.
const UNSEALED: &[u8] = b".u";

/// Logs that are to be cleared.
#[derive(Debug)]
pub(super) enum Clearing {
    /// Those of one service.
    One(Process),
    /// Those of all services.
    All(Vec<Process>),
    /// The main log.
    Main(PathBuf),
}

/// `clearProcessLogs`.
pub(super) fn one(caller: &Caller, params: Params<'_>) -> Result<Clearing, Fault> {
    caller.site.process(text(params, 0)?).map(Clearing::One)
}

/// `clearAllProcessLogs`.
pub(super) fn all(caller: &Caller, _: Params<'_>) -> Result<Clearing, Fault> {
    caller.site.processes().map(Clearing::All)
}

/// `clearLog`.
pub(super) fn main(caller: &Caller, _: Params<'_>) -> Result<Clearing, Fault> {
    let logger = logfile::main_service(&caller.site.dir);
    match logger.is_dir() {
        true => Ok(Clearing::Main(logger)),
        false => Err(Fault::new(Code::NoFile, "")),
    }
}

/// Clears, and makes the method's answer of the outcome.
pub(super) async fn run_to_end(site: &Rc<Site>, clearing: Clearing) -> Result<Value, Fault> {
    match clearing {
        Clearing::One(process) => clear(site, &process).await.map(|()| Value::Bool(true)),
        Clearing::Main(logger) => clear_logger(site, &logger, logfile::main(&site.dir))
            .await
            .map(|()| Value::Bool(true)),
        Clearing::All(processes) => {
            let mut results = Vec::new();
            for process in processes {
                let outcome = clear(site, &process).await;
                results.push(result_of(&(process, outcome)));
            }
            Ok(Value::Array(results))
        }
    }
}

/// Clears the logs of a service; one that has none is cleared.
pub(crate) async fn clear(site: &Rc<Site>, process: &Process) -> Result<(), Fault> {
    for channel in [Channel::Stdout, Channel::Stderr] {
        if let Some(logger) = logs::service(&process.layout, channel) {
            clear_logger(site, &logger, logs::file(&process.layout, channel)).await?;
        }
    }
    Ok(())
}

/// Clears what the log service at `logger` has written beside `current`.
async fn clear_logger(
    site: &Rc<Site>,
    logger: &Path,
    current: Option<PathBuf>,
) -> Result<(), Fault> {
    let Some(current) = current else {
        return Ok(());
    };
    let failed = |error: io::Error| {
        let file = current.display();
        Fault::new(
            Code::Failed,
            format_args!("unable to clear {file}: {}", Why::from(error)),
        )
    };
    let layout = Layout::of(logger).map_err(failed)?;
    // Where that cannot be told, nothing is removed under a logger that may be there.
    if is_supervised(&layout).map_err(|refused| failed(refused.into()))? {
        rotate(site, &layout, &current).await.map_err(failed)?;
    } else {
        remove(&current).map_err(failed)?;
    }
    logs::old_files(&current)
        .iter()
        .try_for_each(|file| remove(file))
        .map_err(failed)
}

/// Has the logger rotate, and waits until it has.
async fn rotate(site: &Rc<Site>, layout: &Layout, current: &Path) -> io::Result<()> {
    let folder = current.parent().unwrap_or(Path::new("."));
    let mut watch = site.watcher.watch(folder);
    let before = fs::metadata(current)?;
    if before.len() == 0 {
        return Ok(());
    }
    let control = StateFolder::open(layout)?.open_fifo(CONTROL)?;
    rustix::io::write(&control, ROTATE)?;
    let rotated = async {
        while !is_rotated(current, before.ino()) {
            watch.changed().await;
        }
    };
    tokio::time::timeout(PATIENCE, rotated)
        .await
        .map_err(|_| io::Error::from_raw_os_error(libc::ETIMEDOUT))
}

/// Whether `current` is another file now, and those that were rotated away are whole.
fn is_rotated(current: &Path, before: u64) -> bool {
    use std::os::unix::ffi::OsStrExt;
    fs::metadata(current).is_ok_and(|meta| meta.ino() != before)
        && !logs::old_files(current)
            .iter()
            .any(|file| file.as_os_str().as_bytes().ends_with(UNSEALED))
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
