//! A conversation as a script sees it: sequence numbers that begin with 0, timestamps that begin where it says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ustack::wire::ip::Protocol;

/// One conversation between a socket of ours and the other side.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    pub(super) protocol: Protocol,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Our number that the script calls 0.
    our_base: Option<u32>,
    /// Their number that the script calls 0.
    their_base: u32,
    /// What the script calls our SYN and theirs.
    our_syn: u32,
    their_syn: u32,
    /// A new SYN of theirs arrived: our next one begins anew.
    renewed: bool,
    /// Our timestamps: what the script calls them, and what they are.
    stamps: BTreeMap<u32, u32>,
    first_stamp: Option<(u32, u32)>,
}

/// How outgoing timestamps are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamps {
    /// One number of the script always is one of ours, whatever that is.
    Named,
    /// As many ticks must have passed as the script says.
    Ticking,
    /// As `Named`, and a value near to the named one counts as the same: a tick may pass at any moment.
    Near,
}

/// Ticks that may pass in real time where none passes in a script.
const NEAR_TICKS: i32 = 10;

impl Flow {
    pub(super) fn new(protocol: Protocol, local: SocketAddr, remote: SocketAddr, their_base: u32) -> Self {
        Self {
            protocol,
            local,
            remote,
            our_base: None,
            their_base,
            our_syn: 0,
            their_syn: 0,
            renewed: false,
            stamps: BTreeMap::new(),
            first_stamp: None,
        }
    }

    /// What the script calls a number of ours.
    pub(super) fn our_script(&self, live: u32) -> u32 {
        live.wrapping_sub(self.our_base.unwrap_or(0))
    }

    /// Which number of ours the script means.
    pub(super) fn our_live(&self, script: u32) -> u32 {
        script.wrapping_add(self.our_base.unwrap_or(0))
    }

    /// What the script calls a number of theirs.
    pub(super) fn their_script(&self, live: u32) -> u32 {
        live.wrapping_sub(self.their_base)
    }

    /// Which number of theirs the script means.
    pub(super) fn their_live(&self, script: u32) -> u32 {
        script.wrapping_add(self.their_base)
    }

    /// Where in our stream the byte with the script's number `seq` stands.
    pub(super) fn our_offset(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.our_syn).wrapping_sub(1)
    }

    /// Where in their stream the byte with the script's number `seq` stands.
    pub(super) fn their_offset(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.their_syn).wrapping_sub(1)
    }

    /// Our SYN leaves: until the script says otherwise, its number is 0.
    pub(super) fn handle_our_syn(&mut self, live: u32) {
        if self.our_base.is_none() || self.renewed {
            self.our_base = Some(live);
            self.our_syn = 0;
            self.renewed = false;
        }
    }

    /// The script has its own number for our SYN.
    pub(super) fn name_our_syn(&mut self, script: u32, live: u32) {
        if self.our_base == Some(live) {
            self.our_base = Some(live.wrapping_sub(script));
            self.our_syn = script;
        }
    }

    /// Their SYN arrives under the script's number `seq`.
    pub(super) fn handle_their_syn(&mut self, seq: u32) {
        self.renewed |= seq != self.their_syn;
        self.their_syn = seq;
    }

    /// The application opens a connection anew between the same ports.
    pub(super) fn handle_connect(&mut self) {
        self.renewed = true;
    }

    /// What the script calls our timestamp `live`, where it says `wanted`.
    pub(super) fn stamp_script(&self, live: u32, wanted: Option<u32>, how: Stamps) -> u32 {
        let counted = self.first_stamp.map(|(script, first)| script.wrapping_add(live.wrapping_sub(first)));
        match (wanted, counted) {
            (Some(wanted), None) => wanted,
            (Some(wanted), Some(_))
                if how == Stamps::Named && self.stamps.get(&wanted).is_none_or(|&mapped| mapped == live) =>
            {
                wanted
            }
            (Some(wanted), Some(_))
                if how == Stamps::Near
                    && self
                        .stamps
                        .get(&wanted)
                        .is_none_or(|&mapped| (live.wrapping_sub(mapped) as i32).abs() <= NEAR_TICKS) =>
            {
                wanted
            }
            (_, Some(counted)) => counted,
            (None, None) => live,
        }
    }

    /// Our timestamp that the script means.
    pub(super) fn stamp_live(&self, script: u32) -> u32 {
        match (self.stamps.get(&script), self.first_stamp) {
            (Some(&live), _) => live,
            // RFC 7323 section 3.2: zero is no echo.
            (None, _) if script == 0 => 0,
            (None, Some((first, live))) => live.wrapping_add(script.wrapping_sub(first)),
            (None, None) => script,
        }
    }

    /// The script called our timestamp `live` by a name.
    pub(super) fn name_stamp(&mut self, script: u32, live: u32) {
        self.stamps.insert(script, live);
        self.first_stamp.get_or_insert((script, live));
    }
}

/// The byte at `offset` of every stream: so each end can tell what was mixed up.
pub(super) fn pattern(offset: u32) -> u8 {
    (offset ^ offset >> 8 ^ offset >> 16) as u8
}

/// `len` bytes of a stream from `offset` on.
pub(super) fn pattern_bytes(offset: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| pattern(offset.wrapping_add(i))).collect()
}

/// Where `bytes`, which stand at `offset`, are not what they should be.
pub(super) fn first_wrong(offset: u32, bytes: &[u8]) -> Option<u32> {
    (0u32..).zip(bytes).find_map(|(i, &byte)| {
        let at = offset.wrapping_add(i);
        (byte != pattern(at)).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let end = "192.0.2.1:1".parse().unwrap();
        Flow::new(Protocol::TCP, end, end, u32::MAX - 4)
    }

    #[test]
    fn numbers_begin_where_the_script_says() {
        let mut flow = flow();
        flow.handle_our_syn(1000);
        assert_eq!((flow.our_script(1001), flow.our_live(11)), (1, 1011));
        flow.name_our_syn(500, 1000);
        assert_eq!((flow.our_script(1001), flow.our_offset(501)), (501, 0));
        assert_eq!((flow.their_live(10), flow.their_script(5)), (5, 10));
        // A repeated SYN keeps its name, one after a new SYN of theirs gets another.
        flow.handle_our_syn(1000);
        assert_eq!(flow.our_script(1000), 500);
        flow.handle_their_syn(9000);
        flow.handle_our_syn(70_000);
        assert_eq!(flow.our_script(70_000), 0);
    }

    #[test]
    fn timestamps_are_named_or_tick() {
        let mut flow = flow();
        assert_eq!(flow.stamp_script(5000, Some(100), Stamps::Ticking), 100);
        flow.name_stamp(100, 5000);
        assert_eq!(flow.stamp_script(5010, Some(200), Stamps::Ticking), 110);
        assert_eq!(flow.stamp_script(5010, Some(200), Stamps::Named), 200);
        assert_eq!(flow.stamp_script(5010, Some(100), Stamps::Named), 110);
        assert_eq!((flow.stamp_live(100), flow.stamp_live(130), flow.stamp_live(0)), (5000, 5030, 0));
    }
}
