//! What is true on disk: the files, bytes and rules that the programs of the suite share.
//!
//! The programs meet only in the file system; none reaches into another. This library is the map of
//! what they find there. `ARCHITECTURE.md` tells who uses which module.

pub mod accounts;
pub mod control;
pub mod duration;
pub mod entry;
pub mod error_words;
pub mod exec;
pub mod foreground;
pub mod guard;
pub mod journal;
pub mod kin;
pub mod layout;
pub mod lock;
pub mod options;
pub mod pidfd;
pub mod process;
pub mod progress;
pub mod reading;
pub mod report;
pub mod signal;
pub mod spool;
pub mod state_folder;
pub mod status;
pub mod supervisor;
pub mod tai64n;
pub mod trust;
pub mod wait;
pub mod words;
