//! IGMP and MLD: their messages read for the machine in `group`, and what it says written in them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::emit;
use super::ethernet::DropReason;
use super::group::{Dialect, Query, Records, Saying};
use super::ndp::Envelope;
use super::tables::Tables;
use crate::time::Instant;
use crate::why::{Reason, Why};
use crate::wire::{igmp, ipv6, mld};

/// Both travel with a hop limit of 1 (RFC 3376 section 4, RFC 3810 section 5): what comes from further away
/// is forged.
const HOP_LIMIT: u8 = 1;

pub(crate) fn handle_igmp(
    now: Instant,
    ttl: u8,
    message: &igmp::Message<'_>,
    tables: &mut Tables,
) -> Result<(), DropReason> {
    if ttl != HOP_LIMIT {
        return Err(DropReason::BadGroup);
    }
    match message {
        igmp::Message::Query(query) => {
            let dialect = match query.version {
                igmp::Version::V1 => Dialect::First,
                igmp::Version::V2 => Dialect::Second,
                igmp::Version::V3 => Dialect::Third,
            };
            let group = (!query.group.is_unspecified()).then_some(IpAddr::V4(query.group));
            let query = Query { dialect, group, max_response: query.max_response };
            tables.groups_v4.handle_query(now, query, &mut tables.rng);
        }
        igmp::Message::ReportV1 { group } | igmp::Message::ReportV2 { group } => {
            tables.groups_v4.handle_report(IpAddr::V4(*group));
        }
        // For routers.
        igmp::Message::Leave { .. } | igmp::Message::ReportV3 { .. } | igmp::Message::Other { .. } => {}
    }
    Ok(())
}

pub(crate) fn handle_mld(
    now: Instant,
    from: Envelope,
    message: &mld::Message<'_>,
    tables: &mut Tables,
) -> Result<(), DropReason> {
    if from.hop_limit != HOP_LIMIT {
        return Err(DropReason::BadGroup);
    }
    match message {
        mld::Message::Query(query) => {
            // RFC 3810 5.1.14: a query that does not come from a link-local address is discarded.
            if !from.src.is_unicast_link_local() {
                return Err(DropReason::BadGroup);
            }
            let dialect = match query.version {
                mld::Version::V1 => Dialect::Second,
                mld::Version::V2 => Dialect::Third,
            };
            let group = (!query.group.is_unspecified()).then_some(IpAddr::V6(query.group));
            let query = Query { dialect, group, max_response: query.max_response };
            tables.groups_v6.handle_query(now, query, &mut tables.rng);
        }
        mld::Message::ReportV1 { group } => tables.groups_v6.handle_report(IpAddr::V6(*group)),
        // For routers.
        mld::Message::Done { .. } | mld::Message::ReportV2 { .. } => {}
    }
    Ok(())
}

/// Writes the next IGMP or MLD message that is due.
pub(crate) fn poll(tables: &mut Tables, records: &mut Records, out: &mut Vec<u8>) -> Option<Why> {
    if let Some(saying) = tables.groups_v4.poll_saying(records) {
        write_igmp(tables, saying, records, out);
    } else {
        let saying = tables.groups_v6.poll_saying(records)?;
        write_mld(tables, saying, records, out);
    }
    Some(Why::new(Reason::GroupReport).with("groups", records.len().max(1) as u64))
}

fn write_igmp(tables: &Tables, saying: Saying, records: &Records, out: &mut Vec<u8>) {
    // RFC 3376 4.2.13: without an address yet, 0.0.0.0.
    let src = match tables.addresses.source_for(IpAddr::V4(igmp::ALL_V3_ROUTERS)) {
        Some(IpAddr::V4(src)) => src,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    match saying {
        Saying::Report => emit::igmp_report(tables.mac, src, records, out),
        Saying::OldReport(dialect, IpAddr::V4(group)) => {
            let message = match dialect {
                Dialect::First => igmp::Message::ReportV1 { group },
                Dialect::Second | Dialect::Third => igmp::Message::ReportV2 { group },
            };
            emit::igmp(tables.mac, src, group, &message, out);
        }
        Saying::OldLeave(IpAddr::V4(group)) => {
            // RFC 2236 section 9.
            emit::igmp(tables.mac, src, igmp::ALL_ROUTERS, &igmp::Message::Leave { group }, out);
        }
        Saying::OldReport(_, IpAddr::V6(_)) | Saying::OldLeave(IpAddr::V6(_)) => {}
    }
}

fn write_mld(tables: &Tables, saying: Saying, records: &Records, out: &mut Vec<u8>) {
    // RFC 3810 5.2.13: the unspecified address while there is no link-local one.
    let src = tables.link_local().unwrap_or(Ipv6Addr::UNSPECIFIED);
    match saying {
        Saying::Report => emit::mld_report(tables.mac, src, records, out),
        Saying::OldReport(_, IpAddr::V6(group)) => {
            emit::mld(tables.mac, src, group, mld::Message::ReportV1 { group }, out);
        }
        Saying::OldLeave(IpAddr::V6(group)) => {
            emit::mld(tables.mac, src, ipv6::ALL_ROUTERS, mld::Message::Done { group }, out);
        }
        Saying::OldReport(_, IpAddr::V4(_)) | Saying::OldLeave(IpAddr::V4(_)) => {}
    }
}
