use super::*;
use crate::journal::TORN;
use crate::status::State;
use proptest::prelude::*;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;

/// A service directory whose journal the test writes.
struct Service {
    _folder: tempfile::TempDir,
    layout: Layout,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout =
            Layout::with_supervisedir(folder.path(), Some(OsStr::new("supervise"))).unwrap();
        fs::create_dir(&layout.state).unwrap();
        Self {
            _folder: folder,
            layout,
        }
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(self.layout.state_file(JOURNAL))
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    fn write(&self, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            self.append(&entry(number).to_line());
        }
    }

    fn rotate(&self) {
        let at = |name| self.layout.state_file(name);
        fs::rename(at(JOURNAL), at(JOURNAL_OLD)).unwrap();
    }

    fn reader(&self, start: Start) -> Reader {
        Reader::new(start)
    }

    /// All that is there now, as numbers; a gap as its two ends, negative.
    fn read(&self, reader: &mut Reader, limit: usize) -> Vec<i64> {
        let mut all = Vec::new();
        loop {
            let found = reader.read(&self.layout, limit).unwrap();
            if found.is_empty() {
                return all;
            }
            all.extend(found.iter().map(number));
        }
    }
}

fn number(found: &Found) -> i64 {
    match found {
        Found::Entry(entry) => i64::try_from(entry.number).unwrap(),
        Found::Missed { first, last } => -i64::try_from(first * 1000 + last).unwrap(),
        Found::Restarted => 0,
    }
}

fn entry(number: u64) -> Entry {
    Entry::new(Tai64n::from_unix(1000 + number, 0), number, State::Stopped)
}

#[test]
fn lines_are_read_in_order_over_a_rotation_however_few_at_a_time() {
    for limit in [1, 2, 100] {
        let service = Service::new();
        let mut reader = service.reader(Start::Beginning);
        assert_eq!(service.read(&mut reader, limit), []);
        service.write(1..=3);
        assert_eq!(service.read(&mut reader, limit), [1, 2, 3]);
        service.write(4..=5);
        service.rotate();
        service.write(6..=7);
        assert_eq!(service.read(&mut reader, limit), [4, 5, 6, 7]);
        service.rotate();
        assert_eq!(service.read(&mut reader, limit), []);
        service.write(8..=8);
        assert_eq!(service.read(&mut reader, limit), [8]);
    }
}

#[test]
fn a_line_is_read_once_it_is_whole() {
    let service = Service::new();
    let mut reader = service.reader(Start::Beginning);
    let line = entry(1).to_line();
    service.append(&line[..20]);
    assert_eq!(service.read(&mut reader, 9), []);
    service.append(&line[20..]);
    assert_eq!(service.read(&mut reader, 9), [1]);
}

#[test]
fn what_two_rotations_took_away_is_reported_by_its_numbers() {
    let service = Service::new();
    let mut reader = service.reader(Start::Beginning);
    service.write(1..=2);
    assert_eq!(service.read(&mut reader, 9), [1, 2]);
    service.write(3..=5);
    service.rotate();
    service.write(6..=7);
    service.rotate();
    service.write(8..=9);
    assert_eq!(service.read(&mut reader, 2), [-3005, 6, 7, 8, 9]);
}

#[test]
fn a_torn_line_is_a_gap() {
    let service = Service::new();
    let mut reader = service.reader(Start::Beginning);
    service.write(1..=1);
    service.append(&entry(2).to_line()[..30]);
    service.append(TORN.as_bytes());
    service.write(3..=3);
    assert_eq!(service.read(&mut reader, 9), [1, -2002, 3]);
}

#[test]
fn a_reader_begins_where_it_was_told() {
    let service = Service::new();
    service.write(1..=4);
    service.rotate();
    service.write(5..=6);
    let cursor = |number: u64| Cursor {
        number,
        stamp: Tai64n::from_unix(1000 + number, 0),
    };
    for (start, expected) in [
        (Start::Beginning, vec![1, 2, 3, 4, 5, 6]),
        (Start::End, vec![]),
        (Start::Since(cursor(4).stamp), vec![4, 5, 6]),
        (Start::After(cursor(2)), vec![3, 4, 5, 6]),
        (Start::After(cursor(5)), vec![6]),
        (Start::After(cursor(6)), vec![]),
    ] {
        let mut reader = service.reader(start);
        assert_eq!(service.read(&mut reader, 9), expected, "{start:?}");
    }
    let mut reader = service.reader(Start::End);
    service.read(&mut reader, 9);
    service.write(7..=7);
    assert_eq!(service.read(&mut reader, 9), [7]);
}

#[test]
fn a_cursor_that_is_not_there_any_more_reads_on_after_it() {
    let service = Service::new();
    service.write(8..=9);
    let mut reader = service.reader(Start::After(Cursor {
        number: 5,
        stamp: Tai64n::default(),
    }));
    assert_eq!(service.read(&mut reader, 1), [-6007, 8, 9]);
}

#[test]
fn numbers_that_begin_anew_are_read_from_the_beginning() {
    let service = Service::new();
    service.write(1..=5);
    let mut reader = service.reader(Start::Beginning);
    assert_eq!(service.read(&mut reader, 9).len(), 5);
    fs::remove_file(service.layout.state_file(JOURNAL)).unwrap();
    let late = |number| Entry::new(Tai64n::from_unix(9000 + number, 0), number, State::Running);
    service.append(&late(1).to_line());
    service.append(&late(2).to_line());
    assert_eq!(service.read(&mut reader, 9), [0, 1, 2]);
    assert_eq!(service.read(&mut reader, 9), []);
}

#[test]
fn a_journal_that_was_emptied_or_removed_goes_on() {
    let service = Service::new();
    service.write(1..=5);
    let mut reader = service.reader(Start::Beginning);
    assert_eq!(service.read(&mut reader, 9).len(), 5);
    fs::write(service.layout.state_file(JOURNAL), "").unwrap();
    assert_eq!(service.read(&mut reader, 9), []);
    service.write(6..=6);
    assert_eq!(service.read(&mut reader, 9), [6]);
    fs::remove_file(service.layout.state_file(JOURNAL)).unwrap();
    service.write(7..=7);
    assert_eq!(service.read(&mut reader, 9), [7]);
}

#[test]
fn a_line_without_an_end_does_not_stop_the_reader() {
    let service = Service::new();
    service.append(&vec![b'x'; 3 * CHUNK]);
    service.append(b"\n");
    service.write(1..=1);
    let mut reader = service.reader(Start::Beginning);
    assert_eq!(service.read(&mut reader, 9), [1]);
}

#[test]
fn a_link_in_the_place_of_a_journal_is_not_followed() {
    let service = Service::new();
    let secret = service.layout.dir.join("secret");
    fs::write(&secret, entry(1).to_line()).unwrap();
    std::os::unix::fs::symlink(&secret, service.layout.state_file(JOURNAL)).unwrap();
    let mut reader = service.reader(Start::Beginning);
    assert_eq!(reader.read(&service.layout, 9), Err(Refused::Link));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u64),
    Lose(u64),
    Tear,
    Rotate,
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_u64).prop_map(Step::Write),
        1 => (1..3_u64).prop_map(Step::Lose),
        1 => Just(Step::Tear),
        2 => Just(Step::Rotate),
        4 => (1..4_usize).prop_map(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens to the files, a reader gets each line at most once and in order, and lines
    /// together with gaps cover all numbers that were written.
    #[test]
    fn lines_and_gaps_cover_all_numbers(steps in prop::collection::vec(step(), 1..40)) {
        let service = Service::new();
        let mut reader = service.reader(Start::Beginning);
        let (mut number, mut written, mut read) = (0, 0, 0);
        let mut take = |reader: &mut Reader, limit: usize| {
            for found in reader.read(&service.layout, limit).unwrap() {
                match found {
                    Found::Entry(entry) => {
                        assert_eq!(entry.number, read + 1);
                        read = entry.number;
                    }
                    Found::Missed { first, last } => {
                        assert_eq!(first, read + 1);
                        read = last;
                    }
                    Found::Restarted => panic!("restarted at {read}"),
                }
            }
            read
        };
        service.write(1..=1);
        number += 1;
        prop_assert_eq!(take(&mut reader, 1), 1);
        for step in steps {
            match step {
                Step::Write(count) => {
                    service.write(number + 1..=number + count);
                    number += count;
                    written = number;
                }
                Step::Lose(count) => number += count,
                Step::Tear => {
                    number += 1;
                    service.append(&entry(number).to_line()[..28]);
                    service.append(TORN.as_bytes());
                }
                Step::Rotate if service.layout.state_file(JOURNAL).exists() => service.rotate(),
                Step::Rotate => {}
                Step::Read(limit) => drop(take(&mut reader, limit)),
            }
        }
        // A line at the end shows what was lost before it.
        service.write(number + 1..=number + 1);
        let mut before = u64::MAX;
        while before != take(&mut reader, 3) {
            before = take(&mut reader, 3);
        }
        prop_assert_eq!(take(&mut reader, 3), number + 1);
        prop_assert!(written <= number);
    }
}
