//! What an application changes about a connection that has begun.

use super::Connection;
use crate::tcp::options::Keepalive;
use crate::tcp::plpmtud::MtuProbing;
use crate::tcp::receiver::Owed;
use crate::tcp::sizing::Pressure;
use crate::tcp::state::Block;
use crate::tcp::timer::Timer;
use crate::tcp::user_timeout;
use crate::time::{Duration, Instant};
use crate::why::Reason;
use crate::wire::tcp::Signature;

impl Connection {
    /// Switches Nagle's algorithm off or on.
    pub fn set_nodelay(&mut self, nodelay: bool) {
        self.common.settings.nodelay = nodelay;
        self.common.dirty = true;
    }

    /// Sets keepalive.
    pub fn set_keepalive(&mut self, now: Instant, keepalive: Option<Keepalive>) {
        self.common.settings.keepalive = keepalive;
        self.common.timers.stop(Timer::Keepalive);
        if let Block::Open(open) = &mut self.block {
            open.keepalive_probes = 0;
            self.common.arm_keepalive(now);
        }
    }

    /// Corks the connection: what does not fill a segment waits until the cork is taken out, or for 200 ms.
    pub fn set_cork(&mut self, cork: bool) {
        let common = &mut self.common;
        if common.settings.cork && !cork {
            common.more = false;
            common.timers.stop(Timer::Cork);
            common.dirty = true;
        }
        common.settings.cork = cork;
    }

    /// Acknowledges each segment at once from now on, or lets acknowledgments wait for company again.
    pub fn set_quickack(&mut self, quickack: bool) {
        self.common.settings.quickack = quickack;
        if let Block::Open(open) = &mut self.block
            && quickack
            && open.receiver.owed == Owed::Delayed
        {
            open.receiver.owe(Reason::Ack);
            self.common.dirty = true;
        }
    }

    /// Spreads the window over the round-trip time, or no longer. Some congestion controls pace whatever this says.
    pub fn set_pacing(&mut self, pacing: bool) {
        self.common.settings.pacing = pacing;
        self.set_pacing_rate();
    }

    /// New data leaves at this rate at most from now on, in bytes per second.
    pub fn set_max_pacing_rate(&mut self, rate: Option<u64>) {
        self.common.settings.max_pacing_rate = rate;
        self.set_pacing_rate();
    }

    /// Begins to look for the path's MTU, or stops it (RFC 4821).
    pub fn set_mtu_probing(&mut self, now: Instant, probing: MtuProbing) {
        let common = &mut self.common;
        if core::mem::replace(&mut common.settings.mtu_probing, probing) == probing {
            return;
        }
        if let Block::Open(open) = &mut self.block {
            open.set_mtu_probing(now, common);
            common.dirty = true;
        }
    }

    /// Leaves room in each segment from now on for the option that signs it, or none; false unless the connection is
    /// open.
    pub fn set_signature(&mut self, signature: Option<Signature>) -> bool {
        let Block::Open(open) = &mut self.block else { return false };
        if open.terms.signature != signature {
            open.terms.signature = signature;
            open.resize(&mut self.common);
        }
        true
    }

    /// Sets linger.
    pub fn set_linger(&mut self, linger: Option<Duration>) {
        self.common.settings.linger = linger;
    }

    /// Says another user timeout to the peer from now on (RFC 5482), with an acknowledgment at once, or none any more.
    pub fn set_advertised_user_timeout(&mut self, timeout: Option<Duration>) {
        let changed = self.common.settings.advertised_user_timeout != timeout;
        self.common.settings.advertised_user_timeout = timeout;
        if let Block::Open(open) = &mut self.block
            && changed
        {
            open.advertise = timeout.and_then(user_timeout::on_wire);
            if open.advertise.is_some() {
                open.receiver.owe(Reason::Ack);
                self.common.dirty = true;
            }
        }
    }

    /// Sets the user timeout; it counts from now.
    pub fn set_user_timeout(&mut self, now: Instant, timeout: Option<Duration>) {
        self.common.settings.user_timeout = timeout;
        self.common.timers.stop(Timer::UserTimeout);
        let waits = match &self.block {
            Block::Opening(_) => true,
            Block::Open(open) => open.sender.has_unacked(self.common.tx.len()),
            Block::TimeWait(_) | Block::Closed => false,
        };
        if waits {
            self.common.arm_user_timeout(now);
        }
    }

    /// Sets the send buffer's largest size, or its size if it does not tune itself. What is in it stays.
    pub fn set_send_buffer(&mut self, bytes: usize, tuning: bool) {
        self.common.set_send_buffer(bytes, tuning);
    }

    /// Sets the receive buffer's largest size, or its size if it does not tune itself. A window once offered is never
    /// taken back.
    pub fn set_recv_buffer(&mut self, bytes: usize, tuning: bool) {
        self.common.set_recv_buffer(bytes, tuning);
    }

    /// Says how much memory for buffers is left.
    #[inline]
    pub fn set_pressure(&mut self, pressure: Pressure) {
        if pressure != self.common.sizing.pressure {
            self.common.handle_pressure(pressure);
            self.tell_window();
        }
    }

    fn set_pacing_rate(&mut self) {
        if let Block::Open(open) = &mut self.block {
            open.set_pacing_rate(&self.common.settings);
            self.common.dirty = true;
        }
    }
}
