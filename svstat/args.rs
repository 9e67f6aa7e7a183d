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

/// Which services to look at, and how to show them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Args {
    /// How to show them.
    pub(crate) view: View,
    /// Show them again whenever they change.
    pub(crate) watch: bool,
    /// Show what their journals tell, in place of their state.
    pub(crate) history: Option<History>,
    /// The services, as typed.
    pub(crate) dirs: Vec<OsString>,
}

/// Which lines of the journals to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    /// Those that are there.
    pub(crate) past: bool,
    /// Of those, only so many of the last ones.
    pub(crate) count: Option<usize>,
    /// Those that come, until interrupted.
    pub(crate) follow: bool,
}

/// A way to show services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum View {
    /// daemontools' line a service.
    #[default]
    Lines,
    /// A table.
    Table,
    /// One JSON array.
    Json,
    /// Only the exit code: whether all are up.
    QuietUp,
    /// Only the exit code: whether all are ready.
    QuietReady,
}

impl View {
    /// The option that chooses it.
    fn option(self) -> &'static str {
        match self {
            Self::Lines => "",
            Self::Table => "-l",
            Self::Json => "--json",
            Self::QuietUp | Self::QuietReady => "-q",
        }
    }
}

/// Reads the command line.
pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Job, Failure> {
    let mut args = Args::default();
    let mut ready = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('l') | Long("long") => args.choose(View::Table)?,
            Long("json") => args.choose(View::Json)?,
            Short('q') | Long("quiet") => args.choose(View::QuietUp)?,
            Long("ready") => ready = true,
            Long("watch") => args.watch = true,
            Long("history") => args.history().past = true,
            Long("follow") => args.history().follow = true,
            Short('n') | Long("lines") => {
                let count = parser.value()?.parse()?;
                args.history().past = true;
                args.history().count = Some(count);
            }
            Long("help") => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            Value(dir) => args.dirs.push(dir),
            Short(_) | Long(_) => return Err(argument.unexpected().into()),
        }
    }
    args.checked(ready).map(Job::Show)
}

impl Args {
    fn history(&mut self) -> &mut History {
        self.history.get_or_insert_default()
    }

    fn choose(&mut self, view: View) -> Result<(), Failure> {
        if self.view != View::Lines && self.view != view {
            let (one, other) = (self.view.option(), view.option());
            return Err(wrong(&format!("{one} and {other} cannot be combined")));
        }
        self.view = view;
        Ok(())
    }

    fn checked(mut self, ready: bool) -> Result<Self, Failure> {
        let quiet = self.view == View::QuietUp;
        if self.history.is_some() && (self.watch || !matches!(self.view, View::Lines | View::Json))
        {
            return Err(wrong(
                "--history and --follow can be combined with --json alone",
            ));
        }
        match (quiet, ready, self.watch) {
            (true, _, true) => return Err(wrong("-q and --watch cannot be combined")),
            (true, true, false) => self.view = View::QuietReady,
            (false, true, _) => return Err(wrong("--ready needs -q")),
            (true, false, false) | (false, false, _) => {}
        }
        Ok(self)
    }

    /// Without a DIR all services of the scan directory are meant, but for the plain lines:
    /// daemontools' `svstat` prints nothing then.
    pub(crate) fn means_all(&self) -> bool {
        self.dirs.is_empty() && (self.view != View::Lines || self.watch)
    }
}

fn wrong(message: &str) -> Failure {
    Failure::usage(format_args!("{message}; see --help"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Args, Failure> {
        match parse(lexopt::Parser::from_args(args))? {
            Job::Show(args) => Ok(args),
            other @ (Job::Help | Job::Version) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_view_is_chosen_once() {
        for (args, view) in [
            (&[][..], View::Lines),
            (&["-l"], View::Table),
            (&["--json"], View::Json),
            (&["-q"], View::QuietUp),
            (&["--ready", "-q"], View::QuietReady),
            (&["-l", "-l"], View::Table),
        ] {
            assert_eq!(parsed(args).unwrap().view, view, "{args:?}");
        }
        for args in [
            &["-l", "--json"][..],
            &["-lq"],
            &["--ready"],
            &["-q", "--watch"],
            &["-u"],
        ] {
            assert_eq!(parsed(args).unwrap_err().code, 100, "{args:?}");
        }
    }

    #[test]
    fn only_the_plain_lines_need_a_dir() {
        assert!(!parsed(&[]).unwrap().means_all());
        assert!(!parsed(&["-l", "foo"]).unwrap().means_all());
        for args in [["-l"], ["-q"], ["--json"], ["--watch"]] {
            assert!(parsed(&args).unwrap().means_all());
        }
    }
}
