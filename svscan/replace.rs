//! Replacing svscan by the program that its path leads to now, as the same process.
//!
//! Nothing is handed over: the next svscan finds supervises and pipes as after a crash. It has the same
//! pid, so it works for process 1, and the supervises stay its children.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::io::Errno;
use servicedir::report::Why;

/// How this svscan was started.
#[derive(Debug)]
pub(crate) struct Invocation {
    program: PathBuf,
    arguments: Vec<CString>,
    directory: PathBuf,
}

impl Invocation {
    /// Remembers it, before the working directory changes. None: the program's path is not known.
    pub(crate) fn remember() -> Option<Self> {
        let arguments = std::env::args_os().map(|argument| CString::new(argument.into_vec()).ok());
        Some(Self {
            program: std::env::current_exe().ok()?,
            arguments: arguments.collect::<Option<_>>()?,
            directory: std::env::current_dir().ok()?,
        })
    }

    /// The path of the program.
    pub(crate) fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Executes the program, and returns only when that fails. Signals wait until it catches them.
    pub(crate) fn execute(&self) -> Why {
        let Ok(before) = std::env::current_dir() else {
            return Why::from(Errno::NOENT);
        };
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let failed = std::env::set_current_dir(&self.directory)
            .map_err(Why::from)
            .and_then(|()| self.call().map_err(Why::from));
        std::env::set_current_dir(before).ok();
        mask.and_then(|mask| mask.thread_set_mask()).ok();
        failed.err().unwrap_or(Why::from(Errno::NOSYS))
    }

    fn call(&self) -> nix::Result<()> {
        let program = CString::new(self.program.clone().into_os_string().into_vec());
        let program = program.map_err(|_| nix::Error::EINVAL)?;
        nix::unistd::execv(&program, &self.arguments).map(drop)
    }
}
