//! tai64nlocal: TAI64N labels at the beginning of lines to local time.
#![forbid(unsafe_code)]

mod zone;

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use lexopt::{Arg, Parser};
use servicedir::report::{Failure, Reporter, Why, exit, print_help, print_version};
use servicedir::tai64n::Tai64n;
use tz::{DateTime, LocalTimeType, TimeZone};

use crate::zone::local_zone;

const REPORT: Reporter = Reporter::new("tai64nlocal");

const HELP: &str = "\
usage: tai64nlocal

Copies stdin to stdout; a TAI64N label at the beginning of a line becomes local
time, 2026-11-21 12:34:56.789012345. The time zone is that of the environment
variable TZ, or else of /etc/localtime.

  -h, --help     print this text
      --version  print the version

Exit codes: 0 done, 100 wrong usage, 111 a system call failed.
";

/// The length of a label as text.
const LABEL: usize = 25;
/// Lines are read in pieces of at most this size in bytes.
const BUFFER: usize = 64 * 1024;

/// Everything that tai64nlocal writes to standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Message {
    /// Warning: TZ names no time zone.
    NoZone(String),
    /// Fatal: the input or the output failed.
    UnableToCopy(Why),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoZone(name) => write!(out, "TZ={name} is not a time zone; using UTC"),
            Self::UnableToCopy(why) => write!(out, "unable to copy stdin to stdout: {why}"),
        }
    }
}

fn main() -> ExitCode {
    REPORT.finish(run())
}

fn run() -> Result<u8, Failure> {
    let mut arguments = Parser::from_env();
    if let Some(argument) = arguments.next()? {
        return match argument {
            Arg::Short('h') | Arg::Long("help") => print_help(HELP),
            Arg::Long("version") => print_version("tai64nlocal"),
            Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => Err(argument.unexpected().into()),
        };
    }
    let zone = time_zone();
    let input = BufReader::with_capacity(BUFFER, io::stdin().lock());
    let output = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    match copy(input, output, &zone) {
        Ok(()) => Ok(exit::DONE),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(exit::DONE),
        Err(error) => Err(Failure::new(
            exit::SYSTEM,
            Message::UnableToCopy(Why::from(error)),
        )),
    }
}

/// The zone of TZ or of the machine; UTC where TZ names none.
fn time_zone() -> TimeZone {
    local_zone().unwrap_or_else(|name| {
        REPORT.warning(Message::NoZone(name));
        TimeZone::utc()
    })
}

/// Copies line by line. Complete lines are written before more is waited for, so that a growing log
/// can be followed.
fn copy(mut input: impl BufRead, mut output: impl Write, zone: &TimeZone) -> io::Result<()> {
    let mut head = Vec::with_capacity(LABEL);
    let mut in_head = true;
    loop {
        let available = match input.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let read = available.len();
        let mut rest = available;
        while let Some(piece) = rest
            .split_inclusive(|byte| *byte == b'\n')
            .next()
            .filter(|piece| !piece.is_empty())
        {
            rest = rest.get(piece.len()..).unwrap_or_default();
            let mut tail = piece;
            if in_head {
                let (label, after) = tail.split_at(tail.len().min(LABEL - head.len()));
                head.extend_from_slice(label);
                tail = after;
                if head.len() < LABEL && !head.ends_with(b"\n") {
                    continue;
                }
                write_head(&mut output, &head, zone)?;
                head.clear();
            }
            output.write_all(tail)?;
            in_head = piece.ends_with(b"\n");
        }
        input.consume(read);
        if read == 0 {
            output.write_all(&head)?;
            return output.flush();
        }
        // More may come much later.
        output.flush()?;
    }
}

/// Writes the first characters of a line: a label as local time, anything else as it is.
fn write_head(output: &mut impl Write, head: &[u8], zone: &TimeZone) -> io::Result<()> {
    match Tai64n::from_hex(head).and_then(|label| local_time(label, zone)) {
        Some(time) => write!(
            output,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:09}",
            time.year(),
            time.month(),
            time.month_day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.nanoseconds()
        ),
        None => output.write_all(head),
    }
}

/// The local time of a label; `None` for one that no calendar holds.
fn local_time(label: Tai64n, zone: &TimeZone) -> Option<DateTime> {
    let seconds = label.unix_time();
    // Beyond the rules that the zone's file holds, UTC is better than nothing.
    let utc = LocalTimeType::utc();
    let kind = zone.find_local_time_type(seconds).unwrap_or(&utc);
    DateTime::from_timespec_and_local(seconds, label.nanos(), *kind).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::zone_named;
    use proptest::prelude::*;

    fn converted(input: &[u8], zone: &TimeZone, capacity: usize) -> String {
        let mut output = Vec::new();
        copy(BufReader::with_capacity(capacity, input), &mut output, zone).unwrap();
        String::from_utf8_lossy(&output).into_owned()
    }

    #[test]
    fn a_label_at_the_beginning_of_a_line_becomes_a_time() {
        let input = b"@400000006b0191691eb6bd54 a\n\n@4000\nx @400000006b0191691eb6bd54\n@400000006b0191691eb6bd54";
        let expected = "2026-11-21 12:41:03.515292500 a\n\n@4000\nx @400000006b0191691eb6bd54\n2026-11-21 12:41:03.515292500";
        for capacity in [1, 7, 25, 1000] {
            assert_eq!(converted(input, &TimeZone::utc(), capacity), expected);
        }
    }

    #[test]
    fn the_time_is_that_of_the_zone() {
        let zone = TimeZone::fixed(3600).unwrap();
        let time = converted(b"@400000000000000a00000001 x\n", &zone, 100);
        assert_eq!(time, "1970-01-01 01:00:00.000000001 x\n");
    }

    #[test]
    fn a_label_before_1970_is_a_time() {
        let line = b"@400000000000000900000000 a\n@3fffffffffffffff00000001 b\n";
        let times = "1969-12-31 23:59:59.000000000 a\n1969-12-31 23:59:49.000000001 b\n";
        assert_eq!(converted(line, &TimeZone::utc(), 100), times);
    }

    #[test]
    fn a_zone_without_its_rule_has_the_default_one() {
        let with = zone_named("CET-1CEST,M3.2.0,M11.1.0").unwrap();
        let without = zone_named("CET-1CEST").unwrap();
        for month in 0..12 {
            let label = Tai64n::from_unix(1_767_225_600 + month * 2_629_800, 0);
            let (one, other) = (local_time(label, &with), local_time(label, &without));
            assert_eq!(one.map(|time| time.hour()), other.map(|time| time.hour()));
        }
        for bad in [
            "/dev/zero",
            ":/dev/zero",
            "No/Such",
            "nonsense",
            "/dev/zero1,2",
        ] {
            assert!(zone_named(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_label_that_no_calendar_holds_stays() {
        let line = "@ffffffffffffffffffffffff x\n";
        assert_eq!(converted(line.as_bytes(), &TimeZone::utc(), 100), line);
    }

    proptest! {
        #[test]
        fn lines_without_labels_are_copied(text in "[a-f0-9 \n]{0,80}", capacity in 1_usize..40) {
            prop_assert_eq!(converted(text.as_bytes(), &TimeZone::utc(), capacity), text);
        }
    }
}
