//! Interfaces by name: their index, state and offloads, and TUN/TAP queues, through `ioctl`.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, owned};

/// The name of an interface: 1 to 15 bytes without `/` and white space, ended by a zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct IfName([u8; libc::IFNAMSIZ]);

impl IfName {
    /// `None` if no interface can have that name.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let odd = |byte: u8| byte == 0 || byte == b'/' || byte == b':' || byte.is_ascii_whitespace();
        if name.is_empty() || name == "." || name == ".." || name.bytes().any(odd) {
            return None;
        }
        let mut bytes = [0; libc::IFNAMSIZ];
        bytes[..libc::IFNAMSIZ - 1].get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    /// The name; empty if the kernel's name is not text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    /// The name without its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        &self.0[..len]
    }

    fn request(&self, value: libc::__c_anonymous_ifr_ifru) -> libc::ifreq {
        libc::ifreq { ifr_name: self.0.map(|byte| byte as libc::c_char), ifr_ifru: value }
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A socket to ask the kernel about the interfaces of the thread's network namespace.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

impl Control {
    /// Opens it. Needs no privilege.
    pub(crate) fn open() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }).map(Self)
    }

    /// The interface's number.
    pub(crate) fn index(&self, name: &IfName) -> io::Result<u32> {
        let answer = self.ask(libc::SIOCGIFINDEX, name, libc::__c_anonymous_ifr_ifru { ifru_ifindex: 0 })?;
        // SAFETY: SIOCGIFINDEX answers in `ifru_ifindex`, and any bits are an integer.
        Ok(unsafe { answer.ifru_ifindex }.cast_unsigned())
    }

    /// The largest IP packet.
    pub(crate) fn mtu(&self, name: &IfName) -> io::Result<usize> {
        let answer = self.ask(libc::SIOCGIFMTU, name, libc::__c_anonymous_ifr_ifru { ifru_mtu: 0 })?;
        // SAFETY: SIOCGIFMTU answers in `ifru_mtu`, and any bits are an integer.
        Ok(usize::try_from(unsafe { answer.ifru_mtu }).unwrap_or(0))
    }

    /// The interface's `IFF_` flags.
    pub(crate) fn flags(&self, name: &IfName) -> io::Result<i32> {
        let answer = self.ask(libc::SIOCGIFFLAGS, name, libc::__c_anonymous_ifr_ifru { ifru_flags: 0 })?;
        // SAFETY: SIOCGIFFLAGS answers in `ifru_flags`, and any bits are an integer.
        Ok(unsafe { answer.ifru_flags }.into())
    }

    /// The link address, and its kind (`ARPHRD_`).
    pub(crate) fn link_address(&self, name: &IfName) -> io::Result<([u8; 6], u16)> {
        let empty = libc::sockaddr { sa_family: 0, sa_data: [0; 14] };
        let answer =
            self.ask(libc::SIOCGIFHWADDR, name, libc::__c_anonymous_ifr_ifru { ifru_hwaddr: empty })?;
        // SAFETY: SIOCGIFHWADDR answers in `ifru_hwaddr`, which was initialised.
        let address = unsafe { answer.ifru_hwaddr };
        let [a, b, c, d, e, f, ..] = address.sa_data.map(|byte| byte as u8);
        Ok(([a, b, c, d, e, f], address.sa_family))
    }

    /// The value of an ethtool setting, where `command` is one of the `ETHTOOL_G...` that answer one number.
    pub(crate) fn ethtool_get(&self, name: &IfName, command: u32) -> io::Result<u32> {
        self.ethtool(name, command, 0)
    }

    /// Sets an ethtool setting, where `command` is one of the `ETHTOOL_S...` that take one number.
    pub(crate) fn ethtool_set(&self, name: &IfName, command: u32, value: u32) -> io::Result<()> {
        self.ethtool(name, command, value).map(drop)
    }

    fn ethtool(&self, name: &IfName, command: u32, value: u32) -> io::Result<u32> {
        /// `struct ethtool_value`
        #[repr(C)]
        struct Value {
            command: u32,
            data: u32,
        }
        let mut value = Value { command, data: value };
        let data = std::ptr::from_mut(&mut value).cast();
        self.ask(libc::SIOCETHTOOL, name, libc::__c_anonymous_ifr_ifru { ifru_data: data })?;
        Ok(value.data)
    }

    fn ask(
        &self,
        request: libc::Ioctl,
        name: &IfName,
        value: libc::__c_anonymous_ifr_ifru,
    ) -> io::Result<libc::__c_anonymous_ifr_ifru> {
        let mut question = name.request(value);
        // SAFETY: all requests above take an `ifreq`; where it holds a pointer, that points to a live value of the
        // size which the request reads and writes.
        check(unsafe { libc::ioctl(self.0.as_raw_fd(), request, std::ptr::from_mut(&mut question)) })?;
        Ok(question.ifr_ifru)
    }
}

/// Attaches the open `/dev/net/tun` to the interface `name`, which is made if there is none, and answers its real name.
pub(crate) fn tun_attach(fd: BorrowedFd<'_>, name: &IfName, flags: i32) -> io::Result<IfName> {
    let flags = libc::c_short::try_from(flags).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut question = name.request(libc::__c_anonymous_ifr_ifru { ifru_flags: flags });
    // SAFETY: TUNSETIFF reads and writes an `ifreq`.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, std::ptr::from_mut(&mut question)) })?;
    Ok(IfName(question.ifr_name.map(|byte| byte as u8)))
}

/// Tells the kernel what merging and partial checksums the reader of a TUN/TAP understands (`TUN_F_`).
pub(crate) fn tun_offload(fd: BorrowedFd<'_>, features: u32) -> io::Result<()> {
    // SAFETY: TUNSETOFFLOAD takes a number, not a pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, libc::c_ulong::from(features)) })
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(IfName::new("tap0").unwrap().as_str(), "tap0");
        assert!(IfName::new("fifteen-bytes-x").is_some());
        for name in ["", ".", "..", "sixteen-bytes-xx", "a b", "a/b", "a\0b", "a:b"] {
            assert!(IfName::new(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn loopback_answers() {
        let control = Control::open().unwrap();
        let lo = IfName::new("lo").unwrap();
        assert_eq!(control.index(&lo).unwrap(), 1);
        assert!(control.mtu(&lo).unwrap() > 0);
        assert_ne!(control.flags(&lo).unwrap() & libc::IFF_LOOPBACK, 0);
        assert_eq!(control.link_address(&lo).unwrap().1, libc::ARPHRD_LOOPBACK);
        let missing = control.mtu(&IfName::new("no-such-if").unwrap()).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENODEV));
    }
}
