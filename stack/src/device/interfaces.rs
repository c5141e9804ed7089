//! The interfaces of this machine and their addresses.

use super::Cidr;

/// An interface of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its number in the kernel.
    pub index: u32,
    /// Its link address, where it has one.
    pub mac: Option<[u8; 6]>,
    /// Its addresses, IPv4 and IPv6.
    pub addresses: Vec<Cidr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is the loopback.
    pub loopback: bool,
}

/// All interfaces of the thread's network namespace, in the order of their numbers.
pub fn interfaces() -> Vec<Interface> {
    let mut found: Vec<_> = ::pnet::datalink::interfaces().iter().map(Interface::from).collect();
    found.sort_by_key(|interface| interface.index);
    found
}

impl From<&::pnet::datalink::NetworkInterface> for Interface {
    fn from(found: &::pnet::datalink::NetworkInterface) -> Self {
        Self {
            name: found.name.clone(),
            index: found.index,
            mac: found.mac.map(|mac| mac.octets()),
            addresses: found.ips.iter().filter_map(|net| Cidr::new(net.ip(), net.prefix())).collect(),
            up: found.is_up(),
            loopback: found.is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_loopback() {
        let lo = interfaces().into_iter().find(|found| found.name == "lo").unwrap();
        assert!(lo.loopback);
        assert_eq!(lo.index, 1);
    }
}
