//! Configurations with the keys and values that real projects ship, each beside Supervisor's own reading.

use std::fs;
use std::path::{Path, PathBuf};

use super::understood::{Understood, agree, by_supervisor, import};
use crate::support::Scratch;

#[test]
fn configurations_of_real_projects_are_carried_over() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/svimport/projects");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 15, "{files:?}");
    let scratch = Scratch::new();
    for (file, understood) in files.iter().zip(by_supervisor(&files)) {
        let scan = scratch.path().join(file.file_stem().unwrap());
        let (code, said) = import(file, &scan);
        match understood {
            Understood::Processes(processes) => {
                assert!(!processes.is_empty(), "{}", file.display());
                let refused = said.contains("not carried over");
                assert_eq!(code, Some(if refused { 102 } else { 0 }), "{said}");
                let carried: Vec<_> = processes
                    .into_iter()
                    .filter(|process| !process["name"].starts_with("fcgi"))
                    .collect();
                agree(file, &carried, &scan);
            }
            Understood::Refused(why) => panic!("{}: {why}", file.display()),
        }
    }
}
