//! Supervisor's faults: the numbers and names of its `xmlrpc.Faults`.

use std::fmt;

/// A fault's kind.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    /// There is no such method.
    UnknownMethod = 1,
    /// The parameters are wrong in number or type.
    IncorrectParameters = 2,
    /// The parameters' values cannot be used together.
    BadArguments = 3,
    /// No signature is known for the method.
    SignatureUnsupported = 4,
    /// A shutdown is under way.
    ShutdownState = 6,
    /// There is no such process or group.
    BadName = 10,
    /// There is no such signal.
    BadSignal = 11,
    /// There is no such file.
    NoFile = 20,
    /// The file is not executable.
    NotExecutable = 21,
    /// Something else went wrong.
    Failed = 30,
    /// The process did not stay STARTING until it was RUNNING.
    AbnormalTermination = 40,
    /// The process could not be started, or ended too early.
    SpawnError = 50,
    /// The process has been started already.
    AlreadyStarted = 60,
    /// The process is not running.
    NotRunning = 70,
    /// No fault: the status of a success in the results for a group.
    Success = 80,
    /// The group is in use already.
    AlreadyAdded = 90,
    /// A process of the group still runs.
    StillRunning = 91,
    /// The configuration cannot be read.
    CantReread = 92,
}

impl Code {
    /// Supervisor's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Supervisor's name: the beginning of a `faultString`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownMethod => "UNKNOWN_METHOD",
            Self::IncorrectParameters => "INCORRECT_PARAMETERS",
            Self::BadArguments => "BAD_ARGUMENTS",
            Self::SignatureUnsupported => "SIGNATURE_UNSUPPORTED",
            Self::ShutdownState => "SHUTDOWN_STATE",
            Self::BadName => "BAD_NAME",
            Self::BadSignal => "BAD_SIGNAL",
            Self::NoFile => "NO_FILE",
            Self::NotExecutable => "NOT_EXECUTABLE",
            Self::Failed => "FAILED",
            Self::AbnormalTermination => "ABNORMAL_TERMINATION",
            Self::SpawnError => "SPAWN_ERROR",
            Self::AlreadyStarted => "ALREADY_STARTED",
            Self::NotRunning => "NOT_RUNNING",
            Self::Success => "SUCCESS",
            Self::AlreadyAdded => "ALREADY_ADDED",
            Self::StillRunning => "STILL_RUNNING",
            Self::CantReread => "CANT_REREAD",
        }
    }
}

/// A fault with its detail. It is displayed as a `faultString`: `BAD_NAME: web`, or the name alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind of fault it is.
    pub code: Code,
    /// What follows the name; empty for nothing.
    pub detail: String,
}

impl Fault {
    /// A fault with a detail.
    #[must_use]
    pub fn new(code: Code, detail: impl fmt::Display) -> Self {
        Self {
            code,
            detail: detail.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.code.name())?;
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(out, ": {}", self.detail)
    }
}
