//! tests/run installs the package of each program that a test calls.
//!
//! Not tested: programs whose names are put together while a test runs; `packaging/test-root` runs
//! tests/run on a Debian that has nothing else.

use crate::support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::stdout;

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of the tests.
fn sources() -> Vec<PathBuf> {
    let mut found = vec![project().join(".ci/run")];
    let mut folders = vec![project().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("fresh-root") {
                found.push(path);
            }
        }
    }
    found
}

/// The names that a file calls: what it asks `peer` or `Command::new` for, and the first word of each
/// command of its shell scripts.
fn called(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for start in ["peer(\"", "Command::new(\""] {
        let pieces = text.split(start).skip(1);
        names.extend(pieces.filter_map(|piece| Some(piece.split_once('"')?.0.to_owned())));
    }
    // A list of peers, and the interpreters of scripts.
    for list in text.split("for tool in [").skip(1) {
        let list = list.split(']').next().unwrap_or_default();
        names.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    for line in text.split("#!/usr/bin/").skip(1) {
        let mut words = line.split(|byte: char| byte.is_whitespace() || byte == '\\');
        let first = words.next().filter(|word| *word != "env");
        names.extend(first.or_else(|| words.next()).map(str::to_owned));
    }
    let scripts: Vec<&str> = if text.starts_with("#!/bin/sh") {
        vec![text]
    } else {
        let raw = text.split("r#\"").skip(1);
        raw.filter_map(|piece| Some(piece.split_once("\"#")?.0))
            .collect()
    };
    for line in scripts.iter().flat_map(|script| script.lines()) {
        let parts = line.split(['|', ';', '&', '(', '`']);
        names.extend(parts.filter_map(first_word));
    }
    names
}

/// The program of a simple command, after the words that stand before a program.
fn first_word(command: &str) -> Option<String> {
    let before = [
        "exec", "then", "do", "else", "if", "until", "while", "!", "{", "await", "say", "\"$(say",
    ];
    let mut words = command.split_whitespace();
    let word = words.find(|word| !before.contains(word) && !word.contains('='))?;
    let word = word.trim_matches(['"', '\'', '$', ')', '}']);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
    (word.len() > 1 && word.bytes().all(is_name)).then(|| word.to_owned())
}

/// The packages that own files of these names in the folders of programs.
fn owners() -> BTreeMap<String, String> {
    let mut owners = BTreeMap::new();
    for folder in ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"] {
        let found = Command::new("dpkg-query")
            .args(["-S", &format!("{folder}*")])
            .output()
            .unwrap();
        for line in stdout(&found).lines() {
            let owned = line
                .split_once(": ")
                .filter(|(it, _)| !it.starts_with("diversion"));
            let Some((package, path)) = owned else {
                continue;
            };
            if let Some(name) = path.strip_prefix(folder).filter(|it| !it.contains('/')) {
                let package = package.split([':', ',']).next().unwrap_or_default();
                owners.entry(name.to_owned()).or_insert(package.to_owned());
            }
        }
    }
    owners
}

/// The packages that every Debian has.
fn required() -> BTreeSet<String> {
    let format = "${Package} ${Essential} ${Priority}\n";
    let listed = Command::new("dpkg-query")
        .args(["-W", "-f", format])
        .output()
        .unwrap();
    stdout(&listed)
        .lines()
        .filter(|line| line.contains(" yes ") || line.ends_with(" required"))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}

/// The packages in the list of tests/run.
fn installed() -> BTreeSet<String> {
    let script = fs::read_to_string(project().join("tests/run")).unwrap();
    let (_, list) = script.split_once("packages=\"\n").unwrap();
    let (list, _) = list.split_once('"').unwrap();
    list.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn tests_run_installs_the_package_of_each_program_that_a_test_calls() {
    let (owners, required, installed) = (owners(), required(), installed());
    let texts = sources().into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    });
    let texts: Vec<(PathBuf, String)> = texts.collect();
    let is_function = |name: &str| {
        texts
            .iter()
            .any(|(_, text)| text.contains(&format!("{name}() {{")))
    };
    let mut missing = BTreeMap::new();
    for (path, text) in &texts {
        for name in called(text).into_iter().filter(|name| !is_function(name)) {
            let Some(package) = owners.get(&name) else {
                continue;
            };
            // What cargo and its linker bring is there wherever these tests are built.
            if !required.contains(package) && !installed.contains(package) {
                let by = path.strip_prefix(project()).unwrap();
                missing.insert(package.clone(), format!("{name}, for {}", by.display()));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "packages missing in tests/run: {missing:#?}"
    );
}

#[test]
fn a_script_is_searched_for_what_it_calls() {
    let text = "r#\"
        await svok /service/one; echo \"a: $(redis-cli ping | tr a b)\"
        WORD=1 exec nginx -g x && if ! strace -s y; then
    \"# peer(\"mandoc\") Command::new(\"unshare\") for tool in [\"s6-log\"] #!/usr/bin/execlineb -P";
    let found = called(text);
    for name in [
        "svok",
        "redis-cli",
        "tr",
        "nginx",
        "strace",
        "mandoc",
        "unshare",
        "echo",
    ] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
}
