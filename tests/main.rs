//! The black-box tests: they run the built programs in folders of their own, beside the older suites.
//!
//! One crate, so that it is linked once; a folder a program, and `support` for what they share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an unexpected value ends the test"
)]
#![allow(
    unreachable_pub,
    reason = "`pub` marks what the test files use of the harness"
)]

mod chpst;
mod fghack;
mod interop;
mod pidproxy;
mod project;
mod supervise;
mod support;
mod sv;
mod svc;
mod svcapture;
#[cfg(feature = "supervisor")]
mod svctl;
mod svevent;
#[cfg(feature = "svhttpd")]
mod svhttpd;
#[cfg(feature = "supervisor")]
mod svimport;
mod svlog;
mod svlogd;
mod svscan;
mod svstat;
mod system;
