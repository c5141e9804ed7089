//! Recorded segments of the peer, rewritten for our stack: its sequence numbers and its clock differ from those that
//! were recorded.

use std::net::SocketAddr;

use ustack::wire::checksum::Sum;
use ustack::wire::ip::{self, Protocol};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::CHECKSUM_OFFSET;

use super::super::conversation::Segment;

/// What is put in the place of what was recorded.
#[derive(Clone, Debug)]
pub(super) struct Substitutes {
    /// The acknowledgment number.
    pub(super) ack: Option<SeqNum>,
    /// The SACK blocks; what is beyond them is filled with padding.
    pub(super) sack: Vec<(SeqNum, SeqNum)>,
    /// The timestamp to echo.
    pub(super) echo: Option<u32>,
    /// Nothing but the header, without SYN, FIN and RST.
    pub(super) only_ack: bool,
}

const ACK_FIELD: core::ops::Range<usize> = 8..12;
const FLAGS: usize = 13;
const OPTIONS: usize = 20;
const SYN_FIN_RST_PSH: u8 = 0x0f;
const NOP: u8 = 1;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The IP packet in which a segment of `remote` arrives at `local`.
pub(super) fn packet(segment: &Segment, remote: SocketAddr, local: SocketAddr, new: &Substitutes) -> Vec<u8> {
    let mut tcp = segment.bytes.clone();
    if new.only_ack {
        tcp.truncate(segment.header_len);
        tcp[FLAGS] &= !SYN_FIN_RST_PSH;
    }
    if let Some(ack) = new.ack {
        tcp[ACK_FIELD].copy_from_slice(&ack.get().to_be_bytes());
    }
    rewrite_options(&mut tcp[OPTIONS..segment.header_len], new);
    tcp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
    let sum = Sum::pseudo(remote.ip(), local.ip(), Protocol::TCP, tcp.len()).with(&tcp).checksum();
    tcp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());

    let len = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    let header = ip::Header::new(remote.ip(), local.ip(), Protocol::TCP, segment.hop_limit, len)
        .map(|header| header.with_traffic_class(segment.dscp, segment.ecn));
    let mut packet = vec![0; ip::MAX_HEADER_LEN];
    // Both addresses come from one packet, and it fitted into one.
    let header_len = header.and_then(|header| header.write(&mut packet).ok()).unwrap_or(0);
    packet.truncate(header_len);
    packet.extend_from_slice(&tcp);
    packet
}

fn rewrite_options(options: &mut [u8], new: &Substitutes) {
    let mut at = 0;
    while let Some(&kind) = options.get(at).filter(|&&kind| kind != 0) {
        let len = if kind == NOP { 1 } else { options.get(at + 1).map_or(0, |&len| usize::from(len)) };
        let Some(option) = options.get_mut(at..at + len).filter(|_| len > 0) else { return };
        match (kind, new.echo) {
            (TIMESTAMPS, Some(echo)) if len == 10 => option[6..].copy_from_slice(&echo.to_be_bytes()),
            (SACK, _) => {
                for (edges, (start, end)) in option[2..].chunks_exact_mut(8).zip(&new.sack) {
                    edges[..4].copy_from_slice(&start.get().to_be_bytes());
                    edges[4..].copy_from_slice(&end.get().to_be_bytes());
                }
                // An option without blocks is none.
                let used = if new.sack.is_empty() { 0 } else { 2 + 8 * new.sack.len() };
                option[used..].fill(NOP);
                if used > 0 {
                    option[1] = used as u8;
                }
            }
            _ => {}
        }
        at += len;
    }
}
