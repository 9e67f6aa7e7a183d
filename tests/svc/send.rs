//! svc: what it sends, to whom, and what it answers when that fails.
//!
//! Not tested: what a supervise makes of it (supervise.rs, wait.rs, interop_clients.rs).

use crate::support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use servicedir::control::Control;
use servicedir::status::{State, Want};
use support::supervised::{Forged, status};
use support::{Scratch, program, stderr, stdout};

fn svc(cwd: &Path, args: &[&str]) -> Output {
    Command::new(program("svc"))
        .args(args)
        .current_dir(cwd)
        .env_remove("SVDIR")
        .env_remove("SUPERVISEDIR")
        .output()
        .unwrap()
}

/// Its exit code and what it said.
fn answer(output: &Output) -> (Option<i32>, String) {
    assert_eq!(stdout(output), "", "svc prints nothing");
    (output.status.code(), stderr(output))
}

const SILENT: (Option<i32>, String) = (Some(0), String::new());

#[test]
fn letters_are_sent_once_each_in_the_order_of_their_first_mention() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let bar = Forged::new(&scratch.path().join("bar"));
    assert_eq!(
        answer(&svc(scratch.path(), &["-dx", "foo", "-d1x", "bar"])),
        SILENT
    );
    assert_eq!(
        (foo.commands(), bar.commands()),
        ("dx1".to_owned(), "dx1".to_owned())
    );
}

#[test]
fn every_control_byte_has_an_option_that_the_help_and_the_manual_tell() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    foo.announce(&status(State::Running, 5, Want::Up));
    let help = stdout(&svc(scratch.path(), &["--help"]));
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/svc.8")).unwrap();
    for (byte, _) in Control::ALL {
        let letter = char::from(byte);
        let option = match letter {
            'w' => "--winch".to_owned(),
            'z' => "--detach".to_owned(),
            letter => format!("-{letter}"),
        };
        assert_eq!(
            answer(&svc(scratch.path(), &[&option, "foo"])),
            SILENT,
            "{option}"
        );
        assert_eq!(foo.commands(), letter.to_string(), "{option}");
        assert!(
            help.contains(&format!("{option}  ")),
            "--help has no {option}"
        );
        let item = format!(
            "\n.It Fl {}\n",
            option
                .trim_start_matches('-')
                .replace("winch", "-winch")
                .replace("detach", "-detach")
        );
        assert!(page.contains(&item), "svc.8 has no {option}");
    }
    for option in ["wait", "timeout", "help", "version"] {
        assert!(
            help.contains(&format!("--{option}")),
            "--help has no --{option}"
        );
        assert!(
            page.contains(&format!("Fl -{option}")),
            "svc.8 has no --{option}"
        );
    }
}

#[test]
fn all_directories_are_tried_and_the_worst_answer_counts() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("never")).unwrap();
    Forged::new(&scratch.path().join("gone")).end();
    let foo = Forged::new(&scratch.path().join("foo"));
    let (code, said) = answer(&svc(scratch.path(), &["-u", "never", "gone", "foo"]));
    assert_eq!(
        said,
        "svc: warning: unable to control never: supervise not running\n\
         svc: warning: unable to control gone: supervise not running\n"
    );
    assert_eq!(code, Some(100));
    assert_eq!(foo.commands(), "u");
    let (code, said) = answer(&svc(scratch.path(), &["-u", "missing", "gone", "foo"]));
    assert!(
        said.starts_with("svc: warning: unable to control missing: no such file or directory\n"),
        "{said}"
    );
    assert_eq!(code, Some(111));
    assert_eq!(foo.commands(), "u");
}

#[test]
fn a_control_that_is_no_fifo_is_not_written_to() {
    let scratch = Scratch::new();
    scratch.file("foo/supervise/control", "");
    let (code, said) = answer(&svc(scratch.path(), &["-d", "foo"]));
    assert_eq!(
        said,
        "svc: warning: unable to control foo: its control file is not a FIFO\n"
    );
    assert_eq!(code, Some(111));
    assert_eq!(scratch.read("foo/supervise/control"), "");
}

#[test]
fn a_full_fifo_is_reported_and_not_waited_for_for_ever() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let bar = Forged::new(&scratch.path().join("bar"));
    while rustix::io::write(foo.control(), &[b'c'; 4096]).is_ok() {}
    while rustix::io::write(foo.control(), b"c").is_ok() {}
    let (code, said) = answer(&svc(scratch.path(), &["-d", "foo", "bar"]));
    assert_eq!(
        said,
        "svc: warning: unable to control foo: its control FIFO is full: supervise does not read it\n"
    );
    assert_eq!(code, Some(111));
    assert_eq!(bar.commands(), "d");
}

#[test]
fn who_may_not_control_a_service_is_told_so() {
    let scratch = Scratch::new();
    let _foo = Forged::new(&scratch.path().join("foo"));
    // Another user may not be able to run a program in the build directory.
    let copy = scratch.path().join("svc");
    support::copy_of("svc", &copy);
    let mut copied = Command::new(&copy);
    copied.args(["-d", "foo"]).current_dir(scratch.path());
    if rustix::process::getuid().is_root() {
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(scratch.path(), open).unwrap();
        copied.uid(65534).gid(65534);
    } else {
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(scratch.path().join("foo/supervise/control"), closed).unwrap();
    }
    let (code, said) = answer(&copied.output().unwrap());
    assert_eq!(
        said,
        "svc: warning: unable to control foo: permission denied\n"
    );
    assert_eq!(code, Some(111));
}

#[test]
fn a_bare_name_is_looked_up_in_svdir_unless_it_is_a_directory_here() {
    let scratch = Scratch::new();
    let scanned = Forged::new(&scratch.path().join("scan/foo"));
    let named = |name: &str| {
        Command::new(program("svc"))
            .args(["-h", name])
            .current_dir(scratch.path())
            .env("SVDIR", scratch.path().join("scan"))
            .output()
            .unwrap()
    };
    assert_eq!(answer(&named("foo")), SILENT);
    assert_eq!(scanned.commands(), "h");
    assert_eq!(answer(&named("./foo")).0, Some(111));
    let here = Forged::new(&scratch.path().join("foo"));
    assert_eq!(answer(&named("foo")), SILENT);
    assert_eq!(
        (scanned.commands(), here.commands()),
        (String::new(), "h".to_owned())
    );
}

#[test]
fn supervisedir_moves_the_control_fifo() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path().join("foo")).unwrap();
    let foo = fs::canonicalize(scratch.path().join("foo")).unwrap();
    let flat = foo.to_str().unwrap()[1..].replace('/', ":");
    let outside = Forged::new(&scratch.path().join("run").join(&flat));
    // Forged makes `supervise/` in a directory: the state's name is then the last component.
    let states = scratch.path().join("states");
    fs::create_dir(&states).unwrap();
    fs::rename(outside.dir.join("supervise"), states.join(&flat)).unwrap();
    let inside = Forged::new(&foo);
    fs::rename(foo.join("supervise"), foo.join("state")).unwrap();
    for (value, forged) in [(states.to_str().unwrap(), &outside), ("state", &inside)] {
        let output = Command::new(program("svc"))
            .args(["-a", "foo"])
            .current_dir(scratch.path())
            .env("SUPERVISEDIR", value)
            .output()
            .unwrap();
        assert_eq!(answer(&output), SILENT, "{value}");
        assert_eq!(forged.commands(), "a", "{value}");
    }
}

#[test]
fn each_instance_of_a_directory_has_a_control_fifo_and_a_status_of_its_own() {
    let scratch = Scratch::new();
    let worker = Forged::new(&scratch.path().join("worker@"));
    fs::rename(worker.dir.join("supervise"), worker.dir.join("supervise@1")).unwrap();
    for link in ["worker@1", "worker@2"] {
        symlink("worker@", scratch.path().join(link)).unwrap();
    }
    assert_eq!(answer(&svc(scratch.path(), &["-h", "worker@1"])), SILENT);
    assert_eq!(worker.commands(), "h");
    let (code, said) = answer(&svc(scratch.path(), &["-h", "worker@2"]));
    assert_eq!(
        said,
        "svc: warning: unable to control worker@2: supervise not running\n"
    );
    assert_eq!(code, Some(100));
    let looked = Command::new(program("svstat"))
        .args(["./worker@1", "./worker@2"])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert_eq!(
        stdout(&looked),
        "./worker@1: unable to open supervise@1/status: file does not exist\n\
         ./worker@2: unable to open supervise@2/ok: file does not exist\n"
    );
}

#[test]
fn without_a_directory_there_is_nothing_to_do_and_without_a_letter_nothing_to_send() {
    let scratch = Scratch::new();
    assert_eq!(answer(&svc(scratch.path(), &["-u"])), SILENT);
    let foo = Forged::new(&scratch.path().join("foo"));
    assert_eq!(answer(&svc(scratch.path(), &["foo"])), SILENT);
    assert_eq!(foo.commands(), "");
}

#[test]
fn a_wrong_command_line_sends_nothing() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    for args in [
        &["-uZ", "foo"][..],
        &["-z", "foo"],
        &["--wait=sideways", "-u", "foo"],
        &["-u", "-T", "soon", "foo"],
        &["-w", "foo"],
        &["-u", "foo", "--what"],
    ] {
        let (code, said) = answer(&svc(scratch.path(), args));
        assert_eq!(code, Some(100), "{args:?}");
        assert!(said.starts_with("svc: fatal: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert_eq!(foo.commands(), "");
}

#[test]
fn a_byte_that_another_suite_does_not_know_is_refused() {
    let scratch = Scratch::new();
    let foo = Forged::new(&scratch.path().join("foo"));
    let mut foreign = status(State::Running, 5, Want::Up);
    foreign.record = None;
    foo.announce(&foreign);
    let (code, said) = answer(&svc(scratch.path(), &["-r", "foo"]));
    assert_eq!(
        said,
        "svc: warning: unable to control foo: its supervise is another suite's, which does not know 'r'\n"
    );
    assert_eq!(code, Some(100));
    assert_eq!(foo.commands(), "");
}

#[test]
fn a_name_cannot_forge_a_line() {
    let scratch = Scratch::new();
    let name = "a\nsvc: fatal: b";
    let (code, said) = answer(&svc(scratch.path(), &["-d", name]));
    assert_eq!(code, Some(111));
    assert_eq!(said.lines().count(), 1, "{said}");
}
