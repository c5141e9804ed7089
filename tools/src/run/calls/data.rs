//! Calls that move bytes: `read recv recvfrom readv write send sendto writev`.

use std::net::SocketAddr;

use super::constant::{MSG_FASTOPEN, MSG_PEEK, MSG_TRUNC};
use super::fd::{Fd, Kind};
use super::open::renew_flow;
use super::{Args, Outcome, Process, Progress, fails, halted, returns};
use crate::run::flow::{first_wrong, pattern_bytes};
use crate::run::world::World;

pub(super) fn receive(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let (room, flags) = (args.bytes()?, args.flags()?);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let mut buffer = vec![0; room];
    let before = progress.pending.bytes;
    let result =
        fd.receive_waiting(&mut world.stack, world.wire.now, &mut buffer, flags, &mut progress.pending);
    let is_stream = fd.kind == Kind::Stream;
    // What came before the call waited was looked at then.
    let new = match result {
        Ok(taken) if flags & MSG_PEEK != 0 || !is_stream => &buffer[..taken.bytes],
        _ => &buffer[before..progress.pending.bytes],
    };
    let (begin, what) = if is_stream { (fd.read, "stream") } else { (0, "datagram") };
    if !(is_stream && flags & MSG_TRUNC != 0)
        && let Some(at) = first_wrong(begin, new)
    {
        return Err(format!("byte {at} of the {what} is not the one that arrived there"));
    }
    if is_stream && flags & MSG_PEEK == 0 {
        fd.read = fd.read.wrapping_add(new.len() as u32);
    }
    match result {
        Ok(taken) => {
            if let Some(wanted) = args.wanted_sender()? {
                wanted.check(&args.call.name, taken.from)?;
            }
            returns(taken.answer)
        }
        Err(halt) => halted(halt),
    }
}

pub(super) fn send(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let (count, flags) = (args.bytes()?, args.flags()?);
    let to = if args.call.name == "sendto" { args.address(4)? } else { None };
    let default = world.wire.socket_address(world.wire.settings.remote(), world.wire.settings.connect_port);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    if flags & MSG_FASTOPEN != 0 {
        return send_fast_open(fd, world, count, to.unwrap_or(default), progress);
    }
    let (stack, now) = (&mut world.stack, world.wire.now);
    let is_stream = fd.kind != Kind::Datagram;
    let is_connected = fd.id.is_some_and(|id| stack.peer_addr(id).is_ok());
    let to = match is_stream {
        true => None,
        false => to.or((args.call.name == "sendto" && !is_connected).then_some(default)),
    };
    let before = progress.pending.bytes;
    let begin = if is_stream { fd.written.wrapping_sub(before as u32) } else { 0 };
    let result = fd.send_waiting(stack, now, &pattern_bytes(begin, count), flags, to, &mut progress.pending);
    if is_stream {
        fd.written = fd.written.wrapping_add((progress.pending.bytes - before) as u32);
    }
    match result {
        Ok(sent) => returns(sent),
        Err(halt) => halted(halt),
    }
}

/// `sendto(3, ..., 1000, MSG_FASTOPEN, ..., ...) = 1000`
fn send_fast_open(
    fd: &mut Fd,
    world: &mut World,
    count: usize,
    to: SocketAddr,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    if !progress.begun {
        match fd.connect_with_data(&mut world.stack, world.wire.now, to, &pattern_bytes(0, count)) {
            Ok(taken) => {
                progress.pending.bytes = taken;
                fd.written = taken as u32;
            }
            Err("EINPROGRESS") => {}
            Err(errno) => return fails(errno),
        }
        if let Some(id) = fd.id {
            renew_flow(world, id);
        }
    }
    if fd.nonblocking {
        return if progress.pending.bytes > 0 {
            returns(progress.pending.bytes)
        } else {
            fails("EINPROGRESS")
        };
    }
    match fd.connect(&mut world.stack, world.wire.now, to, true) {
        Ok(()) => returns(progress.pending.bytes),
        Err("EAGAIN") => Ok(Outcome::Blocks),
        Err(errno) => fails(errno),
    }
}
