//! The processes that descend from this one, as /proc shows them. To a child subreaper that is all
//! that came from what it started: what is orphaned becomes its own child.

use std::fs;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

use crate::pidfd;
use crate::process::{Identity, Place};
use crate::signal::Signal;

/// How often a table with a gap in it is read again: a parent that ended while /proc was read hides
/// what was below it, until that has a new parent.
const READINGS: usize = 16;

/// One process that descends from this one and has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kin {
    /// The process.
    pub pid: Pid,
    /// When it started, as in [`Identity`]: of the same look as its parent.
    pub start: u64,
    /// Its parent: this process, or another of its kin.
    pub parent: Pid,
}

impl Kin {
    /// Sends it a signal. A process that got its pid meanwhile is not hit.
    ///
    /// # Errors
    /// As pidfd_send_signal(2); `ESRCH` where it has ended.
    pub fn send(&self, signal: Signal) -> rustix::io::Result<()> {
        let identity = Identity {
            pid: self.pid,
            start: self.start,
        };
        pidfd::send(identity.open()?, signal, false)
    }
}

/// All that descends from this process, parents before their children, without the processes in
/// `except` and what descends from those.
///
/// # Errors
/// /proc cannot be read: it is not mounted, or no descriptor is left.
pub fn descendants(except: &[Pid]) -> io::Result<Vec<Kin>> {
    let own = rustix::process::getpid();
    let mut table = read_table()?;
    for _ in 1..READINGS {
        if !has_gap(&table) {
            break;
        }
        table = read_table()?;
    }
    Ok(below(own, &table, except))
}

/// Kills all that descends from this process, but for `except`, and returns when nothing is left.
///
/// A process that is forked while the table is read is found after its parent's end: whatever lives
/// below us has, on the way up, a child of ours that was killed, and whose end wakes us.
pub fn kill_all(except: &[Pid]) {
    loop {
        let left = descendants(except).unwrap_or_default();
        if left.is_empty() && !except.is_empty() {
            return;
        }
        for kin in left {
            kin.send(Signal::KILL).ok();
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// A descriptor of the process of that pid, if it lives and descends from this one.
///
/// # Errors
/// /proc cannot be read.
pub fn open_own(pid: Pid, except: &[Pid]) -> io::Result<Own> {
    let identity = Identity::of(pid);
    let Ok(descriptor) = identity.open() else {
        return Ok(Own::Gone);
    };
    let is_own = descendants(except)?
        .iter()
        .any(|kin| kin.pid == pid && kin.start == identity.start);
    if is_own {
        return Ok(Own::Is(identity, descriptor));
    }
    // It may have ended while /proc was read.
    let lives = identity.open().is_ok() && !has_ended(&descriptor);
    Ok(if lives { Own::Foreign } else { Own::Gone })
}

/// Whether the process of the descriptor has ended: a pidfd polls readable then.
#[must_use]
pub fn has_ended(descriptor: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whose a pid is.
#[derive(Debug)]
pub enum Own {
    /// A descendant's.
    Is(Identity, OwnedFd),
    /// A living process's that does not descend from this one.
    Foreign,
    /// Nobody's: it has ended.
    Gone,
}

/// Every process as /proc shows it now, by pid.
fn read_table() -> io::Result<Vec<Place>> {
    let mut table = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        // One that ended since the directory was read is no loss.
        table.extend(pid.and_then(Pid::from_raw).and_then(Place::of));
    }
    table.sort_unstable_by_key(number);
    Ok(table)
}

fn number(place: &Place) -> NonZeroI32 {
    place.identity.pid.as_raw_nonzero()
}

/// Whether the table names a parent that is not in it. Without one it is the kernel's child, or that of
/// a process outside of this pid namespace.
fn has_gap(table: &[Place]) -> bool {
    // A zombie has no children: it ended while the table was read.
    let is_there = |pid: Pid| {
        let at = table.binary_search_by_key(&pid.as_raw_nonzero(), number);
        at.ok()
            .and_then(|at| table.get(at))
            .is_some_and(|place| !place.zombie)
    };
    table
        .iter()
        .filter_map(|place| place.parent)
        .any(|parent| !is_there(parent))
}

fn below(own: Pid, table: &[Place], except: &[Pid]) -> Vec<Kin> {
    let mut kin = Vec::new();
    let mut parents = vec![own];
    while let Some(parent) = parents.first().copied() {
        parents.remove(0);
        for place in table.iter().filter(|place| place.parent == Some(parent)) {
            let Identity { pid, start } = place.identity;
            // A zombie has no children, and a table read during a change no end: each pid once.
            if place.zombie || except.contains(&pid) || kin.iter().any(|k: &Kin| k.pid == pid) {
                continue;
            }
            kin.push(Kin { pid, start, parent });
            parents.push(pid);
        }
    }
    kin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pid: i32) -> Pid {
        Pid::from_raw(pid).unwrap()
    }

    fn entry(pid: i32, parent: i32) -> Place {
        Place {
            identity: Identity {
                pid: own(pid),
                start: 0,
            },
            parent: Pid::from_raw(parent),
            group: None,
            session: None,
            zombie: false,
        }
    }

    fn pids(kin: &[Kin]) -> Vec<i32> {
        kin.iter()
            .map(|kin| kin.pid.as_raw_nonzero().get())
            .collect()
    }

    #[test]
    fn what_descends_is_found_at_any_depth_parents_first() {
        let table = [
            entry(1, 0),
            entry(5, 9),
            entry(7, 1),
            entry(9, 7),
            entry(8, 1),
            entry(6, 7),
        ];
        assert_eq!(pids(&below(own(7), &table, &[])), [9, 6, 5]);
        assert_eq!(pids(&below(own(8), &table, &[])), Vec::<i32>::new());
    }

    #[test]
    fn zombies_and_the_excepted_do_not_count() {
        let mut zombie = entry(10, 7);
        zombie.zombie = true;
        let table = [entry(7, 1), zombie, entry(11, 7), entry(12, 11)];
        assert_eq!(
            pids(&below(own(7), &table, &[Pid::from_raw(11).unwrap()])),
            []
        );
        assert_eq!(pids(&below(own(7), &table, &[])), [11, 12]);
    }

    #[test]
    fn a_table_that_turns_in_a_circle_has_an_end() {
        let table = [entry(7, 9), entry(8, 7), entry(9, 8)];
        assert_eq!(pids(&below(own(7), &table, &[])), [8, 9, 7]);
    }

    #[test]
    fn a_parent_that_is_missing_is_a_gap() {
        assert!(!has_gap(&[entry(1, 0), entry(2, 0), entry(3, 2)]));
        assert!(has_gap(&[entry(1, 0), entry(3, 2)]));
        let mut zombie = entry(2, 1);
        zombie.zombie = true;
        assert!(has_gap(&[entry(1, 0), zombie, entry(3, 2)]));
    }

    #[test]
    fn our_own_child_is_ours_and_our_parent_is_not() {
        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        assert!(matches!(open_own(pid, &[]).unwrap(), Own::Is(..)));
        assert!(matches!(open_own(pid, &[pid]).unwrap(), Own::Foreign));
        let parent = rustix::process::getppid().unwrap_or(Pid::INIT);
        assert!(matches!(open_own(parent, &[]).unwrap(), Own::Foreign));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(open_own(pid, &[]).unwrap(), Own::Gone));
    }
}
