//! Receiving one datagram with its sender's credentials and the descriptors that came along.
//!
//! The raw call, because the libraries' types cannot hold what may come: a sender outside of this pid
//! namespace has pid 0, and there may be more descriptors than the libraries have room for.
#![expect(unsafe_code, reason = "recvmsg(2), and the descriptors that it makes")]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// Room for the credentials (32 bytes) and for the most descriptors that a datagram can have (253,
/// `SCM_MAX_FD`: 16 bytes and 4 for each) on a 64-bit system. A descriptor without room would be closed
/// by the kernel within recvmsg(2), which may block as close(2) does.
const CONTROL: usize = 32 + 16 + 4 * 254;

/// Who has sent a datagram, as the kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sender {
    /// `None` for a process that has no pid here: it is in another pid namespace.
    pub(crate) pid: Option<Pid>,
    /// Its user.
    pub(crate) uid: u32,
}

/// A datagram.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    /// Its bytes; `None` if there were more than there was room for.
    pub(crate) bytes: Option<&'a [u8]>,
    /// Its sender.
    pub(crate) sender: Option<Sender>,
    /// The descriptors that came along.
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Receives the next datagram, without waiting, into a buffer. The socket must have SO_PASSCRED set.
///
/// # Errors
/// As recvmsg(2); `EAGAIN` when there is none.
pub(crate) fn receive<'a>(
    socket: BorrowedFd<'_>,
    buffer: &'a mut [u8],
) -> rustix::io::Result<Datagram<'a>> {
    let mut control = [0_u8; CONTROL];
    let mut data = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: a header of zeros is a valid one, without a name, data or room for control messages.
    // (musl's has padding that has no names.)
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut data;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to the two buffers, which outlive the call, with their lengths.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let Ok(count) = usize::try_from(count) else {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)));
    };
    let length = header.msg_controllen as usize;
    let (sender, numbers) = read_control(control.get(..length).unwrap_or_default());
    // SAFETY: the kernel has just made these descriptors for this call, so that nobody else has them.
    let own = |number: i32| unsafe { OwnedFd::from_raw_fd(number) };
    Ok(Datagram {
        bytes: buffer
            .get(..count)
            .filter(|_| header.msg_flags & libc::MSG_TRUNC == 0),
        sender,
        descriptors: numbers.into_iter().map(own).collect(),
    })
}

/// The sender and the numbers of the descriptors, from control messages as cmsg(3) lays them out.
fn read_control(mut rest: &[u8]) -> (Option<Sender>, Vec<i32>) {
    const WORD: usize = size_of::<usize>();
    let (mut sender, mut numbers) = (None, Vec::new());
    let header = size_of::<libc::cmsghdr>();
    while let Some((length, after)) = rest.split_first_chunk::<WORD>() {
        let length = usize::from_ne_bytes(*length);
        let kind = integers(after.get(..8).unwrap_or_default());
        let data = integers(rest.get(header..length).unwrap_or_default());
        match (kind.as_slice(), data.as_slice()) {
            ([libc::SOL_SOCKET, libc::SCM_CREDENTIALS], [pid, uid, _gid]) => {
                sender = Some(Sender {
                    pid: Some(*pid).filter(|pid| *pid > 0).and_then(Pid::from_raw),
                    uid: uid.cast_unsigned(),
                });
            }
            ([libc::SOL_SOCKET, libc::SCM_RIGHTS], data) => numbers.extend(data),
            _ => {}
        }
        rest = length
            .max(header)
            .checked_next_multiple_of(WORD)
            .and_then(|next| rest.get(next..))
            .unwrap_or_default();
    }
    (sender, numbers)
}

fn integers(bytes: &[u8]) -> Vec<i32> {
    let (whole, _) = bytes.as_chunks::<4>();
    whole.iter().copied().map(i32::from_ne_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    fn pair() -> (OwnedFd, OwnedFd) {
        let pair = socketpair(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let (ours, theirs) = pair.unwrap();
        rustix::net::sockopt::set_socket_passcred(&ours, true).unwrap();
        (ours, theirs)
    }

    fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        let bytes = [IoSlice::new(bytes)];
        rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_datagram_tells_its_sender() {
        let (ours, theirs) = pair();
        let mut buffer = [0; 8];
        assert_eq!(
            receive(ours.as_fd(), &mut buffer).unwrap_err(),
            Errno::AGAIN
        );
        send(&theirs, b"READY=1", &[]);
        let datagram = receive(ours.as_fd(), &mut buffer).unwrap();
        assert_eq!(datagram.bytes, Some(b"READY=1".as_slice()));
        let sender = Sender {
            pid: Some(rustix::process::getpid()),
            uid: rustix::process::getuid().as_raw(),
        };
        assert_eq!(datagram.sender, Some(sender));
        assert!(datagram.descriptors.is_empty());
    }

    #[test]
    fn what_is_longer_than_the_buffer_has_no_bytes() {
        let (ours, theirs) = pair();
        send(&theirs, &[b'x'; 9], &[]);
        let mut buffer = [0; 8];
        assert_eq!(receive(ours.as_fd(), &mut buffer).unwrap().bytes, None);
    }

    #[test]
    fn all_descriptors_are_received() {
        let (ours, theirs) = pair();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&theirs, b"x", &[write.as_fd(); 8]);
        drop(write);
        let mut buffer = [0; 8];
        let datagram = receive(ours.as_fd(), &mut buffer).unwrap();
        assert!(datagram.sender.is_some());
        assert_eq!(datagram.descriptors.len(), 8);
        for descriptor in &datagram.descriptors {
            let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
        drop(datagram);
        // The end of the pipe: nobody has a writing end any more.
        assert_eq!(rustix::io::read(&read, &mut [0; 1]), Ok(0));
    }

    #[test]
    fn a_sender_of_another_pid_namespace_has_no_pid() {
        let mut control = Vec::new();
        control.extend(28_usize.to_ne_bytes());
        for number in [libc::SOL_SOCKET, libc::SCM_CREDENTIALS, 0, -1, 0] {
            control.extend(number.to_ne_bytes());
        }
        let sender = Sender {
            pid: None,
            uid: u32::MAX,
        };
        assert_eq!(read_control(&control), (Some(sender), Vec::new()));
    }

    proptest! {
        #[test]
        fn no_control_bytes_make_it_panic_or_go_on_for_ever(bytes in proptest::collection::vec(0..64_u8, 0..CONTROL)) {
            drop(read_control(&bytes));
        }
    }
}
