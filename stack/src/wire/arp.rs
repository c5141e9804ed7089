//! ARP for Ethernet and IPv4 (RFC 826).

use core::net::Ipv4Addr;

use etherparse::{ArpHardwareId, ArpPacketSlice};

use super::error::{Error, Layer, Reason, room};
use super::ethernet::{EtherType, MacAddr};

/// An ARP packet for Ethernet and IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// What it wants.
    pub operation: Operation,
    /// Ethernet address of the sender.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender; unspecified in a probe (RFC 5227 section 1.1).
    pub sender_ip: Ipv4Addr,
    /// Ethernet address of the target; unspecified in a request.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: Ipv4Addr,
}

/// What an ARP packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target's address?
    Request,
    /// The sender has its address.
    Reply,
}

impl Packet {
    /// Its length when written.
    pub const LEN: usize = 28;

    /// Whether this announces the sender's own address (a gratuitous ARP, RFC 5227 section 3).
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip
    }

    /// Whether this asks for an address before the sender uses it (RFC 5227 section 1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == Operation::Request && self.sender_ip.is_unspecified()
    }

    /// Reads a packet; padding after it is ignored.
    ///
    /// # Errors
    /// Too short; other kinds of addresses than Ethernet's and IPv4's; another operation.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let slice = ArpPacketSlice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Arp, &e))?;
        let unsupported = |offset| Error::malformed(Layer::Arp, offset, Reason::Unsupported);
        if slice.hw_addr_type() != ArpHardwareId::ETHERNET {
            return Err(unsupported(0));
        }
        if slice.proto_addr_type().0 != EtherType::IPV4.0 {
            return Err(unsupported(2));
        }
        let mac = |bytes| MacAddr::from_slice(bytes).ok_or(unsupported(4));
        let ip = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map_err(|_| unsupported(5));
        let operation = match slice.operation().0 {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(unsupported(6)),
        };
        Ok(Self {
            operation,
            sender_mac: mac(slice.sender_hw_addr())?,
            sender_ip: ip(slice.sender_protocol_addr())?,
            target_mac: mac(slice.target_hw_addr())?,
            target_ip: ip(slice.target_protocol_addr())?,
        })
    }

    /// The packet as it stands on the wire.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..2].copy_from_slice(&ArpHardwareId::ETHERNET.0.to_be_bytes());
        out[2..4].copy_from_slice(&EtherType::IPV4.0.to_be_bytes());
        out[4] = 6;
        out[5] = 4;
        out[7] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender_ip.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..28].copy_from_slice(&self.target_ip.octets());
        out
    }

    /// Writes the packet at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        room(out, Self::LEN, Layer::Arp)?.copy_from_slice(&self.to_bytes());
        Ok(Self::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Packet {
        Packet {
            operation: Operation::Request,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(10, 9, 0, 2),
            target_mac: MacAddr::UNSPECIFIED,
            target_ip: Ipv4Addr::new(10, 9, 0, 1),
        }
    }

    #[test]
    fn padding_is_ignored() {
        let mut padded = request().to_bytes().to_vec();
        padded.resize(46, 0);
        assert_eq!(Packet::parse(&padded), Ok(request()));
    }

    #[test]
    fn probes_and_announcements_are_told_apart() {
        let probe = Packet { sender_ip: Ipv4Addr::UNSPECIFIED, ..request() };
        let announcement = Packet { target_ip: request().sender_ip, ..request() };
        assert!(probe.is_probe() && !probe.is_announcement());
        assert!(announcement.is_announcement() && !announcement.is_probe());
        assert!(!request().is_probe() && !request().is_announcement());
    }

    #[test]
    fn only_ethernet_and_ipv4_are_read() {
        for (at, value) in [(1, 6), (3, 1), (4, 5), (5, 3), (7, 3)] {
            let mut bytes = request().to_bytes();
            bytes[at] = value;
            let error = Packet::parse(&bytes).unwrap_err();
            assert_eq!(error.reason(), Some(Reason::Unsupported), "byte {at}");
        }
        assert_eq!(Packet::parse(&request().to_bytes()[..27]), Err(Error::length(Layer::Arp, 28, 27)));
    }
}
