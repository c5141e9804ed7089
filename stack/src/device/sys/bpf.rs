//! The two kernel objects that redirect frames to a socket of ours: a map of sockets and a program (`bpf(2)`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, owned};

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
const PROGRAM_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;

/// The numbers are those of `linux/bpf.h`.
const MAP_OF_XDP_SOCKETS: u32 = 17;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

/// What the program may call is independent of its licence; the kernel wants one all the same.
const LICENCE: &[u8] = b"Dual MIT/GPL\0";

/// A map from the number of a receive queue to an XDP socket, with that many places.
pub(crate) fn xdp_map(places: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Request {
        kind: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        flags: u32,
    }
    let request =
        Request { kind: MAP_OF_XDP_SOCKETS, key_size: 4, value_size: 4, max_entries: places, flags: 0 };
    owned(bpf(MAP_CREATE, &request))
}

/// Puts a socket into the map.
pub(crate) fn xdp_map_set(map: BorrowedFd<'_>, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
    #[repr(C)]
    struct Request {
        map: u32,
        _gap: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let socket = socket.as_raw_fd();
    let request = Request {
        map: map.as_raw_fd().cast_unsigned(),
        _gap: 0,
        key: (&raw const queue) as u64,
        value: (&raw const socket) as u64,
        flags: 0,
    };
    check(bpf(MAP_UPDATE, &request)).map(drop)
}

/// Loads a program of these instructions, after the kernel has proved that it does no harm.
pub(crate) fn xdp_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Request {
        kind: u32,
        count: u32,
        instructions: u64,
        licence: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
    }
    let request = Request {
        kind: PROGRAM_XDP,
        count: u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: instructions.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    owned(bpf(PROGRAM_LOAD, &request))
}

/// Has an interface run the program for each frame that it receives, as long as the answer lives. `flags` are
/// `XDP_FLAGS_`.
pub(crate) fn xdp_attach(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Request {
        program: u32,
        interface: u32,
        kind: u32,
        flags: u32,
    }
    let program = program.as_raw_fd().cast_unsigned();
    owned(bpf(LINK_CREATE, &Request { program, interface, kind: ATTACH_XDP, flags }))
}

/// The call itself. A request that is shorter than the kernel's stands for one that ends in zeros.
fn bpf<T>(command: libc::c_int, request: &T) -> libc::c_int {
    let (request, size) = (std::ptr::from_ref(request), size_of::<T>());
    // SAFETY: the request is `size` readable bytes, laid out as the kernel lays out the beginning of `union bpf_attr`
    // for this command; what it points to outlives the call, which only reads it. Each caller above sees to that.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, request, size) };
    // A descriptor, 0 or -1: it fits.
    answer as libc::c_int
}
