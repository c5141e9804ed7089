//! Calls that ask or set what can be done: `poll fcntl ioctl`.

use super::constant::O_NONBLOCK;
use super::{Args, Outcome, Process, Progress, after_ms, fails, returns};
use crate::run::script::Argument;
use crate::run::world::World;

const IN: i64 = 0x1;
const OUT: i64 = 0x4;
const ERR: i64 = 0x8;
const HUP: i64 = 0x10;
const NVAL: i64 = 0x20;
const RDHUP: i64 = 0x2000;
const O_RDWR: i64 = 2;

/// `poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 1000) = 1`
pub(super) fn poll(
    process: &mut Process,
    world: &mut World,
    args: &Args<'_>,
    progress: &mut Progress,
) -> Result<Outcome, String> {
    let Argument::List(list) = args.get(0)? else {
        return Err("poll asks about a list: [{fd=4, events=POLLIN}]".into());
    };
    if progress.pending.deadline.is_none() {
        progress.pending.deadline = after_ms(world.wire.now, args.int(2)?);
    }
    let mut ready = Vec::new();
    for entry in list {
        let field = |name| args.part(entry, name);
        let number = args.value(field("fd").ok_or("poll wants the fd of each entry")?)?;
        let events = args.value(field("events").ok_or("poll wants the events of each entry")?)?;
        let revents = revents(process, world, number) & (events | ERR | HUP | NVAL);
        ready.push((number, revents, field("revents")));
    }
    let count = ready.iter().filter(|(_, revents, _)| *revents != 0).count();
    if count == 0 && progress.pending.deadline.is_none_or(|deadline| world.wire.now < deadline) {
        return Ok(Outcome::Blocks);
    }
    for (number, revents, wanted) in ready {
        if let Some(wanted) = wanted
            && args.value(wanted)? != revents
        {
            return Err(format!("poll answers revents={} for fd {number}", words(revents)));
        }
    }
    returns(count)
}

/// `fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0`
pub(super) fn fcntl(process: &mut Process, args: &Args<'_>) -> Result<Outcome, String> {
    let (command, flags) = (args.name(1)?, args.int_or(2, 0)?);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match command {
        "F_GETFL" => returns((O_RDWR | if fd.nonblocking { O_NONBLOCK } else { 0 }) as usize),
        "F_SETFL" => {
            fd.nonblocking = flags & O_NONBLOCK != 0;
            returns(0)
        }
        other => Err(format!("fcntl knows F_GETFL and F_SETFL, not {other}")),
    }
}

/// `ioctl(4, SIOCINQ, [1000]) = 0`
pub(super) fn ioctl(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let Some(fd) = args.fd(&process.fds)? else { return fails("EBADF") };
    let value = match fd.queued(&world.stack, args.int(1)?) {
        Ok(value) => value,
        Err(errno) => return fails(errno),
    };
    match args.call.arguments.get(2) {
        None | Some(Argument::Any) => {}
        Some(wanted) if args.value(wanted)? == value as i64 => {}
        Some(_) => return Err(format!("ioctl answers [{value}]")),
    }
    returns(0)
}

/// What a descriptor is ready for.
fn revents(process: &Process, world: &World, number: i64) -> i64 {
    process.fds.get(number).map_or(NVAL, |fd| fd.events(&world.stack))
}

/// Events as a script writes them.
pub(in crate::run) fn words(events: i64) -> String {
    let names = [
        (IN, "POLLIN"),
        (OUT, "POLLOUT"),
        (ERR, "POLLERR"),
        (HUP, "POLLHUP"),
        (NVAL, "POLLNVAL"),
        (RDHUP, "POLLRDHUP"),
    ];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| events & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "0".into() } else { set.join("|") }
}
