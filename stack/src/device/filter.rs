//! Which frames of an interface are for us: a classic BPF program that the kernel runs before it copies a frame.

use libc::sock_filter;

/// The longest program below.
const MAX_LEN: usize = 12;

/// Accepts frames for `mac` and for groups, or all if it is `None`; never those that leave by the interface, and never
/// those of another VLAN, whose tag the kernel has taken off.
pub(super) fn for_address(mac: Option<[u8; 6]>) -> arrayvec::ArrayVec<sock_filter, MAX_LEN> {
    const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
    const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
    const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    const VLAN_PRESENT: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT) as u32;

    let step = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    let mut program = arrayvec::ArrayVec::new();
    match mac {
        None => program.extend([
            step(LOAD_WORD, 0, 0, PACKET_TYPE),
            step(IF_EQUAL, 3, 0, libc::PACKET_OUTGOING.into()),
            step(LOAD_WORD, 0, 0, VLAN_PRESENT),
            step(IF_EQUAL, 0, 1, 0),
            step(RETURN, 0, 0, u32::MAX),
            step(RETURN, 0, 0, 0),
        ]),
        Some([a, b, c, d, e, f]) => program.extend([
            step(LOAD_WORD, 0, 0, PACKET_TYPE),
            step(IF_EQUAL, 9, 0, libc::PACKET_OUTGOING.into()),
            step(LOAD_WORD, 0, 0, VLAN_PRESENT),
            step(IF_EQUAL, 0, 7, 0),
            step(LOAD_BYTE, 0, 0, 0),
            step(IF_BITS, 4, 0, 1),
            step(LOAD_WORD, 0, 0, 0),
            step(IF_EQUAL, 0, 3, u32::from_be_bytes([a, b, c, d])),
            step(LOAD_HALF, 0, 0, 4),
            step(IF_EQUAL, 0, 1, u16::from_be_bytes([e, f]).into()),
            step(RETURN, 0, 0, u32::MAX),
            step(RETURN, 0, 0, 0),
        ]),
    }
    program
}
