//! Socket addresses as C has them: `sockaddr_in` and `sockaddr_in6` as bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of a `sockaddr_in6`, the longest that we know.
pub(crate) const MAX_LEN: usize = 28;
const V4_LEN: usize = 16;
/// An address of a `sockaddr_in6` ends here: without the scope it is complete, too.
const V6_MIN_LEN: usize = 24;

/// Reads an address; the error is the one that a system call answers.
pub(crate) fn read(bytes: &[u8]) -> Result<SocketAddr, i32> {
    let array = |at: usize| bytes.get(at..at + 2).and_then(|part| <[u8; 2]>::try_from(part).ok());
    let family = array(0).map(u16::from_ne_bytes).ok_or(libc::EINVAL)?;
    let port = array(2).map(u16::from_be_bytes).ok_or(libc::EINVAL)?;
    let ip: IpAddr = match i32::from(family) {
        libc::AF_INET if bytes.len() >= V4_LEN => {
            <[u8; 4]>::try_from(&bytes[4..8]).map_err(|_| libc::EINVAL)?.into()
        }
        libc::AF_INET6 if bytes.len() >= V6_MIN_LEN => {
            <[u8; 16]>::try_from(&bytes[8..24]).map_err(|_| libc::EINVAL)?.into()
        }
        libc::AF_INET | libc::AF_INET6 => return Err(libc::EINVAL),
        _ => return Err(libc::EAFNOSUPPORT),
    };
    Ok(SocketAddr::new(ip, port))
}

/// Writes an address as a socket of that family sees it.
pub(crate) fn write(address: SocketAddr, v6: bool) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let v6_bytes = |ip: Ipv6Addr| {
        let mut bytes = vec![0; MAX_LEN];
        bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        bytes[2..4].copy_from_slice(&port);
        bytes[8..24].copy_from_slice(&ip.octets());
        bytes
    };
    match address.ip() {
        IpAddr::V4(ip) if !v6 => {
            let mut bytes = vec![0; V4_LEN];
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&port);
            bytes[4..8].copy_from_slice(&ip.octets());
            bytes
        }
        IpAddr::V4(ip) => v6_bytes(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => v6_bytes(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for text in ["192.0.2.1:80", "[2001:db8::1]:8080"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(read(&write(address, address.is_ipv6())), Ok(address));
        }
        let mapped = read(&write("192.0.2.1:80".parse().unwrap(), true)).unwrap();
        assert_eq!(mapped.to_string(), "[::ffff:192.0.2.1]:80");
    }

    #[test]
    fn short_and_foreign_ones_are_refused() {
        let v4 = write("192.0.2.1:80".parse().unwrap(), false);
        assert_eq!(read(&v4[..15]), Err(libc::EINVAL));
        assert_eq!(read(&v4[..1]), Err(libc::EINVAL));
        assert_eq!(read(&[1, 0, 0, 0]), Err(libc::EAFNOSUPPORT));
    }
}
