//! Namespecs: `group:process`, `group:*`, or a name alone.

/// A namespec, taken apart at its first colon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Namespec<'a> {
    /// The group.
    pub group: &'a str,
    /// The process; `None` for all of the group (`group:*` or `group:`).
    pub process: Option<&'a str>,
}

/// Takes a namespec apart. A name without a colon is the process of that name in the group of that name.
#[must_use]
pub fn split(text: &str) -> Namespec<'_> {
    match text.split_once(':') {
        None => Namespec {
            group: text,
            process: Some(text),
        },
        Some((group, process)) => Namespec {
            group,
            process: Some(process).filter(|process| !process.is_empty() && *process != "*"),
        },
    }
}

/// The namespec that is shown: the name alone where group and process have the same.
#[must_use]
pub fn join(group: &str, process: &str) -> String {
    if group == process {
        process.to_owned()
    } else {
        format!("{group}:{process}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_its_own_group() {
        let both = |group, process| Namespec { group, process };
        assert_eq!(split("web"), both("web", Some("web")));
        assert_eq!(split("web:one"), both("web", Some("one")));
        assert_eq!(split("web:*"), both("web", None));
        assert_eq!(split("web:"), both("web", None));
        assert_eq!(split("a:b:c"), both("a", Some("b:c")));
        assert_eq!(split(":"), both("", None));
    }

    #[test]
    fn a_group_is_shown_only_where_it_differs() {
        assert_eq!(join("web", "web"), "web");
        assert_eq!(join("web", "one"), "web:one");
    }
}
