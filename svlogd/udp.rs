//! Lines by UDP: a datagram a line, never waited for.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// The socket that all directories share; opened with the first datagram.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    socket: Option<UdpSocket>,
}

impl Udp {
    /// Sends one datagram; says whether it went. That it arrives nobody knows.
    pub(crate) fn send(&mut self, datagram: &[u8], to: SocketAddrV4) -> bool {
        if self.socket.is_none() {
            self.socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .ok();
        }
        self.socket
            .as_ref()
            .and_then(|socket| socket.send_to(datagram, to).ok())
            .is_some_and(|sent| sent == datagram.len())
    }
}
