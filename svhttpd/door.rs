//! A socket's door: who is let in, and what may be done behind it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};
use servicedir::report::{Failure, exit};

use crate::REPORT;
use crate::args::Rights;
use crate::message::{Note, Unable};
use crate::origin;
use crate::passwords::Passwords;

/// The longest file of passwords, in bytes.
const LONGEST_FILE: u64 = 1 << 20;

/// Where a browser puts the token when it is not in a form.
const TOKEN: HeaderName = HeaderName::from_static("x-token");

/// What a browser says of the page that sent a request.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A socket's door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Door {
    /// Who may do what.
    pub(crate) rights: Rights,
    /// It is a unix socket: no browser connects to it but through a proxy, and its mode says who may.
    pub(crate) unix: bool,
}

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It needs a user and a password.
    Unknown,
    /// It asks for a host that is not this server.
    Host,
}

impl Door {
    /// Whether the request is let in.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(path) = &self.rights.passwords else {
            let ours = self.unix || origin::is_own_host(text(headers, &HOST), &self.rights.hosts);
            return if ours { Ok(()) } else { Err(Refused::Host) };
        };
        // Read for each request: a password that is taken away is taken away at once.
        let passwords = match read_passwords(path) {
            Ok(passwords) => passwords,
            Err(failure) => {
                REPORT.warning(Note::Locked(failure.message));
                return Err(Refused::Unknown);
            }
        };
        match passwords.admit(headers.get(AUTHORIZATION).map(|value| value.as_bytes())) {
            true => Ok(()),
            false => Err(Refused::Unknown),
        }
    }

    /// Whether the request was sent by a page of ours, or by a program.
    pub(crate) fn is_own_page(&self, headers: &HeaderMap) -> bool {
        origin::is_own_page(
            text(headers, &ORIGIN),
            text(headers, &FETCH_SITE),
            text(headers, &HOST),
            &self.rights.hosts,
        )
    }

    /// Whether the request has the token of its cookie, in a form or in the header.
    pub(crate) fn has_token(&self, headers: &HeaderMap, form: Option<&str>) -> bool {
        origin::is_right_token(text(headers, &COOKIE), form.or(text(headers, &TOKEN)))
    }

    /// The token in the request's cookie.
    pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
        text(headers, &COOKIE).and_then(origin::token_in)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    // A header that is not text is as good as one that says something else.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Reads a file of passwords.
///
/// # Errors
/// It cannot be read, others than its owner and group may read it, or a line is not understood.
pub(crate) fn read_passwords(path: &Path) -> Result<Passwords, Failure> {
    let unable = |error: io::Error| Failure::system(Unable::Passwords(path.to_owned()), error);
    let bad = |why: String| Failure::new(exit::SYSTEM, Unable::BadPasswords(path.to_owned(), why));
    let file = File::open(path).map_err(unable)?;
    let meta = file.metadata().map_err(unable)?;
    if !meta.is_file() {
        return Err(bad("it is not a file".to_owned()));
    }
    if meta.permissions().mode() & 0o007 != 0 {
        return Err(bad("anyone may read it; expected mode 600".to_owned()));
    }
    let mut text = String::new();
    file.take(LONGEST_FILE)
        .read_to_string(&mut text)
        .map_err(unable)?;
    Passwords::parse(&text).map_err(|wrong| bad(wrong.to_string()))
}
