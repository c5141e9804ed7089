//! Ethernet, ARP, IP, UDP and TCP: etherparse, smoltcp and pnet read what we write, and we read it back.

use core::net::IpAddr;

use pnet::packet::Packet as _;
use pnet::packet::{arp as pnet_arp, ethernet as pnet_ethernet, ipv4 as pnet_ipv4, ipv6 as pnet_ipv6};
use pnet::packet::{tcp as pnet_tcp, udp as pnet_udp};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire as smol;

use super::strategies;
use crate::buf::frame::Checksum;
use crate::wire::acc_ecn::{AccEcn, AccEcnOrder};
use crate::wire::ip::{self, Protocol};
use crate::wire::tcp::{FastOpenCookie, FastOpenForm, Flags, Options, SackBlock, Timestamps, UserTimeout};
use crate::wire::{arp, ethernet, ipv4, ipv6, tcp, udp};

proptest! {
    #[test]
    fn ethernet_headers(header in strategies::ethernet(), payload in strategies::payload()) {
        let bytes = [&header.to_bytes()[..], &payload].concat();
        prop_assert_eq!(ethernet::Header::parse(&bytes), Ok((header, &payload[..])));

        let theirs = smol::EthernetFrame::new_checked(&bytes).unwrap();
        prop_assert_eq!(theirs.src_addr().0, header.src.0);
        prop_assert_eq!(theirs.dst_addr().0, header.dst.0);
        prop_assert_eq!(u16::from(theirs.ethertype()), header.ether_type.0);

        let theirs = pnet_ethernet::EthernetPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_source().octets(), header.src.0);
        prop_assert_eq!(theirs.get_destination().octets(), header.dst.0);
        prop_assert_eq!(theirs.get_ethertype().0, header.ether_type.0);
        prop_assert_eq!(theirs.payload(), &payload);

        let (theirs, rest) = etherparse::Ethernet2Header::from_slice(&bytes).unwrap();
        prop_assert_eq!((theirs.source, theirs.destination), (header.src.0, header.dst.0));
        prop_assert_eq!((theirs.ether_type.0, rest), (header.ether_type.0, &payload[..]));
    }

    #[test]
    fn arp_packets(packet in strategies::arp()) {
        let bytes = packet.to_bytes();
        prop_assert_eq!(arp::Packet::parse(&bytes), Ok(packet));

        let theirs = smol::ArpRepr::parse(&smol::ArpPacket::new_checked(&bytes).unwrap()).unwrap();
        let smol::ArpRepr::EthernetIpv4 {
            operation, source_hardware_addr, source_protocol_addr, target_hardware_addr, target_protocol_addr
        } = theirs else { panic!("not Ethernet and IPv4") };
        let request = packet.operation == arp::Operation::Request;
        prop_assert_eq!(operation == smol::ArpOperation::Request, request);
        prop_assert_eq!(
            (source_hardware_addr.0, source_protocol_addr), (packet.sender_mac.0, packet.sender_ip),
        );
        prop_assert_eq!(
            (target_hardware_addr.0, target_protocol_addr), (packet.target_mac.0, packet.target_ip),
        );

        let theirs = pnet_arp::ArpPacket::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_operation() == pnet_arp::ArpOperations::Request, request);
        prop_assert_eq!(theirs.get_sender_hw_addr().octets(), packet.sender_mac.0);
        prop_assert_eq!(theirs.get_sender_proto_addr(), packet.sender_ip);
        prop_assert_eq!(theirs.get_target_hw_addr().octets(), packet.target_mac.0);
        prop_assert_eq!(theirs.get_target_proto_addr(), packet.target_ip);

        let mut written = [0; 28];
        smol::ArpRepr::EthernetIpv4 {
            operation, source_hardware_addr, source_protocol_addr, target_hardware_addr, target_protocol_addr
        }.emit(&mut smol::ArpPacket::new_unchecked(&mut written));
        prop_assert_eq!(written, bytes);
    }

    #[test]
    fn ipv4_headers(mut header in strategies::ipv4(), payload in strategies::payload()) {
        header.payload_len = payload.len() as u16;
        let bytes = packet(&payload, header.header_len(), |out| header.write(out).unwrap());
        prop_assert_eq!(ipv4::Header::parse(&bytes), Ok((header, &payload[..])));

        let theirs = smol::Ipv4Packet::new_checked(&bytes).unwrap();
        prop_assert!(theirs.verify_checksum());
        prop_assert_eq!((theirs.src_addr(), theirs.dst_addr()), (header.src, header.dst));
        prop_assert_eq!(
            (theirs.hop_limit(), u8::from(theirs.next_header())), (header.ttl, header.protocol.0),
        );
        prop_assert_eq!((theirs.dscp(), theirs.ecn(), theirs.ident()), (header.dscp, header.ecn, header.id));
        prop_assert_eq!(
            (theirs.dont_frag(), theirs.more_frags()), (header.dont_fragment, header.more_fragments),
        );
        prop_assert_eq!((theirs.frag_offset(), theirs.payload()), (header.fragment_offset, &payload[..]));

        let theirs = pnet_ipv4::Ipv4Packet::new(&bytes).unwrap();
        prop_assert_eq!(theirs.get_checksum(), pnet_ipv4::checksum(&theirs));
        prop_assert_eq!((theirs.get_source(), theirs.get_destination()), (header.src, header.dst));
        prop_assert_eq!(
            (theirs.get_ttl(), theirs.get_next_level_protocol().0), (header.ttl, header.protocol.0),
        );
        prop_assert_eq!((theirs.get_dscp(), theirs.get_ecn()), (header.dscp, header.ecn));
        prop_assert_eq!((theirs.get_identification(), theirs.payload()), (header.id, &payload[..]));
        prop_assert_eq!(theirs.get_fragment_offset() << 3, header.fragment_offset);

        let (theirs, rest) = etherparse::Ipv4Header::from_slice(&bytes).unwrap();
        prop_assert_eq!(theirs.header_checksum, theirs.calc_header_checksum());
        prop_assert_eq!(theirs.options.as_slice(), header.options.as_slice());
        prop_assert_eq!(
            (theirs.more_fragments, theirs.dont_fragment), (header.more_fragments, header.dont_fragment),
        );
        prop_assert_eq!(rest, &payload[..]);
    }

    #[test]
    fn ipv6_headers(mut header in strategies::ipv6(), payload in strategies::payload()) {
        header.payload_len = payload.len() as u16;
        let bytes = packet(&payload, ipv6::HEADER_LEN, |out| header.write(out).unwrap());
        prop_assert_eq!(ipv6::Header::parse(&bytes), Ok((header, &payload[..])));
        let class = header.dscp << 2 | header.ecn;

        let theirs = smol::Ipv6Packet::new_checked(&bytes).unwrap();
        prop_assert_eq!((theirs.src_addr(), theirs.dst_addr()), (header.src, header.dst));
        prop_assert_eq!(
            (theirs.hop_limit(), u8::from(theirs.next_header())), (header.hop_limit, header.next_header.0),
        );
        prop_assert_eq!((theirs.traffic_class(), theirs.flow_label()), (class, header.flow_label));
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let theirs = pnet_ipv6::Ipv6Packet::new(&bytes).unwrap();
        prop_assert_eq!((theirs.get_source(), theirs.get_destination()), (header.src, header.dst));
        prop_assert_eq!(
            (theirs.get_hop_limit(), theirs.get_next_header().0), (header.hop_limit, header.next_header.0),
        );
        prop_assert_eq!((theirs.get_traffic_class(), theirs.get_flow_label()), (class, header.flow_label));
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let (theirs, rest) = etherparse::Ipv6Header::from_slice(&bytes).unwrap();
        prop_assert_eq!((theirs.traffic_class, theirs.flow_label.value()), (class, header.flow_label));
        prop_assert_eq!((theirs.payload_length, rest), (header.payload_len, &payload[..]));
    }

    #[test]
    fn both_headers_as_one(
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
        ecn in 0u8..4,
    ) {
        let header = ip::Header::new(src, dst, Protocol::UDP, 64, payload.len() as u16).unwrap();
        let header = header.with_traffic_class(46, ecn);
        let bytes = packet(&payload, header.header_len(), |out| header.write(out).unwrap());
        let read = ip::Packet::parse(&bytes).unwrap();
        prop_assert_eq!((read.src, read.dst, read.protocol), (src, dst, Protocol::UDP));
        prop_assert_eq!((read.hop_limit, read.dscp, read.ecn), (64, 46, ecn));
        prop_assert_eq!((read.payload, read.bytes, read.fragment), (&payload[..], &bytes[..], None));
        prop_assert_eq!(bytes[read.protocol_offset], Protocol::UDP.0);
        prop_assert_eq!(read.header_len(), header.header_len());
    }

    #[test]
    fn udp_datagrams(
        header in strategies::udp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
    ) {
        let bytes = packet(
            &payload, udp::HEADER_LEN, |out| header.write(out, src, dst, [&payload, &[]]).unwrap(),
        );
        prop_assert_eq!(udp::Header::parse(&bytes, src, dst, Checksum::Full), Ok((header, &payload[..])));

        let theirs = smol::UdpPacket::new_checked(&bytes).unwrap();
        prop_assert!(theirs.verify_checksum(&src.into(), &dst.into()));
        prop_assert_eq!((theirs.src_port(), theirs.dst_port()), (header.src_port, header.dst_port));
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let theirs = pnet_udp::UdpPacket::new(&bytes).unwrap();
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => pnet_udp::ipv4_checksum(&theirs, &src, &dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => pnet_udp::ipv6_checksum(&theirs, &src, &dst),
            _ => unreachable!("addresses of one family"),
        };
        // RFC 768: they answer the sum as it is computed, we write 0 as all ones.
        prop_assert_eq!(theirs.get_checksum(), if sum == 0 { 0xffff } else { sum });
        prop_assert_eq!((theirs.get_source(), theirs.get_destination()), (header.src_port, header.dst_port));
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let (theirs, rest) = etherparse::UdpHeader::from_slice(&bytes).unwrap();
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => theirs.calc_checksum_ipv4_raw(
                src.octets(), dst.octets(), &payload,
            ),
            (IpAddr::V6(src), IpAddr::V6(dst)) => theirs.calc_checksum_ipv6_raw(
                src.octets(), dst.octets(), &payload,
            ),
            _ => unreachable!("addresses of one family"),
        };
        prop_assert_eq!((Ok(theirs.checksum), rest), (sum, &payload[..]));
    }

    #[test]
    fn tcp_segments(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
    ) {
        let bytes = packet(
            &payload, header.header_len(), |out| header.write(out, src, dst, [&payload, &[]]).unwrap(),
        );
        prop_assert_eq!(tcp::Header::parse(&bytes, src, dst, Checksum::Full), Ok((header, &payload[..])));

        let theirs = smol::TcpPacket::new_checked(&bytes).unwrap();
        prop_assert!(theirs.verify_checksum(&src.into(), &dst.into()));
        prop_assert_eq!((theirs.src_port(), theirs.dst_port()), (header.src_port, header.dst_port));
        prop_assert_eq!(theirs.seq_number().0 as u32, header.seq.get());
        prop_assert_eq!(theirs.ack_number().0 as u32, header.ack.get());
        prop_assert_eq!((theirs.window_len(), theirs.urgent_at()), (header.window, header.urgent));
        let flags = [theirs.fin(), theirs.syn(), theirs.rst(), theirs.psh(), theirs.ack(), theirs.urg()];
        prop_assert_eq!(
            flags,
            [Flags::FIN, Flags::SYN, Flags::RST, Flags::PSH, Flags::ACK, Flags::URG]
                .map(|flag| header.flags.contains(flag)),
        );
        let options = read_by_smoltcp(theirs.options());
        prop_assert_eq!(
            &options.sack.as_slice(), &&header.options.sack.as_slice()[..options.sack.as_slice().len()],
        );
        prop_assert_eq!(Options { sack: header.options.sack, ..options }, header.options);
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let theirs = pnet_tcp::TcpPacket::new(&bytes).unwrap();
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => pnet_tcp::ipv4_checksum(&theirs, &src, &dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => pnet_tcp::ipv6_checksum(&theirs, &src, &dst),
            _ => unreachable!("addresses of one family"),
        };
        prop_assert_eq!(theirs.get_checksum(), sum);
        prop_assert_eq!(
            (theirs.get_sequence(), theirs.get_acknowledgement()), (header.seq.get(), header.ack.get()),
        );
        prop_assert_eq!(u16::from(theirs.get_flags()), header.flags.bits() & 0xff);
        prop_assert_eq!(read_by_pnet(&theirs), header.options);
        prop_assert_eq!(theirs.payload(), &payload[..]);

        let (theirs, rest) = etherparse::TcpHeader::from_slice(&bytes).unwrap();
        prop_assert_eq!(
            [theirs.ns, theirs.ece, theirs.cwr],
            [Flags::AE, Flags::ECE, Flags::CWR].map(|flag| header.flags.contains(flag)),
        );
        prop_assert_eq!(theirs.header_len(), header.header_len());
        prop_assert_eq!(rest, &payload[..]);
    }

    #[test]
    fn segments_of_smoltcp(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
    ) {
        let Options { mss, window_scale, sack_permitted, timestamps, .. } = header.options;
        let theirs = smol::TcpRepr {
            src_port: header.src_port | 1,
            dst_port: header.dst_port | 1,
            control: smol::TcpControl::Syn,
            seq_number: smol::TcpSeqNumber(header.seq.get() as i32),
            ack_number: Some(smol::TcpSeqNumber(header.ack.get() as i32)),
            window_len: header.window,
            window_scale,
            max_seg_size: mss,
            sack_permitted,
            sack_ranges: [None; 3],
            timestamp: timestamps.map(|both| smol::TcpTimestampRepr::new(both.value, both.echo)),
            payload: &payload,
        };
        let mut bytes = vec![0; theirs.buffer_len()];
        theirs.emit(
            &mut smol::TcpPacket::new_unchecked(&mut bytes[..]),
            &src.into(),
            &dst.into(),
            &ChecksumCapabilities::default(),
        );
        let (read, rest) = tcp::Header::parse(&bytes, src, dst, Checksum::Full).unwrap();
        let known = Options {
            sack: Default::default(),
            user_timeout: None,
            acc_ecn: None,
            fast_open: None,
            ..header.options
        };
        prop_assert_eq!(read.options, known);
        prop_assert_eq!((read.seq, read.ack, read.window), (header.seq, header.ack, header.window));
        prop_assert_eq!((read.flags, rest), (Flags::SYN | Flags::ACK, &payload[..]));
    }
}

/// A header of `len` bytes, written over rubbish, and the payload.
fn packet(payload: &[u8], len: usize, write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut bytes = [&vec![0xee; len], payload].concat();
    assert_eq!(write(&mut bytes), len);
    bytes
}

/// Three SACK blocks at most: that is all that smoltcp keeps.
fn read_by_smoltcp(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    while !bytes.is_empty() {
        let (rest, option) = smol::TcpOption::parse(bytes).unwrap();
        bytes = rest;
        match option {
            smol::TcpOption::NoOperation => {}
            smol::TcpOption::MaxSegmentSize(mss) => options.mss = Some(mss),
            smol::TcpOption::WindowScale(shift) => options.window_scale = Some(shift),
            smol::TcpOption::SackPermitted => options.sack_permitted = true,
            smol::TcpOption::SackRange(ranges) => {
                ranges.iter().flatten().for_each(|(start, end)| push(&mut options, *start, *end));
            }
            smol::TcpOption::TimeStamp { tsval, tsecr } => {
                options.timestamps = Some(Timestamps { value: tsval, echo: tsecr });
            }
            smol::TcpOption::Unknown { kind: 28, data: &[high, low] } => {
                options.user_timeout = Some(user_timeout(high, low));
            }
            smol::TcpOption::Unknown { kind, data } if kind == 172 || kind == 174 => {
                options.acc_ecn = Some(acc_ecn(kind, data));
            }
            smol::TcpOption::Unknown { kind: 34, data } => options.fast_open = FastOpenCookie::new(data),
            smol::TcpOption::Unknown { kind: 254, data: &[0xf9, 0x89, ref cookie @ ..] } => {
                options.fast_open = experimental(cookie);
            }
            other => panic!("an option that we do not write: {other:?}"),
        }
    }
    options
}

fn read_by_pnet(packet: &pnet_tcp::TcpPacket<'_>) -> Options {
    let mut options = Options::default();
    for option in packet.get_options_iter() {
        let data = option.payload();
        let words: Vec<u32> = data.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect();
        match (option.get_number(), data) {
            (pnet_tcp::TcpOptionNumbers::NOP, _) => {}
            (pnet_tcp::TcpOptionNumbers::MSS, &[high, low]) => {
                options.mss = Some(u16::from_be_bytes([high, low]));
            }
            (pnet_tcp::TcpOptionNumbers::WSCALE, &[shift]) => options.window_scale = Some(shift),
            (pnet_tcp::TcpOptionNumbers::SACK_PERMITTED, []) => options.sack_permitted = true,
            (pnet_tcp::TcpOptionNumbers::SACK, _) => {
                words.chunks_exact(2).for_each(|edges| push(&mut options, edges[0], edges[1]));
            }
            (pnet_tcp::TcpOptionNumbers::TIMESTAMPS, _) => {
                options.timestamps = Some(Timestamps { value: words[0], echo: words[1] });
            }
            (pnet_tcp::TcpOptionNumber(28), &[high, low]) => {
                options.user_timeout = Some(user_timeout(high, low));
            }
            (pnet_tcp::TcpOptionNumber(kind @ (172 | 174)), data) => {
                options.acc_ecn = Some(acc_ecn(kind, data));
            }
            (pnet_tcp::TcpOptionNumber(34), cookie) => options.fast_open = FastOpenCookie::new(cookie),
            (pnet_tcp::TcpOptionNumber(254), &[0xf9, 0x89, ref cookie @ ..]) => {
                options.fast_open = experimental(cookie);
            }
            other => panic!("an option that we do not write: {other:?}"),
        }
    }
    options
}

fn experimental(cookie: &[u8]) -> Option<FastOpenCookie> {
    FastOpenCookie::new(cookie).map(|cookie| cookie.in_form(FastOpenForm::Experimental))
}

fn user_timeout(high: u8, low: u8) -> UserTimeout {
    UserTimeout { minutes: high >= 0x80, value: u16::from(high % 0x80) * 256 + u16::from(low) }
}

fn acc_ecn(kind: u8, data: &[u8]) -> AccEcn {
    let field = |at: usize| {
        data.get(3 * at..3 * at + 3)
            .map_or(0, |field| u32::from(field[0]) << 16 | u32::from(field[1]) << 8 | u32::from(field[2]))
    };
    let (first, last) = (field(0), field(2));
    if kind == 172 {
        AccEcn::new(AccEcnOrder::Ect0First, data.len() / 3, first, field(1), last)
    } else {
        AccEcn::new(AccEcnOrder::Ect1First, data.len() / 3, last, field(1), first)
    }
}

fn push(options: &mut Options, start: u32, end: u32) {
    use crate::wire::seq::SeqNum;
    assert!(options.sack.push(SackBlock { start: SeqNum::new(start), end: SeqNum::new(end) }));
}
