//! The processes that supervise watches and signals: its children, and those that it adopted.

pub(crate) mod adopted;
pub(crate) mod children;
pub(crate) mod group;
