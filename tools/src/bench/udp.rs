//! Datagrams: how many a second our stack sends and receives over a TAP, against a bare loop of writes or reads, and
//! the kernel over a veth.
//!
//! What is sent goes to a link address that nobody has, so that the kernel drops it as soon as it has it; the kernel's
//! own go to a socket that nobody reads. What is received comes from a program of the kernel's that sends bursts as
//! fast as it can; the TAP's queue overflows, and who reads counts.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use ustack::buf::frame::{Offload, RxFrame, TxFrame};
use ustack::device::{Device, Tap};
use ustack::why::Why;
use ustack::wire::checksum::checksum;

use super::bed::{self, Bed, CONTENDER, MAC, PEER, open_tap};
use super::gauge::{Gauge, Run};
use super::measure::{CpuTime, Cpus, pin};
use super::mini::arp_answer;
use super::ours::Ours;
use super::peer::{self, Way};
use super::report::{Contender, Sample, Test};

pub(super) const PORT: u16 = 5201;
/// A neighbour that nobody is.
pub(super) const NOBODY: [u8; 4] = [10, 9, 0, 77];
const NOBODYS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 77];
/// Datagrams that are queued, read or counted at once.
const BATCH: usize = 64;
/// The largest datagram that carries others.
const BURST: usize = 65_000;

/// Who sends or receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// ustack over a TAP whose frames hold many datagrams.
    Merged,
    /// ustack, a frame for each datagram.
    Single,
    /// A loop of writes or reads of prepared frames.
    Bare,
    /// The kernel over a veth, a call for each datagram.
    Kernel,
}

/// Everybody, ours first.
pub const ALL: [Who; 4] = [Who::Merged, Who::Single, Who::Bare, Who::Kernel];

impl Contender for Who {
    fn name(self) -> &'static str {
        match self {
            Self::Merged => "ustack, merged",
            Self::Single => "ustack, single",
            Self::Bare => "bare loop",
            Self::Kernel => "kernel over veth",
        }
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::Merged | Self::Single)
    }
}

/// What is sent or received, and how.
#[derive(Clone, Debug)]
pub struct Datagrams {
    /// Bytes of each.
    pub size: usize,
    /// How long each run is measured.
    pub span: Duration,
    /// How often the contenders take turns.
    pub rounds: usize,
    /// Processors: 1 or 2.
    pub cpus: u8,
}

impl Datagrams {
    /// Measures one way.
    pub fn measure(&self, way: Way) -> Test {
        let name = format!("UDP {}, {} bytes", way.name(), self.size);
        Test::alternate(name, Some(self.cpus), "packets/s", self.rounds, &ALL, |who| self.run(who, way))
    }

    /// One run of one contender.
    ///
    /// # Errors
    /// The kernel refuses something.
    pub fn run(&self, who: Who, way: Way) -> io::Result<Sample> {
        let cpus = Cpus::new(self.cpus);
        let bed = if who == Who::Kernel { Bed::veth(true)? } else { Bed::tap()? };
        let run = Run::new();
        let size = self.size;
        let _unread = match (who, way) {
            (Who::Kernel, Way::Send) => Some(bed.on_peers_side(bound)??),
            _ => None,
        };
        let working = {
            let run = run.clone();
            bed.begin(move || {
                pin(cpus.contender);
                contend(who, &run, way, size).inspect_err(|_| run.fail())
            })?
        };
        let source = {
            let run = run.clone();
            let body = move || {
                pin(cpus.peer);
                source(&run, size).inspect_err(|_| run.fail())
            };
            (way == Way::Receive).then(|| bed.begin_peer("source", body)).transpose()?
        };
        let moved = run.measure(self.span);
        let used = working.end()?;
        if let Some(source) = source {
            source.join().map_err(|_| io::Error::other("the source panicked"))??;
        }
        let (used, moved) = (used?, moved?);
        let each = used.total() / moved.count as f64;
        let columns = vec![
            ("Gbit/s", moved.rate() * size as f64 * 8.0 / 1e9),
            ("CPU ns", each * 1e9),
            ("user %", 100.0 * used.user / used.total().max(1e-9)),
        ];
        Ok(Sample { value: moved.rate(), by_cpu: (each > 0.0).then(|| 1.0 / each), columns })
    }
}

fn contend(who: Who, run: &Arc<Run>, way: Way, size: usize) -> io::Result<CpuTime> {
    let mut gauge = Gauge::new(run);
    match (who, way) {
        (Who::Kernel, Way::Send) => kernel_send(&mut gauge, size)?,
        (Who::Kernel, Way::Receive) => kernel_receive(&mut gauge)?,
        (Who::Bare, Way::Send) => bare_send(open_tap(false)?, &mut gauge, size)?,
        (Who::Bare, Way::Receive) => bare_receive(open_tap(false)?, &mut gauge)?,
        (Who::Merged | Who::Single, Way::Send) => send(open_tap(who == Who::Merged)?, &mut gauge, size)?,
        (Who::Merged | Who::Single, Way::Receive) => receive(open_tap(who == Who::Merged)?, &mut gauge)?,
    }
    Ok(gauge.used())
}

/// A socket of the kernel's.
fn bound() -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::from(([0; 4], PORT)))
}

fn kernel_send(gauge: &mut Gauge, size: usize) -> io::Result<()> {
    let socket = bound()?;
    socket.connect(SocketAddr::from((PEER, PORT)))?;
    let payload = vec![7; size];
    while gauge.running() {
        gauge.add((0..BATCH).filter(|_| socket.send(&payload).is_ok()).count());
    }
    Ok(())
}

fn kernel_receive(gauge: &mut Gauge) -> io::Result<()> {
    let socket = bound()?;
    socket.set_read_timeout(Some(peer::GLANCE))?;
    let mut buf = [0; 2048];
    while gauge.running() {
        gauge.add((0..BATCH).take_while(|_| socket.recv(&mut buf).is_ok()).count());
    }
    Ok(())
}

fn send(tap: Tap, gauge: &mut Gauge, size: usize) -> io::Result<()> {
    let mut ours = Ours::new(tap)?;
    let remote = SocketAddr::from((NOBODY, PORT));
    let id = ours.stack.udp_bind(SocketAddr::from((CONTENDER, PORT)))?;
    ours.stack.udp_connect(id, Some(remote))?;
    let payload = vec![7; size];
    // The neighbour is asked for, and we are who answers.
    ours.stack.udp_send_to(ours.now(), id, &payload, None)?;
    ours.flush(ours.now());
    ours.inject(&announcement());
    while gauge.running() {
        let now = ours.now();
        ours.receive(now, BATCH)?;
        let queued = (0..BATCH).take_while(|_| ours.stack.udp_send_to(now, id, &payload, None).is_ok());
        let queued = queued.count();
        let refused = ours.flush(now);
        gauge.add(queued.saturating_sub(refused));
    }
    Ok(())
}

fn receive(tap: Tap, gauge: &mut Gauge) -> io::Result<()> {
    // As many bytes at once, whether a frame holds one datagram or many.
    let batch = if tap.capabilities().max_merged > tap.capabilities().mtu { BATCH / 16 } else { BATCH };
    let mut ours = Ours::new(tap)?;
    let id = ours.stack.udp_bind(SocketAddr::from((CONTENDER, PORT)))?;
    let mut buf = [0; 2048];
    while gauge.running() {
        let now = ours.now();
        let taken = ours.receive(now, batch)?;
        let mut count = 0;
        while ours.stack.udp_recv_from(id, &mut buf).is_ok() {
            count += 1;
        }
        gauge.add(count);
        ours.flush(now);
        if taken == 0 {
            ours.idle()?;
        }
    }
    Ok(())
}

fn bare_send(mut tap: Tap, gauge: &mut Gauge, size: usize) -> io::Result<()> {
    let frame = prepared(size);
    let (body, offload, why) = ([&[][..]; 2], Offload::NONE, &Why::FOREIGN);
    let frame = TxFrame { head: &frame, body, offload, why };
    while gauge.running() {
        for _ in 0..BATCH {
            tap.send(ustack::time::Instant::ZERO, &frame)?;
        }
        gauge.add(BATCH);
    }
    Ok(())
}

fn bare_receive(mut tap: Tap, gauge: &mut Gauge) -> io::Result<()> {
    while gauge.running() {
        let (mut taken, mut count, mut answer) = (0, 0, None);
        while taken < BATCH
            && let Some(frame) = tap.recv(ustack::time::Instant::ZERO)?
        {
            taken += 1;
            count += usize::from(is_ours(&frame));
            answer = answer.or_else(|| arp_answer(frame.bytes, CONTENDER));
        }
        if let Some(answer) = answer {
            let (body, offload, why) = ([&[][..]; 2], Offload::NONE, &Why::FOREIGN);
            tap.send(ustack::time::Instant::ZERO, &TxFrame { head: &answer, body, offload, why })?;
        }
        gauge.add(count);
        if taken == 0 {
            bed::idle(&tap, None)?;
        }
    }
    Ok(())
}

fn is_ours(frame: &RxFrame<'_>) -> bool {
    frame.bytes.get(12..14) == Some(&[8, 0]) && frame.bytes.get(36..38) == Some(&PORT.to_be_bytes())
}

/// A datagram to nobody, with all its headers; without a checksum, as IPv4 permits.
fn prepared(size: usize) -> Vec<u8> {
    let mut frame = [&NOBODYS_MAC[..], &MAC, &[8, 0, 0x45, 0]].concat();
    frame.extend_from_slice(&(28 + size as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend_from_slice(&CONTENDER);
    frame.extend_from_slice(&NOBODY);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend_from_slice(&PORT.to_be_bytes());
    frame.extend_from_slice(&PORT.to_be_bytes());
    frame.extend_from_slice(&(8 + size as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.resize(42 + size, 7);
    frame
}

/// What nobody answers when it is asked for its link address.
pub(super) fn announcement() -> Vec<u8> {
    let arp = [0, 1, 8, 0, 6, 4, 0, 2];
    [&MAC[..], &NOBODYS_MAC, &[8, 6], &arp, &NOBODYS_MAC, &NOBODY, &MAC, &CONTENDER].concat()
}

/// A program of the kernel's that sends to the contender as fast as it can, many datagrams in a call where the kernel
/// cuts them itself.
fn source(run: &Arc<Run>, size: usize) -> io::Result<()> {
    /// Segments of one call.
    const MOST: usize = 64;
    let socket = bound()?;
    let cuts = setsockopt(&socket, sockopt::UdpGsoSegment, &(size as i32)).is_ok();
    let count = if cuts { MOST.min(BURST / size) } else { 1 };
    let burst = vec![7; size * count];
    let remote = SocketAddr::from((CONTENDER, PORT));
    while !run.is_over() {
        if socket.send_to(&burst, remote).is_err() {
            // The TAP is not there yet, or has no room.
            let _ = ustack::device::wait(&[], Some(Duration::from_micros(100)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ustack::wire::ethernet::Header;
    use ustack::wire::{arp, ipv4};

    #[test]
    fn prepared_frames_are_sound() {
        let frame = prepared(64);
        let (header, packet) = Header::parse(&frame).unwrap();
        assert_eq!(header.dst.0, NOBODYS_MAC);
        let (header, payload) = ipv4::Header::parse(packet).unwrap();
        assert_eq!((header.src.octets(), header.dst.octets(), payload.len()), (CONTENDER, NOBODY, 72));
        let answer = announcement();
        let (_, packet) = Header::parse(&answer).unwrap();
        let answer = arp::Packet::parse(packet).unwrap();
        assert_eq!(answer.sender_ip.octets(), NOBODY);
    }

    #[test]
    fn a_question_for_the_contender_is_answered() {
        let kernel = [2, 1, 1, 1, 1, 1];
        let arp = [0, 1, 8, 0, 6, 4, 0, 1];
        let ask =
            |who: [u8; 4]| [&[0xff; 6][..], &kernel, &[8, 6], &arp, &kernel, &PEER, &[0; 6], &who].concat();
        let answer = arp_answer(&ask(CONTENDER), CONTENDER).unwrap();
        let (header, packet) = Header::parse(&answer).unwrap();
        let answer = arp::Packet::parse(packet).unwrap();
        assert_eq!((header.dst.0, answer.sender_ip.octets(), answer.sender_mac.0), (kernel, CONTENDER, MAC));
        assert_eq!(arp_answer(&ask(NOBODY), CONTENDER), None);
    }
}
