//! Signed segments on the stack: whose keys count for a segment, and what becomes of one that is not believed.

use std::sync::Arc;

use super::Stack;
use super::head::HeadBuffer;
use super::interfaces::TxLimits;
use crate::buf::frame::{Checksum, Offload};
use crate::error::Error;
use crate::ip::output::{Ids, Meta};
use crate::socket::endpoint::Tuple;
use crate::socket::table::{Kind, Socket, SocketId};
use crate::tcp::{AoKeyIds, Authenticator, Direction, Isns, Keys, Outgoing, Refusal, Settings};
use crate::wire;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Signature};

impl Stack {
    /// The keys in use on a connection that TCP-AO protects (RFC 5925); `None` on others.
    ///
    /// # Errors
    /// `NoSuchSocket`.
    pub fn tcp_ao_key_ids(&self, id: SocketId) -> Result<Option<AoKeyIds>, Error> {
        Ok(self.tcp(id)?.authenticator.as_ref().and_then(|authenticator| authenticator.ao_key_ids()))
    }

    /// Changes the keys of a listener, or of an open connection. As on Linux, MD5 may begin and end while a connection
    /// is open; TCP-AO may not: such a connection goes on with the keys in use, which must be among `keys`.
    ///
    /// # Errors
    /// `NoSuchSocket`; a connection for whose peer `keys` have nothing that it could go on with.
    pub fn tcp_set_keys(&mut self, id: SocketId, keys: &Arc<Keys>) -> Result<(), Error> {
        if let Ok(listener) = self.listener_mut(id) {
            listener.listener.settings_mut().keys = Some(keys.clone());
            self.authenticates = true;
            return Ok(());
        }
        let tcp = self.tcp_mut(id)?;
        let known = Authenticator::new(keys, tcp.tuple.remote.ip, Isns::default());
        let found = match (&mut tcp.authenticator, known) {
            (Some(old), Some(new)) if old.is_ao() || new.is_ao() => old.set_keys(keys),
            (Some(old), None) if old.is_ao() => false,
            (None, Some(new)) if new.is_ao() => false,
            (None, None) => false,
            (current, known) => {
                let known = known.map(Box::new);
                let agreed = tcp.connection.set_signature(option_of(known.as_deref()));
                if agreed {
                    *current = known;
                }
                agreed
            }
        };
        self.authenticates = true;
        if found { Ok(()) } else { Err(Error::Invalid("the connection has no such key")) }
    }

    /// Asks the peer of a connection that TCP-AO protects to send with the key that we receive as `recv_id` from now on
    /// (RNextKeyID, RFC 5925 section 7.5). It does so when it has the key, and we follow when it asks.
    ///
    /// # Errors
    /// `NoSuchSocket`; there is no such key.
    pub fn tcp_ask_for_ao_key(&mut self, id: SocketId, recv_id: u8) -> Result<(), Error> {
        let found = self.tcp_mut(id)?.authenticator.as_mut().is_some_and(|known| known.ask_for_key(recv_id));
        if found { Ok(()) } else { Err(Error::Invalid("the connection has no such key")) }
    }

    /// What signs the segments of a new connection to a peer.
    pub(super) fn authenticator(
        settings: &Settings,
        tuple: &Tuple,
        isns: Isns,
    ) -> Option<Box<Authenticator>> {
        Authenticator::new(settings.keys.as_ref()?, tuple.remote.ip, isns).map(Box::new)
    }

    /// Keys were given: from now on each segment is looked at.
    pub(super) fn notice_keys(&mut self, settings: &Settings) {
        self.authenticates |= settings.keys.is_some();
    }

    /// What signs our answers to a segment for a listener, and verifies it.
    pub(super) fn listener_authenticator(
        &mut self,
        id: SocketId,
        tuple: &Tuple,
        header: &Header,
    ) -> Option<Box<Authenticator>> {
        let entry = self.listener_mut(id).ok()?;
        let keys = entry.listener.settings().keys.clone()?;
        let isns = match entry.listener.initial_numbers(tuple) {
            Some((local, remote)) => Isns { local: Some(local), remote: Some(remote) },
            // A cookie that comes back is one after our number, and what it comes with one after theirs.
            None if header.flags.contains(Flags::ACK) => {
                Isns { local: Some(header.ack - 1), remote: Some(header.seq - 1) }
            }
            None => Isns { local: None, remote: Some(header.seq) },
        };
        let mut known = Authenticator::new(&keys, tuple.remote.ip, isns)?;
        known.answer(header.options.signature);
        Some(Box::new(known))
    }

    /// Whether a segment, `bytes` being all of it, is who it says it is from; otherwise it is counted.
    pub(super) fn is_authentic(&mut self, tuple: &Tuple, header: &Header, bytes: &[u8]) -> bool {
        let verdict = self.verify(tuple, header, bytes);
        let counters = &mut self.stats.tcp;
        let counter = match verdict {
            Ok(false) => return true,
            Ok(true) => &mut counters.ao_good,
            Err(Refusal::Md5NotFound) => &mut counters.md5_not_found,
            Err(Refusal::Md5Unexpected) => &mut counters.md5_unexpected,
            Err(Refusal::Md5Failure) => &mut counters.md5_failure,
            Err(Refusal::AoRequired) => &mut counters.ao_required,
            Err(Refusal::AoKeyNotFound) => &mut counters.ao_key_not_found,
            Err(Refusal::AoBad) => &mut counters.ao_bad,
        };
        *counter += 1;
        verdict.is_ok()
    }

    /// Whether TCP-AO says that it is authentic; false where nothing is asked for.
    fn verify(&mut self, tuple: &Tuple, header: &Header, bytes: &[u8]) -> Result<bool, Refusal> {
        let direction = Direction { src: tuple.remote.ip, dst: tuple.local.ip };
        let check =
            |known: &mut Authenticator| known.verify(header, bytes, direction).map(|()| known.is_ao());
        let without = match header.options.signature {
            None => Ok(false),
            Some(option) => Err(Refusal::unexpected(option)),
        };
        if let Some(id) = self.tcp_demux.find(tuple) {
            let tcp = self.sockets.get_mut(id).and_then(Socket::tcp_mut);
            return match tcp.and_then(|tcp| tcp.authenticator.as_deref_mut()) {
                Some(known) => check(known),
                None => without,
            };
        }
        if let Some(known) = self.time_waits.authenticator(tuple) {
            return check(known);
        }
        if self.time_waits.contains(tuple) && without.is_ok() {
            return without;
        }
        match self.tcp_demux.bound(&tuple.local) {
            Some(id) => match self.listener_authenticator(id, tuple, header) {
                Some(mut known) => check(&mut known),
                None => without,
            },
            None => without,
        }
    }

    /// What signs the SYN-ACKs of a listener to a peer, whose header says how both sides begin.
    pub(super) fn syn_ack_authenticator(
        &mut self,
        id: SocketId,
        tuple: &Tuple,
        header: &Header,
    ) -> Option<Box<Authenticator>> {
        let Some(Kind::Listener(entry)) = self.sockets.get(id).map(|socket| &socket.kind) else {
            return None;
        };
        let isns = Isns { local: Some(header.seq), remote: Some(header.ack - 1) };
        Self::authenticator(entry.listener.settings(), tuple, isns)
    }
}

/// The room that signatures take in what a new connection sends.
pub(super) fn option_of(authenticator: Option<&Authenticator>) -> Option<Signature> {
    authenticator.map(Authenticator::option)
}

/// The numbers with which both sides of a connection began that a segment to a listener completes.
pub(super) fn isns(iss: SeqNum, irs: SeqNum) -> Isns {
    Isns { local: Some(iss), remote: Some(irs) }
}

/// As `push_tcp` for a segment that carries a digest; nothing if there is no key for it.
pub(super) fn push_signed(
    head: &mut HeadBuffer,
    ids: &mut Ids,
    meta: &Meta,
    outgoing: &Outgoing,
    payload: [&[u8]; 2],
    limits: TxLimits,
    known: &mut Authenticator,
) -> Option<Offload> {
    let (src, dst) = (meta.source, meta.destination);
    let mut header = outgoing.header;
    header.options.set_signature(Some(known.option()));
    head.push(|out| meta.write(ids, header.header_len() + outgoing.len as usize, out)).ok()?;
    let start = head.len as u16;
    let mut complete = false;
    let sign = |out: &mut [u8]| complete = known.sign(&header, out, payload, Direction { src, dst });
    head.push(|out| header.write_signed(out, (src, dst), payload, limits.checksum, sign)).ok()?;
    let mut offload = Offload::NONE;
    if limits.checksum {
        offload.checksum = Checksum::Partial { start, offset: wire::tcp::CHECKSUM_OFFSET as u16 };
    }
    complete.then_some(offload)
}
