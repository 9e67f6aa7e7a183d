//! The resource limits: one option for every `RLIMIT_` of Linux (getrlimit(2)).

use std::ffi::OsStr;
use std::fmt;

use rustix::process::Resource;

use super::{Entry, Set, Without};

/// One limit to set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The option's name: `limit-nofile`.
    pub name: &'static str,
    /// Which limit it is.
    pub resource: Resource,
    /// What to set it to.
    pub range: Range,
}

/// The text of a limit: `SOFT`, `SOFT:HARD`, or `unlimited` for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The limit that holds; `None` is unlimited.
    pub soft: Option<u64>,
    /// How far the service may raise it.
    pub hard: Hard,
}

/// The upper end of a [`Range`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hard {
    /// As it is.
    Stays,
    /// To be set; `None` is unlimited.
    Set(Option<u64>),
}

impl Range {
    /// Reads a range whose soft end is not above its hard one.
    pub(super) fn parse(text: &OsStr) -> Option<Self> {
        let text = text.to_str()?;
        let (soft, hard) = match text.split_once(':') {
            Some((soft, hard)) => (end(soft.trim())?, Hard::Set(end(hard.trim())?)),
            None => match end(text)? {
                Some(soft) => (Some(soft), Hard::Stays),
                None => (None, Hard::Set(None)),
            },
        };
        let fits = match (soft, hard) {
            (_, Hard::Stays | Hard::Set(None)) => true,
            (Some(soft), Hard::Set(Some(hard))) => soft <= hard,
            (None, Hard::Set(Some(_))) => false,
        };
        fits.then_some(Self { soft, hard })
    }
}

impl fmt::Display for Range {
    /// As the option's file has it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.soft, self.hard) {
            (None, Hard::Set(None)) => out.write_str("unlimited"),
            (soft, Hard::Stays) => write_end(out, soft),
            (soft, Hard::Set(hard)) => {
                write_end(out, soft)?;
                out.write_str(":")?;
                write_end(out, hard)
            }
        }
    }
}

fn write_end(out: &mut fmt::Formatter<'_>, end: Option<u64>) -> fmt::Result {
    match end {
        Some(number) => write!(out, "{number}"),
        None => out.write_str("unlimited"),
    }
}

/// A number, or `unlimited`. The kernel's largest number means unlimited, and is left to that word.
fn end(text: &str) -> Option<Option<u64>> {
    if text == "unlimited" {
        return Some(None);
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| digits && *number != u64::MAX)?;
    Some(Some(number))
}

/// The options, in the order of their names.
pub(super) const ENTRIES: &[Entry] = &[
    entry("limit-as", Resource::As, " Bytes of address space."),
    entry(
        "limit-core",
        Resource::Core,
        " Bytes of a core file; 0 for none.",
    ),
    entry(
        "limit-cpu",
        Resource::Cpu,
        " Seconds of processor time; then the service gets XCPU.",
    ),
    entry(
        "limit-data",
        Resource::Data,
        " Bytes of data: its heap, and private writable pages.",
    ),
    entry(
        "limit-fsize",
        Resource::Fsize,
        " Bytes of a file that it writes.",
    ),
    entry(
        "limit-locks",
        Resource::Locks,
        " File locks; Linux 2.4.25 and later do not look at it.",
    ),
    entry(
        "limit-memlock",
        Resource::Memlock,
        " Bytes of memory that it may lock.",
    ),
    entry(
        "limit-msgqueue",
        Resource::Msgqueue,
        " Bytes of its user's POSIX message queues.",
    ),
    entry(
        "limit-nice",
        Resource::Nice,
        " How far it may lower its nice value: to 20 minus this.",
    ),
    entry(
        "limit-nofile",
        Resource::Nofile,
        " Open descriptors: one more than the highest.",
    ),
    entry(
        "limit-nproc",
        Resource::Nproc,
        " Processes and threads of its user.",
    ),
    entry(
        "limit-rss",
        Resource::Rss,
        " Bytes in memory; Linux 2.4.30 and later do not look at it.",
    ),
    entry(
        "limit-rtprio",
        Resource::Rtprio,
        " The highest real-time priority that it may ask for.",
    ),
    entry(
        "limit-rttime",
        Resource::Rttime,
        " Microseconds of processor time without a blocking call, under a real-time policy.",
    ),
    entry(
        "limit-sigpending",
        Resource::Sigpending,
        " Queued signals of its user.",
    ),
    entry(
        "limit-stack",
        Resource::Stack,
        " Bytes of the main thread's stack.",
    ),
];

const fn entry(name: &'static str, resource: Resource, doc: &'static str) -> Entry {
    Entry {
        name,
        takes: "SOFT, SOFT:HARD or unlimited, in numbers such as 1024 or 1024:4096, the first not above the second",
        without: Without::Words("inherited"),
        example: "1024:4096",
        doc,
        set: Set::Limit(resource),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<Range> {
        Range::parse(OsStr::new(text))
    }

    #[test]
    fn the_hard_end_stays_unless_it_is_given() {
        assert_eq!(
            parse("5000"),
            Some(Range {
                soft: Some(5000),
                hard: Hard::Stays
            })
        );
        assert_eq!(
            parse("0:10"),
            Some(Range {
                soft: Some(0),
                hard: Hard::Set(Some(10))
            })
        );
        assert_eq!(
            parse("unlimited"),
            Some(Range {
                soft: None,
                hard: Hard::Set(None)
            })
        );
        assert_eq!(
            parse("1 : unlimited"),
            Some(Range {
                soft: Some(1),
                hard: Hard::Set(None)
            })
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            ":",
            "10:",
            ":10",
            "-1",
            "+1",
            "10:5",
            "unlimited:5",
            "1:2:3",
            "10k",
            "18446744073709551615",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(soft in any::<Option<u64>>(), hard in any::<Option<Option<u64>>>()) {
            let hard = hard.map_or(Hard::Stays, Hard::Set);
            let range = Range { soft, hard };
            let shown = range.to_string();
            prop_assume!((soft, hard) != (None, Hard::Stays));
            if let Some(read) = parse(&shown) {
                prop_assert_eq!(read, range);
            }
        }
    }
}
