//! No bytes make a reader panic, read beyond what it was given, or accept what was cut short.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{fill_checksum, strategies};
use crate::buf::frame::Checksum;
use crate::wire::checksum::Sum;
use crate::wire::ip::Protocol;
use crate::wire::quote::Quote;
use crate::wire::{arp, ethernet, ext, icmpv4, icmpv6, igmp, ip, ipv4, ipv6, tcp, udp};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: Ipv6Addr = Ipv6Addr::LOCALHOST;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_by_all(&bytes);
    }

    #[test]
    fn no_message_panics(kind in message_kind(), rest in vec(prop_oneof![0u8..8, any::<u8>()], 0..200)) {
        let mut bytes = [&[kind, 0], &rest[..]].concat();
        read_messages(&mut bytes);
    }

    #[test]
    fn no_chain_of_extension_headers_panics(
        first in extension(),
        rest in vec((extension(), 0u8..3, vec(any::<u8>(), 6)), 0..12),
    ) {
        let bytes: Vec<u8> = rest.into_iter().flat_map(
            |(next, len, rest)| [vec![next, len], rest].concat()
        ).collect();
        for walk in [ext::walk(Protocol(first), &bytes), ext::walk_quoted(Protocol(first), &bytes)] {
            match walk {
                Ok(walk) => prop_assert!(bytes.ends_with(walk.payload)),
                Err(error) => prop_assert!(error.offset() <= bytes.len()),
            }
        }
    }

    #[test]
    fn no_tcp_options_panic(
        options in vec(prop_oneof![0u8..12, any::<u8>()], 0..40),
        header in strategies::tcp(),
    ) {
        let mut bytes = vec![0; tcp::MIN_HEADER_LEN];
        let header = tcp::Header { options: tcp::Options::default(), ..header };
        header.write(&mut bytes, V4, V4, [&[], &[]]).unwrap();
        bytes.extend(&options);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes[12] = bytes[12] & 0x0f | ((bytes.len() / 4) << 4) as u8;
        match tcp::Header::parse(&bytes, V4, V4, Checksum::Verified) {
            Ok((read, payload)) => {
                prop_assert_eq!(tcp::Header { options: header.options, ..read }, header);
                prop_assert!(payload.is_empty());
                // What was read is written, and read once more, without a loss.
                let mut again = vec![0; read.header_len()];
                read.write(&mut again, V4, V4, [&[], &[]]).unwrap();
                let (second, _) = tcp::Header::parse(&again, V4, V4, Checksum::Full).unwrap();
                let kept = second.options.sack.as_slice();
                prop_assert_eq!(kept, &read.options.sack.as_slice()[..kept.len()]);
                // What says who sent it is never written if it contradicts itself, and left out if it does not fit.
                let signature = second.options.signature;
                prop_assert!(signature.is_none() || signature == read.options.signature);
                let (sack, signature) = (read.options.sack, read.options.signature);
                prop_assert_eq!(tcp::Options { sack, signature, ..second.options }, read.options);
            }
            Err(error) => prop_assert!((tcp::MIN_HEADER_LEN..bytes.len()).contains(&error.offset())),
        }
    }

    #[test]
    fn no_flipped_bit_panics(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
        flips in vec(any::<(Index, u8)>(), 1..4),
    ) {
        let good = packet(&header, src, dst, &payload);
        let mut bytes = good.clone();
        for (at, bit) in flips {
            bytes[at.index(good.len())] ^= 1 << (bit % 8);
        }
        read_by_all(&bytes);
    }

    #[test]
    fn no_flipped_bit_of_a_segment_goes_unnoticed(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
        at in any::<Index>(),
        bit in 0u8..8,
    ) {
        let mut bytes = vec![0; header.header_len()];
        header.write(&mut bytes, src, dst, [&payload, &[]]).unwrap();
        bytes.extend(&payload);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(tcp::Header::parse(&bytes, src, dst, Checksum::Full).is_err());
    }

    #[test]
    fn no_cut_packet_is_accepted(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
        cut in any::<Index>(),
    ) {
        let good = packet(&header, src, dst, &payload);
        prop_assert!(ip::Packet::parse(&good).is_ok());
        let cut = &good[..cut.index(good.len())];
        prop_assert!(ip::Packet::parse(cut).is_err());
        if let Ok(quote) = Quote::parse(cut) {
            prop_assert_eq!((quote.src, quote.dst, quote.protocol), (src, dst, Protocol::TCP));
        }
    }

    #[test]
    fn padding_changes_nothing(
        header in strategies::tcp(),
        (src, dst) in strategies::addresses(),
        payload in strategies::payload(),
        padding in vec(any::<u8>(), 1..40),
    ) {
        let good = packet(&header, src, dst, &payload);
        let padded = [&good[..], &padding].concat();
        prop_assert_eq!(ip::Packet::parse(&padded), ip::Packet::parse(&good));
    }

    #[test]
    fn a_short_buffer_is_refused(
        header in strategies::tcp(),
        ipv4 in strategies::ipv4(),
        short in any::<Index>(),
    ) {
        let mut out = [0; 60];
        let short = &mut out[..short.index(header.header_len())];
        prop_assert!(header.write(short, V4, V4, [&[], &[]]).is_err());
        let short = &mut out[..ipv4.header_len() - 1];
        prop_assert!(ipv4.write(short).is_err());
    }
}

fn packet(header: &tcp::Header, src: IpAddr, dst: IpAddr, payload: &[u8]) -> Vec<u8> {
    let len = header.header_len() + payload.len();
    let ip = ip::Header::new(src, dst, Protocol::TCP, 64, len as u16).unwrap();
    let mut bytes = vec![0; ip.header_len() + header.header_len()];
    let at = ip.write(&mut bytes).unwrap();
    header.write(&mut bytes[at..], src, dst, [payload, &[]]).unwrap();
    bytes.extend(payload);
    bytes
}

/// The types that have readers of their own in ICMP, ICMPv6 and IGMP.
fn message_kind() -> impl Strategy<Value = u8> {
    prop_oneof![128u8..148, 0u8..40, any::<u8>()]
}

fn extension() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0u8), Just(43), Just(44), Just(51), Just(60), Just(6)]
}

/// Each reader sees the bytes; what it accepts must lie within them, and an error must be one that prints.
fn read_by_all(bytes: &[u8]) {
    let _ = arp::Packet::parse(bytes).map_err(|e| e.to_string());
    let _ = Quote::parse(bytes).map_err(|e| e.to_string());
    within(bytes, ethernet::Header::parse(bytes));
    within(bytes, ipv4::Header::parse(bytes));
    within(bytes, ipv4::Header::parse_quoted(bytes));
    within(bytes, ipv6::Header::parse(bytes));
    within(bytes, ipv6::Header::parse_quoted(bytes));
    for address in [V4, V6.into()] {
        for checksum in [Checksum::Full, Checksum::Verified] {
            within(bytes, tcp::Header::parse(bytes, address, address, checksum));
            within(bytes, udp::Header::parse(bytes, address, address, checksum));
        }
    }
    let mut bytes = bytes.to_vec();
    read_messages(&mut bytes);
    if let Some(first) = bytes.first_mut() {
        // A version that is read, and for IPv4 a checksum that is right.
        *first = *first & 0x8f | 0x40;
        let header_len = bytes.len().min(usize::from(bytes[0] & 15) * 4);
        fill_checksum(&mut bytes[..header_len], 10, Sum::ZERO);
    }
    for version in [4, 6] {
        if let Some(first) = bytes.first_mut() {
            *first = *first & 15 | version << 4;
        }
        match ip::Packet::parse(&bytes) {
            Ok(packet) => {
                assert!(packet.protocol_offset < packet.header_len());
                within(&bytes, Ok((packet, packet.payload)));
            }
            Err(error) => assert!(error.offset() <= bytes.len(), "{error}"),
        }
        let _ = Quote::parse(&bytes);
    }
}

/// Reads a message with each of the three checksums put right; printing it walks its lists.
fn read_messages(bytes: &mut [u8]) {
    fill_checksum(bytes, 2, Sum::ZERO);
    let _ = icmpv4::Message::parse(bytes).map(|message| format!("{message:?}"));
    if let Ok(message) = igmp::Message::parse(bytes) {
        let _ = format!("{message:?}");
        message.write(&mut vec![0; message.wire_len()]).unwrap();
    }
    fill_checksum(bytes, 2, Sum::pseudo(V6.into(), V6.into(), Protocol::ICMPV6, bytes.len()));
    match icmpv6::Message::parse(bytes, V6, V6) {
        Ok(message) => {
            let mut out = vec![0; message.wire_len()];
            message.write(&mut out, V6, V6).unwrap();
            // What we understood is written and understood in the same way.
            assert_eq!(icmpv6::Message::parse(&out, V6, V6), Ok(message));
        }
        Err(error) => assert!(error.offset() <= bytes.len(), "{error}"),
    }
}

fn within<T: core::fmt::Debug>(bytes: &[u8], read: Result<(T, &[u8]), crate::wire::Error>) {
    match read {
        Ok((value, rest)) => {
            let _ = format!("{value:?}");
            assert!(bytes.as_ptr_range().start <= rest.as_ptr_range().start);
            assert!(rest.as_ptr_range().end <= bytes.as_ptr_range().end);
        }
        Err(error) => assert!(error.offset() <= bytes.len() && !error.to_string().is_empty()),
    }
}
