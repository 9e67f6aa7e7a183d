//! The option files of a service: `options/`, one file an option (servicedir(5)).
//!
//! An option is one entry of the list below: its field and type, its value where there is no file,
//! its file's name, what the file's text looks like, an example, its documentation and its parser.
//! The compiler asks for each of them; the tests check that the texts say what the code does, and
//! that the manual page knows the file.

mod env;
mod fault;
mod file;
mod limit;
mod values;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::signal::Signal;

pub use fault::Fault;
pub use file::FILE_MAX;
pub use limit::{Hard, Limit, Range};
pub use values::{Account, Autorestart, Backoff, ExitCodes, Growth, Ready, User};

use file::{Refusal, Values, each, one, some};

/// What stands in the manual and in messages about one option.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of the file in `options/`.
    pub name: &'static str,
    /// What its text looks like, as it follows `expected` in a message.
    pub takes: &'static str,
    /// What holds where there is no file.
    pub without: Without,
    /// A text that the file may have, and that is not what holds without it.
    pub example: &'static str,
    /// What it is for.
    pub doc: &'static str,
    set: Set,
}

/// What holds where an option has no file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Without {
    /// The same as with a file of this text.
    Text(&'static str),
    /// What no text says: in words.
    Words(&'static str),
}

/// How an entry's file gets into [`Options`].
#[derive(Clone, Copy, Debug)]
enum Set {
    /// By the parser of its field.
    Field(fn(&mut Options, &Values) -> Result<(), Refusal>),
    /// As one more element of `limits`.
    Limit(rustix::process::Resource),
    /// It is the directory `env/`.
    Env,
}

/// Declares the options: the fields of [`Options`], their values without a file, and the entries.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $default:expr => {
            name: $name:literal,
            takes: $takes:expr,
            without: $without:expr,
            example: $example:literal,
            read: $how:ident($parser:expr) $(,)?
        }
    )+) => {
        /// The options of a service, each as its file says or, without one, as servicedir(5) says.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct Options {
            $( $(#[doc = $doc])+ pub $field: $type, )+
            /// `limit-nofile` and its like: the resource limits to set; the others are inherited.
            pub limits: Vec<Limit>,
            /// `env/`: variables to set, or to remove where there is no value.
            pub env: Vec<(OsString, Option<OsString>)>,
        }

        impl Default for Options {
            /// What holds where there is no `options/`; it allocates nothing.
            fn default() -> Self {
                Self { $( $field: $default, )+ limits: Vec::new(), env: Vec::new() }
            }
        }

        /// The options that have a field of their own.
        const FIELDS: &[Entry] = &[ $( Entry {
            name: $name,
            takes: $takes,
            without: $without,
            example: $example,
            doc: concat!($($doc),+),
            set: Set::Field(|options, values| {
                options.$field = $how(values, $parser)?;
                Ok(())
            }),
        } ),+ ];
    };
}

const BOOLEAN: &str = "yes or no";
const DURATION: &str = "a duration such as 5s, 1m 30s, 250ms or a number of seconds";
const DURATION_OR_UNLIMITED: &str =
    "a duration such as 5s, 1m 30s, 250ms or a number of seconds, or unlimited";

options! {
    /// Whether the service is started together with its supervise. A file `down` in the service
    /// directory means no as well.
    autostart: bool = true => {
        name: "autostart",
        takes: BOOLEAN,
        without: Without::Text("yes"),
        example: "no",
        read: one(values::boolean),
    }

    /// Whether the service is started again when it ends by itself after it had been up: always,
    /// only when the end was none of `exitcodes`, or never.
    autorestart: Autorestart = Autorestart::Always => {
        name: "autorestart",
        takes: "always, unexpected or never",
        without: Without::Text("always"),
        example: "unexpected",
        read: one(values::autorestart),
    }

    /// The expected ways to end: exit codes and signals by name.
    exitcodes: ExitCodes = ExitCodes::ZERO => {
        name: "exitcodes",
        takes: "exit codes from 0 to 255 and names of signals, such as 0 2 SIGTERM",
        without: Without::Text("0"),
        example: "0 2 SIGTERM",
        read: each(values::exit_codes),
    }

    /// How long a run must last to count as started.
    startsecs: Duration = Duration::from_secs(1) => {
        name: "startsecs",
        takes: DURATION,
        without: Without::Text("1s"),
        example: "10s",
        read: one(values::duration),
    }

    /// How many more starts are tried after a failed one; when all of them have failed, the service
    /// is FATAL. None is without end.
    startretries: Option<u32> = None => {
        name: "startretries",
        takes: "a number of retries such as 3, or unlimited",
        without: Without::Text("unlimited"),
        example: "3",
        read: one(values::retries),
    }

    /// How long to wait before a retry, counted from the end of the failed start.
    backoff: Backoff = Backoff::SECOND => {
        name: "backoff",
        takes: "constant 1s, linear 1s max 30s, exponential 250ms max 5m or the like, with a wait of 1ms at least",
        without: Without::Text("constant 1s"),
        example: "exponential 250ms max 5m",
        read: one(values::backoff),
    }

    /// How the service tells that it is ready.
    ready: Ready = Ready::Startsecs => {
        name: "ready",
        takes: "startsecs, fd and a descriptor from 1 to 1023 such as fd 3, notify or check",
        without: Without::Text("startsecs"),
        example: "fd 3",
        read: one(values::ready),
    }

    /// A start that is not ready by then has failed, and is stopped.
    readysecs: Option<Duration> = None => {
        name: "readysecs",
        takes: DURATION_OR_UNLIMITED,
        without: Without::Text("unlimited"),
        example: "30s",
        read: one(values::duration_or_unlimited),
    }

    /// How often an executable `check` is run once the service is ready. None is never.
    check_interval: Option<Duration> = None => {
        name: "check-interval",
        takes: "a duration of 1ms at least such as 5s, 1m 30s, 250ms or a number of seconds, or unlimited",
        without: Without::Text("unlimited"),
        example: "10s",
        read: one(values::interval),
    }

    /// How many failures of `check` in a row stop and restart the service; at least 1.
    check_failures: u32 = 3 => {
        name: "check-failures",
        takes: "a number of failures such as 3, at least 1",
        without: Without::Text("3"),
        example: "1",
        read: one(values::failures),
    }

    /// The signal that asks the service to stop.
    stopsignal: Signal = Signal::TERM => {
        name: "stopsignal",
        takes: "the name of a signal such as TERM or SIGINT",
        without: Without::Text("TERM"),
        example: "INT",
        read: one(values::signal),
    }

    /// How long the service may take to stop; then it gets KILL. None is without end.
    stopwaitsecs: Option<Duration> = None => {
        name: "stopwaitsecs",
        takes: DURATION_OR_UNLIMITED,
        without: Without::Text("unlimited"),
        example: "10s",
        read: one(values::duration_or_unlimited),
    }

    /// Whether the stop signal goes to the process group.
    stopasgroup: bool = false => {
        name: "stopasgroup",
        takes: BOOLEAN,
        without: Without::Text("no"),
        example: "yes",
        read: one(values::boolean),
    }

    /// Whether the KILL after `stopwaitsecs` goes to the process group.
    killasgroup: bool = false => {
        name: "killasgroup",
        takes: BOOLEAN,
        without: Without::Words("as stopasgroup"),
        example: "yes",
        read: one(values::boolean),
    }

    /// How long `finish` may run; then it is killed. None is without end.
    finishsecs: Option<Duration> = None => {
        name: "finishsecs",
        takes: DURATION_OR_UNLIMITED,
        without: Without::Text("unlimited"),
        example: "5s",
        read: one(values::duration_or_unlimited),
    }

    /// The user, and the group, that the service runs as. None is as supervise.
    user: Option<User> = None => {
        name: "user",
        takes: "name, name:group or uid:gid",
        without: Without::Words("as supervise"),
        example: "www-data",
        read: some(values::user),
    }

    /// The working directory. None is the service directory.
    directory: Option<PathBuf> = None => {
        name: "directory",
        takes: "a path such as /var/lib/web",
        without: Without::Words("the service directory"),
        example: "/var/lib/web",
        read: some(values::directory),
    }

    /// The file mode creation mask, in octal digits. None is inherited.
    umask: Option<u32> = None => {
        name: "umask",
        takes: "octal digits from 000 to 777 such as 022",
        without: Without::Words("inherited"),
        example: "027",
        read: some(values::umask),
    }

    /// What is added to the nice value that supervise has. None is nothing.
    nice: Option<i32> = None => {
        name: "nice",
        takes: "a number from -20 to 19",
        without: Without::Words("inherited"),
        example: "10",
        read: some(values::nice),
    }

    /// Whether the service's stderr goes to where its stdout goes.
    redirect_stderr: bool = false => {
        name: "redirect-stderr",
        takes: BOOLEAN,
        without: Without::Text("no"),
        example: "yes",
        read: one(values::boolean),
    }

    /// The service's place in the order of svscan: lower ones are started first and stopped last.
    priority: i32 = 999 => {
        name: "priority",
        takes: "a whole number such as 10",
        without: Without::Text("999"),
        example: "10",
        read: one(values::integer),
    }

    /// The group that the service belongs to. None is the part of an instance's name before the `@`,
    /// else the service's own name.
    group: Option<String> = None => {
        name: "group",
        takes: "a name without blanks, slashes and colons such as workers",
        without: Without::Words("the part of an instance's name before the @, else the service's name"),
        example: "workers",
        read: some(values::group_name),
    }

    /// Whether svscan stops everything and exits when this service has ended for good.
    essential: bool = false => {
        name: "essential",
        takes: BOOLEAN,
        without: Without::Text("no"),
        example: "yes",
        read: one(values::boolean),
    }
}

/// The directory of environment variables.
const ENV: Entry = Entry {
    name: "env",
    takes: "a directory with a file a variable",
    without: Without::Words("nothing is added"),
    example: "a file LANG in it, with the text C.UTF-8",
    doc: " Variables that are added to the environment of supervise, or override it.",
    set: Set::Env,
};

/// Every option: the one list that reading, suggestions and the manual's test go through.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    FIELDS.iter().chain(limit::ENTRIES).chain([&ENV])
}

/// Reads the options of the service directory at `service_dir`.
///
/// Without an `options/` this is one system call. Names that begin with a dot do not count. A plain
/// file `options` is none of ours (an older suite's service may well keep one): it does not count.
///
/// # Errors
/// The first fault in the order of the files' names; after those, values that exclude each other.
pub fn read(service_dir: &Path) -> Result<Options, Fault> {
    let mut options = Options::default();
    let Some(folder) = file::open_folder(service_dir)? else {
        return Ok(options);
    };
    let names = file::names(&folder, crate::layout::OPTIONS)?;
    for name in &names {
        let entry = name
            .to_str()
            .and_then(|name| entries().find(|entry| entry.name == name));
        let entry = entry.ok_or_else(|| Fault::unknown(name))?;
        match entry.set {
            Set::Env => options.env = env::read(&folder)?,
            Set::Limit(resource) => {
                let range = read_with(&folder, entry, |values| one(values, values::limit))?;
                options.limits.push(Limit {
                    name: entry.name,
                    resource,
                    range,
                });
            }
            Set::Field(set) => read_with(&folder, entry, |values| set(&mut options, values))?,
        }
    }
    let given = |name: &str| names.iter().any(|given| given == name);
    settle(&mut options, given, service_dir)?;
    Ok(options)
}

/// Reads one option of a service by its name, whatever is wrong with the others; every other field has
/// the value that holds without a file.
///
/// # Errors
/// What is wrong with that file.
pub fn read_only(service_dir: &Path, name: &str) -> Result<Options, Fault> {
    let mut options = Options::default();
    let path = service_dir.join(crate::layout::OPTIONS).join(name);
    let Some((entry, Set::Field(set))) = FIELDS
        .iter()
        .find(|entry| entry.name == name)
        .map(|entry| (entry, entry.set))
    else {
        return Err(Fault::unknown(std::ffi::OsStr::new(name)));
    };
    match crate::trust::read(&path, FILE_MAX) {
        Ok(bytes) => set(&mut options, &Values::of(&bytes))
            .map_err(|refusal| Fault::refused(entry, refusal))?,
        // Without options/, or where an older suite's service keeps a plain file of that name.
        Err(refused) if refused.is_absent() => {}
        Err(refused) => return Err(file::fault(name, refused)),
    }
    Ok(options)
}

/// Reads one file and hands its lines to `parse`.
fn read_with<T>(
    folder: &std::os::fd::OwnedFd,
    entry: &Entry,
    parse: impl FnOnce(&Values) -> Result<T, Refusal>,
) -> Result<T, Fault> {
    let bytes = file::read(folder, entry.name)?;
    parse(&Values::of(&bytes)).map_err(|refusal| Fault::refused(entry, refusal))
}

/// What depends on more than one file.
fn settle(
    options: &mut Options,
    given: impl Fn(&str) -> bool,
    service_dir: &Path,
) -> Result<(), Fault> {
    if !given("killasgroup") {
        options.killasgroup = options.stopasgroup;
    }
    if options.stopasgroup && !options.killasgroup {
        return Err(Fault::of(
            "killasgroup",
            "no, where options/stopasgroup says yes",
        ));
    }
    if options.redirect_stderr && service_dir.join(crate::layout::ERRLOG).is_dir() {
        return Err(Fault::of(
            "redirect-stderr",
            "yes, where a directory errlog takes the stderr",
        ));
    }
    if options.ready == Ready::Check
        && !file::is_executable(&service_dir.join(crate::layout::CHECK))
    {
        return Err(Fault::of(
            "ready",
            "check, where there is no executable file check",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
