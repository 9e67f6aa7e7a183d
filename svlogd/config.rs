//! The file `config` of a log directory: one setting a line, told by its first character.
//!
//! Pure: text in, settings and complaints out. The letters are runit's; `S` and the lines that begin
//! with a word are this suite's, and runit ignores them. A line that runit ignores is a complaint; so
//! is one that it reads as zero though it has no number, and both leave the default.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::calendar::Period;
use crate::select::Rules;

/// The port of syslog, where an address names none.
const SYSLOG_PORT: u16 = 514;

/// The end of the message about a line that sets nothing.
const UNKNOWN: &str = "a setting of svlogd(8)";

/// How one log directory is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Config {
    /// `s`: the size in bytes at which `current` is rotated; 0 = never.
    pub(crate) size: u64,
    /// `n`: how many old files are kept; 0 = all.
    pub(crate) keep: u64,
    /// `N`: how many old files are kept when the disk is full. Counts only where it is less than `keep`.
    pub(crate) keep_when_full: u64,
    /// `S`: what all files of the directory together may hold, in bytes; 0 = no limit.
    pub(crate) total: u64,
    /// `t`: the age at which a `current` that is not empty is rotated.
    pub(crate) age: Option<Duration>,
    /// `rotate`: `current` is rotated at midnight, or with each hour.
    pub(crate) period: Option<Period>,
    /// `!`: the command that old files are fed through.
    pub(crate) processor: Option<Vec<u8>>,
    /// `p`: what stands before each line, after its stamp.
    pub(crate) prefix: Vec<u8>,
    /// `+`, `-`, `e`, `E`: which lines go where.
    pub(crate) rules: Rules,
    /// `u`, `U`: where lines go by UDP.
    pub(crate) udp: Option<SocketAddrV4>,
    /// `U`: lines go by UDP only.
    pub(crate) udp_only: bool,
    /// `full drop`: on a full disk lines are dropped and counted, and old files are deleted though they
    /// wait for the processor; else reading stops.
    pub(crate) drop_when_full: bool,
    /// `mode`: the mode of files while they are written.
    pub(crate) mode: u32,
    /// `group`: the group of files, a name or a number; `None` = as the system gives it.
    pub(crate) group: Option<String>,
    /// One file more stays with a processor, as in runit.
    pub(crate) spare: bool,
    /// An empty `state` is made also where no processor needs it, as multilog does.
    pub(crate) state: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: 1_000_000,
            keep: 10,
            keep_when_full: 10,
            total: 0,
            age: None,
            period: None,
            processor: None,
            prefix: Vec::new(),
            rules: Rules::default(),
            udp: None,
            udp_only: false,
            drop_when_full: false,
            mode: 0o644,
            group: None,
            spare: true,
            state: false,
        }
    }
}

/// A line that could not be read; what it would have set stays as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Complaint {
    /// The line's number, from 1.
    line: usize,
    expected: &'static str,
    found: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            expected,
            found,
        } = self;
        write!(out, "line {line}: expected {expected}, found \"{found}\"")
    }
}

#[cfg(test)]
impl Complaint {
    /// One for the test of the messages.
    pub(crate) fn sample() -> Self {
        Self {
            line: 77,
            expected: "this",
            found: "that".into(),
        }
    }
}

impl Config {
    /// Reads the text of a `config` file. A line that is wrong leaves the effect of the others.
    pub(crate) fn parse(text: &[u8]) -> (Self, Vec<Complaint>) {
        let mut config = Self::default();
        let mut complaints = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if let Err(expected) = config.read_line(line) {
                complaints.push(Complaint {
                    line: index + 1,
                    expected,
                    found: String::from_utf8_lossy(line).into_owned(),
                });
            }
        }
        (config, complaints)
    }

    fn read_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let Some((letter, rest)) = line.split_first() else {
            return Ok(());
        };
        match letter {
            b's' => self.size = bytes(rest)?,
            b'S' => self.total = bytes(rest)?,
            b'n' => self.keep = number(rest).ok_or("a number of files after n")?.0,
            b'N' => self.keep_when_full = number(rest).ok_or("a number of files after N")?.0,
            b't' => self.age = age(rest)?,
            b'!' => self.processor = (!rest.is_empty()).then(|| rest.to_vec()),
            b'u' | b'U' => {
                self.udp = Some(address(rest)?);
                self.udp_only |= *letter == b'U';
            }
            b'p' => self.prefix = rest.to_vec(),
            b'+' | b'-' | b'e' | b'E' => self.rules.add(*letter, rest),
            b'#' => {}
            _ => self.read_word(line)?,
        }
        Ok(())
    }

    /// Reads a line of this suite: a word and a value.
    fn read_word(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(line).map_err(|_| UNKNOWN)?;
        let (word, value) = text.trim_end().split_once(' ').ok_or(UNKNOWN)?;
        let value = value.trim();
        match word {
            "full" => self.drop_when_full = full(value)?,
            "rotate" => self.period = Some(period(value)?),
            "mode" => self.mode = mode(value)?,
            "group" if !value.is_empty() => self.group = Some(value.to_owned()),
            _ => return Err(UNKNOWN),
        }
        Ok(())
    }

    /// How many old files may go when the disk is full, as runit has it: only with `N` below `n`.
    pub(crate) fn may_delete_when_full(&self) -> bool {
        self.keep_when_full < self.keep
    }
}

/// The digits at the front of `text` as a number, and what follows them.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((value, rest))
}

/// A size: a number, then perhaps `k`, `m` or `g` for 1024 and its powers (runit knows no `g`).
fn bytes(text: &[u8]) -> Result<u64, &'static str> {
    const EXPECTED: &str = "a size in bytes, with k, m or g for multiples of 1024";
    let (value, rest) = number(text).ok_or(EXPECTED)?;
    let unit = match rest.first() {
        Some(b'k') => 1 << 10,
        Some(b'm') => 1 << 20,
        Some(b'g') => 1 << 30,
        _ => 1,
    };
    value.checked_mul(unit).ok_or(EXPECTED)
}

/// An age: a number of seconds, or with `m` of minutes, with `h` of hours. 0 is none.
fn age(text: &[u8]) -> Result<Option<Duration>, &'static str> {
    const EXPECTED: &str = "an age in seconds, or with m in minutes, with h in hours";
    let (value, rest) = number(text).ok_or(EXPECTED)?;
    let unit = match rest.first() {
        Some(b'm') => 60,
        Some(b'h') => 3600,
        _ => 1,
    };
    let seconds = value.checked_mul(unit).ok_or(EXPECTED)?;
    // A century at most, so that no sum with a clock overflows.
    Ok((seconds > 0).then(|| Duration::from_secs(seconds.min(3_155_760_000))))
}

/// `a.b.c.d`, or `a.b.c.d:port`.
fn address(text: &[u8]) -> Result<SocketAddrV4, &'static str> {
    const EXPECTED: &str = "an address a.b.c.d or a.b.c.d:port";
    let text = std::str::from_utf8(text).map_err(|_| EXPECTED)?.trim_end();
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| EXPECTED)?),
        None => (text, SYSLOG_PORT),
    };
    let host: Ipv4Addr = host.parse().map_err(|_| EXPECTED)?;
    if port == 0 {
        return Err(EXPECTED);
    }
    Ok(SocketAddrV4::new(host, port))
}

/// The value of `full`: whether lines are dropped.
fn full(value: &str) -> Result<bool, &'static str> {
    match value {
        "drop" => Ok(true),
        "wait" => Ok(false),
        _ => Err("\"full drop\" or \"full wait\""),
    }
}

/// When the wall clock rotates.
fn period(value: &str) -> Result<Period, &'static str> {
    match value {
        "hourly" => Ok(Period::Hour),
        "daily" => Ok(Period::Day),
        _ => Err("\"rotate daily\" or \"rotate hourly\""),
    }
}

/// A file's mode, in octal; svlogd itself must be able to read and write.
fn mode(value: &str) -> Result<u32, &'static str> {
    const EXPECTED: &str = "an octal mode from 0600 to 0666, as in \"mode 0640\"";
    let mode = u32::from_str_radix(value, 8).map_err(|_| EXPECTED)?;
    if mode & !0o066 == 0o600 {
        Ok(mode)
    } else {
        Err(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn good(text: &str) -> Config {
        let (config, complaints) = Config::parse(text.as_bytes());
        assert_eq!(complaints, []);
        config
    }

    #[test]
    fn without_a_line_the_defaults_are_runits() {
        let config = good("\n# a comment\n");
        assert_eq!((config.size, config.keep), (1_000_000, 10));
        assert!(!config.may_delete_when_full());
    }

    #[test]
    fn each_letter_sets_what_it_sets_in_runit() {
        let config = good("s16k\nn3\nN2\nt2m\n!gzip -9\npweb: \n+a\n-b\nu127.0.0.1\n");
        assert_eq!((config.size, config.keep), (16384, 3));
        assert!(config.may_delete_when_full());
        assert_eq!(config.age, Some(Duration::from_secs(120)));
        assert_eq!(config.processor.as_deref(), Some(&b"gzip -9"[..]));
        assert_eq!(config.prefix, b"web: ");
        assert_eq!(config.udp, "127.0.0.1:514".parse().ok());
        assert!(!config.udp_only);
    }

    #[test]
    fn our_own_words_are_a_total_and_what_to_do_when_full() {
        let config = good("S100m\nfull drop\n");
        assert_eq!(config.total, 100 << 20);
        assert!(config.drop_when_full);
        assert!(!good("full drop\nfull wait").drop_when_full);
    }

    #[test]
    fn a_line_without_its_number_is_named_and_leaves_the_default() {
        let (config, complaints) = Config::parse(b"n3\nsbig\nu1.2.3\nU1.2.3.4:0\nfull stop");
        assert_eq!((config.size, config.keep), (1_000_000, 3));
        let lines: Vec<usize> = complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        assert_eq!(
            complaints[0].to_string(),
            "line 2: expected a size in bytes, with k, m or g for multiples of 1024, found \"sbig\""
        );
    }

    #[test]
    fn a_line_that_runit_ignores_is_named_and_changes_nothing() {
        let (config, complaints) = Config::parse(b" s500\nfoo\nxyz\ngroup\n# s3\n\xff\n");
        assert_eq!(config, Config::default());
        let lines: Vec<usize> = complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 6]);
    }

    #[test]
    fn an_empty_pattern_is_a_pattern() {
        assert!(!good("-\n").rules.select(b"").log);
        assert!(good("-*\n+\n").rules.select(b"").log);
    }

    #[test]
    fn the_wall_clock_rotates_daily_or_hourly() {
        assert_eq!(good("").period, None);
        assert_eq!(good("rotate daily").period, Some(Period::Day));
        assert_eq!(
            good("rotate daily\nrotate hourly\n").period,
            Some(Period::Hour)
        );
        assert_eq!(Config::parse(b"rotate weekly").1.len(), 1);
    }

    #[test]
    fn mode_and_group_are_those_of_files() {
        let config = good("mode 0640\ngroup adm\n");
        assert_eq!((config.mode, config.group.as_deref()), (0o640, Some("adm")));
        for wrong in ["0644x", "0444", "0755", "1644", "9", "640 adm"] {
            let (config, complaints) = Config::parse(format!("mode {wrong}").as_bytes());
            assert_eq!((config.mode, complaints.len()), (0o644, 1), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_read(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            Config::parse(&text);
        }
    }
}
