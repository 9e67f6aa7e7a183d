//! svlogd and tai64nlocal: log directories and time stamps.

mod directory;
mod faults;
mod interop;
mod manual;
mod multilog;
mod processor;
mod trust;
