//! The lines of one log file: from a time on, or from its end backwards; compressed ones are read through.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;
use servicedir::tai64n::Tai64n;

use crate::directory::LogFile;
use crate::line::split;

/// What is read of a file at a time, in bytes.
const BLOCK: usize = 64 * 1024;

/// The first bytes of a gzip file (RFC 1952): a processor `!gzip` makes such old files.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file's lines, without their newlines.
pub(crate) type Lines = Box<dyn BufRead>;

/// A reader that begins at the first line that is not older than `since`, where that can be told without
/// reading the whole file: where its lines have stamps and it is not compressed.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn forward(log: LogFile, since: Option<Tai64n>) -> io::Result<Lines> {
    let LogFile { mut file, end, .. } = log;
    if is_compressed(&file)? {
        let reader = BufReader::with_capacity(BLOCK, file.take(end));
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(reader))));
    }
    let start = match since {
        Some(since) => bisect(&file, end, since)?,
        None => 0,
    };
    file.seek(SeekFrom::Start(start))?;
    let rest = file.take(end.saturating_sub(start));
    Ok(Box::new(BufReader::with_capacity(BLOCK, rest)))
}

fn is_compressed(file: &File) -> io::Result<bool> {
    let mut first = [0; 2];
    let read = file.read_at(&mut first, 0)?;
    Ok(read == 2 && first == GZIP)
}

/// The offset of a line before which every line is older than `since`.
///
/// The stamps of a file do not decrease, so half of what is left is passed over at each step; lines without
/// a stamp belong to the stamp before them.
fn bisect(file: &File, end: u64, since: Tai64n) -> io::Result<u64> {
    let (mut low, mut high) = (0, end);
    while high - low > BLOCK as u64 {
        let middle = low + (high - low) / 2;
        match first_stamp_from(file, middle, high)? {
            Some((offset, time)) if time < since => low = offset,
            // No stamp, or a young one: what is looked for is before the middle.
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The first line after `from` that begins before `to` and has a stamp: its offset and its time.
fn first_stamp_from(file: &File, from: u64, to: u64) -> io::Result<Option<(u64, Tai64n)>> {
    let mut reader = BufReader::with_capacity(BLOCK, file);
    reader.seek(SeekFrom::Start(from))?;
    let mut line = Vec::new();
    let mut offset = from + reader.read_until(b'\n', &mut line)? as u64;
    while offset < to {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        if let (Some(time), _) = split(&line) {
            return Ok(Some((offset, time)));
        }
        offset += length as u64;
    }
    Ok(None)
}

/// The next line, without its newline; `None` at the end.
///
/// # Errors
/// The file cannot be read, or is damaged (a compressed one).
pub(crate) fn next_line(lines: &mut Lines) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if lines.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

/// Calls `see` with each line, the last one first, until it answers false. Returns whether it still
/// answered true at the first line.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn backwards(log: LogFile, see: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let LogFile { file, mut end, .. } = log;
    if is_compressed(&file)? {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(BufReader::new(file)).read_to_end(&mut bytes)?;
        return Ok(each_from_the_end(&bytes, see));
    }
    // The beginning of a line whose end was read with the block after it.
    let mut carried: Vec<u8> = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or(BLOCK)];
        file.read_exact_at(&mut block, start)?;
        block.append(&mut carried);
        let whole = match start {
            0 => 0,
            _ => memchr::memchr(b'\n', &block).map_or(block.len(), |at| at + 1),
        };
        let (first, lines) = block.split_at(whole);
        if !each_from_the_end(lines, see) {
            return Ok(false);
        }
        carried = first.to_vec();
        end = start;
    }
    Ok(true)
}

fn each_from_the_end(bytes: &[u8], see: &mut dyn FnMut(&[u8]) -> bool) -> bool {
    let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.is_empty() || lines.rsplit(|byte| *byte == b'\n').all(see)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> LogFile {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        LogFile {
            file,
            identity: (0, 0),
            end: bytes.len() as u64,
        }
    }

    fn all(mut lines: Lines) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| next_line(&mut lines).unwrap()).collect()
    }

    fn reversed(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        let mut see = |line: &[u8]| {
            seen.push(line.to_vec());
            true
        };
        assert!(backwards(file(bytes), &mut see).unwrap());
        seen.reverse();
        seen
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn stamped(seconds: u64, text: &str) -> String {
        format!("{} {text}\n", Tai64n::from_unix(seconds, 0))
    }

    #[test]
    fn a_large_file_is_entered_at_the_first_line_that_is_young_enough() {
        let text: String = (0..20_000)
            .map(|n| stamped(n / 2, &format!("line {n}")))
            .collect();
        for since in [0, 1, 5000, 9999] {
            let lines = forward(file(text.as_bytes()), Some(Tai64n::from_unix(since, 0))).unwrap();
            let lines = all(lines);
            let wanted = stamped(since, &format!("line {}", since * 2));
            assert!(
                lines.contains(&wanted.trim_end().as_bytes().to_vec()),
                "{since}"
            );
            assert!(
                lines.len() < 20_000 - usize::try_from(since).unwrap() * 2 + 2000,
                "{since}"
            );
        }
    }

    #[test]
    fn lines_without_a_stamp_stay_with_the_one_before() {
        let mut text = stamped(1, "first");
        for _ in 0..10_000 {
            text.push_str("  at some place in a trace\n");
        }
        text.push_str(&stamped(5, "last"));
        let lines = all(forward(file(text.as_bytes()), Some(Tai64n::from_unix(1, 0))).unwrap());
        assert_eq!(lines.len(), 10_002);
    }

    #[test]
    fn a_compressed_file_is_read_through_both_ways() {
        let packed = gzip(b"one\ntwo\n");
        let expected = vec![b"one".to_vec(), b"two".to_vec()];
        assert_eq!(all(forward(file(&packed), None).unwrap()), expected);
        assert_eq!(reversed(&packed), expected);
    }

    #[test]
    fn a_damaged_compressed_file_is_an_error() {
        let mut packed = gzip(&[b'x'; 1000]);
        packed.truncate(packed.len() - 9);
        let mut lines = forward(file(&packed), None).unwrap();
        assert!(next_line(&mut lines).is_err());
    }

    proptest! {
        #[test]
        fn backwards_is_forward_from_the_end(lines in proptest::collection::vec("[a-z]{0,9}", 0..30), repeat in 1_usize..3000) {
            let text: String = lines.iter().cycle().take(lines.len() * repeat).map(|line| format!("{line}\n")).collect();
            let bytes = text.as_bytes();
            prop_assert_eq!(reversed(bytes), all(forward(file(bytes), None).unwrap()));
        }
    }
}
