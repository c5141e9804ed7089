//! Links, addresses and routes of the kernel, changed through rtnetlink instead of the command `ip`.
//!
//! Messages are built in a fixed buffer, without allocating: a child between `fork` and `exec` uses this too.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::IpAddr;

use super::Cidr;
use super::sys::{self, IfName};

/// The kernel's ear for changes in the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Netlink(File);

/// What is changed about a link; `None` leaves as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkChange {
    pub(super) up: Option<bool>,
    pub(super) arp: Option<bool>,
    pub(super) mtu: Option<u32>,
    pub(super) mac: Option<[u8; 6]>,
    /// Keeps the kernel from giving the link an IPv6 address of its own.
    pub(super) no_link_local: bool,
    /// Moves the link into the network namespace of this process.
    pub(super) namespace_of: Option<u32>,
}

impl Netlink {
    /// Opens it for the thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        sys::netlink_route().map(|fd| Self(File::from(fd)))
    }

    /// Changes the link with that index.
    pub(super) fn change_link(&mut self, index: u32, change: &LinkChange) -> io::Result<()> {
        let (mut flags, mut mask) = (0, 0);
        let mut flag = |bit: i32, on: Option<bool>| {
            if let Some(on) = on {
                mask |= bit.cast_unsigned();
                flags |= if on { bit.cast_unsigned() } else { 0 };
            }
        };
        flag(libc::IFF_UP, change.up);
        flag(libc::IFF_NOARP, change.arp.map(|arp| !arp));
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.link_header(index, flags, mask);
        if let Some(mtu) = change.mtu {
            request.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        if let Some(mac) = change.mac {
            request.attribute(libc::IFLA_ADDRESS, &mac);
        }
        if let Some(process) = change.namespace_of {
            request.attribute(libc::IFLA_NET_NS_PID, &process.to_ne_bytes());
        }
        if change.no_link_local {
            request.nested(libc::IFLA_AF_SPEC, |request| {
                request.nested(libc::AF_INET6 as u16, |request| {
                    request.attribute(IFLA_INET6_ADDR_GEN_MODE, &[ADDR_GEN_MODE_NONE]);
                });
            });
        }
        self.ask(request)
    }

    /// Makes a pair of virtual Ethernet links.
    pub(super) fn add_veth(&mut self, name: &IfName, peer: &IfName) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.link_header(0, 0, 0);
        request.attribute(libc::IFLA_IFNAME, name.bytes());
        request.nested(libc::IFLA_LINKINFO, |request| {
            request.attribute(libc::IFLA_INFO_KIND, b"veth");
            request.nested(libc::IFLA_INFO_DATA, |request| {
                request.nested(VETH_INFO_PEER, |request| {
                    request.link_header(0, 0, 0);
                    request.attribute(libc::IFLA_IFNAME, peer.bytes());
                });
            });
        });
        self.ask(request)
    }

    /// Gives the link an address that is usable at once: IPv6 does not check for duplicates (`nodad`).
    pub(super) fn add_address(&mut self, index: u32, address: Cidr) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        request.put(&[family(address.address()), address.prefix_len(), IFA_F_NODAD, libc::RT_SCOPE_UNIVERSE]);
        request.put(&index.to_ne_bytes());
        request.ip_attribute(libc::IFA_LOCAL, address.address());
        request.ip_attribute(libc::IFA_ADDRESS, address.address());
        self.ask(request)
    }

    /// Sends everything that has no better route to `gateway`, a neighbour on that link.
    pub(super) fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_EXCL);
        // struct rtmsg: family, no destination, no source, no TOS, then table, protocol, scope, kind and flags.
        request.put(&[family(gateway), 0, 0, 0]);
        request.put(&[libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST]);
        request.put(&0u32.to_ne_bytes());
        request.ip_attribute(libc::RTA_GATEWAY, gateway);
        request.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.ask(request)
    }

    /// Whether packets for that address are for this machine.
    pub(super) fn is_local(&mut self, address: IpAddr) -> io::Result<bool> {
        /// Where `struct rtmsg` holds the kind of the route.
        const KIND: usize = HEADER + 7;
        let mut request = Request::with_flags(libc::RTM_GETROUTE, libc::NLM_F_REQUEST);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        request.put(&[family(address), bits, 0, 0]);
        request.put(&[0; 8]);
        request.ip_attribute(libc::RTA_DST, address);
        self.0.write_all(request.finished())?;
        let mut answer = [0; 1024];
        let len = self.0.read(&mut answer)?;
        let kind = answer[..len].get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        Ok(kind == Some(libc::RTM_NEWROUTE) && answer[KIND] == libc::RTN_LOCAL)
    }

    fn ask(&mut self, request: Request) -> io::Result<()> {
        self.0.write_all(request.finished())?;
        let mut answer = [0; 1024];
        let len = self.0.read(&mut answer)?;
        let answer = &answer[..len];
        let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        let status =
            answer.get(HEADER..HEADER + 4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes);
        match (kind.map(i32::from), status) {
            (Some(libc::NLMSG_ERROR), Some(0)) => Ok(()),
            (Some(libc::NLMSG_ERROR), Some(error)) => Err(io::Error::from_raw_os_error(-error)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
const NLA_F_NESTED: u16 = 1 << 15;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const IFA_F_NODAD: u8 = libc::IFA_F_NODAD as u8;

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    family as u8
}

/// One message on its way: a header whose length is filled in at the end, then fields and attributes.
///
/// All requests above are far shorter than the buffer, so running over its end is a bug and panics.
struct Request {
    bytes: [u8; 512],
    len: usize,
}

impl Request {
    /// A request that is answered with success or an error.
    fn new(kind: u16, flags: libc::c_int) -> Self {
        Self::with_flags(kind, flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK)
    }

    fn with_flags(kind: u16, flags: libc::c_int) -> Self {
        let mut request = Self { bytes: [0; 512], len: 0 };
        let flags = flags as u16;
        let ([kind0, kind1], [flags0, flags1]) = (kind.to_ne_bytes(), flags.to_ne_bytes());
        request.put(&[0; 4]);
        request.put(&[kind0, kind1, flags0, flags1]);
        // Sequence number and sender: one request is answered before the next is made.
        request.put(&[0; 8]);
        request
    }

    fn finished(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len = (self.len + bytes.len()).next_multiple_of(4);
        let total = self.len as u32;
        self.bytes[..4].copy_from_slice(&total.to_ne_bytes());
    }

    /// `struct ifinfomsg`
    fn link_header(&mut self, index: u32, flags: u32, mask: u32) {
        self.put(&[0; 4]);
        self.put(&index.to_ne_bytes());
        self.put(&flags.to_ne_bytes());
        self.put(&mask.to_ne_bytes());
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = (4 + value.len()) as u16;
        let ([len0, len1], [kind0, kind1]) = (len.to_ne_bytes(), kind.to_ne_bytes());
        self.put(&[len0, len1, kind0, kind1]);
        self.put(value);
    }

    fn ip_attribute(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    fn nested(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let start = self.len;
        self.attribute(kind | NLA_F_NESTED, &[]);
        inside(self);
        let len = (self.len - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&len.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let mut request = Request::new(libc::RTM_NEWLINK, 0);
        request.nested(7, |request| request.attribute(3, b"abc"));
        let bytes = request.finished();
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        assert_eq!(u32::from_ne_bytes(bytes[..4].try_into().unwrap()), 28);
        assert_eq!((word(16), word(18)), (12, 7 | NLA_F_NESTED));
        assert_eq!((word(20), word(22)), (7, 3));
        assert_eq!(&bytes[24..], b"abc\0");
    }

    #[test]
    fn what_is_ours_is_local() {
        let mut netlink = Netlink::open().unwrap();
        assert!(netlink.is_local("127.0.0.1".parse().unwrap()).unwrap());
        assert!(!netlink.is_local("192.0.2.1".parse().unwrap()).unwrap());
        // The answer was read to its end: the next is not mistaken for it.
        assert!(netlink.is_local("127.0.0.1".parse().unwrap()).unwrap());
    }

    #[test]
    fn the_kernel_answers_with_its_reason() {
        let mut netlink = Netlink::open().unwrap();
        let change = LinkChange { up: Some(true), ..LinkChange::default() };
        let error = netlink.change_link(999_999, &change).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EPERM)), "{error}");
    }
}
