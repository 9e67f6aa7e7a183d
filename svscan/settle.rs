//! Whether a directory that is made in place is finished.
//!
//! tar and cp make a directory first and its files one after another. A service that was started in
//! between would run without its user, its log or its `down`. So a new directory is taken for a
//! service once nothing in it has changed for [`QUIET`].

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, openat, statat};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

/// How long nothing in a directory may change before it is taken to be finished. Longer than the
/// pauses of a copying program on a busy machine, and short for a person who waits.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// How long a directory may go on changing before that is reported.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// How deep is looked for changes: `log/options/env` is three directories down.
const DEPTH: u32 = 4;

/// How many entries are looked at: a service directory has a few dozen, and a program's data that is
/// kept below it does not decide.
const ENTRIES: u32 = 4096;

/// A directory that has changed a moment ago.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settling {
    state: Print,
    /// When it was first seen.
    pub(crate) first: Instant,
    /// Since when `state` is the same.
    since: Instant,
    /// When to look again.
    pub(crate) again: Instant,
}

/// What any change in a directory changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Print {
    /// The latest change of an inode, in nanoseconds since 1970.
    changed: i128,
    entries: u32,
}

/// Looks whether the directory at `path` is finished; `Some`: not yet. `before` is what the last look
/// found.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn look(
    path: &Path,
    before: Option<Settling>,
    now: Instant,
) -> Result<Option<Settling>, Errno> {
    let mut print = Print::default();
    print.add(&statat(CWD, path, AtFlags::empty())?);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    walk(
        &Dir::new(openat(CWD, path, flags, Mode::empty())?)?,
        DEPTH,
        &mut print,
    )?;
    Ok(judge(print, before, wall_clock(), now))
}

fn judge(print: Print, before: Option<Settling>, wall: i128, now: Instant) -> Option<Settling> {
    let quiet = i128::try_from(QUIET.as_nanos()).unwrap_or_default();
    let age = wall - print.changed;
    if age >= quiet {
        return None;
    }
    let (first, since) = match before {
        Some(before) if before.state == print => (before.first, before.since),
        Some(before) => (before.first, now),
        None => (now, now),
    };
    // The file system's clock may be ahead of ours: then the time without a change is measured here.
    if now.duration_since(since) >= QUIET {
        return None;
    }
    let left = u64::try_from(quiet - age).map_or(QUIET, Duration::from_nanos);
    Some(Settling {
        state: print,
        first,
        since,
        again: now + left.min(QUIET),
    })
}

/// Nanoseconds since 1970, as the kernel stamps inodes with them.
fn wall_clock() -> i128 {
    let now = clock_gettime(ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

fn walk(folder: &Dir, depth: u32, print: &mut Print) -> Result<(), Errno> {
    let at = folder.fd()?;
    for entry in Dir::read_from(at)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        if print.entries >= ENTRIES {
            return Ok(());
        }
        let stat = match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // It is being moved: its directory has changed, too.
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(errno),
        };
        print.add(&stat);
        let is_folder = FileType::from_raw_mode(stat.st_mode).is_dir();
        // A state directory is not copied, and changes as long as the service runs.
        if is_folder && depth > 0 && !name.to_bytes().starts_with(b"supervise") {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(at, name, flags, Mode::empty()) {
                Ok(inner) => walk(&Dir::new(inner)?, depth - 1, print)?,
                Err(Errno::NOENT | Errno::ACCESS) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}

impl Print {
    fn add(&mut self, stat: &Stat) {
        self.entries += 1;
        let nanoseconds =
            i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        self.changed = self.changed.max(nanoseconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i128 = 1_000_000;

    fn print(changed: i128) -> Print {
        Print {
            changed,
            entries: 3,
        }
    }

    #[test]
    fn a_directory_is_finished_half_a_second_after_its_last_change() {
        let now = Instant::now();
        assert_eq!(judge(print(0), None, 500 * MS, now), None);
        let first = judge(print(0), None, 499 * MS, now).unwrap();
        assert_eq!(first.again, now + Duration::from_millis(1));
        // It changes meanwhile.
        let later = now + Duration::from_millis(400);
        let second = judge(print(800 * MS), Some(first), 899 * MS, later).unwrap();
        assert_eq!((second.first, second.since), (now, later));
        assert_eq!(judge(print(800 * MS), Some(second), 1300 * MS, later), None);
    }

    #[test]
    fn the_clock_of_the_file_system_may_be_ahead() {
        let now = Instant::now();
        let first = judge(print(9000 * MS), None, 0, now).unwrap();
        assert_eq!(first.again, now + QUIET);
        assert_eq!(
            judge(print(9000 * MS), Some(first), 500 * MS, now + QUIET),
            None
        );
    }

    #[test]
    fn a_change_deep_below_is_a_change() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("log/options/env");
        std::fs::create_dir_all(&deep).unwrap();
        let mut before = Print::default();
        let walk_all = |print: &mut Print| {
            walk(
                &Dir::new(
                    rustix::fs::open(scratch.path(), OFlags::DIRECTORY, Mode::empty()).unwrap(),
                )
                .unwrap(),
                DEPTH,
                print,
            )
            .unwrap();
        };
        walk_all(&mut before);
        std::fs::write(deep.join("LANG"), "C").unwrap();
        let mut after = Print::default();
        walk_all(&mut after);
        assert_eq!(after.entries, before.entries + 1);
        assert!(
            look(scratch.path(), None, Instant::now())
                .unwrap()
                .is_some()
        );
    }
}
