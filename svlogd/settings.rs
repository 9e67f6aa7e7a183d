//! What the command line says to every directory, and what `config` adds to it.

use std::path::Path;

use servicedir::accounts::group_named;
use servicedir::report::Reporter;
use tz::TimeZone;

use crate::access::is_trusted;
use crate::calendar::Calendar;
use crate::config::Config;
use crate::current::Access;
use crate::message::{Deed, Fault, Message};
use crate::store::Store;
use crate::zone::local_zone;

/// What the command line says to every directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// `-l`, in bytes: how much of a line patterns and UDP see.
    pub(crate) len: usize,
    /// A newline that comes within this distance of a file's size, in bytes, ends the file.
    pub(crate) slack: usize,
    /// The length of the stamps, 0 without.
    pub(crate) stamp: usize,
    /// Whether patterns see the stamps, too, as in multilog.
    pub(crate) patterns_see_stamps: bool,
    /// The mode of a directory that is made.
    pub(crate) dir_mode: u32,
    /// `-v`.
    pub(crate) verbose: bool,
    /// Where messages go.
    pub(crate) report: Reporter,
}

impl Settings {
    /// Reports with `-v` what was done to a file.
    pub(crate) fn did(&self, deed: Deed, file: &Path, rest: &str) {
        if self.verbose {
            self.report
                .info(Message::Did(deed, file.to_owned(), rest.to_owned()));
        }
    }
}

/// Reads `config` and reports its wrong lines. `None` where it exists and cannot be read.
pub(crate) fn read_config(store: &mut Store, path: &Path, settings: Settings) -> Option<Config> {
    match store.config(path) {
        Ok(None) => Some(Config::default()),
        Ok(Some((text, owner))) => {
            let config = parse(&text, owner, path, settings);
            store.access = access(&config, path, settings);
            settings.did(Deed::Read, &path.join("config"), "");
            Some(config)
        }
        Err(fault) => {
            settings.report.warning(Message::Unable(fault));
            None
        }
    }
}

fn parse(text: &[u8], owner: u32, path: &Path, settings: Settings) -> Config {
    let file = path.join("config");
    let (mut config, complaints) = Config::parse(text);
    for complaint in complaints {
        let message = Message::BadLine(file.clone(), complaint);
        settings.report.warning(message);
    }
    // Otherwise a user who may write in the directory could run commands as svlogd's user.
    if config.processor.is_some() && !is_trusted(owner) {
        config.processor = None;
        let message = Message::ForeignProcessor(file, owner);
        settings.report.warning(message);
    }
    config
}

/// Mode and group of the files, as far as the group exists.
fn access(config: &Config, path: &Path, settings: Settings) -> Access {
    let mut access = Access {
        mode: config.mode,
        group: None,
    };
    if let Some(name) = &config.group {
        access.group = match name.parse() {
            Ok(number) => Some(number),
            Err(_) => group_named(name).ok().flatten(),
        };
        if access.group.is_none() {
            let message = Message::NoSuchGroup(path.join("config"), name.clone());
            settings.report.warning(message);
        }
    }
    access
}

/// The calendar of a `config` that has one, in the local time zone.
pub(crate) fn calendar(config: &Config, settings: Settings) -> Option<Calendar> {
    let period = config.period?;
    let zone = local_zone().unwrap_or_else(|name| {
        settings.report.warning(Message::NoZone(name));
        TimeZone::utc()
    });
    Some(Calendar::new(period, zone))
}

/// Reports a failure that stops nothing.
pub(crate) fn warn(settings: Settings, outcome: Result<(), Fault>) {
    if let Err(fault) = outcome {
        settings.report.warning(Message::Unable(fault));
    }
}
