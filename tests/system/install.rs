//! `./install`: the programs, names, pages and scripts, where its options say.
//!
//! Not tested: the build that it begins with in a checkout.

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{Scratch, program, stderr, stdout};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the freshly built programs are.
fn built() -> &'static Path {
    program("svscan").parent().unwrap()
}

#[track_caller]
fn install(args: &[&str]) -> Output {
    let output = Command::new(project().join("install"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// All files and links below a folder.
fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(folder).unwrap().to_path_buf());
            }
        }
    }
    found
}

/// The names of the programs in Cargo.toml.
fn programs() -> Vec<String> {
    let manifest = fs::read_to_string(project().join("Cargo.toml")).unwrap();
    let bins = manifest.split("[[bin]]\n").skip(1);
    bins.map(|bin| bin.split('"').nth(1).unwrap().to_owned())
        .collect()
}

#[test]
fn every_program_name_and_page_is_installed_and_removed_again() {
    let scratch = Scratch::new();
    let (root, from) = (scratch.path().to_str().unwrap(), built().to_str().unwrap());
    let args = ["--from", from, "--destdir", root, "--openrc", "--systemd"];
    install(&args);
    let found = files(scratch.path());
    let has = |path: &str| assert!(found.contains(Path::new(path)), "{path}");
    for name in programs() {
        has(&format!("usr/local/bin/{name}"));
        has(&format!("usr/local/share/man/man8/{name}.8"));
    }
    let links = fs::read_to_string(project().join("links")).unwrap();
    for line in links.lines().filter(|line| !line.starts_with('#')) {
        let (name, program) = line.split_once(char::is_whitespace).unwrap();
        let link = scratch.path().join("usr/local/bin").join(name);
        assert_eq!(fs::read_link(link).unwrap(), Path::new(program.trim()));
        has(&format!("usr/local/share/man/man8/{name}.8"));
    }
    for path in [
        "usr/local/bin/svscanboot",
        "usr/local/share/man/man5/servicedir.5",
        "etc/init.d/svscan",
        "etc/conf.d/svscan",
        "usr/share/servicedir/servicedir.sh",
        "usr/local/lib/systemd/system/servicedir.service",
    ] {
        has(path);
    }
    let ran = Command::new(scratch.path().join("usr/local/bin/envdir"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(stdout(&ran).starts_with("envdir (servicedir) "), "{ran:?}");
    install(&[args.as_slice(), &["--uninstall"]].concat());
    // What the administrator has written stays.
    let left = files(scratch.path());
    assert!(
        left.iter().all(|path| path.starts_with("etc/conf.d")),
        "{left:?}"
    );
}

/// No script calls a program by its bare name: it may be another suite's.
#[test]
fn scripts_call_the_programs_where_they_are() {
    let scratch = Scratch::new();
    let (root, from) = (scratch.path().to_str().unwrap(), built().to_str().unwrap());
    install(&[
        "--from",
        from,
        "--destdir",
        root,
        "--bindir",
        "/opt/sd/bin",
        "--service",
        "/srv/run",
        "--openrc",
        "--systemd",
    ]);
    for path in [
        "opt/sd/bin/svscanboot",
        "etc/init.d/svscan",
        "etc/conf.d/supervision",
        "usr/share/servicedir/servicedir.sh",
        "usr/local/lib/systemd/system/servicedir.service",
    ] {
        let text = scratch.read(path);
        assert!(text.contains("/opt/sd/bin"), "{path}");
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#') && !line.starts_with("description"));
        for line in code {
            assert!(!line.contains("/usr/local/bin"), "{path}: {line}");
            for name in ["svc", "svok", "svstat", "svscan", "readproctitle"] {
                // Text between quotes is a message, unless a command stands in it.
                let bare = line
                    .split('"')
                    .enumerate()
                    .filter(|(at, part)| at % 2 == 0 || part.contains("$("))
                    .flat_map(|(_, part)| part.split(['\t', ' ', '(', '`', ';', '|']))
                    .any(|word| word == name);
                let is_help = line.contains("usage:") || line.starts_with("Runs ");
                assert!(!bare || is_help, "{path}: {line}");
            }
        }
    }
    let service = scratch.read("usr/local/lib/systemd/system/servicedir.service");
    assert!(service.contains("80s /srv/run\n"), "{service}");
    assert!(
        scratch
            .read("etc/init.d/svscan")
            .contains(r#":="/srv/run"}"#)
    );
}

/// A program that runs is replaced, not written to, and a setting is kept.
#[test]
fn an_installation_over_another_one_replaces_what_is_in_use() {
    let scratch = Scratch::new();
    let (root, from) = (scratch.path().to_str().unwrap(), built().to_str().unwrap());
    let args = ["--from", from, "--destdir", root, "--openrc"];
    install(&args);
    scratch.file("etc/conf.d/svscan", "SVSCAN_TIMEOUT=5\n");
    fs::create_dir(scratch.path().join("scan")).unwrap();
    let svscan = scratch.path().join("usr/local/bin/svscan");
    let mut running =
        support::Running::start(Command::new(&svscan).arg(scratch.path().join("scan")));
    install(&args);
    assert_eq!(scratch.read("etc/conf.d/svscan"), "SVSCAN_TIMEOUT=5\n");
    assert!(running.child().try_wait().unwrap().is_none());
    let mode = fs::metadata(svscan).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn a_wrong_command_line_is_refused() {
    for args in [
        ["--prefix"].as_slice(),
        &["--prefix", "relative"],
        &["--bindir", "/with space"],
        &["--wrong"],
    ] {
        let output = Command::new(project().join("install"))
            .args(args)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(100), "{args:?}");
        assert!(stderr(&output).starts_with("install: fatal: "), "{args:?}");
    }
}

/// The release of the programs that are built here: unpacked anywhere, its install needs no cargo.
#[test]
fn a_release_has_all_that_its_install_script_needs() {
    let scratch = Scratch::new();
    let output = Command::new(project().join("packaging/release"))
        .env("SERVICEDIR_PROGRAMS", built())
        .env("SERVICEDIR_OUT", scratch.path())
        .env("SERVICEDIR_LEVEL", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let run = |script: &str| {
        let output = Command::new("sh")
            .args(["-euc", script])
            .current_dir(scratch.path())
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}: {}", stderr(&output));
    };
    run("sha256sum --check --quiet *.sha256");
    run("tar -xzf *.tar.gz");
    run("cd servicedir-*/ && sha256sum --check --quiet SHA256SUMS");
    run("servicedir-*/install --destdir installed --openrc --systemd");
    run("installed/usr/local/bin/setlock --version");
    run("test -e installed/usr/local/share/man/man8/setlock.8");
}

#[test]
fn svscanboot_runs_svscan_and_ends_with_it() {
    let scratch = Scratch::new();
    let (root, from) = (scratch.path().to_str().unwrap(), built().to_str().unwrap());
    let bin = scratch.path().join("bin");
    install(&[
        "--from",
        from,
        "--bindir",
        bin.to_str().unwrap(),
        "--prefix",
        root,
    ]);
    // Whatever shows the messages.
    drop(fs::remove_file(bin.join("readproctitle")));
    scratch.script("bin/readproctitle", &format!("exec cat >{root}/title"));
    fs::create_dir(scratch.path().join("scan")).unwrap();
    scratch.script("sv/run", "env; exec sleep 1000");
    symlink("../sv", scratch.path().join("scan/web")).unwrap();
    let mut boot = support::Running::start(
        Command::new(bin.join("svscanboot")).arg(scratch.path().join("scan")),
    );
    support::until("web's environment", || {
        scratch.read("title").contains("PATH=")
    });
    let path = format!("PATH={}/bin:/command:/usr/local/bin:", root);
    assert!(
        scratch.read("title").contains(&path),
        "{}",
        scratch.read("title")
    );
    let scanner = children_of(boot.pid());
    let scanner = scanner
        .iter()
        .flat_map(|pid| children_of(*pid).into_iter().chain([*pid]));
    let scanner = scanner
        .into_iter()
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|it| it == "svscan\n")
        })
        .unwrap();
    support::kill(scanner, libc::SIGTERM);
    boot.ended();
}

fn children_of(pid: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect()
}
