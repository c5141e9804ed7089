//! Input that no friend sends: truncated, corrupted, oversized, spoofed and looping packets, and floods of them. They
//! are dropped and counted by reason; sockets, memory and time are not theirs.

mod fuzz;
mod victim;

use std::net::Ipv4Addr;

use ustack::ip::input::DropReason;
use ustack::tcp::State;
use ustack::time::Units as _;
use ustack::wire::icmpv4;
use ustack::wire::ip::Protocol;
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{self, Flags};
use victim::{
    OURS, PEER, PEER_PORT, STREAM_PORT, UDP_PORT, Victim, ethernet, icmp_frame, tcp_frame, udp_frame,
};

#[test]
fn every_prefix_of_every_valid_frame_is_dropped() {
    let mut victim = Victim::new();
    for frame in victim.valid_frames() {
        for len in 0..frame.len() {
            victim.receive(&frame[..len]);
        }
    }
    assert_eq!(victim.datagrams(), 0, "a piece of a datagram was delivered");
    let stats = victim.stack.stats();
    let dropped = stats.in_v4.dropped(DropReason::Truncated) + stats.in_v6.dropped(DropReason::Truncated);
    assert!(dropped > 300, "{dropped} packets were counted as truncated");
    victim.assert_unharmed();
}

#[test]
fn one_wrong_bit_is_noticed() {
    let mut victim = Victim::new();
    let frame = udp_frame(PEER, OURS, 5000, UDP_PORT, b"precious");
    for bit in 0..frame.len() * 8 {
        let mut frame = frame.clone();
        frame[bit / 8] ^= 1 << (bit % 8);
        victim.receive(&frame);
        // Whatever is delivered is what was sent: the bit was in the link header, or where it makes no difference.
        while let Some(datagram) = victim.datagram() {
            assert_eq!(datagram, b"precious", "bit {bit}");
        }
    }
    let stats = victim.stack.stats();
    let noticed = stats.udp.in_csum_errors + stats.in_v4.dropped(DropReason::Checksum);
    assert!(noticed > 100, "{noticed} wrong checksums were counted");
    victim.assert_unharmed();
}

#[test]
fn lengths_that_lie_are_refused() {
    let mut victim = Victim::new();
    let frame = udp_frame(PEER, OURS, 5000, UDP_PORT, b"hello");
    // The IP packet, and the datagram within, longer than the frame.
    for (at, reason) in [(16, "the packet's"), (38, "the datagram's")] {
        for len in [0u16, 7, 19, 27, 100, 0xffff] {
            let mut lie = frame.clone();
            lie[at..at + 2].copy_from_slice(&len.to_be_bytes());
            if at == 16 {
                victim::fix_ip_checksum(&mut lie[14..34]);
            }
            victim.receive(&lie);
            assert_eq!(victim.datagrams(), 0, "{reason} length {len}");
        }
    }
    // A TCP header that is longer than its segment, and options that lead beyond it.
    let mut segment = tcp_frame(
        PEER,
        OURS,
        &tcp::Header { flags: Flags::SYN, dst_port: STREAM_PORT, src_port: 9, ..Default::default() },
        b"",
    );
    segment[46] = 0xf0;
    victim.receive(&segment);
    // A frame of the largest size there is.
    let huge = udp_frame(PEER, OURS, 5000, UDP_PORT, &vec![7; 65_000]);
    victim.receive(&huge);
    assert_eq!(victim.datagram().map(|datagram| datagram.len()), Some(65_000));
    let stats = victim.stack.stats();
    assert!(stats.in_v4.in_hdr_errors + stats.in_v4.in_truncated_pkts >= 5, "{:?}", stats.in_v4);
    assert!(stats.udp.in_errors >= 4, "{:?}", stats.udp);
    assert_eq!(stats.tcp.in_errs, 1);
    victim.assert_unharmed();
}

#[test]
fn sources_that_nobody_can_have_are_refused() {
    let mut victim = Victim::new();
    let sources: [[u8; 4]; 6] =
        [[10, 9, 0, 2], [127, 0, 0, 1], [224, 0, 0, 1], [255, 255, 255, 255], [10, 9, 0, 255], [0, 1, 2, 3]];
    for source in sources {
        victim.receive(&udp_frame(source.into(), OURS, UDP_PORT, UDP_PORT, b"from nowhere"));
        let syn = tcp::Header {
            src_port: STREAM_PORT,
            dst_port: STREAM_PORT,
            flags: Flags::SYN,
            ..Default::default()
        };
        victim.receive(&tcp_frame(source.into(), OURS, &syn, b""));
        assert_eq!(victim.datagrams(), 0, "{source:?}");
    }
    let stats = victim.stack.stats();
    let dropped = stats.in_v4.dropped(DropReason::MartianSource);
    assert_eq!(dropped, 2 * sources.len() as u64, "{:?}", stats.in_v4);
    // Nothing was answered: an answer to ourselves would go round and round.
    assert_eq!(victim.sent(), []);
    victim.assert_unharmed();
}

#[test]
fn packets_for_others_are_none_of_our_business() {
    let mut victim = Victim::new();
    victim.receive(&udp_frame(PEER, Ipv4Addr::new(10, 9, 0, 77), 5000, UDP_PORT, b"for another"));
    victim.receive(&udp_frame(PEER, Ipv4Addr::new(239, 1, 2, 3), 5000, UDP_PORT, b"for a group"));
    let mut broadcast = udp_frame(PEER, OURS, 5000, UDP_PORT, b"for us, told to all");
    broadcast[..6].fill(0xff);
    victim.receive(&broadcast);
    let stats = victim.stack.stats();
    for reason in [DropReason::NotOurs, DropReason::NotMember, DropReason::LinkBroadcast] {
        assert_eq!(stats.in_v4.dropped(reason), 1, "{}", reason.word());
    }
    assert_eq!((victim.datagrams(), victim.sent()), (0, &[][..]));
}

#[test]
fn a_blind_attacker_cannot_end_or_fill_a_connection() {
    let mut victim = Victim::new();
    let right = victim.tuple_header();
    // RFC 5961: only the exact number counts, what is near is asked about, what is far is ignored.
    for distance in [1u32, 1000, 1 << 20, 1 << 31] {
        for flags in [Flags::RST, Flags::SYN, Flags::SYN | Flags::ACK, Flags::RST | Flags::ACK] {
            let header = tcp::Header { seq: right.seq + distance, flags, ..right };
            victim.receive(&tcp_frame(PEER, OURS, &header, b""));
        }
    }
    // Data with an acknowledgment of what was never sent, or of what is long gone.
    for ack in [right.ack + 100_000, right.ack - (1 << 30)] {
        let header = tcp::Header { ack, flags: Flags::ACK | Flags::PSH, ..right };
        victim.receive(&tcp_frame(PEER, OURS, &header, b"injected"));
    }
    assert_eq!(victim.state(), State::Established);
    assert_eq!(victim.read_stream(), b"");
    // They were answered sparingly.
    assert!(victim.sent().len() <= 12, "{:?}", victim.sent());
    victim.assert_unharmed();
}

#[test]
fn a_forged_icmp_error_ends_nothing() {
    let mut victim = Victim::new();
    let right = victim.tuple_header();
    let forged = |seq: SeqNum| {
        let mut ours = tcp::Header { seq, ..right };
        (ours.src_port, ours.dst_port) = (STREAM_PORT, PEER_PORT);
        tcp_frame(OURS, PEER, &ours, b"")[14..42].to_vec()
    };
    for code in [icmpv4::unreachable::PORT, icmpv4::unreachable::PROTOCOL, icmpv4::unreachable::HOST] {
        // Type 3, and a quote of a segment that is not under way.
        for seq in [right.ack + 1_000_000, right.ack - 1_000_000] {
            victim.receive(&icmp_frame(PEER, OURS, 3, code, &forged(seq)));
        }
    }
    // Fragmentation needed, to nearly nothing.
    victim.receive(&icmp_frame(
        PEER,
        OURS,
        3,
        icmpv4::unreachable::FRAGMENTATION_NEEDED,
        &forged(right.ack + 9),
    ));
    assert_eq!(victim.state(), State::Established);
    victim.assert_unharmed();
}

#[test]
fn errors_are_not_answered_by_errors() {
    let mut victim = Victim::new();
    // About a datagram that we never sent, to a port that nobody has.
    let quoted = udp_frame(OURS, PEER, 4, 5, b"never sent")[14..].to_vec();
    for kind in [3, 4, 5, 11, 12] {
        for code in 0..16 {
            victim.receive(&icmp_frame(PEER, OURS, kind, code, &quoted));
            victim.receive(&icmp_frame(PEER, OURS, kind, code, &[]));
        }
    }
    // Datagrams to closed ports from addresses that are not one host's.
    victim.receive(&udp_frame(PEER, Ipv4Addr::BROADCAST, 5000, 1, b"to all"));
    assert_eq!(victim.sent(), []);
    victim.assert_unharmed();
}

#[test]
fn two_services_that_answer_each_other_are_not_made_to() {
    // A datagram whose source is our own address and another of our services goes nowhere, so no loop begins.
    let mut victim = Victim::new();
    victim.receive(&udp_frame(OURS, OURS, 19, UDP_PORT, b"chargen"));
    victim.pass(10.secs());
    assert_eq!((victim.datagrams(), victim.sent()), (0, &[][..]));
    assert_eq!(victim.stack.stats().in_v4.dropped(DropReason::MartianSource), 1);
}

#[test]
fn a_flood_of_syns_costs_a_bounded_backlog() {
    let mut victim = Victim::new();
    let before = victim.stack.socket_count();
    let memory = victim::resident_bytes();
    for n in 0..200_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let syn = tcp::Header {
            src_port: 1024 + (n % 60_000) as u16,
            dst_port: STREAM_PORT,
            seq: SeqNum::new(n),
            flags: Flags::SYN,
            window: 1000,
            ..Default::default()
        };
        victim.receive(&tcp_frame(Ipv4Addr::new(11, a, b, c), OURS, &syn, b""));
    }
    assert_eq!(victim.stack.socket_count(), before);
    let grown = victim::resident_bytes().saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes");
    victim.assert_unharmed();
}

#[test]
fn a_flood_of_fragments_costs_a_bounded_buffer() {
    let mut victim = Victim::new();
    let memory = victim::resident_bytes();
    for id in 0..50_000u32 {
        victim.receive(&victim::fragment(PEER, OURS, id as u16, 8, &[id as u8; 1400]));
    }
    let grown = victim::resident_bytes().saturating_sub(memory);
    assert!(grown < 64 << 20, "{grown} bytes");
    let stats = victim.stack.stats().reassembly_v4;
    assert!(stats.evicted > 10_000, "{stats:?}");
    // They do not stay either.
    victim.pass(120.secs());
    victim.assert_unharmed();
}

#[test]
fn a_flood_of_datagrams_to_closed_ports_is_answered_sparingly() {
    let mut victim = Victim::new();
    for n in 0..10_000u16 {
        victim.receive(&udp_frame(PEER, OURS, 5000, 10_000 + n, b"anybody?"));
    }
    let sent = victim.sent().len();
    assert!((1..=200).contains(&sent), "{sent} errors in one instant");
    assert_eq!(victim.stack.stats().udp.no_ports, 10_000);
    victim.assert_unharmed();
}

#[test]
fn a_flood_of_neighbours_does_not_push_the_peer_out() {
    let mut victim = Victim::new();
    for n in 0..100_000u32 {
        let [_, a, b, c] = n.to_be_bytes();
        victim
            .receive(&victim::arp_request(Ipv4Addr::new(10, 9, 0, 3 + (n % 250) as u8), [2, 1, 0, a, b, c]));
    }
    victim.assert_unharmed();
}

#[test]
fn a_full_receive_queue_is_counted() {
    let mut victim = Victim::new();
    for _ in 0..10_000 {
        victim.receive(&udp_frame(PEER, OURS, 5000, UDP_PORT, &[1; 1000]));
    }
    let lost = victim.stack.stats().udp.rcvbuf_errors;
    let kept = victim.datagrams() as u64;
    assert_eq!(lost + kept, 10_000);
    assert!(kept * 1000 <= victim.stack.config().udp_receive_buffer as u64);
    victim.assert_unharmed();
}

#[test]
fn protocols_that_nobody_speaks_are_counted() {
    let mut victim = Victim::new();
    for protocol in 0..=255u8 {
        if ![Protocol::TCP, Protocol::UDP, Protocol::ICMP, Protocol::IGMP].contains(&Protocol(protocol)) {
            victim.receive(&victim::ip_frame(PEER, OURS, Protocol(protocol), &[protocol; 30]));
        }
    }
    for ether_type in [0u16, 1500, 0x0805, 0x8035, 0x86dd, 0x88cc, 0xffff] {
        victim.receive(&ethernet(ether_type, &[0xff; 60]));
    }
    assert_eq!(victim.stack.stats().in_v4.in_unknown_protos, 252);
    victim.assert_unharmed();
}
