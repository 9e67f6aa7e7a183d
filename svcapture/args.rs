//! The command line of `svcapture`.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;
use servicedir::report::Failure;
use servicedir::spool;

/// The longest capture where the user does not say, in bytes. A longer one stays in the log.
const MAX: usize = 1024 * 1024;

/// What to do.
#[derive(Debug)]
pub(crate) enum Job {
    Help,
    Version,
    Run(Args),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Args {
    /// Where events are offered.
    pub(crate) spool: PathBuf,
    /// The longest capture in bytes.
    pub(crate) max: usize,
    /// All output is offered too.
    pub(crate) log: bool,
    pub(crate) command: Vec<OsString>,
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Job, Failure> {
    let mut args = Args {
        spool: PathBuf::from(spool::CAPTURE),
        max: MAX,
        log: false,
        command: Vec::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            Short('s') | Long("spool") => args.spool = PathBuf::from(parser.value()?),
            Short('m') | Long("max") => args.max = bytes(&parser.value()?)?,
            Short('l') | Long("log") => args.log = true,
            Value(command) => {
                args.command.push(command);
                args.command.extend(parser.raw_args()?);
                return Ok(Job::Run(args));
            }
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    Err(Failure::usage("expected a command; see --help"))
}

/// A number of bytes; an item of the spool must hold it.
fn bytes(value: &OsString) -> Result<usize, Failure> {
    value
        .to_str()
        .and_then(|value| value.parse().ok())
        .filter(|max| (1..spool::ITEM_MAX - 1000).contains(max))
        .ok_or_else(|| {
            Failure::usage("--max: expected a number of bytes up to 4000000; see --help")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_keeps_its_options() {
        let parser = lexopt::Parser::from_args(["-l", "-m", "100", "svlogd", "-tt", "./main"]);
        let Job::Run(args) = parse(parser).unwrap() else {
            panic!("not run")
        };
        assert_eq!(args.command, ["svlogd", "-tt", "./main"]);
        assert!(args.log && args.max == 100);
        for bad in [&[][..], &["-m", "x", "cat"], &["-z", "cat"]] {
            assert_eq!(parse(lexopt::Parser::from_args(bad)).unwrap_err().code, 100);
        }
    }
}
