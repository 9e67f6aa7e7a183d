//! readproctitle: the end of its input, in its own argument vector for ps(1) to show.
#![cfg_attr(not(test), no_main)]

mod entry;
mod window;

use std::ffi::OsString;
use std::fmt;

use rustix::io::Errno;
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};

use crate::window::Window;

const REPORT: Reporter = Reporter::new("readproctitle");

const HELP: &str = "\
usage: readproctitle [TEXT...] DOTS

Reads stdin into the end of its last argument, at least five dots, so that
ps(1) shows what came last. TEXT is anything, for ps to show before it.

As the only argument, -h or --help prints this text, --version the version.
Exit codes: 0 the input has ended, 100 wrong usage, 111 a system call failed.
";

/// The most that is read at once, in bytes.
const BUFFER: usize = 4096;

/// Everything that readproctitle writes to standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Message {
    /// Usage: the last argument is too short.
    TooShort,
    /// Fatal: the input failed.
    UnableToRead(Why),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort => write!(
                out,
                "the last argument needs at least {} dots; see --help",
                window::SHORTEST
            ),
            Self::UnableToRead(why) => write!(out, "unable to read from stdin: {why}"),
        }
    }
}

/// Runs the program; `last` is the memory of the last argument, which ps(1) reads.
fn start(arguments: &[OsString], last: &'static mut [u8]) -> u8 {
    run(arguments, last).unwrap_or_else(|failure| {
        REPORT.fatal(&failure);
        failure.code
    })
}

fn run(arguments: &[OsString], last: &mut [u8]) -> Result<u8, Failure> {
    match arguments {
        [_, only] if only == "-h" || only == "--help" => return print_help(HELP),
        [_, only] if only == "--version" => return print_version("readproctitle"),
        _ => {}
    }
    let usage = || Failure::new(exit::USAGE, Message::TooShort);
    let mut window = Window::new(last).ok_or_else(usage)?;
    let mut buffer = [0; BUFFER];
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => return Ok(exit::DONE),
            Ok(read) => window.add(buffer.get(..read).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(errno) => {
                let message = Message::UnableToRead(Why::from(errno));
                return Err(Failure::new(exit::SYSTEM, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_each_message() {
        let page = include_str!("../man/readproctitle.8");
        for message in [Message::TooShort, Message::UnableToRead(Why(libc::EIO))] {
            let text = match &message {
                Message::TooShort | Message::UnableToRead(_) => message.to_string(),
            };
            assert!(
                page.contains(&text.replace("I/O error", "Ar why")),
                "{text}"
            );
        }
    }
}
