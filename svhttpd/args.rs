//! The command line of `svhttpd`.

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use lexopt::prelude::*;
use servicedir::layout::DEFAULT_SVDIR;
use servicedir::report::Failure;

use crate::message::Wrong;

/// The port of Supervisor's own documentation, where no socket is asked for.
const DEFAULT_PORT: u16 = 9001;

/// The mode of a unix socket, as Supervisor's `chmod`.
const DEFAULT_MODE: u32 = 0o700;

/// How many connections are served at a time.
const DEFAULT_CONNECTIONS: usize = 256;

/// What to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Job {
    /// Print the help text.
    Help,
    /// Print the version.
    Version,
    /// Serve.
    Serve(Args),
}

/// What to serve, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Args {
    /// The scan directory.
    pub(crate) dir: PathBuf,
    /// What `getIdentification` answers, and the page's title has.
    pub(crate) name: String,
    /// How many connections are served at a time.
    pub(crate) connections: usize,
    /// The sockets.
    pub(crate) sockets: Vec<Socket>,
}

/// A socket to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Socket {
    /// Where.
    pub(crate) place: Place,
    /// Who may do what there.
    pub(crate) rights: Rights,
    /// A unix socket's mode.
    pub(crate) mode: u32,
    /// A unix socket's owner, `user` or `user:group`, as typed.
    pub(crate) owner: Option<String>,
}

/// Where a socket is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A unix socket of that path.
    Unix(PathBuf),
    /// These TCP addresses: `localhost` has one of each family.
    Tcp(Vec<SocketAddr>),
}

/// Who may do what on a socket.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rights {
    /// Services may be started, stopped and signalled there; else it only shows them.
    pub(crate) control: bool,
    /// The file with the users and their passwords; `None`: all who can connect.
    pub(crate) passwords: Option<PathBuf>,
    /// Names by which browsers reach the socket, as in a URL: `status.example.org`, `host:8443`.
    pub(crate) hosts: Vec<String>,
}

/// The options that belong to a socket: those before the first one hold for all.
#[derive(Clone, Debug, Default)]
struct Settings {
    rights: Rights,
    mode: Option<u32>,
    owner: Option<String>,
}

/// Reads the command line; `svdir` is the variable SVDIR.
pub(crate) fn parse(mut parser: lexopt::Parser, svdir: Option<OsString>) -> Result<Job, Failure> {
    let mut all = Settings::default();
    let mut sockets: Vec<(Place, Settings)> = Vec::new();
    let mut dir = None;
    let mut name = "supervisor".to_owned();
    let mut connections = DEFAULT_CONNECTIONS;
    while let Some(argument) = parser.next()? {
        let settings = sockets.last_mut().map_or(&mut all, |(_, own)| own);
        match argument {
            Long("help") | Short('h') => return Ok(Job::Help),
            Long("version") => return Ok(Job::Version),
            Long("unix") => {
                sockets.push((Place::Unix(parser.value()?.into()), Settings::default()));
            }
            Long("tcp") => {
                let place = Place::Tcp(addresses(&parser.value()?)?);
                sockets.push((place, Settings::default()));
            }
            Long("control") => settings.rights.control = true,
            Long("passwords") => settings.rights.passwords = Some(parser.value()?.into()),
            Long("host") => settings.rights.hosts.push(host(&parser.value()?)?),
            Long("mode") => settings.mode = Some(mode(&parser.value()?)?),
            Long("owner") => settings.owner = Some(text(&parser.value()?)?),
            Long("name") => name = identification(&parser.value()?)?,
            Long("connections") => connections = count(&parser.value()?)?,
            Value(value) if dir.is_none() => dir = Some(PathBuf::from(value)),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    if sockets.is_empty() {
        sockets.push((Place::Tcp(localhost(DEFAULT_PORT)), Settings::default()));
    }
    let svdir = svdir.filter(|value| !value.is_empty());
    let args = Args {
        dir: dir.unwrap_or_else(|| svdir.unwrap_or(DEFAULT_SVDIR.into()).into()),
        name,
        connections,
        sockets: sockets
            .into_iter()
            .map(|socket| socket_with(socket, &all))
            .collect(),
    };
    args.checked().map(Job::Serve)
}

/// A socket with its own settings and, where it has none, those of all.
fn socket_with((place, own): (Place, Settings), all: &Settings) -> Socket {
    let mut hosts = all.rights.hosts.clone();
    hosts.extend(own.rights.hosts);
    Socket {
        place,
        rights: Rights {
            control: own.rights.control || all.rights.control,
            passwords: own
                .rights
                .passwords
                .or_else(|| all.rights.passwords.clone()),
            hosts,
        },
        mode: own.mode.or(all.mode).unwrap_or(DEFAULT_MODE),
        owner: own.owner.or_else(|| all.owner.clone()),
    }
}

impl Args {
    /// An address that other machines reach is not served without a password.
    fn checked(self) -> Result<Self, Failure> {
        for socket in &self.sockets {
            let Place::Tcp(addresses) = &socket.place else {
                continue;
            };
            let open = addresses.iter().find(|address| !address.ip().is_loopback());
            if let (Some(address), None) = (open, &socket.rights.passwords) {
                return Err(Failure::usage(Wrong::Open(*address)));
            }
        }
        Ok(self)
    }
}

/// `PORT`, `HOST:PORT`, `*:PORT`, `[::1]:PORT`, `localhost:PORT`.
fn addresses(value: &OsStr) -> Result<Vec<SocketAddr>, Failure> {
    let wrong = || Failure::usage(Wrong::Address(value.to_owned()));
    let text = value.to_str().ok_or_else(wrong)?;
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let ip: IpAddr = match host {
        "localhost" => return Ok(localhost(port)),
        "*" | "" => return Ok(vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))]),
        bracketed if bracketed.starts_with('[') => {
            let inner = bracketed.trim_start_matches('[').trim_end_matches(']');
            IpAddr::V6(inner.parse().map_err(|_| wrong())?)
        }
        plain => IpAddr::V4(plain.parse().map_err(|_| wrong())?),
    };
    Ok(vec![SocketAddr::from((ip, port))])
}

fn localhost(port: u16) -> Vec<SocketAddr> {
    vec![
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ]
}

fn text(value: &OsStr) -> Result<String, Failure> {
    match value.to_str().filter(|text| !text.is_empty()) {
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::usage(Wrong::Text(value.to_owned()))),
    }
}

/// A host as it stands in a URL, or the URL itself: `https://status.example.org`.
fn host(value: &OsStr) -> Result<String, Failure> {
    let text = text(value)?;
    let host = text
        .split_once("://")
        .map_or(text.as_str(), |(_, rest)| rest);
    let host = host.trim_end_matches('/');
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || !host.bytes().all(sound) {
        return Err(Failure::usage(Wrong::Host(value.to_owned())));
    }
    Ok(host.to_ascii_lowercase())
}

fn mode(value: &OsStr) -> Result<u32, Failure> {
    value
        .to_str()
        .and_then(|text| u32::from_str_radix(text, 8).ok())
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| Failure::usage(Wrong::Mode(value.to_owned())))
}

/// Listeners split a header that has this name in it at blanks and colons.
fn identification(value: &OsStr) -> Result<String, Failure> {
    text(value)?
        .parse()
        .ok()
        .filter(|name: &String| !name.contains(|c: char| c.is_whitespace() || c == ':'))
        .ok_or_else(|| Failure::usage(Wrong::Name(value.to_owned())))
}

fn count(value: &OsStr) -> Result<usize, Failure> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|count| (1..=10_000).contains(count))
        .ok_or_else(|| Failure::usage(Wrong::Connections(value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Args, String> {
        match parse(lexopt::Parser::from_args(args), None) {
            Ok(Job::Serve(args)) => Ok(args),
            Ok(other @ (Job::Help | Job::Version)) => panic!("{other:?}"),
            Err(failure) => {
                assert_eq!(failure.code, 100);
                Err(failure.message)
            }
        }
    }

    #[test]
    fn without_arguments_it_shows_service_on_loopback_and_changes_nothing() {
        let args = parsed(&[]).unwrap();
        assert_eq!(args.dir, PathBuf::from("/service"));
        let [socket] = &args.sockets[..] else {
            panic!("{args:?}")
        };
        assert_eq!(socket.rights, Rights::default());
        assert_eq!(socket.place, Place::Tcp(localhost(9001)));
    }

    #[test]
    fn svdir_names_the_directory() {
        let job = parse(lexopt::Parser::from_args([""; 0]), Some("/sv".into()));
        let Ok(Job::Serve(args)) = job else {
            panic!("{job:?}")
        };
        assert_eq!(args.dir, PathBuf::from("/sv"));
    }

    #[test]
    fn options_belong_to_the_socket_before_them_or_to_all() {
        let args = parsed(&[
            "--passwords",
            "pw",
            "--unix",
            "/run/s",
            "--control",
            "--mode",
            "0770",
            "--owner",
            "root:adm",
            "--tcp",
            "*:9001",
            "--host",
            "https://Status.example.org/",
            "/service",
        ])
        .unwrap();
        let [unix, tcp] = &args.sockets[..] else {
            panic!("{args:?}")
        };
        assert_eq!(
            (unix.mode, unix.owner.as_deref(), unix.rights.control),
            (0o770, Some("root:adm"), true)
        );
        assert_eq!(
            (tcp.mode, tcp.owner.as_deref(), tcp.rights.control),
            (0o700, None, false)
        );
        assert_eq!(tcp.rights.hosts, ["status.example.org"]);
        assert_eq!(unix.rights.hosts, [""; 0]);
        assert_eq!(unix.rights.passwords, tcp.rights.passwords);
        assert!(unix.rights.passwords.is_some());
    }

    #[test]
    fn an_address_that_others_reach_needs_passwords() {
        for address in [
            "*:9001",
            ":9001",
            "0.0.0.0:9001",
            "[::]:9001",
            "192.0.2.1:80",
        ] {
            let refused = parsed(&["--tcp", address]).unwrap_err();
            assert!(refused.contains("without --passwords"), "{refused}");
            parsed(&["--tcp", address, "--passwords", "pw"]).unwrap();
            parsed(&["--passwords", "pw", "--tcp", address]).unwrap();
        }
        for address in [
            "9001",
            "localhost:1",
            "127.0.0.1:1",
            "127.9.9.9:1",
            "[::1]:1",
        ] {
            parsed(&["--tcp", address]).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for args in [
            &["--tcp", "http"][..],
            &["--tcp", "1.2.3:80"],
            &["--tcp", "localhost:99999"],
            &["--tcp", "example.org:80"],
            &["--mode", "0999"],
            &["--mode", "7777"],
            &["--name", "a b"],
            &["--name", "a:b"],
            &["--host", "a/b"],
            &["--connections", "0"],
            &["a", "b"],
            &["--what"],
            &["--owner", ""],
        ] {
            parsed(args).unwrap_err();
        }
    }
}
