//! `help`: the list of commands in supervisorctl's form, and what each does here.

use crate::controller::Controller;

/// The commands in supervisorctl's columns.
const LIST: &str = "
default commands (type help <topic>):
=====================================
add    exit      open  reload  restart   start   tail   
avail  fg        pid   remove  shutdown  status  update 
clear  maintail  quit  reread  signal    stop    version
";

/// What each command is for.
const TOPICS: &[(&str, &str)] = &[
    (
        "add",
        "add <group> [...]\tput the definitions of a group to use",
    ),
    ("avail", "avail\t\t\tlist all definitions, in use or not"),
    (
        "clear",
        "clear <name> [...]\tremove what the logs of a service hold\nclear all\t\tof all services",
    ),
    ("exit", "exit\tleave the shell"),
    (
        "fg",
        "fg <name>\tshow what a service writes; Ctrl-C ends it\n\t\tlines go to the FIFO stdin in its directory, if it has one",
    ),
    (
        "help",
        "help\t\tlist the commands\nhelp <command>\texplain one",
    ),
    (
        "maintail",
        "maintail\tthe last 1600 bytes of svscan's log, where the scan directory has a .log\nmaintail -100\tthe last 100 bytes\nmaintail -f \tgo on until Ctrl-C\n",
    ),
    (
        "open",
        "open <url>\tnot here: svctl uses the scan directory and no server",
    ),
    (
        "pid",
        "pid\t\t\tthe pid of svscan\npid <name> [...]\tthe pids of services\npid all\t\t\tof all services",
    ),
    ("quit", "quit\tleave the shell"),
    (
        "reload",
        "reload\t\tsvscan looks at its directory again; nothing is restarted",
    ),
    (
        "remove",
        "remove <group> [...]\ttake a group that is down out of use",
    ),
    (
        "reread",
        "reread\t\t\timport the configuration file again, and list what differs from what is in use",
    ),
    (
        "restart",
        "restart <name> [...]\tstop, then start\nrestart <group>:*\tall of a group\nrestart all\t\tall services",
    ),
    ("shutdown", "shutdown\tstop all services, and svscan"),
    (
        "signal",
        "signal <signal> <name> [...]\tsend a signal: a name, with SIG or without, or a number\nsignal <signal> <group>:*\tto all of a group\nsignal <signal> all\t\tto all services",
    ),
    (
        "start",
        "start <name> [...]\tstart, and wait until it is up\nstart <group>:*\t\tall of a group\nstart all\t\tall services",
    ),
    (
        "status",
        "status\t\t\tthe state of all services\nstatus <name> [...]\tof some\nstatus <group>:*\tof a group",
    ),
    (
        "stop",
        "stop <name> [...]\tstop, and wait until it is down\nstop <group>:*\t\tall of a group\nstop all\t\tall services",
    ),
    (
        "tail",
        "tail <name> [stdout|stderr]\tthe last 1600 bytes of a log\ntail -100 <name>\t\tthe last 100 bytes\ntail -f <name>\t\t\tgo on until Ctrl-C",
    ),
    (
        "update",
        "update\t\t\tas reread; then start what is new, restart what has changed, and remove what is gone\nupdate <group> [...]\tonly these groups",
    ),
    (
        "version",
        "version\t\tthe version of Supervisor whose commands these are",
    ),
];

/// `help [COMMAND]`.
pub(crate) fn help(controller: &mut Controller, arguments: &str) {
    if arguments.is_empty() {
        return controller.say(LIST);
    }
    topic(controller, arguments);
}

/// The text of one command.
pub(crate) fn topic(controller: &mut Controller, name: &str) {
    match TOPICS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => controller.say(text),
        None => controller.say(&format!("*** No help on {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::COMMANDS;

    #[test]
    fn every_command_has_its_help_and_its_place_in_the_list() {
        for (name, _) in COMMANDS {
            let known = TOPICS.iter().any(|(topic, _)| *topic == name);
            assert_eq!(known, name != "EOF", "{name}");
            let mut words = LIST.lines().skip(3).flat_map(str::split_whitespace);
            let listed = words.any(|word| word == name);
            assert_eq!(listed, !["EOF", "help"].contains(&name), "{name}");
        }
    }
}
