//! Constants and errors of the system by their names, with Linux's numbers.

use ustack::{Error, raw, udp};

/// Names of numbers.
const CONSTANTS: &[(&str, i64)] = &[
    ("AF_INET", 2),
    ("AF_INET6", 10),
    ("PF_INET", 2),
    ("PF_INET6", 10),
    ("SOCK_STREAM", 1),
    ("SOCK_DGRAM", 2),
    ("SOCK_NONBLOCK", 0x800),
    ("SOCK_CLOEXEC", 0x80000),
    ("IPPROTO_IP", 0),
    ("IPPROTO_TCP", 6),
    ("IPPROTO_UDP", 17),
    ("IPPROTO_IPV6", 41),
    ("SOL_SOCKET", 1),
    ("SOL_IP", 0),
    ("SOL_TCP", 6),
    ("SOL_UDP", 17),
    ("SOL_IPV6", 41),
    ("O_RDONLY", 0),
    ("O_WRONLY", 1),
    ("O_RDWR", 2),
    ("O_NONBLOCK", O_NONBLOCK),
    ("F_GETFL", 3),
    ("F_SETFL", 4),
    ("SHUT_RD", 0),
    ("SHUT_WR", 1),
    ("SHUT_RDWR", 2),
    ("MSG_OOB", MSG_OOB),
    ("MSG_PEEK", MSG_PEEK),
    ("MSG_TRUNC", MSG_TRUNC),
    ("MSG_DONTWAIT", MSG_DONTWAIT),
    ("MSG_EOR", MSG_EOR),
    ("MSG_WAITALL", MSG_WAITALL),
    ("MSG_NOSIGNAL", 0x4000),
    ("MSG_MORE", MSG_MORE),
    ("MSG_FASTOPEN", MSG_FASTOPEN),
    ("POLLIN", 0x1),
    ("POLLPRI", 0x2),
    ("POLLOUT", 0x4),
    ("POLLERR", 0x8),
    ("POLLHUP", 0x10),
    ("POLLNVAL", 0x20),
    ("POLLRDNORM", 0x40),
    ("POLLWRNORM", 0x100),
    ("POLLRDHUP", 0x2000),
    ("FIONREAD", FIONREAD),
    ("SIOCINQ", FIONREAD),
    ("SIOCOUTQ", SIOCOUTQ),
    ("TIOCOUTQ", SIOCOUTQ),
    ("SIOCOUTQNSD", SIOCOUTQNSD),
    ("IP_PMTUDISC_DONT", 0),
    ("IP_PMTUDISC_WANT", 1),
    ("IP_PMTUDISC_DO", 2),
    ("TCP_ESTABLISHED", 1),
    ("TCP_SYN_SENT", 2),
    ("TCP_SYN_RECV", 3),
    ("TCP_FIN_WAIT1", 4),
    ("TCP_FIN_WAIT2", 5),
    ("TCP_TIME_WAIT", 6),
    ("TCP_CLOSE", 7),
    ("TCP_CLOSE_WAIT", 8),
    ("TCP_LAST_ACK", 9),
    ("TCP_LISTEN", 10),
    ("TCP_CLOSING", 11),
    ("TCP_CA_Open", 0),
    ("TCP_CA_Disorder", 1),
    ("TCP_CA_CWR", 2),
    ("TCP_CA_Recovery", 3),
    ("TCP_CA_Loss", 4),
    ("TCPI_OPT_TIMESTAMPS", 1),
    ("TCPI_OPT_SACK", 2),
    ("TCPI_OPT_WSCALE", 4),
    ("TCPI_OPT_ECN", 8),
    ("TCPI_OPT_ECN_SEEN", 16),
    ("TCPI_OPT_SYN_DATA", 32),
    ("TCP_INFINITE_SSTHRESH", 0x7fff_ffff),
];

pub(in crate::run) const O_NONBLOCK: i64 = 0x800;
pub(super) const MSG_OOB: i64 = 1;
pub(in crate::run) const MSG_PEEK: i64 = 2;
pub(in crate::run) const MSG_TRUNC: i64 = 0x20;
pub(super) const MSG_EOR: i64 = 0x80;
pub(super) const MSG_WAITALL: i64 = 0x100;
pub(super) const MSG_DONTWAIT: i64 = 0x40;
pub(super) const MSG_MORE: i64 = 0x8000;
pub(super) const MSG_FASTOPEN: i64 = 0x2000_0000;
pub(in crate::run) const FIONREAD: i64 = 0x541b;
pub(in crate::run) const SIOCOUTQ: i64 = 0x5411;
pub(in crate::run) const SIOCOUTQNSD: i64 = 0x894b;

/// Errors by their names.
const ERRNOS: &[(&str, i64)] = &[
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EBADF", 9),
    ("EAGAIN", 11),
    ("EWOULDBLOCK", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EEXIST", 17),
    ("EINVAL", 22),
    ("EPIPE", 32),
    ("EPROTO", 71),
    ("ENOTSOCK", 88),
    ("EDESTADDRREQ", 89),
    ("EMSGSIZE", 90),
    ("ENOPROTOOPT", 92),
    ("EPROTONOSUPPORT", 93),
    ("EOPNOTSUPP", 95),
    ("EAFNOSUPPORT", 97),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ENETUNREACH", 101),
    ("ECONNABORTED", 103),
    ("ECONNRESET", 104),
    ("ENOBUFS", 105),
    ("EISCONN", 106),
    ("ENOTCONN", 107),
    ("ETIMEDOUT", 110),
    ("ECONNREFUSED", 111),
    ("EHOSTUNREACH", 113),
    ("EALREADY", 114),
    ("EINPROGRESS", 115),
];

/// The number of a constant or of an error.
pub(in crate::run) fn constant(name: &str) -> Option<i64> {
    CONSTANTS.iter().find(|(known, _)| *known == name).map(|&(_, number)| number).or_else(|| errno(name))
}

/// The number of an error.
pub fn errno(name: &str) -> Option<i64> {
    ERRNOS.iter().find(|(known, _)| *known == name).map(|&(_, number)| number)
}

/// The name of an error.
pub(in crate::run) fn errno_name(number: i32) -> &'static str {
    let found = ERRNOS.iter().find(|&&(_, known)| known == i64::from(number));
    found.map_or("an error without a name", |(name, _)| name)
}

/// The error that a system call answers with.
pub const fn errno_of(error: &Error) -> &'static str {
    match error {
        Error::WouldBlock => "EAGAIN",
        Error::NoSuchSocket => "EBADF",
        Error::AddressInUse(_) => "EADDRINUSE",
        Error::AddressNotAvailable(_) | Error::NoFreePort => "EADDRNOTAVAIL",
        Error::NetworkUnreachable(_) => "ENETUNREACH",
        Error::HostUnreachable => "EHOSTUNREACH",
        Error::ConnectionRefused => "ECONNREFUSED",
        Error::ConnectionReset => "ECONNRESET",
        Error::ConnectionAborted => "ECONNABORTED",
        Error::TimedOut => "ETIMEDOUT",
        Error::NotConnected => "ENOTCONN",
        Error::AlreadyConnected => "EISCONN",
        Error::BrokenPipe => "EPIPE",
        Error::LimitReached { .. } => "ENOBUFS",
        Error::Udp(udp::Error::MessageTooLong { .. }) | Error::Raw(raw::Error::MessageTooLong { .. }) => {
            "EMSGSIZE"
        }
        Error::Udp(udp::Error::DestinationRequired) => "EDESTADDRREQ",
        Error::Udp(udp::Error::AlreadyConnected) => "EISCONN",
        Error::Udp(udp::Error::BroadcastDenied(_)) => "EACCES",
        Error::Udp(udp::Error::WrongFamily(_)) => "EAFNOSUPPORT",
        _ => "EINVAL",
    }
}
