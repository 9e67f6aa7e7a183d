//! sv under a service's name: an LSB init script.

use super::{Answer, make, run, without_seconds};
use crate::support::supervised::Supervised;
use crate::support::{Scratch, peer, program};

use std::os::unix::fs::symlink;
use std::path::Path;

const SLEEPS: &str = "exec sleep 1000";

/// The answer of a sv that is called by a service's name.
fn script(sv: &Path, scratch: &Scratch, name: &str, args: &[&str]) -> Answer {
    let folder = scratch
        .path()
        .join(sv.parent().unwrap().to_str().unwrap().replace('/', "_"));
    std::fs::create_dir_all(&folder).unwrap();
    let link = folder.join(name);
    if std::fs::symlink_metadata(&link).is_err() {
        symlink(sv, &link).unwrap();
    }
    let (code, out, err) = run(&link, scratch, args);
    (code, without_seconds(&out), err)
}

#[test]
fn the_codes_are_those_of_the_lsb() {
    let scratch = Scratch::new();
    make(&scratch, "web", SLEEPS);
    let _web = Supervised::start(program("supervise"), &scratch.path().join("sv/web"));
    let code = |name: &str, args: &[&str]| script(program("sv"), &scratch, name, args).0;
    assert_eq!(code("web", &["status"]), Some(3));
    assert_eq!(code("web", &["-w", "60", "start"]), Some(0));
    assert_eq!(code("web", &["status"]), Some(0));
    assert_eq!(code("web", &["-w", "60", "restart"]), Some(0));
    assert_eq!(code("web", &["-w", "60", "stop"]), Some(0));
    assert_eq!(code("web", &["foo"]), Some(2));
    assert_eq!(code("none", &["status"]), Some(4));
    assert_eq!(code("none", &["start"]), Some(1));
}

#[test]
fn both_print_the_same() {
    let scratch = Scratch::new();
    make(&scratch, "web", SLEEPS);
    let _web = Supervised::start(program("supervise"), &scratch.path().join("sv/web"));
    for (name, args) in [
        ("web", &["status"][..]),
        ("web", &[]),
        ("web", &["foo"]),
        ("web", &["-w", "60", "stop"]),
        ("none", &["start"]),
    ] {
        let mine = script(program("sv"), &scratch, name, args);
        let runits = script(&peer("sv"), &scratch, name, args);
        assert_eq!(mine, runits, "{name} {args:?}");
    }
}

#[test]
fn the_state_of_the_log_is_not_taken_for_the_service_s() {
    let scratch = Scratch::new();
    make(&scratch, "web", SLEEPS);
    scratch.script("sv/web/log/run", "exec cat");
    let _web = Supervised::start(program("supervise"), &scratch.path().join("sv/web"));
    let _log = Supervised::start(program("supervise"), &scratch.path().join("sv/web/log"));
    assert_eq!(
        script(program("sv"), &scratch, "web", &["status"]).0,
        Some(3)
    );
}
