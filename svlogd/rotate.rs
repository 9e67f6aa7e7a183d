//! Rotation: the steps from a full `current` to an empty one, and the names of old files.
//!
//! Pure. A step that fails is tried again later; meanwhile lines go on into the file that is open.
//! Killed between any two steps, a directory is in a state that the next start knows:
//!
//! | done | what the next start finds | what it does |
//! |---|---|---|
//! | nothing | `current`, not marked | renames it to `@….u` |
//! | `Rename` | `@….u`, no `current` | makes one |
//! | `Open` | `@….u`, not marked | leaves it: perhaps it is not whole |
//! | `Seal` | `@….u`, marked | renames it to `@….s` |
//! | `Trim` | perhaps a file too many | deletes it |
//!
//! With a processor every `@….u` is fed to it.

use std::path::{Path, PathBuf};

use servicedir::tai64n::Tai64n;

/// Old files have labels of 1970 to 2514, in Unix seconds. A stray file with a later one is not
/// svlogd's: counted as the newest, it would give all later files labels of a time that never comes,
/// and one at the end of the range could not be followed at all.
const LAST_SECOND: u64 = 1 << 34;
/// Within those, a label beyond 2242 is not taken for the newest.
const LAST_NEWEST: u64 = 1 << 33;

fn is_plausible(label: Tai64n) -> bool {
    let [a, b, c, d, e, f, g, h, ..] = label.0;
    let seconds = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    seconds >= 1 << 62 && label.unix_seconds() < LAST_SECOND && label.nanos() < 1_000_000_000
}

/// One step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Give `current` the name of an old file that is not on the disk yet.
    Rename,
    /// Make a new `current`.
    Open,
    /// Begin to bring the old file to the disk.
    Seal,
    /// Delete what is too old or too much.
    Trim,
}

impl Step {
    /// Where a rotation begins.
    pub(crate) const FIRST: Self = Self::Rename;

    /// The step after this one.
    pub(crate) fn next(self) -> Option<Self> {
        match self {
            Self::Rename => Some(Self::Open),
            Self::Open => Some(Self::Seal),
            Self::Seal => Some(Self::Trim),
            Self::Trim => None,
        }
    }
}

/// What the last letter of an old file's name says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// `s`: finished, and processed if there is a processor.
    Saved,
    /// `u`: unfinished at a crash, or not processed yet.
    Unprocessed,
    /// `t`: what a processor has written so far.
    Processing,
}

/// An old file's name: `@`, 24 hexadecimal digits, a dot and a letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct OldName {
    /// When it was rotated.
    pub(crate) label: Tai64n,
    /// What it is.
    pub(crate) kind: Kind,
}

impl OldName {
    /// The file of that time and kind.
    pub(crate) fn new(label: Tai64n, kind: Kind) -> Self {
        Self { label, kind }
    }

    /// Reads a name; `None` for a file that is none of svlogd's.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let (label, suffix) = name.split_at_checked(25)?;
        let kind = match suffix {
            b".s" => Kind::Saved,
            b".u" => Kind::Unprocessed,
            b".t" => Kind::Processing,
            _ => return None,
        };
        let label = Tai64n::from_hex(label).filter(|label| is_plausible(*label))?;
        let parsed = Self::new(label, kind);
        // svlogd writes lower-case digits; it could not find another name again by its label.
        (parsed.text().as_bytes() == name).then_some(parsed)
    }

    /// The file's path in this directory.
    pub(crate) fn at(self, dir: &Path) -> PathBuf {
        dir.join(self.text())
    }

    /// The name as text.
    pub(crate) fn text(self) -> String {
        let letter = match self.kind {
            Kind::Saved => 's',
            Kind::Unprocessed => 'u',
            Kind::Processing => 't',
        };
        format!("{}.{letter}", self.label)
    }
}

/// A label for a new file: the time now, but later than every file that is there, so that the order
/// of names is the order of writing even when the clock was set back.
pub(crate) fn label_after(newest: Tai64n, now: Tai64n) -> Tai64n {
    if now > newest || newest.unix_seconds() >= LAST_NEWEST {
        return now;
    }
    match newest.nanos() {
        nanos @ ..999_999_999 => Tai64n::from_unix(newest.unix_seconds(), nanos + 1),
        _ => Tai64n::from_unix(newest.unix_seconds().saturating_add(1), 0),
    }
}

/// An old file and its size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OldFile {
    /// Its name.
    pub(crate) name: OldName,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// How much may stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    /// `n`: the number of old files; `None` = no limit.
    pub(crate) files: Option<u64>,
    /// What old files may hold together, in bytes; `None` = no limit.
    pub(crate) bytes: Option<u64>,
}

/// Which of `files`, the oldest first, are to go.
///
/// For their number one at a time, as runit does: a smaller `n` does not empty a directory at once.
/// For their size as many as it takes.
pub(crate) fn surplus(files: &[OldFile], quota: Quota) -> &[OldFile] {
    let count = u64::try_from(files.len()).unwrap_or(u64::MAX);
    let by_number = usize::from(quota.files.is_some_and(|limit| count > limit));
    let mut by_size = 0;
    if let Some(limit) = quota.bytes {
        let mut sum: u64 = files.iter().map(|file| file.size).sum();
        for file in files {
            if sum <= limit {
                break;
            }
            sum -= file.size;
            by_size += 1;
        }
    }
    files.get(..by_number.max(by_size)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(second: u64, size: u64) -> OldFile {
        OldFile {
            name: OldName::new(Tai64n::from_unix(second, 0), Kind::Saved),
            size,
        }
    }

    #[test]
    fn every_step_is_reached_and_the_last_is_trim() {
        let steps: Vec<Step> =
            std::iter::successors(Some(Step::FIRST), |step| step.next()).collect();
        assert_eq!(steps, [Step::Rename, Step::Open, Step::Seal, Step::Trim]);
    }

    #[test]
    fn a_name_is_27_characters_and_nothing_else_is_one() {
        let name = OldName::new(Tai64n::from_unix(1, 0), Kind::Unprocessed);
        assert_eq!(name.text(), "@400000000000000b00000000.u");
        assert_eq!(OldName::parse(name.text().as_bytes()), Some(name));
        for other in [
            "current",
            "@.s",
            "@400000000000000b00000000.x",
            "@400000000000000b00000000.s~",
            "@ffffffffffffffffffffffff.s",
            "@7fffffffffffffff3b9ac9ff.s",
            "@00000000000000000000000b.s",
            "@400000000000000bffffffff.s",
        ] {
            assert_eq!(OldName::parse(other.as_bytes()), None);
        }
    }

    #[test]
    fn one_file_too_many_goes_and_not_all_at_once() {
        let files = [file(1, 5), file(2, 5), file(3, 5)];
        let gone = |files: &[OldFile], number, bytes| {
            surplus(
                files,
                Quota {
                    files: number,
                    bytes,
                },
            )
            .len()
        };
        assert_eq!(gone(&files, Some(3), None), 0);
        assert_eq!(gone(&files, Some(2), None), 1);
        assert_eq!(gone(&files, Some(1), None), 1);
        assert_eq!(gone(&files, None, None), 0);
        assert_eq!(gone(&files, None, Some(15)), 0);
        assert_eq!(gone(&files, None, Some(14)), 1);
        assert_eq!(gone(&files, None, Some(0)), 3);
    }

    #[test]
    fn a_clock_set_back_does_not_turn_the_order_round() {
        let newest = Tai64n::from_unix(100, 999_999_999);
        let label = label_after(newest, Tai64n::from_unix(50, 0));
        assert_eq!(label, Tai64n::from_unix(101, 0));
        assert_eq!(
            label_after(newest, Tai64n::from_unix(200, 1)),
            Tai64n::from_unix(200, 1)
        );
    }

    proptest! {
        #[test]
        fn a_new_label_is_later_than_all(a in 0_u64..1000, b in 0_u32..1_000_000_000, now in 0_u64..1000) {
            let newest = Tai64n::from_unix(a, b);
            prop_assert!(label_after(newest, Tai64n::from_unix(now, 0)) > newest);
        }

        #[test]
        fn any_name_can_be_read(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(read) = OldName::parse(&name) {
                prop_assert_eq!(read.text().into_bytes(), name);
            }
        }
    }
}
