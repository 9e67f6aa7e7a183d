//! What Supervisor understands of a configuration, beside what the imported service directories say.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use servicedir::options::{self, Autorestart};
use servicedir::status::End;

use crate::support::{output, program, stderr, stdout};

/// A process by the keys of getAllConfigInfo, and some more.
pub type Process = BTreeMap<String, String>;

/// Variables that configurations use as `%(ENV_…)s`.
const VARIABLES: &[(&str, &str)] = &[
    ("APP_ROOT", "/srv/app"),
    ("NUM_PROCS", "2"),
    ("PORT", "9091"),
    (
        "SUPERVISOR_PHP_COMMAND",
        "/usr/bin/php -d variables_order=EGPCS serve",
    ),
    ("SUPERVISOR_PHP_USER", "nobody"),
    ("A", "from outside"),
];

/// What Supervisor makes of a file.
#[derive(Debug)]
pub enum Understood {
    Processes(Vec<Process>),
    Refused(String),
}

/// Asks Supervisor's own code, for all files at once.
#[track_caller]
pub fn by_supervisor(files: &[PathBuf]) -> Vec<Understood> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/svimport/config_info.py");
    let output = Command::new(python())
        .arg(script)
        .args(files)
        .envs(VARIABLES.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<Understood> = Vec::new();
    for line in text.lines() {
        if line.starts_with("file ") {
            found.push(Understood::Processes(Vec::new()));
        } else if let Some(error) = line.strip_prefix("error ") {
            *found.last_mut().unwrap() = Understood::Refused(unquoted(error));
        } else if let Some(Understood::Processes(processes)) = found.last_mut() {
            processes.push(
                line.split(' ')
                    .map(|pair| {
                        let (key, value) = pair.split_once('=').unwrap();
                        (key.to_owned(), unquoted(value))
                    })
                    .collect(),
            );
        }
    }
    assert_eq!(found.len(), files.len());
    found
}

/// The Python that has Supervisor: the one of supervisord's first line, or the first in the PATH.
fn python() -> String {
    let find = "head -1 \"$(command -v supervisord)\" | sed 's/^#!//'; echo python3";
    let found = stdout(&output(Path::new("sh"), ["-c", find]));
    let has_supervisor = |python: &&str| {
        let import = Command::new(python)
            .args(["-c", "import supervisor.options"])
            .output();
        import.is_ok_and(|output| output.status.success())
    };
    let python = found.lines().find(has_supervisor);
    python.expect("a Python with Supervisor").to_owned()
}

fn unquoted(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Imports a file into a new directory; the exit code and the messages.
pub fn import(file: &Path, into: &Path) -> (Option<i32>, String) {
    let output = Command::new(program("svimport"))
        .arg(file)
        .arg("--into")
        .arg(into)
        .envs(VARIABLES.iter().copied())
        .output()
        .unwrap();
    (output.status.code(), stderr(&output))
}

/// Compares every process with its service directory.
#[track_caller]
pub fn agree(file: &Path, processes: &[Process], scan: &Path) {
    let config = fs::read_to_string(file).unwrap_or_default();
    for process in processes {
        let named = format!("{}:{}", process["group"], process["name"]);
        let dir = [&named, &process["name"]]
            .map(|name| scan.join(".available").join(name))
            .into_iter()
            .find(|dir| dir.is_dir())
            .unwrap_or_else(|| panic!("{named} is not imported:\n{config}"));
        let differences = differences(process, &dir);
        assert!(
            differences.is_empty(),
            "{named}: {differences:#?}\n{process:#?}\n{config}"
        );
    }
}

fn differences(process: &Process, dir: &Path) -> Vec<String> {
    let options = options::read(dir).unwrap();
    let run = fs::read_to_string(dir.join("run")).unwrap();
    let mut wrong = Vec::new();
    let mut same = |key: &str, theirs: String, ours: String| {
        if theirs != ours {
            wrong.push(format!("{key}: {theirs:?}, imported as {ours:?}"));
        }
    };
    let theirs = |key: &str| process[key].clone();
    let yes = |yes: bool| if yes { "True" } else { "False" }.to_owned();
    let not_negative = |key: &str| theirs(key).parse::<i64>().unwrap().max(0).to_string();
    same("autostart", theirs("autostart"), yes(options.autostart));
    let group = options.group.clone().unwrap_or_else(|| theirs("name"));
    same("group", theirs("group"), group);
    same(
        "group_prio",
        theirs("group_prio"),
        options.priority.to_string(),
    );
    same(
        "startsecs",
        not_negative("startsecs"),
        options.startsecs.as_secs().to_string(),
    );
    let retries = options.startretries.unwrap().to_string();
    same("startretries", not_negative("startretries"), retries);
    let wait = options.stopwaitsecs.unwrap().as_secs().to_string();
    same("stopwaitsecs", not_negative("stopwaitsecs"), wait);
    same(
        "stopsignal",
        theirs("stopsignal"),
        options.stopsignal.number().to_string(),
    );
    same(
        "stopasgroup",
        theirs("stopasgroup"),
        yes(options.stopasgroup),
    );
    same(
        "killasgroup",
        theirs("killasgroup"),
        yes(options.killasgroup),
    );
    let user = options
        .user
        .as_ref()
        .map_or("none".into(), ToString::to_string);
    // Without a user of its own a program has that of supervisord.
    let own = Some(theirs("uid")).filter(|own| own != "none");
    same("uid", own.unwrap_or_else(|| theirs("everyone")), user);
    let directory = options.directory.clone().unwrap().display().to_string();
    let expected = Some(theirs("directory")).filter(|directory| directory != "none");
    same(
        "directory",
        expected.unwrap_or_else(|| "/".into()),
        directory,
    );
    let codes: Vec<String> = (0..=255)
        .filter(|code| options.exitcodes.contains(End::Exited(*code)))
        .map(|code| code.to_string())
        .collect();
    let mut expected: Vec<u8> = theirs("exitcodes")
        .lines()
        .map(|code| code.parse().unwrap())
        .collect();
    expected.sort_unstable();
    expected.dedup();
    let none_expected = expected.is_empty();
    if !none_expected {
        let expected: Vec<String> = expected.iter().map(u8::to_string).collect();
        same("exitcodes", expected.join(","), codes.join(","));
    }
    let restart = match options.autorestart {
        Autorestart::Always if none_expected && theirs("autorestart") == "unexpected" => {
            "unexpected"
        }
        Autorestart::Always => "always",
        Autorestart::Unexpected => "unexpected",
        Autorestart::Never => "never",
    };
    same("autorestart", theirs("autorestart"), restart.to_owned());
    let (argv, through_env) = command(&run);
    same("command", theirs("argv"), argv.join("\n"));
    let mut environment: Vec<String> = options
        .env
        .iter()
        .map(|(name, text)| {
            let text = text.as_ref().map_or("", |text| text.to_str().unwrap());
            format!("{}={text}", name.to_str().unwrap())
        })
        .chain(through_env)
        .filter(|pair| !pair.starts_with("SUPERVISOR_PROCESS_NAME=") && !pair.starts_with("SVDIR="))
        .collect();
    environment.sort();
    let url = |pair: &&str| !pair.starts_with("SUPERVISOR_SERVER_URL=");
    let pairs = environment.join("\n");
    same(
        "environment",
        theirs("environment").lines().filter(url).collect(),
        pairs.lines().filter(url).collect(),
    );
    logs(process, dir, &run, options.redirect_stderr, &mut same);
    let mode = fs::metadata(dir.join("run")).unwrap().permissions().mode() & 0o777;
    same("mode of run", "755".into(), format!("{mode:o}"));
    wrong
}

/// The words that `run` executes, and the variables that env(1) sets before.
fn command(run: &str) -> (Vec<String>, Vec<String>) {
    // A word may hold newlines: from the last `exec` that begins a line on, it is the command.
    let last = run.rfind("\nexec ").unwrap();
    let mut words = words(&run[last + 6..]);
    let mut variables = Vec::new();
    if words.first().is_some_and(|word| word == "env") && words.len() > 1 && words[1].contains('=')
    {
        words.remove(0);
        while words[0].contains('=') {
            variables.push(words.remove(0));
        }
    }
    if words.first().is_some_and(|word| word == "svevent") {
        words.remove(0);
        while words[0].starts_with("--") {
            words.drain(..2);
        }
        words.remove(0);
    }
    (words, variables)
}

/// A shell's words, as far as svimport quotes them.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                for inside in letters.by_ref().take_while(|inside| *inside != '\'') {
                    word.push(inside);
                }
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    words
}

/// The two logs: their place, their sizes.
fn logs(
    process: &Process,
    dir: &Path,
    run: &str,
    redirect: bool,
    same: &mut impl FnMut(&str, String, String),
) {
    let one_file = process["stdout_logfile"] == process["stderr_logfile"]
        && process["stdout_logfile"].starts_with('/');
    let together = process["redirect_stderr"] == "True" || one_file;
    for (channel, folder) in [("stdout", "log"), ("stderr", "errlog")] {
        let file = &process[&format!("{channel}_logfile")];
        let key = format!("{channel}_logfile");
        let service = dir.join(folder);
        let syslog = process[&format!("{channel}_syslog")] == "True";
        if channel == "stderr" && together {
            same(&key, "with stdout".into(), {
                let in_run = run.contains("2>&1");
                let with = (redirect || in_run) && !service.exists();
                if with {
                    "with stdout".into()
                } else {
                    "apart".into()
                }
            });
            continue;
        }
        match file.as_str() {
            "none" if !syslog => {
                same(
                    &key,
                    "no log".into(),
                    if service.exists() { "a log" } else { "no log" }.into(),
                );
            }
            "none" => {
                let logger = fs::read_to_string(service.join("run")).unwrap();
                same(
                    &key,
                    "true".into(),
                    logger.contains("logger -t").to_string(),
                );
            }
            path if path.starts_with("/dev/") || path.starts_with("/proc/") => {
                same(
                    &key,
                    "no log".into(),
                    if service.exists() { "a log" } else { "no log" }.into(),
                );
            }
            _ => {
                let directory = if file == "auto" {
                    service.join("main")
                } else {
                    let target = fs::read_link(service.join("main")).unwrap();
                    let under = target.display().to_string();
                    let absolute = if file.starts_with('/') {
                        file.clone()
                    } else {
                        format!("/{file}")
                    };
                    same(
                        &key,
                        "true".into(),
                        under.starts_with(&format!("{absolute}.d")).to_string(),
                    );
                    service.clone()
                };
                let config = fs::read_to_string(directory.join("config")).unwrap();
                let bytes = &process[&format!("{channel}_logfile_maxbytes")];
                let backups: i64 = process[&format!("{channel}_logfile_backups")]
                    .parse()
                    .unwrap();
                let wanted = format!("s{bytes}\nn{}\n", backups.max(1));
                same("config", wanted, config);
            }
        }
    }
}
