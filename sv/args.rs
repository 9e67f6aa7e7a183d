//! The command line of `sv`, which is runit's: options before the command, digits for seconds.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::request::Request;

/// How long a command is waited for, as runit has it.
const SECONDS: u64 = 7;

/// The highest exit code that counts services.
const MOST: u8 = 99;

/// The exit codes of a wrong command line: of `sv`, and of an init script (LSB).
const USAGE: u8 = 100;
const LSB_USAGE: u8 = 2;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// The command line is wrong.
    Wrong {
        /// What to print on stderr.
        complaint: String,
        /// The exit code.
        code: u8,
    },
    /// Do something to services.
    Do(Args),
}

/// What to do, to which services.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Args {
    /// What is asked for.
    pub(crate) request: Request,
    /// Report what becomes of it.
    pub(crate) waits: bool,
    /// Wait no longer than that.
    pub(crate) time: Duration,
    /// The services, as typed.
    pub(crate) services: Vec<OsString>,
    /// This is a service's init script.
    pub(crate) is_script: bool,
}

impl Args {
    /// The exit code where so many services failed.
    pub(crate) fn code(&self, failed: usize) -> u8 {
        match u8::try_from(failed) {
            Ok(failed) if self.is_script => failed.min(1),
            Ok(failed) => failed.min(MOST),
            Err(_) => MOST,
        }
    }
}

/// Reads the command line; `script` is the service whose init script this is, `svwait` the variable's
/// value.
pub(crate) fn parse(
    script: Option<OsString>,
    arguments: impl Iterator<Item = OsString>,
    svwait: Option<OsString>,
) -> Job {
    let mut options = match Options::read(arguments) {
        Ok(options) => options,
        Err(Stop::Help) => return Job::Help,
        Err(Stop::Version) => return Job::Version,
        Err(Stop::Wrong(complaint)) => return wrong(script.as_deref(), &complaint),
    };
    let word = options.rest.first().and_then(|word| word.to_str());
    let Some(request) = word.and_then(Request::from_word) else {
        return wrong(script.as_deref(), "");
    };
    let services = match &script {
        Some(service) => vec![service.clone()],
        None => options.rest.split_off(1),
    };
    if services.is_empty() {
        return wrong(None, "");
    }
    let svwait = svwait.map_or(SECONDS, |text| seconds(&text));
    Job::Do(Args {
        waits: options.verbose || request.waits,
        request,
        time: Duration::from_secs(options.seconds.unwrap_or(svwait)),
        services,
        is_script: script.is_some(),
    })
}

/// runit's usage line, with its empty line, after what is wrong with an option.
fn wrong(script: Option<&OsStr>, complaint: &str) -> Job {
    match script {
        None => Job::Wrong {
            complaint: format!("{complaint}usage: sv [-v] [-w sec] command service ...\n\n"),
            code: USAGE,
        },
        Some(name) => Job::Wrong {
            complaint: format!("{complaint}usage: {} [-w sec] command\n\n", name.display()),
            code: LSB_USAGE,
        },
    }
}

/// What ends the reading of options.
enum Stop {
    Help,
    Version,
    Wrong(String),
}

/// The options, and what follows them.
#[derive(Default)]
struct Options {
    verbose: bool,
    seconds: Option<u64>,
    rest: Vec<OsString>,
}

impl Options {
    /// Reads options as getopt(3) does without GNU's permutation: up to the first other word.
    fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next_if(|word| is_option(word)) {
            match argument.as_bytes() {
                b"--" => break,
                b"--help" => return Err(Stop::Help),
                b"--version" => return Err(Stop::Version),
                letters => options.cluster(letters.get(1..).unwrap_or_default(), &mut arguments)?,
            }
        }
        options.rest = arguments.collect();
        Ok(options)
    }

    /// Reads the letters behind a dash.
    fn cluster(
        &mut self,
        letters: &[u8],
        arguments: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Stop> {
        let mut letters = letters.iter();
        while let Some(letter) = letters.next() {
            match letter {
                b'v' => self.verbose = true,
                b'w' => {
                    let attached = letters.as_slice();
                    let value = if attached.is_empty() {
                        arguments.next().ok_or_else(|| {
                            Stop::Wrong("sv: option requires an argument -- w\n".to_owned())
                        })?
                    } else {
                        OsStr::from_bytes(attached).to_os_string()
                    };
                    self.seconds = Some(seconds(&value));
                    self.verbose = true;
                    return Ok(());
                }
                b'V' => return Err(Stop::Version),
                other => {
                    let other = char::from(*other).escape_default();
                    return Err(Stop::Wrong(format!("sv: illegal option -- {other}\n")));
                }
            }
        }
        Ok(())
    }
}

fn is_option(word: &OsStr) -> bool {
    matches!(word.as_bytes(), [b'-', _, ..])
}

/// The digits that a text begins with, as runit reads numbers; 0 without any.
fn seconds(text: &OsStr) -> u64 {
    let digits = text
        .as_bytes()
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Act;

    fn job(script: Option<&str>, line: &[&str], svwait: Option<&str>) -> Job {
        parse(
            script.map(OsString::from),
            line.iter().map(OsString::from),
            svwait.map(OsString::from),
        )
    }

    #[track_caller]
    fn args(script: Option<&str>, line: &[&str], svwait: Option<&str>) -> Args {
        match job(script, line, svwait) {
            Job::Do(args) => args,
            other @ (Job::Help | Job::Version | Job::Wrong { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_time_is_that_of_w_or_of_svwait_or_seven_seconds() {
        for (line, svwait, seconds) in [
            (&["start", "web"][..], None, 7),
            (&["start", "web"], Some("3"), 3),
            (&["-w", "5", "start", "web"], Some("3"), 5),
            (&["-w5", "start", "web"], None, 5),
            (&["-vw", "12x", "start", "web"], None, 12),
            (&["-w", "x", "start", "web"], None, 0),
            (&["start", "web"], Some(""), 0),
        ] {
            let args = args(None, line, svwait);
            assert_eq!(args.time, Duration::from_secs(seconds), "{line:?}");
            assert!(args.waits, "{line:?}");
        }
        assert!(!args(None, &["up", "web"], None).waits);
        assert!(args(None, &["-v", "up", "web"], None).waits);
    }

    #[test]
    fn options_end_at_the_command() {
        let args = args(None, &["up", "-v", "web"], None);
        assert_eq!(args.services, ["-v", "web"]);
        assert!(!args.waits);
    }

    #[test]
    fn a_wrong_command_line_gets_runit_s_usage_line() {
        let usage = "usage: sv [-v] [-w sec] command service ...\n\n";
        for (line, first) in [
            (&[][..], ""),
            (&["up"], ""),
            (&["foo", "web"], ""),
            (&["-x", "up", "web"], "sv: illegal option -- x\n"),
            (&["-w"], "sv: option requires an argument -- w\n"),
        ] {
            let wrong = Job::Wrong {
                complaint: format!("{first}{usage}"),
                code: 100,
            };
            assert_eq!(job(None, line, None), wrong, "{line:?}");
        }
        let wrong = Job::Wrong {
            complaint: "usage: web [-w sec] command\n\n".to_owned(),
            code: 2,
        };
        assert_eq!(job(Some("web"), &["foo"], None), wrong);
        assert_eq!(job(Some("web"), &[], None), wrong);
    }

    #[test]
    fn an_init_script_is_about_its_own_service() {
        let args = args(Some("web"), &["start", "more"], None);
        assert_eq!(args.services, ["web"]);
        assert_eq!(args.request.act, Act::Up);
        assert_eq!((args.code(0), args.code(1)), (0, 1));
    }

    #[test]
    fn the_exit_code_counts_up_to_99() {
        let args = args(None, &["up", "web"], None);
        assert_eq!(
            [0, 2, 99, 100, 1000].map(|n| args.code(n)),
            [0, 2, 99, 99, 99]
        );
    }
}
