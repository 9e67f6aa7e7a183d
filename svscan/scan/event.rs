//! What svscan's decisions start from, and what they lead to.

use std::ffi::OsString;
use std::rc::Rc;

use super::shutdown::Cause;
use super::unit::{Ending, Id, Logs};

/// A service in the scan directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    /// Its name there.
    pub(crate) name: OsString,
    /// Its directory.
    pub(crate) id: Id,
    /// The option `priority`.
    pub(crate) priority: i32,
    /// The option `essential`.
    pub(crate) essential: bool,
}

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// These are all the services of the scan directory, sorted by name.
    Listed(Vec<Rc<Service>>),
    /// The scan directory cannot be read: nothing can be started.
    Away,
    /// The directory of this unit was deleted.
    Deleted(Id),
    /// These are the logs of a service whose supervise is being started.
    Logs(Id, Logs),
    /// The unit has a new supervise.
    Started(Id),
    /// The unit has a supervise that another svscan, or a person, started.
    Adopted(Id),
    /// The supervise could not be started, or the one that is there cannot be watched.
    StartFailed(Id),
    /// The supervise has ended.
    Ended(Id),
    /// The supervise has ended by itself, with a code that says that it could not do its work.
    Failed(Id),
    /// HUP: what waits longer after failures is started as soon as after a first one.
    RetryNow,
    /// What a check of a unit without a supervise found.
    Checked(Id, Life),
    /// The supervise does not read its commands yet: it was started a moment ago.
    NotDelivered(Id, Ending),
    /// Everything is to be stopped, for this cause.
    Terminate(Cause),
}

/// What is left of a unit without a supervise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// A process of it lives, or lines wait for it.
    Alive,
    /// Nothing is left.
    Gone,
    /// An error that passes kept it from being found out.
    Unknown,
}

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Start the supervise, or adopt the one that is there.
    Start(Id),
    /// Stop the service and its supervise; or let a logger read to the end of its input.
    End(Id, Ending),
    /// Look whether anything of it lives: its process, or lines in a log's pipe.
    Check(Id),
    /// Close what is held for it.
    Forget(Id),
    /// Everything that was found first has been started.
    Ready,
    /// It was not down in time: kill its supervise and its service.
    Kill(Id),
    /// Exit with this code.
    Exit(u8),
}
