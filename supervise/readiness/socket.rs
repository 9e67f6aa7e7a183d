//! The socket of sd_notify(3): where a `ready: notify` service tells how it is.
//!
//! It is bound at `notify` in the state directory, by whose absolute path the service finds it, for as
//! long as there is a run. Anybody may write to it, since a service may have given up its rights; so
//! who is listened to is decided by the sender's credentials.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};
use servicedir::layout::NOTIFY;
use servicedir::process::{Identity, Place, user};

use super::datagram::{Sender, receive};
use super::kinship::{self, Kinship};
use super::main_pid;
use super::message::Message;
use crate::child::closer::{self, Closers};
use crate::event::Notice;
use crate::files::state_dir::StateDir;

/// The longest datagram that counts, in bytes; what sd_notify(3) promises to get through.
const LONGEST: usize = 4096;

/// The longest path that every program can put into a socket's address, in bytes.
const LONGEST_PATH: usize = 107;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    socket: OwnedFd,
    /// The process that it was made for: it belongs to the service even when another is the main one.
    pub(crate) run: Option<Identity>,
}

/// What one message said.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The process that is to be the main one; it belongs to the service.
    pub(crate) main: Option<Identity>,
    /// What was said.
    pub(crate) notices: Vec<Notice>,
    /// Descriptors to close once all that was said until now is done.
    pub(crate) barrier: Vec<OwnedFd>,
}

impl NotifySocket {
    /// Binds a socket for a new run, and gives the value of its `NOTIFY_SOCKET`.
    ///
    /// A path that is too long for a socket's address is of no use to the service: then the name is an
    /// abstract one, that nobody can know before, and `notify` is a file that holds it.
    ///
    /// # Errors
    /// As socket(2) and bind(2).
    pub(crate) fn bind(state: &StateDir) -> io::Result<(Self, OsString)> {
        let path = state.path()?.join(NOTIFY);
        if path.as_os_str().len() <= LONGEST_PATH {
            return Ok((Self::at_path(state)?, path.into_os_string()));
        }
        let random = RandomState::new().build_hasher().finish();
        let name = format!("@servicedir-{random:016x}");
        let bound = Self::at_name(name.as_bytes())?;
        state.replace(NOTIFY, name.as_bytes())?;
        Ok((bound, name.into()))
    }

    /// Binds the socket of a run that another supervise started, where the run will look for it.
    ///
    /// # Errors
    /// As [`NotifySocket::bind`]; for an abstract name also that somebody else has taken it.
    pub(crate) fn bind_again(state: &StateDir) -> io::Result<Self> {
        // Where there is a socket, it cannot be opened.
        match state.content(NOTIFY) {
            Some(name) => Self::at_name(&name),
            None => Self::at_path(state),
        }
    }

    fn at_path(state: &StateDir) -> io::Result<Self> {
        let unbound = Self::unbound()?;
        state.remove(NOTIFY)?;
        let folder = PathBuf::from(format!("/proc/self/fd/{}", state.as_fd().as_raw_fd()));
        bind(&unbound.socket, &SocketAddrUnix::new(folder.join(NOTIFY))?)?;
        let mode = Mode::from_raw_mode(0o622);
        rustix::fs::chmodat(state, NOTIFY, mode, AtFlags::empty())?;
        Ok(unbound)
    }

    fn at_name(name: &[u8]) -> io::Result<Self> {
        let unbound = Self::unbound()?;
        let name = name.strip_prefix(b"@").ok_or(io::ErrorKind::InvalidData)?;
        bind(&unbound.socket, &SocketAddrUnix::new_abstract_name(name)?)?;
        Ok(unbound)
    }

    fn unbound() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        // Before there is an address: no datagram comes without credentials.
        rustix::net::sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self { socket, run: None })
    }

    /// Reads the next datagram, if there is one. One that does not count has no notices. All descriptors
    /// but those of a barrier are handed to a closer.
    pub(crate) fn read(&self, main: Identity, closers: &mut Closers) -> Option<Received> {
        let mut buffer = [0; LONGEST];
        let datagram = receive(self.as_fd(), &mut buffer).ok()?;
        let roots: Vec<Identity> = std::iter::once(main).chain(self.run).collect();
        let counts = datagram
            .sender
            .is_some_and(|sender| may_speak(sender, &roots));
        let message = datagram.bytes.filter(|_| counts).map(Message::read);
        let is_barrier = message.as_ref().is_some_and(|message| message.barrier);
        let (barrier, others) = datagram
            .descriptors
            .into_iter()
            .partition(|descriptor| is_barrier && closer::is_pipe(descriptor));
        closers.close(others);
        let message = message.unwrap_or_default();
        Some(Received {
            main: message.main.and_then(|pid| main_pid::checked(pid, &roots)),
            notices: message.notices,
            barrier,
        })
    }

    /// Closes the socket, and what was sent and not read, without waiting for it.
    pub(crate) fn close(self, closers: &mut Closers) {
        // Nobody can send any more: what is queued is all.
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Read).ok();
        let mut buffer = [0; 1];
        while let Ok(datagram) = receive(self.as_fd(), &mut buffer) {
            // The end of the queue has no sender.
            if datagram.sender.is_none() {
                break;
            }
            closers.close(datagram.descriptors);
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether what the sender says counts. A sender that is gone already had to have the service's user;
/// one without a pid here was started by nobody in here.
fn may_speak(sender: Sender, roots: &[Identity]) -> bool {
    let Some(pid) = sender.pid else { return false };
    match kinship::of(pid, roots, Place::of) {
        Kinship::Own => true,
        Kinship::Foreign => false,
        Kinship::Gone => {
            let is_users = |root: &Identity| user(root.pid) == Some(sender.uid);
            // An adopted service may itself be gone, with nobody left to ask for its user.
            roots.iter().any(|root| root.pid == pid || is_users(root))
        }
    }
}
