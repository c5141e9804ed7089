use super::*;
use crate::buf::frame::{Gso, GsoKind};
use crate::device::sys::wait;
use crate::why::{Reason, Why};
use std::time::Duration;

fn frame<'a>(head: &'a [u8], body: &'a [u8]) -> TxFrame<'a> {
    TxFrame { head, body: [body, &[]], offload: Offload::NONE, why: &const { Why::new(Reason::NewData) } }
}

fn next(end: &mut Memory) -> Option<Vec<u8>> {
    end.recv(Instant::ZERO).unwrap().map(|frame| frame.bytes.to_vec())
}

#[test]
fn frames_arrive_whole_and_in_order_at_the_other_end() {
    let (mut a, mut b) = Memory::pair(Medium::Ip, 100);
    a.send(Instant::ZERO, &frame(b"head", b"body")).unwrap();
    a.send(Instant::ZERO, &frame(b"2", b"")).unwrap();
    b.send(Instant::ZERO, &frame(b"back", b"")).unwrap();
    assert_eq!(next(&mut b).unwrap(), b"headbody");
    assert_eq!(next(&mut b).unwrap(), b"2");
    assert_eq!(next(&mut b), None);
    assert_eq!(next(&mut a).unwrap(), b"back");
}

#[test]
fn a_full_wire_refuses_and_counts() {
    let (mut a, mut b) = Memory::builder(Capabilities::plain(Medium::Ip, 100)).limit(2).pair().unwrap();
    a.send(Instant::ZERO, &frame(b"1", b"")).unwrap();
    a.send(Instant::ZERO, &frame(b"2", b"")).unwrap();
    let error = a.send(Instant::ZERO, &frame(b"3", b"")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!((a.refused(), b.refused(), b.waiting()), (1, 0, 2));
    assert_eq!(next(&mut b).unwrap(), b"1");
    a.send(Instant::ZERO, &frame(b"4", b"")).unwrap();
}

#[test]
fn only_what_fits_is_taken() {
    let (mut a, _b) = Memory::pair(Medium::Ethernet, 100);
    a.send(Instant::ZERO, &frame(&[0; 14], &[0; 100])).unwrap();
    let error = a.send(Instant::ZERO, &frame(&[0; 14], &[0; 101])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn merged_frames_stay_merged_and_their_sums_are_vouched_for() {
    let capabilities =
        Capabilities { max_merged: 3000, checksum: true, ..Capabilities::plain(Medium::Ip, 100) };
    let (mut a, mut b) = Memory::builder(capabilities).pair().unwrap();
    let gso = Gso { kind: GsoKind::Tcp4, size: 60, header: 40 };
    let mut merged = frame(&[0; 40], &[7; 600]);
    merged.offload = Offload { checksum: Checksum::Partial { start: 20, offset: 16 }, gso: Some(gso) };
    a.send(Instant::ZERO, &merged).unwrap();
    let got = b.recv(Instant::ZERO).unwrap().unwrap();
    assert_eq!(got.bytes.len(), 640);
    assert_eq!(got.offload, Offload { checksum: Checksum::Verified, gso: Some(gso) });
}

#[test]
fn a_cut_wire_swallows() {
    let (mut a, b) = Memory::pair(Medium::Ip, 100);
    drop(b);
    a.send(Instant::ZERO, &frame(b"1", b"")).unwrap();
    assert_eq!(next(&mut a), None);
}

#[test]
fn buffers_are_used_again() {
    let (mut a, mut b) = Memory::pair(Medium::Ip, 100);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        a.send(Instant::ZERO, &frame(&[1; 100], b"")).unwrap();
        seen.insert(b.recv(Instant::ZERO).unwrap().unwrap().bytes.as_ptr() as usize);
    }
    assert!(seen.len() <= 2, "{} buffers for a wire that holds one frame", seen.len());
}

#[test]
fn a_pollable_end_is_readable_while_frames_wait() {
    let (mut a, mut b) = Memory::builder(Capabilities::plain(Medium::Ip, 100)).pollable().pair().unwrap();
    let readable = |end: &Memory| wait(&[end.as_fd().unwrap()], Some(Duration::ZERO)).unwrap() == 1;
    assert!(!readable(&b));
    a.send(Instant::ZERO, &frame(b"1", b"")).unwrap();
    assert!(readable(&b) && !readable(&a));
    assert!(next(&mut b).is_some());
    assert!(next(&mut b).is_none());
    assert!(!readable(&b));
    a.send(Instant::ZERO, &frame(b"2", b"")).unwrap();
    assert!(readable(&b));
}

#[test]
fn the_ends_may_live_in_different_threads() {
    let (mut a, mut b) = Memory::builder(Capabilities::plain(Medium::Ip, 100)).pollable().pair().unwrap();
    let sender = std::thread::spawn(move || {
        for i in 0..500u32 {
            a.send(Instant::ZERO, &frame(&i.to_be_bytes(), b"")).unwrap();
        }
        a
    });
    for i in 0..500u32 {
        let got = loop {
            match next(&mut b) {
                Some(bytes) => break bytes,
                None => _ = wait(&[b.as_fd().unwrap()], None).unwrap(),
            }
        };
        assert_eq!(got, i.to_be_bytes());
    }
    sender.join().unwrap();
}
