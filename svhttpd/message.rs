//! What svhttpd says on stderr: every message, in one place.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A wrong command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    /// An address that other machines reach, without passwords.
    Open(SocketAddr),
    /// `--tcp` with something else than an address.
    Address(OsString),
    /// `--mode` with something else than a mode.
    Mode(OsString),
    /// `--host` with something else than a host.
    Host(OsString),
    /// `--name` with a blank or a colon.
    Name(OsString),
    /// `--connections` with something else than a number.
    Connections(OsString),
    /// An option's value is empty or not UTF-8.
    Text(OsString),
}

impl fmt::Display for Wrong {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(address) => write!(
                out,
                "--tcp {address}: other machines reach it, and it is not served without --passwords"
            ),
            Self::Address(value) => write!(
                out,
                "--tcp {}: expected PORT, localhost:PORT, ADDRESS:PORT, [ADDRESS]:PORT or *:PORT",
                value.display()
            ),
            Self::Mode(value) => {
                write!(
                    out,
                    "--mode {}: expected an octal number up to 777",
                    value.display()
                )
            }
            Self::Host(value) => write!(
                out,
                "--host {}: expected a host as in a URL, such as status.example.org",
                value.display()
            ),
            Self::Name(value) => write!(
                out,
                "--name {}: expected a word without blanks and colons",
                value.display()
            ),
            Self::Connections(value) => {
                write!(
                    out,
                    "--connections {}: expected 1 to 10000",
                    value.display()
                )
            }
            Self::Text(value) => {
                write!(
                    out,
                    "{:?}: expected some text in UTF-8",
                    value.display().to_string()
                )
            }
        }
    }
}

/// What cannot be done at the start: the beginning of a message that ends with the reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unable {
    /// Listening on an address.
    Listen(SocketAddr),
    /// Making a unix socket.
    Make(PathBuf),
    /// The same, because another program listens there. The reason is in it.
    InUse(PathBuf),
    /// Serving this scan directory.
    Serve(PathBuf),
    /// Reading the file of passwords.
    Passwords(PathBuf),
    /// Using that file, whose content or mode is wrong: the reason is in it.
    BadPasswords(PathBuf, String),
    /// Starting at all.
    Start,
}

impl fmt::Display for Unable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address) => write!(out, "unable to listen on {address}"),
            Self::Make(path) => write!(out, "unable to make {}", path.display()),
            Self::InUse(path) => {
                write!(
                    out,
                    "unable to make {}: another program listens on it",
                    path.display()
                )
            }
            Self::Serve(path) => write!(out, "unable to serve {}", path.display()),
            Self::Passwords(path) => write!(out, "unable to read {}", path.display()),
            Self::BadPasswords(path, why) => {
                write!(out, "unable to use {}: {why}", path.display())
            }
            Self::Start => out.write_str("unable to start"),
        }
    }
}

/// What is said while it serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    /// It listens there.
    Serving(String),
    /// Connections cannot be accepted for a moment.
    Accept(String),
    /// The passwords cannot be used any more, and nobody is admitted.
    Locked(String),
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving(place) => write!(out, "serving {place}"),
            Self::Accept(why) => {
                write!(
                    out,
                    "unable to accept a connection: {why}; trying again in a second"
                )
            }
            Self::Locked(why) => write!(out, "{why}; nobody is admitted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each message; a new one does not compile without its place here.
    fn all() -> Vec<String> {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let value = || OsString::from("VALUE");
        let wrong = [
            Wrong::Open(address),
            Wrong::Address(value()),
            Wrong::Mode(value()),
            Wrong::Host(value()),
            Wrong::Name(value()),
            Wrong::Connections(value()),
            Wrong::Text(value()),
        ];
        let unable = [
            Unable::Listen(address),
            Unable::Make("PATH".into()),
            Unable::InUse("PATH".into()),
            Unable::Serve("DIR".into()),
            Unable::Passwords("FILE".into()),
            Unable::BadPasswords("FILE".into(), "REASON".to_owned()),
            Unable::Start,
        ];
        let notes = [
            Note::Serving("PLACE".to_owned()),
            Note::Accept("REASON".to_owned()),
            Note::Locked("REASON".to_owned()),
        ];
        for one in &wrong {
            match one {
                Wrong::Open(_) | Wrong::Address(_) | Wrong::Mode(_) | Wrong::Host(_) => {}
                Wrong::Name(_) | Wrong::Connections(_) | Wrong::Text(_) => {}
            }
        }
        for one in &unable {
            match one {
                Unable::Listen(_) | Unable::Make(_) | Unable::InUse(_) | Unable::Serve(_) => {}
                Unable::Passwords(_) | Unable::BadPasswords(..) | Unable::Start => {}
            }
        }
        for one in &notes {
            match one {
                Note::Serving(_) | Note::Accept(_) | Note::Locked(_) => {}
            }
        }
        let wrong = wrong.iter().map(ToString::to_string);
        let unable = unable.iter().map(ToString::to_string);
        wrong
            .chain(unable)
            .chain(notes.iter().map(ToString::to_string))
            .collect()
    }

    #[test]
    fn every_message_stands_under_diagnostics() {
        let manual = include_str!("../man/svhttpd.8");
        let (_, diagnostics) = manual.split_once(".Sh DIAGNOSTICS").unwrap();
        for message in all() {
            let message = message
                .replace("192.0.2.1:80", "ADDRESS")
                .replace("\"VALUE\"", "VALUE");
            assert!(diagnostics.contains(&message), "{message}");
        }
    }
}
