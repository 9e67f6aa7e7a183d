//! Options as daemontools and runit read them, letter by letter: **pure**.
//!
//! It is getopt(3) but for two things: an argument that begins with `--` ends the options, whatever
//! follows, and the first argument that is not an option does.

use std::ffi::CString;

use crate::message::Failure;

/// An option, with its value where it takes one.
pub(crate) type Found<'a> = (u8, &'a [u8]);

/// Splits a command line into its options and the rest.
///
/// `known` is getopt's list: letters, and a colon after one that takes a value.
///
/// # Errors
/// An unknown letter, or a value that is missing.
pub(crate) fn split<'a>(
    known: &str,
    arguments: &'a [CString],
) -> Result<(Vec<Found<'a>>, &'a [CString]), Failure> {
    let mut found = Vec::new();
    let mut rest = arguments;
    while let [first, others @ ..] = rest {
        let Some(letters) = first.as_bytes().strip_prefix(b"-") else {
            break;
        };
        match letters {
            [] => break,
            [b'-', ..] => {
                rest = others;
                break;
            }
            letters => rest = read(known, letters, others, &mut found)?,
        }
    }
    Ok((found, rest))
}

/// Reads the letters of one argument; returns the arguments after it and after a value in the next.
fn read<'a>(
    known: &str,
    letters: &'a [u8],
    mut others: &'a [CString],
    found: &mut Vec<Found<'a>>,
) -> Result<&'a [CString], Failure> {
    let mut letters = letters;
    while let [letter, more @ ..] = letters {
        letters = more;
        match takes_value(known, *letter) {
            None => return Err(Failure::IllegalOption(*letter)),
            Some(false) => found.push((*letter, &[])),
            Some(true) => {
                let value = match (more, others) {
                    ([], [value, after @ ..]) => {
                        others = after;
                        value.as_bytes()
                    }
                    ([], []) => return Err(Failure::MissingValue(*letter)),
                    (value, _) => value,
                };
                found.push((*letter, value));
                break;
            }
        }
    }
    Ok(others)
}

/// Whether the letter takes a value; `None` for an unknown one.
fn takes_value(known: &str, letter: u8) -> Option<bool> {
    let mut rest = known.bytes().peekable();
    while let Some(next) = rest.next() {
        let colon = rest.next_if_eq(&b':').is_some();
        if next == letter {
            return Some(colon);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(words: &[&str]) -> Vec<CString> {
        words.iter().map(|it| CString::new(*it).unwrap()).collect()
    }

    /// `a=value b` for what was found, a bar, then the rest.
    fn shown(words: &[&str]) -> Result<String, Failure> {
        let arguments = strings(words);
        let (found, rest) = split("ab:/:0", &arguments)?;
        let mut text = String::new();
        for (letter, value) in found {
            let value = String::from_utf8_lossy(value);
            text.push_str(&format!("{}={value} ", char::from(letter)));
        }
        text.push('|');
        for word in rest {
            text.push_str(&format!(" {}", word.to_string_lossy()));
        }
        Ok(text)
    }

    #[test]
    fn letters_and_values_are_read_as_getopt_reads_them() {
        for (words, expected) in [
            (vec![], "|"),
            (vec!["prog", "-a"], "| prog -a"),
            (vec!["-a", "-0a", "prog"], "a= 0= a= | prog"),
            (vec!["-bvalue", "prog"], "b=value | prog"),
            (vec!["-ab", "-a", "prog"], "a= b=-a | prog"),
            (vec!["-/", "/", "prog"], "/=/ | prog"),
            (vec!["-b", "", "prog"], "b= | prog"),
            (vec!["-a", "--", "-a"], "a= | -a"),
            (vec!["--anything", "-a"], "| -a"),
            (vec!["-a", "-", "-a"], "a= | - -a"),
        ] {
            assert_eq!(shown(&words).as_deref(), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn what_is_unknown_or_missing_is_refused() {
        assert_eq!(shown(&["-az"]), Err(Failure::IllegalOption(b'z')));
        assert_eq!(shown(&["-a:"]), Err(Failure::IllegalOption(b':')));
        assert_eq!(shown(&["-a-"]), Err(Failure::IllegalOption(b'-')));
        assert_eq!(shown(&["-ab"]), Err(Failure::MissingValue(b'b')));
    }

    proptest! {
        #[test]
        fn any_command_line_is_read(words in proptest::collection::vec("[-ab/0:x]{0,4}", 0..6)) {
            let arguments: Vec<CString> = words.iter().map(|it| CString::new(it.as_str()).unwrap()).collect();
            if let Ok((_, rest)) = split("ab:/:0", &arguments) {
                prop_assert!(arguments.ends_with(rest));
            }
        }
    }
}
