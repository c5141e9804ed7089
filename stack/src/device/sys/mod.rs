//! The system calls of the devices, and the only `unsafe` of the crate.
//!
//! Each wrapper is thin and safe: it owns what it opens, checks what the kernel answers, and decides nothing.
#![allow(unsafe_code)]

#[cfg(feature = "xdp")]
mod bpf;
mod event;
mod interface;
mod mapping;
mod namespace;
mod packet;
mod ring;
mod signal;
mod socket;
mod watch;
#[cfg(feature = "xdp")]
mod xdp;

#[cfg(feature = "xdp")]
pub(crate) use bpf::{xdp_attach, xdp_map, xdp_map_set, xdp_program};
pub use event::{EventFd, MAX_WAIT, wait};
pub(crate) use interface::{Control, IfName, tun_attach, tun_offload};
pub(crate) use namespace::{
    before_exec, die_with_parent, is_root, try_user_namespace, unshare_network, unshare_user_and_network,
};
pub(crate) use packet::{
    MAX_MESSAGES, attach_filter, packet_bind, packet_drops, packet_fanout, packet_fanout_program,
    packet_join, packet_peek, packet_socket, packet_switch, send_messages, set_buffers,
};
pub(crate) use ring::PacketRing;
pub(crate) use signal::{SignalForwarding, kill, pidfd};
pub(crate) use socket::{netlink_route, recv_with_fd, send_with_fd};
pub(crate) use watch::Watcher;
#[cfg(feature = "xdp")]
pub(crate) use xdp::{Front, XdpSocket};

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The result of a call that answers -1 on failure.
fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The result of a call that answers a count of bytes, or -1 on failure.
fn check_len(answer: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(answer).map_err(|_| io::Error::last_os_error())
}

/// Takes what a call has just opened.
fn owned(answer: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(answer)?;
    // SAFETY: the caller passes the answer of a call that opened a descriptor for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
