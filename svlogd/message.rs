//! Everything that svlogd writes to standard error in its own name.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use servicedir::report::{Failure, Why, exit};
use servicedir::signal::Signal;

use crate::config::Complaint;

/// One message. Its text is the man page's, section DIAGNOSTICS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message {
    /// Usage: the command line names no log directory.
    NoDirectory,
    /// Usage: `-b` and `-l`.
    SmallBuffer(usize, usize),
    /// Usage: the value of `-r`.
    NotOneCharacter(OsString),
    /// Fatal: no directory of the command line can be opened.
    NoneUsable,
    /// Fatal: no handler or no timer.
    UnableToCatchSignals(Why),
    /// Fatal: read(2) failed on standard input.
    UnableToReadInput(Why),
    /// Fatal, at the end: some lines are not in the log.
    NotAllWritten,
    /// A call on a file of a log directory failed.
    Unable(Fault),
    /// A rotation stopped at a step that failed; the directory.
    NotRotated(Fault, PathBuf),
    /// `current` takes nothing; whether lines are dropped meanwhile.
    UnableToWrite(PathBuf, Why, bool),
    /// Info: `current` takes lines again.
    WritingAgain(PathBuf),
    /// multilog ignores an argument.
    UnknownAction(String),
    /// multilog could not write a status file.
    StatusNotWritten(PathBuf, Why),
    /// An old file was deleted because the disk was full.
    DiskFull(PathBuf),
    /// An old file was deleted before the processor had it.
    Unprocessed(PathBuf),
    /// This number of old files of the directory waits for the processor.
    QueueFull(PathBuf, u64),
    /// Info: the directory can be used (again).
    Usable(PathBuf),
    /// A line of `config` has no effect.
    BadLine(PathBuf, Complaint),
    /// The `config` of this user has a processor, which runs as another user.
    ForeignProcessor(PathBuf, u32),
    /// `config` names a group that does not exist.
    NoSuchGroup(PathBuf, String),
    /// A processor failed on this file; how, and the wait before it is run again.
    ProcessorFailed(PathBuf, End, u64),
    /// A processor's file could not be read, or its output not be taken; the wait.
    ProcessorFault(Fault, u64),
    /// TZ names no time zone.
    NoZone(String),
    /// An old file of the directory could not be brought to the disk.
    NotSynced(PathBuf),
    /// In the log itself: this number of lines was dropped.
    Dropped(u64),
    /// At the end: lines and bytes that are not written.
    Leaving(PathBuf, u64, usize),
    /// `-v`: a signal came.
    Received(Signal),
    /// `-v`: something was done to a file; its new name and size.
    Did(Deed, PathBuf, String),
}

impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDirectory => out.write_str("no log directory given; see --help"),
            Self::SmallBuffer(buffer, len) => {
                write!(out, "-b {buffer} must be greater than -l {len}; see --help")
            }
            Self::NotOneCharacter(text) => {
                let text = text.display();
                write!(out, "-r takes one ASCII character, not \"{text}\"")
            }
            Self::NoneUsable => out.write_str("no log directory can be used"),
            Self::UnableToCatchSignals(why) => write!(out, "unable to catch signals: {why}"),
            Self::UnableToReadInput(why) => write!(out, "unable to read from stdin: {why}"),
            Self::NotAllWritten => out.write_str("not all lines were written"),
            Self::Unable(fault) => fault.fmt(out),
            Self::NotRotated(fault, dir) => {
                write!(out, "{fault}; {} is not rotated, retrying", dir.display())
            }
            Self::UnableToWrite(file, why, dropping) => {
                let (file, then) = (file.display(), what_then(*dropping));
                write!(out, "unable to write to {file}: {why}; {then}")
            }
            Self::UnknownAction(action) => write!(out, "unknown action \"{action}\" is ignored"),
            Self::StatusNotWritten(file, why) => {
                let file = file.display();
                write!(
                    out,
                    "unable to write to {file}: {why}; retrying every second"
                )
            }
            Self::WritingAgain(file) => write!(out, "writing again to {}", file.display()),
            Self::Usable(dir) => write!(out, "log directory is usable: {}", dir.display()),
            Self::BadLine(file, complaint) => write!(out, "{}: {complaint}", file.display()),
            Self::ForeignProcessor(file, uid) => write!(
                out,
                "{}: owned by user {uid}: its processor is not run",
                file.display()
            ),
            Self::NoSuchGroup(file, name) => {
                write!(out, "{}: no such group: {name}", file.display())
            }
            Self::NoZone(name) => write!(out, "TZ={name} is not a time zone; using UTC"),
            Self::NotSynced(dir) => {
                let dir = dir.display();
                write!(out, "unable to sync an old file in {dir}; it stays @*.u")
            }
            Self::Dropped(lines) => write!(out, "{lines} lines dropped: unable to write"),
            Self::Leaving(dir, lines, bytes) => write!(
                out,
                "leaving {}: {lines} lines and {bytes} bytes are not written",
                dir.display()
            ),
            Self::Received(signal) => write!(out, "{signal} received"),
            Self::Did(deed, file, rest) => write!(out, "{deed}: {}{rest}", file.display()),
            Self::DiskFull(file) => write!(out, "disk full, deleted: {}", file.display()),
            Self::Unprocessed(file) => {
                write!(out, "deleted before it was processed: {}", file.display())
            }
            Self::QueueFull(dir, files) => write!(
                out,
                "{files} files in {} wait for the processor; reading stops until one is done",
                dir.display()
            ),
            Self::ProcessorFailed(file, end, wait) => {
                let file = file.display();
                write!(out, "processor of {file}: {end}; next try in {wait} s")
            }
            Self::ProcessorFault(fault, wait) => write!(out, "{fault}; next try in {wait} s"),
        }
    }
}

fn what_then(dropping: bool) -> &'static str {
    if dropping {
        "lines are dropped and counted until it takes them"
    } else {
        "reading stops until it takes them"
    }
}

impl From<Fault> for Message {
    fn from(fault: Fault) -> Self {
        Self::Unable(fault)
    }
}

impl From<Message> for Failure {
    fn from(message: Message) -> Self {
        let is_usage = matches!(
            message,
            Message::NoDirectory | Message::SmallBuffer(..) | Message::NotOneCharacter(_)
        );
        let code = if is_usage { exit::USAGE } else { exit::SYSTEM };
        Self::new(code, message)
    }
}

/// A call that failed on a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// The call.
    pub(crate) verb: Verb,
    /// The file.
    pub(crate) file: PathBuf,
    /// Why it failed.
    pub(crate) reason: Reason,
}

impl Fault {
    /// Unable to do this to that file.
    pub(crate) fn new(verb: Verb, file: impl Into<PathBuf>, reason: impl Into<Reason>) -> Self {
        Self {
            verb,
            file: file.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, file, reason } = self;
        write!(out, "unable to {verb} {}: {reason}", file.display())
    }
}

/// A call on a file of a log directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Create,
    Delete,
    Execute,
    Lock,
    Open,
    Process,
    Read,
    Rename,
    Sync,
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Execute => "execute",
            Self::Lock => "lock",
            Self::Open => "open",
            Self::Process => "process",
            Self::Read => "read",
            Self::Rename => "rename",
            Self::Sync => "sync",
        })
    }
}

/// Why a call on a file failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// The errno of a system call.
    Errno(Why),
    /// Another logger writes to the directory.
    Held,
    /// A FIFO, a device, a directory or a socket has the name.
    NotFile,
    /// A symbolic link has the name, and belongs neither to root nor to svlogd's user.
    Link(u32),
    /// This directory on the way does not exist.
    Missing(PathBuf),
    /// The file is longer than this.
    Long(usize),
}

impl<E: Into<Why>> From<E> for Reason {
    fn from(error: E) -> Self {
        Self::Errno(error.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(why) => why.fmt(out),
            Self::Held => out.write_str("another logger writes there"),
            Self::NotFile => out.write_str("not a regular file"),
            Self::Link(uid) => {
                write!(out, "a symbolic link of user {uid}, which is not followed")
            }
            Self::Missing(dir) => write!(out, "{} does not exist", dir.display()),
            Self::Long(limit) => write!(out, "longer than {limit} bytes"),
        }
    }
}

/// How a processor failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Its exit code.
    Exited(i32),
    /// The signal that killed it.
    Killed(i32),
    /// waitpid(2) failed.
    Unknown(Why),
}

impl fmt::Display for End {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(out, "exited {code}"),
            Self::Killed(number) => match Signal::from_number(*number) {
                Some(signal) => write!(out, "killed by {signal}"),
                None => write!(out, "killed by signal {number}"),
            },
            Self::Unknown(why) => write!(out, "exit status unknown: {why}"),
        }
    }
}

/// What `-v` reports of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Append,
    Close,
    Delete,
    New,
    Processed,
    Processing,
    Read,
    Rename,
}

impl fmt::Display for Deed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Append => "append",
            Self::Close => "close",
            Self::Delete => "delete",
            Self::New => "new",
            Self::Processed => "processed",
            Self::Processing => "processing",
            Self::Read => "read",
            Self::Rename => "rename",
        })
    }
}

#[cfg(test)]
mod tests {
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
        let mut page = entries(include_str!("../man/svlogd.8"));
        page.extend(entries(include_str!("../man/multilog.8")));
        let missing: Vec<_> = ours.difference(&page).collect();
        let stale: Vec<_> = page.difference(&ours).collect();
        assert!(
            missing.is_empty() && stale.is_empty(),
            "missing {missing:#?}, stale {stale:#?}"
        );
    }

    #[test]
    fn the_page_names_each_deed() {
        let page = include_str!("../man/svlogd.8");
        let (_, list) = page.split_once("one of append").unwrap();
        let (list, _) = list.split_once('.').unwrap();
        for deed in deeds().into_iter().skip(1) {
            assert!(list.contains(&deed.to_string()), "{deed}");
        }
    }
}
