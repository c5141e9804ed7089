//! smoltcp on a TAP of ours, with the kernel's offloads: a server at 10.9.0.2 that counts what it is sent.
//!
//! `cargo run --release --example smoltcp_on_tap --features smoltcp` as root, then `nc 10.9.0.2 7 </dev/zero` beside
//! it.
#![allow(clippy::disallowed_methods, reason = "a driver of one's own reads the clock")]

use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use ustack::device::smoltcp::Phy;
use ustack::device::{Device, TapBuilder, wait};

const BUFFER: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tap = TapBuilder::new("tap%d").address("10.9.0.1/24").up().offload().build()?;
    eprintln!("listening on 10.9.0.2 port 7, behind {}", tap.name());
    let mut phy = Phy::new(tap);

    let start = Instant::now();
    let now = || smoltcp::time::Instant::from_micros(start.elapsed().as_micros() as i64);
    let address = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2]));
    let mut interface = Interface::new(Config::new(address), &mut phy, now());
    interface.update_ip_addrs(|list| {
        list.push(IpCidr::new(IpAddress::v4(10, 9, 0, 2), 24)).expect("there is room for one");
    });
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));

    let mut total = 0;
    loop {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if !socket.is_open() {
            socket.listen(7)?;
        }
        interface.poll(now(), &mut phy, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        while let Ok(n @ 1..) = socket.recv(|bytes| (bytes.len(), bytes.len())) {
            total += n;
        }
        if socket.is_open() && !socket.may_recv() && socket.state() == tcp::State::CloseWait {
            socket.close();
            println!("{total} bytes in {} frames", phy.counts().received);
            total = 0;
        }
        if let Some(error) = phy.take_error() {
            return Err(error.into());
        }
        let delay = interface.poll_delay(now(), &sockets).map(|delay| delay.total_micros());
        let fd = phy.get_ref().as_fd().expect("a TAP has a descriptor");
        wait(&[fd], delay.map(Duration::from_micros))?;
    }
}
