//! Leaves that are values of their own.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use slotmap::SlotMap;
use ustack::SocketId;
use ustack::buf::frame::Checksum;
use ustack::buf::ranges::Ranges;
use ustack::buf::ring::Ring;
use ustack::ip::output::{Ids, Meta};
use ustack::rng::{KeyedHash, Rng};
use ustack::socket::demux::Demux;
use ustack::socket::endpoint::{Endpoint, Tuple};
use ustack::socket::timers::Timers;
use ustack::time::{Duration, Instant};
use ustack::wire::checksum::checksum as sum_of;
use ustack::wire::ip::{Packet, Protocol};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header, Options, SackBlock, SackBlocks, Timestamps};

use super::Work;

/// How often in a turn.
const TIMES: u64 = 64;
/// Bytes of a full segment.
const MSS: usize = 1460;

/// Work that needs no preparation.
struct Plain<F>(F);

impl<F: FnMut(u64)> Work for Plain<F> {
    fn run(&mut self) -> u64 {
        (0..TIMES).for_each(&mut self.0);
        TIMES
    }
}

fn plain(work: impl FnMut(u64) + 'static) -> Box<dyn Work> {
    Box::new(Plain(work))
}

pub(super) fn checksum(len: usize) -> Box<dyn Work> {
    let bytes = vec![0xa5; len];
    plain(move |_| {
        black_box(sum_of(black_box(&bytes)));
    })
}

fn addresses(v6: bool) -> (IpAddr, IpAddr) {
    let host = |n: u8| match v6 {
        true => IpAddr::from(Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, n.into())),
        false => Ipv4Addr::new(10, 9, 0, n).into(),
    };
    (host(1), host(2))
}

fn header(blocks: u32) -> Header {
    let mut sack = SackBlocks::EMPTY;
    for n in 0..blocks {
        let start = SeqNum::new(100_000 + 10_000 * n);
        sack.push(SackBlock { start, end: start + 5000 });
    }
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let options = Options { timestamps, sack, ..Options::default() };
    let (seq, ack) = (SeqNum::new(1000), SeqNum::new(2000));
    Header { src_port: 4000, dst_port: 7, seq, ack, flags: Flags::ACK, window: 1000, urgent: 0, options }
}

/// Headers of IP and TCP as values; the sum of the segment counts as known.
pub(super) fn parse(v6: bool, blocks: u32) -> Box<dyn Work> {
    let (src, dst) = addresses(v6);
    let mut ids = Ids::new(&mut Rng::new(1, 0));
    let (header, mut bytes) = (header(blocks), vec![0; 100 + MSS]);
    let meta = Meta::new(src, dst, Protocol::TCP);
    let at = meta.write(&mut ids, header.header_len() + MSS, &mut bytes).expect("there is room");
    header.write_partial(&mut bytes[at..], src, dst, MSS).expect("there is room");
    bytes.truncate(at + header.header_len() + MSS);
    plain(move |_| {
        let packet = Packet::parse(black_box(&bytes)).expect("it is sound");
        let parsed = Header::parse(packet.payload, packet.src, packet.dst, Checksum::Verified);
        let _ = black_box(parsed.expect("it is sound"));
    })
}

/// The same the other way.
pub(super) fn build(v6: bool, blocks: u32) -> Box<dyn Work> {
    let (src, dst) = addresses(v6);
    let mut ids = Ids::new(&mut Rng::new(1, 0));
    let (meta, header) = (Meta::new(src, dst, Protocol::TCP), header(blocks));
    let mut bytes = [0; 120];
    plain(move |_| {
        let (meta, header) = (black_box(&meta), black_box(&header));
        let at = meta.write(&mut ids, header.header_len() + MSS, &mut bytes).expect("there is room");
        header.write_partial(&mut bytes[at..], src, dst, MSS).expect("there is room");
        black_box(&bytes);
    })
}

/// Segments to that many connections by turns.
pub(super) fn demux(connections: u16) -> Box<dyn Work> {
    let (remote, local) = addresses(false);
    let tuple = move |n: u64| {
        let remote = Endpoint { ip: remote, port: 1024 + n as u16, scope: 0 };
        Tuple { local: Endpoint { ip: local, port: 7, scope: 0 }, remote }
    };
    let mut demux = Demux::new(&KeyedHash::new(&mut Rng::new(1, 0)));
    let mut keys: SlotMap<SocketId, ()> = SlotMap::with_key();
    for n in 0..u64::from(connections) {
        demux.connect(tuple(n), keys.insert(()));
    }
    plain(move |n| {
        let tuple = tuple(n % u64::from(connections));
        black_box(demux.find(black_box(&tuple)).expect("it is there"));
    })
}

/// A segment in, and out again.
pub(super) fn ring() -> Box<dyn Work> {
    let (mut ring, bytes, mut out) = (Ring::new(1 << 16), [7; MSS], [0; MSS]);
    plain(move |_| {
        ring.write_at(ring.len(), black_box(&bytes), ring.limit());
        ring.extend(MSS);
        black_box(ring.read(&mut out));
    })
}

/// Each second segment comes before the one that it follows.
pub(super) fn ring_with_holes() -> Box<dyn Work> {
    let (mut ring, bytes, mut out) = (Ring::new(1 << 16), [7; MSS], [0; MSS]);
    let (mut ranges, mut next) = (Ranges::new(16), 0_u64);
    plain(move |n| {
        let mss = MSS as u64;
        if n % 2 == 0 {
            ring.write_at(ring.len() + MSS, black_box(&bytes), ring.limit());
            ranges.insert(next + mss..next + 2 * mss).expect("there is room");
        } else {
            ring.write_at(ring.len(), black_box(&bytes), ring.limit());
            ring.extend(2 * MSS);
            next += 2 * mss;
            ranges.remove_below(next);
            while ring.read(&mut out) > 0 {}
        }
        black_box(&out);
    })
}

/// A deadline among a thousand moves: later, as most do, or earlier.
pub(super) fn timers(later: bool) -> Box<dyn Work> {
    let mut keys: SlotMap<SocketId, ()> = SlotMap::with_key();
    let (mut timers, mut at) = (Timers::default(), Instant::ZERO + Duration::from_secs(1000));
    let mut entered: Vec<(SocketId, Option<Instant>)> = (0..1000).map(|_| (keys.insert(()), None)).collect();
    for (id, entered) in &mut entered {
        timers.set(*id, entered, Some(at));
    }
    plain(move |n| {
        let step = Duration::from_micros(1);
        at = if later { at + step } else { Instant::ZERO + (at - Instant::ZERO - step) };
        let (id, entered) = &mut entered[n as usize];
        timers.set(*id, entered, Some(at));
        black_box(timers.poll_timeout());
    })
}
