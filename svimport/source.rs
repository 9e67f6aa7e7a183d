//! The configuration's files: the main one, and those that its `[include]` names.

use std::fs;
use std::path::Path;

use glob::MatchOptions;

use crate::config::Surroundings;
use crate::expand::{self, Known, Names};
use crate::ini::{Ini, Malformed, Place};
use crate::message::{Message, What};

/// Reads the main file and its includes; what cannot be read goes to `messages`.
pub(crate) fn read(file: &Path, around: &Surroundings, messages: &mut Vec<Message>) -> Ini {
    let mut ini = Ini::default();
    add(&mut ini, file, messages);
    let Some(section) = ini.section("include") else {
        return ini;
    };
    let place = section.place.clone();
    let files = ini.get(section, "files").cloned();
    ini.expand_here(&around.here);
    let mut say = |what| {
        messages.push(Message {
            place: Some(
                files
                    .as_ref()
                    .map_or(place.clone(), |files| files.place.clone()),
            ),
            section: "include".into(),
            key: if files.is_some() {
                "files".into()
            } else {
                String::new()
            },
            what,
        });
    };
    let Some(value) = &files else {
        say(What::NoFiles);
        return ini;
    };
    let patterns = match expand::expand(&value.text, &names(around)) {
        Ok(patterns) => patterns,
        Err(why) => {
            say(What::Expand(why));
            return ini;
        }
    };
    let mut included = Vec::new();
    for pattern in patterns.split_whitespace() {
        let matches = matching(&around.here, pattern);
        if matches.is_empty() {
            say(What::NoMatch(pattern.to_owned()));
        }
        included.extend(matches);
    }
    for file in included {
        add(&mut ini, Path::new(&file), messages);
        let folder = Path::new(&file).parent().unwrap_or(Path::new("/"));
        ini.expand_here(&folder.to_string_lossy());
    }
    ini
}

/// The names that `[include] files` may use.
fn names(around: &Surroundings) -> Names {
    let variables = around
        .environment
        .iter()
        .map(|(name, text)| (format!("ENV_{name}"), Known::Text(text.clone())));
    variables
        .chain([
            ("here".to_owned(), Known::Text(around.here.clone())),
            (
                "host_node_name".to_owned(),
                Known::Text(around.host.clone()),
            ),
        ])
        .collect()
}

/// The files of a pattern, sorted. `**` is a star like another, and a star stands for no leading dot, as in
/// Python's glob.
fn matching(here: &str, pattern: &str) -> Vec<String> {
    let pattern = Path::new(here).join(pattern.replace("**", "*"));
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let Ok(found) = glob::glob_with(&pattern.to_string_lossy(), options) else {
        return Vec::new();
    };
    let mut files: Vec<String> = found
        .flatten()
        .map(|path| path.to_string_lossy().into_owned())
        .collect();
    files.sort();
    files
}

/// Adds one file.
fn add(ini: &mut Ini, file: &Path, messages: &mut Vec<Message>) {
    let name = file.to_string_lossy().into_owned();
    let mut say = |place: Option<Place>, what| {
        messages.push(Message {
            place,
            section: String::new(),
            key: String::new(),
            what,
        });
    };
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let why = servicedir::report::Why::from(&error);
            let why = match error.raw_os_error() {
                Some(_) => format!("{name}: {why}"),
                None => format!("{name}: not UTF-8"),
            };
            return say(None, What::Unreadable(why));
        }
    };
    for (place, malformed) in ini.read(&name, &text).err().unwrap_or_default() {
        say(
            Some(place),
            match malformed {
                Malformed::NoSection => What::NoSection,
                Malformed::NoKey(line) => What::NoKey(line),
            },
        );
    }
}
