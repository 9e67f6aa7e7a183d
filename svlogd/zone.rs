//! The local time zone: that of TZ, or of the machine.

use std::env;
use std::path::Path;

use servicedir::trust;
use tz::{TimeZone, TimeZoneSettings};

/// The time zone where TZ names none.
const LOCALTIME: &str = "/etc/localtime";
/// The longest file of a time zone, in bytes; those of the system have a few thousand.
const ZONE_MAX: usize = 256 * 1024;
/// When summer time is where TZ does not tell: the rule of the C library, that of the United States.
const DEFAULT_RULE: &str = ",M3.2.0,M11.1.0";

/// The zone that TZ names, else the one of the machine, else UTC.
///
/// # Errors
/// The value of TZ, which names none.
pub(crate) fn local_zone() -> Result<TimeZone, String> {
    match env::var_os("TZ") {
        Some(name) if name.is_empty() => Ok(TimeZone::utc()),
        Some(name) => {
            let name = name.to_string_lossy();
            zone_named(&name).ok_or_else(|| name.into_owned())
        }
        None => Ok(zone_in(LOCALTIME).unwrap_or_else(TimeZone::utc)),
    }
}

/// The zone of a file's path, of a name below the system's zones, or of a rule, as the C library reads
/// TZ. A rule that names a summer time without saying when it is (`CET-1CEST`) gets the default.
pub(crate) fn zone_named(name: &str) -> Option<TimeZone> {
    let settings = TimeZoneSettings::new(TimeZoneSettings::DEFAULT_DIRECTORIES, read_zone);
    settings
        .parse_posix_tz(name)
        .or_else(|_| settings.parse_posix_tz(&format!("{name}{DEFAULT_RULE}")))
        .ok()
}

/// The zone of a file.
fn zone_in(path: &str) -> Option<TimeZone> {
    TimeZone::from_tz_data(&read_zone(path).ok()?).ok()
}

/// Reads a file, if it is a regular one: TZ may name any.
fn read_zone(path: &str) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(trust::read(Path::new(path), ZONE_MAX)?)
}
