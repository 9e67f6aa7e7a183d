use super::*;
use proptest::option;
use proptest::prelude::*;

fn label() -> impl Strategy<Value = Tai64n> {
    any::<[u8; 12]>().prop_map(Tai64n)
}

fn pid() -> impl Strategy<Value = Pid> {
    (1..=i32::MAX).prop_map(|pid| Pid::from_raw(pid).unwrap())
}

fn signal() -> impl Strategy<Value = Signal> {
    (1..=64).prop_map(|number| Signal::from_number(number).unwrap())
}

fn state() -> impl Strategy<Value = State> {
    (0..State::ALL.len()).prop_map(|at| State::ALL[at])
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Unknown),
        any::<u8>().prop_map(End::Exited),
        any::<i32>().prop_map(End::NotStarted),
        (signal(), any::<bool>()).prop_map(|(signal, core)| End::Killed { signal, core }),
    ]
}

prop_compose! {
    fn entry()(
        (stamp, number, state) in (label(), any::<u64>(), state()),
        (from, pid, end) in (option::of(state()), option::of(pid()), option::of(end())),
        (expected, ready, paused) in any::<(Option<bool>, Option<bool>, Option<bool>)>(),
        (tries, failed_checks, command) in any::<(Option<u32>, Option<u32>, Option<u8>)>(),
        (next_start, sent, supervise) in (option::of(label()), option::of(signal()), option::of(pid())),
        (terminated, adopted, left) in any::<(bool, bool, bool)>(),
        reason in "\\PC{0,60}|[\\x00-\\x7f]{0,60}",
    ) -> Entry {
        Entry {
            stamp, number, state, from, pid, end, expected, tries, next_start, ready, paused, command,
            terminated, sent, failed_checks, supervise, adopted, left, reason,
        }
    }
}

proptest! {
    #[test]
    fn a_line_is_read_as_it_was_written(entry in entry()) {
        let line = entry.to_line();
        prop_assert!(line.ends_with(b"\n") && line.len() < LINE_MAX);
        prop_assert_eq!(memchr::memchr(b'\n', &line), Some(line.len() - 1));
        prop_assert_eq!(Entry::from_line(&line[..line.len() - 1]), Some(entry));
    }

    #[test]
    fn a_line_that_was_cut_short_and_marked_is_never_read(entry in entry(), cut in any::<prop::sample::Index>()) {
        let mut line = entry.to_line();
        line.truncate(cut.index(line.len()));
        line.extend(TORN.trim_end().bytes());
        prop_assert_eq!(Entry::from_line(&line), None);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Entry::from_line(&bytes));
    }

    #[test]
    fn no_text_behind_a_sound_start_makes_it_panic(text in "[a-z=\"\\\\ u{}0-9]{0,60}") {
        let line = format!("@400000000000000a00000000 1 STOPPED {text}");
        drop(Entry::from_line(line.as_bytes()));
    }
}

#[test]
fn the_line_of_a_failed_start_reads_as_the_manual_shows_it() {
    let mut entry = Entry::new(Tai64n::from_unix(0, 0), 17, State::Backoff);
    entry.from = Some(State::Starting);
    entry.pid = Pid::from_raw(812);
    entry.end = Some(End::NotStarted(13));
    entry.tries = Some(1);
    entry.reason = "unable to execute ./run: \"x\"\n".to_owned();
    let line = "@400000000000000a00000000 17 BACKOFF from=STARTING pid=812 errno=13 tries=1 \
                reason=\"unable to execute ./run: \\\"x\\\"\\n\"\n";
    assert_eq!(String::from_utf8(entry.to_line()).unwrap(), line);
}

#[test]
fn a_key_of_a_later_version_is_skipped() {
    let line = b"@400000000000000a00000000 3 RUNNING from=STARTING new=\"a b\" other=1 pid=4";
    let entry = Entry::from_line(line).unwrap();
    assert_eq!(entry.from, Some(State::Starting));
    assert_eq!(entry.pid, Pid::from_raw(4));
}

#[test]
fn what_is_not_a_line_is_refused() {
    for line in [
        "",
        "@400000000000000a00000000 3",
        "@400000000000000a0000000 3 RUNNING",
        "@400000000000000a00000000 x RUNNING",
        "@400000000000000a00000000 3 running",
        "@400000000000000a00000000 3 RUNNING pid=0",
        "@400000000000000a00000000 3 RUNNING pid=-4",
        "@400000000000000a00000000 3 RUNNING pid",
        "@400000000000000a00000000 3 RUNNING pid=4 ",
        "@400000000000000a00000000 3 RUNNING reason=\"a",
        "@400000000000000a00000000 3 RUNNING reason=\"a\"b",
        "@400000000000000a00000000 3 RUNNING exit=256",
        "@400000000000000a00000000 3 RUNNING pid=4 torn",
    ] {
        assert_eq!(Entry::from_line(line.as_bytes()), None, "{line}");
    }
}
