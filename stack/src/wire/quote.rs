//! What is left of a packet that an ICMP error quotes: enough to find the socket that sent it.

use core::net::IpAddr;

use super::error::{Error, Layer, Reason};
use super::ip::Protocol;
use super::seq::SeqNum;
use super::{ext, ipv4, ipv6};

/// The beginning of one of our packets, as an error brings it back. Nothing in it is proven: an attacker can
/// write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Who sent the packet: one of our addresses.
    pub src: IpAddr,
    /// Where it went.
    pub dst: IpAddr,
    /// What it carried.
    pub protocol: Protocol,
    /// The first 8 bytes of what it carried.
    pub transport: QuotedTransport,
}

/// What the first 8 bytes of a quoted payload say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotedTransport {
    /// TCP.
    Tcp {
        /// Our port.
        src_port: u16,
        /// The other side's port.
        dst_port: u16,
        /// Sequence number of the segment (RFC 5927 section 4.1 checks it).
        seq: SeqNum,
    },
    /// UDP.
    Udp {
        /// Our port.
        src_port: u16,
        /// The other side's port.
        dst_port: u16,
    },
    /// An echo request.
    Echo {
        /// Its identifier.
        id: u16,
        /// Its number.
        seq: u16,
    },
    /// Something else, cut short, or not the first fragment.
    Unknown,
}

impl Quote {
    /// Reads a quoted packet, however short it was cut behind its IP headers.
    ///
    /// # Errors
    /// The IP headers are not whole, or of no version that we know.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let (src, dst, protocol, offset, payload): (IpAddr, IpAddr, _, _, _) =
            match bytes.first().map(|byte| byte >> 4) {
                Some(4) => {
                    let (header, payload) = ipv4::Header::parse_quoted(bytes)?;
                    let ipv4::Header { src, dst, protocol, fragment_offset, .. } = header;
                    (src.into(), dst.into(), protocol, fragment_offset, payload)
                }
                Some(6) => {
                    let (header, rest) = ipv6::Header::parse_quoted(bytes)?;
                    let walk =
                        ext::walk_quoted(header.next_header, rest).map_err(|e| e.at(ipv6::HEADER_LEN))?;
                    let offset = walk.fragment.map_or(0, |fragment| fragment.offset);
                    (header.src.into(), header.dst.into(), walk.protocol, offset, walk.payload)
                }
                Some(_) => return Err(Error::malformed(Layer::Ip, 0, Reason::Version)),
                None => return Err(Error::length(Layer::Ip, ipv4::MIN_HEADER_LEN, 0)),
            };
        let transport = match payload.first_chunk::<8>() {
            Some(first) if offset == 0 => QuotedTransport::read(protocol, *first),
            _ => QuotedTransport::Unknown,
        };
        Ok(Self { src, dst, protocol, transport })
    }
}

impl QuotedTransport {
    fn read(protocol: Protocol, first: [u8; 8]) -> Self {
        const ECHO_REQUEST_V4: u8 = 8;
        const ECHO_REQUEST_V6: u8 = 128;
        let [a, b, c, d, e, f, g, h] = first;
        let (src_port, dst_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match (protocol, a) {
            (Protocol::TCP, _) => {
                let seq = SeqNum::new(u32::from_be_bytes([e, f, g, h]));
                Self::Tcp { src_port, dst_port, seq }
            }
            (Protocol::UDP, _) => Self::Udp { src_port, dst_port },
            (Protocol::ICMP, ECHO_REQUEST_V4) | (Protocol::ICMPV6, ECHO_REQUEST_V6) => {
                Self::Echo { id: u16::from_be_bytes([e, f]), seq: u16::from_be_bytes([g, h]) }
            }
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    const PORTS_AND_SEQ: [u8; 8] = [0x30, 0x39, 0, 80, 1, 2, 3, 4];
    const TCP: QuotedTransport =
        QuotedTransport::Tcp { src_port: 12_345, dst_port: 80, seq: SeqNum::new(0x0102_0304) };

    fn v4(protocol: Protocol, change: impl Fn(&mut ipv4::Header)) -> Vec<u8> {
        let mut header =
            ipv4::Header::new(Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 1), protocol, 1, 1480);
        change(&mut header);
        let mut bytes = vec![0; header.header_len()];
        header.write(&mut bytes).unwrap();
        [bytes, PORTS_AND_SEQ.to_vec()].concat()
    }

    #[test]
    fn a_cut_packet_tells_its_socket() {
        let quote = Quote::parse(&v4(Protocol::TCP, |_| {})).unwrap();
        assert_eq!((quote.src, quote.dst), ([10, 9, 0, 2].into(), [10, 9, 0, 1].into()));
        assert_eq!((quote.protocol, quote.transport), (Protocol::TCP, TCP));
        let with_options = v4(Protocol::TCP, |header| header.options = ipv4::Options::ROUTER_ALERT);
        assert_eq!(Quote::parse(&with_options).unwrap().transport, TCP);
        let udp = Quote::parse(&v4(Protocol::UDP, |_| {})).unwrap().transport;
        assert_eq!(udp, QuotedTransport::Udp { src_port: 12_345, dst_port: 80 });
    }

    #[test]
    fn a_later_fragment_tells_no_ports() {
        let later = v4(Protocol::TCP, |header| header.fragment_offset = 1480);
        assert_eq!(Quote::parse(&later).unwrap().transport, QuotedTransport::Unknown);
        let short = &v4(Protocol::TCP, |_| {})[..27];
        assert_eq!(Quote::parse(short).unwrap().transport, QuotedTransport::Unknown);
        assert!(Quote::parse(&short[..19]).is_err());
    }

    #[test]
    fn extension_headers_are_passed() {
        let header = ipv6::Header::new(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, Protocol::FRAGMENT, 1, 1400);
        let mut bytes = vec![0; ipv6::HEADER_LEN];
        header.write(&mut bytes).unwrap();
        bytes.extend([Protocol::TCP.0, 0, 0, 1, 0, 0, 0, 9]);
        bytes.extend(PORTS_AND_SEQ);
        let quote = Quote::parse(&bytes).unwrap();
        assert_eq!((quote.protocol, quote.transport), (Protocol::TCP, TCP));
        assert_eq!(Quote::parse(&bytes[..44]), Err(Error::length(Layer::Extension, 8, 4).at(40)));
    }
}
