//! Keys that both sides know: the script's calls give them to the stack, and what arrives is signed with the same.

use std::net::IpAddr;
use std::sync::Arc;

use ustack::buf::frame::Checksum;
use ustack::tcp::{AoKey, Authenticator, Direction, Isns, Keys};
use ustack::wire::checksum::Sum;
use ustack::wire::ip::{Packet, Protocol};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{CHECKSUM_OFFSET, Header};

use super::flow::Flow;

/// The keys of the other side.
#[derive(Clone, Debug, Default)]
pub(super) struct TheirKeys(Keys);

impl TheirKeys {
    /// They sign with MD5 what they send to `us`.
    pub(super) fn add_md5(&mut self, us: IpAddr, secret: &[u8]) -> Result<(), String> {
        self.0.add_md5(us, whole(us), secret).map_err(|error| error.to_string())
    }

    /// They have the same key of TCP-AO for `us`; what one sends with the other receives.
    pub(super) fn add_ao(&mut self, us: IpAddr, ours: &AoKey) -> Result<(), String> {
        let theirs = AoKey { send_id: ours.recv_id, recv_id: ours.send_id, ..ours.clone() };
        self.0.add_ao(us, whole(us), theirs).map_err(|error| error.to_string())
    }

    /// Signs the segment of theirs in an IP packet.
    pub(super) fn sign(&self, packet: &mut [u8], flow: &Flow) -> Result<(), String> {
        let read = Packet::parse(packet).map_err(|error| error.to_string())?;
        let (src, dst, at) = (read.src, read.dst, read.header_len());
        let (value, payload) =
            Header::parse(read.payload, src, dst, Checksum::Verified).map_err(|error| error.to_string())?;
        let payload = payload.to_vec();
        let number = |live| Some(SeqNum::new(live));
        let isns = Isns { local: number(flow.their_live(0)), remote: number(flow.our_live(0)) };
        let known = Authenticator::new(&Arc::new(self.0.clone()), dst, isns);
        let mut known =
            known.ok_or("nobody has set a key: setsockopt(3, SOL_TCP, TCP_MD5SIG, \"secret\", 6)")?;
        let segment = &mut packet[at..];
        let header_len = segment.len() - payload.len();
        let (header, _) = segment.split_at_mut(header_len);
        if !known.sign(&value, header, [&payload, &[]], Direction { src, dst }) {
            return Err("the other side has no such key".into());
        }
        segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
        let sum = Sum::pseudo(src, dst, Protocol::TCP, segment.len()).with(segment).checksum();
        segment[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }
}

/// The prefix that is one address.
pub(super) fn whole(address: IpAddr) -> u8 {
    if address.to_canonical().is_ipv4() { 32 } else { 128 }
}
