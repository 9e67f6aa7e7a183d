//! The command line.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt};
use regex::bytes::{Regex, RegexBuilder};
use servicedir::report::Failure;

/// What the command line asks for.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) names: Vec<OsString>,
    pub(crate) follow: bool,
    /// `-n`: how many of the last lines; all without it.
    pub(crate) lines: Option<usize>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) grep: Option<Regex>,
    pub(crate) utc: bool,
    pub(crate) raw: bool,
    /// `--names`, `--no-names`: whether each line begins with its service's name.
    pub(crate) with_names: Option<bool>,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    Help,
    Version,
    Show(Options),
}

/// Reads the command line.
///
/// # Errors
/// It is wrong: which word, and what was expected.
pub(crate) fn parse(mut arguments: Parser) -> Result<Task, Failure> {
    let mut options = Options::default();
    let (mut pattern, mut ignore_case) = (None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return Ok(Task::Help),
            Arg::Long("version") => return Ok(Task::Version),
            Arg::Short('f') | Arg::Long("follow") => options.follow = true,
            Arg::Short('n') | Arg::Long("lines") => {
                options.lines = Some(arguments.value()?.parse()?);
            }
            Arg::Long("since") => options.since = Some(arguments.value()?.string()?),
            Arg::Long("until") => options.until = Some(arguments.value()?.string()?),
            Arg::Short('g') | Arg::Long("grep") => pattern = Some(arguments.value()?.string()?),
            Arg::Short('i') | Arg::Long("ignore-case") => ignore_case = true,
            Arg::Long("utc") => options.utc = true,
            Arg::Long("raw") => options.raw = true,
            Arg::Long("names") => options.with_names = Some(true),
            Arg::Long("no-names") => options.with_names = Some(false),
            Arg::Value(name) => options.names.push(name),
            Arg::Short(_) | Arg::Long(_) => return Err(argument.unexpected().into()),
        }
    }
    if options.names.is_empty() {
        return Err(Failure::usage("no service named; see --help"));
    }
    if options.follow && options.until.is_some() {
        return Err(Failure::usage("--follow and --until cannot be combined"));
    }
    options.grep = pattern
        .map(|pattern| expression(&pattern, ignore_case))
        .transpose()?;
    Ok(Task::Show(options))
}

fn expression(pattern: &str, ignore_case: bool) -> Result<Regex, Failure> {
    let built = RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .build();
    built.map_err(|error| Failure::usage(format_args!("--grep {pattern}: {error}")))
}
