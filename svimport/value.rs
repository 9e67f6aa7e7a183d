//! Supervisor's value grammars: text in, value out, or what was expected. **Pure.**

use servicedir::options::Autorestart;
use servicedir::signal::Signal;

/// What a refused text should have been: it follows `expected` in a message.
pub(crate) type Expected = &'static str;

/// yes, true, on, 1 and their opposites, in any case.
pub(crate) fn boolean(text: &str) -> Result<bool, Expected> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Ok(true),
        "no" | "false" | "off" | "0" => Ok(false),
        _ => Err("yes, true, on, 1, no, false, off or 0"),
    }
}

/// A whole number as Python's `int` reads it: with a sign, blanks around it, single underscores in it.
pub(crate) fn integer(text: &str) -> Result<i64, Expected> {
    const EXPECTED: Expected = "a whole number without a unit";
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let parts_hold_digits = digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !parts_hold_digits {
        return Err(EXPECTED);
    }
    text.replace('_', "").parse().map_err(|_| EXPECTED)
}

/// A number of bytes, with KB, MB or GB behind it.
pub(crate) fn byte_size(text: &str) -> Result<u64, Expected> {
    const EXPECTED: Expected = "a number of bytes, alone or with KB, MB or GB behind it";
    let lower = text.to_lowercase();
    let unit = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30)];
    let (number, factor) = unit
        .iter()
        .find_map(|(suffix, factor)| Some((lower.strip_suffix(suffix)?, *factor)))
        .unwrap_or((lower.as_str(), 1));
    let number = integer(number).map_err(|_| EXPECTED)?;
    u64::try_from(number.saturating_mul(factor)).map_err(|_| EXPECTED)
}

/// Octal digits, with or without `0o`.
pub(crate) fn octal(text: &str) -> Result<u32, Expected> {
    let text = text.trim();
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or("octal digits such as 022")
}

/// Exit codes from 0 to 255 with commas between them.
pub(crate) fn exit_codes(text: &str) -> Result<Vec<u8>, Expected> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|code| u8::try_from(integer(code)?).map_err(|_| ""))
        .collect::<Result<_, _>>()
        .map_err(|_| "exit codes from 0 to 255 with commas between them")
}

/// A signal by name, with or without SIG, or by number.
pub(crate) fn signal(text: &str) -> Result<Signal, Expected> {
    let signal = match integer(text) {
        Ok(number) => i32::try_from(number).ok().and_then(Signal::from_number),
        Err(_) => Signal::from_name(text.trim()),
    };
    signal.ok_or("a signal such as TERM, SIGINT or 15")
}

/// `true`, `false` or `unexpected`.
pub(crate) fn autorestart(text: &str) -> Result<Autorestart, Expected> {
    if text.eq_ignore_ascii_case("unexpected") {
        return Ok(Autorestart::Unexpected);
    }
    match boolean(text) {
        Ok(true) => Ok(Autorestart::Always),
        Ok(false) => Ok(Autorestart::Never),
        Err(_) => Err("true, false or unexpected"),
    }
}

/// A program's, process's or group's name.
pub(crate) fn name(text: &str) -> Result<String, Expected> {
    let name = text.trim();
    let bad = |letter: char| matches!(letter, ' ' | ':' | '/' | '\n' | '\0');
    if name.is_empty() || name.contains(bad) {
        return Err("a name without blanks, colons and slashes");
    }
    if name.starts_with('.') || name.ends_with('@') {
        return Err(
            "a name that svscan takes for a service: no dot in front, no @ at its end; rename the program",
        );
    }
    Ok(name.to_owned())
}

/// Names with commas between them.
pub(crate) fn list(text: &str) -> Vec<&str> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(str::trim).collect()
}

/// Where a log goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LogFile {
    /// `NONE`, `off`: nowhere.
    None,
    /// `AUTO`: a file that supervisord chooses.
    Auto,
    /// `syslog`.
    Syslog,
    /// A file.
    Path(String),
}

/// `NONE`, `AUTO`, `syslog` or a path.
pub(crate) fn log_file(text: &str) -> LogFile {
    match text.to_lowercase().as_str() {
        "none" | "off" => LogFile::None,
        "auto" => LogFile::Auto,
        "syslog" => LogFile::Syslog,
        _ => LogFile::Path(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_pythons() {
        for (text, number) in [("10", 10), (" -1 ", -1), ("+5", 5), ("1_000", 1000)] {
            assert_eq!(integer(text), Ok(number), "{text}");
        }
        for text in ["", "1.5", "10s", "_1", "1__0", "--1", "0x1"] {
            assert!(integer(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_two_letters_or_none() {
        assert_eq!(byte_size("50MB"), Ok(50 << 20));
        assert_eq!(byte_size("1 kb"), Ok(1024));
        assert_eq!(byte_size("0"), Ok(0));
        for text in ["1K", "1TB", "1.5MB", "10B", "-1"] {
            assert!(byte_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_other_grammars_take_what_supervisord_takes() {
        assert_eq!(octal("0o22"), Ok(0o22));
        assert_eq!(octal("022"), Ok(0o22));
        assert!(octal("9").is_err());
        assert_eq!(exit_codes("0, 2"), Ok(vec![0, 2]));
        assert_eq!(exit_codes(""), Ok(vec![]));
        assert!(exit_codes("256").is_err() && exit_codes("0 2").is_err());
        assert_eq!(signal("sigint"), Ok(Signal::INT));
        assert!(signal("0").is_err());
        assert_eq!(autorestart("ON"), Ok(Autorestart::Always));
        assert!(name("a b").is_err() && name(".a").is_err() && name("w@").is_err());
        assert_eq!(list("a, b\n,c"), ["a", "b", "c"]);
        assert_eq!(log_file("Off"), LogFile::None);
    }
}
