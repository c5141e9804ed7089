//! A frame of a conversation: what it was, why it was sent, what happened to it.

use std::net::SocketAddr;

use ustack::buf::frame::Checksum;
use ustack::capture::{LinkType, Text};
use ustack::sim::{Corruption, Passage};
use ustack::time::Instant;
use ustack::why::Why;
use ustack::wire::ethernet::{self, MacAddr};
use ustack::wire::ip::{Packet, Protocol};
use ustack::wire::{icmpv4, tcp, udp};

/// An end of the wire: ours, or the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Near,
    Far,
}

/// A frame that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// When it was sent.
    pub(crate) time: Instant,
    /// Who sent it.
    pub(crate) from: Side,
    /// Its number in its direction, its fate, and when it arrives.
    pub(crate) passage: Passage,
    /// Why it was sent, if the sender tells.
    pub(crate) why: Option<Why>,
    /// What it says.
    pub(crate) content: Content,
    /// Whether what arrives is taken: damage is found by a checksum, unless the bit that flipped is under none.
    pub(crate) is_whole: bool,
    /// Whether it is for the other side. ARP has no checksum: after damage a side may hold a wrong link address.
    pub(crate) is_addressed: bool,
    /// From which link address to which.
    link: Option<(MacAddr, MacAddr)>,
    /// Its length in bytes.
    pub(crate) len: usize,
}

/// What a frame says.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Tcp {
        header: tcp::Header,
        len: usize,
    },
    Udp {
        from: SocketAddr,
        to: SocketAddr,
        payload: Vec<u8>,
    },
    PortUnreachable,
    Arp(String),
    /// Whatever else passes: it is counted, and not shown.
    Other,
}

impl Frame {
    pub(crate) fn new(time: Instant, from: Side, passage: Passage, why: Option<Why>, bytes: &[u8]) -> Self {
        let content = Content::read(bytes);
        let is_whole = passage.fate.corrupt.is_none_or(|flip| survives(bytes, flip));
        let link = ethernet::Header::parse(bytes).ok().map(|(header, _)| (header.src, header.dst));
        Self { time, from, passage, why, content, is_whole, is_addressed: true, link, len: bytes.len() }
    }

    /// Finds out which frames are for the other side: `known` are the link addresses of the two, as far as they are
    /// seen.
    pub(crate) fn address(frames: &mut [Self], known: &mut [Option<MacAddr>; 2]) {
        for frame in frames.iter() {
            known[frame.from as usize] = known[frame.from as usize].or(frame.link.map(|(src, _)| src));
        }
        for frame in frames {
            let other = known[1 - frame.from as usize];
            let destination = frame.link.map(|(_, dst)| dst).filter(|dst| dst.is_unicast());
            frame.is_addressed = destination.is_none() || other.is_none() || destination == other;
        }
    }

    /// Whether it arrives, or its copy, and is taken.
    pub(crate) fn is_taken(&self) -> bool {
        self.arrivals().any(|arrival| arrival.is_taken)
    }

    /// When it arrives, in order: each time, and whether what arrives then is taken. The copy of a frame is never
    /// damaged.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = Arrival> + use<> {
        let Passage { arrival, copy_arrival, .. } = self.passage;
        let first = arrival.map(|time| Arrival {
            time,
            is_taken: self.is_whole && self.is_addressed,
            is_copy: false,
        });
        let copy = copy_arrival.map(|time| Arrival { time, is_taken: self.is_addressed, is_copy: true });
        first.into_iter().chain(copy)
    }

    /// Whether it has a row of its own in a ladder. Finding a neighbour is told only if something happens to it.
    pub(crate) fn is_shown(&self) -> bool {
        match self.content {
            Content::Other => false,
            Content::Arp(_) => self.passage.is_special,
            _ => true,
        }
    }

    pub(crate) fn tcp(&self) -> Option<(&tcp::Header, usize)> {
        match &self.content {
            Content::Tcp { header, len } => Some((header, *len)),
            _ => None,
        }
    }
}

/// A frame's arrival, or its copy's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) time: Instant,
    /// It is whole, and for whom it reaches.
    pub(crate) is_taken: bool,
    pub(crate) is_copy: bool,
}

impl Content {
    fn read(bytes: &[u8]) -> Self {
        let Some(packet) = LinkType::Ethernet.ip_packet(bytes) else {
            let line = Text::absolute().line(LinkType::Ethernet, bytes);
            return if line.starts_with("ARP") { Self::Arp(arp_words(&line)) } else { Self::Other };
        };
        Packet::parse(packet).ok().and_then(|packet| Self::read_packet(&packet)).unwrap_or(Self::Other)
    }

    fn read_packet(packet: &Packet<'_>) -> Option<Self> {
        let &Packet { src, dst, protocol, payload, .. } = packet;
        // Whether the checksum is right is not asked: these are the bytes as they were sent.
        match protocol {
            Protocol::TCP => {
                let (header, data) = tcp::Header::parse(payload, src, dst, Checksum::Verified).ok()?;
                Some(Self::Tcp { header, len: data.len() })
            }
            Protocol::UDP => {
                let (header, data) = udp::Header::parse(payload, src, dst, Checksum::Verified).ok()?;
                let (from, to) =
                    (SocketAddr::new(src, header.src_port), SocketAddr::new(dst, header.dst_port));
                Some(Self::Udp { from, to, payload: data.to_vec() })
            }
            Protocol::ICMP if is_port_unreachable(payload) => Some(Self::PortUnreachable),
            _ => None,
        }
    }
}

fn is_port_unreachable(icmp: &[u8]) -> bool {
    /// The type of the message "destination unreachable".
    const UNREACHABLE: u8 = 3;
    icmp.first() == Some(&UNREACHABLE) && icmp.get(1) == Some(&icmpv4::unreachable::PORT)
}

/// `ARP who-has 10.9.0.1 tell 10.9.0.2` in fewer words.
fn arp_words(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [_, "who-has", who, "tell", _] => format!("ARP: who has {who}?"),
        [_, who, "is-at", _] | [_, "announce", who, "is-at", _] => format!("ARP: {who} is here"),
        _ => line.to_owned(),
    }
}

/// Whether a frame with one bit flipped is still taken as what it was: the bit is under no checksum and decides
/// nothing.
fn survives(sent: &[u8], flip: Corruption) -> bool {
    const DESTINATION: std::ops::Range<usize> = 0..6;
    const TYPE: std::ops::Range<usize> = 12..14;
    let byte = flip.byte as usize % sent.len().max(1);
    let mut bytes = sent.to_vec();
    if let Some(byte) = bytes.get_mut(byte) {
        *byte ^= 1 << (flip.bit & 7);
    }
    if DESTINATION.contains(&byte) || TYPE.contains(&byte) {
        return false;
    }
    let Some(packet) = LinkType::Ethernet.ip_packet(&bytes) else { return false };
    let Ok(Packet { src, dst, protocol, payload, .. }) = Packet::parse(packet) else { return false };
    match protocol {
        Protocol::TCP => tcp::Header::parse(payload, src, dst, Checksum::Full).is_ok(),
        Protocol::UDP => udp::Header::parse(payload, src, dst, Checksum::Full).is_ok(),
        Protocol::ICMP => icmpv4::Message::parse(payload).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// An Ethernet frame with a UDP datagram of five bytes.
    fn datagram() -> Vec<u8> {
        let (src, dst) = (IpAddr::from([10, 9, 0, 2]), IpAddr::from([10, 9, 0, 1]));
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        bytes.extend([0x45, 0, 0, 33, 0, 1, 0, 0, 64, 17, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
        let sum = !bytes[14..34].chunks(2).fold(0u32, |sum, pair| {
            let sum = sum + u32::from(u16::from_be_bytes([pair[0], pair[1]]));
            (sum & 0xffff) + (sum >> 16)
        }) as u16;
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        let mut udp = [0; 8];
        udp::Header { src_port: 4000, dst_port: 7 }.write(&mut udp, src, dst, [b"hello", b""]).unwrap();
        bytes.extend(udp);
        bytes.extend(b"hello");
        bytes
    }

    #[test]
    fn reads_a_datagram() {
        let Content::Udp { from, to, payload } = Content::read(&datagram()) else { panic!("no datagram") };
        assert_eq!((from.to_string(), to.to_string()), ("10.9.0.2:4000".into(), "10.9.0.1:7".into()));
        assert_eq!(payload, b"hello");
    }

    #[test]
    fn every_flip_is_found_but_in_the_sources_link_address() {
        let sent = datagram();
        for byte in 0..sent.len() as u32 {
            for bit in 0..8 {
                let is_source = (6..12).contains(&byte);
                assert_eq!(survives(&sent, Corruption { byte, bit }), is_source, "byte {byte} bit {bit}");
            }
        }
    }
}
