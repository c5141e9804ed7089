//! The loop by hand: two stacks on a wire in memory, in virtual time, without a driver, a thread or a socket type.
//!
//! `cargo run --example sans_io` shows each frame and why it was sent.

use std::error::Error;
use std::net::SocketAddr;

use ustack::device::{Device, Medium, Memory};
use ustack::tcp::Settings;
use ustack::time::Instant;
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, InterfaceId, Stack};

const ETH: InterfaceId = InterfaceId(1); // the first after the loopback

fn host(last: u8, device: &Memory) -> Result<Stack, ustack::Error> {
    let mut stack = Stack::new(Config::seeded(last.into()));
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
    stack.add_interface(Instant::ZERO, config.address([10, 9, 0, last].into(), 24), device.capabilities())?;
    Ok(stack)
}

/// Feeds what arrived, fires what is due, sends what is to be sent; true if there was any.
fn turn(now: Instant, name: &str, stack: &mut Stack, device: &mut Memory) -> std::io::Result<bool> {
    while let Some(frame) = device.recv(now)? {
        stack.handle_frame(now, ETH, frame);
    }
    stack.handle_timeout(now);
    let mut moved = false;
    while let Some(frame) = stack.poll_transmit(now, ETH) {
        println!("{now} {name} {:>4} bytes {}", frame.len(), frame.why);
        device.send(now, &frame)?;
        moved = true;
    }
    Ok(moved)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut left, mut right) = Memory::pair(Medium::Ethernet, 1500);
    let (mut alice, mut bob) = (host(1, &left)?, host(2, &right)?);
    let (mut now, address) = (Instant::ZERO, SocketAddr::from(([10, 9, 0, 2], 7)));
    let listener = bob.tcp_listen(address, 1, Settings::default())?;
    let client = alice.tcp_connect(now, address, None, Settings::default())?;
    let (mut asked, mut server, mut buffer) = (false, None, [0; 100]);
    loop {
        if !asked && alice.readiness(client).connected {
            asked = alice.tcp_send(now, client, b"is anybody there?")? > 0;
        }
        server = server.or_else(|| bob.tcp_accept(now, listener).ok().map(|(socket, _)| socket));
        if let Some(len) = server.and_then(|server| bob.tcp_recv(now, server, &mut buffer).ok()) {
            println!("bob heard: {}", String::from_utf8_lossy(&buffer[..len]));
            return Ok(());
        }
        if !(turn(now, "alice", &mut alice, &mut left)? | turn(now, "bob  ", &mut bob, &mut right)?) {
            // Nothing moves before the next deadline.
            now = alice.poll_timeout().into_iter().chain(bob.poll_timeout()).min().unwrap_or(now);
        }
    }
}
