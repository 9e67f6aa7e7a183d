//! `env/`: a directory of variables, as daemontools' envdir reads it.
//!
//! A file's name is the variable's; its value is the first line without the blanks at its end, with
//! NULs read as newlines. An empty file removes the variable; a file with an empty first line sets it
//! to nothing. A directory in it is a fault, a name that begins with a dot does not count.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{Mode, OFlags};

use super::fault::Fault;
use super::file;
use crate::layout::OPTIONS;

/// The most that all files together may have, in bytes: Linux gives a new program's arguments and
/// variables three quarters of 8 MiB at most (execve(2)), so more could not be handed over.
const ALL_MAX: usize = 6 * 1024 * 1024;

/// Reads `env/` of the opened `options/`.
pub(super) fn read(options: &OwnedFd) -> Result<Vec<(OsString, Option<OsString>)>, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let folder = match rustix::fs::openat(options, "env", flags, Mode::empty()) {
        Ok(folder) => folder,
        Err(rustix::io::Errno::NOTDIR) => {
            return Err(Fault::of(
                "env",
                "expected a directory with a file a variable",
            ));
        }
        Err(errno) => return Err(Fault::unreadable(format!("{OPTIONS}/env"), errno)),
    };
    let mut variables = Vec::new();
    let mut length = 0;
    for name in file::names(&folder, "options/env")? {
        let fault = |problem: &str| Fault::of(&format!("env/{}", name.to_string_lossy()), problem);
        if name.as_bytes().contains(&b'=') {
            return Err(fault("a variable's name has no \"=\""));
        }
        let bytes = file::read_variable(&folder, &name)
            .map_err(|refused| file::fault(&format!("env/{}", name.to_string_lossy()), refused))?;
        length += bytes.len();
        if length > ALL_MAX {
            let problem = format!("expected files of at most {ALL_MAX} bytes together");
            return Err(Fault::of("env", problem));
        }
        let value = value(&bytes);
        variables.push((name, value));
    }
    Ok(variables)
}

/// The value that a file's bytes give; `None` where there are none.
fn value(bytes: &[u8]) -> Option<OsString> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .filter(|_| !bytes.is_empty())?;
    let end = line
        .iter()
        .rposition(|byte| !b" \t".contains(byte))
        .map_or(0, |last| last + 1);
    let value = OsStr::from_bytes(line.get(..end)?).as_bytes();
    let value = value
        .iter()
        .map(|byte| if *byte == 0 { b'\n' } else { *byte })
        .collect();
    Some(OsString::from_vec(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_first_line_as_envdir_reads_it() {
        for (bytes, expected) in [
            (b"".as_slice(), None),
            (b"\n", Some("")),
            (b"  \t", Some("")),
            (b"plain", Some("plain")),
            (
                b" inner blanks stay \t \nsecond",
                Some(" inner blanks stay"),
            ),
            (b"a\0b\0\n", Some("a\nb\n")),
            (b"cr\r\n", Some("cr\r")),
        ] {
            assert_eq!(
                value(bytes).as_deref(),
                expected.map(OsStr::new),
                "{bytes:?}"
            );
        }
    }
}
