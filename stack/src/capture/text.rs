//! A frame as one line of text.

mod icmp;

use core::fmt::{self, Write as _};
use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use super::LinkType;
use crate::buf::frame::Checksum;
use crate::wire::ip::{Packet, Protocol};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options};
use crate::wire::{Error, arp, ethernet, igmp, tcp, udp};

/// Connections whose first sequence numbers are remembered; further ones keep absolute numbers.
const MAX_FLOWS: usize = 65_536;

/// Writes frames as lines, in the manner of tcpdump:
/// `10.9.0.1:40000 > 10.9.0.2:7 TCP [P.] seq 1:13 ack 1 win 502 len 12`.
///
/// With relative numbers it remembers where each connection began, so frames are to be shown in their order.
#[derive(Clone, Debug, Default)]
pub struct Text {
    relative: bool,
    first: BTreeMap<(SocketAddr, SocketAddr), SeqNum>,
}

impl Text {
    /// Sequence numbers as they are on the wire.
    pub fn absolute() -> Self {
        Self::default()
    }

    /// Sequence numbers counted from the first of each direction. A SYN is 0.
    pub fn relative() -> Self {
        Self { relative: true, ..Self::default() }
    }

    /// The frame as a line. Whatever the bytes are, there is a line: what cannot be read says why.
    pub fn line(&mut self, link_type: LinkType, bytes: &[u8]) -> String {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = self.frame(&mut line, link_type, bytes);
        line
    }

    fn frame(&mut self, out: &mut String, link_type: LinkType, bytes: &[u8]) -> fmt::Result {
        if let Some(packet) = link_type.ip_packet(bytes) {
            return self.packet(out, packet);
        }
        if link_type != LinkType::Ethernet {
            return write!(out, "no IP packet, len {}", bytes.len());
        }
        match ethernet::Header::parse(bytes) {
            Ok((header, payload)) if header.ether_type == ethernet::EtherType::ARP => {
                match arp::Packet::parse(payload) {
                    Ok(packet) => write_arp(out, &packet),
                    Err(error) => write!(out, "ARP broken: {error}"),
                }
            }
            Ok((header, payload)) => {
                let ethernet::Header { src, dst, ether_type } = header;
                write!(out, "{src} > {dst} type {ether_type} len {}", payload.len())
            }
            Err(error) => write!(out, "broken: {error}"),
        }
    }

    fn packet(&mut self, out: &mut String, bytes: &[u8]) -> fmt::Result {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => return write!(out, "IP broken: {error}"),
        };
        let Packet { src, dst, protocol, payload, .. } = packet;
        if let Some(fragment) = packet.fragment {
            let more = if fragment.more { "+" } else { "" };
            return write!(
                out,
                "{src} > {dst} {protocol} fragment id {:#x} offset {} len {}{more}",
                fragment.id,
                fragment.offset,
                payload.len()
            );
        }
        match protocol {
            Protocol::TCP => self.tcp(out, src, dst, payload)?,
            Protocol::UDP => write_udp(out, src, dst, payload)?,
            Protocol::ICMP => icmp::write_v4(out, src, dst, payload)?,
            Protocol::ICMPV6 => icmp::write_v6(out, src, dst, payload)?,
            Protocol::IGMP => write_igmp(out, src, dst, payload)?,
            _ => write!(out, "{src} > {dst} protocol {protocol} len {}", payload.len())?,
        }
        match packet.ecn {
            0 => Ok(()),
            3 => out.write_str(" CE"),
            ecn => write!(out, " ECT({})", ecn & 1),
        }
    }

    fn tcp(&mut self, out: &mut String, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> fmt::Result {
        let read = verified(|checksum| tcp::Header::parse(bytes, src, dst, checksum));
        let ((header, payload), is_wrong) = match read {
            Ok(read) => read,
            Err(error) => return write!(out, "{src} > {dst} TCP broken: {error}"),
        };
        let (from, to) = (SocketAddr::new(src, header.src_port), SocketAddr::new(dst, header.dst_port));
        write!(out, "{from} > {to} TCP [{}]", flag_letters(header.flags))?;
        let syn = header.flags.contains(Flags::SYN);
        let seq = self.number(from, to, header.seq, syn);
        let len = payload.len() as u32;
        if len > 0 {
            write!(out, " seq {seq}:{}", seq.wrapping_add(len))?;
        } else if header.flags.intersects(Flags::SYN | Flags::FIN | Flags::RST) {
            write!(out, " seq {seq}")?;
        }
        if header.flags.contains(Flags::ACK) {
            write!(out, " ack {}", self.number_of_other(from, to, header.ack))?;
        }
        write!(out, " win {}", header.window)?;
        if header.flags.contains(Flags::URG) {
            write!(out, " urg {}", header.urgent)?;
        }
        self.options(out, from, to, &header.options)?;
        write!(out, " len {len}")?;
        mark_checksum(out, is_wrong)
    }

    fn options(&self, out: &mut String, from: SocketAddr, to: SocketAddr, options: &Options) -> fmt::Result {
        let mut separator = " <";
        let mut part = |out: &mut String, text: fmt::Arguments<'_>| {
            out.write_str(separator)?;
            separator = ",";
            out.write_fmt(text)
        };
        if let Some(mss) = options.mss {
            part(out, format_args!("mss {mss}"))?;
        }
        if let Some(shift) = options.window_scale {
            part(out, format_args!("wscale {shift}"))?;
        }
        if options.sack_permitted {
            part(out, format_args!("sackOK"))?;
        }
        if let Some(stamps) = options.timestamps {
            part(out, format_args!("TS {} ecr {}", stamps.value, stamps.echo))?;
        }
        if let Some(acc_ecn) = &options.acc_ecn {
            let fields = [("e0b", acc_ecn.e0b()), ("ceb", acc_ecn.ceb()), ("e1b", acc_ecn.e1b())];
            part(out, format_args!("ECN"))?;
            for (name, value) in fields.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
                write!(out, " {name} {value}")?;
            }
        }
        for block in options.sack.as_slice() {
            let edge = |number| self.number_of_other(from, to, number);
            part(out, format_args!("sack {}:{}", edge(block.start), edge(block.end)))?;
        }
        if separator == "," { out.write_char('>') } else { Ok(()) }
    }

    /// The number as it is shown, of a segment of this direction.
    fn number(&mut self, from: SocketAddr, to: SocketAddr, seq: SeqNum, syn: bool) -> u32 {
        if !self.relative {
            return seq.get();
        }
        let is_new = !self.first.contains_key(&(from, to));
        if (is_new && self.first.len() < MAX_FLOWS) || (syn && !is_new) {
            // In the middle of a connection its first number that is seen counts as 1.
            let first = if syn { seq } else { SeqNum::new(seq.get().wrapping_sub(1)) };
            self.first.insert((from, to), first);
        }
        self.first.get(&(from, to)).map_or(seq.get(), |first| seq.get().wrapping_sub(first.get()))
    }

    /// The number as it is shown, of the other direction.
    fn number_of_other(&self, from: SocketAddr, to: SocketAddr, seq: SeqNum) -> u32 {
        match self.first.get(&(to, from)) {
            Some(first) => seq.get().wrapping_sub(first.get()),
            None => seq.get(),
        }
    }
}

/// Reads with the checksum verified, and if that is wrong without; answers whether it is wrong.
fn verified<T>(read: impl Fn(Checksum) -> Result<T, Error>) -> Result<(T, bool), Error> {
    match read(Checksum::Full) {
        Err(error) if error.is_checksum() => read(Checksum::Verified).map(|value| (value, true)),
        other => other.map(|value| (value, false)),
    }
}

fn mark_checksum(out: &mut String, is_wrong: bool) -> fmt::Result {
    out.write_str(if is_wrong { " (wrong checksum)" } else { "" })
}

fn flag_letters(flags: Flags) -> String {
    let letters = [
        (Flags::FIN, 'F'),
        (Flags::SYN, 'S'),
        (Flags::RST, 'R'),
        (Flags::PSH, 'P'),
        (Flags::ACK, '.'),
        (Flags::URG, 'U'),
        (Flags::ECE, 'E'),
        (Flags::CWR, 'W'),
        (Flags::AE, 'e'),
    ];
    let set: String =
        letters.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| letter).collect();
    if set.is_empty() { "none".to_owned() } else { set }
}

fn write_arp(out: &mut String, packet: &arp::Packet) -> fmt::Result {
    let arp::Packet { operation, sender_mac, sender_ip, target_ip, .. } = packet;
    if packet.is_probe() {
        return write!(out, "ARP probe {target_ip} by {sender_mac}");
    }
    if packet.is_announcement() {
        return write!(out, "ARP announce {sender_ip} is-at {sender_mac}");
    }
    match operation {
        arp::Operation::Request => write!(out, "ARP who-has {target_ip} tell {sender_ip}"),
        arp::Operation::Reply => write!(out, "ARP {sender_ip} is-at {sender_mac}"),
    }
}

fn write_udp(out: &mut String, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> fmt::Result {
    match verified(|checksum| udp::Header::parse(bytes, src, dst, checksum)) {
        Ok(((header, payload), is_wrong)) => {
            let (from, to) = (SocketAddr::new(src, header.src_port), SocketAddr::new(dst, header.dst_port));
            write!(out, "{from} > {to} UDP len {}", payload.len())?;
            mark_checksum(out, is_wrong)
        }
        Err(error) => write!(out, "{src} > {dst} UDP broken: {error}"),
    }
}

fn write_igmp(out: &mut String, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> fmt::Result {
    write!(out, "{src} > {dst} IGMP ")?;
    match igmp::Message::parse(bytes) {
        Ok(igmp::Message::Query(query)) if query.group.is_unspecified() => out.write_str("query"),
        Ok(igmp::Message::Query(query)) => write!(out, "query {}", query.group),
        Ok(igmp::Message::ReportV1 { group }) => write!(out, "v1 report {group}"),
        Ok(igmp::Message::ReportV2 { group }) => write!(out, "v2 report {group}"),
        Ok(igmp::Message::Leave { group }) => write!(out, "leave {group}"),
        Ok(igmp::Message::ReportV3 { records }) => {
            out.write_str("v3 report")?;
            records.iter().try_for_each(|record| write!(out, " {:?} {}", record.kind, record.group))
        }
        Ok(igmp::Message::Other { kind }) => write!(out, "type {kind}"),
        Err(error) => write!(out, "broken: {error}"),
    }
}

#[cfg(test)]
mod tests;
