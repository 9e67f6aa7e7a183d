//! What is to stand in a scan directory: files, links and directories by their paths in it. **Pure.**

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// What stands under a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Node {
    /// A file.
    File {
        text: String,
        /// It is a program.
        executable: bool,
        /// Only its owner may read it.
        secret: bool,
    },
    /// A symbolic link and its target.
    Link(String),
    /// A directory, or whatever else is not a file that could be read.
    Folder,
}

impl Node {
    /// A plain file.
    pub(crate) fn file(text: impl Into<String>) -> Self {
        Self::File {
            text: text.into(),
            executable: false,
            secret: false,
        }
    }

    /// A program.
    pub(crate) fn program(text: impl Into<String>) -> Self {
        Self::File {
            text: text.into(),
            executable: true,
            secret: false,
        }
    }

    /// The mode that it is made with.
    pub(crate) fn mode(&self) -> u32 {
        match self {
            Self::File { secret: true, .. } => 0o600,
            Self::File {
                executable: true, ..
            }
            | Self::Folder => 0o755,
            Self::File { .. } | Self::Link(_) => 0o644,
        }
    }

    /// What a manifest remembers of it: the SHA-256 of its kind and content.
    pub(crate) fn fingerprint(&self) -> String {
        let (kind, content) = match self {
            Self::File {
                text,
                executable: true,
                ..
            } => ("program", text.as_str()),
            Self::File { text, .. } => ("file", text.as_str()),
            Self::Link(target) => ("link", target.as_str()),
            Self::Folder => ("folder", ""),
        };
        let mut hash = Sha256::new();
        hash.update(kind);
        hash.update([0]);
        hash.update(content);
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// Paths in the scan directory, with what stands there.
pub(crate) type Tree = BTreeMap<String, Node>;
