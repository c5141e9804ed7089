//! Descriptors that have no room, take a part, or are gone: real ones, whose queues are short.

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};

use super::*;
use crate::buf::frame::{InterfaceId, Medium};
use crate::time::{Instant, Units as _};
use crate::why::Why;
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig, Stack};

const PLAIN: Capabilities = Capabilities::plain(Medium::Ip, 1500);

/// Two ends whose queues hold a few frames, as the kernel bounds them.
fn pair() -> [Frames; 2] {
    let (left, right) = UnixDatagram::pair().unwrap();
    [left, right].map(|end| {
        end.set_nonblocking(true).unwrap();
        Frames::new(File::from(OwnedFd::from(end)), false, PLAIN)
    })
}

fn frame(bytes: &[u8]) -> TxFrame<'_> {
    let (head, body) = bytes.split_at(bytes.len().min(20));
    TxFrame { head, body: [body, &[]], offload: Offload::NONE, why: &Why::FOREIGN }
}

#[test]
fn what_finds_a_full_queue_is_refused_whole_and_what_was_taken_arrives() {
    let [mut left, mut right] = pair();
    // Short ones go in one piece, long ones in parts.
    for len in [100, SHORT + 100] {
        let numbered = |number: u32| number.to_be_bytes().repeat(len / 4);
        let mut sent = 0;
        let refused = loop {
            match left.send(&frame(&numbered(sent))) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert!(sent > 0, "the queue holds something");
        for number in 0..sent {
            let frame = right.recv().unwrap().expect("it was taken");
            assert!(frame.bytes == numbered(number));
        }
        assert!(right.recv().unwrap().is_none());
        left.send(&frame(b"there is room again")).unwrap();
        assert_eq!(right.recv().unwrap().unwrap().bytes, b"there is room again");
    }
}

#[test]
fn a_part_that_was_written_is_told() {
    let (left, _right) = UnixStream::pair().unwrap();
    left.set_nonblocking(true).unwrap();
    let mut frames = Frames::new(File::from(OwnedFd::from(left)), false, PLAIN);
    // A stream takes as much as it has room for.
    let error = (0..100).find_map(|_| frames.send(&frame(&[7; 60_000])).err()).expect("it fills");
    assert!(matches!(error.kind(), io::ErrorKind::WriteZero | io::ErrorKind::WouldBlock), "{error}");
    let error = frames.send(&frame(&[7; 60_000])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_queue_without_memory_is_full_and_a_device_that_is_gone_is_an_error() {
    for errno in [libc::EAGAIN, libc::EINTR, libc::ENOBUFS, libc::EIO, libc::ENETDOWN] {
        assert!(may_pass_later(&io::Error::from_raw_os_error(errno)), "{errno}");
    }
    assert!(!may_pass_later(&io::Error::from_raw_os_error(libc::EBADFD)));
    let [mut left, right] = pair();
    drop(right);
    let error = left.send(&frame(b"nobody")).unwrap_err();
    assert!(!may_pass_later(&error), "{error}");
}

/// A stack over an end of the pair, with a connection.
struct Host {
    stack: Stack,
    frames: Frames,
    refused: usize,
}

impl Host {
    fn new(last: u8, frames: Frames) -> Self {
        let mut stack = Stack::new(Config::seeded(last.into()));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        let config = config.address([10, 9, 0, last].into(), 24);
        stack.add_interface(Instant::ZERO, config, PLAIN).unwrap();
        Self { stack, frames, refused: 0 }
    }

    fn step(&mut self, now: Instant) {
        while let Some(frame) = self.frames.recv().unwrap() {
            self.stack.handle_frame(now, InterfaceId(1), frame);
        }
        self.stack.handle_timeout(now);
        while let Some(frame) = self.stack.poll_transmit(now, InterfaceId(1)) {
            match self.frames.send(&frame) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        while self.stack.poll_event().is_some() {}
    }
}

#[test]
fn tcp_repairs_what_full_queues_refuse() {
    const BYTES: usize = 8_000_000;
    let [left, right] = pair();
    let (mut client, mut server) = (Host::new(1, left), Host::new(2, right));
    let settings = client.stack.config().tcp.clone();
    let at = ([10, 9, 0, 2], 7).into();
    let listener = server.stack.tcp_listen(at, 1, settings.clone()).unwrap();
    let ours = client.stack.tcp_connect(Instant::ZERO, at, None, settings).unwrap();
    let text: Vec<u8> = (0..BYTES).map(|n| ((n * n) >> 8) as u8).collect();
    let (mut sent, mut got, mut theirs, mut buffer) = (0, Vec::new(), None, vec![0; 65_536]);
    let mut now = Instant::ZERO;
    while got.len() < BYTES {
        now += 1.ms();
        sent += client.stack.tcp_send(now, ours, &text[sent..]).unwrap_or(0);
        client.step(now);
        server.step(now);
        theirs = theirs.or_else(|| server.stack.tcp_accept(now, listener).ok().map(|(id, _)| id));
        while let Some(theirs) = theirs
            && let Ok(len @ 1..) = server.stack.tcp_recv(now, theirs, &mut buffer)
        {
            got.extend_from_slice(&buffer[..len]);
        }
        assert!(now < Instant::ZERO + 600.secs(), "{} of {BYTES} bytes", got.len());
    }
    assert!(got == text, "bytes were damaged");
    assert!(client.refused > 0, "the queue was never full");
    assert!(client.stack.stats().tcp.retrans_segs > 0);
}
