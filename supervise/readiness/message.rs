//! What one datagram of sd_notify(3) says. No I/O: bytes in, notices out.

use std::time::Duration;

use rustix::process::Pid;

use crate::event::Notice;

/// What a datagram says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Message {
    /// `MAINPID=`, not checked yet: to be acted on before the notices, which are the main process's.
    pub(crate) main: Option<Pid>,
    /// The rest, in the order in which it was written.
    pub(crate) notices: Vec<Notice>,
    /// `BARRIER=1`: the descriptor that came along is to be closed once all is done that was said
    /// until now.
    pub(crate) barrier: bool,
}

impl Message {
    /// Reads lines of the form `KEY=value`. Unknown keys and values without a meaning are left out.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        // A C program may send the NUL at its string's end; one elsewhere is no text.
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        if bytes.contains(&0) {
            return message;
        }
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Some(at) = line.iter().position(|byte| *byte == b'=') {
                let (key, value) = line.split_at(at);
                message.assign(key, value.get(1..).unwrap_or_default());
            }
        }
        // A STATUS beside an ERRNO tells the same, in the service's own words.
        if message.notices.iter().any(is_status) {
            message
                .notices
                .retain(|notice| !matches!(notice, Notice::Errno(_)));
        }
        message
    }

    fn assign(&mut self, key: &[u8], value: &[u8]) {
        let notice = match key {
            b"READY" => is_one(value).then_some(Notice::Ready),
            b"RELOADING" => is_one(value).then_some(Notice::Reloading),
            b"STOPPING" => is_one(value).then_some(Notice::Stopping),
            b"STATUS" => Some(Notice::Status(printable(value))),
            b"ERRNO" => number(value).filter(|errno| *errno > 0).map(Notice::Errno),
            b"WATCHDOG" if value == b"trigger" => Some(Notice::WatchdogTrigger),
            b"WATCHDOG" => is_one(value).then_some(Notice::WatchdogFed),
            b"WATCHDOG_USEC" => number(value).map(|interval| {
                let endless = interval == 0 || interval == u64::MAX;
                Notice::WatchdogInterval((!endless).then(|| Duration::from_micros(interval)))
            }),
            b"EXTEND_TIMEOUT_USEC" => number(value).map(Duration::from_micros).map(Notice::Extend),
            b"MAINPID" => {
                self.main = number(value).filter(|pid| *pid > 0).and_then(Pid::from_raw);
                None
            }
            b"BARRIER" => {
                self.barrier |= is_one(value);
                None
            }
            _ => None,
        };
        self.notices.extend(notice);
    }
}

fn is_status(notice: &Notice) -> bool {
    matches!(notice, Notice::Status(_))
}

fn is_one(value: &[u8]) -> bool {
    value == b"1"
}

/// A decimal number and nothing else: no sign, no blanks.
fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Text that may be written to a terminal: what is no character, or controls one, is replaced.
fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            _ if c.is_control() => char::REPLACEMENT_CHARACTER,
            _ => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notices(text: &str) -> Vec<Notice> {
        Message::read(text.as_bytes()).notices
    }

    #[test]
    fn every_key_is_understood() {
        let second = Duration::from_secs(1);
        for (line, notice) in [
            ("READY=1", Notice::Ready),
            ("RELOADING=1", Notice::Reloading),
            ("STOPPING=1", Notice::Stopping),
            ("STATUS=half = way", Notice::Status("half = way".to_owned())),
            ("STATUS=", Notice::Status(String::new())),
            ("ERRNO=2", Notice::Errno(2)),
            ("WATCHDOG=1", Notice::WatchdogFed),
            ("WATCHDOG=trigger", Notice::WatchdogTrigger),
            (
                "WATCHDOG_USEC=1000000",
                Notice::WatchdogInterval(Some(second)),
            ),
            ("WATCHDOG_USEC=0", Notice::WatchdogInterval(None)),
            ("EXTEND_TIMEOUT_USEC=1000000", Notice::Extend(second)),
        ] {
            assert_eq!(notices(line), [notice], "{line}");
        }
        let message = Message::read(b"MAINPID=42\nBARRIER=1");
        assert_eq!(message.main.map(|pid| pid.as_raw_nonzero().get()), Some(42));
        assert!(message.barrier && message.notices.is_empty());
    }

    #[test]
    fn several_lines_keep_their_order_and_a_nul_may_end_them() {
        let expected = [Notice::Ready, Notice::Status("up".to_owned())];
        assert_eq!(notices("READY=1\nSTATUS=up"), expected);
        assert_eq!(notices("READY=1\n\nSTATUS=up\n\0"), expected);
    }

    #[test]
    fn what_has_no_meaning_is_left_out() {
        for text in [
            "",
            "=",
            "READY",
            "READY=",
            "READY=0",
            "READY=yes",
            "ready=1",
            " READY=1",
            "READY=1 ",
            "READY=1\0STATUS=x",
            "X_MINE=1",
            "FDSTORE=1",
            "MAINPID=0",
            "MAINPID=-1",
            "MAINPID=+7",
            "MAINPID=99999999999",
            "ERRNO=0",
            "ERRNO=-5",
            "ERRNO=x",
            "WATCHDOG=2",
            "WATCHDOG_USEC=",
            "WATCHDOG_USEC=1s",
            "EXTEND_TIMEOUT_USEC=18446744073709551616",
            "BARRIER=0",
        ] {
            assert_eq!(
                Message::read(text.as_bytes()),
                Message::default(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_status_says_more_than_an_errno_beside_it() {
        let said = [Notice::Status("no disk".to_owned())];
        assert_eq!(notices("STATUS=no disk\nERRNO=5"), said);
        assert_eq!(notices("ERRNO=5\nSTATUS=no disk"), said);
    }

    #[test]
    fn a_status_cannot_control_a_terminal() {
        let bytes = b"STATUS=a\tb\x1b[2J\xff\xc2\x9b";
        assert_eq!(
            Message::read(bytes).notices,
            [Notice::Status("a b\u{fffd}[2J\u{fffd}\u{fffd}".to_owned())]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Message::read(&bytes));
        }

        #[test]
        fn unknown_lines_change_nothing(
            lines in proptest::collection::vec("X_[A-Z]{0,5}=[^\n\0]{0,20}", 0..5),
            at in 0..5_usize,
        ) {
            let mut lines = lines;
            lines.insert(at.min(lines.len()), "READY=1".to_owned());
            prop_assert_eq!(notices(&lines.join("\n")), [Notice::Ready]);
        }

        #[test]
        fn a_status_has_no_control_characters(value in proptest::collection::vec(any::<u8>(), 0..100)) {
            for notice in Message::read(&[b"STATUS=", value.as_slice()].concat()).notices {
                if let Notice::Status(text) = notice {
                    prop_assert!(!text.chars().any(char::is_control));
                }
            }
        }
    }
}
