//! HTTP: connections in, requests read whole, replies out.

pub(crate) mod activity;
pub(crate) mod body;
pub(crate) mod connections;
pub(crate) mod guarded;
pub(crate) mod reply;
pub(crate) mod stream;
