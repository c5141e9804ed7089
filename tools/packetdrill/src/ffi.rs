//! The border to C: pointers become slices here, results become answers and `errno`. Nothing is decided.
//!
//! Besides the library's system calls this is the only place with `unsafe`: an interface of C functions over raw
//! pointers cannot be given without. Each function of it trusts what packetdrill promises: that `userdata` is what
//! [`packetdrill_interface_init`] gave and was not freed, and that pointers lead to as many bytes as are named with
//! them.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_long, c_longlong, c_uint, c_ulong, c_void};
use std::net::SocketAddr;
use std::ptr;
use std::sync::Arc;

use libc::{epoll_event, iovec, loff_t, msghdr, nfds_t, pollfd, size_t, sockaddr, socklen_t, ssize_t};
use ustack::time::{Duration, Instant};
use ustack_tools::run::process::{Pending, Taken};

use crate::address;
use crate::host::Host;
use crate::machine::Machine;
use crate::process::Asked;

/// Seconds since 1970 at which each script begins.
const EPOCH: u64 = 1_000_000_000;
/// Bytes of the largest buffer, as Linux has it.
const MAX_BUFFER: usize = 0x7fff_f000;
/// A single call receives no more than this.
const MAX_RECEIVED: usize = 1 << 26;
/// Pieces of a message, as Linux has it (`UIO_MAXIOV`).
const MAX_PIECES: usize = 1024;

type Data = *mut c_void;
type Bytes = *const c_void;
type Room = *mut c_void;
type Length = *mut socklen_t;

/// The functions that packetdrill calls, in its order. Each takes [`Interface::userdata`] first, and then what the
/// system call of its name takes; -1 is a failure, and `errno` says which.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // Their names are those of the system calls.
pub struct Interface {
    /// What each function is given first.
    pub userdata: Data,
    /// Ends the script; `userdata` is gone after that.
    pub free: unsafe extern "C" fn(Data),
    pub socket: unsafe extern "C" fn(Data, c_int, c_int, c_int) -> c_int,
    pub bind: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub listen: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub accept: unsafe extern "C" fn(Data, c_int, *mut sockaddr, Length) -> c_int,
    pub connect: unsafe extern "C" fn(Data, c_int, *const sockaddr, socklen_t) -> c_int,
    pub read: unsafe extern "C" fn(Data, c_int, Room, size_t) -> ssize_t,
    pub readv: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    pub recv: unsafe extern "C" fn(Data, c_int, Room, size_t, c_int) -> ssize_t,
    pub recvfrom: unsafe extern "C" fn(Data, c_int, Room, size_t, c_int, *mut sockaddr, Length) -> ssize_t,
    pub recvmsg: unsafe extern "C" fn(Data, c_int, *mut msghdr, c_int) -> ssize_t,
    pub write: unsafe extern "C" fn(Data, c_int, Bytes, size_t) -> ssize_t,
    pub writev: unsafe extern "C" fn(Data, c_int, *const iovec, c_int) -> ssize_t,
    pub send: unsafe extern "C" fn(Data, c_int, Bytes, size_t, c_int) -> ssize_t,
    pub sendto:
        unsafe extern "C" fn(Data, c_int, Bytes, size_t, c_int, *const sockaddr, socklen_t) -> ssize_t,
    pub sendmsg: unsafe extern "C" fn(Data, c_int, *const msghdr, c_int) -> ssize_t,
    /// C-variadic there: an argument that is missing is not looked at.
    pub fcntl: unsafe extern "C" fn(Data, c_int, c_int, c_long) -> c_int,
    /// C-variadic there, too.
    pub ioctl: unsafe extern "C" fn(Data, c_int, c_ulong, Room) -> c_int,
    pub close: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub shutdown: unsafe extern "C" fn(Data, c_int, c_int) -> c_int,
    pub getsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, Room, Length) -> c_int,
    pub setsockopt: unsafe extern "C" fn(Data, c_int, c_int, c_int, Bytes, socklen_t) -> c_int,
    pub poll: unsafe extern "C" fn(Data, *mut pollfd, nfds_t, c_int) -> c_int,
    /// A packet into the stack.
    pub netdev_send: unsafe extern "C" fn(Data, Bytes, size_t) -> c_int,
    /// A packet out of the stack, and the microsecond at which it was sent.
    pub netdev_receive: unsafe extern "C" fn(Data, Room, *mut size_t, *mut c_longlong) -> c_int,
    pub usleep: unsafe extern "C" fn(Data, c_uint) -> c_int,
    pub gettimeofday: unsafe extern "C" fn(Data, *mut libc::timeval, Room) -> c_int,
    pub epoll_create: unsafe extern "C" fn(Data, c_int) -> c_int,
    pub epoll_ctl: unsafe extern "C" fn(Data, c_int, c_int, c_int, *mut epoll_event) -> c_int,
    pub epoll_wait: unsafe extern "C" fn(Data, c_int, *mut epoll_event, c_int, c_int) -> c_int,
    pub pipe: unsafe extern "C" fn(Data, *mut c_int) -> c_int,
    pub splice: unsafe extern "C" fn(Data, c_int, *mut loff_t, c_int, *mut loff_t, size_t, c_uint) -> ssize_t,
}

const _: () = assert!(size_of::<Interface>() == 33 * size_of::<Data>());

/// Begins a script: fills `out`. Flags that make no sense are told on standard error, and then every call fails with
/// `EINVAL`.
///
/// # Safety
/// `out` can be written; `so_flags` is null or a text that ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn packetdrill_interface_init(so_flags: *const c_char, out: *mut Interface) {
    let flags = if so_flags.is_null() {
        String::new()
    } else {
        // SAFETY: the caller says that it is a text of C.
        unsafe { CStr::from_ptr(so_flags) }.to_string_lossy().into_owned()
    };
    let machine = Host::new(&flags).map(Machine::new).or_else(|error| {
        eprintln!("ustack: --so_flags={flags}: {error}");
        Host::new("").map(|host| {
            let machine = Machine::new(host);
            machine.end(libc::EINVAL);
            machine
        })
    });
    let userdata = machine.map_or(ptr::null(), |machine| Arc::into_raw(Arc::new(machine)));
    let interface = Interface {
        userdata: userdata.cast_mut().cast(),
        free,
        socket,
        bind,
        listen,
        accept,
        connect,
        read,
        readv,
        recv,
        recvfrom,
        recvmsg,
        write,
        writev,
        send,
        sendto,
        sendmsg,
        fcntl,
        ioctl,
        close,
        shutdown,
        getsockopt,
        setsockopt,
        poll,
        netdev_send,
        netdev_receive,
        usleep,
        gettimeofday,
        epoll_create,
        epoll_ctl,
        epoll_wait,
        pipe,
        splice,
    };
    // SAFETY: the caller says that it can be written.
    unsafe { out.write(interface) };
}

/// Closes a number of the system.
pub(crate) fn close_number(number: i32) {
    // SAFETY: no pointers are passed, and the number is that of an event which nobody else holds.
    unsafe { libc::close(number) };
}

unsafe extern "C" fn free(data: Data) {
    if !data.is_null() {
        // SAFETY: it is the pointer of `packetdrill_interface_init`, which counts as one reference; this takes it back.
        let machine = unsafe { Arc::from_raw(data.cast_const().cast::<Machine>()) };
        machine.end(libc::EINTR);
    }
}

unsafe extern "C" fn socket(data: Data, domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    with(data, |machine| machine.call(|process| process.socket(domain, kind, protocol)))
}

unsafe extern "C" fn bind(data: Data, fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    with(data, |machine| {
        let address = address_in(address, length)?.ok_or(libc::EFAULT)?;
        machine.call(|process| process.bind(fd, address)).map(|()| 0)
    })
}

unsafe extern "C" fn listen(data: Data, fd: c_int, backlog: c_int) -> c_int {
    with(data, |machine| machine.call(|process| process.listen(fd, backlog)).map(|()| 0))
}

unsafe extern "C" fn accept(data: Data, fd: c_int, address: *mut sockaddr, length: Length) -> c_int {
    with(data, |machine| {
        let mut pending = Pending::default();
        let (number, peer, v6) = machine.call(|process| {
            let (number, peer) = process.accept(fd, &mut pending)?;
            Ok((number, peer, process.is_v6(fd)))
        })?;
        address_out(Some(peer), v6, address, length);
        Ok(number)
    })
}

unsafe extern "C" fn connect(data: Data, fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int {
    with(data, |machine| {
        let remote = address_in(address, length)?.ok_or(libc::EFAULT)?;
        let mut pending = None;
        machine.call(|process| process.connect(fd, remote, &mut pending)).map(|()| 0)
    })
}

unsafe extern "C" fn read(data: Data, fd: c_int, buffer: Room, length: size_t) -> ssize_t {
    with(data, |machine| receive(machine, fd, &[piece(buffer, length)], 0).map(|(taken, _)| count(taken)))
}

unsafe extern "C" fn readv(data: Data, fd: c_int, pieces: *const iovec, amount: c_int) -> ssize_t {
    with(data, |machine| {
        let pieces = pieces_in(pieces, usize::try_from(amount).map_err(|_| libc::EINVAL)?)?;
        receive(machine, fd, pieces, 0).map(|(taken, _)| count(taken))
    })
}

unsafe extern "C" fn recv(data: Data, fd: c_int, buffer: Room, length: size_t, flags: c_int) -> ssize_t {
    with(data, |machine| receive(machine, fd, &[piece(buffer, length)], flags).map(|(taken, _)| count(taken)))
}

unsafe extern "C" fn recvfrom(
    data: Data,
    fd: c_int,
    buffer: Room,
    length: size_t,
    flags: c_int,
    address: *mut sockaddr,
    address_length: Length,
) -> ssize_t {
    with(data, |machine| {
        let (taken, v6) = receive(machine, fd, &[piece(buffer, length)], flags)?;
        address_out(taken.from, v6, address, address_length);
        Ok(count(taken))
    })
}

unsafe extern "C" fn recvmsg(data: Data, fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    with(data, |machine| {
        // SAFETY: the caller says that it leads to a message, which nobody else touches meanwhile.
        let message = unsafe { message.as_mut() }.ok_or(libc::EFAULT)?;
        let (taken, v6) = receive(machine, fd, pieces_in(message.msg_iov, message.msg_iovlen)?, flags)?;
        address_out(taken.from, v6, message.msg_name.cast(), &raw mut message.msg_namelen);
        message.msg_controllen = 0;
        message.msg_flags = if taken.is_cut { libc::MSG_TRUNC } else { 0 };
        Ok(count(taken))
    })
}

unsafe extern "C" fn write(data: Data, fd: c_int, buffer: Bytes, length: size_t) -> ssize_t {
    with(data, |machine| transmit(machine, fd, &[piece(buffer.cast_mut(), length)], 0, None))
}

unsafe extern "C" fn writev(data: Data, fd: c_int, pieces: *const iovec, amount: c_int) -> ssize_t {
    with(data, |machine| {
        let pieces = pieces_in(pieces, usize::try_from(amount).map_err(|_| libc::EINVAL)?)?;
        transmit(machine, fd, pieces, 0, None)
    })
}

unsafe extern "C" fn send(data: Data, fd: c_int, buffer: Bytes, length: size_t, flags: c_int) -> ssize_t {
    with(data, |machine| transmit(machine, fd, &[piece(buffer.cast_mut(), length)], flags, None))
}

unsafe extern "C" fn sendto(
    data: Data,
    fd: c_int,
    buffer: Bytes,
    length: size_t,
    flags: c_int,
    address: *const sockaddr,
    address_length: socklen_t,
) -> ssize_t {
    with(data, |machine| {
        let to = address_in(address, address_length)?;
        transmit(machine, fd, &[piece(buffer.cast_mut(), length)], flags, to)
    })
}

unsafe extern "C" fn sendmsg(data: Data, fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    with(data, |machine| {
        // SAFETY: the caller says that it leads to a message, which nobody changes meanwhile.
        let message = unsafe { message.as_ref() }.ok_or(libc::EFAULT)?;
        let to = address_in(message.msg_name.cast_const().cast(), message.msg_namelen)?;
        transmit(machine, fd, pieces_in(message.msg_iov, message.msg_iovlen)?, flags, to)
    })
}

unsafe extern "C" fn fcntl(data: Data, fd: c_int, command: c_int, argument: c_long) -> c_int {
    // C passes an int here: what stands above it is arbitrary.
    let argument = i64::from(argument as c_int);
    with(data, |machine| machine.call(|process| process.fcntl(fd, command, argument)))
}

unsafe extern "C" fn ioctl(data: Data, fd: c_int, request: c_ulong, argument: Room) -> c_int {
    with(data, |machine| {
        let argument = argument.cast::<c_int>();
        if request == libc::FIONBIO {
            // SAFETY: FIONBIO is called with the address of an int.
            let on = *unsafe { argument.as_ref() }.ok_or(libc::EFAULT)? != 0;
            return machine.call(|process| process.set_nonblocking(fd, on)).map(|()| 0);
        }
        let value = machine.call(|process| process.ioctl(fd, request))?;
        // SAFETY: the requests that are answered are called with the address of an int.
        *unsafe { argument.as_mut() }.ok_or(libc::EFAULT)? = value;
        Ok(0)
    })
}

unsafe extern "C" fn close(data: Data, fd: c_int) -> c_int {
    with(data, |machine| machine.call(|process| process.close(fd)).map(|()| 0))
}

unsafe extern "C" fn shutdown(data: Data, fd: c_int, how: c_int) -> c_int {
    with(data, |machine| machine.call(|process| process.shutdown(fd, how)).map(|()| 0))
}

unsafe extern "C" fn getsockopt(
    data: Data,
    fd: c_int,
    level: c_int,
    option: c_int,
    value: Room,
    length: Length,
) -> c_int {
    with(data, |machine| {
        let bytes = machine.call(|process| process.option(fd, level, option))?;
        // SAFETY: the caller says that it leads to the room at `value`.
        let length = unsafe { length.as_mut() }.ok_or(libc::EFAULT)?;
        let room = bytes.len().min(*length as usize);
        bytes_out(value, &bytes[..room])?;
        *length = room as socklen_t;
        Ok(0)
    })
}

unsafe extern "C" fn setsockopt(
    data: Data,
    fd: c_int,
    level: c_int,
    option: c_int,
    value: Bytes,
    length: socklen_t,
) -> c_int {
    with(data, |machine| {
        let bytes = bytes_in(value, length as usize)?;
        machine.call(|process| process.set_option(fd, level, option, bytes)).map(|()| 0)
    })
}

unsafe extern "C" fn poll(data: Data, entries: *mut pollfd, amount: nfds_t, timeout: c_int) -> c_int {
    with(data, |machine| {
        let entries: &mut [pollfd] = match usize::try_from(amount).map_err(|_| libc::EINVAL)? {
            0 => &mut [],
            _ if entries.is_null() => return Err(libc::EFAULT),
            // SAFETY: the caller says that so many entries are there, and nobody else touches them meanwhile.
            amount => unsafe { std::slice::from_raw_parts_mut(entries, amount) },
        };
        let asked: Vec<Asked> =
            entries.iter().map(|entry| Asked { number: entry.fd, events: entry.events }).collect();
        let mut deadline = None;
        let answers = machine.call(|process| process.poll(&asked, timeout, &mut deadline))?;
        for (entry, answer) in entries.iter_mut().zip(&answers) {
            entry.revents = *answer;
        }
        Ok(answers.iter().filter(|answer| **answer != 0).count() as c_int)
    })
}

unsafe extern "C" fn netdev_send(data: Data, packet: Bytes, length: size_t) -> c_int {
    with(data, |machine| {
        machine.handle_packet(bytes_in(packet, length)?);
        Ok(0)
    })
}

unsafe extern "C" fn netdev_receive(
    data: Data,
    buffer: Room,
    length: *mut size_t,
    time_usecs: *mut c_longlong,
) -> c_int {
    with(data, |machine| {
        // SAFETY: the caller says that it leads to the room in `buffer`.
        let length = unsafe { length.as_mut() }.ok_or(libc::EFAULT)?;
        // SAFETY: the caller says that it can be written.
        let time_usecs = unsafe { time_usecs.as_mut() }.ok_or(libc::EFAULT)?;
        let room = std::mem::take(length);
        if let Some(sent) = machine.poll_sent() {
            let taken = sent.bytes.len().min(room);
            bytes_out(buffer, &sent.bytes[..taken])?;
            *length = taken;
            *time_usecs = c_longlong::try_from(micros(sent.at)).unwrap_or(c_longlong::MAX);
        }
        Ok(0)
    })
}

unsafe extern "C" fn usleep(data: Data, usecs: c_uint) -> c_int {
    with(data, |machine| {
        machine.sleep(Duration::from_micros(usecs.into()));
        Ok(0)
    })
}

unsafe extern "C" fn gettimeofday(data: Data, time: *mut libc::timeval, _zone: Room) -> c_int {
    with(data, |machine| {
        let now = micros(machine.look_at_clock());
        // SAFETY: the caller says that it can be written, or is null.
        if let Some(time) = unsafe { time.as_mut() } {
            time.tv_sec = libc::time_t::try_from(now / 1_000_000).unwrap_or(libc::time_t::MAX);
            time.tv_usec = (now % 1_000_000) as libc::suseconds_t;
        }
        Ok(0)
    })
}

unsafe extern "C" fn epoll_create(data: Data, size: c_int) -> c_int {
    with(data, |machine| match size {
        1.. => machine.call(|process| process.epoll_create()),
        _ => Err(libc::EINVAL),
    })
}

unsafe extern "C" fn epoll_ctl(
    data: Data,
    epoll: c_int,
    operation: c_int,
    fd: c_int,
    event: *mut epoll_event,
) -> c_int {
    with(data, |machine| {
        let event = if operation == libc::EPOLL_CTL_DEL {
            (0, 0)
        } else if event.is_null() {
            return Err(libc::EFAULT);
        } else {
            // SAFETY: the caller says that it leads to an event. Its fields need no alignment.
            let event = unsafe { event.read_unaligned() };
            (event.events, event.u64)
        };
        machine.call(|process| process.epoll_ctl(epoll, operation, fd, event)).map(|()| 0)
    })
}

unsafe extern "C" fn epoll_wait(
    data: Data,
    epoll: c_int,
    events: *mut epoll_event,
    room: c_int,
    timeout: c_int,
) -> c_int {
    with(data, |machine| {
        let room = usize::try_from(room).map_err(|_| libc::EINVAL)?;
        if events.is_null() {
            return Err(libc::EFAULT);
        }
        let mut deadline = None;
        let told = machine.call(|process| process.epoll_wait(epoll, room, timeout, &mut deadline))?;
        for (index, &(bits, data)) in told.iter().enumerate() {
            // SAFETY: there is room for `room` events, and no more than that were told.
            unsafe { events.add(index).write_unaligned(epoll_event { events: bits, u64: data }) };
        }
        Ok(told.len() as c_int)
    })
}

unsafe extern "C" fn pipe(_data: Data, _ends: *mut c_int) -> c_int {
    fail(libc::ENOSYS);
    -1
}

#[rustfmt::skip]
unsafe extern "C" fn splice(
    _: Data, _: c_int, _: *mut loff_t, _: c_int, _: *mut loff_t, _: size_t, _: c_uint,
) -> ssize_t {
    fail(libc::ENOSYS);
    -1
}

/// Finds the machine, and turns the result of a call into C's answer.
fn with<T: From<i8>>(data: Data, call: impl FnOnce(&Machine) -> Result<T, i32>) -> T {
    let result = if data.is_null() {
        Err(libc::EFAULT)
    } else {
        let machine = data.cast_const().cast::<Machine>();
        // SAFETY: it is the pointer of `packetdrill_interface_init`, which holds a reference until `free`. This call
        // holds one of its own: it may still wait when another thread frees the machine.
        let machine = unsafe {
            Arc::increment_strong_count(machine);
            Arc::from_raw(machine)
        };
        call(&machine)
    };
    result.unwrap_or_else(|errno| {
        fail(errno);
        T::from(-1)
    })
}

fn fail(errno: i32) {
    // SAFETY: C gives each thread a place for its error, which is always there.
    unsafe { *libc::__errno_location() = errno };
}

fn receive(machine: &Machine, fd: c_int, pieces: &[iovec], flags: c_int) -> Result<(Taken, bool), i32> {
    let room = total(pieces)?;
    let (mut buffer, mut pending) = (Vec::new(), Pending::default());
    let answer = machine.call(|process| {
        // No more than there can be is set aside: a script may name a buffer of any size.
        buffer.resize(room.min(MAX_RECEIVED), 0);
        Ok((process.receive(fd, &mut buffer, flags, &mut pending)?, process.is_v6(fd)))
    })?;
    let mut rest = &buffer[..answer.0.bytes];
    for piece in pieces {
        let (now, later) = rest.split_at(rest.len().min(piece.iov_len));
        bytes_out(piece.iov_base, now)?;
        rest = later;
    }
    Ok(answer)
}

fn transmit(
    machine: &Machine,
    fd: c_int,
    pieces: &[iovec],
    flags: c_int,
    to: Option<SocketAddr>,
) -> Result<ssize_t, i32> {
    let mut bytes = Vec::with_capacity(total(pieces)?);
    for piece in pieces {
        bytes.extend_from_slice(bytes_in(piece.iov_base, piece.iov_len)?);
    }
    let mut pending = Pending::default();
    machine.call(|process| process.send(fd, &bytes, flags, to, &mut pending)).map(usize::cast_signed)
}

fn piece(base: Room, length: size_t) -> iovec {
    iovec { iov_base: base, iov_len: length }
}

fn count(taken: Taken) -> ssize_t {
    taken.answer.cast_signed()
}

fn total(pieces: &[iovec]) -> Result<usize, i32> {
    let sum = pieces.iter().try_fold(0usize, |sum, piece| sum.checked_add(piece.iov_len));
    sum.filter(|sum| *sum <= MAX_BUFFER).ok_or(libc::EINVAL)
}

fn pieces_in<'a>(pieces: *const iovec, amount: usize) -> Result<&'a [iovec], i32> {
    match amount {
        0 => Ok(&[]),
        _ if amount > MAX_PIECES => Err(libc::EMSGSIZE),
        _ if pieces.is_null() => Err(libc::EFAULT),
        // SAFETY: the caller of the call says that so many are there, and does not change them while it lasts.
        _ => Ok(unsafe { std::slice::from_raw_parts(pieces, amount) }),
    }
}

fn bytes_in<'a>(bytes: Bytes, length: usize) -> Result<&'a [u8], i32> {
    match length {
        0 => Ok(&[]),
        _ if bytes.is_null() || length > MAX_BUFFER => Err(libc::EFAULT),
        // SAFETY: the caller of the call says that so many are there, and does not change them while it lasts.
        _ => Ok(unsafe { std::slice::from_raw_parts(bytes.cast(), length) }),
    }
}

fn bytes_out(place: Room, bytes: &[u8]) -> Result<(), i32> {
    if bytes.is_empty() {
        return Ok(());
    }
    if place.is_null() {
        return Err(libc::EFAULT);
    }
    // SAFETY: the caller of the call says that there is room for as many as it named, and these are no more. The bytes
    // are ours, so they do not overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place.cast(), bytes.len()) };
    Ok(())
}

fn address_in(place: *const sockaddr, length: socklen_t) -> Result<Option<SocketAddr>, i32> {
    if place.is_null() {
        return Ok(None);
    }
    address::read(bytes_in(place.cast(), (length as usize).min(address::MAX_LEN))?).map(Some)
}

/// Writes what there is room for, and how much it would have been.
fn address_out(address: Option<SocketAddr>, v6: bool, place: *mut sockaddr, length: Length) {
    // SAFETY: the caller of the call says that it leads to the room at `place`, or is null.
    let Some(length) = (unsafe { length.as_mut() }) else { return };
    let bytes = address.map(|address| address::write(address, v6)).unwrap_or_default();
    let room = bytes.len().min(*length as usize);
    if bytes_out(place.cast(), &bytes[..room]).is_ok() {
        *length = bytes.len() as socklen_t;
    }
}

/// Microseconds since 1970.
fn micros(at: Instant) -> u64 {
    EPOCH * 1_000_000 + at.as_micros()
}

#[cfg(test)]
mod tests;
