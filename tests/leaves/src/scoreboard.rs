//! What an acknowledgment does to a connection with much in flight, and above all to its scoreboard.

use ustack::buf::ranges::Ranges;
use ustack::tcp::{Connection, Limits, Ports, Segment, Settings, Start};
use ustack::time::{Duration, Instant};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header, Options, SackBlock, SackBlocks};

use super::Work;

const PORTS: Ports = Ports { local: 4000, remote: 7 };
const ISS: u32 = 1000;
const PEER: u32 = 5000;
const ROUND_TRIP: Duration = Duration::from_millis(10);
const LIMITS: Limits = Limits::plain(1480);
/// With holes, so many segments overtake one.
const OVERTAKING: usize = 3;

/// A connection whose peer acknowledges each segment.
struct Acknowledgments {
    connection: Connection,
    now: Instant,
    /// What the peer has, from the first byte of the stream on.
    received: Ranges,
    holes: bool,
    /// What it will say next.
    acks: Vec<Header>,
}

/// Each segment is acknowledged; with `holes` some come late, so that others are reported by SACK.
pub(super) fn acknowledgments(holes: bool) -> Box<dyn Work> {
    let now = Instant::ZERO + Duration::from_secs(1);
    let settings =
        Settings { send_buffer: 256 << 10, send_tuning: false, timestamps: false, ..Settings::default() };
    let start = Start {
        iss: SeqNum::new(ISS),
        ts_offset: 0,
        max_segment: LIMITS.max_segment,
        default_mss: 536,
        signature: None,
        successor: false,
    };
    let mut connection = Connection::connect(now, PORTS, start, settings);
    let _syn = connection.poll_transmit(now, &LIMITS);
    let options =
        Options { mss: Some(1460), window_scale: Some(7), sack_permitted: true, ..Options::default() };
    let syn_ack = Header {
        seq: SeqNum::new(PEER),
        flags: Flags::SYN | Flags::ACK,
        options,
        ..acknowledgment(0, SackBlocks::EMPTY)
    };
    connection.handle_segment(now, &Segment::new(syn_ack, &[]));
    Box::new(Acknowledgments { connection, now, received: Ranges::new(1000), holes, acks: Vec::new() })
}

/// Of all that is before `offset`.
fn acknowledgment(offset: u64, sack: SackBlocks) -> Header {
    Header {
        src_port: PORTS.remote,
        dst_port: PORTS.local,
        seq: SeqNum::new(PEER) + 1,
        ack: at(offset),
        flags: Flags::ACK,
        window: 0xffff,
        options: Options { sack, ..Options::default() },
        ..Header::default()
    }
}

fn at(offset: u64) -> SeqNum {
    SeqNum::new(ISS) + 1 + offset as u32
}

impl Acknowledgments {
    /// A segment reaches the peer.
    fn deliver(&mut self, (start, len): (SeqNum, u32)) {
        let known = self.received.first().filter(|first| first.start == 0).map_or(0, |first| first.end);
        let offset = known.wrapping_add_signed(start.distance(at(known)).into());
        self.received.insert(offset..offset + u64::from(len)).expect("there is room");
        let next = self.received.first().filter(|first| first.start == 0).map_or(0, |first| first.end);
        let mut sack = SackBlocks::EMPTY;
        for range in self.received.recent::<4>() {
            if range.start > next {
                sack.push(SackBlock { start: at(range.start), end: at(range.end) });
            }
        }
        self.acks.push(acknowledgment(next, sack));
    }
}

impl Work for Acknowledgments {
    fn prepare(&mut self) {
        self.acks.clear();
        while self.connection.send(self.now, &[7; 16 << 10]).is_ok() {}
        let mut sent = Vec::new();
        while let Some(segment) = self.connection.poll_transmit(self.now, &LIMITS) {
            if segment.len > 0 {
                sent.push((segment.header.seq, segment.len));
            }
        }
        if self.holes {
            sent.chunks_mut(1 + OVERTAKING).for_each(|some| some.rotate_left(1));
        }
        self.now += ROUND_TRIP;
        while self.connection.poll_timeout().is_some_and(|at| at <= self.now) {
            self.connection.handle_timeout(self.now);
        }
        for segment in sent {
            self.deliver(segment);
        }
    }

    fn run(&mut self) -> u64 {
        for ack in &self.acks {
            self.connection.handle_segment(self.now, &Segment::new(*ack, &[]));
        }
        self.acks.len() as u64
    }
}
