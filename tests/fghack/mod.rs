//! fghack: a daemon without a pid file under supervision.

mod command;
