//! The values of options and their parsers: text in, value out, `None` for what is none.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::duration::{self, LONGEST};
use crate::signal::Signal;
use crate::status::End;

/// Shorter waits between starts, or between checks, would be a busy loop.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// When a service that ended by itself is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Autorestart {
    /// After any end; Supervisor's `true`.
    Always,
    /// After an end that is none of the expected ones.
    Unexpected,
    /// After none; Supervisor's `false`.
    Never,
}

/// A set of ways to end: exit codes and signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExitCodes {
    /// A bit an exit code, the lowest of the first for 0.
    codes: [u64; 4],
    /// A bit a signal: number N is bit N - 1.
    signals: u64,
}

impl ExitCodes {
    /// Only exit code 0.
    pub const ZERO: Self = Self {
        codes: [1, 0, 0, 0],
        signals: 0,
    };

    /// Whether the set has that way to end; a start that failed and an end that nobody saw are in none.
    #[must_use]
    pub fn contains(&self, end: End) -> bool {
        match end {
            End::Exited(code) => {
                let word = self.codes.get(usize::from(code / 64)).copied().unwrap_or(0);
                word >> (code % 64) & 1 == 1
            }
            End::Killed { signal, .. } => self.signals & signal_bit(signal) != 0,
            End::NotStarted(_) | End::Unknown => false,
        }
    }

    /// The set with one code or signal more.
    fn with(mut self, word: &str) -> Option<Self> {
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            let code: u8 = word.parse().ok()?;
            *self.codes.get_mut(usize::from(code / 64))? |= 1 << (code % 64);
        } else {
            // A number without SIG before it is an exit code, never a signal's.
            let name = word.strip_prefix("SIG").unwrap_or(word);
            let named = name.starts_with(|first: char| first.is_ascii_alphanumeric());
            self.signals |= signal_bit(Signal::from_name(name).filter(|_| named)?);
        }
        Some(self)
    }
}

/// The bit of a signal, from SIGHUP (1) as the lowest on.
fn signal_bit(signal: Signal) -> u64 {
    u32::try_from(signal.number() - 1)
        .ok()
        .and_then(|bit| 1_u64.checked_shl(bit))
        .unwrap_or(0)
}

/// How long to wait before a retry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// How the wait grows.
    pub growth: Growth,
    /// The wait before the first retry.
    pub first: Duration,
    /// The longest wait.
    pub max: Option<Duration>,
}

/// How the waits of a [`Backoff`] grow from one retry to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    /// Not at all.
    Constant,
    /// By the first wait each time.
    Linear,
    /// To the double each time.
    Exponential,
}

impl Backoff {
    /// Always one second, as daemontools and runit wait.
    pub const SECOND: Self = Self {
        growth: Growth::Constant,
        first: Duration::from_secs(1),
        max: None,
    };

    /// The wait before retry number `n`, from 1 on.
    #[must_use]
    pub fn wait(&self, n: u32) -> Duration {
        let factor = match self.growth {
            Growth::Constant => 1,
            Growth::Linear => n.max(1),
            Growth::Exponential => 1_u32.checked_shl(n.saturating_sub(1)).unwrap_or(u32::MAX),
        };
        self.first
            .saturating_mul(factor)
            .min(self.max.unwrap_or(LONGEST))
    }
}

/// How a service tells that it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// Not at all: it is when it is RUNNING.
    Startsecs,
    /// By a newline on this descriptor (s6's protocol).
    Fd(i32),
    /// By `READY=1` to `$NOTIFY_SOCKET` (`sd_notify`'s protocol).
    Notify,
    /// The executable `check` exits 0.
    Check,
}

/// Who a service runs as; the names are not looked up yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The user.
    pub user: Account,
    /// The group; without one the user's own.
    pub group: Option<Account>,
}

/// A user or a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Account {
    /// By its number.
    Number(u32),
    /// By its name.
    Name(String),
}

impl fmt::Display for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(out, "{number}"),
            Self::Name(name) => out.write_str(name),
        }
    }
}

impl fmt::Display for User {
    /// As the option's file has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.user)?;
        self.group
            .as_ref()
            .map_or(Ok(()), |group| write!(out, ":{group}"))
    }
}

/// `yes`, `true`, `1`, or `no`, `false`, `0`.
pub(super) fn boolean(text: &OsStr) -> Option<bool> {
    match text.to_str()?.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// `always`, `unexpected`, `never`, or Supervisor's words for them.
pub(super) fn autorestart(text: &OsStr) -> Option<Autorestart> {
    match text.to_str()?.to_ascii_lowercase().as_str() {
        "always" => Some(Autorestart::Always),
        "unexpected" => Some(Autorestart::Unexpected),
        "never" => Some(Autorestart::Never),
        _ => boolean(text).map(|yes| {
            if yes {
                Autorestart::Always
            } else {
                Autorestart::Never
            }
        }),
    }
}

/// The set with the codes and signals of one more line; they may have commas between them, as
/// Supervisor's have.
pub(super) fn exit_codes(set: ExitCodes, text: &OsStr) -> Option<ExitCodes> {
    text.to_str()?
        .split([' ', '\t', ','])
        .filter(|word| !word.is_empty())
        .try_fold(set, ExitCodes::with)
}

/// See [`duration::parse`].
pub(super) fn duration(text: &OsStr) -> Option<Duration> {
    duration::parse(text)
}

/// See [`duration::parse_or_unlimited`].
pub(super) fn duration_or_unlimited(text: &OsStr) -> Option<Option<Duration>> {
    duration::parse_or_unlimited(text)
}

/// A duration that is long enough to be waited for again and again, or `unlimited`.
pub(super) fn interval(text: &OsStr) -> Option<Option<Duration>> {
    duration_or_unlimited(text).filter(|interval| interval.is_none_or(|wait| wait >= SHORTEST_WAIT))
}

/// A number of retries, or `unlimited`.
pub(super) fn retries(text: &OsStr) -> Option<Option<u32>> {
    if text == "unlimited" {
        Some(None)
    } else {
        number(text).map(Some)
    }
}

/// A number of failures, at least 1.
pub(super) fn failures(text: &OsStr) -> Option<u32> {
    number(text).filter(|failures| *failures > 0)
}

/// Digits only: `parse` alone would take a plus sign.
fn number(text: &OsStr) -> Option<u32> {
    let text = text.to_str()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// `constant 1s`, `linear 1s max 30s`, `exponential 250ms max 5m`.
pub(super) fn backoff(text: &OsStr) -> Option<Backoff> {
    let (growth, waits) = text.to_str()?.split_once([' ', '\t'])?;
    let growth = match growth {
        "constant" => Growth::Constant,
        "linear" => Growth::Linear,
        "exponential" => Growth::Exponential,
        _ => return None,
    };
    let (first, max) = match waits.split_once("max") {
        None => (waits, None),
        Some(_) if growth == Growth::Constant => return None,
        Some((first, max)) => (first, Some(wait(max)?)),
    };
    Some(Backoff {
        growth,
        first: wait(first)?,
        max,
    })
}

fn wait(text: &str) -> Option<Duration> {
    duration(OsStr::new(text.trim())).filter(|wait| *wait >= SHORTEST_WAIT)
}

/// `startsecs`, `fd N`, `notify` or `check`.
pub(super) fn ready(text: &OsStr) -> Option<Ready> {
    match text
        .to_str()?
        .split_ascii_whitespace()
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["startsecs"] => Some(Ready::Startsecs),
        ["notify"] => Some(Ready::Notify),
        ["check"] => Some(Ready::Check),
        ["fd", number] => {
            let number = i32::try_from(self::number(OsStr::new(number))?).ok()?;
            (1..1024).contains(&number).then_some(Ready::Fd(number))
        }
        _ => None,
    }
}

/// A signal's name, with or without SIG, or its number.
pub(super) fn signal(text: &OsStr) -> Option<Signal> {
    Signal::from_name(text.to_str()?)
}

/// `name`, `name:group`, `uid:gid`. A number alone has no group of its own to be found by, unless
/// somebody has that number for a name.
pub(super) fn user(text: &OsStr) -> Option<User> {
    let text = text.to_str()?;
    match text.split_once(':') {
        None => Some(User {
            user: account_name(text)?,
            group: None,
        }),
        Some((user, group)) => Some(User {
            user: account(user)?,
            group: Some(account(group)?),
        }),
    }
}

fn account(text: &str) -> Option<Account> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return account_name(text);
    }
    // The largest number means "as it is" to setresuid(2): the service would keep its rights.
    text.parse()
        .ok()
        .filter(|number| *number != u32::MAX)
        .map(Account::Number)
}

fn account_name(text: &str) -> Option<Account> {
    let plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !":,/".contains(letter);
    let named = !text.is_empty() && !text.starts_with('-') && text.chars().all(plain);
    named.then(|| Account::Name(text.to_owned()))
}

/// Any path.
pub(super) fn directory(text: &OsStr) -> Option<PathBuf> {
    (!text.as_bytes().contains(&0)).then(|| Path::new(text).to_path_buf())
}

/// Octal digits, up to 777.
pub(super) fn umask(text: &OsStr) -> Option<u32> {
    let text = text.to_str()?;
    let octal =
        (1..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mask| octal && *mask <= 0o777)
}

/// A whole number, with a sign or without.
pub(super) fn integer(text: &OsStr) -> Option<i32> {
    text.to_str()?.parse().ok()
}

/// From -20 to 19.
pub(super) fn nice(text: &OsStr) -> Option<i32> {
    integer(text).filter(|nice| (-20..20).contains(nice))
}

/// A group's name: one word, as Supervisor takes it.
pub(super) fn group_name(text: &OsStr) -> Option<String> {
    let text = text.to_str()?;
    let named = !text.is_empty()
        && text.len() <= 255
        && !text.contains(|letter: char| {
            letter.is_whitespace() || letter.is_control() || "/:".contains(letter)
        });
    named.then(|| text.to_owned())
}

/// See [`super::limit::Range`].
pub(super) fn limit(text: &OsStr) -> Option<super::limit::Range> {
    super::limit::Range::parse(text)
}

#[cfg(test)]
mod tests;
