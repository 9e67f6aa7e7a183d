//! The messages and the man page's DIAGNOSTICS are the same.

use super::*;

/// The words of the errno that every sample has; the page has `why` in their place.
const WHY: Why = Why(libc::EXDEV);
const REFUSED: trust::Refused = trust::Refused::Failed(rustix::io::Errno::XDEV);

/// A sample of each message in turn: a new variant does not compile before it has its place.
fn next(message: Option<&Message>) -> Option<Message> {
    use Message::*;
    let (dir, name) = (|| PathBuf::from("dir"), || OsString::from("name"));
    let path = || PathBuf::from("path");
    Some(match message {
        None => UnableToScan(dir(), WHY),
        Some(UnableToScan(..)) => Taken(dir()),
        Some(Taken(_)) => NoSupervise,
        Some(NoSupervise) => UnableToExecute(path(), WHY),
        Some(UnableToExecute(..)) => UnableToResolve(path(), WHY),
        Some(UnableToResolve(..)) => UnableToCatchSignals(WHY),
        Some(UnableToCatchSignals(_)) => UnableToPoll(WHY),
        Some(UnableToPoll(_)) => UnableToPrepare(WHY),
        Some(UnableToPrepare(_)) => NoSvscan(dir()),
        Some(NoSvscan(_)) => UnableToSignal(Pid::INIT, WHY),
        Some(UnableToSignal(..)) => NotReplaced(name()),
        Some(NotReplaced(_)) => UnableToDetach(name(), REFUSED),
        Some(UnableToDetach(..)) => AnotherSuite(name()),
        Some(AnotherSuite(_)) => UnableToReplace(path(), WHY),
        Some(UnableToReplace(..)) => Away(dir(), WHY),
        Some(Away(..)) => AwayTaken(dir()),
        Some(AwayTaken(_)) => Back(dir()),
        Some(Back(_)) => UnableToOpen(name(), WHY),
        Some(UnableToOpen(..)) => NotExecutable(name()),
        Some(NotExecutable(_)) => NotFile(name()),
        Some(NotFile(_)) => StillChanging(name()),
        Some(StillChanging(_)) => EssentialFault(name(), "fault".to_owned()),
        Some(EssentialFault(..)) => PipeLost(name()),
        Some(PipeLost(_)) => UnableToStart(path(), name(), WHY),
        Some(UnableToStart(..)) => SuperviseKilled(name(), Signal::KILL),
        Some(SuperviseKilled(..)) => HolderUnknown(name()),
        Some(HolderUnknown(_)) => UnableToFindSupervise(name(), REFUSED),
        Some(UnableToFindSupervise(..)) => UnableToWatch(WHY, 5),
        Some(UnableToWatch(..)) => EssentialEnded(name(), 0),
        Some(EssentialEnded(..)) => Killing(name()),
        Some(Killing(_)) => UnableToNotify(WHY),
        Some(UnableToNotify(_)) => ShortLog,
        Some(ShortLog) => UnableToLog(WHY),
        Some(UnableToLog(_)) => return None,
    })
}

/// A sample as the page has it.
fn in_page(message: &Message) -> String {
    let text = message.to_string().replace(&WHY.to_string(), "why");
    text.replace("SIGKILL", "signal")
        .replace("code 0", "code N")
        .replace("process 1:", "process N:")
}

#[test]
fn the_manual_has_every_message_and_no_other() {
    let page = include_str!("../../man/svscan.8");
    let (_, page) = page.split_once(".Sh DIAGNOSTICS").unwrap();
    let (diagnostics, _) = page.split_once(".Sh ").unwrap();
    let mut documented: Vec<&str> = diagnostics
        .lines()
        .filter_map(|line| line.strip_prefix(".It "))
        .collect();
    let mut samples = Vec::new();
    let mut last = next(None);
    while let Some(message) = last {
        samples.push(in_page(&message));
        last = next(Some(&message));
    }
    samples.sort();
    documented.sort_unstable();
    assert_eq!(documented, samples);
}

#[test]
fn a_lasting_fault_is_reported_once_until_it_changes_or_ends() {
    let mut messages = Messages::new(Reporter::new("svscan"));
    let fault = |name: &str, errno| {
        Message::UnableToStart(PathBuf::from("supervise"), OsString::from(name), Why(errno))
    };
    messages.warn_once(Topic::Start, fault("a", libc::EAGAIN));
    let is_new = |messages: &Messages, message: &Message| {
        let last = messages.last.get(&Topic::Start);
        !last.is_some_and(|last| last.is_same_fault(message))
    };
    assert!(!is_new(&messages, &fault("b", libc::EAGAIN)));
    assert!(is_new(&messages, &fault("a", libc::ENOMEM)));
    assert!(messages.clear(&Topic::Start));
    assert!(is_new(&messages, &fault("a", libc::EAGAIN)));
}
