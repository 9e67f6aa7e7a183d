//! A line on its way from stdin to one directory: replaced characters, stamp and prefix, patterns, the
//! copies for stderr and UDP.
//!
//! Pure: bytes in, bytes out. Input comes in pieces that need not end where a line ends. An unfinished
//! line waits here only where patterns or UDP must see its first `len` characters; otherwise each
//! piece is written at once.

use memchr::{memchr, memchr_iter};

use crate::select::Rules;
use crate::stamp;

/// The stamp of a line, or nothing where no `-t` was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stamp(pub(crate) Option<[u8; stamp::LENGTH]>);

impl Stamp {
    /// The bytes that stand before the line.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |stamp| stamp.as_slice())
    }
}

/// The characters that `-r` and `-R` replace, as a table: the byte for each byte.
#[derive(Clone, Debug)]
pub(crate) struct Replacement([u8; 256]);

impl Replacement {
    /// Replaces all bytes that are not printable ASCII, and all of `also`, by `with`.
    pub(crate) fn new(with: u8, also: &[u8]) -> Self {
        let mut table = [with; 256];
        for (byte, place) in (0..=u8::MAX).zip(table.iter_mut()) {
            if byte == b'\n' || ((32..=126).contains(&byte) && !also.contains(&byte)) {
                *place = byte;
            }
        }
        Self(table)
    }

    /// Replaces in place. The newlines stay.
    pub(crate) fn apply(&self, text: &mut [u8]) {
        for byte in text {
            if let Some(replaced) = self.0.get(usize::from(*byte)) {
                *byte = *replaced;
            }
        }
    }
}

/// The settings that all lines of a directory share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<'a> {
    /// The text between stamp and line.
    pub(crate) prefix: &'a [u8],
    /// The patterns.
    pub(crate) rules: &'a Rules,
    /// Whether patterns see the stamp, too; it counts in `len` then.
    pub(crate) patterns_see_stamps: bool,
    /// `-l`: how many characters of a line patterns, stderr and UDP see.
    pub(crate) len: usize,
    /// Lines go by UDP.
    pub(crate) udp: bool,
    /// Lines go by UDP and not to the file.
    pub(crate) udp_only: bool,
}

impl Layout<'_> {
    /// How many bytes of a line decide, apart from its stamp.
    fn head(&self, stamp: &Stamp) -> usize {
        if self.patterns_see_stamps {
            self.len.saturating_sub(stamp.bytes().len())
        } else {
            self.len
        }
    }

    /// Whether the beginning of a line must be known before anything of it can be written.
    fn decides(&self) -> bool {
        self.udp || !self.rules.is_empty()
    }

    /// Whether the file gets exactly the bytes of the input.
    pub(crate) fn is_plain(&self, stamp: &Stamp) -> bool {
        stamp.0.is_none() && self.prefix.is_empty() && !self.decides()
    }
}

/// Where lines go.
pub(crate) struct Output<'a> {
    /// For `current`.
    pub(crate) file: &'a mut Vec<u8>,
    /// For stderr.
    pub(crate) stderr: &'a mut Vec<u8>,
    /// Sends one datagram; returns whether it was sent.
    pub(crate) send: &'a mut dyn FnMut(&[u8]) -> bool,
}

/// How far the line in progress is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// No line is in progress.
    Start,
    /// Its first characters wait in `held`: too few to decide.
    Held,
    /// The rest of the line goes to the file, or nowhere.
    Through { log: bool },
}

/// The lines of one directory, and the one in progress.
#[derive(Debug)]
pub(crate) struct Lines {
    place: Place,
    held: Vec<u8>,
    held_stamp: Stamp,
}

impl Lines {
    /// No line is in progress.
    pub(crate) fn new() -> Self {
        Self {
            place: Place::Start,
            held: Vec::new(),
            held_stamp: Stamp::default(),
        }
    }

    /// Notes that `input` went to the file as it is.
    pub(crate) fn passed(&mut self, input: &[u8]) {
        match input.last() {
            Some(b'\n') => self.place = Place::Start,
            Some(_) => self.place = Place::Through { log: true },
            None => {}
        }
    }

    /// Notes that `input` went nowhere.
    pub(crate) fn skip(&mut self, input: &[u8]) {
        self.held.clear();
        match input.last() {
            Some(b'\n') => self.place = Place::Start,
            Some(_) => self.place = Place::Through { log: false },
            None => {}
        }
    }

    /// Whether a line is in progress of which the file gets the rest.
    pub(crate) fn is_passing(&self) -> bool {
        self.place == Place::Through { log: true }
    }

    /// The file gets no rest of the line in progress.
    pub(crate) fn cut(&mut self) {
        if self.is_passing() {
            self.place = Place::Through { log: false };
        }
    }

    /// Whether the line in progress is one that plain copying may continue.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.place, Place::Start | Place::Through { log: true })
    }

    /// Formats lines of `input` until it ends or `output.file` holds `room` bytes; returns how many
    /// bytes of the input are done. Each line gets the stamp of the call that saw its first byte.
    pub(crate) fn format(
        &mut self,
        layout: &Layout<'_>,
        input: &[u8],
        stamp: &Stamp,
        room: usize,
        output: &mut Output<'_>,
    ) -> usize {
        if !layout.decides() && self.may_pass() {
            return self.label(layout, input, stamp, room, output.file);
        }
        let mut rest = input;
        while !rest.is_empty() && output.file.len() < room {
            let end = memchr(b'\n', rest);
            let (piece, after) = match end {
                Some(end) => (rest.get(..end), rest.get(end + 1..)),
                None => (Some(rest), None),
            };
            rest = after.unwrap_or_default();
            self.piece(
                layout,
                piece.unwrap_or_default(),
                end.is_some(),
                stamp,
                output,
            );
        }
        input.len() - rest.len()
    }

    /// As [`Self::format`], where each line only gets its stamp and prefix: nothing is decided and no
    /// line waits.
    fn label(
        &mut self,
        layout: &Layout<'_>,
        input: &[u8],
        stamp: &Stamp,
        room: usize,
        file: &mut Vec<u8>,
    ) -> usize {
        let label = [stamp.bytes(), layout.prefix].concat();
        let mut start = 0;
        for newline in memchr_iter(b'\n', input) {
            if file.len() >= room {
                return start;
            }
            if self.place == Place::Start {
                file.extend_from_slice(&label);
            }
            file.extend_from_slice(input.get(start..=newline).unwrap_or_default());
            self.place = Place::Start;
            start = newline + 1;
        }
        if file.len() >= room {
            return start;
        }
        let rest = input.get(start..).unwrap_or_default();
        if !rest.is_empty() {
            if self.place == Place::Start {
                file.extend_from_slice(&label);
            }
            file.extend_from_slice(rest);
            self.place = Place::Through { log: true };
        }
        input.len()
    }

    /// Ends the line in progress, as if its newline had come.
    pub(crate) fn finish(&mut self, layout: &Layout<'_>, output: &mut Output<'_>) {
        if self.place != Place::Start {
            let stamp = self.held_stamp;
            self.piece(layout, &[], true, &stamp, output);
        }
    }

    /// Part of one line, and whether its newline follows.
    #[inline]
    fn piece(
        &mut self,
        layout: &Layout<'_>,
        piece: &[u8],
        ends: bool,
        stamp: &Stamp,
        output: &mut Output<'_>,
    ) {
        match self.place {
            Place::Start if !layout.decides() => {
                let label = [stamp.bytes(), layout.prefix].concat();
                output.file.extend_from_slice(&label);
                self.through(true, piece, ends, output);
            }
            Place::Start if ends || piece.len() >= layout.head(stamp) => {
                let (head, tail) = piece.split_at(piece.len().min(layout.head(stamp)));
                let log = decide(layout, head, stamp, output);
                self.through(log, tail, ends, output);
            }
            Place::Start => {
                self.held.extend_from_slice(piece);
                self.held_stamp = *stamp;
                self.place = Place::Held;
            }
            Place::Held => self.held(layout, piece, ends, output),
            Place::Through { log } => self.through(log, piece, ends, output),
        }
    }

    /// More of a line whose beginning waits.
    fn held(&mut self, layout: &Layout<'_>, piece: &[u8], ends: bool, output: &mut Output<'_>) {
        let enough = layout.head(&self.held_stamp);
        let missing = enough.saturating_sub(self.held.len());
        let (head, tail) = piece.split_at(piece.len().min(missing));
        self.held.extend_from_slice(head);
        if ends || self.held.len() >= enough {
            let held = std::mem::take(&mut self.held);
            let log = decide(layout, &held, &self.held_stamp, output);
            self.held = held;
            self.held.clear();
            self.through(log, tail, ends, output);
        }
    }

    /// More of a line whose destination is decided.
    #[inline]
    fn through(&mut self, log: bool, piece: &[u8], ends: bool, output: &mut Output<'_>) {
        if log {
            output.file.extend_from_slice(piece);
            if ends {
                output.file.push(b'\n');
            }
        }
        self.place = if ends {
            Place::Start
        } else {
            Place::Through { log }
        };
    }
}

/// Sends the beginning of a line where patterns and UDP want it; returns whether the file gets the rest.
///
/// A beginning of `len` characters counts as cut even where nothing follows: runit has it so.
fn decide(layout: &Layout<'_>, head: &[u8], stamp: &Stamp, output: &mut Output<'_>) -> bool {
    let selected = if layout.patterns_see_stamps {
        layout.rules.select(&[stamp.bytes(), head].concat())
    } else {
        layout.rules.select(head)
    };
    let cut: &[u8] = if head.len() >= layout.len {
        b"..."
    } else {
        b""
    };
    let short = [stamp.bytes(), layout.prefix, head, cut, b"\n"];
    if selected.stderr {
        output.stderr.extend(short.iter().copied().flatten());
    }
    if !selected.log {
        return false;
    }
    if layout.udp {
        let datagram = short.concat();
        if !(output.send)(&datagram) {
            let warning = b"warning: failure sending through udp: ";
            output.file.extend_from_slice(warning);
            output.file.extend_from_slice(&datagram);
        }
    }
    if layout.udp_only {
        return false;
    }
    for part in [stamp.bytes(), layout.prefix, head] {
        output.file.extend_from_slice(part);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a directory with these patterns gets, from input in these pieces.
    struct Got {
        file: String,
        stderr: String,
        udp: Vec<String>,
    }

    fn run(
        patterns: &[&str],
        prefix: &str,
        udp: Option<bool>,
        len: usize,
        pieces: &[&[u8]],
    ) -> Got {
        let mut rules = Rules::default();
        for pattern in patterns {
            let (letter, rest) = pattern.as_bytes().split_first().unwrap();
            rules.add(*letter, rest);
        }
        let layout = Layout {
            prefix: prefix.as_bytes(),
            rules: &rules,
            patterns_see_stamps: false,
            len,
            udp: udp.is_some(),
            udp_only: udp == Some(true),
        };
        let (mut file, mut stderr, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        let mut send = |datagram: &[u8]| {
            sent.push(String::from_utf8_lossy(datagram).into_owned());
            true
        };
        let mut output = Output {
            file: &mut file,
            stderr: &mut stderr,
            send: &mut send,
        };
        let mut lines = Lines::new();
        for piece in pieces {
            let stamp = Stamp::default();
            let done = lines.format(&layout, piece, &stamp, usize::MAX, &mut output);
            assert_eq!(done, piece.len());
        }
        lines.finish(&layout, &mut output);
        Got {
            file: String::from_utf8_lossy(&file).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            udp: sent,
        }
    }

    #[test]
    fn a_last_line_without_its_newline_gets_one() {
        assert_eq!(
            run(&[], "", None, 1000, &[b"one\npart"]).file,
            "one\npart\n"
        );
        assert_eq!(
            run(&["+*"], "", None, 1000, &[b"one\npart"]).file,
            "one\npart\n"
        );
        assert_eq!(run(&["-p*"], "", None, 1000, &[b"one\npart"]).file, "one\n");
    }

    #[test]
    fn a_prefix_stands_before_each_line_once_however_it_comes() {
        assert_eq!(
            run(&[], "p: ", None, 9, &[b"a", b"b", b"\n\nc\n"]).file,
            "p: ab\np: \np: c\n"
        );
    }

    #[test]
    fn patterns_see_the_first_characters_and_the_rest_follows() {
        let got = run(
            &["-*", "+ab*", "eab*"],
            "",
            None,
            4,
            &[b"abcdef\nxabcdef\nab", b"c\nabcd\n"],
        );
        assert_eq!(got.file, "abcdef\nabc\nabcd\n");
        assert_eq!(got.stderr, "abcd...\nabc\nabcd...\n");
    }

    #[test]
    fn udp_gets_the_first_characters_and_dots_where_they_are_cut() {
        let got = run(&[], "p", Some(false), 3, &[b"ab\nabcd\n"]);
        assert_eq!(got.udp, ["pab\n", "pabc...\n"]);
        assert_eq!(got.file, "pab\npabcd\n");
        assert_eq!(run(&[], "p", Some(true), 3, &[b"ab\nabcd\n"]).file, "");
    }

    #[test]
    fn replacing_leaves_newlines_and_printable_characters() {
        let mut text = *b"a\x01b\tc\x7f\x80\n ~";
        Replacement::new(b'?', b"b").apply(&mut text);
        assert_eq!(&text, b"a???c??\n ~");
    }

    proptest! {
        #[test]
        fn it_is_the_same_however_the_input_is_cut(
            text in "[ab\n]{0,60}",
            cuts in proptest::collection::vec(0_usize..60, 0..8),
            patterns in proptest::sample::subsequence(vec!["-*", "+a*", "-*b", "e*b"], 0..=4),
            len in 1_usize..6,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let whole = run(&patterns, "p", None, len, &[text.as_bytes()]);
            let parts = run(&patterns, "p", None, len, &pieces);
            prop_assert_eq!(whole.file, parts.file);
            prop_assert_eq!(whole.stderr, parts.stderr);
        }

        #[test]
        fn without_patterns_every_byte_is_kept(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = String::from_utf8_lossy(&text).into_owned();
            let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            let want = format!("{text}{newline}");
            prop_assert_eq!(run(&[], "", None, 1000, &[text.as_bytes()]).file, want);
        }
    }
}
