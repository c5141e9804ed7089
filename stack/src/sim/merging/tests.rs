use super::*;
use crate::why::Why;
use crate::wire::seq::SeqNum;
use crate::wire::{ipv4, udp};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
const THEIRS_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

/// An IP packet with a TCP segment.
fn segment(is_v6: bool, seq: u32, flags: tcp::Flags, payload: &[u8]) -> Vec<u8> {
    let header = tcp::Header {
        src_port: 1,
        dst_port: 2,
        seq: SeqNum::new(seq),
        ack: SeqNum::new(9),
        flags,
        window: 500,
        ..tcp::Header::EMPTY
    };
    let len = header.header_len() + payload.len();
    let (src, dst): (IpAddr, IpAddr) =
        if is_v6 { (OURS_V6.into(), THEIRS_V6.into()) } else { (OURS.into(), THEIRS.into()) };
    let mut bytes = vec![0; 100];
    let at = match is_v6 {
        true => ipv6::Header::new(OURS_V6, THEIRS_V6, Protocol::TCP, 64, len as u16).write(&mut bytes),
        false => {
            let mut header = ipv4::Header::new(OURS, THEIRS, Protocol::TCP, 64, len as u16);
            header.id = 77;
            header.write(&mut bytes)
        }
    };
    let at = at.unwrap();
    let written = header.write(&mut bytes[at..], src, dst, [payload, &[]]).unwrap();
    bytes.truncate(at + written);
    bytes.extend_from_slice(payload);
    bytes
}

fn cut(frame: &[u8], kind: GsoKind, size: u16) -> Vec<Vec<u8>> {
    let header = Layout::of(frame, Medium::Ip).unwrap().payload as u16;
    let offload = Offload { checksum: Checksum::Full, gso: Some(Gso { kind, size, header }) };
    let frame = TxFrame { head: frame, body: [&[], &[]], offload, why: &Why::FOREIGN };
    let mut out = Vec::new();
    Cutter::default().cut(&frame, Medium::Ip, |segment| {
        assert_eq!(segment.offload, Offload::NONE);
        out.push(segment.to_vec());
    });
    out
}

#[test]
fn segments_are_as_if_each_had_been_made_alone_and_merge_to_what_they_were() {
    for (is_v6, kind) in [(false, GsoKind::Tcp4), (true, GsoKind::Tcp6)] {
        let payload: Vec<u8> = (0..250).collect();
        let flags = tcp::Flags::ACK | tcp::Flags::PSH | tcp::Flags::FIN;
        let merged = segment(is_v6, u32::MAX - 99, flags, &payload);
        let cut = cut(&merged, kind, 100);
        assert_eq!(cut.len(), 3);
        // Sequence numbers wrap, the last alone ends, identifications count on.
        let mut expected = [
            segment(is_v6, u32::MAX - 99, tcp::Flags::ACK, &payload[..100]),
            segment(is_v6, 0, tcp::Flags::ACK, &payload[100..200]),
            segment(is_v6, 100, flags, &payload[200..]),
        ];
        for (index, expected) in expected.iter_mut().enumerate().filter(|_| !is_v6) {
            let layout = Layout::of(expected, Medium::Ip).unwrap();
            put_u16(expected, v4::ID, 77 + index as u16);
            layout.finish_ip(expected);
        }
        assert_eq!(cut, expected);

        let mut merger = Merger::default();
        assert!(merger.begin(&cut[0], Medium::Ip));
        assert!(merger.add(&cut[1], Medium::Ip) && merger.add(&cut[2], Medium::Ip));
        assert!(!merger.add(&cut[2], Medium::Ip), "it is complete");
        let (bytes, offload) = merger.finish();
        let at = Layout::of(bytes, Medium::Ip).unwrap().payload;
        assert_eq!(bytes[at..], payload[..]);
        assert_eq!(offload.gso, Some(Gso { kind, size: 100, header: at as u16 }));
        assert_eq!(offload.checksum, Checksum::Verified);
        // But for TCP's own checksum, which nobody may look at, it is what was cut.
        let sum = at - 20 + tcp::CHECKSUM_OFFSET;
        assert_eq!((&bytes[..sum], &bytes[sum + 2..]), (&merged[..sum], &merged[sum + 2..]));
    }
}

#[test]
fn only_what_belongs_together_is_merged() {
    let ack = tcp::Flags::ACK;
    let first = segment(false, 1, ack, &[7; 100]);
    let mut merger = Merger::default();
    let mut follows = |frame: &[u8]| merger.begin(&first, Medium::Ip) && merger.add(frame, Medium::Ip);
    assert!(follows(&segment(false, 101, ack, &[7; 100])));
    assert!(!follows(&segment(false, 102, ack, &[7; 100])), "a hole");
    assert!(!follows(&segment(false, 1, ack, &[7; 100])), "a copy");
    assert!(!follows(&segment(false, 101, ack, &[7; 101])), "larger than the first");
    assert!(!follows(&segment(false, 101, ack, &[])), "nothing but an acknowledgment");
    assert!(!follows(&segment(false, 101, ack | tcp::Flags::RST, &[7; 9])), "a reset");
    assert!(!follows(&segment(true, 101, ack, &[7; 100])), "another family");
    let mut damaged = segment(false, 101, ack, &[7; 100]);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(!follows(&damaged), "damaged");
    let mut marked = segment(false, 101, ack, &[7; 100]);
    let layout = Layout::of(&marked, Medium::Ip).unwrap();
    marked[1] |= 3;
    layout.finish_ip(&mut marked);
    assert!(!follows(&marked), "marked");
    // One alone stays as it came.
    assert!(merger.begin(&first, Medium::Ip));
    assert_eq!(merger.finish(), (&first[..], Offload::NONE));
    assert!(!merger.begin(&segment(false, 1, tcp::Flags::SYN, &[]), Medium::Ip));
    assert!(!merger.begin(&[0x45; 10], Medium::Ip));
}

#[test]
fn datagrams_are_cut_with_their_own_lengths_and_checksums() {
    let payload = [5; 25];
    let mut frame = vec![0; 28];
    let header = ipv4::Header::new(OURS, THEIRS, Protocol::UDP, 64, 8 + 25);
    assert_eq!(header.write(&mut frame).unwrap(), 20);
    frame[20..24].copy_from_slice(&[0, 1, 0, 2]);
    frame.extend_from_slice(&payload);
    let cut = cut(&frame, GsoKind::Udp, 10);
    let lens: Vec<usize> = cut.iter().map(|datagram| datagram.len() - 28).collect();
    assert_eq!(lens, [10, 10, 5]);
    for datagram in &cut {
        let (_, bytes) = ipv4::Header::parse(datagram).unwrap();
        let (_, read) = udp::Header::parse(bytes, OURS.into(), THEIRS.into(), Default::default()).unwrap();
        assert_eq!(read, &payload[..read.len()]);
    }
}
