//! The program that an interface runs for each frame: what is for us goes to our socket, the rest to the kernel.

use arrayvec::ArrayVec;

/// Instructions of the longest program below.
const MAX_LEN: usize = 20;

/// Instructions for the kernel's machine, a word each.
pub(super) type Program = ArrayVec<u64, MAX_LEN>;

/// Redirects frames for `mac` and for groups, or all if it is `None`, to the socket that `map` has for the queue on
/// which they came; if it has none, and all others, to the kernel.
pub(super) fn redirect(mac: Option<[u8; 6]>, map: i32) -> Program {
    const TAKE: i16 = 12;
    const PASS: i16 = 18;
    let to = |target: i16, from: i16| target - from - 1;
    let mut program = Program::new();
    program.push(word(MOVE, 6, 1, 0, 0));
    if let Some([a, b, c, d, e, f]) = mac {
        let (first, last) = (i32::from_ne_bytes([a, b, c, d]), i32::from(u16::from_ne_bytes([e, f])));
        program.extend([
            // r2 and r3: where the frame begins and ends. One without a whole Ethernet header is not ours.
            word(LOAD_WORD, 2, 6, CONTEXT_DATA, 0),
            word(LOAD_WORD, 3, 6, CONTEXT_END, 0),
            word(MOVE, 4, 2, 0, 0),
            word(ADD_NUMBER, 4, 0, 0, 14),
            word(JUMP_IF_GREATER, 4, 3, to(PASS, 5), 0),
            // The first bit of a group's address.
            word(LOAD_BYTE, 5, 2, 0, 0),
            word(JUMP_IF_BITS, 5, 0, to(TAKE, 7), 1),
            word(LOAD_WORD, 5, 2, 0, 0),
            word(JUMP_UNLESS_EQUAL, 5, 0, to(PASS, 9), first),
            word(LOAD_HALF, 5, 2, 4, 0),
            word(JUMP_UNLESS_EQUAL, 5, 0, to(PASS, 11), last),
        ]);
    }
    program.extend([
        word(LOAD_WORD, 2, 6, CONTEXT_QUEUE, 0),
        word(LOAD_NUMBER, 1, MAP, 0, map),
        word(0, 0, 0, 0, 0),
        word(MOVE_NUMBER, 3, 0, 0, XDP_PASS),
        word(CALL, 0, 0, 0, REDIRECT_MAP),
        word(EXIT, 0, 0, 0, 0),
    ]);
    if mac.is_some() {
        program.extend([word(MOVE_NUMBER, 0, 0, 0, XDP_PASS), word(EXIT, 0, 0, 0, 0)]);
    }
    program
}

/// What the machine does, by the numbers of `linux/bpf.h`: `dst = src`, `dst = number`, `dst += number`.
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const ADD_NUMBER: u8 = 0x07;
/// `dst` = what stands at `src + offset`, in host order.
const LOAD_BYTE: u8 = 0x71;
const LOAD_HALF: u8 = 0x69;
const LOAD_WORD: u8 = 0x61;
/// `dst` = a number of two words; of the kind [`MAP`], the map with that descriptor.
const LOAD_NUMBER: u8 = 0x18;
const MAP: u8 = 1;
/// Go on `offset` instructions further: if `dst > src`; if `dst` has one of the bits; if the lower half of `dst`
/// differs.
const JUMP_IF_GREATER: u8 = 0x2d;
const JUMP_IF_BITS: u8 = 0x45;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
/// Call a function of the kernel's with r1 to r5, which answers in r0; end with r0.
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// `bpf_redirect_map(map, key, answer if there is none)`.
const REDIRECT_MAP: i32 = 51;

/// The answer that leaves a frame to the kernel.
const XDP_PASS: i32 = 2;

/// Places in `struct xdp_md`, to which r1 points at first.
const CONTEXT_DATA: i16 = 0;
const CONTEXT_END: i16 = 4;
const CONTEXT_QUEUE: i16 = 16;

fn word(code: u8, dst: u8, src: u8, offset: i16, number: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { dst | src << 4 } else { dst << 4 | src };
    let ([o0, o1], [n0, n1, n2, n3]) = (offset.to_ne_bytes(), number.to_ne_bytes());
    u64::from_ne_bytes([code, registers, o0, o1, n0, n1, n2, n3])
}

#[cfg(test)]
mod tests;
