//! A directory of variables: a file's name is the variable's, its first line the value.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use rustix::fd::OwnedFd;
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;
use servicedir::error_words::ErrorWords;

use crate::environment::Environment;
use crate::message::{self, Failure, Step};
use crate::plan::{Directories, EnvDir};

/// The most bytes that are read of a file, one more than execve(2) takes for a variable (32 pages, of
/// 64 KiB at most): a first line without an end fills no memory, and is refused by execve(2).
const LONGEST: u64 = 32 * 64 * 1024 + 1;

/// Reads the directory, and changes the environment by its files, in the order in which they stand there.
///
/// It is entered for that time, as daemontools and runit do it: who may not enter it is refused.
pub(crate) fn apply(env_dir: &EnvDir, environment: &mut Environment) -> Result<(), Failure> {
    let failed = |step: Step| move |errno: Errno| Failure::system(step, errno);
    let path = || env_dir.path.clone();
    let start = open(c".").map_err(failed(Step::OpenStart))?;
    rustix::process::chdir(&env_dir.path).map_err(failed(Step::EnterDirectory(path())))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let opened = rustix::fs::open(c".", flags, Mode::empty())
        .map_err(failed(Step::OpenDirectory(path())))?;
    let entries = Dir::new(opened).map_err(failed(Step::OpenDirectory(path())))?;
    for entry in entries {
        let entry = entry.map_err(failed(Step::ReadDirectory(path())))?;
        read(entry.file_name(), env_dir, environment)?;
    }
    rustix::process::fchdir(start).map_err(failed(Step::ReturnToStart))
}

/// Changes the environment by one file. A name that leads nowhere changes nothing.
fn read(name: &CStr, env_dir: &EnvDir, environment: &mut Environment) -> Result<(), Failure> {
    if name.to_bytes().starts_with(b".") {
        return Ok(());
    }
    let line = match open(name).map_err(io::Error::from).and_then(first_line) {
        Ok(line) => line,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return unreadable(name, env_dir, &error),
    };
    let value = line.as_deref().map(value);
    environment.change(name.to_bytes(), value.as_deref());
    Ok(())
}

/// A file that cannot be read is an error; a directory, what the plan says.
fn unreadable(name: &CStr, env_dir: &EnvDir, error: &io::Error) -> Result<(), Failure> {
    let step = Step::ReadVariable(env_dir.path.clone(), name.to_owned());
    let why = ErrorWords::from(error);
    match env_dir.directories {
        Directories::Skipped | Directories::Warned if why.0 == libc::EISDIR => {
            if env_dir.directories == Directories::Warned {
                message::warn(&step, why);
            }
            Ok(())
        }
        Directories::Refused | Directories::Skipped | Directories::Warned => {
            Err(Failure::system(step, why))
        }
    }
}

/// Opens a file for reading without waiting for a writer, as daemontools does.
fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The first line without its newline; `None` where the file is empty.
fn first_line(file: OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = BufReader::new(File::from(file).take(LONGEST)).read_until(b'\n', &mut line)?;
    line.pop_if(|byte| *byte == b'\n');
    Ok((read > 0).then_some(line))
}

/// The value that a first line gives: no blanks at its end, and a newline for each NUL.
fn value(line: &[u8]) -> Vec<u8> {
    let end = line
        .iter()
        .rposition(|byte| !b" \t".contains(byte))
        .map_or(0, |last| last + 1);
    let kept = line.iter().take(end);
    kept.map(|byte| if *byte == 0 { b'\n' } else { *byte })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_has_no_blanks_at_its_end_and_newlines_for_nuls() {
        for (line, expected) in [
            (b"".as_slice(), b"".as_slice()),
            (b" \t ", b""),
            (b" a b \t", b" a b"),
            (b"a\0\0b\0", b"a\n\nb\n"),
            (b"a \0 ", b"a \n"),
            (b"cr\r", b"cr\r"),
        ] {
            assert_eq!(value(line), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_that_execve_takes(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            let value = value(&line);
            prop_assert!(!value.contains(&0) && value.len() <= line.len());
            prop_assert!(!value.ends_with(b" ") && !value.ends_with(b"\t"));
        }
    }
}
