//! `setsockopt` and `getsockopt`.

use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{EcnPolicy, Keepalive, MtuProbing, TcpInfo};
use ustack::time::{Duration, Instant};
use ustack::{Error, Stack, udp};

use super::constant::{errno, errno_of};
use super::fd::{Fd, Kind};
use super::keys::{self, KeyCall};
use super::socket::{Errno, apply_ip};
use super::{Args, Outcome, Process, fails, returns};
use crate::run::script::{Argument, CallResult};
use crate::run::tcp_info;
use crate::run::world::World;

/// What an option is, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// A number, or 0 and 1.
    Int(i64),
    /// The name of a congestion control.
    Text(String),
    /// How long `close` may take, if that is limited.
    Linger(Option<Duration>),
    /// How long a call may wait; `None` for ever.
    Timeout(Option<Duration>),
    /// `struct tcp_info`, as long as the kernel writes it.
    Info(Vec<u8>),
}

/// `setsockopt(3, SOL_TCP, TCP_NODELAY, [1], 4) = 0`
pub(super) fn set(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    if let Some(call) = KeyCall::read(args)? {
        return keys::set(process, world, args, &call);
    }
    let name = args.name(2)?;
    let value = given(args, name)?;
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    match fd.set_option(&mut world.stack, world.wire.now, name, value) {
        Ok(()) => returns(0),
        Err("ENOPROTOOPT") => unknown(args, name),
        Err(errno) => fails(errno),
    }
}

/// The stack has no such option: a script that does not expect that is told so.
fn unknown(args: &Args<'_>, name: &str) -> Result<Outcome, String> {
    match args.call.result {
        CallResult::Is(_, Some(_)) => fails("ENOPROTOOPT"),
        _ => Err(format!("the stack has no socket option {name} (ENOPROTOOPT)")),
    }
}

/// `getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0`
pub(super) fn get(process: &mut Process, world: &mut World, args: &Args<'_>) -> Result<Outcome, String> {
    let name = args.name(2)?;
    let Some(fd) = process.fds.get_mut(args.int(0)?) else { return fails("EBADF") };
    let value = match fd.option(&mut world.stack, world.wire.now, name) {
        Ok(value) => value,
        Err("ENOPROTOOPT") => return unknown(args, name),
        Err(errno) => return fails(errno),
    };
    expect(args, name, &value)?;
    returns(0)
}

/// The value that `setsockopt` is given.
pub(in crate::run) fn given(args: &Args<'_>, name: &str) -> Result<OptionValue, String> {
    let value = args.get(3)?;
    Ok(match name {
        "TCP_CONGESTION" => OptionValue::Text(args.text(value)?),
        "SO_LINGER" => OptionValue::Linger(read_linger(value, args)?),
        "SO_RCVTIMEO" | "SO_SNDTIMEO" => OptionValue::Timeout(read_timeout(value, args)?),
        _ => OptionValue::Int(args.value(value)?),
    })
}

/// An error if `getsockopt` is to answer another value than this.
pub(in crate::run) fn expect(args: &Args<'_>, name: &str, value: &OptionValue) -> Result<(), String> {
    let answers = |text: String| Err(format!("getsockopt answers {text} for {name}"));
    match (args.get(3)?, value) {
        (Argument::Any, _) => Ok(()),
        (wanted, OptionValue::Int(value)) if args.value(wanted)? != *value => answers(format!("[{value}]")),
        (wanted, OptionValue::Text(text)) if args.text(wanted)? != *text => answers(format!("[\"{text}\"]")),
        (wanted, OptionValue::Linger(linger)) if read_linger(wanted, args)? != *linger => {
            let seconds = linger.map_or(0, Duration::as_secs);
            answers(format!("{{onoff={}, linger={seconds}}}", u8::from(linger.is_some())))
        }
        (wanted, OptionValue::Timeout(timeout)) if read_timeout(wanted, args)? != *timeout => {
            let micros = timeout.unwrap_or_default().as_micros();
            answers(format!("{{tv_sec={}, tv_usec={}}}", micros / 1_000_000, micros % 1_000_000))
        }
        (Argument::Struct(parts), OptionValue::Info(bytes)) => parts.iter().try_for_each(|(name, wanted)| {
            let field = name.strip_prefix("tcpi_").and_then(|name| tcp_info::field(bytes, name));
            match field {
                None => Err(format!("there is no {name} in struct tcp_info")),
                Some(_) if matches!(wanted, Argument::Any) => Ok(()),
                Some(value) if args.value(wanted)? == value => Ok(()),
                Some(value) => answers(format!("{{{name}={value}}}")),
            }
        }),
        _ => Ok(()),
    }
}

impl Fd {
    /// What an option is. Asking for `SO_ERROR` takes it away.
    ///
    /// # Errors
    /// There is no such option, or not now.
    pub fn option(&mut self, stack: &mut Stack, now: Instant, name: &str) -> Result<OptionValue, Errno> {
        match name {
            "TCP_INFO" if self.kind != Kind::Datagram => {
                let info = self.id.and_then(|id| stack.tcp_info_at(now, id).ok()).unwrap_or_default();
                Ok(OptionValue::Info(tcp_info::write(&info)))
            }
            "IP_MTU" | "IPV6_MTU" => {
                let info = self.id.and_then(|id| stack.tcp_info(id).ok()).ok_or("ENOTCONN")?;
                Ok(OptionValue::Int(info.pmtu.into()))
            }
            _ => current(self, stack, name).ok_or("ENOPROTOOPT"),
        }
    }

    /// Sets the option of that name: `"SO_LINGER"`.
    ///
    /// # Errors
    /// There is no such option, or no such value.
    pub fn set_option(
        &mut self,
        stack: &mut Stack,
        now: Instant,
        name: &str,
        value: OptionValue,
    ) -> Result<(), Errno> {
        change(self, name, value)?;
        let Some(id) = self.id else { return Ok(()) };
        let result = match self.kind {
            Kind::Stream if name == "TCP_CONGESTION" => {
                stack.tcp_set_congestion(now, id, self.tcp.congestion.clone())
            }
            Kind::Stream | Kind::Listener => {
                apply_ip(stack, id, self.ip);
                stack.tcp_configure(now, id, self.tcp.clone())
            }
            Kind::Datagram => {
                self.size_datagram_buffers(stack)?;
                stack.udp_set_options(id, self.udp)
            }
        };
        result.map_err(|error| errno_of(&error))
    }
}

/// Changes what the descriptor keeps; the error if there is no such option, or no such value.
fn change(fd: &mut Fd, name: &str, value: OptionValue) -> Result<(), Errno> {
    let number = match value {
        OptionValue::Text(name) => {
            fd.tcp.congestion = Algorithm::named(&name).ok_or("ENOENT")?;
            return Ok(());
        }
        OptionValue::Linger(linger) => {
            fd.tcp.linger = linger;
            return Ok(());
        }
        OptionValue::Timeout(timeout) => {
            *(if name == "SO_SNDTIMEO" { &mut fd.send_timeout } else { &mut fd.recv_timeout }) = timeout;
            return Ok(());
        }
        OptionValue::Info(_) => return Err("ENOPROTOOPT"),
        OptionValue::Int(number) => number,
    };
    let seconds = || u64::try_from(number).map(Duration::from_secs).unwrap_or_default();
    let small = || u8::try_from(number).unwrap_or(u8::MAX);
    let bytes = || usize::try_from(number).unwrap_or(0);
    let on = number != 0;
    let mut keepalive = fd.keepalive;
    match name {
        "SO_REUSEADDR" => fd.udp.reuse_address = on,
        "SO_BROADCAST" => fd.udp.broadcast = on,
        "SO_SNDBUF" | "SO_SNDBUFFORCE" if fd.kind == Kind::Datagram => fd.udp_buffers.1 = Some(bytes()),
        "SO_RCVBUF" | "SO_RCVBUFFORCE" if fd.kind == Kind::Datagram => fd.udp_buffers.0 = Some(bytes()),
        "SO_SNDBUF" | "SO_SNDBUFFORCE" => (fd.tcp.send_buffer, fd.tcp.send_tuning) = (bytes(), false),
        "SO_RCVBUF" | "SO_RCVBUFFORCE" => (fd.tcp.recv_buffer, fd.tcp.recv_tuning) = (bytes(), false),
        "SO_RCVLOWAT" => fd.tcp.recv_lowat = usize::try_from(number).unwrap_or(usize::MAX).max(1),
        // As Linux has it: all bits stand for no limit.
        "SO_MAX_PACING_RATE" => {
            fd.tcp.max_pacing_rate = u64::try_from(number).ok().filter(|&rate| rate != u64::from(u32::MAX));
        }
        "TCP_NOTSENT_LOWAT" => {
            let mark = usize::try_from(number).ok().filter(|&mark| mark > 0 && mark != u32::MAX as usize);
            fd.tcp.notsent_lowat = mark;
        }
        "SO_KEEPALIVE" => fd.tcp.keepalive = on.then_some(keepalive),
        "TCP_KEEPIDLE" => keepalive.time = seconds(),
        "TCP_KEEPINTVL" => keepalive.interval = seconds(),
        "TCP_KEEPCNT" => keepalive.count = small(),
        "TCP_NODELAY" => fd.tcp.nodelay = on,
        "TCP_CORK" => fd.tcp.cork = on,
        "TCP_QUICKACK" => fd.tcp.quickack = on,
        // Ours: a number of Linux's `tcp_ecn` for this socket alone.
        "TCP_ECN" => {
            fd.tcp.ecn = u8::try_from(number).ok().and_then(EcnPolicy::from_sysctl).ok_or("EINVAL")?
        }
        // Ours: a number of Linux's `tcp_mtu_probing` for this socket alone.
        "TCP_MTU_PROBING" => {
            fd.tcp.mtu_probing =
                u8::try_from(number).ok().and_then(MtuProbing::from_sysctl).ok_or("EINVAL")?
        }
        "TCP_MAXSEG" => fd.tcp.max_mss = Some(u16::try_from(number).unwrap_or(u16::MAX)),
        "TCP_USER_TIMEOUT" => {
            fd.tcp.user_timeout = on.then(|| Duration::from_millis(u64::try_from(number).unwrap_or(0)));
        }
        "TCP_SYNCNT" => fd.tcp.syn_retries = small(),
        "TCP_FASTOPEN" => fd.tcp.fast_open_queue = bytes(),
        "TCP_FASTOPEN_CONNECT" => fd.tcp.fast_open_connect = on,
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
        "IPV6_V6ONLY" => (fd.tcp.only_v6, fd.udp.only_v6) = (on, on),
        _ => return Err("ENOPROTOOPT"),
    }
    set_keepalive(fd, keepalive);
    Ok(())
}

fn set_keepalive(fd: &mut Fd, keepalive: Keepalive) {
    fd.keepalive = keepalive;
    if fd.tcp.keepalive.is_some() {
        fd.tcp.keepalive = Some(keepalive);
    }
}

/// What an option is; `None` if there is none of that name.
fn current(fd: &mut Fd, stack: &mut Stack, name: &str) -> Option<OptionValue> {
    let info = || fd.id.and_then(|id| stack.tcp_info(id).ok()).unwrap_or_default();
    let truth = |yes: bool| OptionValue::Int(i64::from(yes));
    Some(match name {
        "SO_ERROR" => OptionValue::Int(take_error(fd, stack)),
        "SO_TYPE" => OptionValue::Int(if fd.kind == Kind::Datagram { 2 } else { 1 }),
        "SO_ACCEPTCONN" => truth(fd.kind == Kind::Listener),
        "SO_REUSEADDR" => truth(fd.udp.reuse_address),
        "SO_BROADCAST" => truth(fd.udp.broadcast),
        "SO_SNDBUF" if fd.kind == Kind::Datagram => {
            datagram_buffer(fd.udp_buffers.1, udp::Buffers::default().send)
        }
        "SO_RCVBUF" if fd.kind == Kind::Datagram => {
            datagram_buffer(fd.udp_buffers.0, udp::Buffers::default().receive)
        }
        "SO_RCVLOWAT" => OptionValue::Int(i64::try_from(fd.tcp.recv_lowat).unwrap_or(i64::MAX)),
        "SO_RCVTIMEO" => OptionValue::Timeout(fd.recv_timeout),
        "SO_SNDTIMEO" => OptionValue::Timeout(fd.send_timeout),
        "SO_MAX_PACING_RATE" => {
            OptionValue::Int(fd.tcp.max_pacing_rate.map_or(u32::MAX.into(), |rate| rate as i64))
        }
        "TCP_NOTSENT_LOWAT" => OptionValue::Int(fd.tcp.notsent_lowat.unwrap_or(0) as i64),
        "SO_SNDBUF" => OptionValue::Int(fd.tcp.send_buffer as i64),
        "SO_RCVBUF" => OptionValue::Int(fd.tcp.recv_buffer as i64),
        "SO_KEEPALIVE" => truth(fd.tcp.keepalive.is_some()),
        "SO_LINGER" => OptionValue::Linger(fd.tcp.linger),
        "TCP_KEEPIDLE" => OptionValue::Int(fd.keepalive.time.as_secs() as i64),
        "TCP_KEEPINTVL" => OptionValue::Int(fd.keepalive.interval.as_secs() as i64),
        "TCP_KEEPCNT" => OptionValue::Int(i64::from(fd.keepalive.count)),
        "TCP_NODELAY" => truth(fd.tcp.nodelay),
        "TCP_CORK" => truth(fd.tcp.cork),
        "TCP_QUICKACK" => truth(fd.tcp.quickack),
        "TCP_ECN" => OptionValue::Int(fd.tcp.ecn.sysctl().map_or(-1, i64::from)),
        "TCP_MTU_PROBING" => OptionValue::Int(fd.tcp.mtu_probing.sysctl().into()),
        "TCP_MAXSEG" => OptionValue::Int(max_segment(fd, &info())),
        "TCP_USER_TIMEOUT" => {
            OptionValue::Int(fd.tcp.user_timeout.map_or(0, |timeout| timeout.as_millis() as i64))
        }
        "TCP_SYNCNT" => OptionValue::Int(i64::from(fd.tcp.syn_retries)),
        "TCP_FASTOPEN" => OptionValue::Int(fd.tcp.fast_open_queue as i64),
        "TCP_FASTOPEN_CONNECT" => truth(fd.tcp.fast_open_connect),
        "TCP_LINGER2" => OptionValue::Int(fd.tcp.fin_wait_2_timeout.as_secs() as i64),
        "TCP_CONGESTION" => match info().congestion {
            "" => OptionValue::Text(format!("{:?}", fd.tcp.congestion).to_lowercase()),
            name => OptionValue::Text(name.to_owned()),
        },
        "IP_TTL" | "IPV6_UNICAST_HOPS" => OptionValue::Int(fd.ip.hop_limit.map_or(64, i64::from)),
        "IP_TOS" | "IPV6_TCLASS" => OptionValue::Int(i64::from(fd.ip.traffic_class)),
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
fn take_error(fd: &mut Fd, stack: &mut Stack) -> i64 {
    let Some(id) = fd.id else { return 0 };
    let error = match fd.kind {
        Kind::Stream => stack.tcp_take_error(id).err(),
        Kind::Listener => None,
        Kind::Datagram => stack.udp_take_error(id).err(),
    };
    match error {
        None | Some(Error::WouldBlock) => 0,
        Some(_) if fd.told => 0,
        Some(error) => {
            fd.told = fd.kind == Kind::Stream && stack.tcp_failure(id).is_some();
            errno(errno_of(&error)).unwrap_or(0)
        }
    }
}

fn datagram_buffer(said: Option<usize>, default: usize) -> OptionValue {
    OptionValue::Int(said.unwrap_or(default) as i64)
}

/// `{tv_sec=1, tv_usec=0}`; zero is for ever.
fn read_timeout(value: &Argument, args: &Args<'_>) -> Result<Option<Duration>, String> {
    let part = |name| {
        let part = args.part(value, name).ok_or("a timeout is written {tv_sec=1, tv_usec=0}")?;
        args.value(part).map(|number| u64::try_from(number).unwrap_or(0))
    };
    let span = Duration::from_secs(part("tv_sec")?) + Duration::from_micros(part("tv_usec")?);
    Ok((!span.is_zero()).then_some(span))
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
