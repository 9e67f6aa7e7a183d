//! Lines by UDP: a datagram a line, never waited for.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, sendto, socket_with};

/// The socket that all directories share; opened with the first datagram.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    socket: Option<OwnedFd>,
}

impl Udp {
    /// Sends one datagram; returns whether it was sent. Whether it arrives is not known.
    pub(crate) fn send(&mut self, datagram: &[u8], to: SocketAddrV4) -> bool {
        if self.socket.is_none() {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            self.socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).ok();
        }
        self.socket
            .as_ref()
            .and_then(|socket| sendto(socket, datagram, SendFlags::empty(), &to).ok())
            .is_some_and(|sent| sent == datagram.len())
    }
}
