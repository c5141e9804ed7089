use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::time::{Instant, Units as _, at};

/// One packet of a capture, with nothing borrowed.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    time: u64,
    interface: usize,
    direction: Option<Direction>,
    comment: Option<String>,
    original_len: u32,
    bytes: Vec<u8>,
}

/// All packets up to the end or the first error.
fn read(bytes: &[u8]) -> (Vec<Seen>, Option<Error>) {
    let mut seen = Vec::new();
    let mut reader = match Reader::new(Cursor::new(bytes)) {
        Ok(reader) => reader,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => seen.push(Seen {
                time: packet.time.as_nanos(),
                interface: packet.interface,
                direction: packet.direction,
                comment: packet.comment.map(|comment| comment.into_owned()),
                original_len: packet.original_len,
                bytes: packet.bytes.to_vec(),
            }),
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn error_text(bytes: &[u8]) -> String {
    read(bytes).1.expect("this capture is wrong").to_string()
}

fn two_packets() -> Vec<u8> {
    let mut writer = Writer::with_epoch(Vec::new(), 1_700_000_000_000_000_000).unwrap();
    let eth = writer.add_interface("tap0", LinkType::Ethernet).unwrap();
    let tun = writer.add_interface("tun0", LinkType::Raw).unwrap();
    let out = Some(Direction::Out);
    let record =
        Record { interface: eth, time: at(1.us()), direction: out, comment: Some(&"why=rto rto_us=400000") };
    writer.write(&record, &[b"head", b"", b"body!"]).unwrap();
    writer
        .write(&Record { interface: tun, time: at(2.secs()), direction: None, comment: None }, &[b"E"])
        .unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn what_is_written_reads_back() {
    let (seen, error) = read(&two_packets());
    assert!(error.is_none(), "{error:?}");
    let first = Seen {
        time: 1_700_000_000_000_001_000,
        interface: 0,
        direction: Some(Direction::Out),
        comment: Some("why=rto rto_us=400000".into()),
        original_len: 9,
        bytes: b"headbody!".to_vec(),
    };
    let second = Seen {
        time: 1_700_000_002_000_000_000,
        interface: 1,
        direction: None,
        comment: None,
        original_len: 1,
        bytes: b"E".to_vec(),
    };
    assert_eq!(seen, [first, second]);
    let bytes = two_packets();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    while reader.next_packet().unwrap().is_some() {}
    let names: Vec<_> = reader.interfaces().iter().map(|i| (i.name.as_deref(), i.link_code)).collect();
    assert_eq!(names, [(Some("tap0"), 1), (Some("tun0"), 101)]);
}

#[test]
fn every_truncation_is_told_with_its_place() {
    let whole = two_packets();
    // Ends between two blocks are ends.
    let mut ends = Vec::new();
    let mut at = 0;
    while at < whole.len() {
        at += u32::from_le_bytes(whole[at + 4..at + 8].try_into().unwrap()) as usize;
        ends.push(at);
    }
    for len in 1..whole.len() {
        let (_, error) = read(&whole[..len]);
        assert_eq!(error.is_none(), ends.contains(&len), "cut to {len}: {error:?}");
    }
    let len = whole.len() as u64;
    let (_, error) = read(&whole[..whole.len() - 1]);
    let error = error.unwrap();
    assert_eq!((error.place, error.offset), (Place::Block(5), ends[3] as u64));
    let needed = len - error.offset;
    let text = format!("the capture ends in the middle: {needed} bytes needed, {} left", needed - 1);
    assert_eq!(error.kind.to_string(), text);
}

#[test]
fn what_is_no_capture_is_told() {
    assert_eq!(error_text(b""), "file header, at byte 0: not a capture: the file is empty");
    assert_eq!(
        error_text(b"GET / HTTP/1.0"),
        "file header, at byte 0: not a pcap or pcapng capture (it begins with 0x47455420)"
    );
    assert_eq!(
        error_text(b"\x1f\x8b\x08\x00rest"),
        "file header, at byte 0: the capture is compressed with gzip: decompress it first"
    );
}

/// A pcap file in the given byte order, with one packet.
fn pcap(magic: u32, link: u32, put: fn(u32) -> [u8; 4]) -> Vec<u8> {
    // The version's two halves change places with the byte order.
    let version = if put(1) == [0, 0, 0, 1] { 0x0002_0004 } else { 0x0004_0002 };
    let words = [magic, version, 0, 0, 65_535, link, 7, 5, 3, 100];
    words.into_iter().flat_map(put).chain(*b"abc").collect()
}

#[test]
fn the_old_format_in_both_units_and_both_byte_orders() {
    for (magic, nanos) in [(0xa1b2_c3d4, 7_000_005_000), (0xa1b2_3c4d, 7_000_000_005)] {
        for put in [u32::to_be_bytes, u32::to_le_bytes] {
            let (seen, error) = read(&pcap(magic, 1, put));
            assert!(error.is_none(), "{error:?}");
            assert_eq!((seen[0].time, seen[0].original_len, &seen[0].bytes[..]), (nanos, 100, &b"abc"[..]));
        }
    }
    let mut cut = pcap(0xa1b2_c3d4, 1, u32::to_le_bytes);
    cut.pop();
    assert_eq!(
        error_text(&cut),
        "packet 1, at byte 24: the capture ends in the middle: 19 bytes needed, 18 left"
    );
    let unknown = pcap(0xa1b2_c3d4, 147, u32::to_le_bytes);
    assert!(error_text(&unknown).starts_with("file header, at byte 0: unknown link type 147"));
}

/// A pcapng block of 32-bit words, in big endian.
fn block(kind: u32, words: &[u32]) -> Vec<u8> {
    let len = 12 + 4 * words.len() as u32;
    [&[kind, len], words, &[len]].concat().into_iter().flat_map(u32::to_be_bytes).collect()
}

#[test]
fn sections_of_both_byte_orders_follow_each_other() {
    let big = [
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]),
        // Raw IP, time in 1/1024 seconds, ten seconds late.
        block(1, &[101 << 16, 0, 0x0009_0001, 0x8a00_0000, 0x000e_0008, 0, 10, 0]),
        // A name resolution block, which is skipped.
        block(4, &[0]),
        block(6, &[0, 0, 512, 1, 1, 0x4500_0000]),
        // An obsolete packet, and a simple one.
        block(2, &[0, 0, 1024, 2, 2, 0x4142_0000]),
        block(3, &[3, 0x4142_4300]),
    ]
    .concat();
    let mut file = two_packets();
    file.extend(big);
    let (seen, error) = read(&file);
    assert!(error.is_none(), "{error:?}");
    let brief: Vec<_> = seen[2..].iter().map(|p| (p.interface, p.time, &p.bytes[..])).collect();
    let expected: [(usize, u64, &[u8]); 3] =
        [(2, 10_500_000_000, b"E"), (2, 11_000_000_000, b"AB"), (2, 0, b"ABC")];
    assert_eq!(brief, expected);
}

#[test]
fn an_unknown_link_type_is_told_and_the_next_packet_can_be_read() {
    let file = [
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]),
        block(1, &[189 << 16, 0]),
        block(1, &[1 << 16, 0]),
        block(6, &[0, 0, 512, 1, 1, 0x4500_0000]),
        block(6, &[1, 0, 512, 1, 1, 0x4500_0000]),
        block(6, &[2, 0, 512, 1, 1, 0x4500_0000]),
    ]
    .concat();
    let mut reader = Reader::new(&file[..]).unwrap();
    let error = reader.next_packet().unwrap_err().to_string();
    assert!(error.starts_with("block 4, at byte 68: unknown link type 189"), "{error}");
    assert_eq!(reader.next_packet().unwrap().unwrap().number, 2);
    let error = reader.next_packet().unwrap_err().to_string();
    assert_eq!(error, "block 6, at byte 140: packet of interface 2, but 2 are described");
    assert!(reader.next_packet().unwrap().is_none());
}

#[test]
fn wrong_lengths_are_told() {
    let section = block(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]);
    let with = |bad: Vec<u8>| [section.clone(), block(1, &[1 << 16, 0]), bad].concat();
    let mut mismatch = block(5, &[1]);
    *mismatch.last_mut().unwrap() = 20;
    assert!(error_text(&with(mismatch)).ends_with("length 16 before the block, 20 after it"));
    let huge: Vec<u8> = [6u32, 0xffff_fff0].into_iter().flat_map(u32::to_be_bytes).collect();
    assert!(error_text(&with(huge)).ends_with("impossible length 4294967280"));
    let greedy = block(6, &[0, 0, 0, 5, 5, 0]);
    assert!(error_text(&with(greedy)).ends_with("packet of 5 bytes in a block with room for 4"));
}

#[test]
fn several_comments_are_lines() {
    let file = [
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 0x0001_0000, u32::MAX, u32::MAX]),
        block(1, &[1 << 16, 0]),
        block(6, &[0, 0, 0, 1, 1, 0, 0x0001_0001, 0x6100_0000, 0x0001_0001, 0x6200_0000, 0x0002_0004, 1, 0]),
    ]
    .concat();
    let (seen, _) = read(&file);
    assert_eq!(seen[0].comment.as_deref(), Some("a\nb"));
    assert_eq!(seen[0].direction, Some(Direction::In));
}

#[test]
fn the_ip_packet_is_found_behind_each_link_header() {
    let ip = [0x45, 0, 0, 20];
    let tagged = [&[0u8; 12][..], &[0x81, 0, 0, 5, 0x08, 0], &ip].concat();
    assert_eq!(LinkType::Ethernet.ip_packet(&tagged), Some(&ip[..]));
    assert_eq!(LinkType::Raw.ip_packet(&ip), Some(&ip[..]));
    assert_eq!(LinkType::Null.ip_packet(&[&[2, 0, 0, 0][..], &ip].concat()), Some(&ip[..]));
    let arp = [&[0u8; 12][..], &[0x08, 0x06], &ip].concat();
    assert_eq!(LinkType::Ethernet.ip_packet(&arp), None);
    assert_eq!(LinkType::Ethernet.ip_packet(&ip), None);
}

proptest! {
    #[test]
    fn no_bytes_panic_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600), start in 0usize..5) {
        let starts: [&[u8]; 5] = [
            b"",
            b"\x0a\x0d\x0d\x0a",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0",
            b"\xa1\xb2\x3c\x4d",
        ];
        let bytes = [starts[start], &bytes].concat();
        let (seen, _) = read(&bytes);
        prop_assert!(seen.iter().map(|p| p.bytes.len()).sum::<usize>() <= bytes.len());
    }

    #[test]
    fn no_damage_panics_a_reader(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = two_packets();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (seen, _) = read(&bytes);
        prop_assert!(seen.len() <= 2);
    }

    #[test]
    fn packets_round_trip(
        packets in proptest::collection::vec(
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..200), "[ -~é]{0,40}", any::<Option<bool>>()),
            0..20,
        )
    ) {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let interface = writer.add_interface("é0", LinkType::Raw).unwrap();
        for (time, bytes, comment, out) in &packets {
            let direction = out.map(|out| if out { Direction::Out } else { Direction::In });
            let time = Instant::from_nanos(*time);
            let record = Record { interface, time, direction, comment: Some(comment) };
            writer.write(&record, &[bytes]).unwrap();
        }
        let (seen, error) = read(&writer.into_inner().unwrap());
        prop_assert!(error.is_none());
        prop_assert_eq!(seen.len(), packets.len());
        for (seen, (time, bytes, comment, out)) in seen.iter().zip(&packets) {
            prop_assert_eq!((&seen.bytes, seen.time, &seen.comment), (bytes, *time, &Some(comment.clone())));
            prop_assert_eq!(seen.direction.map(|d| d == Direction::Out), *out);
        }
    }
}
