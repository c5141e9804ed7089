//! Which addresses: the stack's, the kernel's end of a TAP, gateways.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ustack::device::Cidr;
use ustack::wire::ethernet::MacAddr;

use super::failure::Failure;

/// Addresses, as they are typed.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Addresses")]
pub(crate) struct AddressArgs {
    /// An address of the stack; may be repeated [default: 10.9.0.2/24 and fd09::2/64]
    #[arg(long, short, value_name = "ADDRESS/LENGTH")]
    pub(crate) address: Vec<Cidr>,
    /// An address of the kernel's end of a TAP or TUN; may be repeated [default: the first of each
    /// network, 10.9.0.1/24 and fd09::1/64]
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub(crate) kernel_address: Vec<Cidr>,
    /// The router to all other networks, one for each family
    #[arg(long, short, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// The stack's Ethernet address [default: made from its first address]
    #[arg(long, value_name = "MAC")]
    pub(crate) mac: Option<MacAddr>,
    /// Use addresses only when nobody else has answered to them (up to 7 seconds)
    #[arg(long)]
    pub(crate) detect_duplicates: bool,
    /// Believe IPv6 router advertisements: addresses and gateway come from there
    #[arg(long)]
    pub(crate) accept_router_advertisements: bool,
}

/// The addresses of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) stack: Vec<Cidr>,
    pub(crate) kernel: Vec<Cidr>,
}

impl AddressArgs {
    /// The addresses; `place` counts the members of a hub, so that each has others unless told otherwise.
    pub(crate) fn addresses(&self, place: u8) -> Addresses {
        let stack = if self.address.is_empty() { defaults(place) } else { self.address.clone() };
        let kernel = match self.kernel_address.is_empty() {
            true => stack.iter().filter_map(|&cidr| first_other(cidr)).collect(),
            false => self.kernel_address.clone(),
        };
        Addresses { stack, kernel }
    }

    /// Refuses what cannot be: two gateways of a family, or one that no address shares a network with.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let Addresses { stack, .. } = self.addresses(0);
        for (index, gateway) in self.gateway.iter().enumerate() {
            let same_family = |other: &&IpAddr| other.is_ipv4() == gateway.is_ipv4();
            if let Some(other) = self.gateway[..index].iter().find(same_family) {
                return Err(Failure::Usage(format!("two gateways for one family: {other} and {gateway}")));
            }
            let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !link_local && !stack.iter().any(|cidr| shares_network(*cidr, *gateway)) {
                let networks = stack.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(Failure::Usage(format!(
                    "the gateway {gateway} is in none of the stack's networks ({networks}): give an --address beside it"
                )));
            }
        }
        Ok(())
    }
}

/// 10.9.0.2/24 and fd09::2/64; the next ones for the next members of a hub.
fn defaults(place: u8) -> Vec<Cidr> {
    let host = 2 + u16::from(place);
    let v4 = Ipv4Addr::new(10, 9, 0, host.min(254) as u8);
    let v6 = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, host);
    [Cidr::new(v4.into(), 24), Cidr::new(v6.into(), 64)].into_iter().flatten().collect()
}

/// An Ethernet address of our own making, the same for the same address.
pub(crate) fn mac_for(address: IpAddr) -> MacAddr {
    let [.., a, b, c] = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    };
    // 02: locally administered, one host.
    MacAddr([0x02, b'u', b's', a, b, c])
}

/// The first address of the network that is not this one.
fn first_other(cidr: Cidr) -> Option<Cidr> {
    let bits = if cidr.address().is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    let host_bits = bits - u32::from(cidr.prefix_len());
    let network = to_bits(cidr.address()) & !low_bits(host_bits);
    // The network's own address is no host's (RFC 4291 2.6.1: it is the routers'), unless there are only two (RFC
    // 3021).
    let first = if host_bits == 1 { 0 } else { 1 };
    let candidates = (first..first + 2).map(|host| from_bits(network + host, cidr.address()));
    let other = candidates.into_iter().find(|&candidate| candidate != cidr.address())?;
    (host_bits > 0).then_some(())?;
    Cidr::new(other, cidr.prefix_len())
}

fn shares_network(cidr: Cidr, other: IpAddr) -> bool {
    let bits = if cidr.address().is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    let mask = !low_bits(bits - u32::from(cidr.prefix_len()));
    cidr.address().is_ipv4() == other.is_ipv4() && to_bits(cidr.address()) & mask == to_bits(other) & mask
}

fn low_bits(count: u32) -> u128 {
    1u128.checked_shl(count).map_or(u128::MAX, |bit| bit - 1)
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, family_of: IpAddr) -> IpAddr {
    match family_of {
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn typed(addresses: &[&str]) -> AddressArgs {
        AddressArgs { address: cidrs(addresses), ..AddressArgs::default() }
    }

    #[test]
    fn the_defaults_are_those_of_the_manual() {
        let Addresses { stack, kernel } = typed(&[]).addresses(0);
        assert_eq!(stack, cidrs(&["10.9.0.2/24", "fd09::2/64"]));
        assert_eq!(kernel, cidrs(&["10.9.0.1/24", "fd09::1/64"]));
    }

    #[test]
    fn members_of_a_hub_have_addresses_of_their_own() {
        assert_eq!(typed(&[]).addresses(3).stack, cidrs(&["10.9.0.5/24", "fd09::5/64"]));
    }

    #[test]
    fn the_kernels_end_is_the_first_other_address() {
        for (ours, kernels) in [
            ("192.168.7.9/24", Some("192.168.7.1/24")),
            ("192.168.7.1/24", Some("192.168.7.2/24")),
            ("10.1.2.3/31", Some("10.1.2.2/31")),
            ("10.1.2.3/32", None),
            ("2001:db8::1/64", Some("2001:db8::2/64")),
            ("2001:db8::5/128", None),
            ("10.0.0.7/0", Some("0.0.0.1/0")),
        ] {
            let kernels: Vec<_> = kernels.into_iter().collect();
            assert_eq!(typed(&[ours]).addresses(0).kernel, cidrs(&kernels), "{ours}");
        }
    }

    #[test]
    fn a_gateway_must_be_near() {
        let gateway = |address: &str| AddressArgs { gateway: vec![address.parse().unwrap()], ..typed(&[]) };
        assert!(gateway("10.9.0.1").check().is_ok());
        assert!(gateway("fe80::1").check().is_ok());
        let failure = gateway("192.168.1.1").check().unwrap_err();
        assert!(matches!(failure, Failure::Usage(text) if text.contains("10.9.0.2/24, fd09::2/64")));
    }

    #[test]
    fn one_gateway_for_each_family() {
        let mut args = typed(&[]);
        args.gateway = vec!["10.9.0.1".parse().unwrap(), "fd09::1".parse().unwrap()];
        assert!(args.check().is_ok());
        args.gateway.push("10.9.0.3".parse().unwrap());
        assert!(args.check().is_err());
    }
}
