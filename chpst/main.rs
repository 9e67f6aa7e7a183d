//! `chpst` and daemontools' loaders: each changes what a process has, and becomes the program.
//!
//! `setuidgid`, `envuidgid`, `envdir`, `softlimit`, `setlock` and `pgrphack` are links to it: the name
//! that it is called by decides. `command_line` and `daemontools` read the arguments into a `Plan`, and
//! `perform` does what a plan says, in runit's order.

#![cfg_attr(not(test), no_main)]

mod command_line;
mod daemontools;
#[cfg(not(test))]
mod entry;
mod envdir;
mod environment;
mod help;
mod identity;
mod letters;
mod limit;
mod message;
mod name;
mod number;
mod perform;
mod plan;
mod program;

use std::ffi::CString;

use servicedir::report::{exit, print_help, print_version};

use message::{Failure, say};
use name::Name;
use plan::Plan;

/// What was typed after the name, and the name itself.
struct Called {
    /// The name without its directories, as usage lines show it.
    shown: Vec<u8>,
    name: Name,
    arguments: Vec<CString>,
}

/// Runs as the name in the first argument; comes back only if the program could not be run, with the exit code.
#[cfg_attr(
    test,
    expect(dead_code, reason = "called by the entry, which tests do not have")
)]
fn run(arguments: Vec<CString>, environment: Vec<CString>) -> u8 {
    let called = Called::from(arguments);
    if let [argument] = called.arguments.as_slice()
        && let Some(code) = answer(&called, argument.as_bytes())
    {
        return code;
    }
    let failure = match plan(&called) {
        Ok(plan) => perform::perform(&plan, environment),
        Err(failure) => failure,
    };
    say(&called.shown, called.name, &failure);
    failure.code(called.name)
}

impl From<Vec<CString>> for Called {
    fn from(arguments: Vec<CString>) -> Self {
        let mut arguments = arguments.into_iter();
        let path = arguments
            .next()
            .map(CString::into_bytes)
            .unwrap_or_default();
        let shown = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        Self {
            shown: shown.to_vec(),
            name: Name::of(shown),
            arguments: arguments.collect(),
        }
    }
}

/// The one argument that a program of this suite answers, and neither older suite gives a meaning to.
fn answer(called: &Called, argument: &[u8]) -> Option<u8> {
    let printed = match argument {
        b"--help" | b"-h" => print_help(help::text(called.name)),
        b"--version" => print_version(called.name.word()),
        _ => return None,
    };
    Some(printed.unwrap_or(exit::SYSTEM))
}

fn plan(called: &Called) -> Result<Plan, Failure> {
    if called.name == Name::Chpst {
        return command_line::read(&called.arguments);
    }
    daemontools::read(called.name, &called.arguments)
}
