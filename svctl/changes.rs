//! `reread`, `update`, `add`, `remove`: what is defined, and what is in use.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use servicedir::control::{self, is_supervised};
use servicedir::layout::{CONTROL, LOCK, Layout, OK, RUN};
use servicedir::lock;
use servicedir::report::Why;
use servicedir::supervisor::catalog::{self, AVAILABLE, Changes};
use servicedir::supervisor::logs::{self, Channel};
use servicedir::supervisor::process::Process;
use servicedir::supervisor::scan;

use crate::controller::{Controller, eventually, exit};
use crate::lifecycle::stop_quietly;

/// How long svscan may take to start a supervise, and a supervise to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// `reread`: the differences, a line a group.
pub(crate) fn reread(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() {
        return controller.wrong("Error: reread accepts no arguments", "reread");
    }
    let Some(changes) = changes(controller, "ERROR: CANT_REREAD: ") else {
        return;
    };
    let mut lines: Vec<String> = Vec::new();
    for (groups, word) in [
        (&changes.added, "available"),
        (&changes.changed, "changed"),
        (&changes.removed, "disappeared"),
    ] {
        lines.extend(groups.iter().map(|group| format!("{group}: {word}")));
    }
    lines.sort();
    if lines.is_empty() {
        lines.push("No config updates to processes".to_owned());
    }
    for line in lines {
        controller.say(&line);
    }
}

/// Imports the configuration again where one was imported, and compares; `None` where that failed, which is
/// said.
fn changes(controller: &mut Controller, before: &str) -> Option<Changes> {
    let found = import(&controller.scan).and_then(|()| {
        catalog::changes(&controller.scan).map_err(|error| {
            let why = Why::from(error);
            format!("unable to read {}: {why}", controller.scan.display())
        })
    });
    match found {
        Ok(changes) => Some(changes),
        Err(why) => {
            controller.say(&format!("{before}{why}"));
            controller.exit = exit::GENERIC;
            None
        }
    }
}

/// Runs svimport on the file that the manifest of an earlier import names; nothing where there is none, and where
/// the file is gone: the definitions are then all there is.
fn import(scan: &Path) -> Result<(), String> {
    let manifest = scan.join(AVAILABLE).join(".svimport");
    let text = std::fs::read_to_string(manifest).unwrap_or_default();
    let file = text.lines().find_map(|line| line.strip_prefix("file "));
    let Some(file) = file.filter(|file| Path::new(file).exists()) else {
        return Ok(());
    };
    let beside = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.join("svimport")))
        .filter(|path| path.exists());
    let program = beside.unwrap_or_else(|| "svimport".into());
    let output = Command::new(&program)
        .arg(file)
        .arg("--into")
        .arg(scan)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unable to run {}: {}", program.display(), Why::from(error)))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let fatal = said
        .lines()
        .find_map(|line| line.strip_prefix("svimport: fatal: "));
    match fatal {
        Some(fatal) => Err(fatal.to_owned()),
        None => Ok(()),
    }
}

/// `update [GROUP...|all]`.
pub(crate) fn update(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        controller.exit = exit::GENERIC;
        return;
    }
    let Some(mut changes) = changes(controller, "error: CANT_REREAD: ") else {
        return;
    };
    let names: Vec<&str> = arguments.split_whitespace().collect();
    if !names.is_empty() && !names.contains(&"all") {
        for name in &names {
            let known = changes.added.iter().any(|group| group == name)
                || controller.group(name).is_some()
                || changes.removed.iter().any(|group| group == name);
            if !known {
                controller.say(&format!("ERROR: no such group: {name}"));
                controller.exit = exit::GENERIC;
            }
        }
        for groups in [
            &mut changes.added,
            &mut changes.changed,
            &mut changes.removed,
        ] {
            groups.retain(|group| names.contains(&group.as_str()));
        }
    }
    for group in &changes.removed {
        drop_group(controller, group);
    }
    for group in &changes.changed {
        renew(controller, group);
    }
    for group in &changes.added {
        bring_in(controller, group, "added process group");
    }
}

/// Stops and removes a group whose definition is gone.
fn drop_group(controller: &mut Controller, group: &str) {
    let members = controller.group(group).unwrap_or_default();
    let stopped = stop_quietly(&members);
    controller.say(&format!("{group}: stopped"));
    if !stopped {
        controller.say(&format!("{group}: has problems; not removing"));
        controller.exit = exit::GENERIC;
        return;
    }
    if take_out(controller, &members) {
        match catalog::sweep(&controller.scan, group) {
            Ok(()) => controller.say(&format!("{group}: removed process group")),
            Err(error) => failed(controller, group, "remove", &error),
        }
    }
}

/// Stops a group and gives each of its services a new supervise, which starts it afresh where it is to be
/// started.
fn renew(controller: &mut Controller, group: &str) {
    let members = controller.group(group).unwrap_or_default();
    stop_quietly(&members);
    controller.say(&format!("{group}: stopped"));
    let (stay, go): (Vec<Process>, Vec<Process>) = members
        .into_iter()
        .partition(|process| process.layout.dir.join(RUN).exists());
    take_out(controller, &go);
    for process in &stay {
        renew_supervise(&process.layout);
        for channel in [Channel::Stdout, Channel::Stderr] {
            let logger = logs::service(&process.layout, channel);
            if let Some(layout) = logger.and_then(|logger| Layout::of(&logger).ok()) {
                // A logger reads what is left in its pipe, and its settings when it is started again.
                drop(write(&layout, b"t"));
            }
        }
    }
    bring_in(controller, group, "updated process group");
}

/// Ends a supervise; svscan starts another one.
fn renew_supervise(layout: &Layout) {
    let holder = || lock::holder(&layout.state_file(LOCK));
    let before = holder();
    if write(layout, b"x").is_ok() {
        eventually(PATIENCE, || {
            holder() != before && is_supervised(&layout.state_file(OK)).unwrap_or(false)
        });
    }
}

fn write(layout: &Layout, letters: &[u8]) -> std::io::Result<()> {
    let fifo = control::open_for_writing(&layout.state_file(CONTROL))?;
    rustix::io::write(fifo, letters)?;
    Ok(())
}

/// `add GROUP...`.
pub(crate) fn add(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() && !controller.is_up() {
        controller.exit = exit::GENERIC;
        return;
    }
    for group in arguments.split_whitespace() {
        let definitions = catalog::definitions(&controller.scan).unwrap_or_default();
        let mut members = definitions
            .iter()
            .filter(|definition| definition.process.group == group)
            .peekable();
        if members.peek().is_none() {
            controller.say(&format!("ERROR: no such process/group: {group}"));
            controller.exit = exit::GENERIC;
        } else if members.any(|definition| definition.in_use) {
            controller.say("ERROR: process group already active");
        } else {
            bring_in(controller, group, "added process group");
        }
    }
}

/// Links the definitions of a group, waits until each has a supervise, and says `word`.
fn bring_in(controller: &mut Controller, group: &str, word: &str) {
    match catalog::activate(&controller.scan, group) {
        Ok(links) => {
            for link in links {
                let Ok(layout) = Layout::of(&link) else {
                    continue;
                };
                eventually(PATIENCE, || {
                    is_supervised(&layout.state_file(OK)).unwrap_or(false)
                });
            }
            controller.say(&format!("{group}: {word}"));
        }
        Err(error) => failed(controller, group, "add", &error),
    }
}

fn failed(controller: &mut Controller, group: &str, verb: &str, error: &std::io::Error) {
    let why = Why::from(error);
    controller.say(&format!("error: unable to {verb} {group}: {why}"));
    controller.exit = exit::GENERIC;
}

/// `remove GROUP...`.
pub(crate) fn remove(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() && !controller.is_up() {
        controller.exit = exit::GENERIC;
        return;
    }
    for group in arguments.split_whitespace() {
        let Some(members) = controller.group(group) else {
            controller.say(&format!("ERROR: no such process/group: {group}"));
            controller.exit = exit::GENERIC;
            continue;
        };
        if members
            .iter()
            .any(|process| !process.look().state.is_stopped())
        {
            controller.say(&format!("ERROR: process/group still running: {group}"));
            controller.exit = exit::GENERIC;
        } else if take_out(controller, &members) {
            controller.say(&format!("{group}: removed process group"));
        }
    }
}

/// Takes services out of use: first the link goes, so that svscan starts no other supervise, then the
/// supervises of the service and its logs end.
fn take_out(controller: &mut Controller, members: &[Process]) -> bool {
    let mut all = true;
    for process in members {
        let place = match catalog::deactivate(&controller.scan, process) {
            Ok(place) => place,
            Err(error) => {
                failed(controller, &process.namespec(), "remove", &error);
                all = false;
                continue;
            }
        };
        let Ok(layout) = Layout::of(&place) else {
            continue;
        };
        end(&layout, b"x");
        for channel in [Channel::Stdout, Channel::Stderr] {
            if let Some(logger) =
                logs::service(&layout, channel).and_then(|dir| Layout::of(&dir).ok())
            {
                end(&logger, b"dx");
            }
        }
    }
    all && scan::processes(&controller.scan).is_ok()
}

fn end(layout: &Layout, letters: &[u8]) {
    if write(layout, letters).is_ok() {
        eventually(PATIENCE, || {
            !is_supervised(&layout.state_file(OK)).unwrap_or(true)
        });
    }
}
