//! `setsockopt` and `getsockopt`.

use ustack::Error;
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{Keepalive, TcpInfo};
use ustack::time::Duration;

use super::constant::{errno, errno_of};
use super::fd::{Fd, Kind};
use super::open::apply_ip;
use super::{Args, Outcome, Process, fails, fails_with, returns};
use crate::run::script::Argument;
use crate::run::world::World;

/// What `getsockopt` answers.
enum Value {
    Int(i64),
    Text(String),
    /// `{onoff=1, linger=0}`
    Linger(Option<Duration>),
}

/// `setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0`
pub(super) fn set(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let (name, value) = (args.name(2)?, args.get(3)?);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    if let Err(errno) = change(fd, name, value, args)? {
        return fails(errno);
    }
    let Some(id) = fd.id else { return returns(0) };
    let result = match fd.kind {
        Kind::Stream if name == "TCP_CONGESTION" => {
            world.stack.tcp_set_congestion(world.now, id, fd.tcp.congestion.clone())
        }
        Kind::Stream | Kind::Listener => {
            apply_ip(world, id, fd.ip);
            world.stack.tcp_configure(world.now, id, fd.tcp.clone())
        }
        Kind::Datagram => world.stack.udp_set_options(id, fd.udp),
    };
    result.map_or_else(|error| fails_with(&error), |()| returns(0))
}

/// `getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0`
pub(super) fn get(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let (name, wanted) = (args.name(2)?, args.get(3)?);
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let Some(value) = current(fd, world, name) else { return fails("ENOPROTOOPT") };
    let answers = |text: String| Err(format!("getsockopt answers {text} for {name}"));
    match (wanted, value) {
        (Argument::Any, _) => {}
        (wanted, Value::Int(value)) if args.value(wanted)? != value => return answers(format!("[{value}]")),
        (wanted, Value::Text(text)) if args.text(wanted)? != text => return answers(format!("[\"{text}\"]")),
        (wanted, Value::Linger(linger)) if read_linger(wanted, args)? != linger => {
            let seconds = linger.map_or(0, Duration::as_secs);
            return answers(format!("{{onoff={}, linger={seconds}}}", u8::from(linger.is_some())));
        }
        _ => {}
    }
    returns(0)
}

/// Changes what the descriptor keeps; the error if there is no such option, or no such value.
fn change(
    fd: &mut Fd,
    name: &str,
    value: &Argument,
    args: &Args<'_>,
) -> Result<Result<(), &'static str>, String> {
    if name == "TCP_CONGESTION" {
        let Some(algorithm) = Algorithm::named(&args.text(value)?) else { return Ok(Err("ENOENT")) };
        fd.tcp.congestion = algorithm;
        return Ok(Ok(()));
    }
    if name == "SO_LINGER" {
        fd.tcp.linger = read_linger(value, args)?;
        return Ok(Ok(()));
    }
    let number = args.value(value)?;
    let seconds = || u64::try_from(number).map(Duration::from_secs).unwrap_or_default();
    let small = || u8::try_from(number).unwrap_or(u8::MAX);
    let bytes = || usize::try_from(number).unwrap_or(0);
    let on = number != 0;
    let mut keepalive = fd.keepalive;
    match name {
        "SO_REUSEADDR" => fd.udp.reuse_address = on,
        "SO_REUSEPORT" => {}
        "SO_BROADCAST" => fd.udp.broadcast = on,
        "SO_SNDBUF" | "SO_SNDBUFFORCE" => fd.tcp.send_buffer = bytes(),
        "SO_RCVBUF" | "SO_RCVBUFFORCE" => fd.tcp.recv_buffer = bytes(),
        "SO_KEEPALIVE" => fd.tcp.keepalive = on.then_some(keepalive),
        "TCP_KEEPIDLE" => keepalive.time = seconds(),
        "TCP_KEEPINTVL" => keepalive.interval = seconds(),
        "TCP_KEEPCNT" => keepalive.count = small(),
        "TCP_NODELAY" => fd.tcp.nodelay = on,
        "TCP_CORK" => fd.tcp.cork = on,
        "TCP_QUICKACK" => fd.tcp.quickack = on,
        "TCP_MAXSEG" => fd.tcp.max_mss = Some(u16::try_from(number).unwrap_or(u16::MAX)),
        "TCP_USER_TIMEOUT" => {
            fd.tcp.user_timeout = on.then(|| Duration::from_millis(u64::try_from(number).unwrap_or(0)));
        }
        "TCP_SYNCNT" => fd.tcp.syn_retries = small(),
        "TCP_LINGER2" => fd.tcp.fin_wait_2_timeout = seconds(),
        "IP_TTL" | "IPV6_UNICAST_HOPS" => {
            fd.ip.hop_limit = u8::try_from(number).ok();
            fd.udp.ttl = fd.ip.hop_limit;
        }
        "IP_TOS" | "IPV6_TCLASS" => {
            fd.ip.traffic_class = small();
            fd.udp.tos = small();
        }
        "IP_MTU_DISCOVER" | "IPV6_MTU_DISCOVER" => fd.udp.dont_fragment = number == 2,
        "IPV6_V6ONLY" => fd.udp.only_v6 = on,
        _ => return Ok(Err("ENOPROTOOPT")),
    }
    set_keepalive(fd, keepalive);
    Ok(Ok(()))
}

fn set_keepalive(fd: &mut Fd, keepalive: Keepalive) {
    fd.keepalive = keepalive;
    if fd.tcp.keepalive.is_some() {
        fd.tcp.keepalive = Some(keepalive);
    }
}

/// What an option is; `None` if there is none of that name.
fn current(fd: &mut Fd, world: &mut World, name: &str) -> Option<Value> {
    let info = || fd.id.and_then(|id| world.stack.tcp_info(id).ok()).unwrap_or_default();
    let truth = |yes: bool| Value::Int(i64::from(yes));
    Some(match name {
        "SO_ERROR" => Value::Int(take_error(fd, world)),
        "SO_TYPE" => Value::Int(if fd.kind == Kind::Datagram { 2 } else { 1 }),
        "SO_ACCEPTCONN" => truth(fd.kind == Kind::Listener),
        "SO_REUSEADDR" => truth(fd.udp.reuse_address),
        "SO_BROADCAST" => truth(fd.udp.broadcast),
        "SO_SNDBUF" => Value::Int(fd.tcp.send_buffer as i64),
        "SO_RCVBUF" => Value::Int(fd.tcp.recv_buffer as i64),
        "SO_KEEPALIVE" => truth(fd.tcp.keepalive.is_some()),
        "SO_LINGER" => Value::Linger(fd.tcp.linger),
        "TCP_KEEPIDLE" => Value::Int(fd.keepalive.time.as_secs() as i64),
        "TCP_KEEPINTVL" => Value::Int(fd.keepalive.interval.as_secs() as i64),
        "TCP_KEEPCNT" => Value::Int(i64::from(fd.keepalive.count)),
        "TCP_NODELAY" => truth(fd.tcp.nodelay),
        "TCP_CORK" => truth(fd.tcp.cork),
        "TCP_QUICKACK" => truth(fd.tcp.quickack),
        "TCP_MAXSEG" => Value::Int(max_segment(fd, &info())),
        "TCP_USER_TIMEOUT" => Value::Int(fd.tcp.user_timeout.map_or(0, |timeout| timeout.as_millis() as i64)),
        "TCP_SYNCNT" => Value::Int(i64::from(fd.tcp.syn_retries)),
        "TCP_LINGER2" => Value::Int(fd.tcp.fin_wait_2_timeout.as_secs() as i64),
        "TCP_CONGESTION" => match info().congestion {
            "" => Value::Text(format!("{:?}", fd.tcp.congestion).to_lowercase()),
            name => Value::Text(name.to_owned()),
        },
        "IP_TTL" | "IPV6_UNICAST_HOPS" => Value::Int(fd.ip.hop_limit.map_or(64, i64::from)),
        "IP_TOS" | "IPV6_TCLASS" => Value::Int(i64::from(fd.ip.traffic_class)),
        "IPV6_V6ONLY" => truth(fd.udp.only_v6),
        _ => return None,
    })
}

/// Before there is a connection what was asked for, after that what it is.
fn max_segment(fd: &Fd, info: &TcpInfo) -> i64 {
    match info.snd_mss {
        0 => i64::from(fd.tcp.max_mss.unwrap_or(536)),
        mss => i64::from(mss),
    }
}

/// The error that nobody was told of yet, as a number; it counts as told from now on.
fn take_error(fd: &mut Fd, world: &mut World) -> i64 {
    let Some(id) = fd.id else { return 0 };
    let error = match fd.kind {
        Kind::Stream => world.stack.tcp_established(id).err(),
        Kind::Listener => None,
        Kind::Datagram => world.stack.udp_take_error(id).err(),
    };
    match error {
        None | Some(Error::WouldBlock | Error::NotConnected) => 0,
        Some(_) if fd.told => 0,
        Some(error) => {
            fd.told = fd.kind == Kind::Stream && world.stack.tcp_failure(id).is_some();
            errno(errno_of(&error)).unwrap_or(0)
        }
    }
}

/// `{onoff=1, linger=0}`
fn read_linger(value: &Argument, args: &Args<'_>) -> Result<Option<Duration>, String> {
    let part = |name| {
        let part = args.part(value, name).ok_or_else(|| format!("SO_LINGER wants {{onoff=1, {name}=0}}"))?;
        args.value(part)
    };
    let on = part("onoff")? != 0;
    let seconds = u64::try_from(part("linger")?).unwrap_or(0);
    Ok(on.then_some(Duration::from_secs(seconds)))
}
