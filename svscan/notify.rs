//! svscan's messages to the service manager above it, by sd_notify's protocol.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// The variable that names the socket.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// All that was found at the start has been started.
pub(crate) const READY: &str = "READY=1\n";
/// Everything is being stopped.
pub(crate) const STOPPING: &str = "STOPPING=1\n";

/// Sends a message to the service manager, if one listens.
///
/// # Errors
/// As socket(2) and sendto(2).
pub(crate) fn notify(message: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(message.as_bytes(), &address(&name)?)?;
    Ok(())
}

/// A path, or, after `@`, a name in the abstract name space.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(Path::new(name)),
    }
}
