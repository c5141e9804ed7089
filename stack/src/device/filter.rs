//! Which frames of an interface are for us, and for which of several queues: classic BPF programs that the kernel runs
//! before it copies a frame.

use libc::sock_filter;

use crate::buf::shard::{GOOD_BITS, SPREAD};

/// The longest of the programs that accept.
const MAX_LEN: usize = 12;
/// The longest of those that choose.
const MAX_CHOICE: usize = 64;

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Accepts frames for `mac` and for groups, or all if it is `None`; never those that leave by the interface, and never
/// those of another VLAN, whose tag the kernel has taken off.
pub(super) fn for_address(mac: Option<[u8; 6]>) -> arrayvec::ArrayVec<sock_filter, MAX_LEN> {
    const PACKET_TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
    const VLAN_PRESENT: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT) as u32;

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

type Choice = arrayvec::ArrayVec<sock_filter, MAX_CHOICE>;

/// Offsets from here count from the IP header.
const IP: u32 = libc::SKF_NET_OFF.cast_unsigned();
/// Keeps A for later, and X for the moment.
const STORE: u32 = libc::BPF_ST;
const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
const XOR_X: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X;
/// Where the folded addresses are kept, and where a port is.
const ADDRESSES: u32 = 0;
const PORT: u32 = 1;

/// Chooses one of `queues` for each frame: for TCP and UDP as [`Shard::owner`](crate::buf::shard::Shard::owner) does,
/// the first for all else.
pub(super) fn for_queues(queues: u32) -> Choice {
    const ETHERTYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL).cast_unsigned();
    let (v4, v6) = (choose_v4(), choose_v6());
    let mut program = Choice::new();
    program.extend([
        step(LOAD_HALF, 0, 0, ETHERTYPE),
        step(IF_EQUAL, v4.len() as u8 + 3, 0, libc::ETH_P_IPV6.cast_unsigned()),
        step(IF_EQUAL, 1, 0, libc::ETH_P_IP.cast_unsigned()),
        step(RETURN, 0, 0, 0),
    ]);
    program.extend(v4);
    program.push(step(libc::BPF_JMP | libc::BPF_JA, 0, 0, v6.len() as u32));
    program.extend(v6);
    let half = libc::BPF_LD | libc::BPF_H | libc::BPF_IND;
    let load_x = libc::BPF_LDX | libc::BPF_MEM;
    let number = |operation| libc::BPF_ALU | operation | libc::BPF_K;
    program.extend([
        step(half, 0, 0, IP),
        step(STORE, 0, 0, PORT),
        step(half, 0, 0, IP + 2),
        step(load_x, 0, 0, PORT),
        step(XOR_X, 0, 0, 0),
        step(load_x, 0, 0, ADDRESSES),
        step(XOR_X, 0, 0, 0),
        step(number(libc::BPF_MUL), 0, 0, SPREAD),
        step(number(libc::BPF_RSH), 0, 0, GOOD_BITS),
        step(number(libc::BPF_MOD), 0, 0, queues),
        step(libc::BPF_RET | libc::BPF_A, 0, 0, 0),
    ]);
    program
}

/// Folds the addresses of a whole IPv4 packet, and leaves in X where its ports are.
fn choose_v4() -> Choice {
    const FRAGMENT: u32 = 0x3fff;
    let mut program = choose_ports(9);
    program.extend([
        step(LOAD_HALF, 0, 0, IP + 6),
        step(IF_BITS, 0, 1, FRAGMENT),
        step(RETURN, 0, 0, 0),
        step(LOAD_WORD, 0, 0, IP + 12),
        step(TO_X, 0, 0, 0),
        step(LOAD_WORD, 0, 0, IP + 16),
        step(XOR_X, 0, 0, 0),
        step(STORE, 0, 0, ADDRESSES),
        step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0, 0, IP),
    ]);
    program
}

/// The same for an IPv6 packet without extension headers.
fn choose_v6() -> Choice {
    let mut program = choose_ports(6);
    program.push(step(LOAD_WORD, 0, 0, IP + 8));
    for word in 1..8 {
        program.extend([step(TO_X, 0, 0, 0), step(LOAD_WORD, 0, 0, IP + 8 + 4 * word), step(XOR_X, 0, 0, 0)]);
    }
    program
        .extend([step(STORE, 0, 0, ADDRESSES), step(libc::BPF_LDX | libc::BPF_W | libc::BPF_IMM, 0, 0, 40)]);
    program
}

/// Goes on if the byte there, which names the protocol, says TCP or UDP.
fn choose_ports(protocol: u32) -> Choice {
    Choice::from_iter([
        step(LOAD_BYTE, 0, 0, IP + protocol),
        step(IF_EQUAL, 2, 0, libc::IPPROTO_TCP.cast_unsigned()),
        step(IF_EQUAL, 1, 0, libc::IPPROTO_UDP.cast_unsigned()),
        step(RETURN, 0, 0, 0),
    ])
}
