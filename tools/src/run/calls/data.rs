//! Calls that move bytes: `read recv recvfrom readv write send sendto writev`.

use std::net::SocketAddr;

use super::constant::{MSG_FASTOPEN, MSG_MORE, MSG_PEEK};
use super::fd::{Fd, Kind};
use super::open::renew_flow;
use super::{Args, Outcome, Process, Progress, fails, or_blocks, returns};
use crate::run::flow::{first_wrong, pattern_bytes};
use crate::run::world::World;

pub(super) fn receive(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let (room, flags) = (args.bytes()?, args.flags()?);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let mut buffer = vec![0; room];
    let peeks = flags & MSG_PEEK != 0;
    let taken = match fd.receive(&mut world.stack, world.wire.now, &mut buffer, peeks) {
        Ok(taken) => taken.bytes,
        Err("EAGAIN") => return Ok(or_blocks(fd, flags)),
        Err(errno) => return fails(errno),
    };
    let (begin, what) = if fd.kind == Kind::Datagram { (0, "datagram") } else { (fd.read, "stream") };
    if let Some(at) = first_wrong(begin, &buffer[..taken]) {
        return Err(format!("byte {at} of the {what} is not the one that arrived there"));
    }
    if !peeks && fd.kind == Kind::Stream {
        fd.read = fd.read.wrapping_add(taken as u32);
    }
    returns(taken)
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
    if fd.kind != Kind::Datagram {
        return send_stream(fd, world, count, flags, progress);
    }
    let is_connected = fd.id.is_some_and(|id| world.stack.peer_addr(id).is_ok());
    let to = to.or((args.call.name == "sendto" && !is_connected).then_some(default));
    match fd.send(&mut world.stack, world.wire.now, &pattern_bytes(0, count), to, false) {
        Ok(sent) => returns(sent),
        Err("EAGAIN") => Ok(or_blocks(fd, flags)),
        Err(errno) => fails(errno),
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
                progress.bytes = taken;
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
        return if progress.bytes > 0 { returns(progress.bytes) } else { fails("EINPROGRESS") };
    }
    match fd.connect(&mut world.stack, world.wire.now, to, true) {
        Ok(()) => returns(progress.bytes),
        Err("EAGAIN") => Ok(Outcome::Blocks),
        Err(errno) => fails(errno),
    }
}

fn send_stream(
    fd: &mut Fd,
    world: &mut World,
    count: usize,
    flags: i64,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    loop {
        let bytes = pattern_bytes(fd.written, count - progress.bytes);
        match fd.send(&mut world.stack, world.wire.now, &bytes, None, flags & MSG_MORE != 0) {
            Ok(taken) => {
                progress.bytes += taken;
                fd.written = fd.written.wrapping_add(taken as u32);
                if progress.bytes == count {
                    break;
                }
            }
            Err("EAGAIN") if progress.bytes > 0 && matches!(or_blocks(fd, flags), Outcome::Returns(_)) => {
                break;
            }
            Err("EAGAIN") => return Ok(or_blocks(fd, flags)),
            Err(_) if progress.bytes > 0 => break,
            Err(errno) => return fails(errno),
        }
    }
    returns(progress.bytes)
}
