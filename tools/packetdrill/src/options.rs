//! Socket options by their numbers, and their values as bytes.

use ustack::time::Duration;
use ustack_tools::run::process::OptionValue;

use crate::machine::Stop;
use crate::process::{Process, fails};

/// Level and number of each option that has a name.
const OPTIONS: &[(i32, i32, &str)] = &[
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, "SO_REUSEADDR"),
    (libc::SOL_SOCKET, libc::SO_TYPE, "SO_TYPE"),
    (libc::SOL_SOCKET, libc::SO_ERROR, "SO_ERROR"),
    (libc::SOL_SOCKET, libc::SO_BROADCAST, "SO_BROADCAST"),
    (libc::SOL_SOCKET, libc::SO_SNDBUF, "SO_SNDBUF"),
    (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, "SO_SNDBUFFORCE"),
    (libc::SOL_SOCKET, libc::SO_RCVBUF, "SO_RCVBUF"),
    (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, "SO_RCVBUFFORCE"),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, "SO_KEEPALIVE"),
    (libc::SOL_SOCKET, libc::SO_LINGER, "SO_LINGER"),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, "SO_RCVLOWAT"),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO, "SO_RCVTIMEO"),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO, "SO_SNDTIMEO"),
    (libc::SOL_SOCKET, libc::SO_MAX_PACING_RATE, "SO_MAX_PACING_RATE"),
    (libc::SOL_SOCKET, libc::SO_ACCEPTCONN, "SO_ACCEPTCONN"),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, "TCP_NODELAY"),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG, "TCP_MAXSEG"),
    (libc::IPPROTO_TCP, libc::TCP_CORK, "TCP_CORK"),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, "TCP_KEEPIDLE"),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, "TCP_KEEPINTVL"),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, "TCP_KEEPCNT"),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, "TCP_SYNCNT"),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, "TCP_LINGER2"),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK, "TCP_QUICKACK"),
    (libc::IPPROTO_TCP, libc::TCP_CONGESTION, "TCP_CONGESTION"),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN, "TCP_FASTOPEN"),
    (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, "TCP_FASTOPEN_CONNECT"),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"),
    (libc::IPPROTO_TCP, libc::TCP_INFO, "TCP_INFO"),
    (libc::IPPROTO_IP, libc::IP_MTU, "IP_MTU"),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU, "IPV6_MTU"),
    (libc::IPPROTO_IP, libc::IP_TTL, "IP_TTL"),
    (libc::IPPROTO_IP, libc::IP_TOS, "IP_TOS"),
    (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, "IP_MTU_DISCOVER"),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS"),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, "IPV6_TCLASS"),
    (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, "IPV6_MTU_DISCOVER"),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, "IPV6_V6ONLY"),
];

impl Process {
    /// The value of an option as bytes.
    pub(crate) fn option(&mut self, number: i32, level: i32, option: i32) -> Result<Vec<u8>, Stop> {
        let (fd, host) = self.parts(number)?;
        let name = name(level, option).ok_or(libc::ENOPROTOOPT)?;
        let now = host.now;
        let value = fd.option(&mut host.stack, now, name).map_err(fails)?;
        Ok(match value {
            // Unsigned, as many are: no limit is all bits.
            OptionValue::Int(value) if name == "SO_MAX_PACING_RATE" => (value as u32).to_ne_bytes().to_vec(),
            OptionValue::Info(bytes) => bytes,
            OptionValue::Timeout(timeout) => {
                let micros = timeout.unwrap_or_default().as_micros();
                [(micros / 1_000_000).to_ne_bytes(), (micros % 1_000_000).to_ne_bytes()].concat()
            }
            OptionValue::Int(value) => bytes_of(value).to_vec(),
            OptionValue::Text(text) => [text.as_bytes(), &[0]].concat(),
            OptionValue::Linger(linger) => {
                let seconds = i64::try_from(linger.map_or(0, Duration::as_secs)).unwrap_or(i64::MAX);
                [bytes_of(linger.is_some().into()), bytes_of(seconds)].concat()
            }
        })
    }

    /// Sets an option from bytes.
    pub(crate) fn set_option(
        &mut self,
        number: i32,
        level: i32,
        option: i32,
        bytes: &[u8],
    ) -> Result<(), Stop> {
        let (fd, host) = self.parts(number)?;
        let name = name(level, option).ok_or(libc::ENOPROTOOPT)?;
        let value = match name {
            "TCP_CONGESTION" => {
                let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                OptionValue::Text(String::from_utf8_lossy(text).into_owned())
            }
            "SO_LINGER" => {
                let seconds = u64::try_from(int_at(bytes, 4)?).unwrap_or(0);
                OptionValue::Linger((int_at(bytes, 0)? != 0).then_some(Duration::from_secs(seconds)))
            }
            // `struct timeval`
            "SO_RCVTIMEO" | "SO_SNDTIMEO" => {
                let span =
                    Duration::from_secs(long_at(bytes, 0)?) + Duration::from_micros(long_at(bytes, 8)?);
                OptionValue::Timeout((!span.is_zero()).then_some(span))
            }
            // Either width is taken; all bits of it are no limit.
            "SO_MAX_PACING_RATE" => OptionValue::Int(match long_at(bytes, 0) {
                Ok(rate) => i64::try_from(rate).unwrap_or(-1),
                Err(_) => i64::from(int_at(bytes, 0)?.cast_unsigned()),
            }),
            _ => OptionValue::Int(int_at(bytes, 0)?.into()),
        };
        let now = host.now;
        fd.set_option(&mut host.stack, now, name, value).map_err(fails)
    }
}

fn name(level: i32, option: i32) -> Option<&'static str> {
    OPTIONS.iter().find(|(l, o, _)| (*l, *o) == (level, option)).map(|(.., name)| *name)
}

fn bytes_of(value: i64) -> [u8; 4] {
    i32::try_from(value).unwrap_or(i32::MAX).to_ne_bytes()
}

fn int_at(bytes: &[u8], at: usize) -> Result<i32, Stop> {
    let part = bytes.get(at..at + 4).and_then(|part| part.try_into().ok());
    Ok(i32::from_ne_bytes(part.ok_or(libc::EINVAL)?))
}

fn long_at(bytes: &[u8], at: usize) -> Result<u64, Stop> {
    let part = bytes.get(at..at + 8).and_then(|part| part.try_into().ok());
    Ok(u64::from_ne_bytes(part.ok_or(libc::EINVAL)?))
}
