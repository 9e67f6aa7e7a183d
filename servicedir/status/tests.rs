use super::*;
use proptest::prelude::*;

fn pid() -> impl Strategy<Value = Option<Pid>> {
    (0..=i32::MAX).prop_map(Pid::from_raw)
}

fn label() -> impl Strategy<Value = Tai64n> {
    any::<[u8; 12]>().prop_map(Tai64n)
}

fn stamp() -> impl Strategy<Value = Option<Tai64n>> {
    proptest::option::of(label())
        .prop_map(|stamp| stamp.filter(|stamp| *stamp != Tai64n::default()))
}

fn end() -> impl Strategy<Value = Option<End>> {
    prop_oneof![
        Just(None),
        Just(Some(End::Unknown)),
        any::<u8>().prop_map(|code| Some(End::Exited(code))),
        any::<i32>().prop_map(|errno| Some(End::NotStarted(errno))),
        (1..=64, any::<bool>()).prop_map(|(number, core)| {
            Signal::from_number(number).map(|signal| End::Killed { signal, core })
        }),
    ]
}

prop_compose! {
    fn record()(
        (state, flags, last_end) in (0..State::ALL.len(), any::<[bool; 6]>(), end()),
        (ready_stamp, state_stamp, next_start) in (label(), label(), proptest::option::of(label())),
        (pid_start, total_starts) in any::<(u64, u64)>(),
        (boot, pid_namespace) in any::<([u8; 16], u64)>(),
        (failed_starts, commands) in any::<(u32, u32)>(),
        start_retries in proptest::option::of(0..u32::MAX),
        (group, supervise) in (pid(), pid()),
        watchdog in proptest::option::of(1..=u64::MAX),
        (run_started, run_ended, journal) in (stamp(), stamp(), any::<u64>()),
        (reason, message) in (".{0,300}", ".{0,300}"),
    ) -> Record {
        let [ready, tells_ready, exiting, left, options_fault, restarting] = flags;
        Record {
            state: State::ALL[state], ready, tells_ready, exiting, left, options_fault, restarting, last_end,
            ready_stamp, pid_start, world: World { boot, pid_namespace }, failed_starts, start_retries,
            total_starts, next_start: next_start.filter(|stamp| *stamp != Tai64n::default()), commands,
            group, state_stamp, supervise, watchdog: watchdog.map(Duration::from_micros),
            run_started, run_ended, journal,
            reason: cut(&reason).to_owned(), message: cut(&message).to_owned(),
        }
    }
}

prop_compose! {
    fn status()(
        stamp in label(), pid in pid(), paused in any::<bool>(), want in 0..3, term_sent in any::<bool>(),
        finish in any::<bool>(), record in proptest::option::of(record()),
    ) -> Status {
        Status {
            stamp, pid, paused: paused && pid.is_some(), term_sent, record,
            want: [Want::Up, Want::Down, Want::Once][usize::try_from(want).unwrap()],
            phase: match pid {
                None => Phase::Down,
                Some(_) if finish => Phase::Finish,
                Some(_) => Phase::Run,
            },
        }
    }
}

proptest! {
    #[test]
    fn what_was_packed_is_unpacked(status in status()) {
        prop_assert_eq!(Status::unpack(&status.pack()), Ok(status));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        drop(Status::unpack(&bytes));
        drop(Status::unpack_prefix(&bytes));
    }

    #[test]
    fn a_changed_byte_of_the_record_is_noticed(status in status(), at in 20..140_usize, change in 1..=255_u8) {
        let mut bytes = status.pack();
        prop_assume!(bytes.len() > at && at != 20);
        bytes[at] ^= change;
        prop_assert_eq!(Status::unpack(&bytes), Err(BadStatus::Checksum));
        prop_assert_eq!(Status::unpack_prefix(&bytes), Ok(Status { record: None, ..status }));
    }

    #[test]
    fn what_a_longer_record_left_behind_is_passed_over(status in status(), rest in any::<[u8; 9]>()) {
        let mut bytes = status.pack();
        bytes.extend(rest);
        prop_assume!(status.record.is_some());
        prop_assert_eq!(Status::unpack(&bytes), Ok(status));
    }

    #[test]
    fn a_longer_fixed_part_of_a_newer_writer_is_read(status in status(), news in any::<[u8; 7]>()) {
        prop_assume!(status.record.is_some());
        let mut bytes = status.pack();
        bytes.truncate(bytes.len() - 4);
        bytes.splice(FIXED..FIXED, news);
        bytes[124..126].copy_from_slice(&u16::try_from(FIXED + news.len()).unwrap().to_le_bytes());
        let sum = checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        prop_assert_eq!(Status::unpack(&bytes), Ok(status));
    }
}

proptest! {
    #[test]
    fn a_shorter_fixed_part_of_an_older_writer_is_read(status in status()) {
        prop_assume!(status.record.is_some());
        let mut bytes = status.pack();
        bytes.truncate(bytes.len() - 4);
        bytes.drain(FIXED_WITHOUT_WATCHDOG..FIXED);
        bytes[124..126].copy_from_slice(&u16::try_from(FIXED_WITHOUT_WATCHDOG).unwrap().to_le_bytes());
        let sum = checksum(&bytes);
        bytes.extend(sum.to_le_bytes());
        let without = |record| Record { watchdog: None, run_started: None, run_ended: None, journal: 0, ..record };
        let record = status.record.clone().map(without);
        prop_assert_eq!(Status::unpack(&bytes), Ok(Status { record, ..status }));
    }
}

#[test]
fn the_fixed_part_ends_where_it_says() {
    let (mut bytes, record) = (vec![0; 20], sample());
    record.pack(&mut bytes);
    assert_eq!(bytes.len(), FIXED + record.reason.len() + 4);
}

fn sample() -> Record {
    Record {
        state: State::Fatal,
        ready: false,
        tells_ready: false,
        exiting: false,
        left: false,
        options_fault: false,
        restarting: false,
        last_end: Some(End::Exited(3)),
        ready_stamp: Tai64n::default(),
        pid_start: 0,
        world: World::default(),
        failed_starts: 4,
        start_retries: Some(3),
        total_starts: 4,
        next_start: None,
        commands: 0,
        group: None,
        state_stamp: Tai64n::default(),
        supervise: None,
        watchdog: None,
        run_started: None,
        run_ended: None,
        journal: 0,
        reason: "gave up".to_owned(),
        message: String::new(),
    }
}

/// A status that supervise wrote before the journal and its two times were added (2026-11-25).
#[test]
fn a_record_without_the_fields_of_the_journal_is_read() {
    let hex = "400000006b07371821de05838d7d0000007500010114010000000000400000006b0737192207050aeb280500\
               00000000cd210ff58758437f910f8d725187dfc3fcffffef0000000000000000ffffffff0100000000000000\
               000000000000000000000000000000008d7d0000400000006b0737192207050a8a7d00008a00000000000000\
               00000000000016a71a87";
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let record = Status::unpack(&bytes).unwrap().record.unwrap();
    assert_eq!((record.state, record.total_starts), (State::Running, 1));
    assert_eq!(record.supervise, Pid::from_raw(32138));
    assert_eq!(
        (record.run_started, record.run_ended, record.journal),
        (None, None, 0)
    );
}

#[test]
fn daemontools_and_runit_files_are_read() {
    // `supervise` of daemontools 0.76 (Debian 0.76-8.1), a service that sleeps, 2026-11-21.
    let daemontools = b"\x40\x00\x00\x00\x6b\x01\x8c\x0a\x1a\x2b\x3c\xf4\x62\x4f\x00\x00\x00u";
    let status = Status::unpack(daemontools).unwrap();
    assert_eq!(
        status.pid.map(|pid| pid.as_raw_nonzero().get()),
        Some(20322)
    );
    assert_eq!(
        (status.want, status.phase, status.paused),
        (Want::Up, Phase::Run, false)
    );

    // `runsv` of runit 2.1.2 (Debian 2.1.2-54), the same, its finish script running after `sv d`.
    let runit = [daemontools.as_slice(), b"\x00\x02"].concat();
    assert_eq!(Status::unpack(&runit).unwrap().phase, Phase::Finish);
}

#[test]
fn three_bytes_are_no_status() {
    assert_eq!(Status::unpack(b"abc"), Err(BadStatus::Short(3)));
    assert_eq!(
        BadStatus::Short(3).to_string(),
        "3 bytes, expected at least 18"
    );
    let mut bytes = sample_status().pack();
    bytes[17] = b'x';
    assert_eq!(Status::unpack_prefix(&bytes), Err(BadStatus::Want(b'x')));
}

fn sample_status() -> Status {
    Status {
        stamp: Tai64n::from_unix(0, 0),
        pid: None,
        paused: false,
        want: Want::Down,
        term_sent: false,
        phase: Phase::Down,
        record: Some(sample()),
    }
}

#[test]
fn finish_is_told_what_runit_tells_it() {
    assert_eq!(
        End::from_wait_status(3 << 8).map(End::finish_arguments),
        Some((3, 0))
    );
    assert_eq!(
        End::from_wait_status(15).map(End::finish_arguments),
        Some((-1, 15))
    );
    assert_eq!(
        End::from_wait_status(11 | 0x80).map(End::finish_arguments),
        Some((-1, 0x8b))
    );
}
