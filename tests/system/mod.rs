//! The suite under init systems, in containers, with real daemons and in a storm of kills.

mod container;
mod daemons;
mod injections;
mod install;
mod moving;
mod openrc;
mod packages;
mod storm;
mod systemd;
