//! Why a start was refused: by the system, or because an option cannot be followed.

use std::fmt::{self, Display};

use servicedir::report::Why;

/// A step that failed: the service is not started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    /// `unable to set limit-nofile to 5000`.
    pub(crate) what: String,
    /// The reason in words.
    pub(crate) why: String,
    /// The errno that stands for it in the status record.
    pub(crate) errno: i32,
}

impl Refused {
    /// A system call failed.
    pub(crate) fn system(what: impl Into<String>, why: impl Into<Why>) -> Self {
        let why = why.into();
        Self {
            what: what.into(),
            why: why.to_string(),
            errno: why.0,
        }
    }

    /// It failed for a reason that no errno tells.
    pub(crate) fn words(what: impl Into<String>, why: impl Into<String>, errno: i32) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            errno,
        }
    }
}

impl Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, self.why)
    }
}
