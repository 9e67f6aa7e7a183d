//! Random configurations: what Supervisor understands is what the service directories say, and what it refuses
//! is refused.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::understood::{Understood, agree, by_supervisor, import};
use crate::support::Scratch;

/// How many configurations are made.
const CONFIGURATIONS: usize = 120;

/// The keys of a program, each with texts that are right and some that are not.
const KEYS: &[(&str, &[&str])] = &[
    ("priority", &["1", "-5", "999", " 10 ", "1_000", "high"]),
    ("autostart", &["true", "FALSE", "on", "0", "2"]),
    (
        "autorestart",
        &["true", "false", "unexpected", "Unexpected", "always"],
    ),
    ("exitcodes", &["0", "0,2", " 1 , 3 ", "", "256", "0 2"]),
    ("startsecs", &["0", "1", "10", "-1", "1.5"]),
    ("startretries", &["0", "3", "100", "-1"]),
    ("stopsignal", &["TERM", "int", "SIGQUIT", "9", "NOPE"]),
    ("stopwaitsecs", &["0", "10", "3600", "5s"]),
    ("stopasgroup", &["true", "false"]),
    ("killasgroup", &["true", "false"]),
    ("redirect_stderr", &["true", "false", "yes"]),
    ("user", &["nobody", "www-data"]),
    (
        "directory",
        &["/tmp", "/srv/%(program_name)s", "/x/%(process_num)02d"],
    ),
    ("umask", &["022", "0o27", "9"]),
    (
        "environment",
        &[
            "A=\"1\"",
            "A=1,B=\"x y\"",
            "A = 1 , B = 2",
            "PATH=\"/a:/b\"",
            "A=\"50%%\"",
            "A='q',",
            "a-b=\"1\",C=\"it's\"",
            "A=x=y",
            "A=\"open",
            "A=$HOME",
            "A=\"\"",
            "A=\" ends \"",
            "N=\"%(process_num)d\"",
            "A=1;B=2",
            "X=\"%(nope)s\"",
        ],
    ),
    (
        "stdout_logfile",
        &[
            "/var/log/a.log",
            "NONE",
            "AUTO",
            "/var/log/%(program_name)s-%(process_num)d.log",
            "off",
            "syslog",
            "plain.log",
        ],
    ),
    (
        "stdout_logfile_maxbytes",
        &["1MB", "0", "50 KB", "10B", "1gb"],
    ),
    ("stdout_logfile_backups", &["0", "3"]),
    ("stdout_syslog", &["true", "false"]),
    (
        "stderr_logfile",
        &["/var/log/e.log", "/var/log/a.log", "NONE", "AUTO"],
    ),
    ("stderr_logfile_maxbytes", &["2MB", "0"]),
    ("serverurl", &["AUTO", "http://localhost:1"]),
    ("unknown_key", &["%(anything)s"]),
];

const COMMANDS: &[&str] = &[
    "sleep 1000",
    "/bin/sh -c \"a 'b' c\"",
    "x --y=%(program_name)s --n %(process_num)d",
    "php artisan queue:work ; a comment",
    "a\\ b 'c d' \"\" $HOME *",
    "first\n  second third",
    "%(ENV_A)s",
    "50%% done",
    "50% done",
    "it's' fine'",
    "a;b#c",
];

/// One program's lines.
fn program(name: &'static str) -> impl Strategy<Value = String> {
    let keys = prop::collection::vec((0..KEYS.len(), any::<prop::sample::Index>()), 0..7);
    let number = prop_oneof![4 => Just(None), 1 => (0..4i64).prop_map(Some)];
    let pattern = prop_oneof![
        Just("%(program_name)s_%(process_num)02d"),
        Just("w%(process_num)d")
    ];
    let separator = prop_oneof![3 => Just("="), 1 => Just(" : ")];
    (0..COMMANDS.len(), keys, number, pattern, separator).prop_map(
        move |(command, keys, number, pattern, separator)| {
            let mut text = format!(
                "[program:{name}]\ncommand{separator}{}\n",
                COMMANDS[command]
            );
            if let Some(number) = number {
                writeln!(text, "numprocs={number}\nprocess_name={pattern}").unwrap();
            }
            for (key, choice) in keys {
                let (key, texts) = KEYS[key];
                writeln!(text, "{key}{separator}{}", texts[choice.index(texts.len())]).unwrap();
            }
            text
        },
    )
}

fn configuration() -> impl Strategy<Value = String> {
    let head = prop_oneof![
        Just("[supervisord]\n"),
        Just("[supervisord]\nnodaemon=true\nenvironment=A=\"all\",G=\"1\"\n"),
        Just("[DEFAULT]\nautostart=false\n[supervisord]\n"),
    ];
    let group = prop_oneof![
        Just(""),
        Just("[group:g]\nprograms=one,two\n"),
        Just("[group:g]\nprograms=two\npriority=7\n"),
        Just("[group:g]\nprograms=one\n[group:h]\nprograms=one, two\n"),
        Just("[group:g]\nprograms=nope\n"),
    ];
    (head, group, program("one"), program("two"))
        .prop_map(|(head, group, one, two)| format!("{head}{group}{one}{two}"))
}

#[test]
fn what_supervisor_understands_is_what_the_directories_say() {
    let scratch = Scratch::new();
    let mut runner = TestRunner::deterministic();
    let mut files: Vec<PathBuf> = Vec::new();
    for number in 0..CONFIGURATIONS {
        let text = configuration().new_tree(&mut runner).unwrap().current();
        files.push(scratch.file(&format!("{number}.conf"), text));
    }
    let mut accepted = 0;
    for (file, understood) in files.iter().zip(by_supervisor(&files)) {
        let scan = file.with_extension("scan");
        let (code, said) = import(file, &scan);
        let text = fs::read_to_string(file).unwrap();
        match understood {
            Understood::Processes(processes) => {
                assert_eq!(code, Some(0), "{said}\n{text}");
                agree(file, &processes, &scan);
                accepted += 1;
            }
            Understood::Refused(why) => {
                assert_eq!(code, Some(102), "{why}\n{said}\n{text}");
                assert!(said.contains("svimport: fatal: "), "{said}");
                assert!(!scan.exists(), "{text}");
            }
        }
    }
    // The texts that are wrong must not hide those that are right.
    assert!(accepted > CONFIGURATIONS / 10, "{accepted} were accepted");
}
