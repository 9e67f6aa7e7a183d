//! What a child of supervise is made of: the fork, what it inherits, as whom and where it runs.

pub(crate) mod account;
pub(crate) mod closer;
pub(crate) mod context;
pub(crate) mod descriptors;
pub(crate) mod fork;
pub(crate) mod go_ahead;
pub(crate) mod inherited;
pub(crate) mod refused;
