//! What an import changes: the files that are wanted, those that were written before, and those that are
//! there, compared. **Pure.**

use std::collections::BTreeMap;

use servicedir::supervisor::catalog::AVAILABLE;

use crate::tree::{Node, Tree};

/// The fingerprints of what an import has written, by path.
pub(crate) type Written = BTreeMap<String, String>;

/// What is to be done with one path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// There is nothing yet.
    Add(String),
    /// What is there is what an import wrote, and differs.
    Change(String),
    /// What is there is what an import wrote, and is not wanted any more.
    Remove(String),
    /// What is there was changed by hand, and stays.
    Keep { path: String, why: Kept },
}

/// Why something stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// It was changed since it was written.
    Changed,
    /// It was removed since it was written.
    Removed,
    /// It was there before.
    Foreign,
}

/// What an import is to do, and what its manifest will say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) written: Written,
}

/// Compares. `live`: a svscan keeps the directory, so that a new link would start a service, and a service whose
/// files go must still be found to be stopped.
pub(crate) fn plan(wanted: &Tree, before: &Written, found: &Tree, live: bool) -> Plan {
    let mut plan = Plan::default();
    for (path, node) in wanted {
        plan.want(path, node, before, found, live);
    }
    for (path, fingerprint) in before {
        if !wanted.contains_key(path) {
            plan.unwant(path, fingerprint, found, live);
        }
    }
    plan
}

impl Plan {
    fn want(&mut self, path: &str, node: &Node, before: &Written, found: &Tree, live: bool) {
        let fingerprint = node.fingerprint();
        let known = before.get(path);
        let link = is_link(path);
        match found.get(path) {
            Some(there) if there.fingerprint() == fingerprint => {
                self.written.insert(path.to_owned(), fingerprint);
            }
            Some(there) if known.is_some_and(|known| *known == there.fingerprint()) => {
                self.steps.push(Step::Change(path.to_owned()));
                self.written.insert(path.to_owned(), fingerprint);
            }
            Some(_) => {
                let why = if known.is_some() {
                    Kept::Changed
                } else {
                    Kept::Foreign
                };
                self.keep(path, why, known);
            }
            // svctl puts services in and out of use.
            None if link && (live || known.is_some()) => {
                self.written
                    .extend(known.map(|known| (path.to_owned(), known.clone())));
            }
            None if known.is_some() => self.keep(path, Kept::Removed, known),
            None => {
                self.steps.push(Step::Add(path.to_owned()));
                self.written.insert(path.to_owned(), fingerprint);
            }
        }
    }

    fn unwant(&mut self, path: &str, fingerprint: &str, found: &Tree, live: bool) {
        let in_use = live && service_of(path).is_some_and(|service| found.contains_key(service));
        match found.get(path) {
            None => {}
            // Without `run` it is gone for svctl, which stops it, and then removes the link.
            Some(_) if in_use && !path.ends_with("/run") => {
                self.written.insert(path.to_owned(), fingerprint.to_owned());
            }
            Some(there) if there.fingerprint() == fingerprint => {
                self.steps.push(Step::Remove(path.to_owned()));
            }
            Some(_) => {
                let fingerprint = fingerprint.to_owned();
                self.keep(path, Kept::Changed, Some(&fingerprint));
            }
        }
    }

    fn keep(&mut self, path: &str, why: Kept, known: Option<&String>) {
        self.steps.push(Step::Keep {
            path: path.to_owned(),
            why,
        });
        self.written
            .extend(known.map(|known| (path.to_owned(), known.clone())));
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps
            .iter()
            .all(|step| matches!(step, Step::Keep { .. }))
    }
}

/// Whether a path is that of a link in the scan directory.
pub(crate) fn is_link(path: &str) -> bool {
    !path.contains('/')
}

/// The service that a path belongs to: its name in the scan directory.
pub(crate) fn service_of(path: &str) -> Option<&str> {
    match path.strip_prefix(AVAILABLE) {
        Some(rest) => rest.trim_start_matches('/').split('/').next(),
        None => Some(path),
    }
}

/// The plan for people: a line a service that comes or goes, a line a file that changes with its old and new
/// text.
pub(crate) fn show(plan: &Plan, wanted: &Tree, found: &Tree) -> String {
    let mut out = String::new();
    let shown = |path: &str| {
        path.trim_start_matches(AVAILABLE)
            .trim_start_matches('/')
            .to_owned()
    };
    for step in &plan.steps {
        match step {
            Step::Add(path) if path.ends_with("/run") && is_main_run(path) => {
                let service = service_of(path).unwrap_or_default();
                add_line(&mut out, format_args!("new {service}"));
                lines(&mut out, "    ", wanted.get(path));
            }
            // The other files of a new service go without saying.
            Step::Add(path) if adds_service(plan, path) => {}
            Step::Add(path) => {
                add_line(&mut out, format_args!("add {}", shown(path)));
                lines(&mut out, "  + ", wanted.get(path));
            }
            Step::Change(path) => {
                add_line(&mut out, format_args!("change {}", shown(path)));
                difference(&mut out, found.get(path), wanted.get(path));
            }
            Step::Remove(path) => {
                add_line(&mut out, format_args!("remove {}", shown(path)));
            }
            Step::Keep { path, why } => {
                let why = match why {
                    Kept::Changed => "changed by hand",
                    Kept::Removed => "removed by hand",
                    Kept::Foreign => "not written by svimport",
                };
                add_line(&mut out, format_args!("keep {}: {why}", shown(path)));
                difference(&mut out, found.get(path), wanted.get(path));
            }
        }
    }
    out
}

fn add_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    out.push_str(&format!("{line}\n"));
}

fn is_main_run(path: &str) -> bool {
    path.split('/').count() == 3
}

fn adds_service(plan: &Plan, path: &str) -> bool {
    let service = service_of(path).unwrap_or_default();
    let run = format!("{AVAILABLE}/{service}/run");
    plan.steps.contains(&Step::Add(run))
}

fn lines(out: &mut String, before: &str, node: Option<&Node>) {
    match node {
        Some(Node::File { secret: true, .. }) => {
            add_line(out, format_args!("{before}(not shown)"));
        }
        Some(Node::File { text, .. }) => {
            for line in text.lines() {
                add_line(out, format_args!("{before}{line}"));
            }
        }
        Some(Node::Link(target)) => {
            add_line(out, format_args!("{before}-> {target}"));
        }
        Some(Node::Folder) | None => {}
    }
}

/// The lines that only one of two files has.
fn difference(out: &mut String, old: Option<&Node>, new: Option<&Node>) {
    let (Some(old @ Node::File { text: a, .. }), Some(new @ Node::File { text: b, .. })) =
        (old, new)
    else {
        lines(out, "  - ", old);
        lines(out, "  + ", new);
        return;
    };
    let secret = matches!(old, Node::File { secret: true, .. })
        || matches!(new, Node::File { secret: true, .. });
    if secret {
        return lines(out, "  + ", Some(new));
    }
    for line in a
        .lines()
        .filter(|line| !b.lines().any(|other| other == *line))
    {
        add_line(out, format_args!("  - {line}"));
    }
    for line in b
        .lines()
        .filter(|line| !a.lines().any(|other| other == *line))
    {
        add_line(out, format_args!("  + {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let node = |path: &str, text: &str| {
            if is_link(path) {
                Node::Link(text.to_owned())
            } else {
                Node::file(text)
            }
        };
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), node(path, text)))
            .collect()
    }

    fn written(tree: &Tree) -> Written {
        tree.iter()
            .map(|(path, node)| (path.clone(), node.fingerprint()))
            .collect()
    }

    const RUN: &str = ".available/web/run";
    const USER: &str = ".available/web/options/user";

    #[test]
    fn a_second_run_does_nothing() {
        let wanted = tree(&[(RUN, "a"), (USER, "b"), ("web", ".available/web")]);
        let first = plan(&wanted, &Written::new(), &Tree::new(), false);
        assert_eq!(first.steps.len(), 3);
        assert_eq!(first.written, written(&wanted));
        let second = plan(&wanted, &first.written, &wanted, false);
        assert_eq!(second.steps, []);
        assert_eq!(second.written, first.written);
    }

    #[test]
    fn what_was_changed_by_hand_stays() {
        let old = tree(&[(RUN, "a"), (USER, "b")]);
        let wanted = tree(&[(RUN, "new"), (USER, "new")]);
        let found = tree(&[(RUN, "a"), (USER, "mine")]);
        let plan = plan(&wanted, &written(&old), &found, false);
        let kept = Step::Keep {
            path: USER.into(),
            why: Kept::Changed,
        };
        assert_eq!(plan.steps, [kept, Step::Change(RUN.into())]);
        // The next run still knows that it is not its own.
        assert_eq!(plan.written.get(USER), written(&old).get(USER));
    }

    #[test]
    fn what_was_removed_by_hand_is_not_made_again() {
        let wanted = tree(&[(USER, "b")]);
        let plan = plan(&wanted, &written(&wanted), &Tree::new(), false);
        assert_eq!(
            plan.steps,
            [Step::Keep {
                path: USER.into(),
                why: Kept::Removed
            }]
        );
    }

    #[test]
    fn what_was_there_before_is_not_taken_over() {
        let wanted = tree(&[(RUN, "a")]);
        let plan = plan(&wanted, &Written::new(), &tree(&[(RUN, "mine")]), false);
        assert_eq!(
            plan.steps,
            [Step::Keep {
                path: RUN.into(),
                why: Kept::Foreign
            }]
        );
        assert_eq!(plan.written, Written::new());
    }

    #[test]
    fn a_live_directory_is_left_to_svctl() {
        let wanted = tree(&[(RUN, "a"), ("web", ".available/web")]);
        let added = plan(&wanted, &Written::new(), &Tree::new(), true);
        assert_eq!(added.steps, [Step::Add(RUN.into())]);
        let before = written(&wanted);
        let gone = plan(&Tree::new(), &before, &wanted, true);
        assert_eq!(gone.steps, [Step::Remove(RUN.into())]);
        assert!(gone.written.contains_key("web"));
    }

    #[test]
    fn a_directory_that_nobody_scans_is_cleared_at_once() {
        let old = tree(&[(RUN, "a"), (USER, "b"), ("web", ".available/web")]);
        let gone = plan(&Tree::new(), &written(&old), &old, false);
        assert_eq!(gone.steps.len(), 3);
        assert_eq!(gone.written, Written::new());
    }
}
