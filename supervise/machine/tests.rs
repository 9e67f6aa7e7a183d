//! Scripts on a made-up clock, and a walk over all that can happen to a service.
//!
//! Both drive a [`World`]: the machine together with a model of the processes that its actions make.
//! The model itself holds what must always be true: there is never a second run, no signal is sent
//! to a process that is not there, nothing is started after `d`, and no deadline stands still.

mod adoption;
mod commands;
mod faults;
mod graph;
mod journal;
mod notices;
mod readiness;
mod stops;
mod walk;
mod world;

pub(super) use world::{At, World, check, down, options, up};
