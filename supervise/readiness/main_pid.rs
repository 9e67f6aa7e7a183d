//! The check of `MAINPID=`: a service may name only a process of its own as its main process.

use rustix::process::Pid;
use servicedir::process::{Identity, Place};

use super::kinship::{self, Kinship};

/// The process of that pid, if it lives and belongs to the service.
pub(crate) fn checked(pid: Pid, roots: &[Identity]) -> Option<Identity> {
    let place = Place::of(pid).filter(|place| !place.zombie)?;
    (kinship::of(pid, roots, Place::of) == Kinship::Own).then_some(place.identity)
}
