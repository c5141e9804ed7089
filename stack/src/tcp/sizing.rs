//! How large the buffers of a connection are: they begin small, grow with what the connection turns out to carry in a
//! round trip, and give way while the stack is short of memory.

use super::common::Common;
use super::event::Event;
use super::options::Settings;
use super::state::Open;
use crate::buf::packed::packed;
use crate::buf::ring;
use crate::time::Instant;
use crate::wire::seq::SeqNum;

/// How much of the memory that a stack has for its buffers is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Pressure {
    /// Enough is left.
    #[default]
    Low,
    /// Buffers do not grow beyond what a connection begins with, unless they have.
    High,
    /// Buffers keep to the memory that they have; an empty one may take its first piece.
    Full,
}

/// A buffer that tunes itself begins with this, unless the settings allow less.
const INITIAL: usize = 128 << 10;

/// The sizes that the buffers of one connection have come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizing {
    pub(crate) pressure: Pressure,
    send: u32,
    recv: u32,
    /// The most bytes that the application read in one round trip.
    most: u32,
    round: Option<Round>,
}

packed!(Sizing { send, recv, most, round; pressure: Pressure::Low });

/// A round trip as the receiver sees it: it is over with the first data that the peer sent after hearing of its
/// beginning.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// Our timestamp then.
    stamp: u32,
    /// The right edge of our window then.
    edge: SeqNum,
    /// What the application had read of the stream, modulo 2^32.
    read: u32,
}

packed!(Round { stamp, edge, read });

impl Sizing {
    pub(crate) fn new(settings: &Settings) -> Self {
        let begin = |limit: usize, tuned: bool| clamp(if tuned { limit.min(INITIAL) } else { limit });
        Self {
            pressure: Pressure::Low,
            send: begin(settings.send_buffer, settings.send_tuning),
            recv: begin(settings.recv_buffer, settings.recv_tuning),
            most: 0,
            round: None,
        }
    }

    /// Bytes of the receive buffer that a connection with these settings begins with.
    pub(crate) fn first_window(settings: &Settings) -> usize {
        Self::new(settings).recv()
    }

    /// Bytes of the send buffer.
    pub(crate) fn send(&self) -> usize {
        self.send as usize
    }

    /// Bytes of the receive buffer.
    pub(crate) fn recv(&self) -> usize {
        self.recv as usize
    }

    /// What a buffer may hold that should hold `wanted` and occupies `memory` bytes.
    fn bound(&self, wanted: usize, memory: usize) -> usize {
        match self.pressure {
            Pressure::Low => wanted,
            Pressure::High => wanted.min(memory.max(INITIAL)),
            Pressure::Full => wanted.min(memory.max(ring::FIRST_ALLOCATION)),
        }
    }
}

/// No window is as large as this.
fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Common {
    /// The stack has more or less memory left than before.
    pub(crate) fn handle_pressure(&mut self, pressure: Pressure) {
        self.sizing.pressure = pressure;
        self.resize();
        self.dirty = true;
    }

    /// Sets what the send buffer may grow to, or its size if it does not tune itself.
    pub(crate) fn set_send_buffer(&mut self, bytes: usize, tuning: bool) {
        let change = (bytes, tuning) != (self.settings.send_buffer, self.settings.send_tuning);
        (self.settings.send_buffer, self.settings.send_tuning) = (bytes, tuning);
        if change {
            let bytes = clamp(bytes);
            self.sizing.send = if tuning { self.sizing.send.min(bytes) } else { bytes };
            self.resize();
        }
    }

    /// Sets what the receive buffer may grow to, or its size if it does not tune itself.
    pub(crate) fn set_recv_buffer(&mut self, bytes: usize, tuning: bool) {
        let change = (bytes, tuning) != (self.settings.recv_buffer, self.settings.recv_tuning);
        (self.settings.recv_buffer, self.settings.recv_tuning) = (bytes, tuning);
        if change {
            let bytes = clamp(bytes);
            self.sizing.recv = if tuning { self.sizing.recv.min(bytes) } else { bytes };
            self.resize();
            self.dirty = true;
        }
    }

    /// The congestion window is `cwnd` bytes: twice that is written ahead, so that a round trip never waits for the
    /// application.
    pub(crate) fn size_send_buffer(&mut self, cwnd: u64) {
        let wanted = usize::try_from(cwnd.saturating_mul(2)).unwrap_or(usize::MAX);
        let wanted = clamp(wanted.min(self.settings.send_buffer));
        if wanted > self.sizing.send && self.settings.send_tuning && self.sizing.pressure == Pressure::Low {
            self.sizing.send = wanted;
            self.resize();
            self.tell_room();
        }
    }

    /// An application that waits for room hears of it when a quarter of the send buffer is free.
    pub(crate) fn tell_room(&mut self) {
        if self.write_blocked
            && self.settings.notsent_lowat.is_none()
            && self.tx.free() >= (self.tx.limit() / 4).max(1)
        {
            self.write_blocked = false;
            self.events.push(Event::Writable);
        }
    }

    /// The application has read `copied` bytes in a round trip: in the next the peer may send twice that, and while it
    /// still doubles its rate as much again.
    fn size_recv_buffer(&mut self, copied: u32, mss: u16) {
        if copied <= self.sizing.most || self.sizing.pressure != Pressure::Low {
            return;
        }
        let growth = copied - self.sizing.most;
        self.sizing.most = copied;
        let wanted = 2 * (u64::from(copied) + u64::from(growth)) + 16 * u64::from(mss);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let wanted = clamp(wanted.min(self.settings.recv_buffer));
        if wanted > self.sizing.recv {
            self.sizing.recv = wanted;
            self.resize();
        }
    }

    fn resize(&mut self) {
        self.tx.set_limit(self.sizing.bound(self.sizing.send(), self.tx.memory()));
        let recv = self.sizing.bound(self.sizing.recv(), self.rx.memory());
        self.rx.set_limit(recv);
        // What was promised is kept, unless there is nothing left to keep it in.
        self.rx.set_ceiling(if self.sizing.pressure == Pressure::Full { recv } else { usize::MAX });
    }
}

impl Open {
    /// Data arrived in its turn, in a segment that echoes our timestamp `echo`: once in a round trip the receive buffer
    /// is measured by what the application reads.
    pub(crate) fn tune_receive_buffer(&mut self, common: &mut Common, now: Instant, echo: Option<u32>) {
        if !common.settings.recv_tuning || common.sizing.recv() >= common.settings.recv_buffer {
            return;
        }
        let receiver = &self.receiver;
        if let Some(round) = common.sizing.round {
            let over = match echo.filter(|_| self.terms.timestamps) {
                Some(echo) => echo.wrapping_sub(round.stamp).cast_signed() > 0,
                None => receiver.rcv_nxt.at_or_after(round.edge),
            };
            if !over {
                return;
            }
            let copied = (receiver.read(&common.rx) as u32).wrapping_sub(round.read);
            common.size_recv_buffer(copied, self.terms.mss);
        }
        let stamp = self.clock.stamp(now).value;
        let (edge, read) = (receiver.edge(), receiver.read(&common.rx) as u32);
        common.sizing.round = Some(Round { stamp, edge, read });
    }
}

#[cfg(test)]
mod tests;
