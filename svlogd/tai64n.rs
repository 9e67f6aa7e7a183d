//! tai64n: a TAI64N label before each line.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use lexopt::{Arg, Parser};
use memchr::memchr;
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};
use servicedir::tai64n::Tai64n;

const REPORT: Reporter = Reporter::new("tai64n");

const HELP: &str = "\
usage: tai64n

Copies stdin to stdout, with a TAI64N label and a blank before each line: the
time when the first character of the line was read.

  -h, --help     print this text
      --version  print the version

Exit codes: 0 done, 100 wrong usage, 111 a system call failed.
";

/// The most that is read at once, in bytes: a pipe holds no more.
const BUFFER: usize = 64 * 1024;

/// Everything that tai64n writes to standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Message {
    /// Fatal: the input or the output failed.
    UnableToCopy(Why),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::UnableToCopy(why) = self;
        write!(out, "unable to copy stdin to stdout: {why}")
    }
}

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    let mut arguments = Parser::from_env();
    if let Some(argument) = arguments.next()? {
        return match argument {
            Arg::Short('h') | Arg::Long("help") => print_help(HELP),
            Arg::Long("version") => print_version("tai64n"),
            Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => Err(argument.unexpected().into()),
        };
    }
    match copy(io::stdin().lock(), io::stdout().lock(), Tai64n::now) {
        Ok(()) => Ok(exit::DONE),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit::DONE),
        Err(error) => {
            let message = Message::UnableToCopy(Why::from(error));
            Err(Failure::new(exit::SYSTEM, message))
        }
    }
}

/// Copies all input. The output of one read is written before the next one.
fn copy(
    mut input: impl Read,
    mut output: impl Write,
    clock: impl Fn() -> Tai64n,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut text = Vec::with_capacity(2 * BUFFER);
    let mut at_start = true;
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => return output.flush(),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        text.clear();
        stamp(
            buffer.get(..read).unwrap_or_default(),
            &clock(),
            &mut at_start,
            &mut text,
        );
        output.write_all(&text)?;
        output.flush()?;
    }
}

/// Adds `input` to `text`, with the label before each line that begins in it.
fn stamp(input: &[u8], label: &Tai64n, at_start: &mut bool, text: &mut Vec<u8>) {
    let label = label.hex();
    let mut rest = input;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (piece, after) = rest.split_at(end);
        if *at_start {
            text.extend_from_slice(&label);
            text.push(b' ');
        }
        text.extend_from_slice(piece);
        *at_start = piece.ends_with(b"\n");
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamped(pieces: &[&[u8]]) -> String {
        let (mut at_start, mut text) = (true, Vec::new());
        for piece in pieces {
            stamp(piece, &Tai64n::from_unix(0, 1), &mut at_start, &mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    #[test]
    fn each_line_has_one_label_however_it_comes() {
        let label = "@400000000000000a00000001 ";
        let whole = format!("{label}ab\n{label}\n{label}c");
        assert_eq!(stamped(&[b"ab\n\nc"]), whole);
        assert_eq!(stamped(&[b"a", b"b\n", b"\nc"]), whole);
        assert_eq!(stamped(&[]), "");
    }

    #[test]
    fn the_page_has_each_message() {
        let text = Message::UnableToCopy(Why(libc::EIO)).to_string();
        let page = include_str!("../man/tai64n.8");
        assert!(page.contains(&text.replace("I/O error", "Ar why")));
    }

    proptest! {
        #[test]
        fn nothing_but_labels_is_added(text in "[ab\n]{0,80}", cut in 0_usize..80) {
            let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
            let plain = stamped(&[one, two]).replace("@400000000000000a00000001 ", "");
            prop_assert_eq!(plain, text);
        }
    }
}
