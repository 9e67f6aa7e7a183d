//! The older suites and their service directories beside ours.

mod our_clients;
mod our_supervise;
mod service_directories;
mod their_clients;
