//! `ustack demo retransmission`: segments are lost, the loss is noticed, and they are sent again.

use std::ops::Range;

use serde_json::{Value, json};
use ustack::time::{Duration, Instant};
use ustack::why::{Reason, Why};
use ustack::wire::seq::SeqNum;
use ustack::wire::tcp::{Flags, Header};

use super::Plan;
use super::client::{self, Sending, Sent, short};
use super::frame::{Frame, Side};
use super::ladder::{self, is_repeat, millis};
use super::place::Place;
use super::report::{Check, Demo, Part, Wire};
use super::stream::{Stream, plural, span};
use crate::common::failure::Failure;

pub(crate) const NAME: &str = "retransmission";
const ABOUT: &str = "What is lost is noticed, and sent again.";

/// A segment of ours that did not arrive, and what came of it.
#[derive(Debug)]
struct Loss {
    /// The frame that was lost, and the one that repaired it: places among the frames.
    lost: usize,
    resent: Option<usize>,
    what: String,
    /// How it was noticed, in a word and in a sentence.
    noticed: Notice,
    evidence: String,
}

/// How a loss is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    Sack,
    DuplicateAcks,
    Timer,
    Probe,
    /// It was a repeat of what had arrived, or was still to arrive.
    NotNeeded,
    /// Nothing was sent again.
    Never,
}

impl Notice {
    const fn word(self) -> &'static str {
        match self {
            Self::Sack => "SACK",
            Self::DuplicateAcks => "duplicate ACKs",
            Self::Timer => "timer",
            Self::Probe => "probe",
            Self::NotNeeded => "nobody",
            Self::Never => "never",
        }
    }
}

pub(crate) fn run(plan: &Plan, place: &mut Place) -> Result<Demo, Failure> {
    let count = plan.messages;
    let sending = Sending { count, size: None, pace: Duration::ZERO, sack: plan.sack };
    let (result, recording) = place.run(move |net| client::send_stream(net, sending))?;
    let frames = &recording.frames;
    let mut verdict = Vec::new();
    let sent = client::outcome(result, &mut verdict);
    let size = sent.map_or_else(|| largest(frames), |sent| sent.size);
    let stream = Stream::of(frames, size, count);
    let read = client::read_from_stream(&recording.heard, size);
    let losses = losses(frames, &stream);

    let which = if plan.brief { " (and what is said of gaps)" } else { "" };
    let title = format!("TCP: {count} messages of {size} bytes, a full segment each{which}");
    let mut part = Part::new(title, frames, &stream);
    let start = ladder::start(frames);
    part.below = stories(frames, &losses, start);
    if plan.brief {
        part.excerpt(|row| row.is_message() || row.is_report());
    }
    part.below.extend(needless(frames, &losses));

    let wire = Wire::of(place, frames);
    verdict.push(client::stream_check(count, &read));
    verdict.push(repair_check(&losses));
    verdict.extend(sent.map(|sent| counter_check(frames, &sent)));
    verdict.push(wire.check());
    let details = json!({
        "messages": count,
        "message_bytes": size,
        "read": read,
        "losses": losses.iter().map(|loss| loss.json(frames)).collect::<Value>(),
        "segments_sent_again": repeats(frames),
        "timeouts": timeouts(frames),
    });
    Ok(plan.demo(place, ABOUT, vec![part], verdict, details, wire))
}

/// The data of the largest segment: what a message is if nobody could tell any more.
fn largest(frames: &[Frame]) -> usize {
    frames.iter().filter_map(Frame::tcp).map(|(_, len)| len).max().unwrap_or(0).max(1)
}

/// What of ours must arrive, did not, and what came of it.
fn losses(frames: &[Frame], stream: &Stream) -> Vec<Loss> {
    let lost = frames.iter().enumerate().filter(|(_, frame)| frame.from == Side::Near && !frame.is_taken());
    lost.filter_map(|(lost, frame)| {
        let range = sequence(frame)?;
        let later = frames.iter().enumerate().skip(lost + 1).filter(|(_, frame)| frame.from == Side::Near);
        let resent = later.clone().find(|(_, frame)| {
            sequence(frame).is_some_and(|again| again.0.at_or_before(range.0) && again.1.after(range.0))
        });
        let resent = resent.map(|(resent, _)| resent);
        let (noticed, evidence) = match resent {
            Some(resent) => notice(frames, lost, resent, stream),
            None if arrives(frames, range.0) => {
                (Notice::NotNeeded, "a repeat that was not needed: what it says came anyway".to_owned())
            }
            None => (Notice::Never, "it was not sent again".to_owned()),
        };
        Some(Loss { lost, resent, what: stream.label(frame), noticed, evidence })
    })
    .collect()
}

/// Whether that byte arrives by any segment of ours.
fn arrives(frames: &[Frame], byte: SeqNum) -> bool {
    let taken = frames.iter().filter(|frame| frame.from == Side::Near && frame.is_taken());
    taken.filter_map(sequence).any(|(start, end)| start.at_or_before(byte) && end.after(byte))
}

/// The sequence numbers that a segment takes; None if it takes none: a lost ACK is not sent again.
fn sequence(frame: &Frame) -> Option<(SeqNum, SeqNum)> {
    let (header, len) = frame.tcp()?;
    let flags = [Flags::SYN, Flags::FIN].into_iter().filter(|flag| header.flags.contains(*flag)).count();
    let len = (len + flags) as u32;
    (len > 0).then(|| (header.seq, header.seq + len))
}

/// How a loss was noticed, and by what.
fn notice(frames: &[Frame], lost: usize, resent: usize, stream: &Stream) -> (Notice, String) {
    let (before, after) = (&frames[lost], &frames[resent]);
    let reason = after.why.map(|why| why.reason());
    let silence = || {
        let span = after.time - last_progress(frames, lost, resent);
        format!("nothing new was acknowledged for {}", short(span))
    };
    match reason {
        Some(Reason::Rto | Reason::SynRetransmit) => (Notice::Timer, silence()),
        Some(Reason::TailLossProbe) => (Notice::Probe, silence()),
        Some(Reason::RtoRecovery) => (Notice::Timer, "it had fired for one before it".to_owned()),
        Some(reason @ (Reason::FastRetransmit | Reason::RecoveryRetransmit)) => {
            let seq = sequence(before).map_or(SeqNum::new(0), |(start, _)| start);
            let acks: Vec<_> = acks_until(frames, resent).into_iter().map(|(_, header)| header).collect();
            reported(&acks, seq, stream)
                .map(|numbers| (Notice::Sack, format!("the receiver reports {numbers}")))
                .unwrap_or_else(|| (Notice::DuplicateAcks, repeated(&acks, seq, reason, stream)))
        }
        _ => (Notice::Timer, silence()),
    }
}

/// What the receiver reported beyond a hole, by which it counts as lost: three messages, or all there were.
fn reported(acks: &[Header], hole: SeqNum, stream: &Stream) -> Option<String> {
    /// Messages beyond a hole that make it a loss (DupThresh of RFC 6675).
    const ENOUGH: usize = 3;
    let beyond = |header: &Header| {
        let blocks = header.options.sack.as_slice().iter().filter(|block| block.start.after(hole));
        let mut numbers: Vec<_> = blocks.map(|block| stream.numbers(block)).collect();
        numbers.sort_by_key(|numbers| numbers.start);
        numbers
    };
    let reports: Vec<_> = acks.iter().map(beyond).filter(|numbers| !numbers.is_empty()).collect();
    let enough = |numbers: &&Vec<Range<usize>>| numbers.iter().map(Range::len).sum::<usize>() >= ENOUGH;
    let report = reports.iter().find(enough).or(reports.last())?;
    Some(report.iter().map(span).collect::<Vec<_>>().join(" "))
}

/// How ACKs alone tell of a hole.
fn repeated(acks: &[Header], hole: SeqNum, reason: Reason, stream: &Stream) -> String {
    let last = match stream.acked(hole) {
        0 => "the handshake".to_owned(),
        last => format!("#{last}"),
    };
    if reason == Reason::RecoveryRetransmit {
        return format!("the next ACK reaches no further than {last}");
    }
    /// Duplicates that make a hole a loss (RFC 5681 section 3.2).
    const ENOUGH: usize = 3;
    // The first that reaches so far is no duplicate.
    let again = acks.iter().filter(|header| header.ack == hole).count().saturating_sub(1).min(ENOUGH);
    format!("{again} in a row reach no further than {last}")
}

/// Since when a segment was waited for before it was sent again: since it was the first that is not acknowledged.
fn last_progress(frames: &[Frame], lost: usize, resent: usize) -> Instant {
    let sent = frames[lost].time;
    let mut reach: Option<SeqNum> = None;
    let mut progress = sent;
    for (time, header) in acks_until(frames, resent) {
        if reach.is_none_or(|reach| header.ack.after(reach)) {
            reach = Some(header.ack);
            progress = time;
        }
    }
    let was_first =
        sequence(&frames[lost]).is_some_and(|(start, _)| reach.is_none_or(|reach| reach == start));
    if was_first { progress.max(sent) } else { progress }
}

/// The ACKs that had reached us when a frame was sent, and when they did, in that order.
fn acks_until(frames: &[Frame], until: usize) -> Vec<(Instant, Header)> {
    let far = frames[..until].iter().filter(|frame| frame.from == Side::Far);
    let arrivals = far.flat_map(|frame| {
        let header = frame.tcp().map(|(header, _)| *header);
        let whole = frame.arrivals().filter(|arrival| arrival.is_taken);
        whole.filter_map(move |arrival| Some((arrival.time, header?)))
    });
    let mut acks: Vec<_> = arrivals.filter(|(time, _)| *time <= frames[until].time).collect();
    acks.sort_by_key(|(time, _)| *time);
    acks
}

/// What became of each loss, in two lines.
fn stories(frames: &[Frame], losses: &[Loss], start: Instant) -> Vec<String> {
    if losses.is_empty() {
        return vec!["Nothing of ours was lost: try another --seed, or a higher --loss.".to_owned()];
    }
    let wide = losses.iter().map(|loss| loss.what.chars().count()).max().unwrap_or(0);
    losses.iter().flat_map(|loss| loss.story(frames, start, wide)).collect()
}

/// What was sent again although it had arrived.
fn needless(frames: &[Frame], losses: &[Loss]) -> Option<String> {
    let repairs: Vec<_> = losses.iter().filter_map(|loss| loss.resent).collect();
    let near = frames.iter().enumerate().filter(|(_, frame)| frame.from == Side::Near && is_repeat(frame));
    let n = near.filter(|(index, _)| !repairs.contains(index)).count();
    match n {
        0 => None,
        1 => Some(
            "1 more was sent again although it had arrived: it was late, or its ACK did not come.".to_owned(),
        ),
        n => Some(format!(
            "{n} more were sent again although they had arrived: late, or their ACKs did not come."
        )),
    }
}

fn repeats(frames: &[Frame]) -> usize {
    frames.iter().filter(|frame| frame.from == Side::Near && is_repeat(frame)).count()
}

fn timeouts(frames: &[Frame]) -> usize {
    let is_timeout = |why: Why| why.reason() == Reason::Rto;
    frames.iter().filter(|frame| frame.from == Side::Near && frame.why.is_some_and(is_timeout)).count()
}

/// Whatever was lost was sent again.
fn repair_check(losses: &[Loss]) -> Check {
    let repaired = losses.iter().filter(|loss| loss.resent.is_some()).count();
    let by = |notice| losses.iter().filter(|loss| loss.noticed == notice).count();
    let kinds = [Notice::Sack, Notice::DuplicateAcks, Notice::Timer, Notice::Probe];
    let how: Vec<_> = kinds
        .into_iter()
        .filter(|kind| by(*kind) > 0)
        .map(|kind| format!("{} by {}", by(kind), kind.word()))
        .collect();
    let how = if how.is_empty() { String::new() } else { format!(", noticed: {}", how.join(", ")) };
    let n = plural(losses.len(), "segment");
    let spare = match by(Notice::NotNeeded) {
        0 => String::new(),
        spare => format!(", {spare} not needed"),
    };
    let text = format!("loss:  {n} of ours did not arrive, {repaired} sent again{spare}{how}");
    Check::new(by(Notice::Never) == 0, text)
}

/// The connection's own counters say what the trace says.
fn counter_check(frames: &[Frame], sent: &Sent) -> Check {
    let counters = sent.info.counters;
    let (repeats, timeouts) = (repeats(frames), timeouts(frames));
    let agree = counters.segs_retrans as usize == repeats && counters.timeouts as usize == timeouts;
    let text = format!(
        "TCP:   counted {} sent again, {} and {}, {}",
        plural(counters.segs_retrans as usize, "segment"),
        plural(counters.timeouts as usize, "timeout"),
        plural(counters.recoveries as usize, "congestion event"),
        if agree { "as was seen" } else { "which is not what was seen" },
    );
    Check::new(agree, text)
}

impl Loss {
    fn story(&self, frames: &[Frame], start: Instant, wide: usize) -> Vec<String> {
        let lost = &frames[self.lost];
        let when = |frame: &Frame| millis(frame.time - start);
        let how = match lost.passage.fate.is_drop() {
            true => "lost",
            false if lost.is_addressed => "damaged",
            false => "sent astray",
        };
        let noticed = match self.noticed {
            Notice::Never | Notice::NotNeeded => self.evidence.clone(),
            Notice::Timer => format!("noticed by the timer: {}", self.evidence),
            by => format!("noticed by {}: {}", by.word(), self.evidence),
        };
        let first = format!("{:wide$}  {how} at {} ms, {noticed}", self.what, when(lost));
        let Some(resent) = self.resent else { return vec![first] };
        let again = &frames[resent];
        let after = short(again.time - lost.time);
        let mut second = format!("{:wide$}  sent again at {} ms, {after} later", "", when(again));
        if let (Some(before), Some(after)) = (self.before(frames, "cwnd"), self.after(frames, "cwnd")) {
            second += &format!("; cwnd {before} -> {after} bytes");
        }
        if let (Some(before), Some(after)) = (self.before(frames, "rto_us"), self.after(frames, "rto_us")) {
            second += &format!(", RTO {} -> {} ms", before / 1000, after / 1000);
        }
        vec![first, second]
    }

    /// A number as it was when we last sent something before the loss was noticed.
    fn before(&self, frames: &[Frame], name: &str) -> Option<u64> {
        let ours = |frame: &&Frame| frame.from == Side::Near && !is_repeat(frame);
        let until = self.resent.unwrap_or(self.lost + 1);
        let seen = &frames[self.lost..until];
        seen.iter()
            .rev()
            .filter(ours)
            .find_map(|frame| frame.why?.number(name))
            .or_else(|| self.number(frames, self.lost, name))
    }

    /// The same number as it was when the segment was sent again.
    fn after(&self, frames: &[Frame], name: &str) -> Option<u64> {
        self.resent.and_then(|resent| self.number(frames, resent, name))
    }

    fn number(&self, frames: &[Frame], index: usize, name: &str) -> Option<u64> {
        frames[index].why.and_then(|why| why.number(name))
    }

    fn json(&self, frames: &[Frame]) -> Value {
        json!({
            "frame": frames[self.lost].passage.frame,
            "what": self.what,
            "noticed_by": self.noticed.word(),
            "because": self.evidence,
            "resent_frame": self.resent.map(|resent| frames[resent].passage.frame),
            "resent_after_us": self.resent.map(|resent| (frames[resent].time - frames[self.lost].time).as_micros()),
            "cwnd_before": self.before(frames, "cwnd"),
            "cwnd_after": self.after(frames, "cwnd"),
            "rto_us_before": self.before(frames, "rto_us"),
            "rto_us_after": self.after(frames, "rto_us"),
        })
    }
}
