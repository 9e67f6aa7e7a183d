//! The manifest `.available/.svimport`: what was imported from where, and the fingerprint of each file as it
//! was written. **Pure.**
//!
//! ```text
//! svimport 1
//! file /etc/supervisor/supervisord.conf
//! cwd /
//! 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03 .available/web/run
//! ```

use crate::plan::Written;

/// Its path in the scan directory.
pub(crate) const PATH: &str = ".available/.svimport";

/// The first line: the version of the form.
const VERSION: &str = "svimport 1";

/// What a manifest says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Manifest {
    /// The configuration file.
    pub(crate) file: String,
    /// What `--cwd` said.
    pub(crate) cwd: String,
    /// What was written.
    pub(crate) written: Written,
}

impl Manifest {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{VERSION}\nfile {}\ncwd {}\n", self.file, self.cwd);
        for (path, fingerprint) in &self.written {
            text.push_str(&format!("{fingerprint} {path}\n"));
        }
        text
    }

    /// Reads its text; `None` if it is none, or of another version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(VERSION) {
            return None;
        }
        let file = lines.next()?.strip_prefix("file ")?.to_owned();
        let cwd = lines.next()?.strip_prefix("cwd ")?.to_owned();
        let written = lines
            .map(|line| {
                let (fingerprint, path) = line.split_once(' ')?;
                Some((path.to_owned(), fingerprint.to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self { file, cwd, written })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let manifest = Manifest {
            file: "/etc/a b.conf".into(),
            cwd: "/".into(),
            written: Written::from([(".available/a b/run".into(), "ff".into())]),
        };
        assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
        assert_eq!(Manifest::parse("svimport 2\n"), None);
        assert_eq!(Manifest::parse(""), None);
    }
}
