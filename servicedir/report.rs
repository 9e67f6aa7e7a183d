//! What a program says and how it ends: one line on stderr, and an exit code that carries the kind.
//!
//! The form is daemontools': `PROGRAM: fatal|warning|info: what: why`, with the path as the user
//! gave it and the errno's words in lower case. The codes are those of section EXIT STATUS in every
//! man page of the suite.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes, the same for every program of the suite.
pub mod exit {
    /// All that was asked is done.
    pub const DONE: u8 = 0;
    /// The time that was given ran out.
    pub const TIMED_OUT: u8 = 99;
    /// The command line is wrong, or no supervise is there.
    pub const USAGE: u8 = 100;
    /// The service failed: FATAL, or it ended where it should have come up.
    pub const SERVICE_FAILED: u8 = 102;
    /// A system call failed; trying again later may help.
    pub const SYSTEM: u8 = 111;
}

/// An errno as the words that stand at the end of a message: `no such file or directory`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why(pub i32);

impl From<rustix::io::Errno> for Why {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<nix::errno::Errno> for Why {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<&io::Error> for Why {
    fn from(error: &io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<io::Error> for Why {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = nix::errno::Errno::from_raw(self.0).desc();
        let mut letters = words.chars();
        match (letters.next(), letters.clone().next()) {
            // "I/O error" keeps its capitals, "No such file" does not.
            (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
                write!(out, "{}{}", first.to_ascii_lowercase(), letters.as_str())
            }
            _ => out.write_str(words),
        }
    }
}

/// A reason to end the program: what `main` prints as its last line, and the code it exits with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// One of the codes in [`exit`].
    pub code: u8,
    /// `what: why`, without the program's name.
    pub message: String,
}

impl Failure {
    /// A system call failed while the program did `what` (`unable to open foo/run`).
    #[must_use]
    pub fn system(what: impl Display, why: impl Into<Why>) -> Self {
        Self {
            code: exit::SYSTEM,
            message: format!("{what}: {}", why.into()),
        }
    }

    /// The command line is wrong in the way that `message` says.
    #[must_use]
    pub fn usage(message: impl Display) -> Self {
        Self {
            code: exit::USAGE,
            message: message.to_string(),
        }
    }

    /// Any other end: a code and the whole message.
    #[must_use]
    pub fn new(code: u8, message: impl Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(format_args!("{error}; see --help"))
    }
}

/// The voice of one program: every line that it writes to stderr begins with its name.
#[derive(Clone, Copy, Debug)]
pub struct Reporter {
    program: &'static str,
}

impl Reporter {
    /// The reporter of the program of that name.
    #[must_use]
    pub const fn new(program: &'static str) -> Self {
        Self { program }
    }

    /// The program's name.
    #[must_use]
    pub const fn program(self) -> &'static str {
        self.program
    }

    /// The program cannot go on.
    pub fn fatal(self, message: impl Display) {
        self.line("fatal", message);
    }

    /// Something went wrong and the program goes on.
    pub fn warning(self, message: impl Display) {
        self.line("warning", message);
    }

    /// Something that an operator may want to know.
    pub fn info(self, message: impl Display) {
        self.line("info", message);
    }

    /// Text in the form of another suite, whose programs have the same name; it ends its own lines.
    pub fn plain(self, text: &str) {
        drop(io::stderr().write_all(text.as_bytes()));
    }

    /// Ends the program with what `run` returned: its code, or its failure's line and code.
    #[must_use]
    pub fn finish(self, outcome: Result<u8, Failure>) -> ExitCode {
        match outcome {
            Ok(code) => ExitCode::from(code),
            Err(failure) => {
                self.fatal(&failure);
                ExitCode::from(failure.code)
            }
        }
    }

    /// One write for the whole line, so that lines of several processes do not mix. A stderr that
    /// takes nothing is no reason to stop.
    fn line(self, kind: &str, message: impl Display) {
        let line = format!(
            "{}: {kind}: {}\n",
            self.program,
            Escaped(&message.to_string())
        );
        drop(io::stderr().write_all(line.as_bytes()));
    }
}

/// Text from outside (a service's name, say) made safe for a line: control characters as `\n` or `\x1b`.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '\n' => out.write_str("\\n")?,
                '\t' => out.write_str("\\t")?,
                '\r' => out.write_str("\\r")?,
                control if control.is_control() => write!(out, "\\x{:02x}", u32::from(control))?,
                plain => fmt::Write::write_char(out, plain)?,
            }
        }
        Ok(())
    }
}

/// Writes `text` to stdout and flushes it.
///
/// A reader that has gone (`svstat | head -1`) is no failure: what it did not want is not missed.
///
/// # Errors
/// Every other failure to write, a full disk say.
pub fn print(text: impl Display) -> Result<(), Failure> {
    print_bytes(text.to_string().as_bytes())
}

/// Writes bytes to stdout in as few writes as the system allows: paths need not be text.
///
/// # Errors
/// As [`print`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::system("unable to write to stdout", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints the text of `--version`: the program's name and the suite's version.
///
/// # Errors
/// As [`print`].
pub fn print_version(program: &str) -> Result<u8, Failure> {
    print(format_args!(
        "{program} (servicedir) {}\n",
        env!("CARGO_PKG_VERSION")
    ))?;
    Ok(exit::DONE)
}

/// Prints the text of `--help`.
///
/// # Errors
/// As [`print`].
pub fn print_help(help: &str) -> Result<u8, Failure> {
    print(help)?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_reads_as_the_end_of_a_sentence() {
        assert_eq!(Why(libc::ENOENT).to_string(), "no such file or directory");
        assert_eq!(Why(libc::EIO).to_string(), "I/O error");
        assert_eq!(Why(libc::EAGAIN).to_string(), "try again");
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(
            Escaped("a\nsvc: fatal: b\x1b[2J").to_string(),
            "a\\nsvc: fatal: b\\x1b[2J"
        );
    }

    #[test]
    fn a_failure_says_what_and_why() {
        let failure = Failure::system("unable to open foo/run", rustix::io::Errno::ACCESS);
        assert_eq!(
            failure.to_string(),
            "unable to open foo/run: permission denied"
        );
        assert_eq!(failure.code, 111);
    }
}
