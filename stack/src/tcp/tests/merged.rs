//! Segments that the other side, or the kernel, has merged into one.

use super::super::testing::*;
use super::super::*;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header};

impl One {
    /// `len` bytes from `seq` on arrive as so many segments in one frame.
    fn merged(&mut self, seq: u32, len: usize, segments: u16) {
        let header = Header {
            src_port: CLIENT.remote,
            dst_port: CLIENT.local,
            seq: SeqNum::new(IRS) + seq,
            ack: SeqNum::new(ISS) + 1,
            flags: Flags::ACK,
            window: 20_000,
            ..Header::EMPTY
        };
        let payload = pattern(len, 0);
        let segment = Segment { segments, ..Segment::new(header, &payload) };
        self.c.handle_segment(self.now, &segment);
    }
}

/// RFC 5681 section 4.2: an acknowledgment for each second segment, however they come.
#[test]
fn two_in_one_are_acknowledged_at_once() {
    let mut one = One::established(bare());
    one.merged(1, 2000, 2);
    one.play("> A seq=1 ack=2001 why=ack");
    one.merged(2001, 1000, 1);
    one.play("+40ms \n > A seq=1 ack=3001 why=delayed-ack");
    one.merged(3001, 3000, 3);
    one.merged(6001, 2000, 2);
    one.play("> A seq=1 ack=8001 why=ack");
    let counters = one.c.info().counters;
    assert_eq!((counters.data_segs_in, counters.bytes_received), (8, 8000));
}

/// RFC 2018 section 3, RFC 5681 section 4.2.
#[test]
fn a_merged_piece_behind_a_hole_is_one_block() {
    let mut one = One::established(bare());
    one.merged(2001, 3000, 3);
    one.play("> A ack=1 sack=2001-5001 why=dup-ack");
    one.merged(4001, 3000, 3);
    one.play("> A ack=1 sack=4001-5001;2001-7001");
    one.merged(1, 2000, 2);
    one.play("> A ack=7001 sack=none why=ack");
    // After a loss each segment is acknowledged at once, sixteen of them.
    one.recv(7000);
    one.play("> A ack=7001 why=window-update");
    one.merged(7001, 1000, 1);
    one.play("> A ack=8001 why=ack");
}

/// RFC 9293 section 3.10.7.4: what lies in the window is taken, and the rest is not.
#[test]
fn what_is_longer_than_the_window_is_cut() {
    let mut one = One::established(bare());
    one.merged(1, 12_000, 12);
    one.play("> A ack=10001 win=0 why=ack");
    assert_eq!(one.c.info().counters.bytes_received, 10_000);
    one.recv(10_000);
    one.play("> A ack=10001 why=window-update");
    one.merged(10_001, 2000, 2);
    one.play("> A ack=12001 why=ack");
}
