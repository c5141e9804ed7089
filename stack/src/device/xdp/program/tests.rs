use super::*;

const OURS: [u8; 6] = [0x82, 0xff, 0xfe, 3, 0x94, 0xf5];

/// Runs a program over a frame; answers whether it was taken. The machine is as small as the programs are.
fn takes(program: &Program, frame: &[u8]) -> bool {
    const DATA: u64 = 1 << 20;
    const QUEUE: u64 = 3;
    let mut r = [0u64; 7];
    let (mut at, mut steps) = (0usize, 0);
    let bytes = |from: u64, len: usize| {
        let mut value = [0; 8];
        let start = usize::try_from(from - DATA).unwrap();
        value[..len].copy_from_slice(&frame[start..start + len]);
        u64::from_ne_bytes(value)
    };
    loop {
        steps += 1;
        assert!(steps < 100, "it ends");
        let [code, registers, o0, o1, n0, n1, n2, n3] = program[at].to_ne_bytes();
        let (dst, src) = (usize::from(registers & 0xf), usize::from(registers >> 4));
        let (offset, number) = (i16::from_ne_bytes([o0, o1]), i32::from_ne_bytes([n0, n1, n2, n3]));
        at += 1;
        let mut jump = |when: bool| at = if when { at.strict_add_signed(offset.into()) } else { at };
        match code {
            MOVE => r[dst] = r[src],
            MOVE_NUMBER => r[dst] = number as u64,
            ADD_NUMBER => r[dst] += number as u64,
            LOAD_WORD if src == 6 => {
                r[dst] = match offset {
                    CONTEXT_DATA => DATA,
                    CONTEXT_END => DATA + frame.len() as u64,
                    CONTEXT_QUEUE => QUEUE,
                    other => panic!("nothing stands at {other}"),
                }
            }
            LOAD_BYTE => r[dst] = bytes(r[src] + offset as u64, 1),
            LOAD_HALF => r[dst] = bytes(r[src] + offset as u64, 2),
            LOAD_WORD => r[dst] = bytes(r[src] + offset as u64, 4),
            LOAD_NUMBER => {
                assert_eq!(src, 1, "the number is a map's");
                r[dst] = number as u64;
                at += 1;
            }
            JUMP_IF_GREATER => jump(r[dst] > r[src]),
            JUMP_IF_BITS => jump(r[dst] & number as u64 != 0),
            JUMP_UNLESS_EQUAL => jump(r[dst] as u32 != number as u32),
            CALL => {
                assert_eq!((number, r[1], r[2], r[3]), (REDIRECT_MAP, 77, QUEUE, XDP_PASS as u64));
                return true;
            }
            EXIT => {
                assert_eq!(r[0], XDP_PASS as u64);
                return false;
            }
            other => panic!("{other:#x} is no instruction"),
        }
    }
}

fn frame(to: [u8; 6]) -> Vec<u8> {
    [&to[..], &[2, 0, 0, 0, 0, 1, 8, 0, 0x45]].concat()
}

#[test]
fn ours_and_those_of_groups_are_taken() {
    let program = redirect(Some(OURS), 77);
    assert!(takes(&program, &frame(OURS)));
    assert!(takes(&program, &frame([0xff; 6])));
    assert!(takes(&program, &frame([0x33, 0x33, 0, 0, 0, 1])));
    for i in 0..6 {
        let mut other = OURS;
        other[i] ^= 0x40;
        assert!(!takes(&program, &frame(other)), "byte {i}");
    }
    assert!(!takes(&program, &frame(OURS)[..13]));
    assert!(!takes(&program, &[]));
}

#[test]
fn a_promiscuous_socket_takes_all() {
    let program = redirect(None, 77);
    assert!(takes(&program, &frame([2; 6])) && takes(&program, &[]));
}
