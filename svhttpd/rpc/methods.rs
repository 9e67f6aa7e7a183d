//! The methods: one list, from which calls, `system.listMethods`, help and signatures come.

use servicedir::supervisor::fault::Fault;

use super::clear::{self, Clearing};
use super::control::Command;
use super::params::Params;
use super::{Caller, config, control, groups, info, logs, system};
use crate::xml::Value;

/// How a method is run.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// Its answer is there at once.
    AtOnce(fn(&Caller, Params<'_>) -> Result<Value, Fault>),
    /// It sends commands to services, whose outcome may be waited for.
    Command(fn(&Caller, Params<'_>) -> Result<Command, Fault>),
    /// It clears logs, and waits for their loggers.
    Clear(fn(&Caller, Params<'_>) -> Result<Clearing, Fault>),
}

/// A method.
#[derive(Clone, Copy)]
pub(super) struct Method {
    /// `namespace.method`.
    pub(super) name: &'static str,
    /// The type of its result, in XML-RPC's words.
    pub(super) returns: &'static str,
    /// The types of its parameters.
    pub(super) params: &'static [&'static str],
    /// How many of the last ones may be missing.
    pub(super) optional: usize,
    /// It changes something, and needs `--control`.
    pub(super) changes: bool,
    /// What it does, for `system.methodHelp` and svhttpd(8).
    pub(super) help: &'static str,
    /// How it is run.
    pub(super) run: Run,
}

/// A method that shows something.
const fn shows(
    name: &'static str,
    returns: &'static str,
    params: &'static [&'static str],
    help: &'static str,
    run: fn(&Caller, Params<'_>) -> Result<Value, Fault>,
) -> Method {
    Method {
        name,
        returns,
        params,
        optional: 0,
        changes: false,
        help,
        run: Run::AtOnce(run),
    }
}

/// A method that changes something and is done at once.
const fn changes(
    name: &'static str,
    returns: &'static str,
    params: &'static [&'static str],
    help: &'static str,
    run: fn(&Caller, Params<'_>) -> Result<Value, Fault>,
) -> Method {
    Method {
        name,
        returns,
        params,
        optional: 0,
        changes: true,
        help,
        run: Run::AtOnce(run),
    }
}

/// A method that clears logs.
const fn clears(
    name: &'static str,
    returns: &'static str,
    params: &'static [&'static str],
    help: &'static str,
    begin: fn(&Caller, Params<'_>) -> Result<Clearing, Fault>,
) -> Method {
    Method {
        name,
        returns,
        params,
        optional: 0,
        changes: true,
        help,
        run: Run::Clear(begin),
    }
}

/// A method that commands services; `optional`: of its last parameters.
const fn commands(
    name: &'static str,
    returns: &'static str,
    params: &'static [&'static str],
    optional: usize,
    help: &'static str,
    begin: fn(&Caller, Params<'_>) -> Result<Command, Fault>,
) -> Method {
    Method {
        name,
        returns,
        params,
        optional,
        changes: true,
        help,
        run: Run::Command(begin),
    }
}

const NONE: &[&str] = &[];
const NAME: &[&str] = &["string"];
const NAME_WAIT: &[&str] = &["string", "boolean"];
const WAIT: &[&str] = &["boolean"];
const TWO_NAMES: &[&str] = &["string", "string"];
const PIECE: &[&str] = &["string", "int", "int"];

/// All methods, sorted by name; `system.multicall`, which waits for others, is run by [`system::multicall`].
#[rustfmt::skip]
pub(super) const METHODS: &[Method] = &[
    changes("supervisor.addProcessGroup", "boolean", NAME, "Puts the services of a group to use that are defined in .available of the scan directory.", groups::add),
    clears("supervisor.clearAllProcessLogs", "array", NONE, "Has the logs of all services rotated, and removes what they held.", clear::all),
    clears("supervisor.clearLog", "boolean", NONE, "Has the main log rotated (.log in the scan directory), and removes what it held.", clear::main),
    clears("supervisor.clearProcessLog", "boolean", NAME, "As clearProcessLogs.", clear::one),
    clears("supervisor.clearProcessLogs", "boolean", NAME, "Has the logs of a service rotated, and removes what they held.", clear::one),
    shows("supervisor.getAPIVersion", "string", NONE, "The version of this interface: 3.0.", info::api_version),
    shows("supervisor.getAllConfigInfo", "array", NONE, "The options of all services, in use or only defined.", config::all),
    shows("supervisor.getAllProcessInfo", "array", NONE, "What getProcessInfo tells, of all services.", info::all_processes),
    shows("supervisor.getIdentification", "string", NONE, "The name of this server (--name).", info::identification),
    shows("supervisor.getPID", "int", NONE, "The pid of the svscan that keeps the scan directory; 0 while there is none.", info::pid),
    shows("supervisor.getProcessInfo", "struct", NAME, "State, pid, times and logs of a service.", info::process),
    shows("supervisor.getState", "struct", NONE, "The state of the suite: RUNNING.", info::state),
    shows("supervisor.getSupervisorVersion", "string", NONE, "The version of Supervisor whose answers these are.", info::supervisor_version),
    shows("supervisor.getVersion", "string", NONE, "As getAPIVersion.", info::api_version),
    shows("supervisor.readLog", "string", &["int", "int"], "A piece of the main log (.log in the scan directory): offset and length.", logs::read_main),
    shows("supervisor.readMainLog", "string", &["int", "int"], "As readLog.", logs::read_main),
    shows("supervisor.readProcessLog", "string", PIECE, "As readProcessStdoutLog.", logs::read_stdout),
    shows("supervisor.readProcessStderrLog", "string", PIECE, "A piece of the newest log file of a service's stderr: offset and length.", logs::read_stderr),
    shows("supervisor.readProcessStdoutLog", "string", PIECE, "A piece of the newest log file of a service's stdout: offset and length.", logs::read_stdout),
    shows("supervisor.reloadConfig", "array", NONE, "Which groups are defined and not in use, were changed since they were started, or are gone.", groups::reload),
    changes("supervisor.removeProcessGroup", "boolean", NAME, "Takes the services of a group out of use.", groups::remove),
    changes("supervisor.restart", "boolean", NONE, "Has svscan look at the scan directory again; no service is restarted.", info::restart),
    changes("supervisor.sendProcessStdin", "boolean", TWO_NAMES, "Writes to the FIFO stdin of a service.", control::send_stdin),
    changes("supervisor.sendRemoteCommEvent", "boolean", TWO_NAMES, "Is answered by FAILED: no listener takes such events here.", control::send_event),
    changes("supervisor.shutdown", "boolean", NONE, "Has svscan stop all services and exit.", info::shutdown),
    commands("supervisor.signalAllProcesses", "array", NAME, 0, "Sends a signal to all services.", control::signal_all),
    commands("supervisor.signalProcess", "boolean", TWO_NAMES, 0, "Sends a signal to a service.", control::signal),
    commands("supervisor.signalProcessGroup", "array", TWO_NAMES, 0, "Sends a signal to the services of a group.", control::signal_group),
    commands("supervisor.startAllProcesses", "array", WAIT, 1, "Starts all services that do not run.", control::start_all),
    commands("supervisor.startProcess", "boolean", NAME_WAIT, 1, "Starts a service, and waits until it is RUNNING.", control::start),
    commands("supervisor.startProcessGroup", "array", NAME_WAIT, 1, "Starts the services of a group that do not run.", control::start_group),
    commands("supervisor.stopAllProcesses", "array", WAIT, 1, "Stops all services that run.", control::stop_all),
    commands("supervisor.stopProcess", "boolean", NAME_WAIT, 1, "Stops a service, and waits until it is down.", control::stop),
    commands("supervisor.stopProcessGroup", "array", NAME_WAIT, 1, "Stops the services of a group that run.", control::stop_group),
    shows("supervisor.tailProcessLog", "array", PIECE, "As tailProcessStdoutLog.", logs::tail_stdout),
    shows("supervisor.tailProcessStderrLog", "array", PIECE, "The end of the newest log file of a service's stderr, its size, and whether more has come than fits.", logs::tail_stderr),
    shows("supervisor.tailProcessStdoutLog", "array", PIECE, "The end of the newest log file of a service's stdout, its size, and whether more has come than fits.", logs::tail_stdout),
    shows("system.listMethods", "array", NONE, "The names of all methods.", system::list_methods),
    shows("system.methodHelp", "string", NAME, "What a method does.", system::method_help),
    shows("system.methodSignature", "array", NAME, "The types of a method's result and parameters.", system::method_signature),
    shows(system::MULTICALL, "array", &["array"], "Calls several methods, one after the other.", system::nested_multicall),
];

/// The method of that name: `namespace.method`, exactly.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_41_methods_in_order() {
        assert_eq!(METHODS.len(), 41);
        assert!(METHODS.is_sorted_by_key(|method| method.name));
    }

    #[test]
    fn a_method_is_named_exactly() {
        for name in [
            "supervisor.getState.x",
            "getState",
            "supervisor._x",
            "supervisor.",
            "",
            "supervisor.getstate",
        ] {
            assert!(find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn every_method_is_in_the_manual() {
        let manual = include_str!("../../man/svhttpd.8");
        for method in METHODS {
            let name = method.name.split_once('.').map_or("", |(_, name)| name);
            assert!(manual.contains(name), "{name}");
        }
    }
}
