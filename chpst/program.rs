//! The program: where it is sought, and how this process becomes it.
#![expect(
    unsafe_code,
    reason = "execve(2) with vectors that were made before the limits"
)]

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use rustix::io::Errno;

use crate::environment::{Environment, until_nul};

/// Where a program is sought without a PATH, in daemontools and runit.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

/// A program that is ready to be run: nothing more is allocated for it.
pub(crate) struct Program {
    candidates: Vec<CString>,
    arguments: Strings,
    environment: Strings,
}

/// Strings, and the vector of pointers to them that execve(2) takes.
struct Strings {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Strings {
    fn new(strings: Vec<CString>) -> Self {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect();
        Self { strings, pointers }
    }
}

impl Program {
    /// Gets a command ready: the program is sought in `path` (the caller's own, whatever the new
    /// environment says), and gets `argv0` for its argument 0 if that is given.
    pub(crate) fn new(
        command: &[CString],
        argv0: Option<CString>,
        path: Option<&[u8]>,
        environment: Environment,
    ) -> Self {
        let name = command.first().map(CString::as_bytes).unwrap_or_default();
        let candidates = candidates(name, path.unwrap_or(DEFAULT_PATH));
        let mut arguments = command.to_vec();
        if let (Some(argv0), Some(first)) = (argv0, arguments.first_mut()) {
            *first = argv0;
        }
        Self {
            candidates,
            arguments: Strings::new(arguments),
            environment: Strings::new(environment.into_strings()),
        }
    }

    /// What messages call it: its argument 0.
    pub(crate) fn shown(&self) -> CString {
        self.arguments.strings.first().cloned().unwrap_or_default()
    }

    /// Becomes the program; comes back only with the reason why no candidate could be run.
    ///
    /// A candidate that may not be run is remembered, and the next one tried; any other error than
    /// that and "no such file" ends the search.
    pub(crate) fn run(&self) -> Errno {
        let mut reason = Errno::NOENT;
        for candidate in &self.candidates {
            match self.execute(candidate) {
                Errno::NOENT => {}
                refused @ (Errno::ACCESS | Errno::PERM | Errno::ISDIR) => reason = refused,
                other => return other,
            }
        }
        reason
    }

    fn execute(&self, path: &CStr) -> Errno {
        let (arguments, environment) = (&self.arguments.pointers, &self.environment.pointers);
        // SAFETY: both vectors end with a null pointer, and their strings live as long as they do.
        unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        Errno::from_raw_os_error(nix::errno::Errno::last_raw())
    }
}

/// The paths to try, in order: the name itself if it has a slash, else one for each part of the PATH.
fn candidates(name: &[u8], path: &[u8]) -> Vec<CString> {
    if name.contains(&b'/') {
        return vec![until_nul(name.to_vec())];
    }
    path.split(|byte| *byte == b':')
        .map(|folder| {
            let folder = if folder.is_empty() { b"." } else { folder };
            until_nul([folder, b"/", name].concat())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, path: &str, expected: &[&str]) {
        let found = candidates(name.as_bytes(), path.as_bytes());
        let found: Vec<&str> = found.iter().map(|it| it.to_str().unwrap()).collect();
        assert_eq!(found, expected, "{name} {path}");
    }

    #[test]
    fn a_name_is_sought_in_each_part_of_the_path() {
        check("ls", "/bin:/usr/bin", &["/bin/ls", "/usr/bin/ls"]);
        check("ls", "", &["./ls"]);
        check("ls", ":/bin:", &["./ls", "/bin/ls", "./ls"]);
        check("./ls", "/bin", &["./ls"]);
        check("", "/bin", &["/bin/"]);
    }
}
