use super::*;
use proptest::prelude::*;

/// Ethernet, IPv4 (20 bytes) and TCP (32 bytes) headers, as far as this file looks at them.
fn tcp4(payload: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + 20 + 32 + payload];
    frame[14] = 0x45;
    frame[14 + 9] = 6;
    frame[34 + 12] = 0x80;
    frame
}

fn merged(size: u16) -> Offload {
    let gso = Gso { kind: GsoKind::Tcp4, size, header: 66 };
    Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso: Some(gso) }
}

#[test]
fn a_plain_frame_has_an_empty_header() {
    assert_eq!(Header::of(&Offload::NONE).to_bytes(), [0; LEN]);
    assert_eq!(Header::parse(&[0; LEN]).offload(&tcp4(100), Medium::Ethernet), Offload::NONE);
}

#[test]
fn an_open_checksum_is_told_as_it_is_written() {
    let partial = Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso: None };
    let header = Header::of(&partial);
    assert_eq!((header.flags, header.csum_start, header.csum_offset), (NEEDS_CSUM, 34, 16));
    assert_eq!(header.offload(&tcp4(10), Medium::Ethernet), partial);
    // One whose field lies beyond the frame cannot be completed by anybody.
    assert_eq!(header.offload(&tcp4(10)[..40], Medium::Ethernet).checksum, Checksum::Verified);
    let valid = Header { flags: DATA_VALID, ..Header::default() };
    assert_eq!(valid.offload(&tcp4(10), Medium::Ethernet).checksum, Checksum::Verified);
}

#[test]
fn the_length_of_the_headers_is_found_not_believed() {
    let mut header = Header::of(&merged(1448));
    header.hdr_len = 256;
    let got = header.offload(&tcp4(5000), Medium::Ethernet);
    assert_eq!(got.gso, Some(Gso { kind: GsoKind::Tcp4, size: 1448, header: 66 }));
    // Merged by a card that verified the sums: nothing tells where TCP begins.
    header.flags = DATA_VALID;
    header.csum_start = 0;
    assert_eq!(header.offload(&tcp4(5000), Medium::Ethernet).gso, got.gso);
}

#[test]
fn ecn_beside_the_kind_does_not_hide_it() {
    let mut header = Header::of(&merged(1000));
    header.gso_type |= GSO_ECN;
    assert_eq!(header.offload(&tcp4(5000), Medium::Ethernet).gso.unwrap().kind, GsoKind::Tcp4);
}

#[test]
fn merging_is_guessed_from_the_headers() {
    let gso = guess_gso(&tcp4(5000), Medium::Ethernet, 1500).unwrap();
    assert_eq!(gso, Gso { kind: GsoKind::Tcp4, size: 1448, header: 66 });
    assert_eq!(guess_gso(&tcp4(0)[..40], Medium::Ethernet, 1500), None);
    assert_eq!(guess_gso(&tcp4(100), Medium::Ethernet, 40), None);
}

fn any_kind() -> impl Strategy<Value = GsoKind> {
    prop_oneof![Just(GsoKind::Tcp4), Just(GsoKind::Tcp6), Just(GsoKind::Udp)]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(bytes in any::<[u8; LEN]>()) {
        prop_assert_eq!(Header::parse(&bytes).to_bytes(), bytes);
    }

    #[test]
    fn what_we_send_is_what_a_receiver_learns(kind in any_kind(), size in 1u16.., payload in 0usize..3000) {
        let frame = tcp4(payload);
        let header = if kind == GsoKind::Udp { 42 } else { 66 };
        let gso = Gso { kind, size, header };
        let sent = Offload { checksum: Checksum::Partial { start: 34, offset: 16 }, gso: Some(gso) };
        let got = Header::parse(&Header::of(&sent).to_bytes()).offload(&frame, Medium::Ethernet);
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn no_header_and_no_frame_panics(bytes in any::<[u8; LEN]>(),
                                     frame in prop::collection::vec(any::<u8>(), 0..120),
                                     mtu in 0usize..70_000) {
        for medium in [Medium::Ethernet, Medium::Ip] {
            if let Some(gso) = Header::parse(&bytes).offload(&frame, medium).gso {
                prop_assert!(usize::from(gso.header) <= frame.len() && gso.size > 0);
            }
            guess_gso(&frame, medium, mtu);
        }
    }
}
