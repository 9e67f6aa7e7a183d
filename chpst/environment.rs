//! The environment that the program gets, with daemontools' rules for a change: **pure**.
//!
//! Entries that are not changed keep their order and their bytes, also those that are no variables.

use std::ffi::CString;

/// The entries, `NAME=value`, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Environment {
    entries: Vec<Vec<u8>>,
}

impl Environment {
    /// An environment with these entries.
    pub(crate) fn new(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
        }
    }

    /// The value of the first entry of that name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.entries
            .iter()
            .find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
    }

    /// Sets a variable, or removes it where it has no value.
    ///
    /// The first entry of that name goes, the last entry takes its place, and the new one comes last.
    /// A `=` in the name ends it: the rest belongs to the value, and such a variable is always set.
    pub(crate) fn change(&mut self, name: &[u8], value: Option<&[u8]>) {
        let mut entry = name.to_vec();
        if let Some(value) = value {
            entry.push(b'=');
            entry.extend_from_slice(value);
        }
        let equals = entry.iter().position(|byte| *byte == b'=');
        let variable = entry.get(..equals.unwrap_or(entry.len())).unwrap_or(&[]);
        let is_it = |known: &Vec<u8>| {
            known
                .strip_prefix(variable)
                .is_some_and(|rest| rest.starts_with(b"="))
        };
        if let Some(index) = self.entries.iter().position(is_it) {
            self.entries.swap_remove(index);
        }
        if equals.is_some() {
            self.entries.push(entry);
        }
    }

    /// What execve(2) takes. An entry with a NUL would end there, and so it does here.
    pub(crate) fn into_strings(self) -> Vec<CString> {
        self.entries.into_iter().map(until_nul).collect()
    }
}

/// The bytes before the first NUL.
pub(crate) fn until_nul(mut bytes: Vec<u8>) -> CString {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().map(|entry| entry.as_bytes().to_vec()))
    }

    #[track_caller]
    fn check(name: &str, value: Option<&str>, expected: &[&str]) {
        let mut environment = of(&["A=1", "AB=2", "odd", "A=3", "Z=4"]);
        environment.change(name.as_bytes(), value.map(str::as_bytes));
        assert_eq!(environment, of(expected), "{name} {value:?}");
    }

    #[test]
    fn the_last_entry_takes_the_place_of_one_that_goes() {
        check("N", Some("v"), &["A=1", "AB=2", "odd", "A=3", "Z=4", "N=v"]);
        check("A", Some("v"), &["Z=4", "AB=2", "odd", "A=3", "A=v"]);
        check("A", None, &["Z=4", "AB=2", "odd", "A=3"]);
        check("Z", Some(""), &["A=1", "AB=2", "odd", "A=3", "Z="]);
        check("odd", None, &["A=1", "AB=2", "odd", "A=3", "Z=4"]);
    }

    #[test]
    fn an_equals_sign_in_a_name_ends_the_name() {
        check("AB=x", Some("y"), &["A=1", "Z=4", "odd", "A=3", "AB=x=y"]);
        check("AB=x", None, &["A=1", "Z=4", "odd", "A=3", "AB=x"]);
    }

    #[test]
    fn the_first_of_two_values_counts() {
        let environment = of(&["PATHS=/c", "PATH=/a", "PATH=/b"]);
        assert_eq!(environment.get(b"PATH"), Some(b"/a".as_slice()));
        assert_eq!(environment.get(b"PAT"), None);
    }

    proptest! {
        #[test]
        fn a_variable_that_was_set_has_the_value(
            entries in proptest::collection::vec("[A-C]{0,2}=?[a-z]{0,2}", 0..6),
            name in "[A-C]{1,2}",
            value in proptest::option::of("[a-z=]{0,3}"),
        ) {
            let once = |name: &str| entries.iter().filter(|it| it.starts_with(&format!("{name}="))).count() < 2;
            prop_assume!(once(&name));
            let mut environment = Environment::new(entries.iter().map(|it| it.clone().into_bytes()));
            environment.change(name.as_bytes(), value.as_deref().map(str::as_bytes));
            prop_assert_eq!(environment.get(name.as_bytes()), value.as_deref().map(str::as_bytes));
            let strings = environment.clone().into_strings();
            prop_assert_eq!(strings.len(), environment.entries.len());
        }
    }
}
