//! ARCHITECTURE.md's map names every source file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders at the top that hold no program and are not the library.
const OTHER: [&str; 8] = [
    "benches",
    "doc",
    "examples",
    "man",
    "openrc",
    "packaging",
    "target",
    "tests",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The source files of the programs and the library, as paths from the root. `main.rs` needs no entry, and
/// unit tests stand beside what they test.
fn sources() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            path.is_dir() && !name.starts_with('.') && !OTHER.contains(&name)
        })
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.starts_with("tests") && name != "main.rs" {
                let path = path.strip_prefix(root()).unwrap();
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.retain(|path| !path.contains("/tests/"));
    found
}

/// The files and folders of the map. In a row, names are in the top folder of the first one, unless they
/// begin with a top folder themselves.
fn mapped() -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut top = "";
        for name in line.split('`').skip(1).step_by(2) {
            let first = name.split('/').next().unwrap();
            if name.contains('/') && root().join(first).is_dir() {
                top = first;
                found.insert(name.to_owned());
            } else {
                found.insert(format!("{top}/{name}"));
            }
        }
    }
    found
}

#[test]
fn every_source_file_is_on_the_map() {
    let mapped = mapped();
    let covered = |path: &str| {
        let file = Path::new(path);
        let folders = file.ancestors().skip(1);
        let mut folders = folders.map(|folder| format!("{}/", folder.display()));
        mapped.contains(path) || folders.any(|folder| mapped.contains(&folder))
    };
    let missing: Vec<String> = sources()
        .into_iter()
        .filter(|path| !covered(path))
        .collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:#?}");
}

#[test]
fn the_map_names_no_file_that_is_gone() {
    let gone: Vec<String> = mapped()
        .into_iter()
        .filter(|name| name.ends_with(".rs") && !root().join(name).exists())
        .collect();
    assert!(gone.is_empty(), "in ARCHITECTURE.md, but gone: {gone:#?}");
}
