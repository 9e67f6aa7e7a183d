//! `start`, `stop`, `restart`, `signal`, `shutdown`, `reload`: what services are told to do.

use rustix::process::{Pid, Signal as ProcessSignal};
use servicedir::process::Identity;
use servicedir::supervisor::command::{self, Pending};
use servicedir::supervisor::fault::{Code, Fault};
use servicedir::supervisor::names;
use servicedir::supervisor::process::Process;
use servicedir::supervisor::scan;

use crate::await_all::await_all;
use crate::controller::{Controller, exit};

/// What is asked of services, and how the answer reads.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Start,
    Stop,
    Signal(&'a str),
}

impl Ask<'_> {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Signal(_) => "signalled",
        }
    }

    /// The fault that is no failure of the command.
    fn ignored(self) -> Option<Code> {
        match self {
            Self::Start => Some(Code::AlreadyStarted),
            Self::Stop => Some(Code::NotRunning),
            Self::Signal(_) => None,
        }
    }

    /// Whether a command for a group or for all means this service.
    fn means(self, process: &Process) -> bool {
        let state = process.look().state;
        match self {
            Self::Start => !state.is_started(),
            Self::Stop => state.is_started(),
            Self::Signal(_) => state.is_signallable(),
        }
    }

    fn begin(self, process: &Process) -> Result<Option<Pending>, Fault> {
        match self {
            Self::Start => command::start(process).map(Some),
            Self::Stop => command::stop(process).map(Some),
            Self::Signal(signal) => command::signal(process, signal),
        }
    }
}

/// `start NAME...|all`.
pub(crate) fn start(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    if arguments.is_empty() {
        controller.wrong("Error: start requires a process name", "start");
        controller.exit = exit::INVALID_ARGS;
        return;
    }
    each(controller, Ask::Start, &words(arguments));
}

/// `stop NAME...|all`.
pub(crate) fn stop(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    if arguments.is_empty() {
        return controller.wrong("Error: stop requires a process name", "stop");
    }
    each(controller, Ask::Stop, &words(arguments));
}

/// `restart NAME...|all`: all are stopped, then all are started.
pub(crate) fn restart(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    if arguments.is_empty() {
        return controller.wrong("Error: restart requires a process name", "restart");
    }
    stop(controller, arguments);
    start(controller, arguments);
}

/// `signal SIGNAL NAME...|all`.
pub(crate) fn signal(controller: &mut Controller, arguments: &str) {
    if !controller.is_up() {
        return;
    }
    match words(arguments).split_first() {
        Some((signal, names)) if !names.is_empty() => {
            each(controller, Ask::Signal(signal), names);
        }
        Some(_) | None => controller.wrong(
            "Error: signal requires a signal name and a process name",
            "signal",
        ),
    }
}

fn words(arguments: &str) -> Vec<&str> {
    arguments.split_whitespace().collect()
}

/// One name after the other.
fn each(controller: &mut Controller, ask: Ask<'_>, names: &[&str]) {
    if names.contains(&"all") {
        let mut all = controller.processes();
        scan::by_priority(&mut all);
        return many(controller, ask, all);
    }
    for name in names {
        let spec = names::split(name);
        if spec.process.is_some() {
            one(controller, ask, name);
            continue;
        }
        match controller.group(spec.group) {
            Some(members) => many(controller, ask, members),
            None => {
                controller.say(&format!("{}: ERROR (no such group)", spec.group));
                controller.exit = match ask {
                    Ask::Start => exit::INVALID_ARGS,
                    Ask::Stop | Ask::Signal(_) => exit::GENERIC,
                };
            }
        }
    }
}

fn one(controller: &mut Controller, ask: Ask<'_>, name: &str) {
    let outcome = match controller.find(name) {
        None => Err(Fault::new(Code::BadName, name)),
        Some(process) => ask.begin(&process).and_then(|pending| match pending {
            None => Ok(()),
            Some(pending) => await_all(vec![pending])
                .pop()
                .map_or(Ok(()), |(_, outcome)| outcome),
        }),
    };
    let spec = names::split(name);
    let shown = names::join(spec.group, spec.process.unwrap_or_default());
    tell(controller, ask, &shown, outcome);
}

/// Sends to all that are meant, then waits for all.
fn many(controller: &mut Controller, ask: Ask<'_>, processes: Vec<Process>) {
    let mut pending = Vec::new();
    for process in processes.into_iter().filter(|process| ask.means(process)) {
        match ask.begin(&process) {
            Ok(Some(command)) => pending.push(command),
            Ok(None) => tell(controller, ask, &process.namespec(), Ok(())),
            Err(fault) => tell(controller, ask, &process.namespec(), Err(fault)),
        }
    }
    for (process, outcome) in await_all(pending) {
        tell(controller, ask, &process.namespec(), outcome);
    }
}

/// Prints the answer for one service, and counts it.
fn tell(controller: &mut Controller, ask: Ask<'_>, name: &str, outcome: Result<(), Fault>) {
    let fault = match outcome {
        Ok(()) => return controller.say(&format!("{name}: {}", ask.word())),
        Err(fault) => fault,
    };
    let why = match fault.code {
        Code::BadName => "no such process",
        Code::NoFile => "no such file",
        Code::NotExecutable => "file is not executable",
        Code::AlreadyStarted => "already started",
        Code::SpawnError => "spawn error",
        Code::AbnormalTermination => "abnormal termination",
        Code::BadSignal => "bad signal name",
        Code::NotRunning => "not running",
        Code::UnknownMethod
        | Code::IncorrectParameters
        | Code::BadArguments
        | Code::SignatureUnsupported
        | Code::ShutdownState
        | Code::Failed
        | Code::Success
        | Code::AlreadyAdded
        | Code::StillRunning
        | Code::CantReread => &fault.detail,
    };
    controller.say(&format!("{name}: ERROR ({why})"));
    controller.count(fault.code, ask.ignored());
}

/// Stops services that run, and says nothing; whether all are down.
pub(crate) fn stop_quietly(processes: &[Process]) -> bool {
    let mut pending = Vec::new();
    let mut all = true;
    for process in processes.iter().filter(|process| Ask::Stop.means(process)) {
        match command::stop(process) {
            Ok(command) => pending.push(command),
            Err(fault) => all &= fault.code == Code::NotRunning,
        }
    }
    let answers = await_all(pending);
    all && answers.iter().all(|(_, outcome)| outcome.is_ok())
}

/// `shutdown`: svscan stops all and ends.
pub(crate) fn shutdown(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() {
        return controller.wrong("Error: shutdown accepts no arguments", "shutdown");
    }
    if !agreed(
        controller,
        "Really shut the remote supervisord process down y/N? ",
    ) {
        return;
    }
    if tell_svscan(controller, ProcessSignal::TERM) {
        controller.say("Shut down");
    }
}

/// `reload`: svscan looks at its directory again. No service is restarted.
pub(crate) fn reload(controller: &mut Controller, arguments: &str) {
    if !arguments.is_empty() {
        return controller.wrong("Error: reload accepts no arguments", "reload");
    }
    if !agreed(
        controller,
        "Really restart the remote supervisord process y/N? ",
    ) {
        return;
    }
    if tell_svscan(controller, ProcessSignal::HUP) {
        controller.say("Restarted supervisord");
    }
}

fn agreed(controller: &mut Controller, question: &str) -> bool {
    if !controller.interactive {
        return true;
    }
    controller.write(question);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).unwrap_or_default();
    answer.to_lowercase().starts_with('y')
}

fn tell_svscan(controller: &mut Controller, signal: ProcessSignal) -> bool {
    let shown = controller.scan.display().to_string();
    let problem = if controller.scan.is_dir() {
        match controller.svscan().map(|pid| send(pid, signal)) {
            Some(Ok(())) => return true,
            Some(Err(errno)) => {
                let why = servicedir::report::Why::from(errno);
                format!("ERROR: unable to signal svscan: {why}")
            }
            None => format!("ERROR: {shown} refused connection (already shut down?)"),
        }
    } else {
        format!("ERROR: {shown} no such file (already shut down?)")
    };
    controller.say(&problem);
    controller.exit = exit::GENERIC;
    false
}

/// Signals a process by descriptor: its pid was read from a file, and may be another's by now.
fn send(pid: Pid, signal: ProcessSignal) -> rustix::io::Result<()> {
    let process = Identity::of(pid).open()?;
    rustix::process::pidfd_send_signal(process, signal)
}
