//! How a service reports that it is ready: s6's descriptor, or sd_notify(3)'s socket.

pub(crate) mod datagram;
pub(crate) mod kinship;
pub(crate) mod main_pid;
pub(crate) mod message;
pub(crate) mod socket;
pub(crate) mod source;
