//! The script of multilog: its arguments, an action each, as status files, alerts and directories.
//!
//! Pure. The actions are carried out in order for each line; so each alert, status file and directory
//! has the patterns that stand before it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::config::Config;
use crate::select::{Dialect, Rules};

/// The smallest, the default and the largest size of a file, in bytes: `s`.
const SIZES: (u64, u64, u64) = (4096, 99_999, 16_777_215);
/// The smallest and the default number of files, `current` among them: `n`.
const FILES: (u64, u64) = (2, 10);

/// Where selected lines go, apart from directories.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// `e`: standard error.
    Alert,
    /// `=file`: this file has the last one.
    Status(PathBuf),
}

/// A script.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Script {
    /// `t`: each line gets a label.
    pub(crate) stamped: bool,
    /// Alerts and status files, with the patterns that select their lines.
    pub(crate) taps: Vec<(Target, Rules)>,
    /// Directories, and how each is kept.
    pub(crate) directories: Vec<(PathBuf, Config)>,
    /// Arguments that are not actions; multilog ignores them.
    pub(crate) unknown: Vec<OsString>,
}

impl Script {
    /// Reads the arguments.
    pub(crate) fn parse(arguments: &[OsString]) -> Self {
        let mut script = Self::default();
        let mut settings = Config {
            size: SIZES.1,
            processor: None,
            rules: Rules::new(Dialect::Daemontools),
            keep: FILES.1 - 1,
            spare: false,
            state: true,
            ..Config::default()
        };
        for (index, argument) in arguments.iter().enumerate() {
            let bytes = argument.as_bytes();
            let (letter, rest) = bytes.split_first().map_or((0, bytes), |(l, r)| (*l, r));
            match letter {
                b't' if index == 0 => script.stamped = true,
                b'+' | b'-' => settings.rules.add(letter, rest),
                b'e' => script.tap(Target::Alert, &settings),
                b'=' => script.tap(Target::Status(OsStr::from_bytes(rest).into()), &settings),
                b's' => settings.size = number(rest).clamp(SIZES.0, SIZES.2),
                b'n' => settings.keep = number(rest).max(FILES.0) - 1,
                b'!' => settings.processor = (!rest.is_empty()).then(|| rest.to_vec()),
                b'.' | b'/' => script.directory(argument, &settings),
                _ => script.unknown.push(argument.clone()),
            }
        }
        script
    }

    fn tap(&mut self, target: Target, settings: &Config) {
        self.taps.push((target, settings.rules.clone()));
    }

    fn directory(&mut self, path: &OsStr, settings: &Config) {
        let config = Config {
            // On a full disk nothing is deleted.
            keep_when_full: settings.keep,
            ..settings.clone()
        };
        self.directories.push((path.into(), config));
    }
}

/// The number that a text begins with; 0 without one.
fn number(text: &[u8]) -> u64 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u64, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(words: &str) -> Script {
        let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
        Script::parse(&words)
    }

    #[test]
    fn settings_hold_for_the_directories_after_them() {
        let script = script("./a s5000 n3 !gzip ./b s1 n1 ! /c s99999999999999999999x n");
        let kept: Vec<_> = script
            .directories
            .iter()
            .map(|(_, config)| (config.size, config.keep, config.processor.is_some()))
            .collect();
        assert_eq!(
            kept,
            [(99_999, 9, false), (5000, 2, true), (4096, 1, false)]
        );
        assert!(!script.directories[0].1.may_delete_when_full());
        assert_eq!(script.unknown, [""; 0]);
    }

    #[test]
    fn each_target_has_the_patterns_before_it() {
        let script = script("t -* +a e +b =status ./log");
        let selects = |rules: &Rules, text: &str| rules.select(text.as_bytes()).log;
        assert!(script.stamped);
        assert!(selects(&script.taps[0].1, "a") && !selects(&script.taps[0].1, "b"));
        assert!(selects(&script.taps[1].1, "b"));
        assert_eq!(script.taps[1].0, Target::Status("status".into()));
        assert!(selects(&script.directories[0].1.rules, "b"));
    }

    #[test]
    fn a_t_that_is_not_the_first_and_other_words_are_unknown() {
        assert_eq!(script("e t ./a bogus").unknown, ["t", "bogus"]);
        assert_eq!(script("").unknown, [""]);
    }

    proptest! {
        #[test]
        fn any_script_can_be_read(words in proptest::collection::vec("[a-z=+!./*0-9-]{0,8}", 0..8)) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            for (_, config) in Script::parse(&words).directories {
                prop_assert!((4096..=16_777_215).contains(&config.size) && config.keep >= 1);
            }
        }
    }
}
