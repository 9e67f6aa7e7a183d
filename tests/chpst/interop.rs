//! chpst and the loaders beside Debian's: the same effect on the program, code, stdout and stderr.
//!
//! A program that reports what it finds in /proc runs under the original and under ours.
//!
//! Not tested: names that only a name service knows; kernels that refuse what this one grants.

use crate::support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use support::{Scratch, peer, program, stderr, stdout};

/// What is reported: who the process is, its limits, environment, arguments, place, nice value,
/// session, signals and descriptors. It goes to a file, since stdout may be closed.
const REPORT: &str = r#"PATH=/usr/bin:/bin
{
grep -E '^(Uid|Gid|Groups|Umask|SigBlk|SigIgn|NoNewPrivs|CapEff)' /proc/self/status
cat /proc/$$/limits
tr '\0' '\n' </proc/$$/environ
echo --
tr '\0' '\n' </proc/$$/cmdline
readlink /proc/$$/cwd /proc/$$/root
set -- $(cut -d ' ' -f 5,6,19 /proc/$$/stat)
test "$1" = $$ && echo group of its own
test "$2" = $$ && echo session of its own
echo nice "$3"
for fd in /proc/$$/fd/*; do
    echo "${fd##*/} $(readlink "$fd" | sed 's/:.*//')"
done
} >report 2>&1
exit 7
"#;

/// A place for one comparison, with all that the command lines name.
fn place() -> Scratch {
    let scratch = Scratch::new();
    let world = fs::Permissions::from_mode(0o777);
    fs::set_permissions(scratch.path(), world).unwrap();
    scratch.file("report.sh", REPORT);
    for (name, bytes) in [
        ("env/NEW", "one line\nand another\n"),
        ("env/OLD", "replaced"),
        ("env/GONE", ""),
        ("env/EMPTY", "\nsecond\n"),
        ("env/BLANKS", " kept inside \t \n"),
        ("env/NULS", "a\0b \0\n"),
        ("env/.hidden", "not read"),
        ("env/PATH", "/nowhere"),
        ("env/EQ=UALS", "value"),
        ("env/LAST=", ""),
        ("sub/inner/FILE", "x"),
        ("sub/A", "1"),
        ("plain", "no directory"),
        ("locked", ""),
    ] {
        scratch.file(name, bytes);
    }
    symlink("NEW", scratch.path().join("env/LINK")).unwrap();
    let fifo = scratch.path().join("env/FIFO");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    scratch.script("refused", "exit 0");
    let unreadable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(scratch.path().join("refused"), unreadable).unwrap();
    scratch
}

/// How the loader itself is run.
#[derive(Clone, Copy)]
struct Caller {
    /// A shell line that ends with `"$@"`.
    through: &'static str,
}

const PLAINLY: Caller = Caller {
    through: r#"exec "$@""#,
};
const AS_NOBODY: Caller = Caller {
    through: r#"exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@""#,
};

/// What came of a run.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    report: String,
}

/// Runs a line, whose words are split at blanks: `REPORT` is the reporting program, `''` an empty word.
fn run(scratch: &Scratch, path: &Path, words: &str, caller: Caller) -> Outcome {
    let mut command = Command::new("/bin/sh");
    command
        .current_dir(scratch.path())
        .args(["-c", caller.through, "sh"])
        .arg(path);
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        match word {
            "REPORT" => command.args(["sh", "-c", ". ./report.sh"]),
            "''" => command.arg(""),
            word => command.arg(word),
        };
    }
    let output = command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin")
        .env("OLD", "old")
        .env("GONE", "gone")
        .env("EQ", "equal")
        .env("ZLAST", "z")
        .output()
        .unwrap();
    let report = scratch.path().join("report");
    let outcome = Outcome {
        code: output.status.code(),
        stdout: stdout(&output),
        stderr: stderr(&output),
        report: scratch.read("report"),
    };
    drop(fs::remove_file(report));
    outcome
}

/// What the original would print if it had `-C`, and no version of its own.
fn as_ours(mut outcome: Outcome, words: &str) -> Outcome {
    outcome.stderr = outcome.stderr.replace("[-/ root] ", "[-/ root] [-C dir] ");
    if words.starts_with("-V") {
        let usage = outcome.stderr.split_once('\n').unwrap().1;
        outcome.stderr = format!("chpst (servicedir) {}\n{usage}", env!("CARGO_PKG_VERSION"));
    }
    outcome
}

#[track_caller]
fn compare(line: &str, caller: Caller) -> Outcome {
    let scratch = place();
    let (name, words) = line.split_once(' ').unwrap_or((line, ""));
    let theirs = as_ours(run(&scratch, &peer(name), words, caller), words);
    let mut ours = run(&scratch, program(name), words, caller);
    // The shell's variable for the program that it became.
    let own = program(name).to_str().unwrap();
    ours.report = ours.report.replace(own, peer(name).to_str().unwrap());
    same(&ours, &theirs, line);
    ours
}

/// Shows the first lines that differ.
#[track_caller]
fn same(ours: &Outcome, theirs: &Outcome, line: &str) {
    assert_eq!(
        (ours.code, &ours.stdout, &ours.stderr),
        (theirs.code, &theirs.stdout, &theirs.stderr),
        "{line}"
    );
    let differing = ours
        .report
        .lines()
        .zip(theirs.report.lines())
        .find(|(a, b)| a != b);
    assert_eq!(differing, None, "{line}");
    assert_eq!(ours.report.len(), theirs.report.len(), "{line}");
}

/// Compares each line, and sees to it that some of the programs came to report.
#[track_caller]
fn all(lines: &[&str], caller: Caller) {
    let codes: Vec<Option<i32>> = lines
        .iter()
        .map(|line| compare(line, caller).code)
        .collect();
    assert!(codes.contains(&Some(7)), "{codes:?}");
}

#[test]
fn users_and_groups() {
    all(
        &[
            "setuidgid nobody REPORT",
            "setuidgid daemon REPORT",
            "setuidgid root REPORT",
            "setuidgid 65534 REPORT",
            "setuidgid nobody:daemon REPORT",
            "setuidgid :1:1 REPORT",
            "setuidgid no-such-user REPORT",
            "setuidgid '' REPORT",
            "setuidgid nobody",
            "setuidgid",
            "setuidgid nobody no-such-program",
            "setuidgid -- nobody REPORT",
            "envuidgid nobody REPORT",
            "envuidgid daemon REPORT",
            "envuidgid no-such-user REPORT",
            "envuidgid nobody",
            "envuidgid",
            "envuidgid nobody no-such-program",
            "chpst -u nobody REPORT",
            "chpst -u nobody:daemon REPORT",
            "chpst -u nobody:daemon:adm:daemon REPORT",
            "chpst -u nobody: REPORT",
            "chpst -u nobody:no-such-group REPORT",
            "chpst -u no-such-user REPORT",
            "chpst -u 65534 REPORT",
            "chpst -u :1:2 REPORT",
            "chpst -u :65534:2:3:4 REPORT",
            "chpst -u :1 REPORT",
            "chpst -u : REPORT",
            "chpst -u '' REPORT",
            "chpst -u :1:x REPORT",
            "chpst -u :-1:1 REPORT",
            "chpst -u :4294967295:1 REPORT",
            "chpst -U nobody REPORT",
            "chpst -U nobody:daemon REPORT",
            "chpst -U :7:8:9 REPORT",
            "chpst -U :7 REPORT",
            "chpst -U no-such-user REPORT",
            "chpst -U nobody -u daemon REPORT",
            "chpst -u",
            "chpst -u nobody",
        ],
        PLAINLY,
    );
}

#[test]
fn users_who_may_not_change_who_they_are() {
    all(
        &[
            "setuidgid nobody REPORT",
            "setuidgid daemon REPORT",
            "envuidgid daemon REPORT",
            "chpst -u daemon REPORT",
            "chpst -u :65534:65534 REPORT",
            "chpst -U daemon REPORT",
            "chpst -n 5 REPORT",
            "chpst -n -5 REPORT",
            "chpst -/ / REPORT",
            "chpst -l /root/lock REPORT",
            "chpst -e /root REPORT",
            "envdir /root REPORT",
            "setlock /root/lock REPORT",
            "setlock -x /root/lock REPORT",
            "setlock own REPORT",
            "softlimit -o 100 REPORT",
            "softlimit -o 100000000 REPORT",
            "pgrphack REPORT",
        ],
        AS_NOBODY,
    );
}

#[test]
fn environments() {
    all(
        &[
            "envdir env REPORT",
            "envdir env env",
            "envdir ./env/ REPORT",
            "envdir sub REPORT",
            "envdir sub/inner REPORT",
            "envdir plain REPORT",
            "envdir no-such-directory REPORT",
            "envdir '' REPORT",
            "envdir env no-such-program",
            "envdir env",
            "envdir",
            "chpst -e env REPORT",
            "chpst -e env env",
            "chpst -e sub REPORT",
            "chpst -v -e sub REPORT",
            "chpst -e sub -v REPORT",
            "chpst -e plain REPORT",
            "chpst -e no-such-directory REPORT",
            "chpst -e env -U nobody REPORT",
            "chpst -U nobody -e env REPORT",
            "chpst -e env -e sub/inner REPORT",
        ],
        PLAINLY,
    );
}

/// The environment is handed on byte by byte: also what is no variable, twice there, or no text.
#[test]
fn an_environment_that_is_odd() {
    let scratch = place();
    let script = r#"
import os, sys
vector = [b"odd", b"=nameless", b"OLD=1", b"OLD=2", b"EQ=\xff", b"", b"PATH=/bin", b"Z=z"]
# Python drops such entries, the kernel does not.
import ctypes
libc = ctypes.CDLL(None)
words = [word.encode() for word in sys.argv[1:]]
array = lambda it: (ctypes.c_char_p * (len(it) + 1))(*it, None)
libc.execve(words[0], array(words), array(vector))
"#;
    scratch.file("odd.py", script);
    let caller = Caller {
        through: r#"exec python3 odd.py "$@""#,
    };
    for (name, words) in [
        ("envdir", "env cat /proc/self/environ"),
        ("chpst", "-e env cat /proc/self/environ"),
        ("envuidgid", "nobody cat /proc/self/environ"),
        ("setlock", "lock cat /proc/self/environ"),
    ] {
        let theirs = run(&scratch, &peer(name), words, caller);
        let ours = run(&scratch, program(name), words, caller);
        assert_eq!(ours, theirs, "{name} {words}");
        assert!(ours.stdout.contains("odd\0=nameless"), "{ours:?}");
    }
}

#[test]
fn without_a_path_two_directories_are_searched() {
    let scratch = place();
    let caller = Caller {
        through: r#"exec env -u PATH "$@""#,
    };
    for (name, words) in [
        ("pgrphack", "cat /proc/self/environ"),
        ("chpst", "cat /proc/self/environ"),
        ("pgrphack", "setpriv --version"),
        ("pgrphack", "no-such-program"),
    ] {
        let theirs = run(&scratch, &peer(name), words, caller);
        assert_eq!(
            run(&scratch, program(name), words, caller),
            theirs,
            "{name} {words}"
        );
    }
}

#[test]
fn limits() {
    all(
        &[
            "softlimit -o 50 REPORT",
            "softlimit -o50 REPORT",
            "softlimit -o 10 -o = REPORT",
            "softlimit -m 200000000 REPORT",
            "softlimit -m = REPORT",
            "softlimit -d 100000000 -s 10000000 -l 5000 -a 900000000 REPORT",
            "softlimit -p 1000 -r 900000 -t 100 REPORT",
            "softlimit -c 0 -f 100000 REPORT",
            "softlimit -c 18446744073709551615 REPORT",
            "softlimit -o 18446744073709551615 REPORT",
            "softlimit -f 0 REPORT",
            "softlimit REPORT",
            "softlimit -- REPORT",
            "softlimit -o x REPORT",
            "softlimit -o -1 REPORT",
            "softlimit -o == REPORT",
            "softlimit -o",
            "softlimit -o 50",
            "softlimit",
            "softlimit -z REPORT",
            "softlimit -o 50 no-such-program",
            "softlimit -a 0 -d 0 -s 0 ./no-such-program",
            "chpst -o 50 REPORT",
            "chpst -m 200000000 REPORT",
            "chpst -m 200000000 -d 100000000 REPORT",
            "chpst -d 100000000 -m 200000000 REPORT",
            "chpst -p 1000 -r 900000 -t 100 REPORT",
            "chpst -c 0 -f 100000 REPORT",
            "chpst -c 18446744073709551615 REPORT",
            "chpst -o 99999999 REPORT",
            "chpst -m = REPORT",
            "chpst -o x REPORT",
            "chpst -o",
        ],
        PLAINLY,
    );
}

#[test]
fn places_sessions_names_and_descriptors() {
    all(
        &[
            "pgrphack REPORT",
            "pgrphack",
            "pgrphack no-such-program",
            "pgrphack ./refused",
            "pgrphack refused",
            "pgrphack /tmp",
            "pgrphack ./plain/x",
            "pgrphack -- REPORT",
            "chpst -P REPORT",
            "chpst REPORT",
            "chpst -- REPORT",
            "chpst --anything REPORT",
            "chpst -",
            "chpst",
            "chpst -x REPORT",
            "chpst -V",
            "chpst -V REPORT",
            "chpst ''",
            "chpst no-such-program",
            "chpst ./refused",
            "chpst -/ / REPORT",
            "chpst -/ no-such-directory REPORT",
            "chpst -/ plain REPORT",
            "chpst -n 3 REPORT",
            "chpst -n +3 REPORT",
            "chpst -n -3 REPORT",
            "chpst -n 100 REPORT",
            "chpst -n 5 -n -2 REPORT",
            "chpst -n 3x REPORT",
            "chpst -n",
            "chpst -b name REPORT",
            "chpst -b '' REPORT",
            "chpst -b name no-such-program",
            "chpst -0 REPORT",
            "chpst -1 REPORT",
            "chpst -2 REPORT",
            "chpst -012 REPORT",
            "chpst -v012P REPORT",
        ],
        PLAINLY,
    );
}

#[test]
fn descriptors_that_are_closed_already() {
    let closed = [
        r#"exec "$@" <&-"#,
        r#"exec "$@" >&-"#,
        r#"exec "$@" 2>&-"#,
        r#"exec "$@" <&- >&- 2>&-"#,
    ];
    for through in closed {
        all(
            &[
                "setlock lock REPORT",
                "envdir env REPORT",
                "setuidgid nobody REPORT",
                "pgrphack no-such-program",
                "chpst -l lock REPORT",
                "chpst -l lock -0 REPORT",
                "chpst -0 REPORT",
                "chpst -1 REPORT",
                "chpst -2 REPORT",
                "chpst -e env -u nobody REPORT",
            ],
            Caller { through },
        );
    }
}

#[test]
fn signals_that_are_ignored_stay_so() {
    let caller = Caller {
        through: r#"trap "" PIPE HUP TERM; exec "$@""#,
    };
    all(
        &["pgrphack REPORT", "chpst -P REPORT", "envdir env REPORT"],
        caller,
    );
    let default = Caller {
        through: r#"exec env --default-signal "$@""#,
    };
    all(&["pgrphack REPORT", "chpst -P REPORT"], default);
}

#[test]
fn locks() {
    all(
        &[
            "setlock new REPORT",
            "setlock locked REPORT",
            "setlock -n locked REPORT",
            "setlock -N locked REPORT",
            "setlock -nx locked REPORT",
            "setlock env REPORT",
            "setlock -x env REPORT",
            "setlock -X env REPORT",
            "setlock no-such-directory/lock REPORT",
            "setlock -x no-such-directory/lock REPORT",
            "setlock '' REPORT",
            "setlock env/FIFO REPORT",
            "setlock locked",
            "setlock -n",
            "setlock",
            "setlock -z locked REPORT",
            "setlock -- locked REPORT",
            "setlock locked no-such-program",
            "setlock -x locked no-such-program",
            // The program holds it: nobody else can have it.
            "setlock locked flock -n locked true",
            "setlock locked flock -n other true",
            "chpst -l new REPORT",
            "chpst -L new REPORT",
            "chpst -l locked flock -n locked true",
            "chpst -L locked flock -n locked true",
            "chpst -l env REPORT",
            "chpst -L no-such-directory/lock REPORT",
            "chpst -l a -l b REPORT",
            "chpst -l a -L a REPORT",
            "chpst -l",
        ],
        PLAINLY,
    );
}

/// While another process has the lock, who does not wait gives up, and who waits gets it afterwards.
#[test]
fn a_lock_that_another_process_has() {
    let caller = Caller {
        through: r#"exec flock locked "$@""#,
    };
    for (line, code) in [
        ("setlock -n locked REPORT", 111),
        ("setlock -nx locked REPORT", 0),
        ("setlock -xn locked true", 0),
        ("chpst -L locked REPORT", 111),
    ] {
        assert_eq!(compare(line, caller).code, Some(code), "{line}");
    }
    let later = Caller {
        through: r#"mkfifo held; flock locked sh -c 'echo >held; sleep 0.2' & read -r x <held; rm held; exec "$@""#,
    };
    for line in ["setlock locked REPORT", "chpst -l locked REPORT"] {
        assert_eq!(compare(line, later).code, Some(7), "{line}");
    }
}

/// A name in the message that is no text stays as it is, as the originals leave it.
#[test]
fn names_that_are_no_text() {
    let scratch = place();
    let odd = OsStr::from_bytes(b"n\xffne");
    for (name, words) in [
        ("setuidgid", vec![odd, OsStr::new("true")]),
        ("envdir", vec![odd, OsStr::new("true")]),
        ("setlock", vec![OsStr::new("plain/x"), odd]),
        ("chpst", vec![OsStr::new("-u"), odd, OsStr::new("true")]),
        ("pgrphack", vec![odd]),
    ] {
        let said = |path: &Path| {
            let mut command = Command::new(path);
            command.current_dir(scratch.path()).args(&words);
            command.output().unwrap()
        };
        assert_eq!(said(program(name)), said(&peer(name)), "{name}");
    }
}

/// A root directory of its own: the static copy of a program is all that is in it.
#[test]
fn a_root_directory_of_its_own() {
    let scratch = place();
    fs::create_dir_all(scratch.path().join("jail/etc")).unwrap();
    support::copy_of("chpst", &scratch.path().join("jail/prog"));
    scratch.file("jail/etc/passwd", "inner:x:7:8::/:\n");
    scratch.file("jail/etc/group", "group:x:9:\n");
    for words in [
        "-/ jail /prog --version",
        "-/ jail /no-such-program",
        "-/ jail -u inner:group /prog --version",
        "-/ jail -u nobody /prog --version",
        "-e env -/ jail -l /lock /prog --version",
    ] {
        let theirs = run(&scratch, &peer("chpst"), words, PLAINLY);
        let ours = run(&scratch, program("chpst"), words, PLAINLY);
        assert_eq!(ours, theirs, "{words}");
    }
    assert!(scratch.path().join("jail/lock").exists());
}

/// What runit 2.2.0 has and Debian's has not.
#[test]
fn a_working_directory() {
    let scratch = place();
    let ran = run(&scratch, program("chpst"), "-C sub pwd", PLAINLY);
    assert!(ran.stdout.ends_with("/sub\n"), "{ran:?}");
    fs::create_dir_all(scratch.path().join("jail/inner")).unwrap();
    support::copy_of("chpst", &scratch.path().join("jail/inner/prog"));
    let words = "-C inner -/ jail ./prog --version";
    assert_eq!(
        run(&scratch, program("chpst"), words, PLAINLY).code,
        Some(0)
    );
    let ran = run(&scratch, program("chpst"), "-C no pwd", PLAINLY);
    assert_eq!(
        (ran.code, ran.stderr.as_str()),
        (
            Some(111),
            "chpst: fatal: unable to change directory: no: file does not exist\n"
        )
    );
}

/// Where the originals turn an empty or too large number into another one, ours refuse it.
#[test]
fn numbers_that_are_no_numbers_are_refused() {
    let scratch = place();
    for (name, words, code) in [
        ("softlimit", "-o '' true", 100),
        ("softlimit", "-o 18446744073709551616 true", 100),
        ("chpst", "-o '' true", 100),
        ("chpst", "-o 18446744073709551616 true", 100),
        ("chpst", "-n '' true", 100),
        ("chpst", "-n - true", 100),
        ("chpst", "-n 4294967297 true", 100),
        ("chpst", "-u :4294967296:1 true", 111),
        ("chpst", "-u ::1 true", 111),
        ("chpst", "-u :1:1: true", 111),
    ] {
        let code_of = |path: &Path| run(&scratch, path, words, PLAINLY).code;
        assert_eq!(code_of(program(name)), Some(code), "{name} {words}");
        assert_ne!(code_of(&peer(name)), Some(code), "{name} {words}");
    }
}

/// The originals give it the value of the file that was read before.
#[test]
fn a_link_in_an_envdir_that_leads_nowhere_changes_nothing() {
    let scratch = place();
    symlink("nowhere", scratch.path().join("sub/inner/OLD")).unwrap();
    for (name, words) in [("envdir", "sub/inner env"), ("chpst", "-e sub/inner env")] {
        let ours = run(&scratch, program(name), words, PLAINLY);
        assert!(ours.stdout.contains("OLD=old\n"), "{ours:?}");
        assert!(ours.stdout.contains("\nFILE=x\n"), "{ours:?}");
    }
}
