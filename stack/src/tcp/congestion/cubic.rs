//! CUBIC: a window that grows with the time since the last loss, not with the round trips (RFC 9438).

use super::hystart::{Growth, HyStart};
use super::validation::Validation;
use super::{AckSample, Congestion, Loss, LossKind, Start, Timeout, initial_window, slow_start_increase};
use crate::buf::packed::packed;
use crate::time::{Duration, Instant};

/// The congestion control of RFC 9438.
///
/// ```text
///   cwnd ^                                    convex: probes for more
///        |                                  /
///  W_max |- - - - - - - - - - - ___-----'''        plateau around the window of the last loss
///        |\               _---'
///        | \          _-''  concave: returns fast, then gently
///        |  \_______-'
///        |   cwnd_epoch = beta * cwnd
///        +----|-----------------|-----------------> t
///           epoch                K
/// ```
///
/// Windows are `f64` bytes: only additions, multiplications and divisions happen to them, whose results IEEE 754 fixes
/// to the bit, so a run is the same on every platform.
#[derive(Clone, Debug)]
pub struct Cubic {
    smss: u32,
    cwnd: f64,
    ssthresh: u64,
    /// The window before the last reduction (cwnd_prior), which W_est has to reach before it grows as fast as Reno.
    cwnd_prior: f64,
    /// Where the plateau of the next epoch lies; None if no loss told.
    w_max: Option<f64>,
    /// The current stage of congestion avoidance.
    epoch: Option<Epoch>,
    /// When the last acknowledgment came: what passes while the application limits does not count.
    last_ack: Instant,
    /// See [`Start::paced`].
    paced: bool,
    hystart: HyStart,
    validation: Validation,
    before: Option<Before>,
}

packed!(Cubic {
    smss,
    cwnd,
    ssthresh,
    cwnd_prior,
    w_max,
    epoch,
    last_ack,
    paced,
    hystart,
    validation,
    before
});

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    began: Instant,
    /// Seconds from the epoch's beginning to the plateau.
    k: f64,
    /// The plateau, in bytes.
    w_max: f64,
    /// What Reno's window would be, in bytes.
    w_est: f64,
}

packed!(Epoch { began, k, w_max, w_est });

/// What the last reduction took (RFC 9438 section 4.9).
#[derive(Clone, Copy, Debug)]
struct Before {
    cwnd: f64,
    ssthresh: u64,
    cwnd_prior: f64,
    w_max: Option<f64>,
    epoch: Option<Epoch>,
}

packed!(Before { cwnd, ssthresh, cwnd_prior, w_max, epoch });

/// How much of the window stays after a loss (RFC 9438 section 4.6).
const BETA: f64 = 0.7;
/// How steep the curve is, in segments per second cubed (RFC 9438 section 5.1).
const C: f64 = 0.4;
/// Reno's increase per window, made smaller because the decrease is (RFC 9438 section 4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Segments by which one acknowledgment may open the window in slow start without pacing (RFC 9406 section 4.3).
const ABC_LIMIT: u64 = 8;

impl Cubic {
    /// At the start of a connection.
    pub fn new(start: &Start) -> Self {
        Self {
            smss: start.smss,
            cwnd: start.cwnd as f64,
            ssthresh: start.ssthresh,
            cwnd_prior: 0.0,
            w_max: None,
            epoch: None,
            last_ack: start.now,
            paced: start.paced,
            hystart: HyStart::new(start.ssthresh),
            validation: Validation::new(start.now),
            before: None,
        }
    }

    /// The stage of congestion avoidance that begins now.
    fn begin_epoch(&mut self, now: Instant) -> Epoch {
        let epoch = match self.w_max {
            // RFC 9438 section 4.2, figure 2.
            Some(w_max) if w_max > self.cwnd => {
                let k = cube_root((w_max - self.cwnd) / (C * f64::from(self.smss)));
                Epoch { began: now, k, w_max, w_est: self.cwnd }
            }
            // RFC 9438 sections 4.8 and 4.10: without a loss to return to, or above it, the plateau is here.
            _ => Epoch { began: now, k: 0.0, w_max: self.cwnd, w_est: self.cwnd },
        };
        self.epoch = Some(epoch);
        epoch
    }

    /// Slow start; false when it is over.
    fn slow_start(&mut self, ack: &AckSample) -> bool {
        // RFC 9406 section 4.3: pacing takes the burst out of an acknowledgment for much.
        let limit = if self.paced { u64::from(u32::MAX) } else { ABC_LIMIT };
        let increase = slow_start_increase(ack.newly_acked, limit, self.smss) as f64;
        let ssthresh = self.ssthresh as f64;
        match self.hystart.handle_ack(ack) {
            Growth::Full => self.cwnd = (self.cwnd + increase).min(ssthresh),
            Growth::Quarter => self.cwnd = (self.cwnd + increase / 4.0).min(ssthresh),
            Growth::Stop => {
                self.ssthresh = self.cwnd();
                return false;
            }
        }
        true
    }

    /// RFC 7661 section 4.4.3: half of a window that was not used for minutes goes.
    fn forget_unused(&mut self, now: Instant) {
        if self.validation.has_expired(now) {
            self.ssthresh = self.ssthresh.max(self.cwnd() / 4 * 3);
            self.cwnd = (self.cwnd / 2.0).max(initial_window(self.smss) as f64).min(self.cwnd);
            self.epoch = None;
        }
    }

    /// Congestion avoidance: `acked` bytes were acknowledged.
    fn avoid(&mut self, ack: &AckSample) {
        let mut epoch = match self.epoch {
            Some(epoch) => epoch,
            None => self.begin_epoch(ack.now),
        };
        let (smss, acked) = (f64::from(self.smss), ack.newly_acked as f64);
        let t = (ack.now - epoch.began).as_secs_f64();

        // RFC 9438 section 4.3, figure 4: alpha_cubic until W_est is where the window was before the loss, then 1.
        let alpha = if epoch.w_est >= self.cwnd_prior { 1.0 } else { ALPHA };
        // One acknowledgment counts for a window at most.
        let share = (acked / self.cwnd).min(1.0);
        epoch.w_est += alpha * smss * share;
        self.epoch = Some(epoch);

        if epoch.w_cubic(t, smss) < epoch.w_est {
            // The Reno-friendly region.
            self.cwnd = self.cwnd.max(epoch.w_est);
            return;
        }
        // RFC 9438 sections 4.4 and 4.5: where the curve will be in a round trip, at most half a window ahead.
        let rtt = ack.srtt.or(ack.rtt).unwrap_or(Duration::ZERO).as_secs_f64();
        let target = epoch.w_cubic(t + rtt, smss).clamp(self.cwnd, 1.5 * self.cwnd);
        self.cwnd += (target - self.cwnd) * share;
    }

    /// What there is to go back to if the reduction that follows turns out to be needless.
    fn remember(&mut self) {
        self.before = Some(Before {
            cwnd: self.cwnd,
            ssthresh: self.ssthresh,
            cwnd_prior: self.cwnd_prior,
            w_max: self.w_max,
            epoch: self.epoch,
        });
    }

    /// RFC 9438 sections 4.6 and 4.7: what a loss does, but for the window itself. Answers what of `flight` is left.
    fn reduce(&mut self, flight: u64) -> u64 {
        self.cwnd_prior = self.cwnd;
        // Fast convergence: a window that did not reach the last plateau leaves room for another flow.
        self.w_max = Some(match self.w_max {
            Some(w_max) if self.cwnd < w_max => self.cwnd * (1.0 + BETA) / 2.0,
            _ => self.cwnd,
        });
        let left = (flight as f64 * BETA) as u64;
        self.ssthresh = left.max(2 * u64::from(self.smss));
        self.epoch = None;
        left
    }
}

impl Epoch {
    /// RFC 9438 equation 1, in bytes: the curve `t` seconds after the epoch began.
    fn w_cubic(&self, t: f64, smss: f64) -> f64 {
        let from_plateau = t - self.k;
        C * smss * from_plateau * from_plateau * from_plateau + self.w_max
    }
}

impl Congestion for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn cwnd(&self) -> u64 {
        self.cwnd as u64
    }

    fn ssthresh(&self) -> u64 {
        self.ssthresh
    }

    fn phase(&self) -> &'static str {
        match self.cwnd() < self.ssthresh {
            true if self.hystart.is_conservative() => "css",
            true => "slow_start",
            false => "avoidance",
        }
    }

    fn on_ack(&mut self, ack: &AckSample) {
        let since_last = ack.now - self.last_ack;
        self.last_ack = ack.now;
        self.validation.handle_ack(ack, self.cwnd());
        self.forget_unused(ack.now);
        if ack.in_recovery {
            return;
        }
        if ack.app_limited {
            // RFC 9438 section 5.8: such times are no part of t, or the window would jump when they end.
            if let Some(epoch) = &mut self.epoch {
                epoch.began += since_last;
            }
            return;
        }
        if self.cwnd() >= self.ssthresh || !self.slow_start(ack) {
            self.avoid(ack);
        }
    }

    fn on_congestion_event(&mut self, loss: &Loss) {
        self.remember();
        let left = self.reduce(self.validation.loss_flight(loss.flight, self.cwnd()));
        self.hystart.end();
        // RFC 9438 section 4.6, figure 5: two segments at least after a loss, one after an ECN echo.
        self.cwnd = match loss.kind {
            LossKind::Fast => self.ssthresh as f64,
            LossKind::Ecn => self.cwnd.min(left.max(self.smss.into()) as f64),
        };
    }

    fn on_recovery_exit(&mut self, _now: Instant, flight: u64) {
        self.validation.handle_recovery_exit();
        // RFC 6582 section 3.2 step 3, option 1: no burst if little is in flight; slow start returns to the threshold.
        let smss = u64::from(self.smss);
        self.cwnd = self.ssthresh.min(flight.max(smss) + smss) as f64;
        self.epoch = None;
    }

    fn on_rto(&mut self, timeout: &Timeout) {
        self.validation.handle_recovery_exit();
        if !timeout.again {
            self.remember();
        }
        // RFC 5681 section 3.1: the threshold is held when a retransmission is itself lost.
        if !timeout.repeated {
            self.reduce(timeout.flight);
            self.hystart.end();
        }
        // RFC 9438 section 4.8: the avoidance after a timeout begins at its own plateau.
        self.w_max = None;
        self.epoch = None;
        self.cwnd = f64::from(self.smss);
    }

    fn on_idle_restart(&mut self, now: Instant, _idle: Duration) {
        self.forget_unused(now);
        // RFC 5681 section 4.1: the restart window. RFC 7661 section 4.4: a window that leaves paced is kept instead.
        if !self.paced {
            self.cwnd = self.cwnd.min(initial_window(self.smss) as f64);
        }
        // The curve has to begin anew from here.
        self.epoch = None;
    }

    fn undo(&mut self, now: Instant) {
        // RFC 9438 section 4.9: everything as it was, the beginning of the epoch too, unless the window has outgrown
        // that.
        if let Some(Before { cwnd, ssthresh, cwnd_prior, w_max, epoch }) = self.before.take()
            && self.cwnd <= cwnd
        {
            self.cwnd = cwnd;
            self.ssthresh = ssthresh;
            self.cwnd_prior = cwnd_prior;
            self.w_max = w_max;
            self.epoch = epoch;
            self.last_ack = now;
        }
    }

    fn set_smss(&mut self, smss: u32) {
        if smss < self.smss {
            // RFC 5681 section 3.1 (SHLD-10): no burst of many small segments in the place of few large ones.
            self.cwnd *= f64::from(smss) / f64::from(self.smss);
        }
        self.smss = smss;
        self.cwnd = self.cwnd.max(f64::from(smss));
        self.epoch = None;
    }
}

/// The cube root of a number that is not negative, by Newton's method: the same bits on every platform.
fn cube_root(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    // From above the root the steps only go down; above it are 1 and x themselves.
    let mut root = power_of_two_above_root(x);
    for _ in 0..64 {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            break;
        }
        root = next;
    }
    root
}

/// A power of two at most twice the cube root of `x`, and not below it.
fn power_of_two_above_root(x: f64) -> f64 {
    let mut guess = 1.0;
    while guess * guess * guess < x {
        guess *= 2.0;
    }
    while guess * guess * guess > 8.0 * x {
        guess /= 2.0;
    }
    guess
}

#[cfg(test)]
mod tests;
