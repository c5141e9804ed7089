//! The test vectors of RFC 9235, the extension of sequence numbers, and the change of keys.

use super::*;
use crate::buf::frame::Checksum;
use crate::tcp::authentication::Direction;
use crate::wire::ip::Packet;
use crate::wire::tcp::Options;

/// A segment of RFC 9235; the master key of all is "testvector".
struct Vector {
    section: &'static str,
    algorithm: AoAlgorithm,
    include_options: bool,
    /// The sender's and the receiver's.
    isns: (u32, u32),
    traffic_key: &'static str,
    /// From the IP header on.
    packet: &'static str,
}

const VECTORS: &[Vector] = &[
    Vector {
        section: "4.1.1",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: true,
        isns: (0xfbfbab5a, 0x0),
        traffic_key: "6d63ef1b02fe1509d4b1402707fd7b0416abb74f",
        packet: "45e0004cdd0f4000ff06bf6b0a0b0c0dac1b1c1de9d700b3fbfbab5a00000000e002ffffcac40000020405b401030308 \
                 0402080a00155ab7000000001d103d542ee437c6f8ede6d7c4d602e7",
    },
    Vector {
        section: "4.1.2",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: true,
        isns: (0x11c14261, 0xfbfbab5a),
        traffic_key: "d9e217e4834a80ca2f3fd8de2e41b8e6797fea96",
        packet: "45e0004c65064000ff063775ac1b1c1d0a0b0c0d00b3e9d711c14261fbfbab5be012ffff37760000020405b401030308 \
                 0402080a84a50beb00155ab71d10543deeab0fe24c3010815116b3be",
    },
    Vector {
        section: "4.1.3",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: true,
        isns: (0xfbfbab5a, 0x11c14261),
        traffic_key: "d2e59c65ffc7b1a39347656463b70edc24a13d71",
        packet: "45e0008736a14000ff06659f0a0b0c0dac1b1c1de9d700b3fbfbab5b11c14262c0180104a16200000101080a00155ac1 \
                 84a50beb1d103d547064cf998cc6c315c2c2e2bfffffffffffffffffffffffffffffffff00430104dabf00b40a0b0c0d \
                 260206010400010001020280000202020002024200020641040000dabf02084006006400010100",
    },
    Vector {
        section: "4.2.1",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: false,
        isns: (0xcb0efbee, 0x0),
        traffic_key: "30eaa1560cf0be57dab5c045229fb10a423cd7ea",
        packet: "45e0004c53994000ff0648e20a0b0c0dac1b1c1dff1200b3cb0efbee00000000e002ffff541f0000020405b401030308 \
                 0402080a00024cce000000001d103d5480af3cfeb85368937b8f9ec2",
    },
    Vector {
        section: "4.2.3",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: false,
        isns: (0xcb0efbee, 0xacd5b5e1),
        traffic_key: "f3db1793d7910ecd806c34f155ea1f00345953e3",
        packet: "45e00087a8f54000ff06f34a0a0b0c0dac1b1c1dff1200b3cb0efbefacd5b5e2c01801046c4500000101080a00024cce \
                 576772f31d103d54710608cc696c03a271c93aa5ffffffffffffffffffffffffffffffff00430104dabf00b40a0b0c0d \
                 260206010400010001020280000202020002024200020641040000dabf02084006006400010100",
    },
    Vector {
        section: "5.1.1",
        algorithm: AoAlgorithm::Aes128Cmac,
        include_options: true,
        isns: (0x787a1ddf, 0x0),
        traffic_key: "f5b8b3d5f34fdbb6eb8d4ab9660e60e3",
        packet: "45e0004c7b9f4000ff0620dc0a0b0c0dac1b1c1dc4fa00b3787a1ddf00000000e002ffff5a0f0000020405b401030308 \
                 0402080a00017ed0000000001d103d54e477e99c8040765498e55091",
    },
    Vector {
        section: "6.1.1",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: true,
        isns: (0x176a833f, 0x0),
        traffic_key: "625ec09d575836edc9b6428418bbf06989a361bb",
        packet: "6e0891dc00380640fd000000000000000000000000000001fd000000000000000000000000000002f7e400b3176a833f \
                 00000000e002ffff47210000020405a0010303080402080a0041d087000000001d103d549033ec3d7334b64c5edd039f",
    },
    Vector {
        section: "6.2.2",
        algorithm: AoAlgorithm::HmacSha1,
        include_options: false,
        isns: (0xeba3734d, 0x020c1e69),
        traffic_key: "405108947f996575e7bdbc26d40216a2c7fa91bd",
        packet: "6e0a7e1f00380640fd000000000000000000000000000002fd00000000000000000000000000000100b3c6cdeba3734d \
                 020c1e6ae012ffff774d0000020405a0010303080402080a5ec99b70009db95b1d10543d3c546bad9743f12df8b8010d",
    },
    Vector {
        section: "7.1.2",
        algorithm: AoAlgorithm::Aes128Cmac,
        include_options: true,
        isns: (0xa6744ecb, 0x193cccec),
        traffic_key: "cf1b1e225e06a63616764a067b46f4b1",
        packet: "6e06152000380640fd000000000000000000000000000002fd00000000000000000000000000000100b3f85aa6744ecb \
                 193cccede012ffffeabb0000020405a0010303080402080a71daabc813e4ab991d10543ddc2843a84e78a6bcfdc5ed80",
    },
    Vector {
        section: "7.1.4",
        algorithm: AoAlgorithm::Aes128Cmac,
        include_options: true,
        isns: (0xa6744ecb, 0x193cccec),
        traffic_key: "cf1b1e225e06a63616764a067b46f4b1",
        packet: "6e06152000730640fd000000000000000000000000000002fd00000000000000000000000000000100b3f85aa6744ecc \
                 193ccd30c018010052f400000101080a71daabd313e4aba31d10543dc1069b7dfd3d693a6df3f289ffffffffffffffff \
                 ffffffffffffffff00430104fde800b40101017a260206010400010001020280000202020002024200020641040000fd \
                 e802084006006400010100",
    },
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

#[test]
fn keys_and_macs_are_those_of_rfc_9235() {
    for vector in VECTORS {
        let packet = bytes(vector.packet);
        let packet = Packet::parse(&packet).unwrap();
        let (header, payload) =
            Header::parse(packet.payload, packet.src, packet.dst, Checksum::Verified).unwrap();
        let (written, _) = packet.payload.split_at(packet.payload.len() - payload.len());
        let direction = Direction { src: packet.src, dst: packet.dst };
        let wire = Wire { direction, header: written, payload: [payload, &[]] };
        let key = AoKey {
            algorithm: vector.algorithm,
            include_options: vector.include_options,
            ..AoKey::new(61, 84, b"testvector")
        };
        let isns = (SeqNum::new(vector.isns.0), SeqNum::new(vector.isns.1));
        let traffic_key = traffic_key(&key, &wire, isns);
        assert_eq!(traffic_key[..], bytes(vector.traffic_key)[..], "{}", vector.section);
        let range = digest_range(written).expect("it has the option");
        assert_eq!(mac(&key, &traffic_key, 0, &wire)[..], written[range], "{}", vector.section);
        assert!(matches!(header.options.signature, Some(Signature::Ao { mac_len: 12, .. })));
    }
}

#[test]
fn the_extension_counts_how_often_numbers_begin_anew() {
    // RFC 5925 section 6.2.
    let mut extension = Extension { sne: 0, highest: Some(SeqNum::new(0xffff_fff0)) };
    let of = |extension: &Extension, seq| extension.of(SeqNum::new(seq));
    assert_eq!((of(&extension, 0xffff_fff8), of(&extension, 0xffff_0000), of(&extension, 5)), (0, 0, 1));
    extension.advance(SeqNum::new(5));
    assert_eq!((of(&extension, 10), of(&extension, 0xffff_fff8)), (1, 0));
    // What comes late does not turn it back.
    extension.advance(SeqNum::new(0xffff_fff8));
    assert_eq!((extension.sne, of(&extension, 10)), (1, 1));
}

const LEFT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const RIGHT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// One end, with what it knows.
struct End {
    keys: Keys,
    state: State,
    ours: IpAddr,
    theirs: IpAddr,
}

impl End {
    fn new(ours: IpAddr, theirs: IpAddr, keys: &[(u8, u8)]) -> Self {
        let mut all = Keys::new();
        for &(send, recv) in keys {
            let secret = [send.min(recv), send.max(recv)];
            all.add_ao(theirs, 32, AoKey::new(send, recv, &secret)).expect("the numbers differ");
        }
        Self { keys: all, state: State::new(Isns::default()), ours, theirs }
    }

    fn send(&mut self, flags: Flags, seq: u32, payload: &[u8]) -> (Header, Vec<u8>) {
        let signature = Some(self.state.option(&self.keys, self.theirs));
        let header = Header {
            src_port: 1,
            dst_port: 1,
            seq: SeqNum::new(seq),
            flags,
            options: Options { signature, ..Options::default() },
            ..Header::default()
        };
        let mut out = vec![0; header.header_len()];
        let direction = Direction { src: self.ours, dst: self.theirs };
        let sign = |out: &mut [u8]| {
            let wire = Wire { direction, header: out, payload: [payload, &[]] };
            let mac = self.state.sign(&self.keys, self.theirs, &header, &wire).expect("there is a key");
            let range = digest_range(out).expect("there is the option");
            out[range].copy_from_slice(&mac);
        };
        header.write_signed(&mut out, (self.ours, self.theirs), [payload, &[]], false, sign).expect("room");
        out.extend(payload);
        (header, out)
    }

    fn take(&mut self, (header, bytes): &(Header, Vec<u8>)) -> Result<(), Refusal> {
        let direction = Direction { src: self.theirs, dst: self.ours };
        let (head, payload) = bytes.split_at(header.header_len());
        let wire = Wire { direction, header: head, payload: [payload, &[]] };
        self.state.verify(&self.keys, self.theirs, header, &wire)
    }
}

/// Two ends whose handshake is done.
fn pair(left: &[(u8, u8)], right: &[(u8, u8)]) -> (End, End) {
    let (mut left, mut right) = (End::new(LEFT, RIGHT, left), End::new(RIGHT, LEFT, right));
    let syn = left.send(Flags::SYN, 1000, &[]);
    assert_eq!(right.take(&syn), Ok(()));
    let syn_ack = right.send(Flags::SYN | Flags::ACK, 7000, &[]);
    assert_eq!(left.take(&syn_ack), Ok(()));
    let ack = left.send(Flags::ACK, 1001, b"data");
    assert_eq!(right.take(&ack), Ok(()));
    (left, right)
}

#[test]
fn a_byte_that_was_changed_is_noticed() {
    let (mut left, mut right) = pair(&[(1, 2)], &[(2, 1)]);
    let good = right.send(Flags::ACK, 7001, b"answer");
    for at in 0..good.1.len() {
        let mut bad = good.clone();
        bad.1[at] ^= 1;
        // The checksum is not covered, nor are padding and what makes it another option.
        let covered = !(16..18).contains(&at) && at != 12 && !(20..22).contains(&at);
        if covered {
            assert!(left.take(&bad).is_err(), "byte {at}");
        }
    }
    assert_eq!(left.take(&good), Ok(()));
    let none = Header { options: Options::default(), ..good.0 };
    assert_eq!(left.take(&(none, vec![0; 20])), Err(Refusal::AoRequired));
    let mut other = good.clone();
    other.0.options.signature = Some(Signature::Ao { key_id: 9, next_key_id: 9, mac_len: 12 });
    assert_eq!(left.take(&other), Err(Refusal::AoKeyNotFound));
}

#[test]
fn both_change_to_another_key_when_one_asks() {
    // RFC 5925 section 7.5.
    let (mut left, mut right) = pair(&[(1, 2), (3, 4)], &[(2, 1), (4, 3)]);
    assert_eq!(left.state.ids(&left.keys, RIGHT), AoKeyIds { current: 1, next: 2 });
    assert!(left.state.ask_for(&left.keys, RIGHT, 4) && !left.state.ask_for(&left.keys, RIGHT, 9));
    let asks = left.send(Flags::ACK, 1005, b"please");
    assert_eq!(right.take(&asks), Ok(()));
    assert_eq!(right.state.ids(&right.keys, LEFT).current, 4);
    let answer = right.send(Flags::ACK, 7001, b"with the new one");
    assert_eq!(left.take(&answer), Ok(()));
    // It has not asked for one: the left goes on sending with its first.
    assert_eq!(left.state.ids(&left.keys, RIGHT), AoKeyIds { current: 1, next: 4 });
    // What was sent before with the old one is still good.
    let late = left.send(Flags::ACK, 1011, b"old");
    assert_eq!(right.take(&late), Ok(()));
}
