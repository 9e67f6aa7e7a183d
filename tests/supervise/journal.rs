//! The journal: every change is in it, in order, whatever is killed; and nothing in its way stops a
//! service.

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use servicedir::journal::reader::{Found, Reader, Start};
use servicedir::journal::watch::JournalWatch;
use servicedir::journal::{Entry, LINE_MAX, ROTATE_AT};
use servicedir::layout::Layout;
use servicedir::status::{End, State};
use support::service::{Service, pid_of};
use support::{eventually, until};

/// The layout of the service, with its state in `supervise/`.
fn layout(service: &Service) -> Layout {
    Layout::with_supervisedir(&service.dir(), None).unwrap()
}

/// All lines of the journal; a gap fails the test.
#[track_caller]
fn journal(service: &Service) -> Vec<Entry> {
    let mut reader = Reader::new(Start::Beginning);
    let mut entries = Vec::new();
    loop {
        let found = reader.read(&layout(service), 1000).unwrap();
        if found.is_empty() {
            return entries;
        }
        entries.extend(found.into_iter().map(|found| match found {
            Found::Entry(entry) => entry,
            gap @ (Found::Missed { .. } | Found::Restarted) => panic!("{gap:?}"),
        }));
    }
}

fn changes(entries: &[Entry]) -> Vec<(State, State)> {
    let change = |entry: &Entry| entry.from.map(|from| (from, entry.state));
    entries.iter().filter_map(change).collect()
}

/// How often this message was written to stderr.
fn times(service: &Service, message: &str) -> usize {
    service.messages().matches(message).count()
}

#[test]
fn a_start_a_crash_and_a_stop_are_told_line_by_line() {
    let service = Service::new("web")
        .script(
            "run",
            "[ -e crashed ] || { >crashed; exit 7; }; exec sleep 1000",
        )
        .file("options/startsecs", "0");
    let mut supervise = service.supervise();
    service.until("the second run", |_, record| {
        record.state == State::Running && record.total_starts == 2
    });
    let pid = pid_of(&service.status().unwrap());
    service.send("dx");
    assert!(supervise.ended().success());
    let entries = journal(&service);
    assert_eq!(
        changes(&entries),
        [
            (State::Stopped, State::Starting),
            (State::Starting, State::Running),
            (State::Running, State::Exited),
            (State::Exited, State::Starting),
            (State::Starting, State::Running),
            (State::Running, State::Stopping),
            (State::Stopping, State::Stopped),
        ]
    );
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.number).collect();
    assert_eq!(
        numbers,
        (1..=numbers.last().copied().unwrap()).collect::<Vec<_>>()
    );
    let exited = entries.iter().find(|entry| entry.state == State::Exited);
    assert_eq!(exited.unwrap().end, Some(End::Exited(7)));
    assert_eq!(exited.unwrap().expected, Some(false));
    let stopped = entries
        .iter()
        .rfind(|entry| entry.from == Some(State::Stopping));
    assert_eq!(stopped.unwrap().pid.unwrap().as_raw_nonzero().get(), pid);
    let commands: Vec<u8> = entries.iter().filter_map(|entry| entry.command).collect();
    assert_eq!(commands, b"dx");
    assert!(entries.last().unwrap().left);
    let record = service.record();
    assert_eq!(record.journal, entries.last().unwrap().number);
    assert!(record.run_started.unwrap() < record.run_ended.unwrap());
}

#[test]
fn a_start_that_fails_has_its_reason_in_words() {
    let service = Service::new("web").file("run", "not executable");
    let _supervise = service.supervise();
    service.until_state(State::Backoff);
    let entries = journal(&service);
    let failed = entries
        .iter()
        .find(|entry| entry.state == State::Backoff)
        .unwrap();
    assert_eq!(failed.end, Some(End::NotStarted(libc::EACCES)));
    assert_eq!(failed.tries, Some(1));
    assert!(failed.reason.contains("permission denied"), "{failed:?}");
    assert!(failed.next_start.is_some());
}

/// The numbers go on over any number of supervises, a follower sees each line once, and each run that
/// was started has its end in the journal.
#[test]
fn at_full_speed_with_kills_in_between_a_follower_sees_every_change_in_order() {
    let service = Service::new("web")
        .script("run", "echo $$ >>starts; exit 3")
        .file("options/backoff", "constant 1ms");
    let mut supervise = service.supervise();
    let (layout, mut watch) = (layout(&service), JournalWatch::new());
    watch.add(layout.clone(), 0);
    let mut reader = Reader::new(Start::Beginning);
    let mut entries: Vec<Entry> = Vec::new();
    let mut kill_at = 100;
    let deadline = Instant::now() + support::PATIENCE;
    while entries.len() < 4000 {
        assert!(Instant::now() < deadline, "{} lines", entries.len());
        watch.wait(Some(Duration::from_millis(20))).unwrap();
        for found in reader.read(&layout, 1000).unwrap() {
            match found {
                Found::Entry(entry) => {
                    assert_eq!(
                        entry.number,
                        entries.last().map_or(1, |last| last.number + 1)
                    );
                    entries.push(entry);
                }
                gap @ (Found::Missed { .. } | Found::Restarted) => {
                    panic!("after {} lines: {gap:?}", entries.len())
                }
            }
        }
        if entries.len() > kill_at {
            kill_at += 400;
            supervise.signal(libc::SIGKILL);
            supervise.ended();
            supervise = service.supervise();
        }
    }
    service.send("dx");
    assert!(supervise.ended().success());
    let mut rest = reader.read(&layout, 10_000).unwrap();
    entries.extend(rest.drain(..).map(|found| match found {
        Found::Entry(entry) => entry,
        gap @ (Found::Missed { .. } | Found::Restarted) => panic!("{gap:?}"),
    }));
    let supervises = entries.iter().filter(|entry| entry.supervise.is_some());
    assert!(supervises.count() > 8);
    // Each change begins where the one before ended.
    let mut state = State::Stopped;
    for entry in &entries {
        assert_eq!(entry.from.unwrap_or(entry.state), state, "{entry:?}");
        state = entry.state;
    }
    let pid = |entry: &Entry| entry.pid.map(|pid| pid.as_raw_nonzero().get().to_string());
    let ended: BTreeSet<String> = entries
        .iter()
        .filter(|entry| entry.end.is_some())
        .filter_map(pid)
        .collect();
    let started: BTreeSet<String> = service.lines("starts").into_iter().collect();
    let unseen: Vec<_> = started.difference(&ended).collect();
    assert!(
        unseen.is_empty(),
        "{} of {}: {unseen:?}",
        unseen.len(),
        started.len()
    );
}

#[test]
fn a_journal_that_has_grown_is_renamed_and_stays_bounded() {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    let pid = service.until_running();
    let size = |name: &str| fs::metadata(service.state_file(name)).map_or(0, |meta| meta.len());
    let deadline = Instant::now() + support::PATIENCE;
    while size("journal.old") == 0 {
        assert!(Instant::now() < deadline);
        let done = service.record().commands;
        service.send("c".repeat(200));
        service.until("200 commands", |_, record| record.commands == done + 200);
    }
    let bound = ROTATE_AT + u64::try_from(LINE_MAX).unwrap();
    assert!(
        (ROTATE_AT..=bound).contains(&size("journal.old")),
        "{}",
        size("journal.old")
    );
    assert!(journal(&service).len() > 4000);
    assert_eq!(service.until_running(), pid);
}

/// Something in the place of the journal: the service goes on, one warning tells it, and once it is gone
/// there is a journal again whose numbers show what is missing.
#[track_caller]
fn in_the_way(make: impl Fn(&Path), message: &str) {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    let pid = service.until_running();
    let path = service.state_file("journal");
    let before = journal(&service).last().unwrap().number;
    fs::remove_file(&path).unwrap();
    make(&path);
    for letter in ["p", "c", "p", "c"] {
        let done = service.record().commands;
        service.send(letter);
        service.until("a command", |_, record| record.commands > done);
    }
    let message = format!("web: unable to write the journal: {message}");
    assert_eq!(times(&service, &message), 1, "{}", service.messages());
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else {
        fs::remove_file(&path).unwrap();
    }
    service.send("p");
    service.until("a pause", |status, _| status.paused);
    let first = journal(&service)[0].number;
    assert!(first > before + 4, "{first}");
    assert_eq!(service.until_running(), pid);
}

#[test]
fn a_directory_in_the_place_of_the_journal_stops_no_service() {
    in_the_way(|path| fs::create_dir(path).unwrap(), "not a regular file");
}

#[test]
fn a_fifo_in_the_place_of_the_journal_stops_no_service() {
    let make = |path: &Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    };
    in_the_way(make, "not a regular file");
}

#[test]
fn a_link_in_the_place_of_the_journal_is_not_written_through() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let make = |path: &Path| symlink(elsewhere.path(), path).unwrap();
    in_the_way(make, "not a regular file");
    assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
}

#[test]
fn a_second_name_of_another_file_gets_no_lines() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let make = |path: &Path| fs::hard_link(elsewhere.path(), path).unwrap();
    in_the_way(make, "another user's file");
    assert_eq!(fs::read(elsewhere.path()).unwrap(), b"");
}

#[test]
fn a_journal_that_was_removed_is_begun_anew_and_goes_on_counting() {
    let service = Service::sleeping("web");
    let _supervise = service.supervise();
    service.until_running();
    let before = journal(&service).last().unwrap().number;
    fs::remove_file(service.state_file("journal")).unwrap();
    service.send("p");
    service.until("a pause", |status, _| status.paused);
    assert_eq!(journal(&service)[0].number, before + 1);
}

/// The record has the number too: a supervise that finds no journal does not begin at 1.
#[test]
fn the_numbers_survive_a_supervise_and_a_journal_that_die_together() {
    support::adoption::be_the_subreaper();
    let service = Service::sleeping("web");
    let mut supervise = service.supervise();
    service.until_running();
    supervise.signal(libc::SIGKILL);
    supervise.ended();
    let before = journal(&service).last().unwrap().number;
    fs::remove_file(service.state_file("journal")).unwrap();
    let _supervise = service.supervise();
    let first = eventually("a journal", || {
        let entries = journal(&service);
        entries.first().cloned().ok_or("none")
    });
    assert_eq!(first.number, before + 1);
    assert!(first.adopted);
}

#[test]
fn on_a_full_disk_the_service_goes_on_and_the_gap_shows_in_the_numbers() {
    let service = Service::sleeping("web");
    let line = "mkdir -p web/supervise; mount -t tmpfs -o size=24k,mode=755 none web/supervise && exec \"$0\" \"$@\"";
    let supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
    let root = Path::new("/proc")
        .join(supervise.pid().to_string())
        .join("root");
    let state = service.dir().join("supervise");
    let at = |name: &str| root.join(state.strip_prefix("/").unwrap()).join(name);
    let running = || {
        fs::read(at("status"))
            .ok()
            .and_then(|bytes| servicedir::status::Status::unpack(&bytes).ok())
            .and_then(|status| status.record)
    };
    until("a run", || {
        running().is_some_and(|record| record.state == State::Running)
    });
    until("a full disk", || {
        let mut filler = fs::File::options()
            .append(true)
            .create(true)
            .open(at("filler"))
            .unwrap();
        std::io::Write::write_all(&mut filler, &[b'x'; 512]).is_err()
    });
    let send = |letters: &[u8]| {
        let fifo = servicedir::control::open_for_writing(&at("control")).unwrap();
        rustix::io::write(fifo, letters).unwrap();
    };
    for _ in 0..400 {
        send(b"c");
    }
    until("the commands", || {
        running().is_some_and(|record| record.commands == 400)
    });
    fs::remove_file(at("filler")).unwrap();
    send(b"c");
    until("a last line", || {
        let text = fs::read(at("journal")).unwrap();
        let last = text
            .split(|byte| *byte == b'\n')
            .rev()
            .find_map(Entry::from_line);
        last.is_some_and(|entry| running().is_some_and(|record| record.journal == entry.number))
    });
    assert_eq!(
        times(
            &service,
            "unable to write the journal: no space left on device"
        ),
        1,
        "{}",
        service.messages()
    );
    send(b"dx");
    drop(supervise);
}

#[test]
fn on_a_read_only_file_system_the_service_goes_on() {
    let service = Service::sleeping("web");
    let line = "mkdir -p web/supervise; cd web/supervise; touch journal; mount --bind journal journal; \
                mount -o remount,bind,ro journal && cd ../.. && exec \"$0\" \"$@\"";
    let _supervise = service.supervise_behind("unshare", &["-m", "sh", "-c", line]);
    let pid = service.until_running();
    service.send("pc");
    service.until("two commands", |_, record| record.commands == 2);
    assert_eq!(service.until_running(), pid);
    let message = "unable to write the journal: read-only file system";
    assert_eq!(times(&service, message), 1, "{}", service.messages());
    assert!(service.record().journal > 4);
}
