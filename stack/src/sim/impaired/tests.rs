use super::*;
use crate::buf::frame::{Medium, Offload};
use crate::capture::{Capture, Reader};
use crate::device::Memory;
use crate::time::{Units as _, at};
use crate::why::Reason;

fn tx(bytes: &[u8]) -> TxFrame<'_> {
    TxFrame {
        head: bytes,
        body: [b"-", b"body"],
        offload: Offload::NONE,
        why: &const { Why::new(Reason::Rto).with("cwnd", 1) },
    }
}

fn received(device: &mut impl Device, now: Instant) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = device.recv(now).unwrap() {
        all.push(String::from_utf8_lossy(frame.bytes).into_owned());
    }
    all
}

/// A bad device, and the far end of its wire.
fn impaired(outgoing: &str, incoming: &str) -> (Impaired<Memory>, Memory) {
    let (near, far) = Memory::pair(Medium::Ip, 1500);
    (Impaired::new(near, outgoing.parse().unwrap(), incoming.parse().unwrap(), 1), far)
}

#[test]
fn both_directions_are_held_until_their_time() {
    let (mut near, mut far) = impaired("delay 10ms", "delay 30ms");
    near.send(at(0.ms()), &tx(b"ping")).unwrap();
    far.send(at(0.ms()), &tx(b"pong")).unwrap();
    assert_eq!(received(&mut far, at(0.ms())), [""; 0]);
    assert_eq!(received(&mut near, at(0.ms())), [""; 0]);
    assert_eq!(near.poll_timeout(), Some(at(10.ms())));
    assert_eq!(received(&mut near, at(10.ms())), [""; 0]);
    assert_eq!(received(&mut far, at(10.ms())), ["ping-body"]);
    assert_eq!(near.poll_timeout(), Some(at(30.ms())));
    assert_eq!(received(&mut near, at(30.ms())), ["pong-body"]);
    assert_eq!(near.poll_timeout(), None);
}

#[test]
fn without_impairments_frames_pass_at_once() {
    let (mut near, mut far) = impaired("", "");
    near.send(at(0.ms()), &tx(b"ping")).unwrap();
    assert_eq!(received(&mut far, at(0.ms())), ["ping-body"]);
    far.send(at(0.ms()), &tx(b"pong")).unwrap();
    assert_eq!(received(&mut near, at(0.ms())), ["pong-body"]);
}

#[test]
fn a_trace_keeps_what_passes_with_its_fate() {
    let (mut near, mut far) = impaired("delay 10ms", "loss 100%");
    near.record_trace(2);
    near.send(at(0.ms()), &tx(b"ping")).unwrap();
    far.send(at(0.ms()), &tx(b"pong")).unwrap();
    assert_eq!(received(&mut near, at(1.ms())), [""; 0]);
    near.send(at(2.ms()), &tx(b"beyond the limit")).unwrap();
    let trace = near.take_trace();
    let [sent, lost] = &trace[..] else { panic!("{trace:?}") };
    assert_eq!(
        (sent.direction, sent.time, sent.passage.arrival),
        (Direction::Out, at(0.ms()), Some(at(10.ms())))
    );
    assert_eq!((sent.why.reason(), &sent.bytes[..]), (Reason::Rto, &b"ping-body"[..]));
    assert_eq!((lost.direction, lost.time, lost.passage.arrival), (Direction::In, at(1.ms()), None));
    assert_eq!((near.take_trace().len(), near.outgoing().counts().frames), (0, 2));
}

#[test]
fn fates_of_both_directions_can_be_played_back() {
    let (mut near, mut far) = impaired("", "");
    let list: FateList = "frame 2 of out: drop\nframe 1 of in: duplicate 5ms\n".parse().unwrap();
    near.play_back(&list);
    near.record_fates(None);
    for bytes in ["1", "2", "3"] {
        near.send(at(0.ms()), &tx(bytes.as_bytes())).unwrap();
    }
    assert_eq!(received(&mut far, at(0.ms())), ["1-body", "3-body"]);
    far.send(at(0.ms()), &tx(b"pong")).unwrap();
    assert_eq!(received(&mut near, at(0.ms())), ["pong-body"]);
    assert_eq!(received(&mut near, at(5.ms())), ["pong-body"]);
    assert_eq!(near.fates(), list);
    assert_eq!(near.outgoing().counts().to_string(), "3 frames, 1 lost, 2 delivered");
}

#[test]
fn what_does_not_arrive_is_captured_once_with_its_fate() {
    let (mut near, mut far) = impaired("", "delay 10ms");
    near.play_back(&"frame 1 of out: drop\nframe 2 of in: drop".parse().unwrap());
    let (capture, buffer) = Capture::in_memory();
    near.capture(capture.clone(), "tap0").unwrap();
    near.send(at(0.ms()), &tx(b"1")).unwrap();
    near.send(at(1.ms()), &tx(b"2")).unwrap();
    far.send(at(2.ms()), &tx(b"3")).unwrap();
    far.send(at(2.ms()), &tx(b"4")).unwrap();
    received(&mut near, at(2.ms()));
    received(&mut near, at(12.ms()));
    capture.finish().unwrap();
    let bytes = buffer.bytes();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let mut lines = Vec::new();
    while let Some(packet) = reader.next_packet().unwrap() {
        let bytes = String::from_utf8_lossy(packet.bytes);
        lines.push(format!("{} {bytes} {}", packet.time.as_millis(), packet.comment.unwrap_or_default()));
    }
    assert_eq!(
        lines,
        ["0 1-body why=rto cwnd=1 fate=drop", "1 2-body why=rto cwnd=1", "2 4-body fate=drop", "12 3-body ",]
    );
}

#[test]
fn a_full_device_loses_and_counts() {
    let (near, _far) =
        Memory::builder(Capabilities::plain(crate::device::Medium::Ip, 1500)).limit(2).pair().unwrap();
    let mut near = Impaired::new(near, Impairment::NONE, Impairment::NONE, 1);
    for _ in 0..5 {
        near.send(at(0.ms()), &tx(b"x")).unwrap();
    }
    assert_eq!(near.refused(), 3);
}
