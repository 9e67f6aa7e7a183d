//! The commands of `sv`: their words, and the control bytes that they mean. No I/O.

use servicedir::control::Control;
use servicedir::signal::Signal;
use servicedir::status::{Status, Want};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    /// What is to happen.
    pub(crate) act: Act,
    /// It is waited for, even without `-v`.
    pub(crate) waits: bool,
    /// What has not happened in time gets KILL.
    pub(crate) kills: bool,
}

/// What is to happen to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Nothing: its state is reported.
    Status,
    /// It comes up.
    Up,
    /// It goes down.
    Down,
    /// It runs once.
    Once,
    /// It goes down, and its supervise exits.
    Exit,
    /// It gets a signal.
    Signal(Signal),
    /// It goes down and comes up.
    Restart,
    /// If it is up, it goes down and comes up.
    TryRestart,
    /// Nothing is sent: it is to be in the state that is wanted.
    Check,
}

/// The commands that are known by their whole word, each with what it waits for and whether it kills.
const WORDS: [(&str, Act, bool); 12] = [
    ("status", Act::Status, false),
    ("start", Act::Up, false),
    ("stop", Act::Down, false),
    ("reload", Act::Signal(Signal::HUP), false),
    ("restart", Act::Restart, false),
    ("shutdown", Act::Exit, false),
    ("check", Act::Check, false),
    ("try-restart", Act::TryRestart, false),
    ("force-stop", Act::Down, true),
    ("force-reload", Act::TryRestart, true),
    ("force-restart", Act::Restart, true),
    ("force-shutdown", Act::Exit, true),
];

/// The commands that are known by their first letter, as in runit: `up`, `u` and `upward` are one.
const LETTERS: [(char, Act); 16] = [
    ('s', Act::Status),
    ('u', Act::Up),
    ('d', Act::Down),
    ('o', Act::Once),
    ('x', Act::Exit),
    ('e', Act::Exit),
    ('p', Act::Signal(Signal::STOP)),
    ('c', Act::Signal(Signal::CONT)),
    ('h', Act::Signal(Signal::HUP)),
    ('a', Act::Signal(Signal::ALRM)),
    ('i', Act::Signal(Signal::INT)),
    ('q', Act::Signal(Signal::QUIT)),
    ('1', Act::Signal(Signal::USR1)),
    ('2', Act::Signal(Signal::USR2)),
    ('t', Act::Signal(Signal::TERM)),
    ('k', Act::Signal(Signal::KILL)),
];

/// runit's letters for `force-stop` and its like, which its page does not have.
const FORCE_LETTERS: [(char, Act); 4] = [
    ('D', Act::Down),
    ('T', Act::TryRestart),
    ('X', Act::Exit),
    ('E', Act::Exit),
];

impl Request {
    /// The request of a word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let whole = WORDS.iter().find(|(known, ..)| *known == word);
        if let Some((_, act, kills)) = whole {
            return Some(Self {
                act: *act,
                waits: *act != Act::Status,
                kills: *kills,
            });
        }
        let letter = word.chars().next()?;
        let act = |table: &[(char, Act)]| {
            let known = table.iter().find(|(known, _)| *known == letter);
            known.map(|(_, act)| *act)
        };
        let plain = act(&LETTERS).map(|act| (act, false));
        let (act, forced) = plain.or_else(|| act(&FORCE_LETTERS).map(|act| (act, true)))?;
        Some(Self {
            act,
            waits: forced,
            kills: forced,
        })
    }
}

impl Act {
    /// The commands to send to a supervise whose status is this one.
    ///
    /// This suite's supervise has a command for a restart, which stops the service as its options say,
    /// and its `x` alone stops nothing; another suite's gets what runit's `sv` sends.
    pub(crate) fn commands(self, status: &Status) -> Vec<Control> {
        const TERM: Control = Control::Signal(Signal::TERM);
        const CONT: Control = Control::Signal(Signal::CONT);
        let ours = status.record.is_some();
        match self {
            Self::Status | Self::Check => vec![],
            Self::Up => vec![Control::Up],
            // A second TERM might end a service that is busy with its end.
            Self::Down if status.want == Want::Down && status.term_sent => vec![],
            Self::Down => vec![Control::Down],
            Self::Once => vec![Control::Once],
            Self::Exit if ours => vec![Control::Down, Control::Exit],
            Self::Exit => vec![Control::Exit],
            Self::Restart if ours => vec![Control::Restart],
            Self::Restart => vec![TERM, CONT, Control::Up],
            Self::TryRestart if ours && status.pid.is_none() => vec![],
            Self::TryRestart if ours => vec![Control::Restart],
            Self::TryRestart => vec![TERM, CONT],
            Self::Signal(signal) => vec![Control::Signal(signal)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_known_whole_or_by_its_first_letter() {
        for (word, act, waits, kills) in [
            ("up", Act::Up, false, false),
            ("u", Act::Up, false, false),
            ("start", Act::Up, true, false),
            ("s", Act::Status, false, false),
            ("status", Act::Status, false, false),
            ("term", Act::Signal(Signal::TERM), false, false),
            ("try-restart", Act::TryRestart, true, false),
            ("cont", Act::Signal(Signal::CONT), false, false),
            ("check", Act::Check, true, false),
            ("exit", Act::Exit, false, false),
            ("force-stop", Act::Down, true, true),
            ("D", Act::Down, true, true),
        ] {
            let request = Request { act, waits, kills };
            assert_eq!(Request::from_word(word), Some(request), "{word}");
        }
        for word in ["", "foo", "restar", "force-up", "Up", "é"] {
            assert_eq!(Request::from_word(word), None, "{word}");
        }
    }

    #[test]
    fn every_control_byte_but_those_of_this_suite_has_a_command() {
        for (byte, command) in Control::ALL {
            let known = LETTERS.iter().any(|(letter, act)| {
                *letter == char::from(byte)
                    || matches!((act, command), (Act::Signal(one), Control::Signal(other)) if *one == other)
            });
            // runit has no WINCH; `restart` and `detach` are no commands of one byte there.
            let expected = !matches!(byte, b'r' | b'z' | b'w');
            assert_eq!(known, expected, "{}", char::from(byte));
        }
    }
}
