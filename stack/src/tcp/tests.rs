//! Conversations between two of our own ends.

use super::testing::*;
use super::*;
use crate::time::Units;

#[test]
fn connects_exchanges_and_closes() {
    let mut net = Net::plain();
    net.transfer(100_000, 50_000);
    assert_eq!(net.client.state(), State::TimeWait, "{}", net.trace());
    assert!(net.now < crate::time::at(1.secs()), "{}", net.now);
}

#[test]
fn survives_loss() {
    for seed in 0..20 {
        let pipe = Pipe { loss: 0.05, ..Pipe::good() };
        let mut net = Net::new(Settings::default(), Settings::default(), pipe, seed);
        net.transfer(200_000, 50_000);
    }
}
