//! Which lines go to the log, and which to stderr: the patterns of a `config` file.
//!
//! Pure. A pattern is matched as runit 2.1.2 `pmatch()` matches it, tried against the program itself
//! over every short pattern: without backtracking, anchored at both ends. daemontools' patterns are the
//! same without `+`.

/// One pattern line.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    effect: Effect,
    pattern: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    Log,
    Discard,
    Stderr,
    Quiet,
}

/// Whose patterns they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Dialect {
    /// `+` matches the next character once or more.
    #[default]
    Runit,
    /// `+` is a character like any other.
    Daemontools,
}

/// All patterns of a directory, in their order: the last that matches decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    dialect: Dialect,
}

/// Where a line goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Selected {
    /// To the log directory.
    pub(crate) log: bool,
    /// To stderr, its first characters.
    pub(crate) stderr: bool,
}

impl Rules {
    /// No patterns yet.
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self {
            rules: Vec::new(),
            dialect,
        }
    }

    /// Adds the line that begins with `letter`: `+`, `-`, `e` or `E`.
    pub(crate) fn add(&mut self, letter: u8, pattern: &[u8]) {
        let effect = match letter {
            b'+' => Effect::Log,
            b'-' => Effect::Discard,
            b'e' => Effect::Stderr,
            _ => Effect::Quiet,
        };
        self.rules.push(Rule {
            effect,
            pattern: pattern.to_vec(),
        });
    }

    /// Whether no line can be decided otherwise than by default.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Where a line goes of which these are the first characters.
    pub(crate) fn select(&self, text: &[u8]) -> Selected {
        let mut selected = Selected {
            log: true,
            stderr: false,
        };
        for rule in &self.rules {
            let changes = match rule.effect {
                Effect::Log => !selected.log,
                Effect::Discard => selected.log,
                Effect::Stderr => !selected.stderr,
                Effect::Quiet => selected.stderr,
            };
            if changes && matches(self.dialect, &rule.pattern, text) {
                match rule.effect {
                    Effect::Log | Effect::Discard => selected.log = !selected.log,
                    Effect::Stderr | Effect::Quiet => selected.stderr = !selected.stderr,
                }
            }
        }
        selected
    }
}

/// Whether all of `text` matches `pattern`.
///
/// `*` at the end matches the rest; before a character it skips to the first such character; `+`
/// matches the next character once or more, and there runit takes the end of the text for a match,
/// whatever follows in the pattern. A `+` at the end matches nothing more.
fn matches(dialect: Dialect, mut pattern: &[u8], mut text: &[u8]) -> bool {
    while let Some((&first, rest)) = pattern.split_first() {
        pattern = rest;
        match first {
            b'*' => {
                let Some(&next) = pattern.first() else {
                    return true;
                };
                let Some(at) = memchr::memchr(next, text) else {
                    return false;
                };
                text = text.get(at..).unwrap_or_default();
            }
            b'+' if dialect == Dialect::Runit => {
                let Some((&repeated, rest)) = pattern.split_first() else {
                    return text.is_empty();
                };
                if text.first() != Some(&repeated) {
                    return false;
                }
                let Some(at) = text.iter().position(|byte| *byte != repeated) else {
                    return true;
                };
                pattern = rest;
                text = text.get(at..).unwrap_or_default();
            }
            plain => match text.split_first() {
                Some((&byte, rest)) if byte == plain => text = rest,
                _ => return false,
            },
        }
    }
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(
            matches(Dialect::Runit, pattern.as_bytes(), text.as_bytes()),
            expected,
            "{pattern:?} on {text:?}"
        );
    }

    #[test]
    fn a_star_skips_to_the_first_such_character_and_does_not_come_back() {
        check("*pid*", "pid 3", true);
        check("*pid*", "tcpsvd: info: pid 1977 from 10.4.1.14", false);
        check("*: *: pid *", "tcpsvd: info: pid 1977 from 10.4.1.14", true);
        check("*", "", true);
        check("a*", "ab", true);
        check("*b", "aab", true);
        check("*b", "abb", false);
    }

    #[test]
    fn a_plus_matches_the_next_character_once_or_more() {
        check("+ab", "aaab", true);
        check("+ab", "b", false);
        check("a+", "a", true);
        check("a+", "aa", false);
    }

    #[test]
    fn after_a_plus_the_end_of_the_text_is_a_match_as_in_runit() {
        check("+abc", "aa", true);
        check("+abc", "aab", false);
    }

    #[test]
    fn for_daemontools_a_plus_is_a_character() {
        assert!(matches(Dialect::Daemontools, b"+a*", b"+ab"));
        assert!(!matches(Dialect::Daemontools, b"+a*", b"aab"));
    }

    #[test]
    fn without_wildcards_the_whole_line_must_be_equal() {
        check("", "", true);
        check("ab", "ab", true);
        check("ab", "abc", false);
        check("abc", "ab", false);
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let mut rules = Rules::default();
        for (letter, pattern) in [(b'-', "*"), (b'+', "a*"), (b'e', "*"), (b'E', "b*")] {
            rules.add(letter, pattern.as_bytes());
        }
        let to = |text: &str| {
            let Selected { log, stderr } = rules.select(text.as_bytes());
            (log, stderr)
        };
        assert_eq!(to("abc"), (true, true));
        assert_eq!(to("bcd"), (false, false));
        assert_eq!(to("cde"), (false, true));
    }

    proptest! {
        #[test]
        fn a_star_alone_matches_all(text in proptest::collection::vec(any::<u8>(), 0..50)) {
            prop_assert!(matches(Dialect::Runit, b"*", &text));
        }

        #[test]
        fn a_text_without_wildcards_matches_itself_only(a in "[a-c]{0,4}", b in "[a-c]{0,4}") {
            prop_assert_eq!(matches(Dialect::Runit, a.as_bytes(), b.as_bytes()), a == b);
        }

        #[test]
        fn no_pattern_and_text_hang_or_panic(
            pattern in proptest::collection::vec(any::<u8>(), 0..12),
            text in proptest::collection::vec(any::<u8>(), 0..50),
        ) {
            matches(Dialect::Runit, &pattern, &text);
        }
    }
}
