//! The text of configuration files as Python's `RawConfigParser` reads it for supervisord: sections of keys
//! and values, comments cut, continued lines joined, later values in place of earlier ones. **Pure.**

use std::fmt;
use std::rc::Rc;

/// A line of a file, for messages.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    /// The file, as it was given or found.
    pub(crate) file: Rc<str>,
    /// The line's number, from 1.
    pub(crate) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// A key's value and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// A section: its name, where it begins, and its keys in the order of their first mention.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) place: Place,
    keys: Vec<(String, Value)>,
}

impl Section {
    /// The keys with their values.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn set(&mut self, key: String, value: Value) {
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }
}

/// Why a text is refused. The lines are as long as their file has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// A key before the first section.
    NoSection,
    /// A line without `=` and `:`, or without a name before it.
    NoKey(String),
}

/// What the files hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ini {
    sections: Vec<Section>,
    defaults: Vec<(String, Value)>,
}

/// Whose keys hold for every section.
const DEFAULT: &str = "DEFAULT";

/// The section that the next key goes to.
#[derive(Clone, Copy)]
enum Current {
    Default,
    Section(usize),
}

impl Ini {
    /// The sections in the order of their first mention.
    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section of that name.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The value of a key: the section's own, else that of `[DEFAULT]`.
    pub(crate) fn get<'a>(&'a self, section: &'a Section, key: &str) -> Option<&'a Value> {
        let own = section.keys.iter().find(|(known, _)| known == key);
        own.or_else(|| self.defaults.iter().find(|(known, _)| known == key))
            .map(|(_, value)| value)
    }

    /// Puts `here` in place of `%(here)s` in all values, as supervisord does where files are included.
    pub(crate) fn expand_here(&mut self, here: &str) {
        let own = self
            .sections
            .iter_mut()
            .flat_map(|section| &mut section.keys);
        for (_, value) in own.chain(&mut self.defaults) {
            value.text = value.text.replace("%(here)s", here);
        }
    }

    /// Adds the text of a file.
    ///
    /// # Errors
    /// The lines that are neither a section nor a key, each with its reason; nothing is added then.
    pub(crate) fn read(&mut self, file: &str, text: &str) -> Result<(), Vec<(Place, Malformed)>> {
        let mut reader = Reader {
            ini: self.clone(),
            file: Rc::from(file),
            current: None,
            open: None,
            indent: 0,
            malformed: Vec::new(),
        };
        for (index, line) in text.split_inclusive('\n').enumerate() {
            reader.line(index + 1, line);
        }
        reader.close();
        if reader.malformed.is_empty() {
            *self = reader.ini;
            return Ok(());
        }
        Err(reader.malformed)
    }

    fn enter(&mut self, name: &str, place: Place) -> Current {
        if name == DEFAULT {
            return Current::Default;
        }
        let known = self.sections.iter().position(|known| known.name == name);
        Current::Section(known.unwrap_or_else(|| {
            self.sections.push(Section {
                name: name.to_owned(),
                place,
                keys: Vec::new(),
            });
            self.sections.len() - 1
        }))
    }

    fn set(&mut self, current: Current, key: String, value: Value) {
        match current {
            Current::Section(index) => {
                if let Some(section) = self.sections.get_mut(index) {
                    section.set(key, value);
                }
            }
            Current::Default => {
                self.defaults.retain(|(known, _)| *known != key);
                self.defaults.push((key, value));
            }
        }
    }
}

/// A file that is being read.
struct Reader {
    ini: Ini,
    file: Rc<str>,
    current: Option<Current>,
    /// The key that may be continued, with its lines so far.
    open: Option<(Current, String, Place, Vec<String>)>,
    /// How far the last key or section was indented.
    indent: usize,
    malformed: Vec<(Place, Malformed)>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let comment = comment_start(line);
        let value = line
            .get(..comment.unwrap_or(line.len()))
            .unwrap_or(line)
            .trim();
        if value.is_empty() {
            if let (None, Some((.., lines))) = (comment, &mut self.open) {
                lines.push(String::new());
            }
            return;
        }
        let indent = line
            .chars()
            .take_while(|letter| letter.is_whitespace())
            .count();
        if let Some((.., lines)) = &mut self.open
            && indent > self.indent
        {
            lines.push(value.to_owned());
            return;
        }
        self.indent = indent;
        let place = Place {
            file: Rc::clone(&self.file),
            line: number,
        };
        if let Some(name) = section_name(value) {
            self.close();
            self.current = Some(self.ini.enter(name, place));
        } else if let Some(current) = self.current {
            self.key(current, value, place);
        } else {
            self.malformed.push((place, Malformed::NoSection));
        }
    }

    fn key(&mut self, current: Current, line: &str, place: Place) {
        let split = line.split_once(['=', ':']);
        match split.map(|(key, value)| (key.trim_end().to_lowercase(), value.trim())) {
            Some((key, value)) if !key.is_empty() => {
                self.close();
                self.open = Some((current, key, place, vec![value.to_owned()]));
            }
            Some(_) | None => {
                let line = line.to_owned();
                self.malformed.push((place, Malformed::NoKey(line)));
            }
        }
    }

    /// The key that was open is complete.
    fn close(&mut self) {
        if let Some((current, key, place, lines)) = self.open.take() {
            let text = lines.join("\n").trim_end().to_owned();
            self.ini.set(current, key, Value { text, place });
        }
    }
}

/// `[name]` at the beginning of a line; the name goes up to the last bracket.
fn section_name(line: &str) -> Option<&str> {
    let (name, _) = line.strip_prefix('[')?.rsplit_once(']')?;
    (!name.is_empty()).then_some(name)
}

/// Where the comment of a line begins: at its start, or at a `;` or `#` after a blank.
///
/// Python looks for the first of each, then for the second of each, and so on, and takes the first that
/// begins a comment: `a;b ; c #d` is cut at `#d`.
fn comment_start(line: &str) -> Option<usize> {
    if line.trim_start().starts_with(['#', ';']) {
        return Some(0);
    }
    let mut found = [';', '#'].map(|prefix| line.match_indices(prefix));
    loop {
        let round: Vec<usize> = found
            .iter_mut()
            .filter_map(|each| each.next().map(|(at, _)| at))
            .collect();
        if round.is_empty() {
            return None;
        }
        let begins = |at: &usize| {
            let before = line.get(..*at).unwrap_or_default();
            before.is_empty() || before.ends_with(char::is_whitespace)
        };
        if let Some(at) = round.into_iter().filter(begins).min() {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Ini {
        let mut ini = Ini::default();
        ini.read("x.conf", text).unwrap();
        ini
    }

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        let ini = read(text);
        let section = ini.section(section)?;
        ini.get(section, key).map(|value| value.text.clone())
    }

    #[test]
    fn keys_are_in_lower_case_and_the_last_value_counts() {
        let text = "[a]\nKey = 1\nother: x = y\n[b]\n[a]\nkey=2\n";
        assert_eq!(value(text, "a", "key").as_deref(), Some("2"));
        assert_eq!(value(text, "a", "other").as_deref(), Some("x = y"));
        assert_eq!(value(text, "b", "key"), None);
    }

    #[test]
    fn a_comment_is_cut_where_python_cuts_it() {
        let text = "[a] ; section\n# whole\nk=v ; cut\nl=a;b#c\nm=/bin/sh -c \"a ; b\"\nn=#kept\no=a;b ; c #d\n";
        assert_eq!(value(text, "a", "k").as_deref(), Some("v"));
        assert_eq!(value(text, "a", "l").as_deref(), Some("a;b#c"));
        assert_eq!(value(text, "a", "m").as_deref(), Some("/bin/sh -c \"a"));
        assert_eq!(value(text, "a", "n").as_deref(), Some("#kept"));
        assert_eq!(value(text, "a", "o").as_deref(), Some("a;b ; c"));
    }

    #[test]
    fn a_line_that_is_indented_deeper_continues_the_value() {
        let text = "[a]\nk=1\n  2\n\n  # no\n  x=3\nl=4\n";
        assert_eq!(value(text, "a", "k").as_deref(), Some("1\n2\n\nx=3"));
        assert_eq!(value(text, "a", "l").as_deref(), Some("4"));
    }

    #[test]
    fn defaults_hold_for_every_section() {
        let text = "[DEFAULT]\nautostart=false\n[a]\n[b]\nautostart=true\n";
        assert_eq!(value(text, "a", "autostart").as_deref(), Some("false"));
        assert_eq!(value(text, "b", "autostart").as_deref(), Some("true"));
    }

    #[test]
    fn crlf_ends_a_line_too() {
        assert_eq!(value("[a]\r\nk=v\r\n", "a", "k").as_deref(), Some("v"));
    }

    #[test]
    fn a_line_without_a_key_is_refused_with_its_number() {
        let mut ini = Ini::default();
        let malformed = ini.read("x.conf", "k=v\n[a]\nnonsense\n").unwrap_err();
        let lines: Vec<usize> = malformed.iter().map(|(place, _)| place.line).collect();
        assert_eq!(lines, [1, 3]);
        assert_eq!(ini, Ini::default());
    }

    #[test]
    fn here_is_the_directory_of_the_file_that_has_it() {
        let mut ini = read("[a]\nk=%(here)s/x\n");
        ini.expand_here("/etc");
        ini.read("y.conf", "[b]\nk=%(here)s/y\n").unwrap();
        ini.expand_here("/etc/conf.d");
        let texts: Vec<&str> = ini
            .sections()
            .iter()
            .flat_map(Section::keys)
            .map(|(_, value)| value.text.as_str())
            .collect();
        assert_eq!(texts, ["/etc/x", "/etc/conf.d/y"]);
    }
}
