//! The multicast groups we listen to, and when that is reported (RFC 3376, RFC 3810; RFC 2236, RFC 2710 for
//! older queriers).
//!
//! One machine for both families, in the any-source mode alone: a member's filter is always "exclude
//! nothing".
//!
//! ```text
//!   join   --> change report at once, again within a second     leave --> the same, then forgotten
//!   query  --> a report at a random time within the querier's limit; two that are due leave as one
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;

use arrayvec::ArrayVec;

use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wire::ethernet::MacAddr;
use crate::wire::group::RecordKind;

/// Why a group was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// Not a multicast address.
    #[error("{0} is not a multicast address")]
    NotMulticast(IpAddr),
    /// The interface listens to as many groups as it may.
    #[error("the interface listens to {limit} groups, and that is the limit")]
    Full {
        /// How many it may listen to.
        limit: usize,
    },
    /// Left more often than joined.
    #[error("the interface does not listen to {0}")]
    NotJoined(IpAddr),
}

/// RFC 3376 section 8, RFC 3810 section 9; the older protocols' where they differ.
mod times {
    use crate::time::Duration;

    pub(super) const ROBUSTNESS: u8 = 2;
    pub(super) const UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(1);
    pub(super) const OLD_UNSOLICITED_REPORT_INTERVAL: Duration = Duration::from_secs(10);
    pub(super) const QUERY_INTERVAL: Duration = Duration::from_secs(125);
}

/// The protocol that the querier on the link speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// IGMPv1: it knows no leaving.
    First,
    /// IGMPv2, MLDv1: a message a group.
    Second,
    /// IGMPv3, MLDv2: one report with a record for each group.
    Third,
}

/// A querier's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) dialect: Dialect,
    /// `None`: all groups.
    pub(crate) group: Option<IpAddr>,
    pub(crate) max_response: Duration,
}

/// Most records of one report: it fits the least MTU of IPv6.
pub(crate) const MAX_RECORDS: usize = 60;

/// The records of one report.
pub(crate) type Records = ArrayVec<(RecordKind, IpAddr), MAX_RECORDS>;

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saying {
    /// The records that were put into the caller's list.
    Report,
    /// The older report, of one group.
    OldReport(Dialect, IpAddr),
    /// The older leave message.
    OldLeave(IpAddr),
}

/// The groups of one family on one interface.
#[derive(Debug)]
pub(crate) struct Groups {
    /// Whether membership is reported at all.
    report: bool,
    limit: usize,
    members: BTreeMap<IpAddr, Member>,
    dialect: Dialect,
    /// When an older querier is forgotten.
    older_until: Option<Instant>,
    /// When a general query is answered, all groups in one report.
    general: Option<Instant>,
    /// The earliest of all deadlines.
    next: Option<Instant>,
    refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// How often it was joined and not left; at 0 it is only kept to report that.
    users: u32,
    /// How many reports of its last change are still to be sent, and when the next one is.
    changes: u8,
    change_due: Option<Instant>,
    answer_due: Option<Instant>,
    say_change: bool,
    say_answer: bool,
}

impl Groups {
    pub(crate) fn new(report: bool, limit: usize) -> Self {
        Self {
            report,
            limit,
            members: BTreeMap::new(),
            dialect: Dialect::Third,
            older_until: None,
            general: None,
            next: None,
            refused: 0,
        }
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// The groups that are listened to, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.members.iter().filter(|(_, member)| member.users > 0).map(|(&group, _)| group)
    }

    /// Whether packets to `group` are for us. All hosts listen to "all hosts".
    pub(crate) fn contains(&self, group: IpAddr) -> bool {
        is_all_hosts(group) || self.members.get(&group).is_some_and(|member| member.users > 0)
    }

    /// Whether frames to the multicast address `mac` may be for us.
    pub(crate) fn contains_mac(&self, mac: MacAddr) -> bool {
        let all_hosts = [IpAddr::V4(ALL_HOSTS_V4), IpAddr::V6(ALL_HOSTS_V6)];
        all_hosts.into_iter().chain(self.iter()).any(|group| MacAddr::for_multicast(group) == Some(mac))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// A querier asks: RFC 3376 section 5.2, RFC 3810 section 6.2.
    ///
    /// Note: a question about single sources is answered as one about the group, for we exclude none.
    pub(crate) fn handle_query(&mut self, now: Instant, query: Query, rng: &mut Rng) {
        if !self.report {
            return;
        }
        self.follow(now, &query);
        let mut delay = || now + Duration::from_nanos(rng.below(query.max_response.as_nanos().max(1)));
        match query.group {
            None if self.dialect == Dialect::Third => {
                let due = delay();
                self.general = Some(self.general.map_or(due, |earlier| earlier.min(due)));
            }
            None => {
                for (_, member) in
                    self.members.iter_mut().filter(|(group, member)| is_reported(**group) && member.users > 0)
                {
                    let due = delay();
                    member.answer_due = Some(member.answer_due.map_or(due, |earlier| earlier.min(due)));
                }
            }
            Some(group) => {
                let Some(member) = self.members.get_mut(&group) else { return };
                let due = delay();
                // RFC 3376 5.2 rule 1: a general answer that comes sooner is enough.
                if member.users > 0 && is_reported(group) && self.general.is_none_or(|general| general > due)
                {
                    member.answer_due = Some(member.answer_due.map_or(due, |earlier| earlier.min(due)));
                }
            }
        }
        self.refresh();
    }

    /// Another host reported `group` in an older protocol: one report is enough (RFC 2236 section 3).
    pub(crate) fn handle_report(&mut self, group: IpAddr) {
        if self.dialect == Dialect::Third {
            return;
        }
        if let Some(member) = self.members.get_mut(&group) {
            member.answer_due = None;
            member.say_answer = false;
        }
        self.refresh();
    }

    /// Marks what is due to be said.
    pub(crate) fn handle_timeout(&mut self, now: Instant, rng: &mut Rng) {
        if self.next.is_none_or(|next| next > now) {
            return;
        }
        let due = |deadline: &mut Option<Instant>| deadline.take_if(|deadline| *deadline <= now).is_some();
        if due(&mut self.older_until) {
            self.change_dialect(Dialect::Third);
        }
        let general = due(&mut self.general);
        let interval = self.report_interval();
        for (&group, member) in &mut self.members {
            if due(&mut member.change_due) {
                member.say_change = true;
                member.changes = member.changes.saturating_sub(1);
                // A leave in an older protocol is said once: nobody else knows whether we are still there.
                let again = member.changes > 0;
                member.change_due =
                    again.then(|| now + Duration::from_nanos(1 + rng.below(interval.as_nanos())));
            }
            member.say_answer |=
                due(&mut member.answer_due) || (general && member.users > 0 && is_reported(group));
        }
        self.refresh();
    }

    /// Listens to `group`, once more if it does already. With `spread`, the first report waits a random
    /// time of up to a second, as RFC 4862 section 5.4.2 wants it for an address that is about to be
    /// probed.
    ///
    /// # Errors
    /// Not a group, or there are too many.
    pub(crate) fn join(
        &mut self,
        now: Instant,
        group: IpAddr,
        spread: bool,
        rng: &mut Rng,
    ) -> Result<(), GroupError> {
        if !group.is_multicast() {
            return Err(GroupError::NotMulticast(group));
        }
        if !self.members.contains_key(&group) && self.members.len() >= self.limit {
            self.refused += 1;
            return Err(GroupError::Full { limit: self.limit });
        }
        let member = self.members.entry(group).or_default();
        member.users = member.users.saturating_add(1);
        if member.users == 1 && self.report && is_reported(group) {
            let wait = if spread { rng.below(times::UNSOLICITED_REPORT_INTERVAL.as_nanos()) } else { 0 };
            (member.changes, member.change_due) = (times::ROBUSTNESS, Some(now + Duration::from_nanos(wait)));
            self.refresh();
            self.handle_timeout(now, rng);
        }
        Ok(())
    }

    /// Listens to `group` once less.
    ///
    /// # Errors
    /// It is not listened to.
    pub(crate) fn leave(&mut self, now: Instant, group: IpAddr, rng: &mut Rng) -> Result<(), GroupError> {
        let member = self.members.get_mut(&group).filter(|member| member.users > 0);
        let member = member.ok_or(GroupError::NotJoined(group))?;
        member.users -= 1;
        if member.users > 0 {
            return Ok(());
        }
        if self.report && is_reported(group) && self.dialect != Dialect::First {
            let changes = if self.dialect == Dialect::Third { times::ROBUSTNESS } else { 1 };
            *member = Member { changes, change_due: Some(now), ..Member::default() };
        } else {
            self.members.remove(&group);
        }
        self.refresh();
        self.handle_timeout(now, rng);
        Ok(())
    }

    /// Reports all groups as if they were joined now: the address to report from has become usable.
    pub(crate) fn report_again(&mut self, now: Instant, rng: &mut Rng) {
        if !self.report {
            return;
        }
        for (_, member) in
            self.members.iter_mut().filter(|(group, member)| is_reported(**group) && member.users > 0)
        {
            (member.changes, member.change_due) = (times::ROBUSTNESS, Some(now));
        }
        self.refresh();
        self.handle_timeout(now, rng);
    }

    /// The next message to send; a report's records are put into `records`.
    pub(crate) fn poll_saying(&mut self, records: &mut Records) -> Option<Saying> {
        records.clear();
        let mut old = None;
        for (&group, member) in &mut self.members {
            let (change, answer) = (member.say_change, member.say_answer);
            if !(change || answer) {
                continue;
            }
            if records.is_full() {
                break;
            }
            (member.say_change, member.say_answer) = (false, false);
            let listening = member.users > 0;
            if self.dialect != Dialect::Third {
                old = Some((group, listening));
                break;
            }
            // RFC 3376 5.1: a change report tells the state as well, so it answers a query at the same time.
            let kind = match (listening, change) {
                (true, true) => RecordKind::ChangeToExclude,
                (true, false) => RecordKind::ModeIsExclude,
                (false, _) => RecordKind::ChangeToInclude,
            };
            records.push((kind, group));
        }
        let said = match old {
            Some((group, true)) => Some(Saying::OldReport(self.dialect, group)),
            Some((group, false)) => Some(Saying::OldLeave(group)),
            None => (!records.is_empty()).then_some(Saying::Report),
        };
        if said.is_some() {
            // What was left and has been said often enough is forgotten.
            self.members.retain(|_, member| member.users > 0 || member.changes > 0 || member.say_change);
        }
        said
    }

    /// RFC 3376 section 7.2.1, RFC 3810 section 8.2.1: speak as the oldest querier on the link does.
    fn follow(&mut self, now: Instant, query: &Query) {
        if query.dialect < Dialect::Third && query.group.is_none() {
            let timeout = times::QUERY_INTERVAL * u64::from(times::ROBUSTNESS) + query.max_response;
            if query.dialect <= self.dialect {
                self.older_until = Some(now + timeout);
            }
            if query.dialect < self.dialect {
                self.change_dialect(query.dialect);
            }
        }
    }

    /// Pending answers and repetitions are in the wrong protocol, and are dropped.
    fn change_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
        self.general = None;
        for member in self.members.values_mut() {
            *member = Member { users: member.users, ..Member::default() };
        }
        self.members.retain(|_, member| member.users > 0);
    }

    fn report_interval(&self) -> Duration {
        match self.dialect {
            Dialect::Third => times::UNSOLICITED_REPORT_INTERVAL,
            Dialect::First | Dialect::Second => times::OLD_UNSOLICITED_REPORT_INTERVAL,
        }
    }

    fn refresh(&mut self) {
        let members = self.members.values().flat_map(|member| [member.change_due, member.answer_due]);
        self.next = members.chain([self.older_until, self.general]).flatten().min();
    }
}

const ALL_HOSTS_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
const ALL_HOSTS_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_HOSTS_OF_INTERFACE: Ipv6Addr = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 1);

fn is_all_hosts(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group == ALL_HOSTS_V4,
        IpAddr::V6(group) => group == ALL_HOSTS_V6 || group == ALL_HOSTS_OF_INTERFACE,
    }
}

/// Whether membership of `group` is anyone's business: not of "all hosts" (RFC 3376 section 6), nor of
/// groups that do not leave the host (RFC 3810 section 6).
fn is_reported(group: IpAddr) -> bool {
    let stays_inside = matches!(group, IpAddr::V6(group) if group.octets()[1] & 0x0f <= 1);
    !is_all_hosts(group) && !stays_inside
}

#[cfg(test)]
mod tests;
