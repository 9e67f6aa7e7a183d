//! Where a file of a log directory ends: the part of a piece of output that still goes to `current`.
//!
//! Pure. The rules are runit's: `current` is rotated after the newline that brings it to within
//! `len` bytes of its size, and where none comes, at that size, in mid-line. One rule is added: a
//! stamp is never cut; where it does not fit, its line begins the next file.

use memchr::{memchr, memrchr};

/// When a file is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    /// The size in bytes that no file exceeds; 0 = none.
    size: u64,
    /// The size from which on a newline ends the file.
    soft: Option<u64>,
    /// The length of a stamp.
    stamp: usize,
}

/// The next step with a piece of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// The number of its bytes that go to `current`.
    pub(crate) take: usize,
    /// Then the file is rotated.
    pub(crate) rotate: bool,
}

impl Limit {
    /// The limit of a file of `size` bytes, for lines of up to `len` and stamps of `stamp` bytes.
    ///
    /// A size below `len` knows no newline, as in runit: such a file is always filled.
    pub(crate) fn new(size: u64, len: usize, stamp: usize) -> Self {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        Self {
            size,
            soft: if size == 0 {
                None
            } else {
                size.checked_sub(len)
            },
            stamp,
        }
    }

    /// No limit: everything is taken.
    pub(crate) const NONE: Self = Self {
        size: 0,
        soft: None,
        stamp: 0,
    };

    /// The same limit, but the next newline ends the file.
    pub(crate) fn at_next_newline(self) -> Self {
        Self {
            soft: Some(0),
            ..self
        }
    }

    /// What to do with `output`, which begins at the beginning of a line (`at_start`) or within one,
    /// when `current` holds `filled` bytes.
    pub(crate) fn plan(self, filled: u64, at_start: bool, output: &[u8]) -> Plan {
        if self.size > 0 && filled >= self.size {
            return Plan {
                take: 0,
                rotate: true,
            };
        }
        let room = if self.size == 0 {
            usize::MAX
        } else {
            usize::try_from(self.size - filled).unwrap_or(usize::MAX)
        };
        if let Some(end) = self.newline(filled, output).filter(|end| *end <= room) {
            return Plan {
                take: end,
                rotate: true,
            };
        }
        if output.len() <= room {
            return Plan {
                take: output.len(),
                rotate: false,
            };
        }
        self.cut(filled, at_start, output, room)
    }

    /// Where the first newline ends that makes the file full.
    fn newline(self, filled: u64, output: &[u8]) -> Option<usize> {
        let first = self.soft?.saturating_sub(filled).saturating_sub(1);
        let first = usize::try_from(first).ok()?;
        let at = memchr(b'\n', output.get(first..)?)?;
        Some(first + at + 1)
    }

    /// `output` does not fit: fill the file, unless that would cut a stamp.
    fn cut(self, filled: u64, at_start: bool, output: &[u8], room: usize) -> Plan {
        let newline = memrchr(b'\n', output.get(..room).unwrap_or(output));
        let line = match newline {
            Some(at) => Some(at + 1),
            None => at_start.then_some(0),
        };
        match line {
            Some(start) if start < room && room - start < self.stamp => {
                let empty = filled == 0 && start == 0;
                Plan {
                    // A file smaller than a stamp holds one nevertheless.
                    take: if empty {
                        self.stamp.min(output.len())
                    } else {
                        start
                    },
                    rotate: true,
                }
            }
            _ => Plan {
                take: room,
                rotate: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The sizes of the files that `output` becomes, handed over in pieces of `step` bytes.
    fn files(limit: Limit, output: &[u8], step: usize) -> Vec<usize> {
        let (mut done, mut filled, mut sizes) = (0, 0, Vec::new());
        while done < output.len() {
            let end = output.len().min(done + step);
            let at_start = done == 0 || output[done - 1] == b'\n';
            let plan = limit.plan(filled, at_start, &output[done..end]);
            assert!(plan.take > 0 || (plan.rotate && filled > 0), "no progress");
            done += plan.take;
            filled += plan.take as u64;
            if plan.rotate {
                sizes.push(usize::try_from(filled).unwrap());
                filled = 0;
            }
        }
        sizes.push(usize::try_from(filled).unwrap());
        sizes
    }

    #[test]
    fn a_newline_within_len_of_the_size_ends_the_file() {
        let lines = b"123456789\n".repeat(10);
        assert_eq!(files(Limit::new(50, 15, 0), &lines, 1000), [40, 40, 20]);
        assert_eq!(files(Limit::new(50, 10, 0), &lines, 1000), [40, 40, 20]);
        assert_eq!(files(Limit::new(50, 9, 0), &lines, 1000), [50, 50, 0]);
        assert_eq!(files(Limit::new(50, 50, 0), &lines, 1000).len(), 11);
    }

    #[test]
    fn a_size_below_len_is_filled_in_mid_line() {
        let lines = b"123456789\n".repeat(10);
        assert_eq!(files(Limit::new(45, 50, 0), &lines, 1000), [45, 45, 10]);
    }

    #[test]
    fn a_long_line_is_cut_at_the_size() {
        assert_eq!(files(Limit::new(30, 5, 0), &[b'x'; 70], 1000), [30, 30, 10]);
    }

    #[test]
    fn a_stamp_is_never_cut() {
        let lines = b"STAMPxxxx\n".repeat(4);
        assert_eq!(files(Limit::new(23, 50, 5), &lines, 1000), [20, 20]);
        assert_eq!(files(Limit::new(3, 50, 5), &lines[..10], 1000), [5, 3, 2]);
    }

    #[test]
    fn without_a_limit_all_is_one_file() {
        assert_eq!(files(Limit::new(0, 10, 0), &[b'\n'; 70], 9), [70]);
    }

    #[test]
    fn a_rotation_that_was_asked_for_waits_for_the_newline() {
        let plan = Limit::NONE
            .at_next_newline()
            .plan(5, false, b"rest\nnext\n");
        assert_eq!(
            plan,
            Plan {
                take: 5,
                rotate: true
            }
        );
    }

    proptest! {
        #[test]
        fn however_the_output_is_cut_the_files_are_the_same(
            text in "[ab\n]{0,200}",
            size in 1_u64..60,
            len in 1_usize..60,
            step in 1_usize..50,
        ) {
            let limit = Limit::new(size, len, 0);
            prop_assert_eq!(files(limit, text.as_bytes(), 1000), files(limit, text.as_bytes(), step));
        }

        #[test]
        fn no_file_exceeds_its_size(text in "[ab\n]{0,200}", size in 1_u64..60, len in 1_usize..60) {
            for file in files(Limit::new(size, len, 0), text.as_bytes(), 1000) {
                prop_assert!(file as u64 <= size);
            }
        }
    }
}
