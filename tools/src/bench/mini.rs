//! The ceiling: just enough TCP to keep a real kernel busy, and no stack behind it.
//!
//! It connects, answers ARP, and then either writes frames that were prepared once, as far as the peer's window goes,
//! or reads and acknowledges each batch. No congestion control, no timestamps, no selective acknowledgments; what is
//! lost is sent again from the first gap. What it reaches is what the device and the peer allow at all.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ustack::buf::frame::{Checksum, Gso, GsoKind, Offload, TxFrame};
use ustack::device::{Device, Tap};
use ustack::why::Why;
use ustack::wire::checksum::{Sum, checksum};
use ustack::wire::ip::Protocol;

use super::bed::{self, CONTENDER, MAC, PEER};
use super::gauge::{Gauge, Run};
use super::measure::CpuTime;
use super::peer::{PORT, Way};

const OWN_PORT: u16 = 49_152;
const ETHERNET: usize = 14;
const TCP_AT: usize = ETHERNET + 20;
/// Link, IP and TCP header without options.
const HEADERS: usize = TCP_AT + 20;
/// The largest IP packet.
const LARGEST: usize = 65_535;
const MSS: usize = 1460;
/// What we shift our window by.
const SCALE: u8 = 7;
/// Frames that are read before they are acknowledged together.
const BATCH: usize = 64;
/// Nothing is acknowledged for so long: all is sent again from there.
const RETRY: Duration = Duration::from_millis(200);

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A transfer over one connection, on this thread. With `copy` each byte is copied once in user space, as a stack must
/// that hands an application its own bytes; without, sent frames are written from where they were prepared and received
/// ones are thrown away.
///
/// # Errors
/// The device is gone, or the connection breaks.
pub fn bulk(tap: Tap, run: &Arc<Run>, way: Way, window: usize, copy: bool) -> io::Result<CpuTime> {
    let kernel = tap.kernel_mac()?;
    let mut mini = Mini::new(tap, kernel, window, copy);
    let mut gauge = Gauge::new(run);
    mini.connect(&mut gauge)?;
    let moved = match way {
        Way::Send => mini.send(&mut gauge),
        Way::Receive => mini.receive(&mut gauge),
    };
    match moved {
        // The peer knows earlier that the run is over.
        Err(_) if !gauge.running() => {}
        moved => moved.and_then(|()| mini.say(RST | ACK))?,
    }
    Ok(gauge.used())
}

struct Mini {
    tap: Tap,
    kernel: [u8; 6],
    merges: bool,
    copy: bool,
    snd_una: u32,
    snd_nxt: u32,
    snd_wnd: usize,
    snd_scale: u8,
    rcv_nxt: u32,
    /// The application's memory, of which each byte is sent or received again and again.
    memory: Vec<u8>,
    /// A payload that was prepared.
    payload: Vec<u8>,
    at: usize,
    established: bool,
}

/// What a received frame says.
enum Heard {
    Arp(Vec<u8>),
    Tcp { flags: u8, seq: u32, ack: u32, window: u16, options: (usize, usize), data: (usize, usize) },
    Nothing,
}

impl Mini {
    fn new(tap: Tap, kernel: [u8; 6], window: usize, copy: bool) -> Self {
        let merges = tap.capabilities().max_merged > tap.capabilities().mtu;
        Self {
            tap,
            kernel,
            merges,
            copy,
            snd_una: 0,
            snd_nxt: 0,
            snd_wnd: 0,
            snd_scale: 0,
            rcv_nxt: 0,
            memory: vec![7; window.max(2 * LARGEST)],
            payload: vec![7; LARGEST],
            at: 0,
            established: false,
        }
    }

    fn connect(&mut self, gauge: &mut Gauge) -> io::Result<()> {
        while gauge.running() && !self.established {
            self.say(SYN)?;
            self.snd_nxt = 1;
            bed::idle(&self.tap, Some(RETRY))?;
            self.hear()?;
            if !self.established {
                self.snd_nxt = 0;
            }
        }
        self.say(ACK)
    }

    /// Fills the peer's window, again and again.
    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    fn send(&mut self, gauge: &mut Gauge) -> io::Result<()> {
        let largest = if self.merges { LARGEST + ETHERNET - HEADERS } else { MSS };
        let mut moved = Instant::now();
        while gauge.running() {
            let una = self.snd_una;
            self.hear()?;
            let mut sent = 0;
            while let flight = self.snd_nxt.wrapping_sub(self.snd_una) as usize
                && let room = self.snd_wnd.saturating_sub(flight)
                && room > 0
                && sent < BATCH
            {
                self.data(largest.min(room))?;
                sent += 1;
            }
            if una != self.snd_una || sent > 0 {
                moved = Instant::now();
            } else if moved.elapsed() > RETRY {
                (self.snd_nxt, moved) = (self.snd_una, Instant::now());
            } else {
                bed::idle(&self.tap, Some(RETRY))?;
            }
        }
        Ok(())
    }

    /// Reads what comes and acknowledges each batch once.
    fn receive(&mut self, gauge: &mut Gauge) -> io::Result<()> {
        while gauge.running() {
            let before = self.rcv_nxt;
            if self.hear()? == 0 {
                bed::idle(&self.tap, None)?;
            } else {
                gauge.add(self.rcv_nxt.wrapping_sub(before) as usize);
                self.say(ACK)?;
            }
        }
        Ok(())
    }

    /// Reads a batch of frames; answers how many.
    fn hear(&mut self) -> io::Result<usize> {
        for count in 0..BATCH {
            let Some(frame) = self.tap.recv(ustack::time::Instant::ZERO)? else { return Ok(count) };
            match parse(frame.bytes) {
                Heard::Arp(answer) => self.put(&answer)?,
                Heard::Tcp { flags, seq, ack, window, options, data } => {
                    if flags & (RST | FIN) != 0 && self.established {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    if flags & SYN != 0 {
                        self.snd_scale = shift(&frame.bytes[options.0..options.1]);
                        (self.rcv_nxt, self.snd_una) = (seq.wrapping_add(1), ack);
                        (self.snd_wnd, self.established) = (usize::from(window), true);
                        continue;
                    }
                    if ack.wrapping_sub(self.snd_una) <= self.snd_nxt.wrapping_sub(self.snd_una) {
                        self.snd_una = ack;
                        self.snd_wnd = usize::from(window) << self.snd_scale;
                    }
                    let data = &frame.bytes[data.0..data.1];
                    if seq == self.rcv_nxt && !data.is_empty() {
                        self.rcv_nxt = seq.wrapping_add(data.len() as u32);
                        if self.copy {
                            self.at = place(self.at, data.len(), self.memory.len());
                            self.memory[self.at..][..data.len()].copy_from_slice(data);
                            self.at += data.len();
                        }
                    }
                }
                Heard::Nothing => {}
            }
        }
        Ok(BATCH)
    }

    /// Sends so many bytes of data.
    fn data(&mut self, len: usize) -> io::Result<()> {
        if self.copy {
            self.at = place(self.at, len, self.memory.len());
            self.memory[self.at..][..len].copy_from_slice(&self.payload[..len]);
        }
        let mut headers = self.headers(ACK, &[], len);
        let payload = if self.copy { &self.memory[self.at..][..len] } else { &self.payload[..len] };
        self.at += len;
        let offload = if self.merges {
            let checksum = Checksum::Partial { start: TCP_AT as u16, offset: 16 };
            let gso = Gso { kind: GsoKind::Tcp4, size: MSS as u16, header: HEADERS as u16 };
            Offload { checksum, gso: (len > MSS).then_some(gso) }
        } else {
            let partial = u16::from_be_bytes([headers[TCP_AT + 16], headers[TCP_AT + 17]]);
            // The field has the pseudo header's sum in it.
            let sum = Sum::ZERO.with(&headers[TCP_AT..]).with(payload).checksum();
            debug_assert!(partial != 0);
            headers[TCP_AT + 16..][..2].copy_from_slice(&sum.to_be_bytes());
            Offload::NONE
        };
        let why = &Why::FOREIGN;
        let sent = self.tap.send(
            ustack::time::Instant::ZERO,
            &TxFrame { head: &headers, body: [payload, &[]], offload, why },
        );
        self.snd_nxt = self.snd_nxt.wrapping_add(len as u32);
        lost_or(sent)
    }

    /// Sends a segment without data.
    fn say(&mut self, flags: u8) -> io::Result<()> {
        // MSS, and a window scale.
        const OPTIONS: [u8; 8] = [2, 4, (MSS >> 8) as u8, MSS as u8, 1, 3, 3, SCALE];
        let options: &[u8] = if flags & SYN == 0 { &[] } else { &OPTIONS };
        let mut frame = self.headers(flags, options, 0);
        let sum = Sum::ZERO.with(&frame[TCP_AT..]).checksum();
        frame[TCP_AT + 16..][..2].copy_from_slice(&sum.to_be_bytes());
        self.put(&frame)
    }

    /// All headers, with the pseudo header's sum where the checksum belongs.
    fn headers(&self, flags: u8, options: &[u8], len: usize) -> Vec<u8> {
        let window = match flags & SYN {
            0 => (self.memory.len() >> SCALE).min(LARGEST),
            _ => LARGEST,
        };
        let header = 20 + options.len();
        let mut frame = Vec::with_capacity(ETHERNET + 20 + header);
        frame.extend_from_slice(&self.kernel);
        frame.extend_from_slice(&MAC);
        frame.extend_from_slice(&[8, 0, 0x45, 0]);
        frame.extend_from_slice(&((20 + header + len) as u16).to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0x40, 0, 64, Protocol::TCP.0, 0, 0]);
        frame.extend_from_slice(&CONTENDER);
        frame.extend_from_slice(&PEER);
        let sum = checksum(&frame[ETHERNET..TCP_AT]);
        frame[ETHERNET + 10..][..2].copy_from_slice(&sum.to_be_bytes());
        frame.extend_from_slice(&OWN_PORT.to_be_bytes());
        frame.extend_from_slice(&PORT.to_be_bytes());
        frame.extend_from_slice(&self.snd_nxt.to_be_bytes());
        frame.extend_from_slice(&self.rcv_nxt.to_be_bytes());
        frame.extend_from_slice(&[(header as u8 / 4) << 4, flags]);
        frame.extend_from_slice(&(window as u16).to_be_bytes());
        let pseudo = Sum::pseudo(IpAddr::from(CONTENDER), PEER.into(), Protocol::TCP, header + len);
        frame.extend_from_slice(&pseudo.partial().to_be_bytes());
        frame.extend_from_slice(&[0, 0]);
        frame.extend_from_slice(options);
        frame
    }

    fn put(&mut self, frame: &[u8]) -> io::Result<()> {
        let (body, offload, why) = ([&[][..]; 2], Offload::NONE, &Why::FOREIGN);
        lost_or(self.tap.send(ustack::time::Instant::ZERO, &TxFrame { head: frame, body, offload, why }))
    }
}

/// A frame that the device does not take is lost, as on any wire.
fn lost_or(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// Where `len` bytes go that follow `at` in a memory that is used round and round.
fn place(at: usize, len: usize, size: usize) -> usize {
    if at + len > size { 0 } else { at }
}

/// What we understand of a frame. Bytes from the wire: what is too short says nothing.
fn parse(frame: &[u8]) -> Heard {
    match frame.get(12..14) {
        Some([8, 6]) => arp_answer(frame, CONTENDER).map_or(Heard::Nothing, Heard::Arp),
        Some([8, 0]) => tcp(frame).unwrap_or(Heard::Nothing),
        _ => Heard::Nothing,
    }
}

/// The answer to a frame that asks for the link address of `address`, which is the contender's.
pub(super) fn arp_answer(frame: &[u8], address: [u8; 4]) -> Option<Vec<u8>> {
    const REQUEST: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let asked = frame.get(12..22) == Some(&REQUEST) && frame.get(38..42) == Some(&address);
    let (link, asker) = (frame.get(22..28)?, frame.get(22..32)?);
    asked.then(|| [link, &MAC, &REQUEST[..9], &[2], &MAC, &address, asker].concat())
}

fn tcp(frame: &[u8]) -> Option<Heard> {
    let ip = frame.get(ETHERNET..)?;
    let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
    let start = usize::from(ip.first()? & 0xf) * 4;
    let tcp = ip.get(start..)?;
    let word = |at: usize| Some(u32::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    let (from, end) = (ETHERNET + start, ETHERNET + total);
    let ours = ip.get(9) == Some(&Protocol::TCP.0) && word(0)? & 0xffff == u32::from(OWN_PORT);
    let whole = header >= 20 && from + header <= end && end <= frame.len();
    (ours && whole).then_some(Heard::Tcp {
        flags: *tcp.get(13)?,
        seq: word(4)?,
        ack: word(8)?,
        window: (word(12)? & 0xffff) as u16,
        options: (from + 20, from + header),
        data: (from + header, end),
    })
}

/// The window scale among options; 0 if there is none.
fn shift(mut options: &[u8]) -> u8 {
    while let [kind, rest @ ..] = options {
        options = match (kind, rest) {
            (0, _) => return 0,
            (1, _) => rest,
            (3, [3, shift, ..]) => return (*shift).min(14),
            (_, [len @ 2..=u8::MAX, ..]) => rest.get(usize::from(*len) - 1..).unwrap_or(&[]),
            _ => return 0,
        };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_scale_is_found() {
        assert_eq!(shift(&[2, 4, 5, 180, 1, 3, 3, 9]), 9);
        assert_eq!(shift(&[2, 4, 5, 180, 4, 2]), 0);
        assert_eq!(shift(&[2, 0]), 0);
        assert_eq!(shift(&[8]), 0);
    }

    #[test]
    fn what_is_cut_says_nothing() {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 40]);
        for len in 0..=frame.len() {
            assert!(matches!(parse(&frame[..len]), Heard::Nothing));
        }
    }
}
