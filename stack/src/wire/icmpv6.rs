//! ICMP for IPv6 (RFC 4443). Neighbor discovery and group management are messages of it, with files of their
//! own.

use core::net::Ipv6Addr;

use etherparse::Icmpv6Slice;

use super::checksum::Sum;
use super::error::{Error, Layer, Reason, room};
use super::ip::Protocol;
use super::{ipv6, mld, ndp};

/// Bytes before data or quote.
pub const HEADER_LEN: usize = 8;
/// Most bytes that an error quotes, so that the packet stays within the least MTU (RFC 4443 section 2.4 (c)).
pub const MAX_QUOTE_LEN: usize = ipv6::MIN_MTU - ipv6::HEADER_LEN - HEADER_LEN;

/// Codes of a destination unreachable.
pub mod unreachable {
    /// No route.
    pub const NO_ROUTE: u8 = 0;
    /// Forbidden by an administrator.
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
    /// Beyond the scope of the source address.
    pub const BEYOND_SCOPE: u8 = 2;
    /// The address does not answer.
    pub const ADDRESS: u8 = 3;
    /// No one listens on the port.
    pub const PORT: u8 = 4;
}

/// Codes of a time exceeded.
pub mod time_exceeded {
    /// The hop limit reached zero on the way.
    pub const HOP_LIMIT: u8 = 0;
    /// The fragments did not arrive in time.
    pub const REASSEMBLY: u8 = 1;
}

/// Codes of a parameter problem.
pub mod parameter_problem {
    /// A field has a wrong value.
    pub const HEADER_FIELD: u8 = 0;
    /// A next header that the node does not know.
    pub const NEXT_HEADER: u8 = 1;
    /// An option that the node does not know.
    pub const OPTION: u8 = 2;
    /// The first fragment does not hold all headers (RFC 7112).
    pub const INCOMPLETE_CHAIN: u8 = 3;
}

/// An ICMPv6 message. `quoted` is the beginning of the packet that an error is about: read it with
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
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// A packet does not fit the next link.
    PacketTooBig {
        /// What fits.
        mtu: u32,
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
        /// What, one of [`parameter_problem`].
        code: u8,
        /// The byte of the packet that was wrong.
        pointer: u32,
        /// The packet's beginning.
        quoted: &'a [u8],
    },
    /// Neighbor discovery.
    Ndp(ndp::Message<'a>),
    /// Group management.
    Mld(mld::Message<'a>),
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
    pub(super) const DESTINATION_UNREACHABLE: u8 = 1;
    pub(super) const PACKET_TOO_BIG: u8 = 2;
    pub(super) const TIME_EXCEEDED: u8 = 3;
    pub(super) const PARAMETER_PROBLEM: u8 = 4;
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ECHO_REPLY: u8 = 129;
}

impl<'a> Message<'a> {
    /// Whether this is an error, which never is answered with an error (RFC 4443 sections 2.1 and 2.4 (e)). A
    /// redirect is treated as one.
    pub const fn is_error(&self) -> bool {
        match self {
            Self::DestinationUnreachable { .. }
            | Self::PacketTooBig { .. }
            | Self::TimeExceeded { .. }
            | Self::ParameterProblem { .. }
            | Self::Ndp(ndp::Message::Redirect { .. }) => true,
            Self::EchoRequest { .. } | Self::EchoReply { .. } | Self::Ndp(_) | Self::Mld(_) => false,
            Self::Other { kind, .. } => *kind < 128,
        }
    }

    /// Its length when written.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Ndp(message) => message.wire_len(),
            Self::Mld(message) => message.wire_len(),
            _ => HEADER_LEN + self.parts().3.len(),
        }
    }

    /// Reads a message, which takes up all of `bytes`, and verifies its checksum.
    ///
    /// That a hop limit is 255 (NDP) or 1 (MLD) is for the caller to see.
    ///
    /// # Errors
    /// Too short, wrong checksum; an echo or a neighbor discovery message with a code, broken options or
    /// records.
    pub fn parse(bytes: &'a [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<Self, Error> {
        let slice = Icmpv6Slice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Icmpv6, &e))?;
        if !pseudo(src, dst, bytes.len()).with(bytes).is_valid() {
            return Err(Error::malformed(Layer::Icmpv6, 2, Reason::Checksum));
        }
        let rest = slice.bytes5to8();
        let [a, b, c, d] = rest;
        let (id, seq) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let number = u32::from_be_bytes(rest);
        let body = slice.payload();
        let code = slice.code_u8();
        Ok(match slice.type_u8() {
            kind::ECHO_REQUEST | kind::ECHO_REPLY if code != 0 => {
                return Err(Error::malformed(Layer::Icmpv6, 1, Reason::Value));
            }
            kind::ECHO_REQUEST => Self::EchoRequest { id, seq, data: body },
            kind::ECHO_REPLY => Self::EchoReply { id, seq, data: body },
            kind::DESTINATION_UNREACHABLE => Self::DestinationUnreachable { code, quoted: body },
            kind::PACKET_TOO_BIG => Self::PacketTooBig { mtu: number, quoted: body },
            kind::TIME_EXCEEDED => Self::TimeExceeded { code, quoted: body },
            kind::PARAMETER_PROBLEM => Self::ParameterProblem { code, pointer: number, quoted: body },
            kind if ndp::is_kind(kind) => Self::Ndp(ndp::Message::parse(&slice)?),
            kind if mld::is_kind(kind) => Self::Mld(mld::Message::parse(bytes)?),
            kind => Self::Other { kind, code, rest, body },
        })
    }

    /// Writes the message with its checksum at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) -> Result<usize, Error> {
        let len = self.wire_len();
        let out = room(out, len, Layer::Icmpv6)?;
        out[2..4].fill(0);
        match self {
            Self::Ndp(message) => message.put(out),
            Self::Mld(message) => message.put(out),
            _ => {
                let (kind, code, rest, body) = self.parts();
                out[..2].copy_from_slice(&[kind, code]);
                out[4..HEADER_LEN].copy_from_slice(&rest);
                out[HEADER_LEN..].copy_from_slice(body);
            }
        }
        let sum = pseudo(src, dst, len).with(out).checksum();
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        Ok(len)
    }

    /// Type, code, the second half of the header, and what follows; nothing for messages that write
    /// themselves.
    const fn parts(&self) -> (u8, u8, [u8; 4], &'a [u8]) {
        match *self {
            Self::EchoRequest { id, seq, data } => (kind::ECHO_REQUEST, 0, words(id, seq), data),
            Self::EchoReply { id, seq, data } => (kind::ECHO_REPLY, 0, words(id, seq), data),
            Self::DestinationUnreachable { code, quoted } => {
                (kind::DESTINATION_UNREACHABLE, code, [0; 4], quoted)
            }
            Self::PacketTooBig { mtu, quoted } => (kind::PACKET_TOO_BIG, 0, mtu.to_be_bytes(), quoted),
            Self::TimeExceeded { code, quoted } => (kind::TIME_EXCEEDED, code, [0; 4], quoted),
            Self::ParameterProblem { code, pointer, quoted } => {
                (kind::PARAMETER_PROBLEM, code, pointer.to_be_bytes(), quoted)
            }
            Self::Other { kind, code, rest, body } => (kind, code, rest, body),
            Self::Ndp(_) | Self::Mld(_) => (0, 0, [0; 4], &[]),
        }
    }
}

impl<'a> From<ndp::Message<'a>> for Message<'a> {
    fn from(message: ndp::Message<'a>) -> Self {
        Self::Ndp(message)
    }
}

impl<'a> From<mld::Message<'a>> for Message<'a> {
    fn from(message: mld::Message<'a>) -> Self {
        Self::Mld(message)
    }
}

/// As much of a packet as an error quotes.
pub fn quote(packet: &[u8]) -> &[u8] {
    &packet[..packet.len().min(MAX_QUOTE_LEN)]
}

fn pseudo(src: Ipv6Addr, dst: Ipv6Addr, len: usize) -> Sum {
    Sum::pseudo(src.into(), dst.into(), Protocol::ICMPV6, len)
}

const fn words(high: u16, low: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRC: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
    const DST: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
    const ECHO: Message<'_> = Message::EchoRequest { id: 1, seq: 2, data: b"odd" };

    fn written(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0xee; message.wire_len()];
        assert_eq!(message.write(&mut bytes, SRC, DST), Ok(bytes.len()));
        bytes
    }

    #[test]
    fn the_checksum_covers_the_addresses() {
        let bytes = written(&ECHO);
        assert_eq!(Message::parse(&bytes, SRC, DST), Ok(ECHO));
        assert!(Message::parse(&bytes, SRC, Ipv6Addr::LOCALHOST).unwrap_err().is_checksum());
        assert_eq!(Message::parse(&bytes[..7], SRC, DST), Err(Error::length(Layer::Icmpv6, 8, 7)));
    }

    #[test]
    fn errors_are_told_from_questions() {
        let unknown_error = Message::Other { kind: 127, code: 0, rest: [0; 4], body: &[] };
        let unknown_question = Message::Other { kind: 200, code: 0, rest: [0; 4], body: &[] };
        let too_big = Message::PacketTooBig { mtu: 1280, quoted: &[] };
        assert!(unknown_error.is_error() && too_big.is_error());
        assert!(!unknown_question.is_error() && !ECHO.is_error());
        assert_eq!(Message::parse(&written(&unknown_error), SRC, DST), Ok(unknown_error));
    }

    #[test]
    fn an_error_fits_the_least_mtu() {
        let error = Message::TimeExceeded { code: time_exceeded::HOP_LIMIT, quoted: quote(&[0; 1500]) };
        assert_eq!(ipv6::HEADER_LEN + error.wire_len(), ipv6::MIN_MTU);
    }
}
