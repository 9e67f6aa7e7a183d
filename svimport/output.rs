//! Where a program's stdout and stderr go: log services with svlogd, syslog, devices, or nowhere. **Pure.**

use std::collections::BTreeMap;

use crate::config::{Config, Globals};
use crate::message::{Message, What};
use crate::program::{Log, Program};
use crate::service::{about, origin};
use crate::tree::{Node, Tree};
use crate::value::LogFile;
use crate::words::shell_word;

/// Log files that several services write to, with the names of those services.
pub(crate) type Shared = BTreeMap<String, Vec<String>>;

/// What becomes of the two outputs of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Output {
    /// What `exec` does with them in `run`; empty for nothing.
    pub(crate) redirection: String,
    /// stderr goes with stdout.
    pub(crate) redirect_stderr: bool,
    stdout: Option<LogService>,
    stderr: Option<LogService>,
}

/// A `log/` or an `errlog/`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct LogService {
    /// The file that supervisord would have written; `None` for one of its choice.
    file: Option<String>,
    /// The directory of the log; `None` for none but syslog.
    directory: Option<String>,
    log: Log,
    tag: Option<String>,
}

/// Where one output goes.
enum Sink {
    /// Where svscan's own goes: nothing is to be done.
    Inherited,
    /// To a device, to another output, or nowhere: a shell's redirection behind `>`.
    Redirected(String),
    /// To a log service.
    Service(LogService),
}

/// The devices that mean svscan's own stdout and stderr.
const STDOUT: &[&str] = &["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
const STDERR: &[&str] = &["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"];

/// The files that more than one service logs to.
pub(crate) fn shared_files(config: &Config) -> Shared {
    let mut writers = Shared::new();
    for program in &config.programs {
        let mut files = vec![&program.stdout.file];
        if !program.redirect_stderr && program.stderr.file != program.stdout.file {
            files.push(&program.stderr.file);
        }
        for file in files {
            if let LogFile::Path(path) = file {
                let path = config.globals.absolute(path);
                writers.entry(path).or_default().push(program.name.clone());
            }
        }
    }
    writers.retain(|path, names| {
        names.len() > 1 && !path.starts_with("/dev/") && !path.starts_with("/proc/")
    });
    writers
}

impl Output {
    /// What becomes of the outputs of a program.
    pub(crate) fn of(
        program: &Program,
        globals: &Globals,
        shared: &Shared,
        messages: &mut Vec<Message>,
    ) -> Self {
        let mut sink = |log: &Log, channel| sink(program, log, channel, globals, shared, messages);
        let stdout = sink(&program.stdout, "stdout");
        let same_file = matches!((&program.stdout.file, &program.stderr.file),
            (LogFile::Path(out), LogFile::Path(err)) if out == err);
        let together = program.redirect_stderr || same_file;
        let stderr = (!together).then(|| sink(&program.stderr, "stderr"));
        let mut output = Self {
            redirection: String::new(),
            redirect_stderr: false,
            stdout: None,
            stderr: None,
        };
        match stdout {
            Sink::Service(service) => {
                output.stdout = Some(service);
                output.redirect_stderr = together;
            }
            Sink::Inherited => output.redirect_stderr = together,
            Sink::Redirected(target) => {
                let both = if together { " 2>&1" } else { "" };
                output.redirection = format!(">{target}{both}");
            }
        }
        output.put_stderr(stderr, program, messages);
        output
    }

    fn put_stderr(&mut self, stderr: Option<Sink>, program: &Program, messages: &mut Vec<Message>) {
        match stderr {
            None | Some(Sink::Inherited) => {}
            Some(Sink::Service(service)) => self.stderr = Some(service),
            // To svscan's stdout, which is the service's only where that has no log.
            Some(Sink::Redirected(target)) if target == "&1" => {
                if self.stdout.is_some() || !self.redirection.is_empty() {
                    messages.push(about(program, What::StderrElsewhere));
                } else {
                    self.redirect_stderr = true;
                }
            }
            Some(Sink::Redirected(target)) => {
                // Before stdout is moved: `>&2` means where stderr was.
                let stdout = std::mem::take(&mut self.redirection);
                let blank = if stdout.is_empty() { "" } else { " " };
                self.redirection = format!("{stdout}{blank}2>{target}");
            }
        }
    }

    /// The files of the log services.
    pub(crate) fn files(&self, program: &Program, globals: &Globals) -> Tree {
        let mut files = Tree::new();
        for (folder, service) in [("log", &self.stdout), ("errlog", &self.stderr)] {
            if let Some(service) = service {
                for (path, node) in service.files(program, globals) {
                    files.insert(format!("{folder}/{path}"), node);
                }
            }
        }
        files
    }
}

fn sink(
    program: &Program,
    log: &Log,
    channel: &'static str,
    globals: &Globals,
    shared: &Shared,
    messages: &mut Vec<Message>,
) -> Sink {
    let tag = log.syslog.then(|| program.name.clone());
    if let Some(tag) = &tag {
        messages.push(about(program, What::Syslog(tag.clone())));
    }
    let events = log.capture > 0 || log.events;
    let mut service = |file: Option<String>, directory: Option<String>| {
        if log.backups == 0 && directory.is_some() && log.maxbytes > 0 {
            messages.push(about(program, What::NoBackups));
        }
        Sink::Service(LogService {
            file,
            directory,
            log: log.clone(),
            tag: tag.clone(),
        })
    };
    let path = match &log.file {
        LogFile::Auto => return service(None, Some("main".to_owned())),
        LogFile::None | LogFile::Syslog if log.syslog || events => return service(None, None),
        LogFile::None | LogFile::Syslog => return Sink::Redirected("/dev/null".to_owned()),
        LogFile::Path(path) if path.is_empty() => return Sink::Redirected("/dev/null".to_owned()),
        LogFile::Path(path) => globals.absolute(path),
    };
    if path.starts_with("/dev/") || path.starts_with("/proc/") {
        return match (channel, STDOUT.contains(&&*path), STDERR.contains(&&*path)) {
            ("stdout", true, _) | ("stderr", _, true) => Sink::Inherited,
            (_, true, _) => Sink::Redirected("&1".to_owned()),
            (_, _, true) => Sink::Redirected("&2".to_owned()),
            _ if path == "/dev/null" => Sink::Redirected(path),
            _ => Sink::Redirected(format!(">{}", shell_word(&path))),
        };
    }
    let directory = match shared.get(&path) {
        None => format!("{path}.d"),
        Some(_) => {
            let name = &program.name;
            format!("{path}.d/{name}-{channel}")
        }
    };
    let chosen = service(Some(path.clone()), Some(directory));
    if shared.contains_key(&path) {
        messages.push(about(program, What::SharedLog(path)));
    }
    chosen
}

impl LogService {
    fn files(&self, program: &Program, globals: &Globals) -> Tree {
        let mut files = Tree::new();
        let mut run = format!("#!/bin/sh\n{}", origin(program));
        let capture = self.capture();
        let logger = self
            .tag
            .as_ref()
            .map(|tag| format!("logger -t {}", shell_word(tag)));
        let config = format!("s{}\nn{}\n", self.log.maxbytes, self.log.backups.max(1));
        match (&self.directory, &self.file) {
            (None, _) => {
                let last = logger.unwrap_or_else(|| "sh -c 'exec cat >/dev/null'".to_owned());
                run.push_str(&format!("exec {capture}{last}\n"));
                files.insert("run".into(), Node::program(run));
                return files;
            }
            (Some(directory), None) => {
                files.insert(format!("{directory}/config"), Node::file(config));
                run.push_str(&self.last_line(directory, &capture, logger));
            }
            (Some(directory), Some(file)) => {
                files.insert("config".into(), Node::file(config));
                files.insert("main".into(), Node::Link(directory.clone()));
                run.push_str(&prepare(directory, file));
                run.push_str(&self.last_line("$main", &capture, logger));
            }
        }
        if self.tag.is_some() {
            // The shell, tee, logger and svlogd are to end together.
            files.insert("options/stopasgroup".into(), Node::file("yes\n"));
        }
        if let Some(user) = &globals.user {
            files.insert("options/user".into(), Node::file(format!("{user}\n")));
        }
        files.insert("run".into(), Node::program(run));
        files
    }

    /// The command that becomes the logger.
    fn last_line(&self, directory: &str, capture: &str, logger: Option<String>) -> String {
        match logger {
            None => format!("exec {capture}svlogd \"{directory}\"\n"),
            Some(logger) => format!(
                "{{ {capture}tee /dev/fd/3 | {logger} >/dev/null 2>&1; }} 3>&1 | svlogd \"{directory}\"\n"
            ),
        }
    }

    /// What cuts out Supervisor's tokens and offers output as events, with a blank behind it.
    fn capture(&self) -> String {
        let mut words = String::new();
        if self.log.capture == 0 && !self.log.events {
            return words;
        }
        words.push_str("svcapture ");
        if self.log.events {
            words.push_str("--log ");
        }
        if self.log.capture > 0 {
            words.push_str(&format!("--max {} ", self.log.capture));
        }
        words
    }
}

/// Makes the directory of a log, and a link to its newest file where supervisord's file was.
fn prepare(directory: &str, file: &str) -> String {
    let link = directory
        .strip_prefix(file.rsplit_once('/').map_or("", |(folder, _)| folder))
        .map_or(directory, |rest| rest.trim_start_matches('/'));
    let (directory, file) = (shell_word(directory), shell_word(file));
    let current = shell_word(&format!("{link}/current"));
    format!(
        "main={directory}\nmkdir -p \"$main\" && cp config \"$main/config\" || exit 111\n[ -e {file} ] || [ -L {file} ] || ln -s {current} {file}\n"
    )
}

/// The log of a service that is none of the configuration's: 1 MB a file, 10 old ones.
pub(crate) fn own_log(name: &str, _globals: &Globals) -> Tree {
    let run =
        format!("#!/bin/sh\n# The log of {name}, made by svimport(8).\nexec svlogd main 2>&1\n");
    Tree::from([
        ("log/run".to_owned(), Node::program(run)),
        ("log/main/config".to_owned(), Node::file("s1000000\nn10\n")),
        ("options/redirect-stderr".to_owned(), Node::file("yes\n")),
    ])
}
