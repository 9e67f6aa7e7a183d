//! Text cut into words as Python's shlex cuts it: `command=` by its POSIX rules, `environment=` by the older
//! ones. **Pure.**

use std::fmt;

/// Why a text cannot be cut, in shlex' words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Uncut {
    /// A quote is not closed.
    Quote,
    /// Nothing follows a backslash.
    Escape,
}

impl fmt::Display for Uncut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Quote => "a quote that is not closed",
            Self::Escape => "a backslash at the end",
        })
    }
}

/// The words of a command: blanks part them, quotes and backslashes are as in a shell, nothing is
/// expanded.
pub(crate) fn split_command(text: &str) -> Result<Vec<String>, Uncut> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or(Uncut::Quote)? {
                        '\'' => break,
                        inside => word.push(inside),
                    }
                }
            }
            '"' => double_quoted(&mut letters, word.get_or_insert_default())?,
            '\\' => word
                .get_or_insert_default()
                .push(letters.next().ok_or(Uncut::Escape)?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Between double quotes a backslash counts before a quote and before itself only.
fn double_quoted(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Uncut> {
    loop {
        match letters.next().ok_or(Uncut::Quote)? {
            '"' => return Ok(()),
            '\\' => match letters.next().ok_or(Uncut::Escape)? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            inside => word.push(inside),
        }
    }
}

/// Why `environment=` is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BadPairs {
    Uncut(Uncut),
    /// The pairs end in mid-pair.
    Ends,
}

impl fmt::Display for BadPairs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncut(why) => why.fmt(out),
            Self::Ends => out.write_str("expected NAME=\"value\" pairs with commas between them"),
        }
    }
}

/// The pairs of `environment=`: tokens are taken by four, name, `=`, value and a separator that is not
/// looked at, as supervisord 4.3.0 takes them. The last value of a name counts.
pub(crate) fn pairs(text: &str) -> Result<Vec<(String, String)>, BadPairs> {
    let tokens = tokens(text).map_err(BadPairs::Uncut)?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for four in tokens.chunks(4) {
        let [name, equals, value, ..] = four else {
            return Err(BadPairs::Ends);
        };
        if equals != "=" {
            return Err(BadPairs::Ends);
        }
        let value = value.trim_matches(['\'', '"']).to_owned();
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => pairs.push((name.clone(), value)),
        }
    }
    Ok(pairs)
}

/// What a token of `environment=` may hold without quotes.
fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_/.+-():".contains(letter)
}

/// shlex' tokens by its rules from before POSIX: quotes stay, each other character is a token.
fn tokens(text: &str) -> Result<Vec<String>, Uncut> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\r' | '\n' => {}
            '#' => skip_line(&mut letters),
            '\'' | '"' => {
                let mut token = String::from(letter);
                loop {
                    let inside = letters.next().ok_or(Uncut::Quote)?;
                    token.push(inside);
                    if inside == letter {
                        break;
                    }
                }
                tokens.push(token);
            }
            first if is_word(first) => tokens.push(word(first, &mut letters)),
            other => tokens.push(String::from(other)),
        }
    }
    Ok(tokens)
}

/// The rest of a word; a quote in it is an ordinary character, a comment in it is skipped.
fn word(first: char, letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut token = String::from(first);
    while let Some(next) = letters.peek().copied() {
        match next {
            '#' => {
                letters.next();
                skip_line(letters);
            }
            next if is_word(next) || next == '\'' || next == '"' => {
                token.push(next);
                letters.next();
            }
            _ => break,
        }
    }
    token
}

fn skip_line(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    for letter in letters.by_ref() {
        if letter == '\n' {
            break;
        }
    }
}

/// A word as a shell takes it literally; quoted only where that is needed.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_@%+=:,./-".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_cut_as_posix_cuts_it() {
        for (text, words) in [
            ("a b  c", vec!["a", "b", "c"]),
            (
                "sh -c 'a b' \"c \\\" d\"",
                vec!["sh", "-c", "a b", "c \" d"],
            ),
            ("a\\ b '' \"\\n\"", vec!["a b", "", "\\n"]),
            ("a'b'c", vec!["abc"]),
            ("", vec![]),
        ] {
            assert_eq!(split_command(text).unwrap(), words, "{text}");
        }
        assert_eq!(split_command("a \"b"), Err(Uncut::Quote));
        assert_eq!(split_command("a \\"), Err(Uncut::Escape));
    }

    /// What supervisord 4.3.0 makes of these texts.
    #[test]
    fn an_environment_is_cut_as_supervisord_cuts_it() {
        for (text, wanted) in [
            ("A=\"a,b\",B=c", vec![("A", "a,b"), ("B", "c")]),
            ("A='1'", vec![("A", "1")]),
            ("A=\"\",B=1", vec![("A", ""), ("B", "1")]),
            ("A = 1 , B = 2", vec![("A", "1"), ("B", "2")]),
            ("A=1,", vec![("A", "1")]),
            ("A=a b", vec![("A", "a")]),
            ("A=$HOME", vec![("A", "$")]),
            ("A=1;B=2", vec![("A", "1"), ("B", "2")]),
            ("A=\"a\"\"b\"", vec![("A", "a")]),
            ("A=\"é\",\nB=\"#x\"", vec![("A", "é"), ("B", "#x")]),
            ("", vec![]),
        ] {
            let pairs = pairs(text).unwrap();
            let pairs: Vec<(&str, &str)> = pairs
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(pairs, wanted, "{text}");
        }
        for text in ["A=x=y", "A=a@b", "A=", "A=1,,B=2", "A=1 B=2", "A=#x"] {
            assert_eq!(pairs(text), Err(BadPairs::Ends), "{text}");
        }
        assert_eq!(pairs("A=\"a"), Err(BadPairs::Uncut(Uncut::Quote)));
    }

    #[test]
    fn a_shell_word_is_quoted_only_where_needed() {
        assert_eq!(shell_word("/bin/x-1.2"), "/bin/x-1.2");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("$HOME"), "'$HOME'");
    }
}
