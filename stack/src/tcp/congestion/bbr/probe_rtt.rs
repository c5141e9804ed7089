//! The least round-trip time, and ProbeRTT: pauses in which queues drain so that it shows (section 5.3.4).

use super::{AckSample, Bbr, PROBE_RTT_CWND_GAIN, State};
use crate::time::{Duration, Instant};

/// The estimate that the model uses, and the shorter one that says when a pause is due.
#[derive(Clone, Debug)]
pub(super) struct MinRtt {
    min: Option<Duration>,
    min_stamp: Instant,
    probe_min: Option<Duration>,
    probe_stamp: Instant,
    probe_expired: bool,
    /// When the pause has lasted long enough; none before enough has drained.
    done_stamp: Option<Instant>,
    round_done: bool,
}

/// BBR.MinRTTFilterLen.
const FILTER: Duration = Duration::from_secs(10);
/// BBR.ProbeRTTInterval.
const INTERVAL: Duration = Duration::from_secs(5);
/// BBR.ProbeRTTDuration.
const DURATION: Duration = Duration::from_millis(200);
/// After the pause the next probe follows within this time.
const RANDOM_WAIT: Duration = Duration::from_secs(3);
/// A round-trip time that exceeds the least by less than this part of it tells of no queue.
const NO_QUEUE: u64 = 64;

impl MinRtt {
    pub(super) fn new(now: Instant, srtt: Option<Duration>) -> Self {
        Self {
            min: srtt,
            min_stamp: now,
            probe_min: srtt,
            probe_stamp: now,
            probe_expired: false,
            done_stamp: None,
            round_done: false,
        }
    }

    /// The least round-trip time of the last seconds.
    pub(super) fn get(&self) -> Option<Duration> {
        self.min
    }

    /// UpdateMinRTT; `was_full`: the pipe was full once.
    ///
    /// Note: who never filled the pipe, and finds no queue on it, would learn nothing from a pause. What the
    /// application or the peer's window holds in Startup is spared them.
    ///
    /// Note: what only SACK reports may have overtaken others: the time that it took is not what the path needs for
    /// all.
    pub(super) fn handle_ack(&mut self, ack: &AckSample, was_full: bool) {
        self.probe_expired = ack.now > self.probe_stamp + INTERVAL;
        let sample = ack.rtt.filter(|_| ack.newly_acked > 0 || self.probe_min.is_none());
        if let Some(rtt) = sample
            && (self.probe_expired || self.probe_min.is_none_or(|least| rtt < least))
        {
            (self.probe_min, self.probe_stamp) = (Some(rtt), ack.now);
        } else if let (Some(rtt), Some(least), false) = (sample, self.probe_min, was_full)
            && ack.now > self.probe_stamp + INTERVAL / 2
            && rtt <= least + least / NO_QUEUE
        {
            self.probe_stamp = ack.now;
        }
        let expired = ack.now > self.min_stamp + FILTER;
        let less = match (self.probe_min, self.min) {
            (Some(probe), Some(min)) => probe < min,
            (probe, _) => probe.is_some(),
        };
        if less || expired {
            (self.min, self.min_stamp) = (self.probe_min, self.probe_stamp);
        }
    }
}

impl Bbr {
    /// CheckProbeRTT.
    pub(super) fn check_probe_rtt(&mut self, ack: &AckSample) {
        if self.state != State::ProbeRtt && self.min_rtt.probe_expired && !self.idle_restart {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.min_rtt.done_stamp = None;
            self.cycle.stop_probe();
            self.rounds.begin(ack.delivered);
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(ack);
        }
        if ack.rate.newly_delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn handle_probe_rtt(&mut self, ack: &AckSample) {
        if self.min_rtt.done_stamp.is_none() {
            if ack.in_flight <= self.probe_rtt_cwnd() {
                self.min_rtt.done_stamp = Some(ack.now + DURATION);
                self.min_rtt.round_done = false;
                self.rounds.begin(ack.delivered);
            }
            return;
        }
        self.min_rtt.round_done |= self.rounds.start;
        if self.min_rtt.round_done {
            self.check_probe_rtt_done(ack.now);
        }
    }

    /// CheckProbeRTTDone: the pause has lasted; the window returns.
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.min_rtt.done_stamp.is_none_or(|done| now <= done) {
            return;
        }
        self.min_rtt.probe_stamp = now;
        self.restore_cwnd();
        self.reset_short_term_model();
        if self.full_pipe.reached {
            // Section 5.3.4.4: a probe soon after would risk loss; the queue is drained already. Note: flows that share
            // a path leave their pauses together. Two to three seconds later all of them would probe within each
            // other's probes, and each would take the others' excess for its own.
            self.start_cruise(now, self.latest.delivered, RANDOM_WAIT);
        } else {
            self.enter_startup();
        }
    }

    /// What may be in flight in the pause.
    pub(super) fn probe_rtt_cwnd(&self) -> u64 {
        self.bdp_multiple(self.bw, PROBE_RTT_CWND_GAIN).max(self.min_pipe_cwnd())
    }
}
