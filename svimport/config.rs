//! The whole configuration: what holds for all programs, groups, listeners and servers. **Pure.**

use std::collections::BTreeMap;

use crate::expand::{Known, Names};
use crate::ini::{Ini, Place, Section};
use crate::message::{Message, What};
use crate::program::{self, Keys, Program};
use crate::value;
use crate::words;

/// What svimport finds around it, in place of what supervisord would find.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Surroundings {
    /// The environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The machine's name.
    pub(crate) host: String,
    /// The directory of the main file.
    pub(crate) here: String,
    /// The directory that supervisord is started in.
    pub(crate) cwd: String,
}

/// What holds for all programs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Globals {
    pub(crate) host: String,
    /// Where relative paths begin.
    pub(crate) cwd: String,
    /// The home of `~` in paths.
    pub(crate) home: Option<String>,
    /// `environment` of `[supervisord]`.
    pub(crate) environment: Vec<(String, String)>,
    /// The user of supervisord itself.
    pub(crate) user: Option<String>,
    pub(crate) umask: Option<u32>,
    /// The least soft limit on open files.
    pub(crate) minfds: Option<i64>,
    /// The least soft limit on processes.
    pub(crate) minprocs: Option<i64>,
    pub(crate) identifier: Option<String>,
}

impl Globals {
    /// A program's environment: that of all, with its own in place of it.
    pub(crate) fn with_environment(&self, own: Vec<(String, String)>) -> Vec<(String, String)> {
        let common = self
            .environment
            .iter()
            .filter(|(name, _)| !own.iter().any(|(known, _)| known == name));
        let mut all: Vec<_> = common.cloned().collect();
        all.extend(own);
        all
    }

    /// An absolute path.
    pub(crate) fn absolute(&self, path: &str) -> String {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => format!("{home}/{rest}"),
            _ if path.starts_with('/') => path.to_owned(),
            _ => format!("{}/{path}", self.cwd.trim_end_matches('/')),
        }
    }
}

/// A unix or inet server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server {
    pub(crate) place: Place,
    pub(crate) address: Address,
    /// User and password.
    pub(crate) login: Option<(String, String)>,
}

/// Where a server listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Address {
    Unix {
        file: String,
        mode: u32,
        owner: Option<String>,
    },
    /// `*` for all addresses.
    Inet { host: String, port: u16 },
}

/// The configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Config {
    pub(crate) globals: Globals,
    pub(crate) programs: Vec<Program>,
    pub(crate) servers: Vec<Server>,
}

const SUPERVISORD_KEYS: &[&str] = &[
    "logfile",
    "logfile_maxbytes",
    "logfile_backups",
    "loglevel",
    "silent",
    "pidfile",
    "nodaemon",
    "directory",
    "umask",
    "user",
    "identifier",
    "childlogdir",
    "nocleanup",
    "strip_ansi",
    "profile_options",
    "minfds",
    "minprocs",
    "environment",
];
const SERVER_KEYS: &[&str] = &["file", "chmod", "chown", "port", "username", "password"];

/// Reads the configuration; what is wrong with it goes to `messages`.
pub(crate) fn read(ini: &Ini, around: &Surroundings, messages: &mut Vec<Message>) -> Config {
    let mut names: Names = around
        .environment
        .iter()
        .map(|(name, text)| (format!("ENV_{name}"), Known::Text(text.clone())))
        .collect();
    names.insert("here".into(), Known::Text(around.here.clone()));
    let globals = globals(ini, around, &names, messages);
    for (name, text) in &globals.environment {
        names.insert(format!("ENV_{name}"), Known::Text(text.clone()));
    }
    let mut reader = Reader {
        ini,
        names,
        globals: &globals,
        messages,
    };
    let mut programs = reader.groups();
    programs.extend(reader.others());
    let servers = reader.servers();
    for section in ini.sections() {
        reader.leftovers(section);
    }
    Config {
        globals,
        programs,
        servers,
    }
}

/// `[supervisord]`.
fn globals(
    ini: &Ini,
    around: &Surroundings,
    names: &Names,
    messages: &mut Vec<Message>,
) -> Globals {
    let mut globals = Globals {
        host: around.host.clone(),
        cwd: around.cwd.clone(),
        home: around.environment.get("HOME").cloned(),
        ..Globals::default()
    };
    let Some(section) = ini.section("supervisord") else {
        messages.push(Message {
            place: None,
            section: String::new(),
            key: String::new(),
            what: What::NoSupervisord,
        });
        return globals;
    };
    let mut keys = Keys {
        ini,
        section,
        names: names.clone(),
        messages,
    };
    keys.names
        .insert("host_node_name".into(), Known::Text(around.host.clone()));
    if let Some(text) = keys.text("environment") {
        globals.environment = words::pairs(&text).unwrap_or_else(|why| {
            keys.say("environment", What::Environment(why));
            Vec::new()
        });
    }
    let some = |text: &str| value::integer(text).map(Some);
    globals.minfds = keys.parsed("minfds", None, some);
    globals.minprocs = keys.parsed("minprocs", None, some);
    globals.user = keys.text("user").filter(|user| !user.is_empty());
    globals.identifier = keys.text("identifier");
    // In the foreground supervisord keeps the umask and the directory that it was started with.
    if !keys.parsed("nodaemon", false, value::boolean) {
        globals.umask = Some(keys.parsed("umask", 0o022, value::octal));
        if let Some(directory) = keys.text("directory") {
            globals.cwd = globals.absolute(&directory);
        }
    }
    without_counterpart(&mut keys);
    globals
}

/// Says what becomes of the keys that are supervisord's own affairs.
fn without_counterpart(keys: &mut Keys<'_>) {
    if keys.parsed("strip_ansi", false, value::boolean) {
        keys.say("strip_ansi", What::StripAnsi);
    }
    for (key, instead) in [
        ("logfile", "svscan writes to its stderr"),
        ("logfile_maxbytes", "svscan writes to its stderr"),
        ("logfile_backups", "svscan writes to its stderr"),
        ("loglevel", "svscan writes to its stderr"),
        ("pidfile", "svctl pid finds svscan by its lock"),
        ("childlogdir", "AUTO logs are in the log services' main/"),
        ("profile_options", "nothing is profiled"),
    ] {
        if keys.raw(key).is_some() {
            keys.say(key, What::NoCounterpart(instead));
        }
    }
}

/// A reader of all other sections.
struct Reader<'a> {
    ini: &'a Ini,
    names: Names,
    globals: &'a Globals,
    messages: &'a mut Vec<Message>,
}

impl<'a> Reader<'a> {
    fn keys(&mut self, section: &'a Section) -> Keys<'_> {
        Keys {
            ini: self.ini,
            section,
            names: self.names.clone(),
            messages: self.messages,
        }
    }

    /// The programs of `[group:x]` sections.
    fn groups(&mut self) -> Vec<Program> {
        let mut programs = Vec::new();
        for section in self.ini.sections() {
            let Some(name) = section.name.strip_prefix("group:") else {
                continue;
            };
            let mut keys = self.keys(section);
            let name = value::name(name).unwrap_or_else(|expected| {
                let found = name.to_owned();
                keys.say("", What::Value { found, expected });
                name.to_owned()
            });
            let priority = keys.parsed("priority", 999, value::integer);
            let members = keys.text("programs").unwrap_or_default();
            for member in value::list(&members) {
                let group = Group {
                    name: name.clone(),
                    priority,
                    section,
                };
                programs.extend(self.member(&group, member));
            }
        }
        programs
    }

    fn member(&mut self, group: &Group<'a>, member: &str) -> Vec<Program> {
        let program = self.ini.section(&format!("program:{member}"));
        let fcgi = self.ini.section(&format!("fcgi-program:{member}"));
        let section = match (program, fcgi) {
            (Some(section), None) => section,
            // Refused where its own section is read.
            (None, Some(_)) => return Vec::new(),
            (None, None) => {
                let what = What::UnknownProgram(member.to_owned());
                self.keys(group.section).say("programs", what);
                return Vec::new();
            }
            (Some(_), Some(_)) => {
                let what = What::Ambiguous(member.to_owned());
                self.keys(group.section).say("programs", what);
                return Vec::new();
            }
        };
        let globals = self.globals;
        let mut keys = self.keys(section);
        let mut programs = program::read(&mut keys, &group.name, globals);
        for program in &mut programs {
            if keys.raw("priority").is_some() && program.priority != group.priority {
                keys.say("priority", What::MemberPriority(program.priority));
            }
            program.priority = group.priority;
        }
        programs
    }

    /// The programs that are in no group, and the listeners.
    fn others(&mut self) -> Vec<Program> {
        let mut grouped = Vec::new();
        for section in self.ini.sections() {
            if section.name.starts_with("group:") {
                let members = self.keys(section).text("programs").unwrap_or_default();
                grouped.extend(value::list(&members).into_iter().map(str::to_owned));
            }
        }
        let mut programs = Vec::new();
        let globals = self.globals;
        for section in self.ini.sections() {
            let (kind, name) = section.name.split_once(':').unwrap_or_default();
            let listener = kind == "eventlistener";
            let alone = kind == "program" && !grouped.iter().any(|member| member == name);
            if !listener && !alone {
                continue;
            }
            let mut keys = self.keys(section);
            let mut read = program::read(&mut keys, name.trim(), globals);
            if listener && keys.raw("priority").is_none() {
                for program in &mut read {
                    program.priority = -1;
                }
            }
            programs.extend(read);
        }
        programs
    }

    fn servers(&mut self) -> Vec<Server> {
        let mut servers = Vec::new();
        for section in self.ini.sections() {
            let kind = section.name.split(':').next().unwrap_or_default();
            let globals = self.globals;
            let mut keys = self.keys(section);
            let address = match kind {
                "unix_http_server" => unix(&mut keys, globals),
                "inet_http_server" => inet(&mut keys),
                _ => continue,
            };
            let login = login(&mut keys);
            let Some(address) = address else { continue };
            let open = match &address {
                Address::Unix { .. } => false,
                Address::Inet { host, .. } => {
                    !(host == "localhost" || host.starts_with("127.")) && login.is_none()
                }
            };
            if open {
                keys.say("port", What::OpenServer);
                continue;
            }
            servers.push(Server {
                place: section.place.clone(),
                address,
                login,
            });
        }
        servers
    }

    /// Sections and keys that nothing has read.
    fn leftovers(&mut self, section: &'a Section) {
        let kind = section.name.split(':').next().unwrap_or_default();
        let known: Vec<&str> = match kind {
            "program" => program::KEYS.to_vec(),
            "eventlistener" => [program::KEYS, program::LISTENER_KEYS].concat(),
            "supervisord" => SUPERVISORD_KEYS.to_vec(),
            "unix_http_server" | "inet_http_server" => SERVER_KEYS.to_vec(),
            "group" => vec!["programs", "priority"],
            "include" => vec!["files"],
            "supervisorctl" => return,
            "fcgi-program" => return self.keys(section).say("", What::Fcgi),
            "rpcinterface" if section.name == "rpcinterface:supervisor" => return,
            "rpcinterface" | "ctlplugin" => return self.keys(section).say("", What::Plugin),
            _ => return self.keys(section).say("", What::UnknownSection),
        };
        for (key, _) in section.keys() {
            if !known.contains(&key) {
                self.keys(section).say(key, What::UnknownKey);
            }
        }
    }
}

/// A `[group:x]` section.
struct Group<'a> {
    name: String,
    priority: i64,
    section: &'a Section,
}

fn unix(keys: &mut Keys<'_>, globals: &Globals) -> Option<Address> {
    let Some(file) = keys.text("file") else {
        keys.say("file", What::NoAddress);
        return None;
    };
    Some(Address::Unix {
        file: globals.absolute(file.trim()),
        mode: keys.parsed("chmod", 0o700, value::octal),
        owner: keys.text("chown"),
    })
}

fn inet(keys: &mut Keys<'_>) -> Option<Address> {
    let Some(found) = keys.text("port") else {
        keys.say("port", What::NoAddress);
        return None;
    };
    let (host, port) = found.rsplit_once(':').unwrap_or(("", &found));
    let number = value::integer(port).ok();
    let Some(port @ 1..) = number.and_then(|port| u16::try_from(port).ok()) else {
        let expected = "a port from 1 to 65535, alone or as host:port";
        keys.say("port", What::Value { found, expected });
        return None;
    };
    Some(Address::Inet {
        host: if host.is_empty() {
            "*".to_owned()
        } else {
            host.to_lowercase()
        },
        port,
    })
}

fn login(keys: &mut Keys<'_>) -> Option<(String, String)> {
    match (keys.text("username"), keys.text("password")) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            keys.say("username", What::Authentication);
            None
        }
    }
}
