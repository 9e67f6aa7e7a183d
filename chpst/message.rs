//! What the loaders say: one line for a failure, in the words of the suite whose name they have.
//!
//! runit's chpst sets a colon before the object, `unable to run: prog: file does not exist`;
//! daemontools' loaders do not, `unable to run prog: file does not exist`.

use std::ffi::{CStr, CString};
use std::io::{self, Write};

use rustix::process::Resource;
use servicedir::error_words::ErrorWords;
use servicedir::report::exit;

use crate::help;
use crate::name::Name;

/// Why the program is not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage,
    /// The command line has a letter that means nothing.
    IllegalOption(u8),
    /// The last letter of the command line wants a value.
    MissingValue(u8),
    /// `chpst -V`: the version, and then the usage, as runit has it.
    Version,
    /// There is no such user, or one of the groups does not exist.
    Unknown(CString),
    /// The numbers of a user and its groups are none.
    BadNumbers(Vec<u8>),
    /// The users or groups of the system cannot be read.
    Accounts(String, ErrorWords),
    /// A system call failed.
    System(Box<Step>, ErrorWords),
    /// The lock is not to be had, and `setlock -x` says that this is well.
    Silent,
}

/// The step that a system call failed in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    OpenStart,
    EnterDirectory(CString),
    OpenDirectory(CString),
    ReadDirectory(CString),
    ReadVariable(CString, CString),
    ReturnToStart,
    ChangeDirectory(CString),
    ChangeRoot,
    SetNice,
    SetGroups,
    SetGroup,
    SetUser,
    OpenLock(CString),
    Lock(CString),
    Close(usize),
    SetLimit(Resource),
    Run(CString),
}

impl Failure {
    /// A failed system call.
    pub(crate) fn system(step: Step, error: impl Into<ErrorWords>) -> Self {
        Self::System(Box::new(step), error.into())
    }

    /// The exit code: 100 for a wrong command line, but 111 from envdir, as daemontools has it.
    pub(crate) fn code(&self, name: Name) -> u8 {
        match self {
            Self::Usage | Self::IllegalOption(_) | Self::MissingValue(_) | Self::Version => {
                if name == Name::Envdir {
                    exit::SYSTEM
                } else {
                    exit::USAGE
                }
            }
            Self::Silent => exit::DONE,
            Self::Unknown(_) | Self::BadNumbers(_) | Self::Accounts(..) | Self::System(..) => {
                exit::SYSTEM
            }
        }
    }

    /// The whole text for stderr. `shown` is the name that the program was called by.
    pub(crate) fn text(&self, shown: &[u8], name: Name) -> Vec<u8> {
        let mut text = Vec::new();
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| text.extend_from_slice(part));
        match self {
            Self::Silent => {}
            Self::Usage => put(&[&usage(shown, name)]),
            Self::IllegalOption(letter) => {
                put(&[shown, b": illegal option -- ", &[*letter], b"\n"]);
                put(&[&usage(shown, name)]);
            }
            Self::MissingValue(letter) => {
                put(&[shown, b": option requires an argument -- ", &[*letter]]);
                put(&[b"\n", &usage(shown, name)]);
            }
            Self::Version => {
                let version = env!("CARGO_PKG_VERSION").as_bytes();
                put(&[
                    shown,
                    b" (servicedir) ",
                    version,
                    b"\n",
                    &usage(shown, name),
                ]);
            }
            Self::Unknown(_) | Self::BadNumbers(_) | Self::Accounts(..) | Self::System(..) => {
                let line = escaped(&self.line(name));
                put(&[name.word().as_bytes(), b": fatal: ", &line, b"\n"]);
            }
        }
        text
    }

    /// What went wrong, after `chpst: fatal: `.
    fn line(&self, name: Name) -> Vec<u8> {
        let join = |parts: &[&[u8]]| parts.concat();
        match (self, name) {
            (Self::Unknown(text), Name::Chpst) => join(&[b"unknown user/group: ", text.as_bytes()]),
            (Self::Unknown(text), _) => join(&[b"unknown account ", text.as_bytes()]),
            (Self::BadNumbers(text), _) => join(&[b"invalid uid/gids: ", text]),
            (Self::Accounts(_, why), Name::Chpst) => {
                format!("unable to get password/group file entry: {why}").into_bytes()
            }
            (Self::Accounts(what, why), _) => format!("{what}: {why}").into_bytes(),
            (Self::System(step, why), name) => {
                join(&[&step.words(name), b": ", why.to_string().as_bytes()])
            }
            (_, _) => Vec::new(),
        }
    }
}

impl Step {
    /// What could not be done, and to what.
    fn words(&self, name: Name) -> Vec<u8> {
        let runit = name == Name::Chpst;
        let pick = |of_runit: &'static str, of_daemontools: &'static str| {
            if runit { of_runit } else { of_daemontools }
        };
        let (what, object): (&str, Option<&CStr>) = match self {
            Self::OpenStart => (
                pick(
                    "unable to open current working directory",
                    "unable to switch to current directory",
                ),
                None,
            ),
            Self::EnterDirectory(path) => ("unable to switch to directory", Some(path)),
            Self::OpenDirectory(path) => (
                pick("unable to open directory", "unable to read directory"),
                Some(path),
            ),
            Self::ReadDirectory(path) => ("unable to read directory", Some(path)),
            Self::ReadVariable(directory, file) => {
                return read_variable(directory, file);
            }
            Self::ReturnToStart => ("unable to switch to starting directory", None),
            Self::ChangeDirectory(path) => ("unable to change directory", Some(path)),
            Self::ChangeRoot => ("unable to change root directory", None),
            Self::SetNice => ("unable to set nice level", None),
            Self::SetGroups => (pick("unable to setgroups", "unable to setgid"), None),
            Self::SetGroup => ("unable to setgid", None),
            Self::SetUser => ("unable to setuid", None),
            Self::OpenLock(path) => (pick("unable to open lock", "unable to open"), Some(path)),
            Self::Lock(path) => ("unable to lock", Some(path)),
            Self::Close(0) => ("unable to close stdin", None),
            Self::Close(1) => ("unable to close stdout", None),
            Self::Close(_) => ("unable to close stderr", None),
            Self::SetLimit(_) => (pick("unable to setrlimit()", "setrlimit failed"), None),
            Self::Run(program) => ("unable to run", Some(program)),
        };
        let mut words = what.as_bytes().to_vec();
        if let Some(object) = object {
            words.extend_from_slice(if runit { b": " } else { b" " });
            words.extend_from_slice(object.to_bytes());
        }
        words
    }
}

/// `unable to read env/NAME`, in both suites.
fn read_variable(directory: &CStr, file: &CStr) -> Vec<u8> {
    [
        b"unable to read ",
        directory.to_bytes(),
        b"/",
        file.to_bytes(),
    ]
    .concat()
}

/// The usage lines; runit's chpst has an empty line after them.
fn usage(shown: &[u8], name: Name) -> Vec<u8> {
    let arguments = help::arguments(name).as_bytes();
    if name == Name::Chpst {
        return [b"usage: ", shown, b" ", arguments, b"\n\n"].concat();
    }
    let word = name.word().as_bytes();
    [word, b": usage: ", word, b" ", arguments, b"\n"].concat()
}

/// A directory of variables that `-v` warns of: chpst goes on.
pub(crate) fn warn(step: &Step, why: ErrorWords) {
    let line = [
        &step.words(Name::Chpst),
        b": ".as_slice(),
        why.to_string().as_bytes(),
    ]
    .concat();
    write(&[b"chpst: warning: ", escaped(&line).as_slice(), b"\n"].concat());
}

/// Says why the program is not run.
pub(crate) fn say(shown: &[u8], name: Name, failure: &Failure) {
    write(&failure.text(shown, name));
}

/// One write for all of it. A stderr that takes nothing changes nothing.
fn write(text: &[u8]) {
    drop(io::stderr().write_all(text));
}

/// Control characters as `\x0a`: a file's name cannot forge a line of a log. All other bytes stay.
fn escaped(line: &[u8]) -> Vec<u8> {
    let mut safe = Vec::with_capacity(line.len());
    for byte in line {
        if byte.is_ascii_control() {
            safe.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        } else {
            safe.push(*byte);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// Every failure that `name` can have; a new one must be given a name here.
    fn failures(name: Name) -> Vec<Failure> {
        let path = || c"dir".to_owned();
        let steps = [
            Step::OpenStart,
            Step::EnterDirectory(path()),
            Step::OpenDirectory(path()),
            Step::ReadDirectory(path()),
            Step::ReadVariable(path(), c"file".to_owned()),
            Step::ReturnToStart,
            Step::ChangeDirectory(path()),
            Step::ChangeRoot,
            Step::SetNice,
            Step::SetGroups,
            Step::SetGroup,
            Step::SetUser,
            Step::OpenLock(path()),
            Step::Lock(path()),
            Step::Close(0),
            Step::Close(1),
            Step::Close(2),
            Step::SetLimit(Resource::Cpu),
            Step::Run(path()),
        ];
        let mut failures = vec![
            Failure::Usage,
            Failure::IllegalOption(b'x'),
            Failure::MissingValue(b'x'),
            Failure::Version,
            Failure::Unknown(c"web".to_owned()),
            Failure::BadNumbers(b"1".to_vec()),
            Failure::Accounts("unable to read /etc/passwd".to_owned(), ErrorWords(5)),
            Failure::Silent,
        ];
        failures.extend(steps.map(|step| Failure::system(step, Errno::IO)));
        failures.retain(|failure| can_have(name, failure));
        failures
    }

    /// Which of them come from which program.
    fn can_have(name: Name, failure: &Failure) -> bool {
        let chpst = name == Name::Chpst;
        let account = matches!(name, Name::Setuidgid | Name::Envuidgid);
        match failure {
            Failure::Usage => true,
            Failure::IllegalOption(_) => chpst || matches!(name, Name::Setlock | Name::Softlimit),
            Failure::MissingValue(_) => chpst || name == Name::Softlimit,
            Failure::Version | Failure::BadNumbers(_) => chpst,
            Failure::Unknown(_) | Failure::Accounts(..) => chpst || account,
            Failure::Silent => name == Name::Setlock,
            Failure::System(step, _) => {
                let of = |other| chpst || name == other;
                match **step {
                    Step::OpenStart
                    | Step::EnterDirectory(_)
                    | Step::OpenDirectory(_)
                    | Step::ReadDirectory(_)
                    | Step::ReadVariable(..)
                    | Step::ReturnToStart => of(Name::Envdir),
                    Step::ChangeDirectory(_)
                    | Step::ChangeRoot
                    | Step::SetNice
                    | Step::Close(_) => chpst,
                    Step::SetGroups | Step::SetGroup | Step::SetUser => of(Name::Setuidgid),
                    Step::OpenLock(_) | Step::Lock(_) => of(Name::Setlock),
                    Step::SetLimit(_) => of(Name::Softlimit),
                    Step::Run(_) => true,
                }
            }
        }
    }

    fn page(name: Name) -> &'static str {
        match name {
            Name::Chpst => include_str!("../man/chpst.8"),
            Name::Setuidgid => include_str!("../man/setuidgid.8"),
            Name::Envuidgid => include_str!("../man/envuidgid.8"),
            Name::Envdir => include_str!("../man/envdir.8"),
            Name::Softlimit => include_str!("../man/softlimit.8"),
            Name::Setlock => include_str!("../man/setlock.8"),
            Name::Pgrphack => include_str!("../man/pgrphack.8"),
        }
    }

    #[test]
    fn every_message_stands_under_diagnostics() {
        for (word, name) in Name::ALL {
            let page = page(name).replace("\\&", "");
            let (_, diagnostics) = page.split_once(".Sh DIAGNOSTICS").unwrap();
            for failure in failures(name) {
                let text = failure.text(word.as_bytes(), name);
                let text = String::from_utf8(text).unwrap();
                let Some(line) = text.lines().next().filter(|_| failure != Failure::Version) else {
                    continue;
                };
                // Up to the first thing that is put in: a name, a reason, the arguments.
                let fixed = line
                    .split(" [")
                    .next()
                    .unwrap()
                    .split("input/output")
                    .next()
                    .unwrap();
                let fixed = fixed.replace("dir/file", "DIR/FILE");
                let fixed = fixed
                    .trim_end_matches(": ")
                    .trim_end_matches("dir")
                    .trim_end_matches("web")
                    .trim_end_matches(": 1")
                    .trim_end_matches([':', ' ']);
                assert!(diagnostics.contains(fixed), "{word}: {fixed}");
            }
        }
    }

    #[test]
    fn a_wrong_usage_has_the_code_that_daemontools_gives_it() {
        assert_eq!(Failure::Usage.code(Name::Envdir), 111);
        assert_eq!(Failure::IllegalOption(b'x').code(Name::Softlimit), 100);
        assert_eq!(Failure::Silent.code(Name::Setlock), 0);
        assert_eq!(Failure::Unknown(CString::default()).code(Name::Chpst), 111);
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(escaped(b"a\nb\x7f\xff"), b"a\\x0ab\\x7f\xff");
    }
}
