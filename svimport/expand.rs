//! `%(name)s` in values: Python's `%` formatting with names, as far as supervisord's values use it. **Pure.**

use std::collections::BTreeMap;
use std::fmt;

/// The names that a value may use.
pub(crate) type Names = BTreeMap<String, Known>;

/// What stands for a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    Text(String),
    Number(i64),
}

/// Why a value cannot be expanded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unexpanded {
    /// A name that is not known here.
    Unknown(String),
    /// A `%` that begins neither `%%` nor `%(name)s`.
    Format,
}

impl fmt::Display for Unexpanded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) if name.starts_with("ENV_") => write!(
                out,
                "%({name})s: no such variable in the environment; run svimport with the environment of supervisord"
            ),
            Self::Unknown(name) => write!(out, "%({name})s: no such name here"),
            Self::Format => out.write_str(
                "a % that is neither %% nor part of a name: expected %%, %(name)s or %(name)02d",
            ),
        }
    }
}

/// The names that a text uses.
pub(crate) fn names_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("%(")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(name, _)| name))
}

/// Expands a value.
///
/// # Errors
/// See [`Unexpanded`].
pub(crate) fn expand(text: &str, names: &Names) -> Result<String, Unexpanded> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('%') {
        out.push_str(plain);
        rest = match after.strip_prefix('%') {
            Some(after) => {
                out.push('%');
                after
            }
            None => replace(after, names, &mut out)?,
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// Writes what `(name)02d` stands for, and returns what follows it.
fn replace<'a>(text: &'a str, names: &Names, out: &mut String) -> Result<&'a str, Unexpanded> {
    let (name, after) = text
        .strip_prefix('(')
        .and_then(|text| text.split_once(')'))
        .ok_or(Unexpanded::Format)?;
    let known = names
        .get(name)
        .ok_or_else(|| Unexpanded::Unknown(name.to_owned()))?;
    let (shape, after) = Shape::parse(after).ok_or(Unexpanded::Format)?;
    out.push_str(&shape.show(known).ok_or(Unexpanded::Format)?);
    Ok(after)
}

/// The flags, width, precision and letter behind a name.
struct Shape {
    left: bool,
    zeros: bool,
    plus: bool,
    blank: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

/// More than a name needs, and no way to fill the memory.
const WIDEST: usize = 1000;

impl Shape {
    fn parse(text: &str) -> Option<(Self, &str)> {
        let flags: String = text
            .chars()
            .take_while(|letter| "#0- +".contains(*letter))
            .collect();
        let (width, text) = number(text.get(flags.len()..)?);
        let (precision, text) = match text.strip_prefix('.') {
            Some(text) => {
                let (precision, text) = number(text);
                (Some(precision), text)
            }
            None => (None, text),
        };
        let text = text.strip_prefix(['h', 'l', 'L']).unwrap_or(text);
        let letter = text.chars().next()?;
        let shape = Self {
            left: flags.contains('-'),
            zeros: flags.contains('0'),
            plus: flags.contains('+'),
            blank: flags.contains(' '),
            width,
            precision,
            letter,
        };
        (width <= WIDEST && precision.unwrap_or(0) <= WIDEST)
            .then(|| Some((shape, text.get(letter.len_utf8()..)?)))?
    }

    fn show(&self, known: &Known) -> Option<String> {
        match (self.letter, known) {
            ('s', Known::Text(text)) => Some(self.pad(&self.cut(text))),
            ('s', Known::Number(number)) => Some(self.pad(&self.cut(&number.to_string()))),
            ('d' | 'i' | 'u', Known::Number(number)) => {
                Some(self.digits(*number, &number.unsigned_abs().to_string()))
            }
            ('x', Known::Number(number)) => {
                Some(self.digits(*number, &format!("{:x}", number.unsigned_abs())))
            }
            ('X', Known::Number(number)) => {
                Some(self.digits(*number, &format!("{:X}", number.unsigned_abs())))
            }
            ('o', Known::Number(number)) => {
                Some(self.digits(*number, &format!("{:o}", number.unsigned_abs())))
            }
            _ => None,
        }
    }

    fn cut(&self, text: &str) -> String {
        text.chars()
            .take(self.precision.unwrap_or(usize::MAX))
            .collect()
    }

    fn digits(&self, number: i64, digits: &str) -> String {
        let sign = match number {
            ..0 => "-",
            _ if self.plus => "+",
            _ if self.blank => " ",
            _ => "",
        };
        let least = match self.precision {
            Some(precision) => precision,
            None if self.zeros && !self.left => self.width.saturating_sub(sign.len()),
            None => 0,
        };
        self.pad(&format!("{sign}{digits:0>least$}"))
    }

    fn pad(&self, text: &str) -> String {
        let width = self.width;
        if self.left {
            format!("{text:<width$}")
        } else {
            format!("{text:>width$}")
        }
    }
}

/// The number at the front of a text, 0 where there is none, and what follows.
fn number(text: &str) -> (usize, &str) {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or(("", text));
    let number = if digits.is_empty() {
        0
    } else {
        digits.parse().unwrap_or(usize::MAX)
    };
    (number, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Unexpanded> {
        let names = Names::from([
            ("here".into(), Known::Text("/etc".into())),
            ("process_num".into(), Known::Number(7)),
        ]);
        expand(text, &names)
    }

    /// What Python 3.11 makes of these texts.
    #[test]
    fn names_are_formatted_as_python_formats_them() {
        for (text, wanted) in [
            ("%(here)s/x", "/etc/x"),
            ("50%%", "50%"),
            ("w_%(process_num)02d", "w_07"),
            ("%(process_num)s", "7"),
            ("%(process_num)3d|%(process_num)-3d|", "  7|7  |"),
            ("%(process_num)+d %(process_num)x", "+7 7"),
            ("%(here)8s|%(here).2s", "    /etc|/e"),
            ("%(process_num).3d", "007"),
            ("no name", "no name"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_python_refuses_is_refused() {
        assert_eq!(
            expanded("%(nope)s"),
            Err(Unexpanded::Unknown("nope".into()))
        );
        for text in ["5%", "%d", "%(here)d", "%(here", "%(here)", "%(here)q"] {
            assert_eq!(expanded(text), Err(Unexpanded::Format), "{text}");
        }
    }
}
