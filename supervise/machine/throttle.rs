//! The one-second throttle: a `run` that ends at once must not become a busy loop.

use std::time::{Duration, Instant};

/// A service that ended by itself is not started again within this time of its last start.
/// daemontools and runit wait as long.
const BETWEEN_STARTS: Duration = Duration::from_secs(1);

/// When a service that was last started then may be started again; `None`: now.
pub(super) fn next_start(last_start: Option<Instant>, now: Instant) -> Option<Instant> {
    last_start
        .and_then(|start| start.checked_add(BETWEEN_STARTS))
        .filter(|again| *again > now)
}
