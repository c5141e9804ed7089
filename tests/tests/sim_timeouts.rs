//! The retransmission timer fires where the scoreboard could not have told what was lost: each timeout of many
//! transfers is judged by the frames of both hosts and by what became of them.

use etherparse::{SlicedPacket, TcpOptionElement, TransportSlice};
use ustack::sim::{LinkConfig, Trace};
use ustack::tcp::Settings;
use ustack::tcp::congestion::Algorithm;
use ustack::time::{Duration, Instant, Units as _};
use ustack::why::Reason;
use ustack_tests::sim::Pair;

/// A segment with data.
struct Segment {
    left: Instant,
    /// None if it was lost.
    arrived: Option<Instant>,
    start: u32,
    end: u32,
    /// The retransmission timer sent it.
    timeout: bool,
}

/// An acknowledgment that arrived.
struct Report {
    left: Instant,
    arrived: Instant,
    ack: u32,
    blocks: Vec<(u32, u32)>,
}

impl Report {
    fn tells_of(&self, segment: &Segment) -> bool {
        let within = |(start, end): (u32, u32)| !before(segment.start, start) && !before(end, segment.end);
        !before(self.ack, segment.end) || self.blocks.iter().any(|&block| within(block))
    }
}

/// Whether `a` comes before `b` in sequence space.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// What the sender sent, and what it heard, in order.
fn read(trace: &Trace, port: u16) -> (Vec<Segment>, Vec<Report>) {
    let (mut segments, mut reports) = (Vec::new(), Vec::new());
    for frame in &trace.frames {
        let sliced = SlicedPacket::from_ethernet(&frame.bytes).expect("a frame of ours");
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { continue };
        let (left, arrived) = (frame.time, frame.passage.arrival);
        let (start, len) = (tcp.sequence_number(), tcp.payload().len() as u32);
        if tcp.destination_port() == port && len > 0 {
            let timeout = frame.why.reason() == Reason::Rto;
            segments.push(Segment { left, arrived, start, end: start.wrapping_add(len), timeout });
        } else if let (false, Some(arrived)) = (tcp.destination_port() == port, arrived) {
            let mut blocks = Vec::new();
            for option in tcp.options_iterator().flatten() {
                if let TcpOptionElement::SelectiveAcknowledgement(first, more) = option {
                    blocks.push(first);
                    blocks.extend(more.into_iter().flatten());
                }
            }
            reports.push(Report { left, arrived, ack: tcp.acknowledgment_number(), blocks });
        }
    }
    (segments, reports)
}

/// Whether the scoreboard had heard enough before the timeout that sent `segments[at]`: a segment that left after the
/// missing one had left last, arrived, and was told of for the first time more than `patience` before the timer fired.
/// With that RACK declares the missing one lost (RFC 8985 section 6.2).
fn proof(segments: &[Segment], reports: &[Report], at: usize, patience: Duration) -> bool {
    let missing = &segments[at];
    let covers =
        |segment: &Segment| !before(missing.start, segment.start) && before(missing.start, segment.end);
    let last = segments[..at].iter().rposition(covers).expect("it was sent before");
    (last + 1..at).any(|later| {
        let segment = &segments[later];
        let Some(arrived) = segment.arrived else { return false };
        let first = reports.iter().find(|report| report.tells_of(segment));
        first.is_some_and(|report| report.left >= arrived && report.arrived + patience <= missing.left)
    })
}

/// Sends that many bytes over a link that is bad in both directions; answers how often the timer fired, and how often a
/// report could have prevented that.
fn judge(name: &str, bytes: usize, seed: u64, link: &str, rtt: Duration) -> (usize, usize) {
    let mut pair = Pair::new(seed, LinkConfig::both(link.parse().expect("netem's words")));
    pair.net.record_trace(usize::MAX);
    let settings = Settings { congestion: Algorithm::named(name).expect("a name"), ..Settings::default() };
    let _client = pair.transfer(bytes, &settings, 10_000.secs());
    let (segments, reports) = read(pair.net.trace().expect("it is recorded"), pair.address.port());
    let timeouts: Vec<usize> = (0..segments.len()).filter(|&at| segments[at].timeout).collect();
    let needless = timeouts.iter().filter(|&&at| proof(&segments, &reports, at, rtt)).count();
    (timeouts.len(), needless)
}

/// At the highest loss one in ten may be too early: windows of one or two segments may have no room for what is found
/// lost, and a reordering window that reports of duplicates have widened may be longer than the timer.
#[test]
fn a_timeout_is_one_that_no_report_could_prevent() {
    for name in ["reno", "cubic"] {
        for (bytes, link, rtt, share) in [
            (25_000_000, "delay 10ms loss 2% rate 100mbit queue 200", 20.ms(), 0),
            (2_000_000, "delay 50ms loss 5%", 100.ms(), 0),
            (500_000, "delay 50ms loss 15%", 100.ms(), 10),
        ] {
            let (mut judged, mut wrong) = (0, 0);
            for seed in 1..=4 {
                let (timeouts, needless) = judge(name, bytes, seed, link, rtt);
                (judged, wrong) = (judged + timeouts, wrong + needless);
            }
            println!("{name}, {link}: {judged} timeouts, {wrong} too early");
            assert!(wrong * 100 <= judged * share, "{name}, {link}: {wrong} of {judged}");
        }
    }
}
