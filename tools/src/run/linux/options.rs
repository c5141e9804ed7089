//! The kernel's socket options by their names.

use std::io;
use std::time::Duration;

use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use socket2::Socket;

use crate::run::calls::OptionValue;

/// Options that are a number: name, level, and number of each.
macro_rules! numbers {
    ($($kind:ident $name:literal $level:path, $flag:path;)*) => {
        $(sockopt_impl!($kind, Both, $level, $flag, i32);)*

        /// The names of all.
        const NUMBERS: &[&str] = &[$($name),*];

        fn number(socket: &Socket, name: &str) -> nix::Result<i32> {
            match name {
                $($name => getsockopt(socket, $kind),)*
                _ => Err(nix::Error::ENOPROTOOPT),
            }
        }

        fn set_number(socket: &Socket, name: &str, value: i32) -> nix::Result<()> {
            match name {
                $($name => setsockopt(socket, $kind, &value),)*
                _ => Err(nix::Error::ENOPROTOOPT),
            }
        }
    };
}

#[allow(missing_docs, unreachable_pub, reason = "the macro makes a public type for each option")]
mod kinds {
    use super::*;

    numbers! {
        Error "SO_ERROR" libc::SOL_SOCKET, libc::SO_ERROR;
        ReuseAddr "SO_REUSEADDR" libc::SOL_SOCKET, libc::SO_REUSEADDR;
        ReusePort "SO_REUSEPORT" libc::SOL_SOCKET, libc::SO_REUSEPORT;
        Broadcast "SO_BROADCAST" libc::SOL_SOCKET, libc::SO_BROADCAST;
        SndBuf "SO_SNDBUF" libc::SOL_SOCKET, libc::SO_SNDBUF;
        RcvBuf "SO_RCVBUF" libc::SOL_SOCKET, libc::SO_RCVBUF;
        SndBufForce "SO_SNDBUFFORCE" libc::SOL_SOCKET, libc::SO_SNDBUFFORCE;
        RcvBufForce "SO_RCVBUFFORCE" libc::SOL_SOCKET, libc::SO_RCVBUFFORCE;
        RcvLowat "SO_RCVLOWAT" libc::SOL_SOCKET, libc::SO_RCVLOWAT;
        KeepAlive "SO_KEEPALIVE" libc::SOL_SOCKET, libc::SO_KEEPALIVE;
        KeepIdle "TCP_KEEPIDLE" libc::IPPROTO_TCP, libc::TCP_KEEPIDLE;
        KeepIntvl "TCP_KEEPINTVL" libc::IPPROTO_TCP, libc::TCP_KEEPINTVL;
        KeepCnt "TCP_KEEPCNT" libc::IPPROTO_TCP, libc::TCP_KEEPCNT;
        NoDelay "TCP_NODELAY" libc::IPPROTO_TCP, libc::TCP_NODELAY;
        Cork "TCP_CORK" libc::IPPROTO_TCP, libc::TCP_CORK;
        QuickAck "TCP_QUICKACK" libc::IPPROTO_TCP, libc::TCP_QUICKACK;
        MaxSeg "TCP_MAXSEG" libc::IPPROTO_TCP, libc::TCP_MAXSEG;
        UserTimeout "TCP_USER_TIMEOUT" libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT;
        SynCnt "TCP_SYNCNT" libc::IPPROTO_TCP, libc::TCP_SYNCNT;
        Linger2 "TCP_LINGER2" libc::IPPROTO_TCP, libc::TCP_LINGER2;
        IpMtu6 "IPV6_MTU" libc::IPPROTO_IPV6, libc::IPV6_MTU;
        MaxPacingRate "SO_MAX_PACING_RATE" libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE;
        DeferAccept "TCP_DEFER_ACCEPT" libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT;
        WindowClamp "TCP_WINDOW_CLAMP" libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP;
        NotSentLowat "TCP_NOTSENT_LOWAT" libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT;
        FastOpen "TCP_FASTOPEN" libc::IPPROTO_TCP, libc::TCP_FASTOPEN;
        FastOpenConnect "TCP_FASTOPEN_CONNECT" libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT;
        FastOpenNoCookie "TCP_FASTOPEN_NO_COOKIE" libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE;
        Ttl "IP_TTL" libc::IPPROTO_IP, libc::IP_TTL;
        Tos "IP_TOS" libc::IPPROTO_IP, libc::IP_TOS;
        MtuDiscover "IP_MTU_DISCOVER" libc::IPPROTO_IP, libc::IP_MTU_DISCOVER;
        Mtu "IP_MTU" libc::IPPROTO_IP, libc::IP_MTU;
        RecvErr "IP_RECVERR" libc::IPPROTO_IP, libc::IP_RECVERR;
        UnicastHops "IPV6_UNICAST_HOPS" libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS;
        Tclass "IPV6_TCLASS" libc::IPPROTO_IPV6, libc::IPV6_TCLASS;
        V6Only "IPV6_V6ONLY" libc::IPPROTO_IPV6, libc::IPV6_V6ONLY;
    }

    sockopt_impl!(NewestTcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; 280]);
    sockopt_impl!(TcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; 248]);
    sockopt_impl!(OlderTcpInfo, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u8; 232]);

    pub(super) fn is_number(name: &str) -> bool {
        NUMBERS.contains(&name)
    }

    pub(super) fn get_number(socket: &Socket, name: &str) -> io::Result<i32> {
        Ok(number(socket, name)?)
    }

    pub(super) fn put_number(socket: &Socket, name: &str, value: i32) -> io::Result<()> {
        Ok(set_number(socket, name, value)?)
    }

    /// `struct tcp_info` as the kernel writes it, as long as the kernel knows it.
    pub(in super::super) fn tcp_info(socket: &Socket) -> Option<Vec<u8>> {
        // What is asked for has to be there in full: each kernel has more than the one before.
        match kernel_version()? {
            (6, 18..) | (7.., _) => getsockopt(socket, NewestTcpInfo).ok().map(Vec::from),
            (6, 7..) => getsockopt(socket, TcpInfo).ok().map(Vec::from),
            (5, 4..) | (6, _) => getsockopt(socket, OlderTcpInfo).ok().map(Vec::from),
            _ => None,
        }
    }

    /// Of `6.18.4-generic` the first two numbers.
    fn kernel_version() -> Option<(u32, u32)> {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }
}

pub(super) use kinds::tcp_info;

/// Whether there is an option of that name.
pub(super) fn is_known(name: &str) -> bool {
    matches!(name, "SO_LINGER" | "SO_RCVTIMEO" | "SO_SNDTIMEO" | "TCP_CONGESTION" | "TCP_INFO")
        || kinds::is_number(name)
}

pub(super) fn get(socket: &Socket, name: &str) -> io::Result<OptionValue> {
    Ok(match name {
        "SO_LINGER" => OptionValue::Linger(socket.linger()?.map(Into::into)),
        "SO_RCVTIMEO" => OptionValue::Timeout(socket.read_timeout()?.map(Into::into)),
        "SO_SNDTIMEO" => OptionValue::Timeout(socket.write_timeout()?.map(Into::into)),
        "TCP_INFO" => OptionValue::Info(tcp_info(socket).ok_or(io::ErrorKind::Unsupported)?),
        "TCP_CONGESTION" => {
            let name = socket.tcp_congestion()?;
            let text = name.split(|&byte| byte == 0).next().unwrap_or_default();
            OptionValue::Text(String::from_utf8_lossy(text).into_owned())
        }
        _ => OptionValue::Int(kinds::get_number(socket, name)?.into()),
    })
}

pub(super) fn set(socket: &Socket, name: &str, value: OptionValue) -> io::Result<()> {
    match value {
        OptionValue::Linger(linger) => socket.set_linger(linger.map(Duration::from)),
        OptionValue::Timeout(timeout) if name == "SO_SNDTIMEO" => {
            socket.set_write_timeout(timeout.map(Duration::from))
        }
        OptionValue::Timeout(timeout) => socket.set_read_timeout(timeout.map(Duration::from)),
        OptionValue::Info(_) => Err(io::Error::from_raw_os_error(libc::ENOPROTOOPT)),
        OptionValue::Text(text) => socket.set_tcp_congestion(text.as_bytes()),
        OptionValue::Int(number) => {
            // Some are unsigned.
            let number = i32::try_from(number).or_else(|_| u32::try_from(number).map(u32::cast_signed));
            let number = number.map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
            kinds::put_number(socket, name, number)
        }
    }
}
