use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::*;

/// A service directory with these files in `options/`.
fn service(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join("options").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn options(files: &[(&str, &[u8])]) -> Result<Options, String> {
    read(service(files).path()).map_err(|fault| fault.to_string())
}

#[track_caller]
fn check_fault(files: &[(&str, &[u8])], expected: &str) {
    assert_eq!(options(files).unwrap_err(), expected);
}

/// The options that one file gives, read as `read` reads it but for what depends on other files.
fn from_text(entry: &Entry, text: &str) -> Result<Options, Fault> {
    let mut options = Options::default();
    let values = Values::of(text.as_bytes());
    match entry.set {
        Set::Field(set) => {
            set(&mut options, &values).map_err(|refusal| Fault::refused(entry, refusal))?
        }
        Set::Limit(resource) => {
            let range =
                one(&values, values::limit).map_err(|refusal| Fault::refused(entry, refusal))?;
            options.limits.push(Limit {
                name: entry.name,
                resource,
                range,
            });
        }
        Set::Env => options
            .env
            .push((OsString::from("LANG"), Some(OsString::from("C.UTF-8")))),
    }
    Ok(options)
}

#[test]
fn an_example_is_read_and_changes_something() {
    for entry in entries() {
        let options = from_text(entry, entry.example).unwrap_or_else(|fault| panic!("{fault}"));
        assert_ne!(options, Options::default(), "{}", entry.name);
    }
}

#[test]
fn no_two_examples_change_the_same() {
    let all: Vec<Options> = entries()
        .map(|entry| from_text(entry, entry.example).unwrap())
        .collect();
    for (at, options) in all.iter().enumerate() {
        assert!(!all[at + 1..].contains(options), "{options:?}");
    }
}

#[test]
fn what_holds_without_a_file_is_what_its_text_says() {
    for entry in entries() {
        if let Without::Text(text) = entry.without {
            assert_eq!(
                from_text(entry, text),
                Ok(Options::default()),
                "{}",
                entry.name
            );
        }
    }
}

#[test]
fn every_option_is_documented_and_named_once() {
    let names: BTreeSet<&str> = entries().map(|entry| entry.name).collect();
    assert_eq!(names.len(), entries().count());
    for entry in entries() {
        assert!(entry.doc.trim().ends_with('.'), "{}", entry.name);
        assert!(
            !entry.takes.is_empty() && !entry.takes.ends_with('.'),
            "{}",
            entry.name
        );
    }
}

#[test]
fn every_limit_of_the_kernel_is_an_option() {
    let kernel = fs::read_to_string("/proc/self/limits").unwrap();
    let limits = entries()
        .filter(|entry| entry.name.starts_with("limit-"))
        .count();
    assert_eq!(limits, kernel.lines().count() - 1, "{kernel}");
}

#[test]
fn without_a_directory_all_is_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()), Ok(Options::default()));
    fs::create_dir(dir.path().join("options")).unwrap();
    assert_eq!(read(dir.path()), Ok(Options::default()));
}

#[test]
fn a_plain_file_of_that_name_is_none_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("options"), "-p 80\n").unwrap();
    assert_eq!(read(dir.path()), Ok(Options::default()));
}

#[test]
fn a_link_to_nowhere_is_not_taken_for_no_options() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/nonexistent", dir.path().join("options")).unwrap();
    let fault = read(dir.path()).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "options: unable to read: no such file or directory"
    );
}

#[test]
fn a_linked_directory_is_followed() {
    let real = service(&[("startsecs", b"7")]);
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(real.path().join("options"), dir.path().join("options")).unwrap();
    assert_eq!(read(dir.path()).unwrap().startsecs, Duration::from_secs(7));
}

#[test]
fn blanks_empty_lines_and_comments_do_not_count() {
    let options = options(&[
        ("startsecs", b"# for the cache\n\n  1m 30s \r\n\n#5"),
        (
            "exitcodes",
            b"0 2\n# what the deploy script sends\nSIGTERM\n",
        ),
        (".startsecs.swp", b"rubbish"),
    ]);
    let options = options.unwrap();
    assert_eq!(options.startsecs, Duration::from_secs(90));
    assert!(options.exitcodes.contains(crate::status::End::Exited(2)));
    assert!(options.exitcodes.contains(crate::status::End::Killed {
        signal: Signal::TERM,
        core: false
    }));
}

#[test]
fn a_fault_names_its_file_its_line_and_what_was_expected() {
    check_fault(
        &[("startsec", b"5")],
        "options/startsec: unknown option (did you mean startsecs?)",
    );
    check_fault(&[("zzz", b"5")], "options/zzz: unknown option");
    check_fault(
        &[("startsecs", b"# seconds\n5x\n")],
        "options/startsecs: line 2: \"5x\": expected a duration such as 5s, 1m 30s, 250ms or a number of seconds",
    );
    check_fault(
        &[("essential", b"yes\n\nno\n")],
        "options/essential: line 3: \"no\": a second value: expected yes or no",
    );
    check_fault(
        &[("essential", b"# yes\n")],
        "options/essential: no value: expected yes or no",
    );
    check_fault(
        &[("exitcodes", b"0\n1\n300\n")],
        "options/exitcodes: line 3: \"300\": expected exit codes from 0 to 255 and names of signals, such as 0 2 SIGTERM",
    );
    check_fault(
        &[("essential", b"\xff\x00")],
        "options/essential: line 1: \"\u{fffd}\\x00\": expected yes or no",
    );
    check_fault(&[("nice/x", b"")], "options/nice: expected a plain file");
    check_fault(
        &[("env", b"A=1")],
        "options/env: expected a directory with a file a variable",
    );
    check_fault(
        &[("umask", &[b' '; 1 << 20])],
        "options/umask: expected a file of at most 131072 bytes",
    );
}

#[test]
fn values_that_exclude_each_other_are_a_fault() {
    check_fault(
        &[("stopasgroup", b"yes"), ("killasgroup", b"no")],
        "options/killasgroup: no, where options/stopasgroup says yes",
    );
    check_fault(
        &[("ready", b"check")],
        "options/ready: check, where there is no executable file check",
    );
    let dir = service(&[("redirect-stderr", b"yes")]);
    assert!(read(dir.path()).unwrap().redirect_stderr);
    fs::create_dir(dir.path().join("errlog")).unwrap();
    assert_eq!(
        read(dir.path()).unwrap_err().to_string(),
        "options/redirect-stderr: yes, where a directory errlog takes the stderr"
    );
}

#[test]
fn the_kill_goes_where_the_stop_signal_goes_unless_told() {
    let groups = |files: &[(&str, &[u8])]| {
        options(files).map(|options| (options.stopasgroup, options.killasgroup))
    };
    assert_eq!(groups(&[("stopasgroup", b"yes")]), Ok((true, true)));
    assert_eq!(groups(&[("killasgroup", b"yes")]), Ok((false, true)));
    assert_eq!(groups(&[("stopasgroup", b"no")]), Ok((false, false)));
}

#[test]
fn the_backups_of_editors_do_not_count() {
    let read = options(&[
        ("nice", b"5"),
        ("nice~", b"five"),
        ("nice.~1~", b""),
        ("#nice#", b"fi"),
    ]);
    assert_eq!(read.unwrap().nice, Some(5));
}

#[test]
fn one_option_is_read_whatever_is_wrong_with_the_others() {
    let dir = service(&[
        ("priority", b"5"),
        ("umask", b"999"),
        ("essential", b"maybe"),
    ]);
    assert_eq!(read_only(dir.path(), "priority").unwrap().priority, 5);
    assert!(read_only(dir.path(), "autostart").unwrap().autostart);
    let fault = read_only(dir.path(), "essential").unwrap_err();
    assert_eq!(
        fault.to_string(),
        "options/essential: line 1: \"maybe\": expected yes or no"
    );
    let fault = read_only(dir.path(), "colour").unwrap_err();
    assert_eq!(fault.to_string(), "options/colour: unknown option");
}

#[test]
fn one_option_is_read_where_there_are_no_options() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read_only(dir.path(), "autostart").unwrap().autostart);
    fs::write(dir.path().join("options"), "").unwrap();
    assert!(read_only(dir.path(), "autostart").unwrap().autostart);
}

#[test]
fn variables_that_no_program_could_be_given_are_refused() {
    let long = vec![b'x'; FILE_MAX];
    let names: Vec<String> = (0..49).map(|number| format!("env/V{number}")).collect();
    let files: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), long.as_slice()))
        .collect();
    let all = "options/env: expected files of at most 6291456 bytes together";
    check_fault(&files, all);
    assert!(options(files.get(1..).unwrap()).is_ok());
}

#[test]
fn limits_come_by_name() {
    let limits = options(&[("limit-nofile", b"1024:4096"), ("limit-core", b"0")])
        .unwrap()
        .limits;
    let shown: Vec<String> = limits
        .iter()
        .map(|limit| format!("{} {}", limit.name, limit.range))
        .collect();
    assert_eq!(shown, ["limit-core 0", "limit-nofile 1024:4096"]);
    check_fault(
        &[("limit-nproc", b"many")],
        "options/limit-nproc: line 1: \"many\": expected SOFT, SOFT:HARD or unlimited, in numbers such as 1024 or 1024:4096, the first not above the second",
    );
}

#[test]
fn variables_are_files_of_a_directory() {
    let env = options(&[
        ("env/LANG", b"C.UTF-8 \nrest"),
        ("env/TZ", b""),
        ("env/.x", b"no"),
        ("env/A", b"\n"),
    ]);
    let value = |text: &str| Some(OsString::from(text));
    let expected = [("A", value("")), ("LANG", value("C.UTF-8")), ("TZ", None)];
    assert_eq!(
        env.unwrap().env,
        expected.map(|(name, value)| (OsString::from(name), value))
    );
    check_fault(
        &[("env/sub/A", b"")],
        "options/env/sub: expected a plain file",
    );
    check_fault(
        &[("env/A=B", b"")],
        "options/env/A=B: a variable's name has no \"=\"",
    );
}

#[test]
fn nothing_that_may_lie_there_makes_it_wait() {
    let dir = service(&[]);
    let folder = dir.path().join("options");
    fs::create_dir(&folder).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.join("nice"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    assert_eq!(
        read(dir.path()).unwrap_err().to_string(),
        "options/nice: expected a plain file"
    );
    fs::remove_file(folder.join("nice")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("nice")).unwrap();
    assert_eq!(
        read(dir.path()).unwrap_err().to_string(),
        "options/nice: expected a plain file"
    );
    fs::remove_file(folder.join("nice")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", folder.join("nice")).unwrap();
    assert_eq!(
        read(dir.path()).unwrap_err().to_string(),
        "options/nice: unable to read: no such file or directory"
    );
}

#[test]
fn a_name_that_is_no_text_is_shown_safely() {
    let dir = service(&[]);
    let folder = dir.path().join("options");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"a\xff\n")), "").unwrap();
    assert_eq!(
        read(dir.path()).unwrap_err().to_string(),
        "options/a\u{fffd}\\n: unknown option"
    );
}

#[test]
fn the_examples_have_no_fault() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sv");
    let services: Vec<PathBuf> = fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!services.is_empty());
    for service in services {
        assert_eq!(read(&service).err(), None, "{}", service.display());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for entry in entries() {
            if let Set::Field(set) = entry.set {
                let mut options = Options::default();
                if let Err(refusal) = set(&mut options, &Values::of(&bytes)) {
                    let shown = Fault::refused(entry, refusal).to_string();
                    prop_assert!(!shown.chars().any(char::is_control), "{}", shown);
                }
            }
            drop(one(&Values::of(&bytes), values::limit));
        }
    }

    #[test]
    fn no_text_near_to_a_value_makes_a_parser_panic(text in "[a-z]{0,11} ?[-+0-9.:,]{0,24}[a-zµM]{0,3}( max )?[0-9.]{0,30}[a-z]{0,2}") {
        for entry in entries() {
            drop(from_text(entry, &text));
        }
    }
}
