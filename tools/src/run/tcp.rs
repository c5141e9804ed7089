//! TCP segments byte by byte, with all options: a second opinion on what the stack writes and reads.

use std::fmt::Write as _;
use std::net::IpAddr;

use ustack::wire::checksum::Sum;
use ustack::wire::ip::Protocol;

/// Control bits as they stand in the header.
pub(super) mod flag {
    pub(crate) const SYN: u16 = 0x002;
    pub(crate) const RST: u16 = 0x004;
    pub(crate) const PSH: u16 = 0x008;
    pub(crate) const ACK: u16 = 0x010;
}

/// Where the three bits of the ACE field lie (RFC 9768 section 3.2).
pub(super) const ACE_SHIFT: u32 = 6;

/// Flags and their letters, in the order in which they are shown.
pub(super) const FLAG_LETTERS: [(char, u16); 9] = [
    ('S', 0x002),
    ('F', 0x001),
    ('R', 0x004),
    ('P', 0x008),
    ('U', 0x020),
    ('E', 0x040),
    ('W', 0x080),
    ('A', 0x100),
    ('.', 0x010),
];

/// Kinds of options.
pub(super) mod kind {
    pub(crate) const END: u8 = 0;
    pub(crate) const NOP: u8 = 1;
    pub(crate) const MSS: u8 = 2;
    pub(crate) const WINDOW_SCALE: u8 = 3;
    pub(crate) const SACK_PERMITTED: u8 = 4;
    pub(crate) const SACK: u8 = 5;
    pub(crate) const TIMESTAMPS: u8 = 8;
    pub(crate) const MD5: u8 = 19;
    pub(crate) const AO: u8 = 29;
    pub(crate) const FAST_OPEN: u8 = 34;
    pub(crate) const ACC_ECN_0: u8 = 172;
    pub(crate) const ACC_ECN_1: u8 = 174;
    pub(crate) const EXPERIMENT: u8 = 254;
}

/// Marks fast open among the experiments (RFC 6994 section 3, RFC 7413 section 9).
pub(super) const FAST_OPEN_MAGIC: [u8; 2] = [0xf9, 0x89];
/// Bytes of a header without options.
const HEADER_LEN: usize = 20;
const CHECKSUM_AT: usize = 16;

/// A segment as a value; numbers as they are on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tcp {
    pub(super) src_port: u16,
    pub(super) dst_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u16,
    pub(super) window: u16,
    pub(super) urgent: u16,
    pub(super) options: Vec<TcpOption>,
    pub(super) payload: Vec<u8>,
}

/// An option as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TcpOption {
    EndOfList,
    Nop,
    Mss(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
    /// Any other, by its kind: `FO`, `FOEXP`, accurate ECN, digests.
    Other(u8, Vec<u8>),
}

impl Tcp {
    /// Whether it has this control bit.
    pub(super) fn has(&self, bit: u16) -> bool {
        self.flags & bit != 0
    }

    /// The sequence numbers that it takes up, SYN and FIN included.
    pub(super) fn payload_len(&self) -> u32 {
        self.payload.len() as u32
    }

    /// Reads a segment.
    pub(super) fn read(bytes: &[u8], src: IpAddr, dst: IpAddr) -> Result<Self, String> {
        if bytes.len() < HEADER_LEN {
            return Err(format!("a TCP header needs 20 bytes, there are {}", bytes.len()));
        }
        if !Sum::pseudo(src, dst, Protocol::TCP, bytes.len()).with(bytes).is_valid() {
            return Err("the TCP checksum is wrong".into());
        }
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        let header_len = usize::from(bytes[12] >> 4) * 4;
        let options = bytes.get(HEADER_LEN..header_len).ok_or("the data offset lies outside the segment")?;
        Ok(Self {
            src_port: short(0),
            dst_port: short(2),
            seq: long(4),
            ack: long(8),
            flags: short(12) & 0x1ff,
            window: short(14),
            urgent: short(18),
            options: TcpOption::read_all(options)?,
            payload: bytes[header_len..].to_vec(),
        })
    }

    /// Writes it.
    pub(super) fn write(&self, src: IpAddr, dst: IpAddr, good_checksum: bool) -> Result<Vec<u8>, String> {
        let mut options = Vec::new();
        self.options.iter().for_each(|option| option.write(&mut options));
        options.resize(options.len().next_multiple_of(4), kind::END);
        if options.len() > 40 {
            return Err(format!("a segment has room for 40 bytes of options, these are {}", options.len()));
        }
        let header_len = HEADER_LEN + options.len();
        let mut out = Vec::with_capacity(header_len + self.payload.len());
        out.extend(self.src_port.to_be_bytes());
        out.extend(self.dst_port.to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(self.ack.to_be_bytes());
        out.extend(((header_len as u16 / 4) << 12 | self.flags).to_be_bytes());
        out.extend(self.window.to_be_bytes());
        out.extend([0, 0]);
        out.extend(self.urgent.to_be_bytes());
        out.extend(options);
        out.extend(&self.payload);
        let sum = Sum::pseudo(src, dst, Protocol::TCP, out.len()).with(&out).checksum();
        let sum = if good_checksum { sum } else { !sum };
        out[CHECKSUM_AT..CHECKSUM_AT + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(out)
    }
}

impl TcpOption {
    fn read_all(mut bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut options = Vec::new();
        while let Some((&kind, rest)) = bytes.split_first() {
            bytes = match kind {
                kind::END => {
                    options.push(Self::EndOfList);
                    return Ok(options);
                }
                kind::NOP => {
                    options.push(Self::Nop);
                    rest
                }
                _ => {
                    let len = usize::from(*rest.first().ok_or("an option is cut off")?);
                    let body = bytes.get(2..len).ok_or("an option lies outside the header")?;
                    options.push(Self::read(kind, body));
                    &bytes[len..]
                }
            };
        }
        Ok(options)
    }

    fn read(kind: u8, body: &[u8]) -> Self {
        let long = |bytes: &[u8]| bytes.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
        match (kind, body.len()) {
            (kind::MSS, 2) => Self::Mss(long(body) as u16),
            (kind::WINDOW_SCALE, 1) => Self::WindowScale(body[0]),
            (kind::SACK_PERMITTED, 0) => Self::SackPermitted,
            (kind::SACK, len) if len % 8 == 0 => {
                Self::Sack(body.chunks(8).map(|block| (long(&block[..4]), long(&block[4..]))).collect())
            }
            (kind::TIMESTAMPS, 8) => Self::Timestamps(long(&body[..4]), long(&body[4..])),
            _ => Self::Other(kind, body.to_vec()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut put = |kind: u8, body: &[u8]| {
            out.extend([kind, body.len() as u8 + 2]);
            out.extend(body);
        };
        match self {
            Self::EndOfList => out.push(kind::END),
            Self::Nop => out.push(kind::NOP),
            Self::Mss(mss) => put(kind::MSS, &mss.to_be_bytes()),
            Self::WindowScale(shift) => put(kind::WINDOW_SCALE, &[*shift]),
            Self::SackPermitted => put(kind::SACK_PERMITTED, &[]),
            Self::Sack(blocks) => {
                let body: Vec<u8> =
                    blocks.iter().flat_map(|(a, b)| [a.to_be_bytes(), b.to_be_bytes()]).flatten().collect();
                put(kind::SACK, &body);
            }
            Self::Timestamps(value, echo) => {
                put(kind::TIMESTAMPS, &[value.to_be_bytes(), echo.to_be_bytes()].concat());
            }
            Self::Other(kind, body) => put(*kind, body),
        }
    }

    /// As it stands in a script; sequence numbers and timestamps are the caller's.
    pub(super) fn show(&self) -> String {
        match self {
            Self::EndOfList => "eol".into(),
            Self::Nop => "nop".into(),
            Self::Mss(mss) => format!("mss {mss}"),
            Self::WindowScale(shift) => format!("wscale {shift}"),
            Self::SackPermitted => "sackOK".into(),
            Self::Sack(blocks) => blocks.iter().fold("sack".into(), |mut text: String, (a, b)| {
                // Writing to a string does not fail.
                let _ = write!(text, " {a}:{b}");
                text
            }),
            Self::Timestamps(value, echo) => format!("TS val {value} ecr {echo}"),
            Self::Other(kind::FAST_OPEN, cookie) => format!("FO {}", hex(cookie)).trim_end().into(),
            Self::Other(kind::EXPERIMENT, body) if body.starts_with(&FAST_OPEN_MAGIC) => {
                format!("FOEXP {}", hex(&body[2..])).trim_end().into()
            }
            Self::Other(kind::MD5, digest) => format!("md5 {}", hex(digest)).trim_end().into(),
            Self::Other(kind::AO, body) if body.len() > 2 => {
                format!("ao {} {} {}", body[0], body[1], hex(&body[2..]))
            }
            Self::Other(kind @ (kind::ACC_ECN_0 | kind::ACC_ECN_1), body) if body.len() % 3 == 0 => {
                let names =
                    if *kind == kind::ACC_ECN_0 { ["e0b", "ceb", "e1b"] } else { ["e1b", "ceb", "e0b"] };
                body.chunks(3).zip(names).fold("ECN".into(), |mut text: String, (bytes, name)| {
                    let value = bytes.iter().fold(0u32, |sum, byte| sum << 8 | u32::from(*byte));
                    let _ = write!(text, " {name} {value}");
                    text
                })
            }
            Self::Other(kind, body) => format!("opt {kind} {}", hex(body)).trim_end().into(),
        }
    }
}

/// Flags as a script writes them.
pub(super) fn show_flags(flags: u16) -> String {
    let text: String = FLAG_LETTERS.iter().filter(|(_, bit)| flags & bit != 0).map(|(c, _)| *c).collect();
    if text.is_empty() { "-".into() } else { text }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let (src, dst) = ("192.0.2.1".parse().unwrap(), "192.168.0.1".parse().unwrap());
        let segment = Tcp {
            src_port: 1,
            dst_port: 2,
            seq: u32::MAX,
            ack: 7,
            flags: flag::SYN | flag::ACK | 0x100,
            window: 9,
            urgent: 3,
            options: vec![
                TcpOption::Mss(1460),
                TcpOption::Sack(vec![(1, 2), (3, 4)]),
                TcpOption::Other(kind::ACC_ECN_1, vec![0, 0, 1, 0, 0, 2]),
            ],
            payload: b"data".to_vec(),
        };
        let bytes = segment.write(src, dst, true).unwrap();
        let read = Tcp::read(&bytes, src, dst).unwrap();
        // What fills up the last word is the end of the list.
        assert_eq!(read.options.len(), 4);
        assert_eq!(Tcp { options: segment.options.clone(), ..read }, segment);
        assert_eq!(show_flags(segment.flags), "SA.");
        assert_eq!(segment.options[2].show(), "ECN e1b 1 ceb 2");
        assert!(Tcp::read(&segment.write(src, dst, false).unwrap(), src, dst).is_err());
    }
}
