//! Frames of chance, and valid frames changed by chance: nothing panics, and nothing goes on without end.

use proptest::collection::vec;
use proptest::prelude::*;
use ustack::time::Units as _;

use super::victim::{Victim, fix_ip_checksum};

/// A change to a frame.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Change {
    fn apply(&self, frame: &mut Vec<u8>) {
        if frame.is_empty() {
            return;
        }
        match self {
            Self::Set(at, value) => *at.get_mut(frame) = *value,
            Self::Flip(at, bit) => *at.get_mut(frame) ^= 1 << (bit % 8),
            Self::Cut(at) => frame.truncate(at.index(frame.len())),
            Self::Insert(at, bytes) => {
                let at = at.index(frame.len());
                frame.splice(at..at, bytes.iter().copied());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        4 => (at(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

/// How a frame is given to the stack.
#[derive(Clone, Debug)]
struct Attack {
    frame: prop::sample::Index,
    changes: Vec<Change>,
    /// The IP header's checksum is made right again.
    fixed: bool,
    /// The device vouches for the transport's checksum.
    vouched: bool,
    wait_ms: u64,
}

fn attack() -> impl Strategy<Value = Attack> {
    let changes = vec(change(), 0..6);
    (any::<prop::sample::Index>(), changes, any::<bool>(), any::<bool>(), 0..3_000u64).prop_map(
        |(frame, changes, fixed, vouched, wait_ms)| Attack { frame, changes, fixed, vouched, wait_ms },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_of_chance_do_no_harm(frames in vec(vec(any::<u8>(), 0..200), 1..50)) {
        let mut victim = Victim::new();
        for frame in &frames {
            victim.receive(frame);
            victim.receive_vouched(frame);
        }
        victim.assert_unharmed();
    }

    #[test]
    fn changed_frames_do_no_harm(attacks in vec(attack(), 1..60)) {
        let mut victim = Victim::new();
        for attack in &attacks {
            let mut frame = attack.frame.get(&victim.valid_frames()).clone();
            attack.changes.iter().for_each(|change| change.apply(&mut frame));
            if attack.fixed && frame.len() >= 34 && frame[12..15] == [8, 0, 0x45] {
                fix_ip_checksum(&mut frame[14..34]);
            }
            if attack.vouched {
                victim.receive_vouched(&frame);
            } else {
                victim.receive(&frame);
            }
            victim.pass(attack.wait_ms.ms());
        }
        // The connection may be over: some of these frames are what its peer could send. The rest goes on.
        victim.assert_answers();
    }
}
