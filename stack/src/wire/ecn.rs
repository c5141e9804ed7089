//! The ECN field of a packet that is not ours to take apart (RFC 3168 section 5): read, and marked on the way.

/// Congestion experienced.
const CE: u8 = 3;
/// Where the field lies in an IPv4 header, and where its checksum.
const TOS_AT: usize = 1;
const CHECKSUM_AT: usize = 10;

/// The ECN field of an IP packet of either version, 0 to 3; `None` if these bytes are no IP packet.
pub fn field(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => Some(packet.get(TOS_AT)? & CE),
        // The traffic class lies across the first two bytes; its last two bits are bits 5 and 4 of the second.
        6 => Some(packet.get(1)? >> 4 & CE),
        _ => None,
    }
}

/// Sets congestion experienced, as a router does that would have dropped the packet otherwise. The IPv4 header's
/// checksum is brought up to date (RFC 1624); what is not an IP packet stays as it is.
pub fn mark(packet: &mut [u8]) {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 20 => {
            let word = |packet: &[u8], at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
            let before = word(packet, 0);
            packet[TOS_AT] |= CE;
            // RFC 1624 equation 3: HC' = ~(~HC + ~m + m').
            let sum = (0xffff - word(packet, CHECKSUM_AT)) + (0xffff - before) + word(packet, 0);
            let folded = (sum & 0xffff) + (sum >> 16);
            let folded = (folded & 0xffff) + (folded >> 16);
            packet[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&(!(folded as u16)).to_be_bytes());
        }
        Some(6) if packet.len() >= 2 => packet[1] |= CE << 4,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ip::Packet;
    use crate::wire::tests::strategies;
    use crate::wire::{ipv4, ipv6};

    proptest! {
        #[test]
        fn a_marked_packet_is_the_same_but_for_the_mark(header in strategies::ipv4(), v6 in strategies::ipv6()) {
            let mut bytes = vec![0; header.header_len() + usize::from(header.payload_len)];
            header.write(&mut bytes).unwrap();
            prop_assert_eq!(field(&bytes), Some(header.ecn));
            mark(&mut bytes);
            let expected = ipv4::Header { ecn: 3, ..header };
            prop_assert_eq!(ipv4::Header::parse(&bytes).map(|(read, _)| read), Ok(expected));

            let mut bytes = vec![0; ipv6::HEADER_LEN + usize::from(v6.payload_len)];
            v6.write(&mut bytes).unwrap();
            prop_assert_eq!(field(&bytes), Some(v6.ecn));
            mark(&mut bytes);
            prop_assert_eq!(ipv6::Header::parse(&bytes).map(|(read, _)| read), Ok(ipv6::Header { ecn: 3, ..v6 }));
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = (field(&bytes), Packet::parse(&bytes));
            mark(&mut bytes);
        }
    }
}
