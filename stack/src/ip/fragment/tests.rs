use super::*;
use crate::buf::frame::InterfaceId;
use crate::ip::reassembly::{Fragment, Outcome, Reassembly, ReassemblyLimits};
use crate::time::{Units, at};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

/// Offset, length and "more" of each fragment of a packet.
fn cut(header: &[u8], payload_len: usize, mtu: usize) -> Vec<(usize, usize, bool)> {
    let mut fragmenter = Fragmenter::new(header, payload_len, mtu, 7).unwrap();
    let mut head = Head::new();
    let mut fragments = Vec::new();
    while let Some(range) = fragmenter.poll_fragment(&mut head) {
        assert!(head.len() + range.len() <= mtu);
        let field = if head[0] >> 4 == 4 { 6 } else { head.len() - 6 };
        let field = u16::from_be_bytes([head[field], head[field + 1]]);
        let more = field & if head[0] >> 4 == 4 { V4_MORE } else { 1 } != 0;
        fragments.push((range.start, range.len(), more));
    }
    assert_eq!(fragments.len(), Fragmenter::new(header, payload_len, mtu, 7).unwrap().count());
    fragments
}

fn header_v4(options: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let mut header = vec![0x45 + (options.len() / 4) as u8, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    header.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    header.extend(options);
    header
}

fn header_v6(extensions: &[u8]) -> Vec<u8> {
    let mut header = vec![0; ipv6::HEADER_LEN];
    header[0] = 0x60;
    header[v6::NEXT_HEADER] = if extensions.is_empty() { 17 } else { 0 };
    header[7] = 64;
    header.extend(extensions);
    header
}

#[test]
fn a_packet_is_cut_at_multiples_of_eight() {
    assert_eq!(cut(&header_v4(&[]), 4000, 1500), [(0, 1480, true), (1480, 1480, true), (2960, 1040, false)]);
    assert_eq!(cut(&header_v4(&[]), 2000, 1499), [(0, 1472, true), (1472, 528, false)]);
    assert_eq!(cut(&header_v6(&[]), 3000, 1500), [(0, 1448, true), (1448, 1448, true), (2896, 104, false)]);
    assert_eq!(cut(&header_v4(&[]), 2960, 1500), [(0, 1480, true), (1480, 1480, false)]);
    assert_eq!(cut(&header_v4(&[]), 16, 28), [(0, 8, true), (8, 8, false)]);
}

#[test]
fn dont_fragment_is_obeyed() {
    let mut header = header_v4(&[]);
    header[6] = 0x40;
    let attempt = Fragmenter::new(&header, 4000, 1500, 7);
    let mut stats = FragmentStats::default();
    stats.record(&attempt);
    assert_eq!(attempt.unwrap_err(), FragmentError::DontFragment { len: 4020, mtu: 1500 });
    assert_eq!(stats, FragmentStats { frag_fails: 1, ..Default::default() });
}

#[test]
fn what_cannot_be_cut_is_said() {
    let error = |header: &[u8], len, mtu| Fragmenter::new(header, len, mtu, 7).unwrap_err();
    assert_eq!(error(&header_v4(&[]), 100, 27), FragmentError::Mtu { mtu: 27, header: 20 });
    assert_eq!(error(&header_v6(&[]), 100, 55), FragmentError::Mtu { mtu: 55, header: 48 });
    assert_eq!(error(&header_v4(&[]), 65_516, 1500), FragmentError::TooLong { len: 65_536 });
    assert_eq!(error(&header_v6(&[]), 65_536, 1500), FragmentError::TooLong { len: 65_536 });
    assert_eq!(error(&[], 100, 1500), FragmentError::Header);
    assert_eq!(error(&header_v4(&[])[..19], 100, 1500), FragmentError::Header);
    assert_eq!(error(&header_v6(&[17, 1, 0, 0, 0, 0, 0, 0]), 100, 1500), FragmentError::Header);
}

#[test]
fn options_go_into_later_fragments_if_they_say_so() {
    // Record route (7) only into the first, router alert (0x94) into all.
    let header = header_v4(&[7, 3, 4, 1, 0x94, 4, 0, 0]);
    let mut fragmenter = Fragmenter::new(&header, 3000, 1500, 7).unwrap();
    let mut head = Head::new();
    assert_eq!(fragmenter.poll_fragment(&mut head), Some(0..1472));
    assert_eq!((head.len(), &head[20..]), (28, &[7, 3, 4, 1, 0x94, 4, 0, 0][..]));
    assert_eq!(checksum(&head), 0);
    assert_eq!(fragmenter.poll_fragment(&mut head), Some(1472..2944));
    assert_eq!((head.len(), head[0], &head[20..]), (24, 0x46, &[0x94, 4, 0, 0][..]));
    assert_eq!(checksum(&head), 0);
}

#[test]
fn broken_options_do_not_reach_later_fragments() {
    for options in [[0x94, 0, 0, 0], [0x94, 200, 0, 0], [0x94, 1, 0x94, 4], [1, 1, 1, 0x94]] {
        assert_eq!(cut(&header_v4(&options), 2000, 1500).len(), 2);
    }
}

#[test]
fn the_fragment_header_follows_the_unfragmentable_part() {
    let hop_by_hop = [17, 0, 5, 2, 0, 0, 1, 0];
    let mut fragmenter = Fragmenter::new(&header_v6(&hop_by_hop), 2000, 1280, 0x0102_0304).unwrap();
    let mut head = Head::new();
    assert_eq!(fragmenter.poll_fragment(&mut head), Some(0..1224));
    assert_eq!(head[v6::NEXT_HEADER], 0);
    assert_eq!(head[40], V6_FRAGMENT);
    assert_eq!(head[48..], [17, 0, 0, 1, 1, 2, 3, 4]);
    assert_eq!(head[4..6], (16u16 + 1224).to_be_bytes());
    assert_eq!(fragmenter.poll_fragment(&mut head), Some(1224..2000));
    assert_eq!(head[48..], [17, 0, 4, 0xc8, 1, 2, 3, 4]); // 1224 | 0
    assert_eq!(fragmenter.poll_fragment(&mut head), None);
}

#[test]
fn a_payload_in_two_slices_is_lent_piece_by_piece() {
    let body = [&b"abcde"[..], &b"fghij"[..]];
    assert_eq!(lend(body, 0..3), [&b"abc"[..], b""]);
    assert_eq!(lend(body, 3..7), [&b"de"[..], b"fg"]);
    assert_eq!(lend(body, 7..10), [&b""[..], b"hij"]);
    assert_eq!(lend(body, 7..99), [&b""[..], b"hij"]);
}

proptest! {
    #[test]
    fn what_was_cut_is_put_together_again(
        len in 1usize..=65_535,
        mtu in 300usize..9100,
        v6 in any::<bool>(),
        split in any::<prop::sample::Index>(),
        backwards in any::<bool>(),
    ) {
        let (header, len) = if v6 { (header_v6(&[]), len) } else { (header_v4(&[]), len.min(65_515)) };
        let data: Vec<u8> = (0..len).map(|n| (n ^ n >> 8) as u8).collect();
        let (a, b) = data.split_at(split.index(len + 1));
        let mut fragmenter = Fragmenter::new(&header, len, mtu, 99).unwrap();
        let mut packets = Vec::new();
        let mut head = Head::new();
        while let Some(range) = fragmenter.poll_fragment(&mut head) {
            let [x, y] = lend([a, b], range.clone());
            packets.push((range.start, head.len(), [&head[..], x, y].concat()));
        }
        let count = packets.len();
        if backwards {
            packets.reverse();
        }
        let mut reassembly = Reassembly::new(ReassemblyLimits::default());
        let mut whole = Vec::new();
        for (n, (offset, data_at, packet)) in packets.iter().enumerate() {
            let outcome = reassembly.handle_fragment(at(0.ms()), &fragment(packet, *offset, *data_at, len), &mut whole);
            prop_assert_eq!(outcome, if n + 1 == count { Outcome::Complete } else { Outcome::Waiting });
        }
        prop_assert_eq!(&whole[header.len()..], &data[..]);
        if v6 {
            prop_assert_eq!((whole[6], &whole[4..6]), (17, &(len as u16).to_be_bytes()[..]));
        } else {
            prop_assert_eq!(checksum(&whole[..20]), 0);
        }
    }

    #[test]
    fn no_header_makes_it_panic(
        header in proptest::collection::vec(any::<u8>(), 0..140),
        len in 0usize..70_000,
        mtu in 0usize..2000,
    ) {
        if let Ok(mut fragmenter) = Fragmenter::new(&header, len, mtu, 1) {
            let mut head = Head::new();
            let mut covered = 0;
            while let Some(range) = fragmenter.poll_fragment(&mut head) {
                prop_assert_eq!(range.start, covered);
                prop_assert!(head.len() + range.len() <= mtu);
                covered = range.end;
            }
            prop_assert_eq!(covered, len);
        }
    }
}

fn fragment(packet: &[u8], offset: usize, data_at: usize, len: usize) -> Fragment<'_> {
    let v6 = packet[0] >> 4 == 6;
    let (source, destination): (IpAddr, IpAddr) = if v6 {
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
    } else {
        (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into())
    };
    Fragment {
        iface: InterfaceId(0),
        source,
        destination,
        id: 99,
        protocol: 17,
        offset,
        more: offset + packet.len() - data_at < len,
        ecn: 0,
        packet,
        data_at,
        next_header_at: if v6 { 6 } else { 0 },
    }
}
