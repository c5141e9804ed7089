//! Long segments that leave as trains, because the device takes none.

use super::*;
use crate::wire::ip::Packet;
use crate::wire::tcp::{Flags, Header};

/// Sequence number, length and flags of the segments that a host has to send now.
fn segments(host: &mut Stack, now: Instant) -> Vec<(u32, usize, Flags)> {
    let mut all = Vec::new();
    while let Some(frame) = host.poll_transmit(now, ETH) {
        all.push(segment(&frame.to_vec()));
    }
    all
}

fn segment(frame: &[u8]) -> (u32, usize, Flags) {
    let packet = Packet::parse(&frame[14..]).unwrap();
    // The checksum of each is its own.
    let (header, payload) =
        Header::parse(packet.payload, packet.src, packet.dst, crate::buf::frame::Checksum::Full).unwrap();
    (header.seq.get(), payload.len(), header.flags)
}

#[test]
fn each_car_fits_the_wire_and_the_last_byte_has_the_push() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    wire.hosts[0].tcp_send(wire.now, client, &[7; 10_000]).unwrap();
    wire.hosts[0].tcp_shutdown(wire.now, client, Shutdown::Write).unwrap();
    let sent = segments(&mut wire.hosts[0], wire.now);
    let lens: Vec<_> = sent.iter().map(|&(_, len, _)| len).collect();
    assert_eq!(lens, [1448, 1448, 1448, 1448, 1448, 1448, 1312]);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.wrapping_add(pair[0].1 as u32));
        assert_eq!(pair[0].2, Flags::ACK);
    }
    assert_eq!(sent.last().unwrap().2, Flags::ACK | Flags::PSH | Flags::FIN);
    assert_eq!(wire.hosts[0].tcp_info(client).unwrap().counters.segs_out, 2 + 7);
}

#[test]
fn an_ack_between_two_cars_does_not_disturb_the_rest() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    let text: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    wire.hosts[0].tcp_send(wire.now, client, &text).unwrap();
    let mut arrived = Vec::new();
    while let Some(frame) = wire.hosts[0].poll_transmit(wire.now, ETH) {
        let frame = frame.to_vec();
        arrived.extend_from_slice(&frame[14 + 20 + 32..]);
        wire.hosts[1].handle_frame(wire.now, ETH, RxFrame::plain(&frame));
        while let Some(ack) = wire.hosts[1].poll_transmit(wire.now, ETH) {
            let ack = ack.to_vec();
            wire.hosts[0].handle_frame(wire.now, ETH, RxFrame::plain(&ack));
        }
    }
    assert_eq!(arrived, text);
}

#[test]
fn a_train_ends_with_its_connection() {
    let mut wire = Wire::new();
    let (_, client, _) = wire.connect("10.0.0.2:7");
    wire.hosts[0].tcp_send(wire.now, client, &[7; 10_000]).unwrap();
    let first = segment(&wire.hosts[0].poll_transmit(wire.now, ETH).unwrap().to_vec());
    wire.hosts[0].tcp_abort(wire.now, client).unwrap();
    let rest = segments(&mut wire.hosts[0], wire.now);
    assert_eq!(first.1, 1448);
    let [(_, 0, flags)] = rest[..] else { panic!("{rest:?}") };
    assert!(flags.contains(Flags::RST));
}

#[test]
fn received_bytes_are_read_where_they_lie() {
    let mut wire = Wire::new();
    let (_, client, server) = wire.connect("10.0.0.2:7");
    assert_eq!(wire.hosts[1].tcp_received(server), Err(Error::WouldBlock));
    wire.hosts[0].tcp_send(wire.now, client, b"hello").unwrap();
    wire.run(1.secs());
    assert_eq!(wire.hosts[1].tcp_received(server), Ok([&b"hello"[..], &[]]));
    wire.hosts[1].tcp_consume(wire.now, server, 2).unwrap();
    assert_eq!(wire.hosts[1].tcp_received(server), Ok([&b"llo"[..], &[]]));
}
