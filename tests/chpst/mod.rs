//! chpst and daemontools' loaders.

mod faults;
mod interop;
mod manual;
