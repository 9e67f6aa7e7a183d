//! Supervisor's listener protocol: what is written to a listener, and what its stdout says.

use crate::event::Event;

/// A result line, or a result, that is longer is not one, in bytes.
const RESULT_MAX: usize = 64 * 1024;

/// Which event it is, of how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Serial {
    /// Counts the events of this pool. Supervisor counts those of all pools in `serial`; each pool here
    /// is a program of its own, so that both tokens have the same number.
    pub(crate) number: u64,
}

/// The header line and the payload.
///
/// `len` counts characters, as Supervisor does; `bytelen` is the payload's length in bytes, for
/// listeners that read bytes.
pub(crate) fn message(event: &Event, serial: Serial, server: &str, pool: &str) -> Vec<u8> {
    let payload = event.payload();
    let number = serial.number;
    format!(
        "ver:3.0 server:{server} serial:{number} pool:{pool} poolserial:{number} eventname:{} len:{} bytelen:{}\n{payload}",
        event.kind.name(),
        payload.chars().count(),
        payload.len(),
    )
    .into_bytes()
}

/// What a listener has said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// It waits for an event.
    Ready,
    /// It has processed the event.
    Ok,
    /// It has not processed the event.
    Fail,
    /// Something that the protocol has no place for: the listener cannot be understood any more.
    Nonsense,
}

/// What is expected of a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// `READY`.
    Acknowledged,
    /// Nothing, until an event is written to it.
    Ready,
    /// The line `RESULT n`.
    Busy,
    /// The result, of so many bytes.
    Result(usize),
    /// Nothing that it says counts.
    Unknown,
}

/// One listener's side of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    state: State,
    buffer: Vec<u8>,
}

impl Listener {
    /// A listener that was just started.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Acknowledged,
            buffer: Vec::new(),
        }
    }

    /// Whether an event can be written to it.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// An event was written to it.
    pub(crate) fn give(&mut self) {
        self.state = State::Busy;
    }

    /// Takes in what it wrote to its stdout.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        if self.state == State::Unknown {
            return said;
        }
        self.buffer.extend_from_slice(bytes);
        while let Some(next) = self.next() {
            if next == Said::Nonsense {
                self.state = State::Unknown;
                self.buffer.clear();
            }
            said.push(next);
        }
        said
    }

    fn next(&mut self) -> Option<Said> {
        match self.state {
            State::Unknown => None,
            State::Acknowledged => self.acknowledgement(),
            State::Ready => (!self.buffer.is_empty()).then_some(Said::Nonsense),
            State::Busy => match self.result_line()? {
                Ok(length) => {
                    self.state = State::Result(length);
                    self.next()
                }
                Err(()) => Some(Said::Nonsense),
            },
            State::Result(length) => self.result(length),
        }
    }

    fn acknowledgement(&mut self) -> Option<Said> {
        const READY: &[u8] = b"READY\n";
        if self.buffer.len() < READY.len() {
            return None;
        }
        if !self.buffer.starts_with(READY) {
            return Some(Said::Nonsense);
        }
        self.buffer.drain(..READY.len());
        self.state = State::Ready;
        Some(Said::Ready)
    }

    /// The number of a whole result line.
    fn result_line(&mut self) -> Option<Result<usize, ()>> {
        let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
            return (self.buffer.len() > RESULT_MAX).then_some(Err(()));
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        let number = line
            .strip_prefix(b"RESULT ")
            .and_then(|number| std::str::from_utf8(number).ok())
            .and_then(|number| number.trim().parse().ok())
            .filter(|length| *length <= RESULT_MAX);
        Some(number.ok_or(()))
    }

    fn result(&mut self, length: usize) -> Option<Said> {
        if self.buffer.len() < length {
            return None;
        }
        let result: Vec<u8> = self.buffer.drain(..length).collect();
        self.state = State::Acknowledged;
        Some(if result == b"OK" {
            Said::Ok
        } else {
            Said::Fail
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Period;
    use proptest::prelude::*;
    use servicedir::tai64n::Tai64n;

    /// What a listener says that is given an event whenever it is ready.
    fn said(pieces: &[&[u8]]) -> Vec<Said> {
        let mut listener = Listener::new();
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(listener.hear(piece));
            if listener.is_ready() {
                listener.give();
            }
        }
        all
    }

    #[test]
    fn the_header_is_supervisors_with_one_more_token() {
        let tick = Event::of_tick(Tai64n::default(), Period::Five, 10);
        let bytes = message(&tick, Serial { number: 3 }, "id1", "all");
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "ver:3.0 server:id1 serial:3 pool:all poolserial:3 eventname:TICK_5 len:7 bytelen:7\nwhen:10"
        );
        let group = Event::of_group(Tai64n::default(), true, "\u{e9}");
        let bytes = message(&group, Serial { number: 0 }, "s", "p");
        assert!(
            String::from_utf8(bytes)
                .unwrap()
                .contains("len:12 bytelen:13\n")
        );
    }

    #[test]
    fn a_life_of_a_listener() {
        assert_eq!(
            said(&[b"READY\n", b"RESULT 2\nOKREADY\n"]),
            [Said::Ready, Said::Ok, Said::Ready]
        );
        assert_eq!(
            said(&[b"REA", b"DY\n", b"RESULT 4\nFA", b"ILREADY\n"]),
            [Said::Ready, Said::Fail, Said::Ready]
        );
        assert_eq!(
            said(&[b"READY\n", b"RESULT 0\nREADY\n"]),
            [Said::Ready, Said::Fail, Said::Ready]
        );
        assert_eq!(
            said(&[b"READY\n", b"RESULT  2 \nOK"]),
            [Said::Ready, Said::Ok]
        );
    }

    #[test]
    fn what_the_protocol_has_no_place_for() {
        for pieces in [
            &[b"READY\r\n".as_slice()][..],
            &[b"hello world"],
            &[b"READY\nREADY\n"],
            &[b"READY\n", b"ANYTHIN2\nOK"],
            &[b"READY\n", b"RESULT -1\n"],
            &[b"READY\n", b"RESULT two\n"],
            &[b"READY\n", b"RESULT 99999999999999999999\n"],
        ] {
            assert_eq!(said(pieces).last(), Some(&Said::Nonsense), "{pieces:?}");
        }
    }

    #[test]
    fn a_listener_that_is_not_understood_stays_so() {
        let mut listener = Listener::new();
        listener.hear(b"nonsense");
        assert_eq!(listener.hear(b"READY\n"), []);
        assert!(!listener.is_ready());
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_does_not_matter(cuts in prop::collection::vec(1..8_usize, 0..40)) {
            let mut all = Vec::new();
            let mut listener = Listener::new();
            let mut cuts = cuts.into_iter();
            // Behind each READY the listener waits for an event.
            for turn in ["READY\n", "RESULT 2\nOKREADY\n", "RESULT 4\nFAILREADY\n"] {
                let mut rest = turn.as_bytes();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                    all.extend(listener.hear(piece));
                    rest = after;
                }
                prop_assert!(listener.is_ready());
                listener.give();
            }
            prop_assert_eq!(all, [Said::Ready, Said::Ok, Said::Ready, Said::Fail, Said::Ready]);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            drop(said(&pieces));
        }
    }
}
