//! What the machine is told, and what it asks for.

use rustix::process::Pid;
use servicedir::signal::Signal;
use servicedir::status::End;

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The pid file, written since the command was started, names this process.
    Named(Pid, Whose),
    /// A process of ours ended: the daemon, the command, or an orphan.
    Ended(Pid, End),
    /// A signal came in.
    Signalled(Signal),
    /// The answer to [`Action::Count`].
    Left(Left),
    /// The deadline has passed.
    Passed,
}

/// Whose the pid in the pid file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// A living process's that descends from the command.
    Ours,
    /// A living process's that does not.
    Foreign,
    /// Nobody's, any more.
    Gone,
}

/// What lives, of all that came from the command.
#[derive(Clone, PartialEq, Eq, Debug, Default, Copy)]
pub(crate) struct Left {
    /// There is something.
    pub(crate) any: bool,
    /// There is something that does not descend from the running command.
    pub(crate) beside_command: bool,
    /// The process that was the daemon before the last one is among them.
    pub(crate) earlier: bool,
}

/// Who is to get a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// The process that the pid file named last.
    Daemon,
    /// The command itself.
    Command,
    /// All that is left.
    All,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Read the pid file; `Named` comes back if it names a process.
    Look,
    /// Find out what is left; `earlier` asks about the daemon before.
    Count {
        /// The daemon before the last one.
        earlier: Option<Pid>,
    },
    /// The process that was just named is the daemon from now on.
    Follow(Pid),
    /// Send a signal.
    Send(Target, Signal),
    /// Tell the operator.
    Warn(String),
    /// Exit.
    Leave(Leave),
}

/// How to exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// With what was run.
    Code(u8),
    /// The pid file never appeared.
    TimedOut,
}
