//! Segments that no socket is polled for.

use super::Stack;
use crate::ip::output::Meta;
use crate::socket::endpoint::Tuple;
use crate::socket::table::{IpOptions, Kind, SocketId};
use crate::tcp::{Authenticator, Direction, Outgoing};
use crate::time::Instant;
use crate::wire::ip::Protocol;

impl Stack {
    /// After anything happened to a listener: its SYN-ACKs leave for the queue of replies.
    pub(super) fn settle_listener(&mut self, now: Instant, id: SocketId) {
        while let Ok(entry) = self.listener_mut(id)
            && let Some(syn_ack) = entry.listener.poll_transmit(now)
        {
            let ip = entry.ip;
            let known = match self.authenticates {
                true => self.syn_ack_authenticator(id, &syn_ack.peer, &syn_ack.segment.header),
                false => None,
            };
            self.reply_tcp(&syn_ack.peer, ip, known, &syn_ack.segment);
        }
        let Some(socket) = self.sockets.get_mut(id) else { return };
        let Kind::Listener(entry) = &socket.kind else { return };
        let deadline = entry.listener.poll_timeout();
        self.timers.set(id, &mut socket.places.entered, deadline);
    }

    /// A segment without a socket to poll: RST, SYN-ACK, the ACK of TIME-WAIT. `known` signs it.
    pub(super) fn reply_tcp(
        &mut self,
        tuple: &Tuple,
        ip: IpOptions,
        known: Option<Box<Authenticator>>,
        outgoing: &Outgoing,
    ) {
        let mut header = outgoing.header;
        if let Some(known) = &known
            && header.options.signature.is_none()
        {
            header.options.set_signature(Some(known.option()));
        }
        let mut bytes = self.pool.take();
        bytes.resize(header.header_len(), 0);
        let (source, destination) = (tuple.local.ip, tuple.remote.ip);
        let mut complete = true;
        let written = match known {
            None => header.write(&mut bytes, source, destination, [&[], &[]]),
            Some(mut known) => {
                let direction = Direction { src: source, dst: destination };
                let sign = |out: &mut [u8]| complete = known.sign(&header, out, [&[], &[]], direction);
                header.write_signed(&mut bytes, (source, destination), [&[], &[]], false, sign)
            }
        };
        debug_assert!(written.is_ok(), "room was made for the header");
        if !complete {
            // What cannot be signed nobody would believe.
            return self.pool.give(bytes);
        }
        let meta = Meta {
            dscp: ip.traffic_class >> 2,
            ecn: outgoing.ecn,
            ..Meta::new(source, destination, Protocol::TCP)
        };
        self.stats.tcp.count_out(header.flags, outgoing.why.reason(), 1);
        self.reply(meta, ip.hop_limit, &tuple.remote, bytes, outgoing.why);
    }
}
