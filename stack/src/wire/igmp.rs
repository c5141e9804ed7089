//! Group management for IPv4: IGMPv1, v2 (RFC 2236) and v3 (RFC 3376).

use core::net::Ipv4Addr;

use etherparse::IgmpSlice;

use super::checksum::{Sum, checksum};
use super::error::{Error, Layer, Reason, room};
use super::group::{self, decode8, encode8};
use super::list::List;
use crate::time::Duration;

/// All systems on the link: general queries go there.
pub const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// All routers on the link: version 2 leaves go there.
pub const ALL_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 2);
/// All routers that speak version 3: its reports go there.
pub const ALL_V3_ROUTERS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);

/// What a report says about one group.
pub type Record<'a> = group::Record<'a, Ipv4Addr>;

/// An IGMP message. It travels with TTL 1 and a router alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A router asks who listens.
    Query(Query<'a>),
    /// Version 1: I listen.
    ReportV1 {
        /// To this group.
        group: Ipv4Addr,
    },
    /// Version 2: I listen.
    ReportV2 {
        /// To this group.
        group: Ipv4Addr,
    },
    /// Version 2: I listen no more.
    Leave {
        /// To this group.
        group: Ipv4Addr,
    },
    /// Version 3: what I listen to.
    ReportV3 {
        /// Group by group.
        records: List<'a, Record<'a>>,
    },
    /// Any other message; to be ignored (RFC 3376 section 4).
    Other {
        /// Type.
        kind: u8,
    },
}

/// A router's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The version that the router speaks: hosts answer in it.
    pub version: Version,
    /// The group that is asked about; unspecified for all.
    pub group: Ipv4Addr,
    /// Answers are to be spread over this time.
    pub max_response: Duration,
    /// Version 3: other routers are not to update their timers.
    pub suppress: bool,
    /// Version 3: the querier's robustness variable, 0..=7; 0 says nothing.
    pub robustness: u8,
    /// Version 3: the querier's query interval.
    pub interval: Duration,
    /// Version 3: the sources that are asked about; none for all.
    pub sources: List<'a, Ipv4Addr>,
}

/// Versions of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 1112.
    V1,
    /// RFC 2236.
    V2,
    /// RFC 3376.
    V3,
}

mod kind {
    pub(super) const QUERY: u8 = 0x11;
    pub(super) const REPORT_V1: u8 = 0x12;
    pub(super) const REPORT_V2: u8 = 0x16;
    pub(super) const LEAVE: u8 = 0x17;
    pub(super) const REPORT_V3: u8 = 0x22;
}

/// Bytes of a version 1 or 2 message, and of a version 3 report before its records.
const HEADER_LEN: usize = 8;
/// Bytes of a version 3 query before its sources.
const QUERY_V3_LEN: usize = 12;
/// The unit of the maximum response time.
const TENTH: Duration = Duration::from_millis(100);
/// RFC 3376 section 4.1.5: the S flag.
const SUPPRESS: u8 = 0x08;

impl<'a> Message<'a> {
    /// Its length when written.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Query(query) if query.version == Version::V3 => QUERY_V3_LEN + query.sources.wire_len(),
            Self::ReportV3 { records } => HEADER_LEN + records.wire_len(),
            _ => HEADER_LEN,
        }
    }

    /// Reads a message, which takes up all of `bytes`, and verifies its checksum.
    ///
    /// # Errors
    /// Too short, wrong checksum, records or sources that overrun the message.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let slice = IgmpSlice::from_slice(bytes).map_err(|e| Error::from_len(Layer::Igmp, &e))?;
        if !Sum::ZERO.with(bytes).is_valid() {
            return Err(Error::malformed(Layer::Igmp, 2, Reason::Checksum));
        }
        let group = Ipv4Addr::from(slice.bytes4to7());
        let code = slice.max_resp_code_or_reserved();
        Ok(match slice {
            IgmpSlice::MembershipQuery(_) => {
                // RFC 3376 section 7.1: eight bytes with a code of zero are version 1, which means ten
                // seconds.
                let (version, tenths) = if code == 0 { (Version::V1, 100) } else { (Version::V2, code) };
                Self::Query(Query {
                    version,
                    group,
                    max_response: TENTH * u64::from(tenths),
                    suppress: false,
                    robustness: 0,
                    interval: Duration::ZERO,
                    sources: List::EMPTY,
                })
            }
            IgmpSlice::MembershipQueryWithSources(query) => Self::Query(Query {
                version: Version::V3,
                group,
                max_response: TENTH * u64::from(decode8(code)),
                suppress: query.s_flag(),
                robustness: query.raw_byte_8() & 7,
                interval: Duration::from_secs(u64::from(decode8(query.qqic()))),
                sources: List::wire(query.source_addrs_bytes()),
            }),
            IgmpSlice::MembershipReportV1(_) => Self::ReportV1 { group },
            IgmpSlice::MembershipReportV2(_) => Self::ReportV2 { group },
            IgmpSlice::LeaveGroup(_) => Self::Leave { group },
            IgmpSlice::MembershipReportV3(report) => {
                let records = List::wire_counted(report.payload(), usize::from(report.num_of_records()))
                    .ok_or(Error::malformed(Layer::Igmp, 6, Reason::Value))?;
                Self::ReportV3 { records }
            }
            IgmpSlice::Unknown(other) => Self::Other { kind: other.type_u8() },
        })
    }

    /// Writes the message with its checksum at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let len = self.wire_len();
        let out = room(out, len, Layer::Igmp)?;
        let (kind, code, group) = match self {
            Self::Query(query) => (kind::QUERY, query.code(), query.group.octets()),
            Self::ReportV1 { group } => (kind::REPORT_V1, 0, group.octets()),
            Self::ReportV2 { group } => (kind::REPORT_V2, 0, group.octets()),
            Self::Leave { group } => (kind::LEAVE, 0, group.octets()),
            Self::ReportV3 { records } => {
                let [high, low] = (records.count() as u16).to_be_bytes();
                (kind::REPORT_V3, 0, [0, 0, high, low])
            }
            Self::Other { kind } => (*kind, 0, [0; 4]),
        };
        out[..4].copy_from_slice(&[kind, code, 0, 0]);
        out[4..HEADER_LEN].copy_from_slice(&group);
        match self {
            Self::Query(query) if query.version == Version::V3 => {
                let suppress = if query.suppress { SUPPRESS } else { 0 };
                out[8] = suppress | query.robustness & 7;
                out[9] = encode8(saturate(query.interval.as_secs()));
                out[10..12].copy_from_slice(&(query.sources.count() as u16).to_be_bytes());
                query.sources.put(&mut out[QUERY_V3_LEN..]);
            }
            Self::ReportV3 { records } => records.put(&mut out[HEADER_LEN..]),
            _ => {}
        }
        let sum = checksum(out);
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        Ok(len)
    }
}

impl Query<'_> {
    /// The maximum response code.
    fn code(&self) -> u8 {
        let tenths = saturate(self.max_response.as_millis() / TENTH.as_millis());
        match self.version {
            Version::V1 => 0,
            // Zero would be version 1.
            Version::V2 => tenths.clamp(1, 255) as u8,
            Version::V3 => encode8(tenths),
        }
    }
}

fn saturate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::group::RecordKind;
    use super::*;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

    fn written(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0xee; message.wire_len()];
        assert_eq!(message.write(&mut bytes), Ok(bytes.len()));
        bytes
    }

    /// Changes one byte and puts the checksum right again.
    fn with(mut bytes: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
        bytes[at] = value;
        bytes[2..4].fill(0);
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn query(bytes: &[u8]) -> (Version, u64) {
        match Message::parse(bytes) {
            Ok(Message::Query(query)) => (query.version, query.max_response.as_millis()),
            other => panic!("not a query: {other:?}"),
        }
    }

    #[test]
    fn length_and_code_tell_a_query_s_version() {
        let v1_or_v2 = vec![0x11, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(query(&with(v1_or_v2.clone(), 1, 0)), (Version::V1, 10_000));
        assert_eq!(query(&with(v1_or_v2.clone(), 1, 200)), (Version::V2, 20_000));
        let v3 = [v1_or_v2.clone(), vec![0; 4]].concat();
        assert_eq!(query(&with(v3, 1, 200)), (Version::V3, 307_200));
        let between = [v1_or_v2, vec![0; 2]].concat();
        assert_eq!(Message::parse(&with(between, 1, 1)), Err(Error::length(Layer::Igmp, 12, 10)));
    }

    #[test]
    fn a_join_as_it_stands_in_the_rfc() {
        let records = [Record::new(RecordKind::ChangeToExclude, GROUP)];
        let bytes = written(&Message::ReportV3 { records: List::new(&records) });
        assert_eq!((bytes[0], &bytes[4..]), (0x22, &[0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3][..]));
    }

    #[test]
    fn records_must_fit() {
        let sources = [Ipv4Addr::new(10, 9, 0, 1); 2];
        let record = Record { kind: RecordKind::AllowNewSources, group: GROUP, sources: List::new(&sources) };
        let records = [record, Record::new(RecordKind::ModeIsExclude, GROUP)];
        let report = Message::ReportV3 { records: List::new(&records) };
        let bytes = written(&report);
        assert_eq!(Message::parse(&bytes), Ok(report));
        for (at, value) in [(7, 3), (11, 5), (9, 200)] {
            let bytes = with(bytes.clone(), at, value);
            assert_eq!(
                Message::parse(&bytes),
                Err(Error::malformed(Layer::Igmp, 6, Reason::Value)),
                "byte {at}"
            );
        }
        let unknown_kind = with(bytes, 8, 9);
        let rest = Message::ReportV3 { records: List::new(&records[1..]) };
        assert_eq!(Message::parse(&unknown_kind), Ok(rest));
    }

    #[test]
    fn auxiliary_data_is_skipped() {
        let records =
            [RecordKind::ModeIsExclude, RecordKind::ChangeToInclude].map(|kind| Record::new(kind, GROUP));
        let report = Message::ReportV3 { records: List::new(&records) };
        let mut bytes = written(&report);
        bytes.splice(16..16, [0xee; 8]);
        let two_words = 2;
        assert_eq!(Message::parse(&with(bytes, 9, two_words)), Ok(report));
    }

    #[test]
    fn a_wrong_checksum_is_refused() {
        let mut bytes = written(&Message::Leave { group: GROUP });
        bytes[7] ^= 1;
        assert!(Message::parse(&bytes).unwrap_err().is_checksum());
    }
}
