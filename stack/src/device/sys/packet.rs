//! Packet sockets: frames of an interface of the kernel, beside the kernel's own stack.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, check_len, owned};

/// A packet socket that hears nothing yet and does not block.
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    owned(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })
}

/// Binds it to the interface with that number, for all protocols: frames begin to arrive.
pub(crate) fn packet_bind(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` is plain data; all-zero is an address of no interface.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index.cast_signed();
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: `address` is a `sockaddr_ll` of that length.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) }).map(drop)
}

/// Switches one of the options that are on or off (`PACKET_VNET_HDR` and others).
pub(crate) fn packet_switch(fd: BorrowedFd<'_>, option: libc::c_int, on: bool) -> io::Result<()> {
    set_option(fd, libc::SOL_PACKET, option, &libc::c_int::from(on))
}

/// Makes the socket one of a group that share what arrives, `how` (`PACKET_FANOUT_...`): of `group`, or of a new one.
/// Answers the group.
pub(crate) fn packet_fanout(fd: BorrowedFd<'_>, group: Option<u16>, how: u32) -> io::Result<u16> {
    let (group, flags) = match group {
        Some(group) => (group, 0),
        None => (0, libc::PACKET_FANOUT_FLAG_UNIQUEID),
    };
    let word: u32 = u32::from(group) | (how | flags) << 16;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &word)?;
    let mut answer: u32 = 0;
    let mut len = size_of_val(&answer) as libc::socklen_t;
    let place = (&raw mut answer).cast();
    // SAFETY: `place` points to `len` writable bytes.
    check(unsafe {
        libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_FANOUT, place, &raw mut len)
    })?;
    Ok(answer as u16)
}

/// Has a program choose which socket of the group gets a frame (`PACKET_FANOUT_CBPF`).
pub(crate) fn packet_fanout_program(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    set_program(fd, libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)
}

/// Has the interface let more frames through than its own: of one more address (`PACKET_MR_UNICAST`), of all groups
/// (`PACKET_MR_ALLMULTI`), or all there are (`PACKET_MR_PROMISC`). Ends with the socket.
pub(crate) fn packet_join(fd: BorrowedFd<'_>, index: u32, kind: libc::c_int, mac: [u8; 6]) -> io::Result<()> {
    let [a, b, c, d, e, f] = mac;
    let membership = libc::packet_mreq {
        mr_ifindex: index.cast_signed(),
        mr_type: kind as libc::c_ushort,
        mr_alen: mac.len() as libc::c_ushort,
        mr_address: [a, b, c, d, e, f, 0, 0],
    };
    set_option(fd, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)
}

/// Room for frames that wait to be received, and as much for frames on their way out, in bytes; at most what the system
/// allows, unless we may do as we like.
pub(crate) fn set_buffers(fd: BorrowedFd<'_>, bytes: i32) {
    let set = |option| set_option(fd, libc::SOL_SOCKET, option, &bytes);
    // A socket takes less than was asked for, and never refuses.
    let _ = set(libc::SO_RCVBUFFORCE).or_else(|_| set(libc::SO_RCVBUF));
    let _ = set(libc::SO_SNDBUFFORCE).or_else(|_| set(libc::SO_SNDBUF));
}

/// Has the kernel drop what the program does not accept (classic BPF).
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    set_program(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

/// How many frames were lost since the last call, because there was no room for them.
pub(crate) fn packet_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: `tpacket_stats` is plain data.
    let mut stats: libc::tpacket_stats = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut len = size_of_val(&stats) as libc::socklen_t;
    let (level, option) = (libc::SOL_PACKET, libc::PACKET_STATISTICS);
    // SAFETY: `stats` has room for `len` bytes, and outlives the call.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut stats).cast(), &raw mut len) })?;
    Ok(stats.tp_drops)
}

/// Frames that one call sends at most.
pub(crate) const MAX_MESSAGES: usize = 32;

/// Sends each part as a message of its own, at most [`MAX_MESSAGES`] of them; answers how many were taken.
pub(crate) fn send_messages(fd: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let parts = &parts[..parts.len().min(MAX_MESSAGES)];
    // SAFETY: `mmsghdr` is plain data; all-zero is an empty message.
    let mut messages: [libc::mmsghdr; MAX_MESSAGES] = unsafe { MaybeUninit::zeroed().assume_init() };
    for (message, part) in messages.iter_mut().zip(parts) {
        // `IoSlice` has the layout of `iovec`; the kernel only reads it.
        message.msg_hdr.msg_iov = std::ptr::from_ref(part).cast_mut().cast();
        message.msg_hdr.msg_iovlen = 1;
    }
    let count = parts.len() as libc::c_uint;
    // SAFETY: the first `count` messages point to `parts`, which outlive the call.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
    check(sent).map(|sent| usize::try_from(sent).unwrap_or(0))
}

/// What is known of the frame that waits in a packet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Whether the transport checksum is only the pseudo header's sum, or was verified by the card.
    pub(crate) vouched: bool,
}

/// Looks at the frame that waits, without taking it; `None` if none does. Needs `PACKET_AUXDATA` switched on.
pub(crate) fn packet_peek(fd: BorrowedFd<'_>) -> io::Result<Option<Waiting>> {
    /// Aligned as control messages are.
    #[repr(align(8))]
    struct Control([u8; 64]);
    let mut control = Control([0; 64]);
    let mut byte = [0u8; 1];
    let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    // SAFETY: `msghdr` is plain data; all-zero is an empty message.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the message points to `byte` and `control`, which outlive the call and are writable.
    match check_len(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut message, flags) }) {
        Ok(_) => {}
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    // SAFETY: the kernel filled the control buffer; CMSG_FIRSTHDR answers null or a header that lies within it, and the
    // data of a PACKET_AUXDATA message is a `tpacket_auxdata`.
    let status = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let found = !header.is_null()
            && (*header).cmsg_level == libc::SOL_PACKET
            && (*header).cmsg_type == libc::PACKET_AUXDATA;
        if found {
            libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned().tp_status
        } else {
            0
        }
    };
    let vouched = status & (libc::TP_STATUS_CSUMNOTREADY | libc::TP_STATUS_CSUM_VALID) != 0;
    Ok(Some(Waiting { vouched }))
}

/// Sets a socket option to a program.
fn set_program(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    program: &[libc::sock_filter],
) -> io::Result<()> {
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel only reads the program, and before the call returns.
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    set_option(fd, level, option, &program)
}

/// Sets a socket option to a value of plain data.
pub(super) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: `value` points to `len` readable bytes.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, value, len) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_socket_holds_more_on_the_way_out_after_it_was_given_room() {
        let held = |room: Option<i32>| {
            let (mut left, _right) = UnixStream::pair().unwrap();
            left.set_nonblocking(true).unwrap();
            room.into_iter().for_each(|bytes| set_buffers(left.as_fd(), bytes));
            let mut held = 0;
            while let Ok(taken) = left.write(&[0; 4096]) {
                held += taken;
            }
            held
        };
        let (before, after) = (held(None), held(Some(4 << 20)));
        assert!(after > before, "{before} bytes, and then {after}");
    }
}
