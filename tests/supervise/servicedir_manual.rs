//! The manual page servicedir(5) says what the code does: every option with its default and an
//! example, every control byte, every offset of the status record, every state.
//!
//! Not tested: that its sentences are true.

use std::fs;
use std::path::Path;

use rustix::process::Pid;
use servicedir::control::Control;
use servicedir::layout;
use servicedir::options::{Without, entries};
use servicedir::process::World;
use servicedir::signal::Signal;
use servicedir::status::{End, Phase, Record, State, Status, VERSION, Want};
use servicedir::tai64n::Tai64n;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/servicedir.5")).unwrap()
}

/// The text of the list item that `.It HEAD` opens, below the section line `section`.
#[track_caller]
fn item(section: &str, head: &str) -> String {
    let page = page();
    let (_, below) = page
        .split_once(&format!("\n{section}\n"))
        .unwrap_or_else(|| panic!("no {section}"));
    let (_, item) = below
        .split_once(&format!("\n.It {head}\n"))
        .unwrap_or_else(|| panic!("no .It {head}"));
    let end = item
        .find("\n.It ")
        .unwrap_or(item.len())
        .min(item.find("\n.El").unwrap_or(item.len()));
    item[..end].replace('\n', " ")
}

#[test]
fn every_option_stands_there_with_its_default_and_an_example() {
    for entry in entries() {
        let item = item(".Sh OPTIONS", &format!("Pa {}", entry.name));
        if entry.name.starts_with("limit-") {
            assert!(page().contains(&format!("Example for each:\n.Li {}\n", entry.example)));
            continue;
        }
        let default = match entry.without {
            Without::Text(text) => format!("Default: .Li {text} ."),
            Without::Words(words) => format!("Default: {words}."),
        };
        let plain = item.replace(".Pa ", "").replace(" .", ".");
        assert!(
            item.contains(&default) || plain.contains(&default),
            "{}: {default}: {item}",
            entry.name
        );
        let example = entry.example.split(' ').next_back().unwrap();
        assert!(
            item.split("Example:")
                .nth(1)
                .is_some_and(|text| text.ends_with(example)),
            "{}: {item}",
            entry.name
        );
    }
}

#[test]
fn every_control_byte_stands_there_and_no_other() {
    for (byte, control) in Control::ALL {
        let item = item(".Ss Control", &format!("Li {}", char::from(byte)));
        if let Control::Signal(signal) = control {
            assert_eq!(item, format!("Send {}.", &signal.to_string()[3..]));
        }
    }
    let page = page();
    let (_, list) = page.split_once("\n.Ss Control\n").unwrap();
    let (list, _) = list.split_once("\n.El\n").unwrap();
    assert_eq!(list.matches("\n.It Li ").count(), Control::ALL.len());
}

#[test]
fn every_state_stands_there_with_its_number() {
    for state in State::ALL {
        item(
            ".Sh STATES",
            &format!("Li {} Pq {}", state.name(), state.number()),
        );
    }
}

#[test]
fn every_file_of_the_state_and_the_service_stands_there() {
    for name in [
        layout::LOCK,
        layout::CONTROL,
        layout::OK,
        layout::STATUS,
        layout::PID,
        layout::STAT,
        layout::NOTIFY,
    ] {
        assert!(page().contains(&format!("\n.It Pa {name} Ta ")), "{name}");
    }
    for name in [
        layout::RUN,
        layout::FINISH,
        layout::DOWN,
        layout::LOG,
        layout::ERRLOG,
        layout::OPTIONS,
        layout::CHECK,
        layout::CONTROL_SCRIPTS,
        "supervise",
    ] {
        item(".Sh SERVICE DIRECTORY", &format!("Pa {name}"));
    }
}

/// A record of which every field is as far from [`high`]'s as it can be.
fn low() -> Record {
    Record {
        state: State::Stopped,
        ready: false,
        tells_ready: false,
        exiting: false,
        left: false,
        options_fault: false,
        restarting: false,
        last_end: None,
        ready_stamp: Tai64n([0; 12]),
        pid_start: 0,
        world: World {
            boot: [0; 16],
            pid_namespace: 0,
        },
        failed_starts: 0,
        start_retries: Some(0),
        total_starts: 0,
        next_start: None,
        commands: 0,
        group: None,
        state_stamp: Tai64n([0; 12]),
        supervise: None,
        watchdog: None,
        run_started: None,
        run_ended: None,
        journal: 0,
        reason: String::new(),
        message: String::new(),
    }
}

fn status(record: Record) -> Status {
    Status {
        stamp: Tai64n([0; 12]),
        pid: None,
        paused: false,
        want: Want::Once,
        term_sent: false,
        phase: Phase::Down,
        record: Some(record),
    }
}

/// The first and the last byte, of those before the checksum, that a change moves.
fn moved(change: impl FnOnce(&mut Status)) -> (usize, usize) {
    let before = status(low());
    let mut after = before.clone();
    change(&mut after);
    let (before, after) = (before.pack(), after.pack());
    let differ = |at: &usize| before[*at] != after[*at];
    let range = || 0..before.len() - 4;
    (
        range().find(differ).unwrap(),
        range().rev().find(differ).unwrap(),
    )
}

/// Checks that a list item names these bytes.
#[track_caller]
fn check(what: &str, change: impl FnOnce(&mut Status)) {
    let (first, last) = moved(change);
    let bytes = if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    };
    let item = item(".Ss Status", &format!("Li {bytes}"));
    assert!(item.contains(what), "{bytes}: {what}: {item}");
}

fn check_record(what: &str, change: impl FnOnce(&mut Record)) {
    check(what, |status| status.record.as_mut().map(change).unwrap());
}

#[test]
fn the_first_twenty_bytes_stand_there() {
    check("last started or stopped", |status| {
        status.stamp = Tai64n([255; 12])
    });
    check("The pid", |status| status.pid = Pid::from_raw(i32::MAX));
    check("SIGSTOP", |status| status.paused = true);
    check("want up", |status| status.want = Want::Up);
    check("TERM was sent", |status| status.term_sent = true);
    check("0 down, 1 .Pa run , 2 .Pa finish .", |status| {
        status.phase = Phase::Finish
    });
    assert!(item(".Ss Status", "Li 20").contains(&format!("version of the record, {VERSION}.")));
}

#[test]
fn every_offset_of_the_record_stands_there() {
    // A new field of the record does not compile here until it is added, and then to be checked below.
    let Record {
        state: _,
        ready: _,
        tells_ready: _,
        exiting: _,
        left: _,
        options_fault: _,
        restarting: _,
        last_end: _,
        ready_stamp: _,
        pid_start: _,
        world: World {
            boot: _,
            pid_namespace: _,
        },
        failed_starts: _,
        start_retries: _,
        total_starts: _,
        next_start: _,
        commands: _,
        group: _,
        state_stamp: _,
        supervise: _,
        watchdog: _,
        run_started: _,
        run_ended: _,
        journal: _,
        reason: _,
        message: _,
    } = low();
    check_record("state's number", |record| record.state = State::Fatal);
    check_record("How the last run ended", |record| {
        record.last_end = Some(End::NotStarted(-1))
    });
    check_record("ready, or not ready", |record| {
        record.ready_stamp = Tai64n([255; 12])
    });
    check_record("start time of the pid", |record| {
        record.pid_start = u64::MAX
    });
    check_record("boot_id", |record| record.world.boot = [255; 16]);
    check_record("pid namespace", |record| {
        record.world.pid_namespace = u64::MAX
    });
    check_record("Failed starts", |record| record.failed_starts = u32::MAX);
    check_record("no limit", |record| record.start_retries = None);
    check_record("Starts since", |record| record.total_starts = u64::MAX);
    check_record("next start", |record| {
        record.next_start = Some(Tai64n([255; 12]))
    });
    check_record("modulo 2^32", |record| record.commands = u32::MAX);
    check_record("process group", |record| {
        record.group = Pid::from_raw(i32::MAX)
    });
    check_record("was entered", |record| {
        record.state_stamp = Tai64n([255; 12])
    });
    check_record("wrote the record", |record| {
        record.supervise = Pid::from_raw(i32::MAX)
    });
    check_record("watchdog", |record| {
        record.watchdog = Some(std::time::Duration::from_micros(u64::MAX))
    });
    check_record("was last started", |record| {
        record.run_started = Some(Tai64n([255; 12]))
    });
    check_record("last ended", |record| {
        record.run_ended = Some(Tai64n([255; 12]))
    });
    check_record("last line of the journal", |record| {
        record.journal = u64::MAX
    });
}

#[test]
fn every_flag_and_every_kind_of_end_stands_there() {
    type Set = fn(&mut Record);
    let flags: [(u8, Set); 6] = [
        (0, |record| record.ready = true),
        (1, |record| record.tells_ready = true),
        (2, |record| record.exiting = true),
        (3, |record| record.left = true),
        (4, |record| record.options_fault = true),
        (5, |record| record.restarting = true),
    ];
    let item = item(".Ss Status", "Li 22");
    for (bit, set) in flags {
        let mut record = low();
        set(&mut record);
        assert_eq!(status(record).pack()[22], 1 << bit);
        assert!(item.contains(&format!("bit {bit}: ")), "{item}");
    }
    let killed = |core| End::Killed {
        signal: Signal::KILL,
        core,
    };
    let ends = [
        None,
        Some(End::Exited(1)),
        Some(killed(false)),
        Some(killed(true)),
        Some(End::NotStarted(1)),
        Some(End::Unknown),
    ];
    for (kind, last_end) in ends.into_iter().enumerate() {
        assert_eq!(
            usize::from(status(Record { last_end, ..low() }).pack()[23]),
            kind
        );
    }
}

#[test]
fn the_lengths_of_the_texts_stand_where_they_are() {
    let bytes = status(Record {
        reason: "r".repeat(0x101),
        message: "m".repeat(0x202),
        ..low()
    })
    .pack();
    let fixed = bytes
        .windows(3)
        .position(|window| window == b"rrr")
        .unwrap();
    let lengths: Vec<usize> = bytes[124..130]
        .chunks(2)
        .map(|pair| usize::from(u16::from_le_bytes([pair[0], pair[1]])))
        .collect();
    assert_eq!(lengths, [fixed, 0x101, 0x202]);
    for (at, what) in [
        (124, format!("{fixed} in version 1")),
        (126, "first".into()),
        (128, "second".into()),
    ] {
        let item = item(".Ss Status", &format!("Li {at}-{}", at + 1));
        assert!(item.contains(&what), "{at}: {item}");
    }
}

#[test]
fn a_fault_of_the_options_is_explained() {
    for (file, text) in [
        ("startsec", "5"),
        ("startsecs", "5x"),
        ("essential", "yes\n\nno"),
        ("essential", ""),
        ("nice/x", ""),
        ("nice", &" ".repeat(1 << 18)),
        ("env", "A=1"),
        ("env/A=B", "1"),
        ("ready", "check"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("options").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let fault = servicedir::options::read(scratch.path()).unwrap_err();
        let told = fault.to_string().replace('"', "\\(dq");
        // The page shortens what takes long to say.
        let short = told.replace("1m 30s, 250ms or a number of seconds", "...");
        assert!(page().contains(&format!("\n.It \"{short}\"\n")), "{short}");
    }
}

#[test]
fn the_page_is_clean() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/servicedir.5");
    let output = std::process::Command::new("mandoc")
        .args(["-T", "lint", "-W", "style"])
        .arg(page)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let faults: Vec<&str> = told
        .lines()
        .filter(|line| !line.contains("referenced manual not found"))
        .collect();
    assert_eq!(faults, Vec::<&str>::new());
}
