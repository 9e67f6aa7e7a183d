//! svlog: the logs of services by name.

mod follow;
mod manual;
mod past;
