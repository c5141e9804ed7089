//! Calls about sockets as wholes: `socket bind listen accept connect shutdown close`.

use std::net::Shutdown;

use ustack::SocketId;
use ustack::wire::ip::Protocol;

use super::fd::{Fd, Kind};
use super::{Args, Halt, Outcome, Process, Progress, fails, halted, returns};
use crate::run::settings::IpVersion;
use crate::run::world::World;

const SOCK_NONBLOCK: i64 = 0x800;
const SOCK_CLOEXEC: i64 = 0x80000;

pub(super) fn socket(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let v6 = match args.int_or(0, -1)? {
        -1 => world.wire.settings.version != IpVersion::V4,
        2 => false,
        10 => true,
        _ => return fails("EAFNOSUPPORT"),
    };
    let kind = args.int(1)?;
    let nonblocking = kind & SOCK_NONBLOCK != 0;
    let kind = match kind & !(SOCK_NONBLOCK | SOCK_CLOEXEC) {
        1 => Kind::Stream,
        2 => Kind::Datagram,
        _ => return fails("EPROTONOSUPPORT"),
    };
    let fd = Fd { nonblocking, ..Fd::new(kind, v6, &world.wire.settings) };
    let number = args.new_fd(&process.fds)?;
    process.fds.insert(number, fd)?;
    world.wire.forget_current();
    returns(number as usize)
}

pub(super) fn bind(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let given = args.address(1)?;
    let default = world.wire.socket_address(world.wire.settings.local(), world.wire.settings.bind_port);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match fd.bind(&mut world.stack, given.unwrap_or(default)) {
        Ok(()) => returns(0),
        Err(errno) => fails(errno),
    }
}

pub(super) fn listen(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let backlog = usize::try_from(args.int(1)?).unwrap_or(0);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let is_new = fd.kind != Kind::Listener;
    match fd.listen(&mut world.stack, backlog) {
        Ok(()) => {
            if is_new {
                world.wire.forget_current();
            }
            returns(0)
        }
        Err(errno) => fails(errno),
    }
}

pub(super) fn accept(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let Some(listener) = args.fd(&process.fds)? else { return fails("EBADF") };
    let flags = if args.call.name == "accept4" { args.int_or(3, 0)? } else { 0 };
    let accepted = match listener.accept(&mut world.stack, world.wire.now) {
        Ok(accepted) => accepted,
        Err("EAGAIN") => {
            let (now, timeout) = (world.wire.now, listener.recv_timeout);
            return halted(listener.wait(now, 0, timeout, &mut progress.pending));
        }
        Err(errno) => return fails(errno),
    };
    if let (Some(wanted), Some(id)) = (args.wanted_address(1)?, accepted.id) {
        wanted.check("accept", world.stack.peer_addr(id).ok())?;
    }
    let fd = Fd { nonblocking: flags & SOCK_NONBLOCK != 0, ..accepted };
    let number = args.new_fd(&process.fds)?;
    process.fds.insert(number, fd)?;
    returns(number as usize)
}

pub(super) fn connect(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let default = world.wire.socket_address(world.wire.settings.remote(), world.wire.settings.connect_port);
    let remote = args.address(1)?.unwrap_or(default);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let before = fd.id;
    let result = fd.connect(&mut world.stack, world.wire.now, remote, progress.begun);
    if let Some(id) = fd.id
        && before.is_none()
        && fd.kind == Kind::Stream
    {
        renew_flow(world, id);
    }
    match result {
        Ok(()) => returns(0),
        Err("EAGAIN") => match fd.wait(world.wire.now, 0, fd.send_timeout, &mut progress.pending) {
            // It goes on behind the call.
            Halt::Fails(_) => fails("EINPROGRESS"),
            Halt::Waits(_) => Ok(Outcome::Blocks),
        },
        Err(errno) => fails(errno),
    }
}

pub(super) fn shutdown(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let how = match args.int(1)? {
        0 => Shutdown::Read,
        1 => Shutdown::Write,
        2 => Shutdown::Both,
        _ => return fails("EINVAL"),
    };
    let Some(fd) = args.fd(&process.fds)? else { return fails("EBADF") };
    match fd.shutdown(&mut world.stack, world.wire.now, how) {
        Ok(()) => returns(0),
        Err(errno) => fails(errno),
    }
}

pub(super) fn close(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let Some(fd) = process.fds.remove(args.int(0)?) else { return fails("EBADF") };
    if let Some(id) = fd.id {
        world.stack.close(world.wire.now, id);
    }
    returns(0)
}

/// A connection between ports that had one before begins with new numbers.
pub(super) fn renew_flow(world: &mut World, id: SocketId) {
    let ends = world.stack.local_addr(id).ok().zip(world.stack.peer_addr(id).ok());
    if let Some((local, remote)) = ends
        && let Some(index) = world.wire.flow_between(Protocol::TCP, local, remote)
    {
        world.wire.flows[index].handle_connect();
        world.wire.current = Some(index);
    }
}
