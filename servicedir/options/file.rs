//! The files of `options/`: opened without waiting for anybody, read to a limit, and cut into the
//! lines that count.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::fault::Fault;
use crate::layout::OPTIONS;
use crate::report::Why;
use crate::trust::{self, Refused};

/// The longest file that is read, in bytes: what the kernel allows a variable's text to be, so that
/// nothing that can be used is refused (execve(2), `MAX_ARG_STRLEN`).
pub const FILE_MAX: usize = 128 * 1024;

/// Opens `options/` of a service directory; `None` where there is none.
pub(super) fn open_folder(service_dir: &Path) -> Result<Option<OwnedFd>, Fault> {
    let path = service_dir.join(OPTIONS);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Without following a link first: a link that leads nowhere must not pass for no options at all,
    // and a service that has none is to be told by one call.
    let mut opened = rustix::fs::open(&path, flags | OFlags::NOFOLLOW, Mode::empty());
    if let Err(Errno::NOENT) = opened {
        return Ok(None);
    }
    if let Err(Errno::NOTDIR | Errno::LOOP) = opened {
        opened = rustix::fs::open(&path, flags, Mode::empty());
    }
    match opened {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(Fault::unreadable(OPTIONS.to_owned(), errno)),
    }
}

/// The names in a directory that count, sorted; `shown` is its path in a fault. A name does not count
/// if it begins with a dot, or is an editor's backup: `x~` (vi, Emacs, nano) or `#x#` (Emacs).
pub(super) fn names(folder: &OwnedFd, shown: &str) -> Result<Vec<OsString>, Fault> {
    let unreadable = |errno| Fault::unreadable(shown.to_owned(), errno);
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_bytes();
        let backup = name.ends_with(b"~") || name.starts_with(b"#");
        if !name.starts_with(b".") && !backup {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads the file of an option.
pub(super) fn read(folder: &OwnedFd, option: &str) -> Result<Vec<u8>, Fault> {
    trust::read_at(folder, option, FILE_MAX).map_err(|refused| fault(option, refused))
}

/// The fault of an option whose file was not read.
pub(super) fn fault(option: &str, refused: Refused) -> Fault {
    match refused.errno() {
        Some(errno) => Fault::unreadable(format!("{OPTIONS}/{option}"), errno),
        None => Fault::of(option, words(refused)),
    }
}

/// Reads a file of `env/`.
pub(super) fn read_variable(folder: &OwnedFd, name: &OsStr) -> Result<Vec<u8>, Refused> {
    trust::read_at(folder, name, FILE_MAX)
}

fn words(refused: Refused) -> String {
    match refused {
        Refused::Failed(errno) => format!("unable to read: {}", Why::from(errno)),
        Refused::Long(limit) => format!("expected a file of at most {limit} bytes"),
        Refused::NotFile
        | Refused::NotFifo
        | Refused::Link
        | Refused::SecondName
        | Refused::Owner(_) => "expected a plain file".to_owned(),
    }
}

/// Whether the path is a plain file that this process may execute.
pub(super) fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The lines of a file that count, trimmed, with their numbers from 1 on.
#[derive(Debug)]
pub(super) struct Values<'a>(Vec<(usize, &'a OsStr)>);

impl<'a> Values<'a> {
    /// The lines of `bytes` that are not empty and do not start with `#`.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        Self(
            (1..)
                .zip(lines)
                .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
                .map(|(number, line)| (number, OsStr::from_bytes(line)))
                .collect(),
        )
    }
}

/// Why a file's lines are no value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// There is none.
    Empty,
    /// This line is none.
    Value(usize, OsString),
    /// This line follows the one that is expected.
    Second(usize, OsString),
}

/// The value of a file that holds one.
pub(super) fn one<T>(values: &Values, parse: impl Fn(&OsStr) -> Option<T>) -> Result<T, Refusal> {
    match values.0.as_slice() {
        [] => Err(Refusal::Empty),
        [(line, text)] => parse(text).ok_or_else(|| Refusal::Value(*line, text.to_os_string())),
        [_, (line, text), ..] => Err(Refusal::Second(*line, text.to_os_string())),
    }
}

/// As [`one`], for what has no value without its file.
pub(super) fn some<T>(
    values: &Values,
    parse: impl Fn(&OsStr) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    one(values, parse).map(Some)
}

/// The value of a file that holds a list, over as many lines as it likes.
pub(super) fn each<T: Default>(
    values: &Values,
    parse: impl Fn(T, &OsStr) -> Option<T>,
) -> Result<T, Refusal> {
    if values.0.is_empty() {
        return Err(Refusal::Empty);
    }
    values
        .0
        .iter()
        .try_fold(T::default(), |list, (line, text)| {
            parse(list, text).ok_or_else(|| Refusal::Value(*line, text.to_os_string()))
        })
}
