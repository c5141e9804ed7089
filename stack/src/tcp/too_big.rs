//! What ICMP says about the path's MTU against what the peer has acknowledged (RFC 5927 section 7.2).
//!
//! Segments that arrived prove a size. A claim below it is made up, or the path has changed; the latter shows, for then
//! nothing arrives any more. So such a claim waits for the retransmission timer, and is forgotten if the segment that
//! it is about is acknowledged first. What is above the proven size, as in the beginning, counts at once.

use super::connection::Connection;
use super::segment::BASE_HEADER;
use super::sender::Sender;
use super::state::Block;
use crate::wire::seq::SeqNum;

/// A "packet too big" about a segment in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooBig {
    /// Where the segment begins.
    pub seq: SeqNum,
    /// What the next link takes in bytes, as the message says.
    pub mtu: u32,
    /// Length of the packet in bytes, as the message quotes it.
    pub packet_len: u32,
}

impl Connection {
    /// Whether a claim that the path takes segments of `max_segment` bytes has to wait, for more than that arrived
    /// before. It is kept then: see [`Self::take_too_big`].
    pub fn doubts_too_big(&mut self, claim: TooBig, max_segment: usize) -> bool {
        let Block::Open(open) = &self.block else { return false };
        let proven = open.sender.proven as usize + BASE_HEADER;
        if max_segment >= proven || open.sender.retries > 0 {
            return false;
        }
        self.common.too_big = Some(Box::new(claim));
        true
    }

    /// A claim that was doubted and can be believed now: the retransmission timer has fired.
    pub fn take_too_big(&mut self) -> Option<TooBig> {
        self.common.too_big.as_ref()?;
        match &self.block {
            Block::Open(open) if open.sender.retries == 0 => None,
            _ => self.common.too_big.take().map(|claim| *claim),
        }
    }
}

impl Sender {
    /// Before SND.UNA moves to `ack`: whether a full segment lies before that. All after the last one that was not full
    /// were.
    pub(crate) fn note_proven(&mut self, ack: SeqNum) {
        let from = if self.small_end.after(self.snd_una) { self.small_end } else { self.snd_una };
        if ack.after(from) && ack - from >= self.smss {
            self.proven = self.smss;
        }
    }
}
