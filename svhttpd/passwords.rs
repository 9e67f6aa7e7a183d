//! The users of a socket and their passwords, and whether a request has one of them. **Pure.**
//!
//! The file has a line a user, `user:password` or, as Supervisor has it, `user:{SHA}` and the SHA-1 of
//! the password in hexadecimal digits. Empty lines and lines that start with `#` do not count.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1_smol::Sha1;
use subtle::{Choice, ConstantTimeEq};

/// The mark of a hashed password, as in Supervisor's configuration.
const HASHED: &str = "{SHA}";

/// A SHA-1.
type Digest = [u8; 20];

/// The users with their passwords, as digests: those have one length, so that a comparison takes the
/// same time whatever is compared.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Passwords(Vec<(Digest, Digest)>);

impl fmt::Debug for Passwords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} users", self.0.len())
    }
}

/// A line that is not understood; the password in it is not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadPasswords {
    /// The line of this number has no colon.
    NoColon(usize),
    /// What follows `{SHA}` in the line of this number is not 40 hexadecimal digits.
    NoDigest(usize),
    /// There is no user in it.
    Empty,
}

impl fmt::Display for BadPasswords {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoColon(line) => write!(out, "line {line}: expected user:password"),
            Self::NoDigest(line) => {
                write!(
                    out,
                    "line {line}: expected 40 hexadecimal digits after {HASHED}"
                )
            }
            Self::Empty => out.write_str("expected a line user:password"),
        }
    }
}

impl Passwords {
    /// Reads the file's text.
    ///
    /// # Errors
    /// A line is not understood, or there is none.
    pub(crate) fn parse(text: &str) -> Result<Self, BadPasswords> {
        let mut users = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            let number = index + 1;
            let (user, password) = line.split_once(':').ok_or(BadPasswords::NoColon(number))?;
            let password = match password.strip_prefix(HASHED) {
                Some(hex) => digest_of_hex(hex.trim()).ok_or(BadPasswords::NoDigest(number))?,
                None => digest(password.as_bytes()),
            };
            users.push((digest(user.as_bytes()), password));
        }
        match users.is_empty() {
            true => Err(BadPasswords::Empty),
            false => Ok(Self(users)),
        }
    }

    /// Whether the request's `Authorization` names a user with its password. Every user is compared, in
    /// constant time.
    pub(crate) fn admit(&self, authorization: Option<&[u8]>) -> bool {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return false;
        };
        let (user, password) = (digest(&user), digest(&password));
        let known = self
            .0
            .iter()
            .fold(Choice::from(0), |found, (name, secret)| {
                found | (name.ct_eq(&user) & secret.ct_eq(&password))
            });
        known.into()
    }
}

/// User and password of `Basic BASE64`; they are split at the first colon.
fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(authorization).ok()?.trim();
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    Some((user.to_vec(), password.get(1..)?.to_vec()))
}

fn digest(bytes: &[u8]) -> Digest {
    Sha1::from(bytes).digest().bytes()
}

fn digest_of_hex(hex: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if hex.len() != 2 * digest.len() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
    }

    fn admits(file: &str, pair: &str) -> bool {
        Passwords::parse(file).unwrap().admit(Some(&basic(pair)))
    }

    #[test]
    fn a_user_with_its_password_is_admitted() {
        let file = "# users\n\nann:se:cret\nbob:{SHA}A94A8FE5CCB19BA61C4C0873D391E987982FBBD3\r\n";
        assert!(admits(file, "ann:se:cret"));
        assert!(admits(file, "bob:test"));
        for pair in [
            "ann:se",
            "ann:",
            "bob:a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
            "ann:test",
            ":",
            "eve:x",
        ] {
            assert!(!admits(file, pair), "{pair}");
        }
    }

    #[test]
    fn the_scheme_s_case_does_not_matter_and_other_schemes_do_not_count() {
        let passwords = Passwords::parse("a:b").unwrap();
        assert!(passwords.admit(Some(b"bAsIc YTpi")));
        for header in [
            &b"Digest YTpi"[..],
            b"Basic",
            b"Basic ###",
            b"Basic YWI=",
            b"",
            b"\xff",
        ] {
            assert!(!passwords.admit(Some(header)));
        }
        assert!(!passwords.admit(None));
    }

    #[test]
    fn what_is_not_understood_is_named_without_the_password() {
        for (file, wrong) in [
            ("\n# nobody\n", BadPasswords::Empty),
            ("a:b\nsecret\n", BadPasswords::NoColon(2)),
            ("a:{SHA}abc", BadPasswords::NoDigest(1)),
        ] {
            assert_eq!(Passwords::parse(file), Err(wrong));
        }
        assert_eq!(
            format!("{:?}", Passwords::parse("a:secret").unwrap()),
            "1 users"
        );
    }

    proptest! {
        #[test]
        fn only_the_right_pair_is_admitted(user in "[a-z]{1,5}", password in "[ -~]{0,9}", other in "[ -~]{0,15}") {
            prop_assume!(!password.starts_with(HASHED));
            let passwords = Passwords::parse(&format!("{user}:{password}")).unwrap();
            let pair = format!("{user}:{password}");
            prop_assert!(passwords.admit(Some(&basic(&pair))));
            prop_assert_eq!(passwords.admit(Some(&basic(&other))), other == pair);
        }

        #[test]
        fn no_header_makes_it_panic(header in prop::collection::vec(any::<u8>(), 0..60)) {
            Passwords::parse("a:b").unwrap().admit(Some(&header));
        }
    }
}
