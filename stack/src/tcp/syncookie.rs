//! SYN cookies (RFC 4987 section 3.6): a handshake without memory.
//!
//! ```text
//!   sequence number:   31      27 26   24 23                      0
//!                      [ minutes ][  MSS ][ keyed hash of it all   ]
//!   timestamp:         31                     6    5    4   3         0
//!                      [ our clock, a bit late ][ E ][ S ][ wscale, 15: none ]
//! ```
//!
//! S: SACK. E: classic ECN; accurate ECN is remembered by the first flags of the peer. Linux divides its timestamps in
//! the same way.

use core::hash::Hash;

use super::ecn::EcnMode;
use super::segment::Ports;
use crate::rng::{KeyedHash, Rng};
use crate::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Options;

/// What fits into three bits, ascending: what paths and tunnels commonly leave, for both families.
const MSS: [u16; 8] = [536, 1220, 1300, 1360, 1400, 1440, 1460, 8940];
/// How long a count of the clock lasts; a cookie lives for one or two.
const TICK: Duration = Duration::from_secs(64);
const NO_SCALE: u8 = 15;
const SACK_BIT: u32 = 4;
const ECN_BIT: u32 = 5;
const TS_BITS: u32 = 6;

/// Makes and checks cookies.
#[derive(Clone, Debug)]
pub(crate) struct SynCookies {
    key: KeyedHash,
}

/// What a cookie remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) mss: u16,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    /// Classic ECN.
    pub(crate) ecn: bool,
}

impl SynCookies {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { key: KeyedHash::new(rng) }
    }

    /// Our initial sequence number for a SYN that began at `irs` and announced `mss`.
    pub(crate) fn make(&self, now: Instant, peer: &impl Hash, ports: Ports, irs: SeqNum, mss: u16) -> SeqNum {
        let index = MSS.iter().rposition(|&held| held <= mss).unwrap_or(0) as u32;
        self.cookie(count(now), index, peer, ports, irs)
    }

    /// The MSS that `cookie` remembers, if it is one of ours and not older than two minutes.
    pub(crate) fn check(
        &self,
        now: Instant,
        peer: &impl Hash,
        ports: Ports,
        irs: SeqNum,
        cookie: SeqNum,
    ) -> Option<u16> {
        let index = cookie.get() >> 24 & 7;
        let age = (count(now)).wrapping_sub(cookie.get() >> 27) & 31;
        let made = count(now).checked_sub(age).filter(|_| age <= 1)?;
        (self.cookie(made, index, peer, ports, irs) == cookie).then(|| MSS[index as usize])
    }

    fn cookie(&self, count: u32, mss: u32, peer: &impl Hash, ports: Ports, irs: SeqNum) -> SeqNum {
        let hash = self.key.of(&(peer, ports, irs, count, mss)) as u32;
        SeqNum::new(count << 27 | mss << 24 | hash & 0x00ff_ffff)
    }
}

/// The timestamp of a SYN-ACK that remembers window scale, SACK and ECN: at or before `value`, so that the clock never
/// goes back.
pub(crate) fn mark_timestamp(value: u32, peer: &Options, ecn: EcnMode) -> u32 {
    let scale = peer.window_scale.map_or(NO_SCALE, |shift| shift.min(14));
    let ecn = u32::from(ecn == EcnMode::Classic) << ECN_BIT;
    let bits = ecn | u32::from(peer.sack_permitted) << SACK_BIT | u32::from(scale);
    let marked = value >> TS_BITS << TS_BITS | bits;
    if marked > value { marked.wrapping_sub(1 << TS_BITS) } else { marked }
}

/// What a timestamp that came back remembers; nothing without one.
pub(crate) fn read_timestamp(mss: u16, echo: Option<u32>) -> Remembered {
    let Some(echo) = echo else { return Remembered { mss, window_scale: None, sack: false, ecn: false } };
    let bit = |at: u32| echo >> at & 1 == 1;
    let scale = (echo & 15) as u8;
    let window_scale = (scale <= 14).then_some(scale);
    Remembered { mss, window_scale, sack: bit(SACK_BIT), ecn: bit(ECN_BIT) }
}

fn count(now: Instant) -> u32 {
    (now.as_nanos() / TICK.as_nanos()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Units, at};

    const PORTS: Ports = Ports { local: 80, remote: 5000 };
    const IRS: SeqNum = SeqNum::new(77);

    #[test]
    fn a_cookie_remembers_the_mss_for_a_minute_or_two() {
        let cookies = SynCookies::new(&mut Rng::new(1, 0));
        let cookie = cookies.make(at(60.secs()), &"peer", PORTS, IRS, 1450);
        assert_eq!(cookies.check(at(61.secs()), &"peer", PORTS, IRS, cookie), Some(1440));
        assert_eq!(cookies.check(at(127.secs()), &"peer", PORTS, IRS, cookie), Some(1440));
        assert_eq!(cookies.check(at(128.secs()), &"peer", PORTS, IRS, cookie), None);
        assert_eq!(cookies.check(at(61.secs()), &"other", PORTS, IRS, cookie), None);
        assert_eq!(cookies.check(at(61.secs()), &"peer", PORTS, IRS + 1, cookie), None);
        assert_eq!(cookies.check(at(61.secs()), &"peer", PORTS, IRS, cookie + 1), None);
    }

    #[test]
    fn a_timestamp_remembers_scale_and_sack() {
        for value in [0x1_0000, 0x1_003f, 0x1_0027, 0xffff_ffff] {
            for (window_scale, sack) in [(Some(7), true), (Some(14), false), (None, true), (Some(0), false)] {
                let peer = Options { window_scale, sack_permitted: sack, ..Options::default() };
                for (mode, ecn) in [(EcnMode::Classic, true), (EcnMode::Accurate, false)] {
                    let marked = mark_timestamp(value, &peer, mode);
                    assert!(value - marked < 128);
                    let remembered = Remembered { mss: 1460, window_scale, sack, ecn };
                    assert_eq!(read_timestamp(1460, Some(marked)), remembered);
                }
            }
        }
        let nothing = Remembered { mss: 536, window_scale: None, sack: false, ecn: false };
        assert_eq!(read_timestamp(536, None), nothing);
    }
}
