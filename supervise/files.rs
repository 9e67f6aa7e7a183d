//! The state directory, and the files that supervise writes in it.

pub(crate) mod journal;
pub(crate) mod published;
pub(crate) mod state_dir;
