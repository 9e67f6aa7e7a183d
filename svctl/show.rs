//! `status`, `pid`, `avail`, `version`, `open`: what there is.

use servicedir::options;
use servicedir::supervisor::catalog::{self, Definition};
use servicedir::supervisor::local_time;
use servicedir::supervisor::names;
use servicedir::supervisor::process::{Info, Process};
use servicedir::tai64n::Tai64n;

use crate::controller::{Controller, exit};

/// The Supervisor whose commands and texts these are.
const SUPERVISOR: &str = "4.3.0";

/// The least width of the names' column; three blanks follow it.
const NAMES: usize = 30;

/// `status [NAME...]`.
pub(crate) fn status(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        controller.exit = exit::UNKNOWN;
        return;
    }
    let all: Vec<Info> = controller.processes().iter().map(Process::look).collect();
    let names: Vec<&str> = arguments.split_whitespace().collect();
    let mut matching: Vec<&Info> = Vec::new();
    if names.is_empty() || names.contains(&"all") {
        matching.extend(&all);
    } else {
        for name in names {
            let spec = names::split(name);
            let before = matching.len();
            matching.extend(all.iter().filter(|info| {
                info.group == spec.group && spec.process.is_none_or(|process| info.name == process)
            }));
            if matching.len() > before {
                continue;
            }
            controller.say(&match spec.process {
                None => format!("{}: ERROR (no such group)", spec.group),
                Some(_) => format!("{name}: ERROR (no such process)"),
            });
            controller.exit = exit::UNKNOWN;
        }
    }
    let lines = lines(&matching);
    controller.write(&lines);
    if matching.iter().any(|info| info.state.is_stopped()) {
        controller.exit = exit::STATUS_NOT_RUNNING;
    }
}

fn lines(infos: &[&Info]) -> String {
    let zone = local_time::zone();
    let now = Tai64n::now().unix_seconds();
    let names: Vec<String> = infos.iter().map(|info| info.namespec()).collect();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let width = longest.unwrap_or(0).max(NAMES) + 3;
    let mut text = String::new();
    for (info, name) in infos.iter().zip(&names) {
        let state = info.state.name();
        let description = info.description(now, &zone);
        text.push_str(&format!("{name:<width$}{state:<10}{description}\n"));
    }
    text
}

/// `pid [NAME...|all]`.
pub(crate) fn pid(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    let names: Vec<&str> = arguments.split_whitespace().collect();
    if names.is_empty() {
        let pid = controller
            .svscan()
            .map_or(0, |pid| pid.as_raw_nonzero().get());
        controller.say(&pid.to_string());
    } else if names.contains(&"all") {
        for process in controller.processes() {
            controller.say(&process.look().pid.to_string());
        }
    } else {
        for name in names {
            match controller.find(name) {
                None => {
                    controller.say(&format!("No such process {name}"));
                    controller.exit = exit::GENERIC;
                }
                Some(process) => {
                    let pid = process.look().pid;
                    controller.say(&pid.to_string());
                    if pid == 0 {
                        controller.exit = exit::NOT_RUNNING;
                    }
                }
            }
        }
    }
}

/// `avail`.
pub(crate) fn avail(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() {
        return controller.wrong("Error: avail accepts no arguments", "avail");
    }
    match catalog::definitions(&controller.scan) {
        Ok(definitions) => {
            let lines: String = definitions.iter().map(definition).collect();
            controller.write(&lines);
        }
        Err(error) => {
            let why = servicedir::report::Why::from(error);
            controller.say(&format!(
                "error: unable to read {}: {why}",
                controller.scan.display()
            ));
            controller.exit = exit::GENERIC;
        }
    }
}

fn definition(definition: &Definition) -> String {
    let Definition { process, in_use } = definition;
    let down = process.layout.dir.join(servicedir::layout::DOWN).exists();
    let auto = !down && options::read(&process.layout.dir).is_ok_and(|options| options.autostart);
    format!(
        "{:<32} {:<9} {:<9} {}:{}\n",
        process.namespec(),
        if *in_use { "in use" } else { "avail" },
        if auto { "auto" } else { "manual" },
        process.priority,
        process.priority,
    )
}

/// `version`.
pub(crate) fn version(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() {
        return controller.wrong("Error: version accepts no arguments", "version");
    }
    if controller.is_up() {
        controller.say(SUPERVISOR);
    }
}

/// `open URL`: there is no other server to go to.
pub(crate) fn open(controller: &mut Controller, arguments: &str) {
    let known = ["http://", "unix://"]
        .iter()
        .any(|scheme| arguments.starts_with(scheme));
    if !known {
        controller.say("ERROR: url must be http:// or unix://");
        controller.exit = exit::GENERIC;
        return;
    }
    controller.say(&format!(
        "ERROR: svctl controls {} and no server",
        controller.scan.display()
    ));
    controller.exit = exit::GENERIC;
}
