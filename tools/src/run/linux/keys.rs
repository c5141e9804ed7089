//! Keys of peers as the kernel takes them: `struct tcp_md5sig`, `struct tcp_ao_add` and `struct tcp_ao_info_opt`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::sys::socket::setsockopt;
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};
use ustack::tcp::{AoAlgorithm, AoKey};

use crate::run::calls::KeyCall;
use crate::run::keys::whole;

/// Bytes of a `struct sockaddr_storage`, and the most that a key has.
const ADDRESS_LEN: usize = 128;
const KEY_LEN: usize = 80;
const MD5_LEN: usize = ADDRESS_LEN + 8 + KEY_LEN;
const AO_LEN: usize = ADDRESS_LEN + 64 + 16 + KEY_LEN;
const AO_INFO_LEN: usize = 48;
/// Bits of `struct tcp_ao_add` and `struct tcp_ao_info_opt`.
const EXCLUDE_OPTIONS: u8 = 2;
const SET_RNEXT: u32 = 2;

#[allow(missing_docs, unreachable_pub, reason = "the macro makes a public type for each option")]
mod kinds {
    use super::*;

    /// Numbers that the C library does not name yet.
    const TCP_AO_ADD_KEY: libc::c_int = 38;
    const TCP_AO_INFO: libc::c_int = 40;

    sockopt_impl!(Md5, SetOnly, libc::IPPROTO_TCP, libc::TCP_MD5SIG, [u8; MD5_LEN]);
    sockopt_impl!(AoAdd, SetOnly, libc::IPPROTO_TCP, TCP_AO_ADD_KEY, [u8; AO_LEN]);
    sockopt_impl!(AoInfo, SetOnly, libc::IPPROTO_TCP, TCP_AO_INFO, [u8; AO_INFO_LEN]);
}

/// Does what a script's call says; `peer` is its other side, in the socket's family.
pub(super) fn set(socket: &Socket, call: &KeyCall, peer: SocketAddr) -> io::Result<()> {
    match call {
        KeyCall::Md5(secret) => setsockopt(socket, kinds::Md5, &md5(peer, secret))?,
        KeyCall::Ao(key) => setsockopt(socket, kinds::AoAdd, &ao(peer, key))?,
        KeyCall::Ask(rnext) => setsockopt(socket, kinds::AoInfo, &info(*rnext))?,
    }
    Ok(())
}

/// Whether this kernel is built with what the call of that name needs.
pub(super) fn is_there(name: &str) -> bool {
    let call = match name {
        "TCP_MD5SIG" => KeyCall::Md5(b"any".to_vec()),
        "TCP_AO_ADD_KEY" | "TCP_AO_INFO" => KeyCall::Ao(AoKey::new(1, 1, b"any")),
        _ => return true,
    };
    let peer = SocketAddr::from(([192, 0, 2, 1], 0));
    Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| set(&socket, &call, peer))
        .is_ok()
}

fn md5(peer: SocketAddr, secret: &[u8]) -> [u8; MD5_LEN] {
    let mut bytes = [0; MD5_LEN];
    let (address, rest) = bytes.split_at_mut(ADDRESS_LEN);
    put_address(address, peer);
    // Flags, a prefix that counts with a flag alone, the length, the interface.
    let (head, key) = rest.split_at_mut(8);
    head[2..4].copy_from_slice(&(secret.len() as u16).to_ne_bytes());
    put_key(key, secret);
    bytes
}

fn ao(peer: SocketAddr, key: &AoKey) -> [u8; AO_LEN] {
    let mut bytes = [0; AO_LEN];
    let (address, rest) = bytes.split_at_mut(ADDRESS_LEN);
    put_address(address, peer);
    let (name, rest) = rest.split_at_mut(64);
    let algorithm: &[u8] = match key.algorithm {
        AoAlgorithm::HmacSha1 => b"hmac(sha1)",
        AoAlgorithm::Aes128Cmac => b"cmac(aes128)",
    };
    name[..algorithm.len()].copy_from_slice(algorithm);
    // The interface, bits, padding; then prefix, both numbers, the MAC's length, flags and the key's length.
    let (head, secret) = rest.split_at_mut(16);
    let flags = if key.include_options { 0 } else { EXCLUDE_OPTIONS };
    let prefix = if peer.is_ipv4() { whole(peer.ip()) } else { 128 };
    head[10..].copy_from_slice(&[prefix, key.send_id, key.recv_id, 12, flags, key.secret.len() as u8]);
    put_key(secret, &key.secret);
    bytes
}

fn info(rnext: u8) -> [u8; AO_INFO_LEN] {
    let mut bytes = [0; AO_INFO_LEN];
    bytes[..4].copy_from_slice(&SET_RNEXT.to_ne_bytes());
    bytes[7] = rnext;
    bytes
}

/// `struct sockaddr_in` or `struct sockaddr_in6`, without a port.
fn put_address(place: &mut [u8], peer: SocketAddr) {
    match peer.ip() {
        IpAddr::V4(ip) => {
            place[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            place[4..8].copy_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            place[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            place[8..24].copy_from_slice(&ip.octets());
        }
    }
}

fn put_key(place: &mut [u8], secret: &[u8]) {
    let len = secret.len().min(place.len());
    place[..len].copy_from_slice(&secret[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_where_the_kernel_looks_for_them() {
        let peer = "192.0.2.1:80".parse().unwrap();
        let bytes = md5(peer, b"secret");
        assert_eq!((&bytes[4..8], &bytes[136..143]), (&[192, 0, 2, 1][..], &b"secret\0"[..]));
        assert_eq!(bytes[130..132], 6u16.to_ne_bytes());
        let key = AoKey { include_options: false, ..AoKey::new(3, 4, b"another") };
        let bytes = ao("[2001:db8::1]:80".parse().unwrap(), &key);
        assert_eq!(bytes[8..12], [0x20, 1, 0x0d, 0xb8]);
        assert_eq!(&bytes[128..138], b"hmac(sha1)");
        assert_eq!((&bytes[202..208], &bytes[208..216]), (&[128, 3, 4, 12, 2, 7][..], &b"another\0"[..]));
        assert_eq!((info(4)[0], info(4)[7]), (2, 4));
    }
}
