//! The names that the program is installed under.

/// Which program this is: its base name decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Name {
    /// runit's, under any name that is not one of the others.
    Chpst,
    /// daemontools' six.
    Setuidgid,
    Envuidgid,
    Envdir,
    Softlimit,
    Setlock,
    Pgrphack,
}

impl Name {
    /// Every name, with its word.
    pub(crate) const ALL: [(&'static str, Self); 7] = [
        ("chpst", Self::Chpst),
        ("setuidgid", Self::Setuidgid),
        ("envuidgid", Self::Envuidgid),
        ("envdir", Self::Envdir),
        ("softlimit", Self::Softlimit),
        ("setlock", Self::Setlock),
        ("pgrphack", Self::Pgrphack),
    ];

    /// The program of that base name.
    pub(crate) fn of(base: &[u8]) -> Self {
        Self::ALL
            .iter()
            .find(|(word, _)| word.as_bytes() == base)
            .map_or(Self::Chpst, |(_, name)| *name)
    }

    /// The name as it is installed.
    pub(crate) fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == self)
            .map_or("chpst", |(word, _)| word)
    }
}
