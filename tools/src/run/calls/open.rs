//! Calls about sockets as wholes: `socket bind listen accept connect shutdown close`.

use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use ustack::socket::table::IpOptions;
use ustack::wire::ip::Protocol;
use ustack::{Error, SocketId, udp};

use super::fd::{Fd, Kind};
use super::{Args, Outcome, Process, Progress, constant, fails, fails_with, or_blocks, returns};
use crate::run::settings::IpVersion;
use crate::run::world::World;

const SOCK_NONBLOCK: i64 = 0x800;
const SOCK_CLOEXEC: i64 = 0x80000;

pub(super) fn socket(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let v6 = match args.int_or(0, -1)? {
        -1 => world.settings.version != IpVersion::V4,
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
    let fd = Fd {
        kind,
        id: None,
        v6,
        nonblocking,
        bound: None,
        tcp: world.settings.tcp.clone(),
        keepalive: world.settings.keepalive,
        udp: udp::Options::default(),
        ip: IpOptions::default(),
        written: 0,
        read: 0,
        told: false,
        connecting: false,
    };
    let number = args.new_fd(&process.fds)?;
    process.fds.insert(number, fd)?;
    world.forget_current();
    returns(number as usize)
}

pub(super) fn bind(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let given = args.address(1)?;
    let default = world.socket_address(world.settings.local(), world.settings.bind_port);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    if fd.bound.is_some() || fd.id.is_some() {
        return fails("EINVAL");
    }
    let address = given.unwrap_or(default);
    fd.bound = Some(address);
    if fd.kind == Kind::Datagram
        && let Err(error) = open_datagram(fd, world)
    {
        return fails_with(&error);
    }
    returns(0)
}

pub(super) fn listen(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let backlog = usize::try_from(args.int(1)?).unwrap_or(0);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match (fd.kind, fd.id) {
        (Kind::Datagram, _) => return fails("EOPNOTSUPP"),
        (Kind::Stream, Some(_)) => return fails("EINVAL"),
        (Kind::Listener, _) => return returns(0),
        (Kind::Stream, None) => {}
    }
    let local = fd.bound.unwrap_or_else(|| any(fd.v6));
    match world.stack.tcp_listen(local, backlog, fd.tcp.clone()) {
        Ok(id) => {
            fd.kind = Kind::Listener;
            apply_ip(world, id, fd.ip);
            fd.id = Some(id);
            world.forget_current();
            returns(0)
        }
        Err(error) => fails_with(&error),
    }
}

pub(super) fn accept(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let Some(listener) = args.fd(&process.fds)? else { return fails("EBADF") };
    let (Kind::Listener, Some(id)) = (listener.kind, listener.id) else { return fails("EINVAL") };
    let flags = if args.call.name == "accept4" { args.int_or(3, 0)? } else { 0 };
    let accepted = match world.stack.tcp_accept(world.now, id) {
        Ok((accepted, _)) => accepted,
        Err(Error::WouldBlock) => return Ok(or_blocks(listener, 0)),
        Err(error) => return fails_with(&error),
    };
    let fd = Fd {
        kind: Kind::Stream,
        id: Some(accepted),
        nonblocking: flags & SOCK_NONBLOCK != 0,
        tcp: world.stack.tcp_settings(accepted).map_err(|error| error.to_string())?,
        bound: None,
        ..listener.clone()
    };
    let number = args.new_fd(&process.fds)?;
    process.fds.insert(number, fd)?;
    returns(number as usize)
}

pub(super) fn connect(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &Progress,
) -> Result<Outcome, String> {
    let default = world.socket_address(world.settings.remote(), world.settings.connect_port);
    let remote = args.address(1)?.unwrap_or(default);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match fd.kind {
        Kind::Listener => fails("EISCONN"),
        Kind::Datagram => {
            let result = open_datagram(fd, world).and_then(|id| world.stack.udp_connect(id, Some(remote)));
            result.map_or_else(|error| fails_with(&error), |()| returns(0))
        }
        Kind::Stream => match fd.id {
            Some(id) => connected(fd, world, id, progress),
            None => begin_connect(fd, world, remote),
        },
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
    match (fd.kind, fd.id) {
        (Kind::Stream, Some(id)) => {
            let result = world.stack.tcp_shutdown(world.now, id, how);
            result.map_or_else(|error| fails_with(&error), |()| returns(0))
        }
        _ => fails("ENOTCONN"),
    }
}

pub(super) fn close(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let Some(fd) = process.fds.remove(args.int(0)?) else { return fails("EBADF") };
    if let Some(id) = fd.id {
        world.stack.close(world.now, id);
    }
    returns(0)
}

/// The stack's socket of a datagram descriptor, which is bound now if it was not.
pub(super) fn open_datagram(fd: &mut Fd, world: &mut World) -> Result<SocketId, Error> {
    if let Some(id) = fd.id {
        return Ok(id);
    }
    let id = world.stack.udp_bind_with(fd.bound.unwrap_or_else(|| any(fd.v6)), fd.udp)?;
    fd.id = Some(id);
    Ok(id)
}

/// Hop limit and traffic class of a stream.
pub(super) fn apply_ip(world: &mut World, id: SocketId, ip: IpOptions) {
    if ip != IpOptions::default() {
        // The socket is a stream that exists: there is nothing that could fail.
        let _ = world.stack.tcp_set_ip_options(id, ip);
    }
}

/// Any address of the family, an ephemeral port.
fn any(v6: bool) -> SocketAddr {
    if v6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() }
}

fn begin_connect(fd: &mut Fd, world: &mut World, remote: SocketAddr) -> Result<Outcome, String> {
    // A wildcard address is of the family of what it connects to.
    let local = fd.bound.map(|bound| match bound.ip().to_canonical() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(any(remote.ip().to_canonical().is_ipv6()).ip(), bound.port())
        }
        ip => SocketAddr::new(ip, bound.port()),
    });
    match world.stack.tcp_connect(world.now, remote, local, fd.tcp.clone()) {
        Ok(id) => {
            apply_ip(world, id, fd.ip);
            fd.id = Some(id);
            fd.connecting = true;
            renew_flow(world, id);
            match or_blocks(fd, 0) {
                Outcome::Blocks => Ok(Outcome::Blocks),
                Outcome::Returns(_) => fails("EINPROGRESS"),
            }
        }
        Err(error) => fails_with(&error),
    }
}

/// A connection between ports that had one before begins with new numbers.
fn renew_flow(world: &mut World, id: SocketId) {
    let ends = world.stack.local_addr(id).ok().zip(world.stack.peer_addr(id).ok());
    if let Some((local, remote)) = ends
        && let Some(index) = world.flow_between(Protocol::TCP, local, remote)
    {
        world.flows[index].handle_connect();
        world.current = Some(index);
    }
}

fn connected(fd: &mut Fd, world: &mut World, id: SocketId, progress: &Progress) -> Result<Outcome, String> {
    let established = world.stack.tcp_established(id);
    match established {
        Err(Error::WouldBlock) if fd.nonblocking => fails("EALREADY"),
        Err(Error::WouldBlock) => Ok(Outcome::Blocks),
        Err(error) => {
            fd.connecting = false;
            fd.told = true;
            fails(constant::errno_of(&error))
        }
        // The call that began it, or the first one after it was done.
        Ok(()) if progress.begun || fd.connecting => {
            fd.connecting = false;
            returns(0)
        }
        Ok(()) => fails("EISCONN"),
    }
}
