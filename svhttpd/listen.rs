//! The sockets: made, owned and removed as Supervisor does it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use servicedir::report::{Failure, Why, exit};

use crate::accounts;
use crate::args::{Place, Socket};
use crate::message::Unable;

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A unix socket; its file is removed with it.
    Unix(UnixListener, SocketFile),
    /// A TCP socket.
    Tcp(TcpListener),
}

/// The file of a unix socket of ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another program's file under the same path is left alone.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // It is only tidiness: the next one replaces a file that nobody listens on.
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

/// Listens where a socket says.
///
/// # Errors
/// The address is in use or not of this machine, a unix socket's folder is not there or may not be
/// written in, or its owner does not exist.
pub(crate) fn listen(socket: &Socket) -> Result<Vec<Listener>, Failure> {
    match &socket.place {
        Place::Unix(path) => unix(path, socket).map(|listener| vec![listener]),
        Place::Tcp(addresses) => tcp(addresses),
    }
}

/// All of the addresses that this machine has: `localhost` may be one or two.
fn tcp(addresses: &[SocketAddr]) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::new();
    let mut failed = None;
    for address in addresses {
        match TcpListener::bind(address) {
            Ok(listener) => {
                let nonblocking = listener.set_nonblocking(true);
                nonblocking.map_err(|error| Failure::system(Unable::Listen(*address), error))?;
                listeners.push(Listener::Tcp(listener));
            }
            Err(error) if is_absent(&error) => failed = failed.or(Some((*address, error))),
            Err(error) => return Err(Failure::system(Unable::Listen(*address), error)),
        }
    }
    match (listeners.is_empty(), failed) {
        (true, Some((address, error))) => Err(Failure::system(Unable::Listen(address), error)),
        (_, _) => Ok(listeners),
    }
}

/// Whether the machine has no such address, or nothing of its family.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
    )
}

/// A unix socket: bound under a name of its own, given its mode and owner there, and then renamed to its
/// place, so that nobody ever finds it with other rights, and a stale file is replaced in one step.
fn unix(path: &Path, socket: &Socket) -> Result<Listener, Failure> {
    let unable = |error: io::Error| Failure::system(Unable::Make(path.to_owned()), error);
    if is_in_use(path).map_err(unable)? {
        return Err(Failure::new(exit::SYSTEM, Unable::InUse(path.to_owned())));
    }
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{}", std::process::id()));
    let own = PathBuf::from(own);
    fs::remove_file(&own).unwrap_or_default();
    let listener = bind(&own).map_err(unable)?;
    let placed = (|| {
        listener.set_nonblocking(true)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(socket.mode))?;
        let identity = identity(&own)?;
        if let Some(owner) = &socket.owner {
            let (uid, gid) = accounts::look_up(owner)?;
            std::os::unix::fs::chown(&own, uid, gid)?;
        }
        fs::rename(&own, path)?;
        Ok(identity)
    })();
    match placed {
        Ok(identity) => {
            let path = path.to_owned();
            Ok(Listener::Unix(listener, SocketFile { path, identity }))
        }
        Err(error) => {
            fs::remove_file(&own).unwrap_or_default();
            Err(unable(error))
        }
    }
}

/// Binds a socket that only its owner can connect to.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}

/// Whether a program listens on the socket at `path`. A file of another kind is not ours to replace.
fn is_in_use(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino()))
}

impl std::fmt::Display for Listener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(_, file) => write!(out, "unix://{}", file.path.display()),
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(out, "http://{address}"),
                Err(error) => Why::from(error).fmt(out),
            },
        }
    }
}
