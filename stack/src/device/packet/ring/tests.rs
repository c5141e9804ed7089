use proptest::prelude::*;

use super::*;

/// An offload header that says nothing, as the kernel writes it before each frame.
const PLAIN: [u8; vnet::LEN] = [0; vnet::LEN];

/// A slot as the kernel fills it.
fn slot(status: u32, len: u32, captured: u32, mac: u16) -> Vec<u8> {
    let mut slot = [&status.to_ne_bytes()[..], &len.to_ne_bytes(), &captured.to_ne_bytes()].concat();
    slot.extend(mac.to_ne_bytes());
    slot.resize(2048, 7);
    slot
}

#[test]
fn a_slot_says_where_its_frame_lies() {
    let mut whole = slot(libc::TP_STATUS_USER, 60, 60, 76);
    whole[66..76].copy_from_slice(&PLAIN);
    let Next::Frame(place) = slot_content(&whole) else { panic!("there is a frame") };
    assert_eq!((place.start, place.end), (76, 136));
    assert_eq!(place.frame(&whole).unwrap().bytes, [7; 60]);
    let long = slot(libc::TP_STATUS_USER | libc::TP_STATUS_COPY, 60_000, 1900, 76);
    assert_eq!(slot_content(&long), Next::Queued);
    let lost = slot(libc::TP_STATUS_USER, 60_000, 1900, 76);
    assert_eq!(slot_content(&lost), Next::Cut);
}

#[test]
fn a_slot_that_makes_no_sense_has_no_frame() {
    // Before the header's end, beyond the slot's end, beyond all memory.
    for (captured, mac) in [(60, 9), (2000, 76), (u32::MAX, 76), (60, u16::MAX)] {
        assert_eq!(slot_content(&slot(libc::TP_STATUS_USER, captured, captured, mac)), Next::Cut);
    }
    assert_eq!(slot_content(&[]), Next::Cut);
}

/// A block with frames of these lengths, and `step` from each to the next if it is not to be the right one.
fn block(lens: &[u32], step: Option<u32>) -> Vec<u8> {
    const FIRST: u32 = 48;
    const MAC: u16 = 82;
    let mut block = vec![0; FIRST as usize];
    block[12..16].copy_from_slice(&(lens.len() as u32).to_ne_bytes());
    block[16..20].copy_from_slice(&FIRST.to_ne_bytes());
    for (i, &len) in lens.iter().enumerate() {
        let start = block.len();
        let next = (u32::from(MAC) + len).next_multiple_of(16);
        block.resize(start + next as usize, i as u8 + 1);
        let header = &mut block[start..];
        header[..4].copy_from_slice(&step.unwrap_or(next).to_ne_bytes());
        header[12..16].copy_from_slice(&len.to_ne_bytes());
        header[16..20].copy_from_slice(&len.to_ne_bytes());
        header[24..26].copy_from_slice(&MAC.to_ne_bytes());
        header[72..82].copy_from_slice(&PLAIN);
    }
    block.resize(4096, 0);
    block
}

/// The frames of a block, as [`Blocks`] walks over it.
fn walk(block: &[u8]) -> Vec<Next> {
    let (mut left, mut at) = block_content(block);
    let mut found = Vec::new();
    while left > 0 {
        let (next, step) = packet_at(block, at);
        found.push(next);
        left = if step == 0 { 0 } else { left - 1 };
        at += step;
    }
    found
}

#[test]
fn a_block_is_walked_from_frame_to_frame() {
    let block = block(&[60, 1514, 61], None);
    let bytes: Vec<_> = walk(&block)
        .into_iter()
        .map(|next| match next {
            Next::Frame(place) => place.frame(&block).unwrap().bytes.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bytes, [vec![1; 60], vec![2; 1514], vec![3; 61]]);
}

#[test]
fn a_block_that_leads_nowhere_ends() {
    // To itself, backwards, and beyond the end.
    for step in [0, 16, 4090, u32::MAX] {
        assert_eq!(walk(&block(&[60, 60], Some(step))).len(), 1, "{step}");
    }
    let mut beyond = block(&[60], None);
    beyond[16..20].copy_from_slice(&u32::MAX.to_ne_bytes());
    assert_eq!(walk(&beyond), [Next::Cut]);
    assert_eq!(walk(&[]), []);
}

proptest! {
    /// Whatever stands in shared memory: nothing panics, frames lie within, and a walk ends within the block.
    #[test]
    fn nothing_in_shared_memory_leads_astray(
        mut unit in proptest::collection::vec(any::<u8>(), 0..600),
        head in proptest::collection::vec(0u32..200, 8),
    ) {
        // Small numbers look more like the kernel's.
        for (chunk, value) in unit.chunks_exact_mut(4).zip(head) {
            chunk.copy_from_slice(&value.to_ne_bytes());
        }
        let found = walk(&unit);
        prop_assert!(found.len() <= unit.len() / 48 + 1);
        for next in found.into_iter().chain([slot_content(&unit)]) {
            if let Next::Frame(place) = next {
                prop_assert!(place.frame(&unit).is_some());
            }
        }
    }
}
