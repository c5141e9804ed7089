//! Sockets that the standard library does not open: netlink, and passing descriptors between processes.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{check_len, owned};

/// A socket to the kernel's table of links, addresses and routes.
pub(crate) fn netlink_route() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    owned(unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) })
}

/// Room for the control message that carries one descriptor, aligned as the kernel wants it.
#[repr(align(8))]
struct Rights([u8; 64]);

/// Sends `bytes` over a UNIX socket, and with them a copy of `fd` if there is one.
pub(crate) fn send_with_fd(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<usize> {
    let mut rights = Rights([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `msghdr` is plain data; all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(fd) = fd {
        let size = size_of::<libc::c_int>() as u32;
        message.msg_control = rights.0.as_mut_ptr().cast();
        // SAFETY: these compute lengths only.
        message.msg_controllen = unsafe { libc::CMSG_SPACE(size) } as _;
        // SAFETY: the control buffer is aligned and larger than CMSG_SPACE of one descriptor (24 bytes), so the first
        // header and its data lie within it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(fd.as_raw_fd());
        }
    }
    // SAFETY: the message points to `bytes` and `rights`, which outlive the call; the kernel only reads them.
    check_len(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) })
}

/// Receives what [`send_with_fd`] sent: the length of the bytes (0: the other side is gone), and the descriptor.
pub(crate) fn recv_with_fd(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut rights = Rights([0; 64]);
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: `msghdr` is plain data; all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = rights.0.as_mut_ptr().cast();
    // SAFETY: this computes a length only; there is room for exactly one descriptor.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<libc::c_int>() as u32) } as _;
    // SAFETY: the message points to `bytes` and `rights`, which outlive the call and are writable.
    let len =
        check_len(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) })?;
    // SAFETY: the kernel filled the control buffer; CMSG_FIRSTHDR answers null or a header that lies within it.
    let fd = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null()
            || (*header).cmsg_level != libc::SOL_SOCKET
            || (*header).cmsg_type != libc::SCM_RIGHTS
        {
            None
        } else {
            // The kernel has just opened this descriptor for us.
            Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<libc::c_int>().read_unaligned()))
        }
    };
    Ok((len, fd))
}

#[cfg(test)]
mod tests {
    use super::super::{EventFd, wait};
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_passes_with_its_bytes() {
        let (a, b) = UnixStream::pair().unwrap();
        let event = EventFd::new().unwrap();
        send_with_fd(a.as_fd(), b"hi", Some(event.as_fd())).unwrap();
        send_with_fd(a.as_fd(), b"x", None).unwrap();
        drop(a);
        let mut bytes = [0; 2];
        let (len, fd) = recv_with_fd(b.as_fd(), &mut bytes).unwrap();
        assert_eq!((len, &bytes), (2, b"hi"));
        event.raise();
        assert_eq!(wait(&[fd.unwrap().as_fd()], None).unwrap(), 1);
        assert!(matches!(recv_with_fd(b.as_fd(), &mut bytes).unwrap(), (1, None)));
        assert!(matches!(recv_with_fd(b.as_fd(), &mut bytes).unwrap(), (0, None)));
    }
}
