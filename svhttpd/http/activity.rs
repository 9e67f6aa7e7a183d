//! What a connection is at, shared by the stream under it and the request above it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// A request's head is whole so long after its first byte, and the first one after the connection
/// was made: a client on a bad line needs a second or two, one that trickles bytes is cut off.
const HEAD: Duration = Duration::from_secs(10);

/// A request's body is whole so long after its head.
const BODY: Duration = Duration::from_secs(20);

/// What a connection is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nothing of the next request has come. That may last for ever: superlance's programs keep a
    /// connection from one tick to the next, and fail when it is closed meanwhile.
    Idle,
    /// The head of a request is awaited.
    Head,
    /// Its body is awaited.
    Body,
    /// It is answered.
    Busy,
}

/// What a connection is at, and since when.
#[derive(Debug)]
pub(crate) struct Activity {
    phase: Cell<Phase>,
    since: Cell<Instant>,
}

impl Activity {
    /// A connection that has just been made.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Head),
            since: Cell::new(Instant::now()),
        })
    }

    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// When the phase began.
    pub(crate) fn since(&self) -> Instant {
        self.since.get()
    }

    /// Another phase begins.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(Instant::now());
    }

    /// When the client must have sent what is awaited.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let limit = match self.phase.get() {
            Phase::Idle | Phase::Busy => return None,
            Phase::Head => HEAD,
            Phase::Body => BODY,
        };
        Some(self.since.get() + limit)
    }
}
