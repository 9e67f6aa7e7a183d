//! Which processes belong to a service: those in its session, and those that descend from it. No I/O:
//! the table of processes is an argument.

use rustix::process::Pid;
use servicedir::process::{Identity, Place};

/// How many generations are looked at; a process of a service is rarely ten away from it.
const GENERATIONS: usize = 256;

/// What is known of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kinship {
    /// It belongs to the service.
    Own,
    /// It does not.
    Foreign,
    /// It is gone: nobody can tell.
    Gone,
}

/// Whether the process of that pid belongs to the service whose processes (its main one, and the one
/// that it was started as) are `roots`. A root that is gone counts for nothing, since its numbers may
/// be another's by now.
pub(crate) fn of(pid: Pid, roots: &[Identity], look: impl Fn(Pid) -> Option<Place>) -> Kinship {
    let roots: Vec<Place> = roots
        .iter()
        .filter_map(|root| look(root.pid).filter(|place| place.identity == *root))
        .collect();
    // A parent that ends while it is looked at leaves its child to another: then once more.
    for _ in 0..3 {
        let Some(place) = look(pid) else {
            return Kinship::Gone;
        };
        let in_session = |root: &Place| root.session.is_some() && root.session == place.session;
        if roots.iter().any(in_session) {
            return Kinship::Own;
        }
        if let Some(descends) = descends(place, &roots, &look) {
            return if descends {
                Kinship::Own
            } else {
                Kinship::Foreign
            };
        }
    }
    Kinship::Foreign
}

/// Whether it descends from a root; `None` if an ancestor went away meanwhile.
fn descends(process: Place, roots: &[Place], look: &impl Fn(Pid) -> Option<Place>) -> Option<bool> {
    let mut at = process;
    for _ in 0..GENERATIONS {
        if roots.iter().any(|root| root.identity == at.identity) {
            return Some(true);
        }
        match at.parent {
            Some(parent) => at = look(parent)?,
            None => return Some(false),
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    fn identity(number: i32) -> Identity {
        Identity {
            pid: pid(number),
            start: 1,
        }
    }

    /// A table of (pid, parent, session).
    fn kinship(of_pid: i32, roots: &[Identity], table: &[(i32, i32, i32)]) -> Kinship {
        of(pid(of_pid), roots, |wanted| {
            let row = table.iter().find(|row| pid(row.0) == wanted)?;
            Some(Place {
                identity: identity(row.0),
                parent: Pid::from_raw(row.1),
                group: None,
                session: Pid::from_raw(row.2),
                zombie: false,
            })
        })
    }

    /// init, svscan, two services (10, 20) with their supervises; 12 left the session of its parent.
    const TABLE: &[(i32, i32, i32)] = &[
        (1, 0, 1),
        (2, 1, 1),
        (9, 2, 1),
        (10, 9, 10),
        (11, 10, 10),
        (12, 11, 12),
        (13, 2, 10),
        (14, 2, 14),
        (19, 2, 1),
        (20, 19, 20),
        (21, 20, 20),
    ];

    #[test]
    fn the_session_and_the_descendants_belong_to_a_service() {
        for own in [10, 11, 12, 13] {
            assert_eq!(kinship(own, &[identity(10)], TABLE), Kinship::Own, "{own}");
        }
        for foreign in [1, 2, 9, 14, 19, 20, 21] {
            assert_eq!(
                kinship(foreign, &[identity(10)], TABLE),
                Kinship::Foreign,
                "{foreign}"
            );
        }
        assert_eq!(kinship(99, &[identity(10)], TABLE), Kinship::Gone);
    }

    #[test]
    fn a_main_process_in_a_session_of_its_own_is_a_second_root() {
        let roots = [identity(14), identity(10)];
        assert_eq!(kinship(14, &roots, TABLE), Kinship::Own);
        assert_eq!(kinship(11, &roots, TABLE), Kinship::Own);
        assert_eq!(kinship(21, &roots, TABLE), Kinship::Foreign);
    }

    #[test]
    fn a_reused_pid_is_no_root() {
        let before = Identity {
            start: 7,
            ..identity(10)
        };
        assert_eq!(kinship(11, &[before], TABLE), Kinship::Foreign);
    }

    #[test]
    fn processes_of_another_pid_namespace_share_no_session() {
        let table = [(10, 0, 0), (30, 0, 0)];
        assert_eq!(kinship(30, &[identity(10)], &table), Kinship::Foreign);
    }

    #[test]
    fn a_circle_of_parents_has_an_end() {
        let table = [(10, 9, 10), (30, 31, 30), (31, 30, 30)];
        assert_eq!(kinship(30, &[identity(10)], &table), Kinship::Foreign);
    }

    #[test]
    fn a_lost_ancestor_is_no_kinship() {
        assert_eq!(
            kinship(30, &[identity(10)], &[(10, 9, 10), (30, 29, 30)]),
            Kinship::Foreign
        );
    }
}
