//! pidproxy: a daemon with a pid file under supervision.

mod daemon;
mod faults;
