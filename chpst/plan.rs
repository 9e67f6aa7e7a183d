//! What a command line asks for, under any of the names.

use std::ffi::CString;

use crate::limit::Limit;

/// What is to be changed before the program is run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    /// A new session, and so a new process group.
    pub(crate) session: bool,
    /// A directory of variables.
    pub(crate) env_dir: Option<EnvDir>,
    /// The new root directory.
    pub(crate) root: Option<CString>,
    /// The new working directory, inside the new root.
    pub(crate) directory: Option<CString>,
    /// What the nice value grows by.
    pub(crate) nice: Option<i32>,
    /// Whose numbers UID and GID tell.
    pub(crate) env_user: Option<Account>,
    /// Whom the program runs as.
    pub(crate) user: Option<Account>,
    /// The file that is locked.
    pub(crate) lock: Option<Lock>,
    /// Which of the descriptors 0, 1 and 2 are closed.
    pub(crate) closed: [bool; 3],
    /// The limits, in the order in which they are set.
    pub(crate) limits: Vec<Limit>,
    /// What the program gets as its argument 0, where that is not its own name.
    pub(crate) argv0: Option<CString>,
    /// The program and its arguments; never empty.
    pub(crate) program: Vec<CString>,
}

/// A directory of variables, and what to do about a directory in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EnvDir {
    pub(crate) path: CString,
    pub(crate) directories: Directories,
}

/// What a directory among the files of variables is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Directories {
    /// An error, as for daemontools' envdir.
    Refused,
    /// Not a variable, as for chpst.
    Skipped,
    /// The same, with a warning.
    Warned,
}

/// An account, as it was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Account {
    /// A user's name, and nothing else.
    Name(CString),
    /// runit's `user[:group...]` or `:uid:gid[:gid...]`.
    WithGroups(CString),
}

/// A file that is to be locked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lock {
    pub(crate) path: CString,
    /// Whether to wait for another process that has it.
    pub(crate) waits: bool,
    /// Whether the program exits 0 in silence without the lock.
    pub(crate) silent: bool,
}
