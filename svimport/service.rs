//! From the configuration to the files of service directories. **Pure.**

use std::collections::BTreeMap;

use servicedir::options::Autorestart;
use servicedir::supervisor::catalog::AVAILABLE;

use crate::config::{Address, Config, Globals, Server};
use crate::message::{Message, What};
use crate::output::{self, Output};
use crate::program::Program;
use crate::tree::{Node, Tree};
use crate::words::shell_word;

/// The name of the service that serves the sockets.
const SERVER: &str = "svhttpd";

/// The files of all services below the scan directory at `into`, which is an absolute path.
pub(crate) fn tree(config: &Config, into: &str, messages: &mut Vec<Message>) -> Tree {
    let mut tree = Tree::new();
    let mut taken = BTreeMap::new();
    let names = directory_names(&config.programs);
    let shared = output::shared_files(config);
    for (program, directory) in config.programs.iter().zip(names) {
        if let Some(first) = taken.insert(directory.clone(), &program.section) {
            messages.push(about(
                program,
                What::SameName(format!("{directory} ({first})")),
            ));
            continue;
        }
        let writer = Writer {
            config,
            program,
            directory: &directory,
            into,
        };
        let output = Output::of(program, &config.globals, &shared, messages);
        put(&mut tree, &directory, writer.files(&output, messages));
    }
    if !config.servers.is_empty() {
        let name = if taken.contains_key(SERVER) {
            "svhttpd-1"
        } else {
            SERVER
        };
        put(&mut tree, name, server(config, name, into));
    }
    tree
}

/// Puts a service's files below `.available/`, and its link into the scan directory.
fn put(tree: &mut Tree, directory: &str, files: Tree) {
    for (path, node) in files {
        tree.insert(format!("{AVAILABLE}/{directory}/{path}"), node);
    }
    let target = format!("{AVAILABLE}/{directory}");
    tree.insert(directory.to_owned(), Node::Link(target));
}

/// The directory of each program: its name, or `group:name` where several groups have a process of that name.
fn directory_names(programs: &[Program]) -> Vec<String> {
    let names = |name: &str| {
        programs
            .iter()
            .filter(|program| program.name == name)
            .count()
    };
    programs
        .iter()
        .map(|program| {
            if names(&program.name) > 1 && program.group != program.name {
                format!("{}:{}", program.group, program.name)
            } else {
                program.name.clone()
            }
        })
        .collect()
}

pub(crate) fn about(program: &Program, what: What) -> Message {
    Message {
        place: Some(program.place.clone()),
        section: program.section.clone(),
        key: String::new(),
        what,
    }
}

/// Where a file came from, as its first comment says.
pub(crate) fn origin(program: &Program) -> String {
    format!(
        "# [{}] in {}, imported by svimport(8).\n",
        program.section, program.place.file
    )
}

/// One service.
struct Writer<'a> {
    config: &'a Config,
    program: &'a Program,
    directory: &'a str,
    into: &'a str,
}

impl Writer<'_> {
    fn files(&self, output: &Output, messages: &mut Vec<Message>) -> Tree {
        let mut files = Tree::new();
        files.insert("run".into(), Node::program(self.run(output)));
        for (name, text) in self.options(output, messages) {
            files.insert(format!("options/{name}"), Node::file(format!("{text}\n")));
        }
        for (name, text) in self.environment() {
            if let Some(line) = as_file(&name, &text) {
                files.insert(format!("options/env/{name}"), Node::file(line));
            }
        }
        files.extend(output.files(self.program, &self.config.globals));
        files
    }

    /// The script that becomes the program.
    fn run(&self, output: &Output) -> String {
        let mut text = format!("#!/bin/sh\n{}", origin(self.program));
        if !output.redirection.is_empty() {
            text.push_str(&format!("exec {}\n", output.redirection));
        }
        text.push_str("exec");
        // What an envdir or a shell would lose goes through env(1).
        let lost: Vec<String> = self
            .environment()
            .into_iter()
            .filter(|(name, text)| as_file(name, text).is_none())
            .map(|(name, text)| shell_word(&format!("{name}={text}")))
            .collect();
        if !lost.is_empty() {
            text.push_str(&format!(" env {}", lost.join(" ")));
        }
        if let Some(listener) = &self.program.listener {
            // In the service directory: the working directory is another one.
            let place = format!("{}/{AVAILABLE}/{}", self.into, self.directory);
            text.push_str(&format!(
                " svevent --cursor {}",
                shell_word(&format!("{place}/cursor"))
            ));
            if let Some(identifier) = &self.config.globals.identifier {
                text.push_str(&format!(" --server {}", shell_word(identifier)));
            }
            if listener.pool > 1 {
                text.push_str(&format!(" --pool {}", listener.pool));
            }
            text.push_str(&format!(" {}", listener.events.join(",")));
        }
        for word in &self.program.command {
            text.push(' ');
            text.push_str(&shell_word(word));
        }
        text.push('\n');
        text
    }

    /// The program's environment, with what supervisord adds.
    fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.program.environment.clone();
        let mut add = |name: &str, text: String| {
            if !all.iter().any(|(known, _)| known == name) {
                all.push((name.to_owned(), text));
            }
        };
        let url = self.program.serverurl.clone();
        if let Some(url) = url.or_else(|| server_url(&self.config.servers)) {
            add("SUPERVISOR_SERVER_URL", url);
        }
        if self.directory != self.program.name {
            add("SUPERVISOR_PROCESS_NAME", self.program.name.clone());
        }
        if self.program.listener.is_some() {
            // svevent finds the services by it.
            add("SVDIR", self.into.to_owned());
        }
        all
    }

    /// The options that differ from what holds without their files.
    fn options(&self, output: &Output, messages: &mut Vec<Message>) -> Vec<(&'static str, String)> {
        let program = self.program;
        let globals = &self.config.globals;
        let yes = || "yes".to_owned();
        let mut options = vec![
            ("startretries", program.startretries.to_string()),
            ("backoff", "linear 1s".to_owned()),
            ("stopwaitsecs", program.stopwaitsecs.to_string()),
            ("directory", self.working_directory()),
        ];
        let mut when = |holds: bool, name, text: String| {
            if holds {
                options.push((name, text));
            }
        };
        let none_expected = program.exitcodes.is_empty();
        match program.autorestart {
            Autorestart::Unexpected if none_expected => {
                messages.push(about(program, What::NoExitCodes));
            }
            Autorestart::Unexpected => when(true, "autorestart", "unexpected".into()),
            Autorestart::Never => when(true, "autorestart", "never".into()),
            Autorestart::Always => {}
        }
        let codes: Vec<String> = program.exitcodes.iter().map(u8::to_string).collect();
        when(
            !none_expected && program.exitcodes != [0],
            "exitcodes",
            codes.join(" "),
        );
        when(!program.autostart, "autostart", "no".into());
        when(
            program.startsecs != 1,
            "startsecs",
            program.startsecs.to_string(),
        );
        let stopsignal = program.stopsignal.to_string();
        let stopsignal = stopsignal.strip_prefix("SIG").unwrap_or(&stopsignal);
        when(stopsignal != "TERM", "stopsignal", stopsignal.to_owned());
        when(program.stopasgroup, "stopasgroup", yes());
        when(
            program.killasgroup && !program.stopasgroup,
            "killasgroup",
            yes(),
        );
        when(
            program.priority != 999,
            "priority",
            program
                .priority
                .clamp(i64::from(i32::MIN), i64::from(i32::MAX))
                .to_string(),
        );
        when(
            program.group != program.name,
            "group",
            program.group.clone(),
        );
        when(output.redirect_stderr, "redirect-stderr", yes());
        let user = program.user.as_ref().or(globals.user.as_ref());
        when(user.is_some(), "user", user.cloned().unwrap_or_default());
        let umask = program.umask.or(globals.umask);
        when(
            umask.is_some(),
            "umask",
            format!("{:03o}", umask.unwrap_or_default() & 0o777),
        );
        when(
            globals.minfds.is_some_and(|least| least > 1024),
            "limit-nofile",
            globals.minfds.unwrap_or_default().to_string(),
        );
        when(
            globals.minprocs.is_some_and(|least| least > 200),
            "limit-nproc",
            globals.minprocs.unwrap_or_default().to_string(),
        );
        options
    }

    fn working_directory(&self) -> String {
        let globals = &self.config.globals;
        match &self.program.directory {
            Some(directory) => globals.absolute(directory),
            None => globals.cwd.clone(),
        }
    }
}

/// The text of a variable's file in `options/env/`; `None` for what such a file cannot hold, and for names
/// that /bin/sh does not hand on.
fn as_file(name: &str, text: &str) -> Option<String> {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let identifier =
        name.chars().all(letter) && !name.starts_with(|first: char| first.is_ascii_digit());
    let keeps = !text.contains(['\n', '\0']) && !text.ends_with([' ', '\t', '\r']);
    (identifier && !name.is_empty() && keeps).then(|| format!("{text}\n"))
}

/// `SUPERVISOR_SERVER_URL`: the first unix server, else the first inet one.
fn server_url(servers: &[Server]) -> Option<String> {
    let unix = servers.iter().find_map(|server| match &server.address {
        Address::Unix { file, .. } => Some(format!("unix://{file}")),
        Address::Inet { .. } => None,
    });
    unix.or_else(|| {
        servers.iter().find_map(|server| match &server.address {
            Address::Inet { host, port } => {
                let host = if host == "*" { "localhost" } else { host };
                Some(format!("http://{host}:{port}"))
            }
            Address::Unix { .. } => None,
        })
    })
}

/// The service of all servers.
fn server(config: &Config, name: &str, into: &str) -> Tree {
    let mut files = Tree::new();
    let mut run = String::from(
        "#!/bin/sh\n# The [unix_http_server] and [inet_http_server] sections, imported by svimport(8).\nexec svhttpd",
    );
    if let Some(identifier) = &config.globals.identifier {
        run.push_str(&format!(" --name {}", shell_word(identifier)));
    }
    for (number, server) in config.servers.iter().enumerate() {
        match &server.address {
            Address::Unix { file, mode, owner } => {
                run.push_str(&format!(
                    " \\\n    --unix {} --control --mode {mode:04o}",
                    shell_word(file)
                ));
                if let Some(owner) = owner {
                    run.push_str(&format!(" --owner {}", shell_word(owner)));
                }
            }
            Address::Inet { host, port } => {
                run.push_str(&format!(
                    " \\\n    --tcp {} --control",
                    shell_word(&format!("{host}:{port}"))
                ));
            }
        }
        if let Some((user, password)) = &server.login {
            let file = format!("passwords-{}", number + 1);
            run.push_str(&format!(" --passwords {file}"));
            files.insert(
                file,
                Node::File {
                    text: format!("{user}:{password}\n"),
                    executable: false,
                    secret: true,
                },
            );
        }
    }
    run.push_str(&format!(" \\\n    {}\n", shell_word(into)));
    files.insert("run".into(), Node::program(run));
    files.insert("options/priority".into(), Node::file("-1\n"));
    files.extend(output::own_log(name, &Globals::default()));
    files
}
