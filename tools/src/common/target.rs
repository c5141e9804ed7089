//! Whom to talk to: an address, or a name that the system's resolver knows.

use std::net::{IpAddr, SocketAddr, SocketAddrV6, ToSocketAddrs};

use ustack::InterfaceId;

use super::failure::Failure;

/// Which family is wanted.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct FamilyArgs {
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,
    /// IPv6 only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
}

impl FamilyArgs {
    fn wants(self, address: IpAddr) -> bool {
        if address.is_ipv4() { !self.ipv6 } else { !self.ipv4 }
    }

    /// The first address of `host`: what is written is taken as it is, and a name is looked up outside the stack.
    pub(crate) fn resolve(self, host: &str) -> Result<IpAddr, Failure> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let candidates = match literal {
            Ok(address) => vec![address],
            Err(_) => {
                let found = (host, 0).to_socket_addrs();
                let found =
                    found.map_err(|error| Failure::Unmet(format!("cannot look up `{host}`: {error}")))?;
                found.map(|address| address.ip()).collect()
            }
        };
        let wanted = candidates.iter().find(|&&address| self.wants(address));
        wanted.copied().ok_or_else(|| {
            let family = if self.ipv6 { "IPv6" } else { "IPv4" };
            Failure::Usage(format!("`{host}` has no {family} address"))
        })
    }
}

/// The address with its port; a link-local one is on the link of `interface`.
pub(crate) fn endpoint(address: IpAddr, port: u16, interface: InterfaceId) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => SocketAddrV6::new(v6, port, 0, interface.0).into(),
        _ => SocketAddr::new(address, port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_written() {
        let any = FamilyArgs::default();
        assert_eq!(any.resolve("10.9.0.1").unwrap().to_string(), "10.9.0.1");
        assert_eq!(any.resolve("[fd09::1]").unwrap().to_string(), "fd09::1");
    }

    #[test]
    fn keeps_to_the_family() {
        let v6 = FamilyArgs { ipv6: true, ..FamilyArgs::default() };
        assert!(
            matches!(v6.resolve("10.9.0.1"), Err(Failure::Usage(text)) if text.contains("no IPv6 address"))
        );
    }
}
