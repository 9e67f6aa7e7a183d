//! Cuts what stands between Supervisor's tokens out of a stream. **Pure.**

use memchr::memmem::Finder;

/// The token that begins a capture.
pub(crate) const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";

/// The token that ends it.
pub(crate) const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// What becomes of bytes.
pub(crate) trait Sink {
    /// They are log text.
    fn plain(&mut self, bytes: &[u8]);
    /// They stood between the tokens.
    fn captured(&mut self, bytes: &[u8]);
    /// A capture had no end within `max` bytes: it is log text.
    fn too_long(&mut self);
}

/// Cuts a stream that comes in pieces.
///
/// Only what may be the start of a token is held back, and only until the next bytes decide it: a short
/// output is never lost.
#[derive(Debug)]
pub(crate) struct Cutter {
    begin: Finder<'static>,
    end: Finder<'static>,
    /// The longest capture in bytes.
    max: usize,
    /// A capture has begun; `held` begins with its token.
    capturing: bool,
    /// What is held back.
    held: Vec<u8>,
    /// Up to here `held` has no end token.
    searched: usize,
}

impl Cutter {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            begin: Finder::new(BEGIN),
            end: Finder::new(END),
            max,
            capturing: false,
            held: Vec::new(),
            searched: 0,
        }
    }

    /// Takes in a piece.
    pub(crate) fn push(&mut self, piece: &[u8], sink: &mut impl Sink) {
        if self.held.is_empty() {
            // The usual case: no token, and nothing is copied.
            let rest = self.plain_part(piece, sink);
            self.held.extend_from_slice(rest);
        } else {
            self.held.extend_from_slice(piece);
        }
        while !self.held.is_empty() && self.cut(sink) {}
    }

    /// The stream has ended: what is held back, so that it can be kept or given on.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.capturing = false;
        self.searched = 0;
        std::mem::take(&mut self.held)
    }

    /// Gives on what comes before a token, or before what may be the start of one; returns the rest.
    fn plain_part<'a>(&self, bytes: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        let at = self
            .begin
            .find(bytes)
            .unwrap_or_else(|| bytes.len() - start_of(BEGIN, bytes));
        let (plain, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        if !plain.is_empty() {
            sink.plain(plain);
        }
        rest
    }

    /// One step on what is held; false where more bytes are needed.
    fn cut(&mut self, sink: &mut impl Sink) -> bool {
        if self.capturing {
            return self.cut_capture(sink);
        }
        if self.held.starts_with(BEGIN) {
            self.capturing = true;
            self.searched = BEGIN.len();
            return true;
        }
        let held = std::mem::take(&mut self.held);
        let rest = self.plain_part(&held, sink);
        let moved = rest.len() < held.len();
        self.held = rest.to_vec();
        moved
    }

    fn cut_capture(&mut self, sink: &mut impl Sink) -> bool {
        let unsearched = self.held.get(self.searched..).unwrap_or_default();
        if let Some(at) = self.end.find(unsearched) {
            let end = self.searched + at;
            let data = self.held.get(BEGIN.len()..end).unwrap_or_default();
            if data.len() > self.max {
                return self.give_up(sink);
            }
            sink.captured(data);
            self.held.drain(..end + END.len());
            self.capturing = false;
            return true;
        }
        // The end token may have begun.
        self.searched = (self.held.len().saturating_sub(END.len() - 1)).max(BEGIN.len());
        if self.held.len() > BEGIN.len() + self.max + END.len() {
            return self.give_up(sink);
        }
        false
    }

    /// The capture is too long: its token is log text, and what follows it is looked at again.
    fn give_up(&mut self, sink: &mut impl Sink) -> bool {
        sink.too_long();
        self.capturing = false;
        let token: Vec<u8> = self.held.drain(..BEGIN.len()).collect();
        sink.plain(&token);
        true
    }
}

/// The length of the longest end of `bytes` that is a start of `token`.
fn start_of(token: &[u8], bytes: &[u8]) -> usize {
    let longest = bytes.len().min(token.len() - 1);
    (1..=longest)
        .rev()
        .find(|length| bytes.ends_with(token.get(..*length).unwrap_or(token)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default, PartialEq, Debug)]
    struct Seen {
        plain: Vec<u8>,
        captures: Vec<Vec<u8>>,
        too_long: usize,
    }

    impl Sink for Seen {
        fn plain(&mut self, bytes: &[u8]) {
            self.plain.extend_from_slice(bytes);
        }
        fn captured(&mut self, bytes: &[u8]) {
            self.captures.push(bytes.to_vec());
        }
        fn too_long(&mut self) {
            self.too_long += 1;
        }
    }

    fn cut(pieces: &[&[u8]], max: usize) -> (Seen, Vec<u8>) {
        let (mut seen, mut cutter) = (Seen::default(), Cutter::new(max));
        for piece in pieces {
            cutter.push(piece, &mut seen);
        }
        let rest = cutter.rest();
        (seen, rest)
    }

    fn text(text: &str) -> Vec<u8> {
        text.replace("[", "<!--XSUPERVISOR:BEGIN-->")
            .replace("]", "<!--XSUPERVISOR:END-->")
            .into_bytes()
    }

    #[test]
    fn captures_are_cut_out_and_the_rest_is_plain() {
        for (stream, plain, captures, rest) in [
            ("before[one]after\n", "beforeafter\n", vec!["one"], ""),
            ("[outer [inner]after]x", "after]x", vec!["outer [inner"], ""),
            ("a]b", "a]b", vec![], ""),
            ("[][two]", "", vec!["", "two"], ""),
            ("a[unterminated", "a", vec![], "[unterminated"),
            ("short", "short", vec![], ""),
            ("ends in <!--XSUP", "ends in ", vec![], "<!--XSUP"),
            ("<<!--<!--x", "<<!--<!--x", vec![], ""),
        ] {
            let (seen, left) = cut(&[&text(stream)], 1000);
            let captures: Vec<Vec<u8>> = captures.into_iter().map(text).collect();
            assert_eq!(
                (seen.plain, seen.captures),
                (text(plain), captures),
                "{stream}"
            );
            assert_eq!(left, text(rest), "{stream}");
        }
    }

    #[test]
    fn a_capture_that_is_too_long_is_plain_text_with_its_tokens() {
        let (seen, rest) = cut(&[&text("[0123456789]x[ok]")], 9);
        assert_eq!(seen.plain, text("[0123456789]x"));
        assert_eq!((seen.captures, seen.too_long), (vec![b"ok".to_vec()], 1));
        assert_eq!(rest, b"");
        let long = [text("["), vec![b'y'; 100], text("[ok]")].concat();
        let (seen, rest) = cut(&[&long], 9);
        assert_eq!(seen.plain, [text("["), vec![b'y'; 100]].concat());
        assert_eq!((seen.captures, rest), (vec![b"ok".to_vec()], vec![]));
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            Just(BEGIN.to_vec()),
            Just(END.to_vec()),
            Just(b"<!--XSUPERVISOR:".to_vec()),
            prop::collection::vec(prop::sample::select(b"<!-XE>\n".to_vec()), 0..8),
        ];
        prop::collection::vec(word, 0..12).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn how_the_stream_is_cut_does_not_matter(stream in stream(), sizes in prop::collection::vec(1..20_usize, 1..40)) {
            let whole = cut(&[&stream], 30);
            let mut pieces = Vec::new();
            let (mut rest, mut sizes) = (stream.as_slice(), sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            let (seen, left) = cut(&pieces, 30);
            let (expected, expected_left) = whole;
            prop_assert_eq!(&seen.captures, &expected.captures);
            prop_assert_eq!([seen.plain, left].concat(), [expected.plain, expected_left].concat());
        }

        #[test]
        fn not_a_byte_is_lost(stream in stream()) {
            let (seen, left) = cut(&[&stream], usize::MAX / 2);
            let tokens = seen.captures.len() * (BEGIN.len() + END.len());
            let captured: usize = seen.captures.iter().map(Vec::len).sum();
            prop_assert_eq!(seen.plain.len() + captured + tokens + left.len(), stream.len());
        }
    }
}
