//! Group management for IPv6: MLDv1 (RFC 2710) and v2 (RFC 3810). Written and read as
//! [`super::icmpv6::Message::Mld`].

use core::net::Ipv6Addr;

use super::error::{Error, Layer, Reason};
use super::group::{self, decode8, decode16, encode8, encode16};
use super::list::List;
use crate::time::Duration;

/// All routers that speak version 2: its reports go there.
pub const ALL_V2_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// What a report says about one group.
pub type Record<'a> = group::Record<'a, Ipv6Addr>;

/// An MLD message. It travels with hop limit 1, from a link-local address, behind
/// [`super::ext::router_alert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A router asks who listens.
    Query(Query<'a>),
    /// Version 1: I listen.
    ReportV1 {
        /// To this group.
        group: Ipv6Addr,
    },
    /// Version 1: I listen no more.
    Done {
        /// To this group.
        group: Ipv6Addr,
    },
    /// Version 2: what I listen to.
    ReportV2 {
        /// Group by group.
        records: List<'a, Record<'a>>,
    },
}

/// A router's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The version that the router speaks: hosts answer in it.
    pub version: Version,
    /// The group that is asked about; unspecified for all.
    pub group: Ipv6Addr,
    /// Answers are to be spread over this time.
    pub max_response: Duration,
    /// Version 2: other routers are not to update their timers.
    pub suppress: bool,
    /// Version 2: the querier's robustness variable, 0..=7; 0 says nothing.
    pub robustness: u8,
    /// Version 2: the querier's query interval.
    pub interval: Duration,
    /// Version 2: the sources that are asked about; none for all.
    pub sources: List<'a, Ipv6Addr>,
}

/// Versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 2710.
    V1,
    /// RFC 3810.
    V2,
}

mod kind {
    pub(super) const QUERY: u8 = 130;
    pub(super) const REPORT_V1: u8 = 131;
    pub(super) const DONE: u8 = 132;
    pub(super) const REPORT_V2: u8 = 143;
}

/// Bytes of a version 2 report before its records.
const REPORT_V2_LEN: usize = 8;
/// Bytes of a version 1 message.
const V1_LEN: usize = 24;
/// Bytes of a version 2 query before its sources.
const QUERY_V2_LEN: usize = 28;
/// RFC 3810 section 5.1.7: the S flag.
const SUPPRESS: u8 = 0x08;

pub(crate) const fn is_kind(kind: u8) -> bool {
    matches!(kind, kind::QUERY | kind::REPORT_V1 | kind::DONE | kind::REPORT_V2)
}

impl<'a> Message<'a> {
    /// Its length when written.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Query(query) if query.version == Version::V2 => QUERY_V2_LEN + query.sources.wire_len(),
            Self::ReportV2 { records } => REPORT_V2_LEN + records.wire_len(),
            _ => V1_LEN,
        }
    }

    /// Reads a message whose checksum is verified already, from the first byte of the ICMPv6 header.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let head = |needed| Error::length(Layer::Mld, needed, bytes.len());
        let wrong = |offset| Error::malformed(Layer::Mld, offset, Reason::Value);
        let kind = *bytes.first().ok_or(head(V1_LEN))?;
        if kind == kind::REPORT_V2 {
            let (head, rest) = bytes.split_first_chunk::<REPORT_V2_LEN>().ok_or(head(REPORT_V2_LEN))?;
            let count = usize::from(u16::from_be_bytes([head[6], head[7]]));
            let records = List::wire_counted(rest, count).ok_or(wrong(6))?;
            return Ok(Self::ReportV2 { records });
        }
        let (first, rest) = bytes.split_first_chunk::<V1_LEN>().ok_or(head(V1_LEN))?;
        let [_, _, _, _, high, low, _, _, group @ ..] = *first;
        let group = Ipv6Addr::from(group);
        match kind {
            kind::REPORT_V1 => Ok(Self::ReportV1 { group }),
            kind::DONE => Ok(Self::Done { group }),
            kind::QUERY => {
                Query::parse(u16::from_be_bytes([high, low]), group, rest, bytes.len()).map(Self::Query)
            }
            _ => Err(wrong(0)),
        }
    }

    /// Writes all but the checksum into `out`, which has exactly the message's length.
    pub(crate) fn put(&self, out: &mut [u8]) {
        let (kind, words, group) = match self {
            Self::Query(query) => (kind::QUERY, [query.code(), 0], Some(query.group)),
            Self::ReportV1 { group } => (kind::REPORT_V1, [0, 0], Some(*group)),
            Self::Done { group } => (kind::DONE, [0, 0], Some(*group)),
            Self::ReportV2 { records } => (kind::REPORT_V2, [0, records.count() as u16], None),
        };
        out[..2].copy_from_slice(&[kind, 0]);
        out[4..6].copy_from_slice(&words[0].to_be_bytes());
        out[6..8].copy_from_slice(&words[1].to_be_bytes());
        if let Some(group) = group {
            out[8..V1_LEN].copy_from_slice(&group.octets());
        }
        match self {
            Self::Query(query) if query.version == Version::V2 => {
                let suppress = if query.suppress { SUPPRESS } else { 0 };
                let interval = u32::try_from(query.interval.as_secs()).unwrap_or(u32::MAX);
                out[24] = suppress | query.robustness & 7;
                out[25] = encode8(interval);
                out[26..28].copy_from_slice(&(query.sources.count() as u16).to_be_bytes());
                query.sources.put(&mut out[QUERY_V2_LEN..]);
            }
            Self::ReportV2 { records } => records.put(&mut out[REPORT_V2_LEN..]),
            _ => {}
        }
    }
}

impl<'a> Query<'a> {
    fn parse(code: u16, group: Ipv6Addr, rest: &'a [u8], len: usize) -> Result<Self, Error> {
        let v1 = Self {
            version: Version::V1,
            group,
            max_response: Duration::from_millis(u64::from(code)),
            suppress: false,
            robustness: 0,
            interval: Duration::ZERO,
            sources: List::EMPTY,
        };
        // RFC 3810 section 8.1: 24 bytes are version 1, 28 and more version 2, any other length is dropped.
        if rest.is_empty() {
            return Ok(v1);
        }
        let short = Error::length(Layer::Mld, QUERY_V2_LEN, len);
        let ([flags, interval, high, low], rest) = rest.split_first_chunk::<4>().ok_or(short)?;
        let count = usize::from(u16::from_be_bytes([*high, *low]));
        Ok(Self {
            version: Version::V2,
            max_response: Duration::from_millis(u64::from(decode16(code))),
            suppress: flags & SUPPRESS != 0,
            robustness: flags & 7,
            interval: Duration::from_secs(u64::from(decode8(*interval))),
            sources: List::wire_counted(rest, count).ok_or(Error::length(
                Layer::Mld,
                QUERY_V2_LEN + 16 * count,
                len,
            ))?,
            ..v1
        })
    }

    /// The maximum response code.
    fn code(&self) -> u16 {
        let ms = u32::try_from(self.max_response.as_millis()).unwrap_or(u32::MAX);
        match self.version {
            Version::V1 => ms.min(u32::from(u16::MAX)) as u16,
            Version::V2 => encode16(ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::group::RecordKind;
    use super::*;

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 3);

    fn written(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0; message.wire_len()];
        message.put(&mut bytes);
        bytes
    }

    #[test]
    fn the_length_tells_a_query_s_version() {
        let query = Query {
            version: Version::V1,
            group: GROUP,
            max_response: Duration::from_millis(40_001),
            suppress: false,
            robustness: 0,
            interval: Duration::ZERO,
            sources: List::EMPTY,
        };
        let v1 = written(&Message::Query(query));
        assert_eq!((v1.len(), Message::parse(&v1)), (24, Ok(Message::Query(query))));
        let v2 = Query {
            version: Version::V2,
            suppress: true,
            robustness: 2,
            interval: Duration::from_secs(125),
            sources: List::new(&[Ipv6Addr::LOCALHOST]),
            ..query
        };
        let bytes = written(&Message::Query(v2));
        let Ok(Message::Query(read)) = Message::parse(&bytes) else { panic!("not a query") };
        assert_eq!((read.max_response.as_millis(), read.sources), (40_000, v2.sources), "rounded down");
        assert_eq!((read.suppress, read.robustness, read.interval), (true, 2, v2.interval));
        assert_eq!(Message::parse(&bytes[..26]), Err(Error::length(Layer::Mld, 28, 26)));
        assert_eq!(Message::parse(&bytes[..40]), Err(Error::length(Layer::Mld, 44, 40)));
    }

    #[test]
    fn a_join_as_it_stands_in_the_rfc() {
        let records = [Record::new(RecordKind::ChangeToExclude, GROUP)];
        let report = Message::ReportV2 { records: List::new(&records) };
        let bytes = written(&report);
        assert_eq!(bytes[..12], [143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0]);
        assert_eq!((&bytes[12..], Message::parse(&bytes)), (&GROUP.octets()[..], Ok(report)));
        assert_eq!(Message::parse(&bytes[..27]), Err(Error::malformed(Layer::Mld, 6, Reason::Value)));
    }
}
