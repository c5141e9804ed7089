//! Reads a capture into its conversations.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use ustack::buf::frame::Checksum;
use ustack::capture::{Packet, Reader};
use ustack::wire::ip::{self, Protocol as Upper};
use ustack::wire::quote::{Quote, QuotedTransport};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};
use ustack::wire::{icmpv4, icmpv6};

use super::Role;
use super::conversation::{Conversation, Data, Frame, Protocol, Segment};
use super::error::Error;
use super::fragments::{Fragments, Whole};
use super::readdress::complete_udp;

/// A capture that was read to its end, or to where it is broken.
#[derive(Debug)]
pub struct Capture {
    conversations: Vec<Conversation>,
    packets: u64,
    /// What is wrong with the file behind the packets that could be read.
    broken: Option<ustack::capture::Error>,
}

impl Capture {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be opened, or is not a capture.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::read(File::open(path).map_err(Error::Open)?)
    }

    /// Reads a capture from its first byte. One that ends in the middle is read up to there.
    ///
    /// # Errors
    /// It is not a capture.
    pub fn read(input: impl Read) -> Result<Self, Error> {
        let mut reader = Reader::new(input)?;
        let mut builder = Builder::default();
        let mut packets = 0;
        let broken = loop {
            match reader.next_packet() {
                Ok(Some(packet)) => {
                    packets += 1;
                    builder.add(&packet);
                }
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        Ok(Self { conversations: builder.conversations, packets, broken })
    }

    /// Its conversations, in the order in which they begin.
    pub fn conversations(&self) -> &[Conversation] {
        &self.conversations
    }

    /// The conversation to replay: the only one, or the one of that number, from 1.
    ///
    /// # Errors
    /// The capture is broken, has none, has several and none was chosen, or has none of that number.
    pub fn choose(self, number: Option<usize>) -> Result<Conversation, Error> {
        let Self { mut conversations, packets, broken } = self;
        if let Some(error) = broken {
            return Err(error.into());
        }
        let index = match number {
            _ if conversations.is_empty() => return Err(Error::NoConversation { packets }),
            None if conversations.len() > 1 => return Err(Error::several(&conversations)),
            None => 0,
            Some(number) => match number.checked_sub(1).filter(|&index| index < conversations.len()) {
                Some(index) => index,
                None => return Err(Error::no_such(number, &conversations)),
            },
        };
        let conversation = conversations.swap_remove(index);
        conversation.check_whole()?;
        Ok(conversation)
    }
}

/// Which conversation a packet belongs to: protocol, and the two sockets in order.
type Key = (bool, SocketAddr, SocketAddr);

#[derive(Debug, Default)]
struct Builder {
    conversations: Vec<Conversation>,
    current: BTreeMap<Key, usize>,
    fragments: Fragments,
}

impl Builder {
    /// Takes a packet. What is neither TCP nor UDP, nor an error about them, is skipped.
    fn add(&mut self, packet: &Packet<'_>) {
        let Some(bytes) = packet.ip_packet() else { return };
        let Ok(ip) = ip::Packet::parse(bytes) else {
            self.note_cut(packet, bytes);
            return;
        };
        let Some(whole) = self.fragments.take(&ip) else { return };
        match whole.protocol {
            Upper::TCP => self.add_tcp(packet, &ip, whole),
            Upper::UDP => self.add_udp(packet, &ip, whole),
            Upper::ICMP | Upper::ICMPV6 => self.add_icmp(packet, &ip),
            _ => {}
        }
    }

    fn add_tcp(&mut self, packet: &Packet<'_>, ip: &ip::Packet<'_>, whole: Whole) {
        // The checksum may be one that a device was still to complete.
        let parsed = Header::parse(&whole.payload, ip.src, ip.dst, Checksum::Verified);
        let Ok((header, payload)) = parsed else { return };
        let header_len = whole.payload.len() - payload.len();
        let src = SocketAddr::new(ip.src, header.src_port);
        let dst = SocketAddr::new(ip.dst, header.dst_port);
        let key = key(Protocol::Tcp, src, dst);
        if let Some(&index) = self.current.get(&key)
            && self.conversations[index].is_over_before(&header)
        {
            self.current.remove(&key);
        }
        // Who answers a SYN did not begin.
        let is_answer = header.flags.contains(Flags::SYN | Flags::ACK);
        let (client, server) = if is_answer { (dst, src) } else { (src, dst) };
        let (hop_limit, dscp, ecn) = (ip.hop_limit, ip.dscp, ip.ecn);
        let segment = Segment { header, bytes: whole.payload, header_len, hop_limit, dscp, ecn };
        self.push(Protocol::Tcp, client, server, src, packet, Data::Tcp(segment));
    }

    fn add_udp(&mut self, packet: &Packet<'_>, ip: &ip::Packet<'_>, whole: Whole) {
        let parsed = ustack::wire::udp::Header::parse(&whole.payload, ip.src, ip.dst, Checksum::Verified);
        let Ok((header, payload)) = parsed else { return };
        let src = SocketAddr::new(ip.src, header.src_port);
        let dst = SocketAddr::new(ip.dst, header.dst_port);
        let payload = payload.to_vec();
        let mut packets = whole.packets;
        if let [packet] = &mut packets[..] {
            complete_udp(packet);
        }
        let data = Data::Udp { payload, packets };
        self.push(Protocol::Udp, src, dst, src, packet, data);
    }

    /// An error about a packet that was seen belongs to its conversation.
    fn add_icmp(&mut self, packet: &Packet<'_>, ip: &ip::Packet<'_>) {
        let Some((protocol, src, dst, seq)) = quoted(ip) else { return };
        if self.current.contains_key(&key(protocol, src, dst)) {
            let data = Data::Icmp { packet: ip.bytes.to_vec(), seq };
            // Whoever was to receive the packet, or a router on the way to it, sends the error.
            self.push(protocol, src, dst, dst, packet, data);
        }
    }

    fn push(
        &mut self,
        protocol: Protocol,
        client: SocketAddr,
        server: SocketAddr,
        from: SocketAddr,
        packet: &Packet<'_>,
        data: Data,
    ) {
        let conversations = &mut self.conversations;
        let index = *self.current.entry(key(protocol, client, server)).or_insert_with(|| {
            conversations.push(Conversation { protocol, client, server, frames: Vec::new() });
            conversations.len() - 1
        });
        let conversation = &mut conversations[index];
        let from = if from == conversation.client { Role::Client } else { Role::Server };
        let (number, time, cut) = (packet.number, packet.time, packet.is_cut());
        conversation.frames.push(Frame { number, time, from, cut, data });
    }

    /// A packet that was cut cannot be read as a whole, but it shows which conversation is incomplete.
    fn note_cut(&mut self, packet: &Packet<'_>, bytes: &[u8]) {
        if !packet.is_cut() {
            return;
        }
        let Ok(quote) = Quote::parse(bytes) else { return };
        let (protocol, src, dst) = match quote.transport {
            QuotedTransport::Tcp { src_port, dst_port, .. } => (Protocol::Tcp, src_port, dst_port),
            QuotedTransport::Udp { src_port, dst_port } => (Protocol::Udp, src_port, dst_port),
            _ => return,
        };
        let (src, dst) = (SocketAddr::new(quote.src, src), SocketAddr::new(quote.dst, dst));
        let data = Data::Icmp { packet: Vec::new(), seq: None };
        self.push(protocol, src, dst, src, packet, data);
    }
}

fn key(protocol: Protocol, a: SocketAddr, b: SocketAddr) -> Key {
    (protocol == Protocol::Tcp, a.min(b), a.max(b))
}

/// What an ICMP error is about: protocol, sender, receiver, and of TCP the sequence number.
fn quoted(ip: &ip::Packet<'_>) -> Option<(Protocol, SocketAddr, SocketAddr, Option<SeqNum>)> {
    let quoted = match (ip.src, ip.dst) {
        (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => {
            icmpv6::Message::parse(ip.payload, src, dst).ok().filter(icmpv6::Message::is_error)?;
            ip.payload.get(icmpv6::HEADER_LEN..)?
        }
        _ => {
            icmpv4::Message::parse(ip.payload).ok().filter(icmpv4::Message::is_error)?;
            ip.payload.get(icmpv4::HEADER_LEN..)?
        }
    };
    let quote = Quote::parse(quoted).ok()?;
    let at = |ip, port| SocketAddr::new(ip, port);
    match quote.transport {
        QuotedTransport::Udp { src_port, dst_port } => {
            Some((Protocol::Udp, at(quote.src, src_port), at(quote.dst, dst_port), None))
        }
        QuotedTransport::Tcp { src_port, dst_port, seq } => {
            Some((Protocol::Tcp, at(quote.src, src_port), at(quote.dst, dst_port), Some(seq)))
        }
        _ => None,
    }
}
