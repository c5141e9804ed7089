//! A device around a device that makes it bad, in real time.

use core::fmt;
use std::io;
use std::os::fd::BorrowedFd;

use super::channel::{Channel, Passage};
use super::fate::FateList;
use super::impair::Impairment;
use super::merging::Cutter;
use super::trace::Comment;
use crate::buf::frame::{Capabilities, Medium, RxFrame, TxFrame};
use crate::capture::{Capture, Direction, InterfaceId, Record};
use crate::device::Device;
use crate::time::Instant;
use crate::why::Why;

/// How many frames are taken from the device before the first of them is handed on.
const BATCH: usize = 64;

/// A device with impairments in both directions, named `out` (what we send) and `in` (what we receive).
///
/// It takes no merged frames and no unfinished checksums, and cuts the merged ones that it receives, so that a fate is
/// one packet's. Frames that it holds leave when `recv` is called, at the time that `poll_timeout` tells.
#[derive(Debug)]
pub struct Impaired<D> {
    inner: D,
    medium: Medium,
    outgoing: Channel,
    incoming: Channel,
    cutter: Cutter,
    refused: u64,
    capture: Option<(Capture, InterfaceId)>,
    trace: Option<(Vec<Passed>, usize)>,
}

/// A frame that was sent through an impaired device, or received.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When it was handed to the impairments: by us, or by the device within.
    pub time: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// Its number in that direction, its fate, and when it arrives.
    pub passage: Passage,
    /// Why it was sent; foreign if it was received.
    pub why: Why,
    /// Its bytes as they were sent.
    pub bytes: Vec<u8>,
}

impl<D: Device> Impaired<D> {
    /// Makes `inner` bad: `outgoing` happens to what is sent, `incoming` to what is received.
    pub fn new(inner: D, outgoing: Impairment, incoming: Impairment, seed: u64) -> Self {
        let medium = inner.capabilities().medium;
        let outgoing = Channel::new("out", outgoing, seed, 0).on(medium);
        let incoming = Channel::new("in", incoming, seed, 1).on(medium);
        let cutter = Cutter::default();
        Self { inner, medium, outgoing, incoming, cutter, refused: 0, capture: None, trace: None }
    }

    /// The device within.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// What we send.
    pub fn outgoing(&self) -> &Channel {
        &self.outgoing
    }

    /// What we receive.
    pub fn incoming(&self) -> &Channel {
        &self.incoming
    }

    /// How many frames, after all, the device within had no room for.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The fates written down so far.
    pub fn fates(&self) -> FateList {
        let channels = [&self.outgoing, &self.incoming];
        FateList {
            entries: channels.iter().flat_map(|channel| channel.fates().iter().cloned()).collect(),
            omitted: channels.iter().map(|channel| channel.fates_omitted()).sum(),
        }
    }

    /// Writes down the fates from now on, at most `limit` in each direction (None: a million).
    pub fn record_fates(&mut self, limit: Option<usize>) {
        self.outgoing.record_fates(limit);
        self.incoming.record_fates(limit);
    }

    /// Takes the fates from `list` instead of the dice.
    pub fn play_back(&mut self, list: &FateList) {
        self.outgoing.play_back(list);
        self.incoming.play_back(list);
    }

    /// Captures each frame as the stack sees it, with its fate as the comment; and those that do not arrive, once.
    ///
    /// # Errors
    /// What the capture's output refuses.
    pub fn capture(&mut self, capture: Capture, name: &str) -> io::Result<()> {
        let interface = capture.add_interface(name, self.inner.capabilities().medium.into())?;
        self.capture = Some((capture, interface));
        Ok(())
    }

    /// Keeps the frames that pass from now on, at most `limit`.
    pub fn record_trace(&mut self, limit: usize) {
        self.trace = Some((Vec::new(), limit));
    }

    /// The frames kept since the last call, in the order in which they were handed to the impairments.
    pub fn take_trace(&mut self) -> Vec<Passed> {
        self.trace.as_mut().map(|(frames, _)| core::mem::take(frames)).unwrap_or_default()
    }

    /// Hands to the device what has come to the end of its delay.
    fn deliver(&mut self, now: Instant) -> io::Result<()> {
        while let Some(delivery) = self.outgoing.pop(now) {
            match self.inner.send(now, &delivery.as_tx()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.refused += 1,
                other => other?,
            }
        }
        self.refused += self.inner.flush(now)? as u64;
        Ok(())
    }

    fn take_incoming(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(frame) = self.inner.recv(now)? else { break };
            let RxFrame { bytes, offload } = frame;
            let why = &Why::FOREIGN;
            let frame = TxFrame { head: bytes, body: [&[], &[]], offload, why };
            let (incoming, trace, capture) = (&mut self.incoming, &mut self.trace, &self.capture);
            self.cutter.cut(&frame, self.medium, |frame| {
                let passage = incoming.push(now, frame);
                keep(trace, || Passed {
                    time: now,
                    direction: Direction::In,
                    passage,
                    why: *why,
                    bytes: frame.to_vec(),
                });
                if let (Some((capture, interface)), true) = (capture, passage.fate.is_drop()) {
                    let comment = passage.fate.comment();
                    let direction = Some(Direction::In);
                    let interface = *interface;
                    let record = Record { interface, time: now, direction, comment: Some(&comment) };
                    capture.write(&record, &[frame.head]);
                }
            });
        }
        Ok(())
    }
}

impl<D: Device> Device for Impaired<D> {
    fn capabilities(&self) -> Capabilities {
        let Capabilities { medium, mtu, .. } = self.inner.capabilities();
        Capabilities::plain(medium, mtu)
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.deliver(now)?;
        self.take_incoming(now)?;
        let Some(delivery) = self.incoming.pop(now) else { return Ok(None) };
        if let Some((capture, interface)) = &self.capture {
            let fate = delivery.fate.comment();
            let comment = delivery.is_special.then_some(&fate as &dyn fmt::Display);
            let record = Record { interface: *interface, time: now, direction: Some(Direction::In), comment };
            capture.write(&record, &[delivery.bytes]);
        }
        Ok(Some(RxFrame { bytes: delivery.bytes, offload: delivery.offload }))
    }

    /// Never full: what finds no room has the fate `overflow`.
    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        let passage = self.outgoing.push(now, frame);
        keep(&mut self.trace, || Passed {
            time: now,
            direction: Direction::Out,
            passage,
            why: *frame.why,
            bytes: frame.to_vec(),
        });
        if let Some((capture, interface)) = &self.capture {
            let (interface, direction) = (*interface, Some(Direction::Out));
            let comment = Comment { why: frame.why, passage: &passage };
            capture.write(
                &Record { interface, time: now, direction, comment: Some(&comment) },
                &[frame.head, frame.body[0], frame.body[1]],
            );
        }
        self.deliver(now)
    }

    fn missed(&mut self) -> u64 {
        self.inner.missed()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.as_fd()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let deadlines =
            [self.outgoing.poll_timeout(), self.incoming.poll_timeout(), self.inner.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }
}

/// Adds a frame to the trace, if there is one and it has room.
fn keep(trace: &mut Option<(Vec<Passed>, usize)>, frame: impl FnOnce() -> Passed) {
    if let Some((frames, limit)) = trace
        && frames.len() < *limit
    {
        frames.push(frame());
    }
}

#[cfg(test)]
mod tests;
