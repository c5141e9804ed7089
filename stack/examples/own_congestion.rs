//! A congestion control of one's own, next to CUBIC on the same bad path, in virtual time.
//!
//! `cargo run --example own_congestion -- "delay 20ms rate 20mbit queue 100 loss 0.5%"` takes the path in netem's
//! words.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use ustack::sim::{LinkConfig, Network};
use ustack::tcp::Settings;
use ustack::tcp::congestion::{AckSample, Algorithm, Congestion, Loss, Start, Timeout};
use ustack::time::{Duration, Instant, Units as _, at};

/// Keeps as much in flight as the path has lately delivered in a round trip, and a little more; losses do not matter.
#[derive(Debug)]
struct Steady {
    cwnd: u64,
    rate: u64,
}

impl Congestion for Steady {
    fn name(&self) -> &'static str {
        "steady"
    }
    fn cwnd(&self) -> u64 {
        self.cwnd
    }
    fn ssthresh(&self) -> u64 {
        u64::MAX
    }
    fn pacing_rate(&self) -> Option<u64> {
        (self.rate > 0).then_some(self.rate * 5 / 4)
    }
    fn paces_recovery(&self) -> bool {
        true
    }
    fn on_ack(&mut self, ack: &AckSample) {
        // An old rate is forgotten by a thousandth with each acknowledgment.
        self.rate = ack.rate.delivery_rate().unwrap_or(0).max(self.rate - self.rate / 1000);
        let least = ack.min_rtt.unwrap_or_default().as_secs_f64();
        self.cwnd = ((self.rate as f64 * least * 1.5) as u64).max(14_480);
    }
    fn on_congestion_event(&mut self, _: &Loss) {}
    fn on_recovery_exit(&mut self, _: Instant, _: u64) {}
    fn on_rto(&mut self, _: &Timeout) {}
    fn on_idle_restart(&mut self, _: Instant, _: Duration) {}
    fn undo(&mut self, _: Instant) {}
    fn set_smss(&mut self, _: u32) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or("delay 20ms rate 20mbit queue 100 loss 0.5%".to_owned());
    let steady = Algorithm::custom(|start: &Start| Steady { cwnd: start.cwnd, rate: 0 });
    for (name, congestion) in [("cubic", Algorithm::Cubic), ("steady", steady)] {
        let (alice, bob): (IpAddr, IpAddr) = ("10.9.0.1".parse()?, "10.9.0.2".parse()?);
        let mut net = Network::new(1);
        let (a, b) = (net.add_host("alice", &[(alice, 24)])?, net.add_host("bob", &[(bob, 24)])?);
        net.connect(a, b, LinkConfig::both(path.parse()?));
        let port = SocketAddr::new(bob, 7);
        let listener = net.node_mut(b).tcp_listen(port, 1, Settings::default())?;
        let settings = Settings { congestion, ..Settings::default() };
        let client = net.node_mut(a).tcp_connect(Instant::ZERO, port, None, settings)?;
        let (mut server, mut received, mut buffer) = (None, 0, vec![0; 64 << 10]);
        net.run_until_done(at(10.secs()), |net| {
            let now = net.now();
            let _ = net.node_mut(a).tcp_send(now, client, &[b'.'; 64 << 10]);
            let bob = net.node_mut(b);
            server = server.or_else(|| bob.tcp_accept(now, listener).ok().map(|(id, _)| id));
            while let Some(Ok(len @ 1..)) = server.map(|id| bob.tcp_recv(now, id, &mut buffer)) {
                received += len;
            }
            false
        });
        println!("{name:>6}: {:.1} Mbit/s", received as f64 * 8.0 / 10.0 / 1e6);
    }
    Ok(())
}
