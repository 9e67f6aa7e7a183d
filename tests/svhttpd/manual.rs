//! svhttpd(8) says what the program does.

use std::path::Path;

use crate::support::{output, peer, program, stdout};

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svhttpd.8")).unwrap()
}

#[test]
fn every_option_of_the_help_is_in_the_page() {
    let help = stdout(&output(program("svhttpd"), ["--help"]));
    let page = page();
    let mut options = 0;
    for word in help
        .split_ascii_whitespace()
        .filter(|word| word.starts_with("--"))
    {
        let name = word
            .trim_start_matches('-')
            .trim_end_matches([',', ';', ')']);
        assert!(page.contains(&format!("Fl -{name}")), "{word}");
        options += 1;
    }
    assert!(options > 9);
    assert!(help.lines().all(|line| line.len() <= 79), "{help}");
}

#[test]
fn the_page_is_clean() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svhttpd.8");
    let lint = output(
        &peer("mandoc"),
        ["-T", "lint", "-W", "style", file.to_str().unwrap()],
    );
    let text = stdout(&lint);
    let faults: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("referenced manual not found"))
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
}
