//! ICMP for IPv4 (RFC 792, RFC 1191).

use core::net::Ipv4Addr;

use etherparse::Icmpv4Slice;

use super::checksum::{Sum, checksum};
use super::error::{Error, Layer, Reason, room};

/// Bytes before data or quote.
pub const HEADER_LEN: usize = 8;
/// Most bytes that an error quotes, so that the packet stays within 576 (RFC 1812 section 4.3.2.3).
pub const MAX_QUOTE_LEN: usize = 576 - 20 - HEADER_LEN;

/// Codes of a destination unreachable.
pub mod unreachable {
    /// No route to the network.
    pub const NETWORK: u8 = 0;
    /// The host does not answer.
    pub const HOST: u8 = 1;
    /// The host does not speak this protocol.
    pub const PROTOCOL: u8 = 2;
    /// No one listens on the port.
    pub const PORT: u8 = 3;
    /// Too large for the next link, and not to be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// A source route ended.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// Forbidden by an administrator (RFC 1812 section 5.2.7.1).
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 13;
}

/// Codes of a time exceeded.
pub mod time_exceeded {
    /// The TTL reached zero on the way.
    pub const TTL: u8 = 0;
    /// The fragments did not arrive in time.
    pub const REASSEMBLY: u8 = 1;
}

/// An ICMP message. `quoted` is the beginning of the packet that an error is about: read it with
/// [`super::quote::Quote::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Asks for an echo.
    EchoRequest {
        /// Which conversation.
        id: u16,
        /// Which one of it.
        seq: u16,
        /// Comes back as it is.
        data: &'a [u8],
    },
    /// An echo.
    EchoReply {
        /// As asked.
        id: u16,
        /// As asked.
        seq: u16,
        /// As asked.
        data: &'a [u8],
    },
    /// A packet could not be delivered.
    DestinationUnreachable {
        /// Why, one of [`mod@unreachable`].
        code: u8,
        /// With "fragmentation needed": what fits (RFC 1191), 0 from old routers. Else 0.
        mtu: u16,
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// There is a better way.
    Redirect {
        /// For what: 0 network, 1 host, 2 and 3 with the type of service.
        code: u8,
        /// The better router.
        gateway: Ipv4Addr,
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// A packet or its fragments became too old.
    TimeExceeded {
        /// Which, one of [`time_exceeded`].
        code: u8,
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// A field of a packet was wrong.
    ParameterProblem {
        /// 0: `pointer` names the field.
        code: u8,
        /// The byte of the packet that was wrong.
        pointer: u8,
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// Any other message.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
        /// The second four bytes of the header.
        rest: [u8; 4],
        /// What follows.
        body: &'a [u8],
    },
}

/// Message types.
mod kind {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const DESTINATION_UNREACHABLE: u8 = 3;
    pub(super) const SOURCE_QUENCH: u8 = 4;
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const TIME_EXCEEDED: u8 = 11;
    pub(super) const PARAMETER_PROBLEM: u8 = 12;
}

impl<'a> Message<'a> {
    /// Whether this is an error, which never is answered with an error (RFC 1122 section 3.2.2).
    pub const fn is_error(&self) -> bool {
        match self {
            Self::EchoRequest { .. } | Self::EchoReply { .. } => false,
            Self::DestinationUnreachable { .. }
            | Self::Redirect { .. }
            | Self::TimeExceeded { .. }
            | Self::ParameterProblem { .. } => true,
            Self::Other { kind, .. } => *kind == kind::SOURCE_QUENCH,
        }
    }

    /// Its length when written.
    pub const fn wire_len(&self) -> usize {
        HEADER_LEN + self.parts().3.len()
    }

    /// Reads a message, which takes up all of `bytes`, and verifies its checksum.
    ///
    /// # Errors
    /// Too short, wrong checksum, an echo with a code.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let slice = Icmpv4Slice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Icmpv4, &e))?;
        if !Sum::ZERO.with(bytes).is_valid() {
            return Err(Error::malformed(Layer::Icmpv4, 2, Reason::Checksum));
        }
        let rest = slice.bytes5to8();
        let [a, b, c, d] = rest;
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let body = &bytes[HEADER_LEN..];
        let code = slice.code_u8();
        Ok(match slice.type_u8() {
            kind::ECHO_REQUEST | kind::ECHO_REPLY if code != 0 => {
                return Err(Error::malformed(Layer::Icmpv4, 1, Reason::Value));
            }
            kind::ECHO_REQUEST => Self::EchoRequest { id: high, seq: low, data: body },
            kind::ECHO_REPLY => Self::EchoReply { id: high, seq: low, data: body },
            kind::DESTINATION_UNREACHABLE => {
                let mtu = if code == unreachable::FRAGMENTATION_NEEDED { low } else { 0 };
                Self::DestinationUnreachable { code, mtu, quoted: body }
            }
            kind::REDIRECT => Self::Redirect { code, gateway: Ipv4Addr::from(rest), quoted: body },
            kind::TIME_EXCEEDED => Self::TimeExceeded { code, quoted: body },
            kind::PARAMETER_PROBLEM => Self::ParameterProblem { code, pointer: a, quoted: body },
            kind => Self::Other { kind, code, rest, body },
        })
    }

    /// Writes the message with its checksum at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let len = self.wire_len();
        let out = room(out, len, Layer::Icmpv4)?;
        let (kind, code, rest, body) = self.parts();
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..HEADER_LEN].copy_from_slice(&rest);
        out[HEADER_LEN..].copy_from_slice(body);
        let sum = checksum(out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        Ok(len)
    }

    /// Type, code, the second half of the header, and what follows.
    const fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        match *self {
            Self::EchoRequest { id, seq, data } => (kind::ECHO_REQUEST, 0, words(id, seq), data),
            Self::EchoReply { id, seq, data } => (kind::ECHO_REPLY, 0, words(id, seq), data),
            Self::DestinationUnreachable { code, mtu, quoted } => {
                (kind::DESTINATION_UNREACHABLE, code, words(0, mtu), quoted)
            }
            Self::Redirect { code, gateway, quoted } => (kind::REDIRECT, code, gateway.octets(), quoted),
            Self::TimeExceeded { code, quoted } => (kind::TIME_EXCEEDED, code, [0; 4], quoted),
            Self::ParameterProblem { code, pointer, quoted } => {
                (kind::PARAMETER_PROBLEM, code, [pointer, 0, 0, 0], quoted)
            }
            Self::Other { kind, code, rest, body } => (kind, code, rest, body),
        }
    }
}

/// As much of a packet as an error quotes.
pub fn quote(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(MAX_QUOTE_LEN)]
}

const fn words(high: u16, low: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Message<'_> = Message::EchoRequest { id: 1, seq: 2, data: b"odd" };

    fn written(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0xee; message.wire_len()];
        assert_eq!(message.write(&mut bytes), Ok(bytes.len()));
        bytes
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let mut bytes = written(&ECHO);
        assert_eq!(Message::parse(&bytes), Ok(ECHO));
        bytes[8] ^= 1;
        assert!(Message::parse(&bytes).unwrap_err().is_checksum());
        assert_eq!(Message::parse(&bytes[..7]), Err(Error::length(Layer::Icmpv4, 8, 7)));
    }

    #[test]
    fn an_echo_has_no_code() {
        let echo_with_code = Message::Other { kind: 8, code: 1, rest: [0; 4], body: &[] };
        let error = Message::parse(&written(&echo_with_code)).map(|_| ()).unwrap_err();
        assert_eq!(error, Error::malformed(Layer::Icmpv4, 1, Reason::Value));
    }

    #[test]
    fn errors_are_told_from_questions() {
        let quench = Message::Other { kind: 4, code: 0, rest: [0; 4], body: &[] };
        let too_old = Message::TimeExceeded { code: time_exceeded::TTL, quoted: &[] };
        assert!(quench.is_error() && too_old.is_error() && !ECHO.is_error());
    }

    #[test]
    fn an_mtu_is_read_only_where_it_is() {
        let needed = Message::DestinationUnreachable {
            code: unreachable::FRAGMENTATION_NEEDED,
            mtu: 1400,
            quoted: &[],
        };
        assert_eq!(Message::parse(&written(&needed)), Ok(needed));
        let mut port =
            written(&Message::DestinationUnreachable { code: unreachable::PORT, mtu: 0, quoted: &[] });
        port[7] = 5;
        port[2..4].fill(0);
        let sum = checksum(&port);
        port[2..4].copy_from_slice(&sum.to_be_bytes());
        let read = Message::parse(&port).unwrap();
        assert_eq!(read, Message::DestinationUnreachable { code: unreachable::PORT, mtu: 0, quoted: &[] });
    }

    #[test]
    fn a_quote_keeps_the_error_small() {
        assert_eq!(quote(&[0; 1500]).len(), 548);
        assert_eq!(quote(&[0; 28]).len(), 28);
    }
}
