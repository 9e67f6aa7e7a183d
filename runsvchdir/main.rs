//! `runsvchdir DIR`: switches the directory of services that runsvdir scans, as runit's does.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use servicedir::error_words::ErrorWords;
use servicedir::report::{Failure, Reporter, exit, print_help, print_version};

const REPORT: Reporter = Reporter::new("runsvchdir");

/// Where the directories of services and the links to them are.
const RUNSVDIR: &str = "/etc/runit/runsvdir";

/// The exit code of a wrong command line, as runit has it.
const USAGE: u8 = 1;

/// The links, by their names in [`RUNSVDIR`].
const CURRENT: &str = "current";
const NEW: &str = "current.new";
const PREVIOUS: &str = "previous";

const HELP: &str = "\
usage: runsvchdir DIR

Makes the link /etc/runit/runsvdir/current lead to the directory DIR, which is
looked up in /etc/runit/runsvdir if it does not begin with a slash; the link
previous leads to the former one. See runsvchdir(8).

      --help     show this text
      --version  show the version

Exit status: 0 done; 1 wrong usage; 111 a system call failed.
";

fn main() -> ExitCode {
    REPORT.finish(run(std::env::args_os().skip(1).collect()))
}

fn run(arguments: Vec<OsString>) -> Result<u8, Failure> {
    match arguments.as_slice() {
        [only] if only == "--help" => print_help(HELP),
        [only] if only == "--version" => print_version("runsvchdir"),
        [dir] => {
            switch(Path::new(RUNSVDIR), dir).map_err(|fatal| Failure::new(exit::SYSTEM, fatal))?;
            Ok(exit::DONE)
        }
        _ => {
            REPORT.plain("usage: runsvchdir dir\n\n");
            Ok(USAGE)
        }
    }
}

/// Switches to a directory; what is wrong, in runit's words.
fn switch(runsvdir: &Path, dir: &OsStr) -> Result<(), String> {
    let shown = dir.display();
    if dir.as_bytes().starts_with(b".") {
        return Err(format!("{shown}: must not start with a dot."));
    }
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {}", ErrorWords::from(&error))
    };
    let target = fs::metadata(runsvdir.join(dir)).map_err(failed(&shown.to_string()))?;
    if !target.is_dir() {
        return Err(format!("{shown}: not a directory."));
    }
    let at = |name: &str| -> PathBuf { runsvdir.join(name) };
    match fs::remove_file(at(NEW)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("unable to unlink current.new")(error));
        }
        Ok(()) | Err(_) => {}
    }
    symlink(dir, at(NEW)).map_err(failed(&format!("unable to symlink current.new to {shown}")))?;
    remember(runsvdir)?;
    fs::rename(at(NEW), at(CURRENT)).map_err(failed("unable to rename current.new to current"))
}

/// Makes `previous` lead where `current` does. Renaming `current` itself would leave none for a moment.
fn remember(runsvdir: &Path) -> Result<(), String> {
    let words = |error: io::Error| {
        format!(
            "unable to copy current to previous: {}",
            ErrorWords::from(&error)
        )
    };
    let former = match fs::read_link(runsvdir.join(CURRENT)) {
        Ok(former) => former,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(words(error)),
    };
    let new = runsvdir.join("previous.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(words(error)),
        Ok(()) | Err(_) => {}
    }
    symlink(former, &new).map_err(words)?;
    fs::rename(new, runsvdir.join(PREVIOUS)).map_err(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_and_previous_are_switched() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["default", "single"] {
            fs::create_dir(at(name)).unwrap();
        }
        let leads = |name: &str| fs::read_link(at(name)).ok();
        switch(folder.path(), OsStr::new("default")).unwrap();
        assert_eq!(
            (leads(CURRENT), leads(PREVIOUS)),
            (Some("default".into()), None)
        );
        switch(folder.path(), OsStr::new("single")).unwrap();
        assert_eq!(
            (leads(CURRENT), leads(PREVIOUS), leads(NEW)),
            (Some("single".into()), Some("default".into()), None)
        );
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        for (name, words) in [
            (".x", ".x: must not start with a dot."),
            ("none", "none: file does not exist"),
            ("file", "file: not a directory."),
        ] {
            assert_eq!(switch(folder.path(), OsStr::new(name)).unwrap_err(), words);
        }
        assert!(!folder.path().join(CURRENT).exists());
    }
}
