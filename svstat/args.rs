//! The command line of `svstat`.

use std::ffi::OsString;

use lexopt::prelude::*;
use servicedir::report::Failure;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Look at services.
    Show(Args),
}

/// Which services to look at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Args {
    /// As typed.
    pub(crate) dirs: Vec<OsString>,
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Job, Failure> {
    let mut args = Args::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            Value(dir) => args.dirs.push(dir),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    Ok(Job::Show(args))
}
