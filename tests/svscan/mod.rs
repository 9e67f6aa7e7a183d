//! svscan: which services run, their log pipes, and the end of them all.

mod adopt;
mod faults;
mod gone;
mod init;
mod interop;
mod manual;
mod many;
mod scan;
mod settle;
mod stop;
mod template;
mod trust;
mod unnoticed;
mod upgrade;
