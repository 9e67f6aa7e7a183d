//! A scan directory as Supervisor's clients see it: groups of processes with Supervisor's states,
//! texts and faults.
//!
//! `svctl` and `svhttpd` show and do the same things to different clients, and this is their common
//! part. Nothing is kept between two calls: each look reads the service directories again. The texts
//! and numbers are those of Supervisor 4.3.0; servicedir(5) has the files that they come from.
//!
//! - [`scan`]: the services of a scan directory, their groups, and the process that scans it;
//! - [`process`]: one service as a Supervisor process, **pure** but for [`process::Process::look`];
//! - [`command`]: start, stop and signal, each a check, a byte in the control FIFO, and a judgement of
//!   what the status says afterwards;
//! - [`catalog`]: which definitions are there and which are in use (`reread`, `update`, `add`, `remove`);
//! - [`logs`]: where a service's output is, and Supervisor's rules for reading parts of it;
//! - [`names`], [`fault`]: namespecs and faults, **pure**.

pub mod catalog;
pub mod command;
pub mod fault;
pub mod local_time;
pub mod logs;
pub mod names;
pub mod process;
pub mod scan;
