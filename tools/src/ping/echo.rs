//! Echo requests, and what comes back about them, for both families.

use std::net::IpAddr;

use ustack::wire::ip::Protocol;
use ustack::wire::quote::{Quote, QuotedTransport};
use ustack::wire::{icmpv4, icmpv6};

/// The protocol that carries echoes to `address`.
pub(super) const fn protocol(address: IpAddr) -> Protocol {
    if address.is_ipv4() { Protocol::ICMP } else { Protocol::ICMPV6 }
}

/// Bytes before the data.
pub(super) const HEADER_LEN: usize = 8;

/// A request. Over IPv6 the stack completes the checksum, when it has chosen the source.
pub(super) fn request(destination: IpAddr, id: u16, seq: u16, size: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..size).map(|index| index as u8).collect();
    let mut bytes = vec![0; HEADER_LEN + size];
    let written = match destination {
        IpAddr::V4(_) => icmpv4::Message::EchoRequest { id, seq, data: &data }.write(&mut bytes),
        IpAddr::V6(dst) => {
            let src = std::net::Ipv6Addr::UNSPECIFIED;
            icmpv6::Message::EchoRequest { id, seq, data: &data }.write(&mut bytes, src, dst)
        }
    };
    debug_assert_eq!(written, Ok(bytes.len()));
    bytes
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Reply {
        seq: u16,
        data_len: usize,
    },
    /// Somebody on the way could not deliver a request of ours.
    Error {
        seq: u16,
        what: String,
    },
}

/// What an ICMP message tells about the requests under `id`; None if it is not about them.
pub(super) fn answer(bytes: &[u8], from: IpAddr, to: IpAddr, id: u16) -> Option<Answer> {
    let (what, quoted) = match (from, to) {
        (IpAddr::V4(_), _) => match icmpv4::Message::parse(bytes).ok()? {
            icmpv4::Message::EchoReply { id: of, seq, data } => return reply(of == id, seq, data),
            icmpv4::Message::DestinationUnreachable { code, mtu, quoted } => {
                (unreachable_v4(code, mtu), quoted)
            }
            icmpv4::Message::TimeExceeded { quoted, .. } => ("time to live exceeded".into(), quoted),
            icmpv4::Message::ParameterProblem { pointer, quoted, .. } => {
                (format!("parameter problem at byte {pointer}"), quoted)
            }
            icmpv4::Message::Redirect { gateway, quoted, .. } => (format!("redirected to {gateway}"), quoted),
            _ => return None,
        },
        (IpAddr::V6(src), IpAddr::V6(dst)) => match icmpv6::Message::parse(bytes, src, dst).ok()? {
            icmpv6::Message::EchoReply { id: of, seq, data } => return reply(of == id, seq, data),
            icmpv6::Message::DestinationUnreachable { code, quoted } => (unreachable_v6(code), quoted),
            icmpv6::Message::PacketTooBig { mtu, quoted } => (format!("packet too big (MTU {mtu})"), quoted),
            icmpv6::Message::TimeExceeded { quoted, .. } => ("hop limit exceeded".into(), quoted),
            icmpv6::Message::ParameterProblem { pointer, quoted, .. } => {
                (format!("parameter problem at byte {pointer}"), quoted)
            }
            _ => return None,
        },
        _ => return None,
    };
    match Quote::parse(quoted).ok()?.transport {
        QuotedTransport::Echo { id: of, seq } if of == id => Some(Answer::Error { seq, what }),
        _ => None,
    }
}

fn reply(ours: bool, seq: u16, data: &[u8]) -> Option<Answer> {
    ours.then_some(Answer::Reply { seq, data_len: data.len() })
}

fn unreachable_v4(code: u8, mtu: u16) -> String {
    use icmpv4::unreachable as why;
    match code {
        why::NETWORK => "network unreachable".into(),
        why::HOST => "host unreachable".into(),
        why::PROTOCOL => "protocol unreachable".into(),
        why::PORT => "port unreachable".into(),
        why::FRAGMENTATION_NEEDED => format!("fragmentation needed (MTU {mtu})"),
        why::ADMINISTRATIVELY_PROHIBITED => "administratively prohibited".into(),
        _ => format!("unreachable (code {code})"),
    }
}

fn unreachable_v6(code: u8) -> String {
    use icmpv6::unreachable as why;
    match code {
        why::NO_ROUTE => "no route".into(),
        why::ADDRESS => "address unreachable".into(),
        why::PORT => "port unreachable".into(),
        _ => format!("unreachable (code {code})"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));

    #[test]
    fn a_reply_is_known_by_its_id() {
        let mut bytes = [0; 12];
        icmpv4::Message::EchoReply { id: 7, seq: 3, data: &[1, 2, 3, 4] }.write(&mut bytes).unwrap();
        assert_eq!(answer(&bytes, PEER, US, 7), Some(Answer::Reply { seq: 3, data_len: 4 }));
        assert_eq!(answer(&bytes, PEER, US, 8), None);
    }

    #[test]
    fn an_error_is_known_by_what_it_quotes() {
        let echo = request(PEER, 7, 3, 0);
        let mut packet = [0; 28];
        let header = ustack::wire::ip::Header::new(US, PEER, Protocol::ICMP, 64, 8).unwrap();
        header.write(&mut packet).unwrap();
        packet[20..].copy_from_slice(&echo);
        let mut bytes = [0; 36];
        let error = icmpv4::Message::DestinationUnreachable { code: 1, mtu: 0, quoted: &packet };
        error.write(&mut bytes).unwrap();
        let expected = Answer::Error { seq: 3, what: "host unreachable".into() };
        assert_eq!(answer(&bytes, PEER, US, 7), Some(expected));
        assert_eq!(answer(&bytes, PEER, US, 9), None);
    }

    #[test]
    fn nonsense_is_no_answer() {
        assert_eq!(answer(&[0xff; 64], PEER, US, 7), None);
        assert_eq!(answer(&[], PEER, US, 7), None);
    }
}
