//! The manual pages have each message of svlogd and multilog, and no other.

use super::*;
use std::collections::BTreeSet;

/// A sample of each variant: one that is missing does not compile.
macro_rules! samples {
        ($type:ty: $($pattern:pat => [$($sample:expr),+],)+) => {{
            let _every = |one: &$type| match one { $($pattern => {})+ };
            vec![$($($sample),+),+]
        }};
    }

fn why() -> Why {
    Why(libc::EIO)
}

fn fault(verb: Verb) -> Fault {
    Fault::new(verb, "file", Reason::Errno(why()))
}

fn verbs() -> Vec<Verb> {
    samples!(Verb:
        Verb::Create => [Verb::Create],
        Verb::Delete => [Verb::Delete],
        Verb::Execute => [Verb::Execute],
        Verb::Lock => [Verb::Lock],
        Verb::Open => [Verb::Open],
        Verb::Process => [Verb::Process],
        Verb::Read => [Verb::Read],
        Verb::Rename => [Verb::Rename],
        Verb::Sync => [Verb::Sync],
    )
}

fn ends() -> Vec<End> {
    samples!(End:
        End::Exited(_) => [End::Exited(77)],
        End::Killed(_) => [End::Killed(libc::SIGSEGV)],
        End::Unknown(_) => [End::Unknown(why())],
    )
}

fn deeds() -> Vec<Deed> {
    samples!(Deed:
        Deed::Append => [Deed::Append],
        Deed::Close => [Deed::Close],
        Deed::Delete => [Deed::Delete],
        Deed::New => [Deed::New],
        Deed::Processed => [Deed::Processed],
        Deed::Processing => [Deed::Processing],
        Deed::Read => [Deed::Read],
        Deed::Rename => [Deed::Rename],
    )
}

fn reasons() -> Vec<Reason> {
    samples!(Reason:
        Reason::Errno(_) => [Reason::Errno(why())],
        Reason::Held => [Reason::Held],
        Reason::NotFile => [Reason::NotFile],
        Reason::Link(_) => [Reason::Link(77)],
        Reason::Missing(_) => [Reason::Missing("dir".into())],
        Reason::Long(_) => [Reason::Long(77)],
    )
}

fn messages() -> Vec<Message> {
    use Message as M;
    let file = || PathBuf::from("file");
    let dir = || PathBuf::from("dir");
    let open = || fault(Verb::Open);
    let mut all = samples!(Message:
        M::NoDirectory => [M::NoDirectory],
        M::SmallBuffer(..) => [M::SmallBuffer(77, 88)],
        M::NotOneCharacter(_) => [M::NotOneCharacter("that".into())],
        M::NoneUsable => [M::NoneUsable],
        M::UnableToCatchSignals(_) => [M::UnableToCatchSignals(why())],
        M::UnableToReadInput(_) => [M::UnableToReadInput(why())],
        M::NotAllWritten => [M::NotAllWritten],
        M::Unable(_) => [M::Unable(open())],
        M::NotRotated(..) => [M::NotRotated(open(), dir())],
        M::UnableToWrite(..) => [
            M::UnableToWrite(file(), why(), true),
            M::UnableToWrite(file(), why(), false)
        ],
        M::WritingAgain(_) => [M::WritingAgain(file())],
        M::UnknownAction(_) => [M::UnknownAction("that".into())],
        M::StatusNotWritten(..) => [M::StatusNotWritten(file(), why())],
        M::DiskFull(_) => [M::DiskFull(file())],
        M::Unprocessed(_) => [M::Unprocessed(file())],
        M::QueueFull(..) => [M::QueueFull(dir(), 77)],
        M::Usable(_) => [M::Usable(dir())],
        M::BadLine(..) => [M::BadLine(file(), Complaint::sample())],
        M::ForeignProcessor(..) => [M::ForeignProcessor(file(), 77)],
        M::NoSuchGroup(..) => [M::NoSuchGroup(file(), "group".into())],
        M::ProcessorFailed(..) => [M::ProcessorFailed(file(), ends()[0], 88)],
        M::ProcessorFault(..) => [M::ProcessorFault(open(), 88)],
        M::NoZone(_) => [M::NoZone("name".into())],
        M::NotSynced(_) => [M::NotSynced(dir())],
        M::Dropped(_) => [M::Dropped(77)],
        M::Leaving(..) => [M::Leaving(dir(), 77, 88)],
        M::Received(_) => [M::Received(Signal::HUP)],
        M::Did(..) => [M::Did(deeds()[0], file(), String::new())],
    );
    all.extend(verbs().into_iter().map(|verb| M::Unable(fault(verb))));
    all.extend(
        ends()
            .into_iter()
            .map(|end| M::ProcessorFailed(file(), end, 88)),
    );
    all
}

/// A message with words in the place of its values, as the page has it.
fn with_words(text: &str) -> String {
    let mut text = text
        .replace("I/O error", "why")
        .replace("append: ", "verb: ");
    for (value, word) in [
        ("77", "n"),
        ("88", "m"),
        ("SIGSEGV", "signal"),
        ("SIGHUP", "signal"),
    ] {
        text = text.replace(value, word);
    }
    text
}

/// The entries of a page's section DIAGNOSTICS, without their markup.
fn entries(page: &str) -> BTreeSet<String> {
    let (_, section) = page.split_once(".Sh DIAGNOSTICS").unwrap();
    let (section, _) = section.split_once(".Sh ").unwrap();
    let entries = section.lines().filter_map(|line| line.strip_prefix(".It "));
    entries.map(without_markup).collect()
}

fn without_markup(entry: &str) -> String {
    let (mut text, mut quoted, mut glued) = (String::new(), false, false);
    for word in entry.split(' ') {
        match word {
            "Ar" | "No" => {}
            "Ns" => glued = true,
            "Dq" => quoted = true,
            ":" | ";" | "," => text += word,
            word => {
                if !text.is_empty() && !std::mem::take(&mut glued) {
                    text.push(' ');
                }
                let word = word.replace("\\", "");
                if quoted && word == "that" {
                    text += "\"that\"";
                } else {
                    text += &word;
                }
            }
        }
    }
    text
}

#[test]
fn the_pages_have_each_message_and_no_other() {
    let ours: BTreeSet<String> = messages()
        .iter()
        .map(|message| with_words(&message.to_string()))
        .chain(
            reasons()
                .iter()
                .map(|reason| with_words(&reason.to_string())),
        )
        .filter(|text| text != "why")
        .collect();
    // multilog's page has only those that svlogd does not write.
    let mut page = entries(include_str!("../../man/svlogd.8"));
    page.extend(entries(include_str!("../../man/multilog.8")));
    let missing: Vec<_> = ours.difference(&page).collect();
    let stale: Vec<_> = page.difference(&ours).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "missing {missing:#?}, stale {stale:#?}"
    );
}

#[test]
fn the_page_names_each_deed() {
    let page = include_str!("../../man/svlogd.8");
    let (_, list) = page.split_once("one of append").unwrap();
    let (list, _) = list.split_once('.').unwrap();
    for deed in deeds().into_iter().skip(1) {
        assert!(list.contains(&deed.to_string()), "{deed}");
    }
}
