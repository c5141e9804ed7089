//! Calls that move bytes: `read recv recvfrom readv write send sendto writev`.

use ustack::tcp::State;
use ustack::{Error, SocketId};

use super::constant::{MSG_MORE, MSG_PEEK, errno_of};
use super::fd::{Fd, Kind};
use super::open::open_datagram;
use super::{Args, Outcome, Process, Progress, fails, fails_with, or_blocks, returns};
use crate::run::flow::{first_wrong, pattern_bytes};
use crate::run::world::World;

/// Bytes of the largest buffer that a script can name.
const MAX_BUFFER: i64 = 1 << 28;

pub(super) fn receive(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let room = match args.call.name.as_str() {
        "readv" => args.pieces(args.get(1)?)?,
        "recvmsg" => args.message(1)?,
        _ => length(args.int(2)?)?,
    };
    let flags = flags(args)?;
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let mut buffer = vec![0; room];
    match (fd.kind, fd.id) {
        (Kind::Datagram, None) => Ok(or_blocks(fd, flags)),
        (Kind::Datagram, Some(id)) => receive_datagram(fd, world, id, &mut buffer, flags),
        (Kind::Stream, Some(id)) => receive_stream(fd, world, id, &mut buffer, flags),
        (Kind::Stream | Kind::Listener, _) => fails("ENOTCONN"),
    }
}

pub(super) fn send(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let count = match args.call.name.as_str() {
        "writev" => args.pieces(args.get(1)?)?,
        "sendmsg" => args.message(1)?,
        _ => length(args.int(2)?)?,
    };
    let flags = flags(args)?;
    let to = if args.call.name == "sendto" { args.address(4)? } else { None };
    let default = world.socket_address(world.settings.remote(), world.settings.connect_port);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match (fd.kind, fd.id) {
        (Kind::Stream, Some(id)) => send_stream(fd, world, id, count, flags, progress),
        (Kind::Stream, None) => fails("EPIPE"),
        (Kind::Listener, _) => fails("ENOTCONN"),
        (Kind::Datagram, _) => {
            let id = match open_datagram(fd, world) {
                Ok(id) => id,
                Err(error) => return fails_with(&error),
            };
            let is_connected = world.stack.peer_addr(id).is_ok();
            let to = to.or((args.call.name == "sendto" && !is_connected).then_some(default));
            match world.stack.udp_send_to(world.now, id, &pattern_bytes(0, count), to) {
                Ok(sent) => returns(sent),
                Err(Error::WouldBlock) => Ok(or_blocks(fd, flags)),
                Err(error) => fails_with(&error),
            }
        }
    }
}

fn receive_stream(
    fd: &mut Fd,
    world: &mut World,
    id: SocketId,
    buffer: &mut [u8],
    flags: i64,
) -> Result<Outcome, String> {
    let peeks = flags & MSG_PEEK != 0;
    let result =
        if peeks { world.stack.tcp_peek(id, buffer) } else { world.stack.tcp_recv(world.now, id, buffer) };
    match result {
        Ok(taken) => {
            if let Some(at) = first_wrong(fd.read, &buffer[..taken]) {
                return Err(format!("byte {at} of the stream is not the one that arrived there"));
            }
            if !peeks {
                fd.read = fd.read.wrapping_add(taken as u32);
            }
            returns(taken)
        }
        Err(Error::WouldBlock) => Ok(or_blocks(fd, flags)),
        // An error is told once; then the stream is at its end.
        Err(_) if fd.told => returns(0),
        Err(error) => {
            fd.told = true;
            fails_with(&error)
        }
    }
}

fn receive_datagram(
    fd: &Fd,
    world: &mut World,
    id: SocketId,
    buffer: &mut [u8],
    flags: i64,
) -> Result<Outcome, String> {
    let peeks = flags & MSG_PEEK != 0;
    let result =
        if peeks { world.stack.udp_peek_from(id, buffer) } else { world.stack.udp_recv_from(id, buffer) };
    match result {
        Ok(received) => match first_wrong(0, &buffer[..received.copied]) {
            Some(at) => Err(format!("byte {at} of the datagram is not the one that arrived there")),
            None => returns(received.copied),
        },
        Err(Error::WouldBlock) => Ok(or_blocks(fd, flags)),
        Err(error) => fails_with(&error),
    }
}

fn send_stream(
    fd: &mut Fd,
    world: &mut World,
    id: SocketId,
    count: usize,
    flags: i64,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let state = world.stack.tcp_info(id).map_err(|error| error.to_string())?.state;
    if matches!(state, State::SynSent | State::SynReceived) {
        return Ok(or_blocks(fd, flags));
    }
    while progress.bytes < count {
        let bytes = pattern_bytes(fd.written, count - progress.bytes);
        let result = if flags & MSG_MORE != 0 {
            world.stack.tcp_send_more(world.now, id, &bytes)
        } else {
            world.stack.tcp_send(world.now, id, &bytes)
        };
        match result {
            Ok(taken) => {
                progress.bytes += taken;
                fd.written = fd.written.wrapping_add(taken as u32);
            }
            Err(Error::WouldBlock)
                if progress.bytes > 0 && matches!(or_blocks(fd, flags), Outcome::Returns(_)) =>
            {
                break;
            }
            Err(Error::WouldBlock) => return Ok(or_blocks(fd, flags)),
            Err(_) if progress.bytes > 0 => break,
            // An error is told once; then nobody is there to write to.
            Err(_) if fd.told => return fails("EPIPE"),
            Err(error) => {
                fd.told = error != Error::BrokenPipe;
                return fails(errno_of(&error));
            }
        }
    }
    returns(progress.bytes)
}

/// The flags of a call that has some.
fn flags(args: &Args<'_>) -> Result<i64, String> {
    match args.call.name.as_str() {
        "recv" | "recvfrom" | "send" | "sendto" => args.int_or(3, 0),
        "recvmsg" | "sendmsg" => args.int_or(2, 0),
        _ => Ok(0),
    }
}

fn length(number: i64) -> Result<usize, String> {
    if (0..=MAX_BUFFER).contains(&number) {
        Ok(number as usize)
    } else {
        Err(format!("{number} is no length of a buffer"))
    }
}
