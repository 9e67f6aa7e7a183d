//! A `[program:x]` or `[eventlistener:x]` section as processes: each key with its value or default. **Pure.**

use servicedir::options::Autorestart;
use servicedir::signal::Signal;

use crate::config::Globals;
use crate::expand::{self, Known, Names};
use crate::ini::{Ini, Place, Section, Value};
use crate::message::{Message, What};
use crate::value::{self, Expected, LogFile};
use crate::words;

/// One process of a program, as supervisord would run it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Program {
    /// The section's name: `program:web`.
    pub(crate) section: String,
    pub(crate) place: Place,
    pub(crate) group: String,
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) priority: i64,
    pub(crate) autostart: bool,
    pub(crate) autorestart: Autorestart,
    pub(crate) exitcodes: Vec<u8>,
    pub(crate) startsecs: u64,
    pub(crate) startretries: u32,
    pub(crate) stopsignal: Signal,
    pub(crate) stopwaitsecs: u64,
    pub(crate) stopasgroup: bool,
    pub(crate) killasgroup: bool,
    pub(crate) user: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) umask: Option<u32>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) serverurl: Option<String>,
    pub(crate) redirect_stderr: bool,
    pub(crate) stdout: Log,
    pub(crate) stderr: Log,
    pub(crate) listener: Option<Listener>,
}

/// Where one output goes, and how much of it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Log {
    pub(crate) file: LogFile,
    /// The size in bytes at which it is rotated; 0 = never.
    pub(crate) maxbytes: u64,
    /// How many old files are kept.
    pub(crate) backups: u64,
    /// How much is kept of what stands between Supervisor's tokens; 0 = tokens mean nothing.
    pub(crate) capture: u64,
    /// All output is offered as events.
    pub(crate) events: bool,
    pub(crate) syslog: bool,
}

/// What makes a process an event listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listener {
    /// The subscribed events.
    pub(crate) events: Vec<String>,
    /// How many processes there are in the pool.
    pub(crate) pool: i64,
}

/// The keys of a program, in the order of the manual. `buffer_size`, `events` and `result_handler` belong to
/// listeners.
pub(crate) const KEYS: &[&str] = &[
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "autorestart",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "user",
    "redirect_stderr",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
    "environment",
    "directory",
    "umask",
    "serverurl",
];

/// The further keys of a listener.
pub(crate) const LISTENER_KEYS: &[&str] = &["events", "buffer_size", "result_handler"];

/// A section whose values are read, with the names that they may use.
pub(crate) struct Keys<'a> {
    pub(crate) ini: &'a Ini,
    pub(crate) section: &'a Section,
    pub(crate) names: Names,
    pub(crate) messages: &'a mut Vec<Message>,
}

impl<'a> Keys<'a> {
    /// A value as it stands in the file.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a Value> {
        self.ini.get(self.section, key)
    }

    /// A message about a key, or about the section where it has no such key.
    pub(crate) fn say(&mut self, key: &str, what: What) {
        let value = self.raw(key);
        let place = value.map_or(&self.section.place, |value| &value.place);
        let message = Message {
            place: Some(place.clone()),
            section: self.section.name.clone(),
            key: if value.is_some() {
                key.to_owned()
            } else {
                String::new()
            },
            what,
        };
        if !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    /// A value with its names expanded; `None` where there is none, or where it cannot be expanded, which
    /// is said.
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        let text = &self.raw(key)?.text;
        self.expanded(key, text)
    }

    /// As [`Keys::text`], for a text that stands for the key where it has none.
    fn expanded(&mut self, key: &str, text: &str) -> Option<String> {
        match expand::expand(text, &self.names) {
            Ok(expanded) => {
                for name in expand::names_in(text).filter_map(|name| name.strip_prefix("ENV_")) {
                    self.say(key, What::FromEnvironment(name.to_owned()));
                }
                Some(expanded)
            }
            Err(why) => {
                self.say(key, What::Expand(why));
                None
            }
        }
    }

    /// A value as `parse` reads it; the default where there is none, or where it is at fault, which is said.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl Fn(&str) -> Result<T, Expected>,
    ) -> T {
        let Some(found) = self.text(key) else {
            return default;
        };
        parse(&found).unwrap_or_else(|expected| {
            self.say(key, What::Value { found, expected });
            default
        })
    }

    /// A whole number; a negative one counts as 0.
    fn count(&mut self, key: &str, default: u64) -> u64 {
        let number = self.parsed(key, i64::try_from(default).unwrap_or(0), value::integer);
        u64::try_from(number).unwrap_or(0)
    }
}

/// Reads the processes of a section, in the group of that name.
pub(crate) fn read(keys: &mut Keys<'_>, group: &str, globals: &Globals) -> Vec<Program> {
    let (kind, program) = keys.section.name.split_once(':').unwrap_or_default();
    let program = match value::name(program) {
        Ok(name) => name,
        Err(expected) => {
            let found = program.to_owned();
            keys.say("", What::Value { found, expected });
            return Vec::new();
        }
    };
    for (name, text) in [
        ("program_name", program.as_str()),
        ("group_name", group),
        ("host_node_name", &globals.host),
    ] {
        keys.names
            .insert(name.to_owned(), Known::Text(text.to_owned()));
    }
    let listener = (kind == "eventlistener").then(|| listener(keys));
    let numprocs = keys.parsed("numprocs", 1, value::integer);
    let first = keys.parsed("numprocs_start", 0, value::integer);
    let process_name = keys
        .raw("process_name")
        .map_or("%(program_name)s", |value| value.text.as_str());
    if numprocs > 1 && !process_name.contains("%(process_num)") {
        keys.say("numprocs", What::ProcessNum(numprocs));
        return Vec::new();
    }
    let common = keys.names.clone();
    let mut programs = Vec::new();
    // One service runs the whole pool of a listener.
    let services = if listener.is_some() {
        numprocs.min(1)
    } else {
        numprocs
    };
    for number in first..first.saturating_add(services) {
        keys.names = common.clone();
        keys.names
            .insert("process_num".into(), Known::Number(number));
        keys.names
            .insert("numprocs".into(), Known::Number(numprocs));
        let mut process = process(keys, process_name, group, globals);
        if let Some(process) = &mut process {
            process.listener = listener.clone().map(|listener| Listener {
                pool: numprocs,
                ..listener
            });
        }
        programs.extend(process);
    }
    programs
}

/// The keys of one process.
fn process(
    keys: &mut Keys<'_>,
    process_name: &str,
    group: &str,
    globals: &Globals,
) -> Option<Program> {
    // Only now: what the program's own environment sets may be used in the keys below.
    let environment = environment(keys);
    for (name, text) in &environment {
        keys.names
            .insert(format!("ENV_{name}"), Known::Text(text.clone()));
    }
    let found = keys.expanded("process_name", process_name)?;
    let name = match value::name(&found) {
        Ok(name) => name,
        Err(expected) => {
            keys.say("process_name", What::Value { found, expected });
            return None;
        }
    };
    let stopasgroup = keys.parsed("stopasgroup", false, value::boolean);
    let killasgroup = keys.parsed("killasgroup", stopasgroup, value::boolean);
    if stopasgroup && !killasgroup {
        keys.say("killasgroup", What::KillAsGroup);
    }
    let redirect_stderr = keys.parsed("redirect_stderr", false, value::boolean);
    let (stdout, stderr) = (log(keys, "stdout"), log(keys, "stderr"));
    if redirect_stderr && matches!(stderr.file, LogFile::Path(_)) {
        keys.say("stderr_logfile", What::StderrIgnored);
    }
    let some_octal = |text: &str| value::octal(text).map(Some);
    Some(Program {
        section: keys.section.name.clone(),
        place: keys.section.place.clone(),
        group: group.to_owned(),
        name,
        command: command(keys)?,
        priority: keys.parsed("priority", 999, value::integer),
        autostart: keys.parsed("autostart", true, value::boolean),
        autorestart: keys.parsed("autorestart", Autorestart::Unexpected, value::autorestart),
        exitcodes: keys.parsed("exitcodes", vec![0], value::exit_codes),
        startsecs: keys.count("startsecs", 1),
        startretries: u32::try_from(keys.count("startretries", 3)).unwrap_or(u32::MAX),
        stopsignal: keys.parsed("stopsignal", Signal::TERM, value::signal),
        stopwaitsecs: keys.count("stopwaitsecs", 10),
        stopasgroup,
        killasgroup,
        user: keys.text("user"),
        directory: keys.text("directory"),
        umask: keys.parsed("umask", None, some_octal),
        serverurl: keys
            .text("serverurl")
            .filter(|url| !url.trim().eq_ignore_ascii_case("auto")),
        environment: globals.with_environment(environment),
        redirect_stderr,
        stdout,
        stderr,
        listener: None,
    })
}

fn environment(keys: &mut Keys<'_>) -> Vec<(String, String)> {
    let Some(text) = keys.text("environment") else {
        return Vec::new();
    };
    words::pairs(&text).unwrap_or_else(|why| {
        keys.say("environment", What::Environment(why));
        Vec::new()
    })
}

fn command(keys: &mut Keys<'_>) -> Option<Vec<String>> {
    if keys.raw("command").is_none() {
        keys.say("command", What::NoCommand);
    }
    let text = keys.text("command")?;
    match words::split_command(&text) {
        Ok(words) if words.is_empty() => {
            keys.say("command", What::NoCommand);
            None
        }
        Ok(words) => Some(words),
        Err(why) => {
            keys.say("command", What::Command(why));
            None
        }
    }
}

fn log(keys: &mut Keys<'_>, channel: &str) -> Log {
    let key = |name: &str| format!("{channel}_{name}");
    let file = keys
        .text(&key("logfile"))
        .map_or(LogFile::Auto, |text| value::log_file(&text));
    Log {
        syslog: keys.parsed(&key("syslog"), false, value::boolean) || file == LogFile::Syslog,
        file,
        maxbytes: keys.parsed(&key("logfile_maxbytes"), 50 << 20, value::byte_size),
        backups: keys.count(&key("logfile_backups"), 10),
        capture: keys.parsed(&key("capture_maxbytes"), 0, value::byte_size),
        events: keys.parsed(&key("events_enabled"), false, value::boolean),
    }
}

/// Supervisor's event types.
const EVENTS: &[&str] = &[
    "EVENT",
    "PROCESS_STATE",
    "PROCESS_STATE_STOPPED",
    "PROCESS_STATE_EXITED",
    "PROCESS_STATE_STARTING",
    "PROCESS_STATE_STOPPING",
    "PROCESS_STATE_BACKOFF",
    "PROCESS_STATE_FATAL",
    "PROCESS_STATE_RUNNING",
    "PROCESS_STATE_UNKNOWN",
    "PROCESS_COMMUNICATION",
    "PROCESS_COMMUNICATION_STDOUT",
    "PROCESS_COMMUNICATION_STDERR",
    "PROCESS_LOG",
    "PROCESS_LOG_STDOUT",
    "PROCESS_LOG_STDERR",
    "REMOTE_COMMUNICATION",
    "SUPERVISOR_STATE_CHANGE",
    "SUPERVISOR_STATE_CHANGE_RUNNING",
    "SUPERVISOR_STATE_CHANGE_STOPPING",
    "TICK",
    "TICK_5",
    "TICK_60",
    "TICK_3600",
    "PROCESS_GROUP",
    "PROCESS_GROUP_ADDED",
    "PROCESS_GROUP_REMOVED",
];

fn listener(keys: &mut Keys<'_>) -> Listener {
    let text = keys.text("events").unwrap_or_default();
    let events: Vec<String> = value::list(&text)
        .into_iter()
        .map(str::to_uppercase)
        .collect();
    if events.is_empty() {
        keys.say("events", What::NoEvents);
    }
    for event in &events {
        if !EVENTS.contains(&event.as_str()) {
            keys.say("events", What::UnknownEvent(event.clone()));
        }
    }
    let positive = |text: &str| match value::integer(text) {
        Ok(size @ 1..) => Ok(size),
        Ok(_) | Err(_) => Err("a number of events, at least 1"),
    };
    keys.parsed("buffer_size", 10, positive);
    if keys.parsed("redirect_stderr", false, value::boolean) {
        keys.say("redirect_stderr", What::ListenerRedirect);
    }
    let handler = keys.text("result_handler");
    if handler.is_some_and(|handler| handler != "supervisor.dispatchers:default_handler") {
        keys.say("result_handler", What::ResultHandler);
    }
    Listener { events, pool: 1 }
}
