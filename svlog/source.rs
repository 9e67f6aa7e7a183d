//! Which log directories belong to a name of the command line.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use servicedir::layout::{Layout, find_service};
use servicedir::report::Failure;
use servicedir::supervisor::logs::{self, CURRENT, Channel};

/// What to say where a service has no log directory yet.
const NO_LOG: &str = "it has no log directory: neither a running logger that has `current` open, \
                      nor a directory in its log/ that svlogd or multilog has written to";

/// A log directory, and the name that its lines are shown under.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
}

/// A service of the command line.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The path that its name means.
    pub(crate) dir: PathBuf,
    layout: Option<Layout>,
}

impl Service {
    /// The service of that name, or the log directory itself.
    ///
    /// # Errors
    /// There is no such directory.
    pub(crate) fn named(name: &OsStr) -> Result<Self, Failure> {
        let dir = find_service(name);
        if let Err(error) = std::fs::metadata(&dir) {
            let what = format!("unable to open {}", dir.display());
            return Err(Failure::system(what, error));
        }
        let is_log_directory = dir.join(CURRENT).is_file();
        let layout = (!is_log_directory).then(|| Layout::of(&dir).ok()).flatten();
        Ok(Self { dir, layout })
    }

    /// Its log directories now; none where nothing has been logged yet.
    pub(crate) fn sources(&self) -> Vec<Source> {
        let Some(layout) = &self.layout else {
            return vec![self.source(&self.dir, "")];
        };
        let mut found = Vec::new();
        for (channel, suffix) in [(Channel::Stdout, ""), (Channel::Stderr, "/errlog")] {
            if let Some(logger) = logs::service(layout, channel) {
                let folders = logs::directories(&logger);
                found.extend(folders.iter().map(|folder| self.source(folder, suffix)));
            }
        }
        if found.is_empty() {
            // `NAME/log`: the service is a logger itself.
            let folders = logs::directories(&self.dir);
            found.extend(folders.iter().map(|folder| self.source(folder, "")));
        }
        found
    }

    /// The directories in which a log directory may appear.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let Some(layout) = &self.layout else {
            return Vec::new();
        };
        let loggers = [Channel::Stdout, Channel::Stderr]
            .into_iter()
            .filter_map(|channel| logs::service(layout, channel));
        std::iter::once(self.dir.clone()).chain(loggers).collect()
    }

    /// The message for a service without any.
    pub(crate) fn nothing(&self) -> Failure {
        let what = format!("unable to read the log of {}", self.dir.display());
        Failure::new(
            servicedir::report::exit::SYSTEM,
            format!("{what}: {NO_LOG}"),
        )
    }

    fn source(&self, folder: &Path, suffix: &str) -> Source {
        let name = match &self.layout {
            Some(layout) => layout.name.to_string_lossy().into_owned(),
            None => folder.display().to_string(),
        };
        Source {
            name: name + suffix,
            folder: folder.to_owned(),
        }
    }
}
