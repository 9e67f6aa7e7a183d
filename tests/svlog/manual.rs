//! svlog(8) and `svlog --help` name the same options.

use crate::support;

use std::path::Path;

use support::{output, program, stdout};

#[test]
fn the_page_has_every_option_of_the_help() {
    let help = stdout(&output(program("svlog"), ["--help"]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svlog.8");
    let page = std::fs::read_to_string(page).unwrap().replace("\\-", "-");
    let words = help.split(|letter: char| !(letter.is_alphanumeric() || letter == '-'));
    for option in words.filter(|word| word.starts_with('-') && word.len() > 1) {
        let name = option.trim_start_matches('-');
        let flag = if option.starts_with("--") {
            format!("Fl -{name}")
        } else {
            format!("Fl {name}")
        };
        assert!(page.contains(&flag), "{option} is not in svlog(8)");
    }
    assert!(help.lines().all(|line| line.chars().count() < 80));
}
