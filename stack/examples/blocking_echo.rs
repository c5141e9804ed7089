//! An echo server on a TAP, with blocking sockets in the shapes of `std::net` and a thread for each client.
//!
//! `sudo cargo run --example blocking_echo`, and then `nc 10.9.0.2 7`. The kernel's end of the TAP is 10.9.0.1.

use std::error::Error;
use std::io::{self, Read, Write};
use std::thread;

use ustack::blocking::{TcpListener, TcpStream};
use ustack::device::TapBuilder;
use ustack::net::{Driver, Net};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, Stack};

fn main() -> Result<(), Box<dyn Error>> {
    let tap = TapBuilder::new("ustack%d").address("10.9.0.1/24").address("fd09::1/64").up().build()?;
    println!("echo on port 7 of 10.9.0.2 and fd09::2; the kernel's end is {}", tap.name());

    // The stack, its interface, and a thread that moves it.
    let net = Net::new(Stack::new(Config::default()));
    let interface = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 2]));
    let interface = interface.address([10, 9, 0, 2].into(), 24).address("fd09::2".parse()?, 64);
    net.attach(InterfaceConfig { dad: false, ..interface }, tap)?;
    let _driver = Driver::spawn(&net)?;

    let listener = TcpListener::bind(&net, "[::]:7".parse()?)?;
    for stream in listener.incoming() {
        let stream = stream?;
        println!("{} has come", stream.peer_addr()?);
        thread::spawn(move || match echo(&stream) {
            Ok(bytes) => println!("echoed {bytes} bytes"),
            Err(error) => println!("it broke off: {error}"),
        });
    }
    Ok(())
}

/// Sends back what comes, until the other side has ended its stream.
fn echo(mut stream: &TcpStream) -> io::Result<u64> {
    let (mut buffer, mut bytes) = ([0; 16 << 10], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            len => {
                stream.write_all(&buffer[..len])?;
                bytes += len as u64;
            }
        }
    }
}
