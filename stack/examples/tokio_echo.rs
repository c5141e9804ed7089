//! An echo server on a TAP, with tokio: its traits on our streams, and our stack moved by one of its tasks.
//!
//! `sudo cargo run --features tokio --example tokio_echo`, and then `nc 10.9.0.2 7`. Ctrl-C ends it.

use std::error::Error;

use ustack::device::TapBuilder;
use ustack::net::{Net, TcpListener, drive};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig, Stack};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let tap = TapBuilder::new("ustack%d").address("10.9.0.1/24").address("fd09::1/64").up().build()?;
    println!("echo on port 7 of 10.9.0.2 and fd09::2; the kernel's end is {}", tap.name());

    let net = Net::new(Stack::new(Config::default()));
    let interface = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 2]));
    let interface = interface.address([10, 9, 0, 2].into(), 24).address("fd09::2".parse()?, 64);
    net.attach(InterfaceConfig { dad: false, ..interface }, tap)?;

    // The stack moves while this future is polled: here as long as the server runs.
    tokio::select! {
        ended = drive(net.clone()) => Ok(ended?),
        ended = serve(&net) => ended,
    }
}

async fn serve(net: &Net) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(net, "[::]:7".parse()?)?;
    loop {
        let (stream, peer) = listener.accept().await?;
        println!("{peer} has come");
        tokio::spawn(async move {
            // Reading and writing at once needs two handles of the same stream.
            let (mut reader, mut writer) = (stream.clone(), stream);
            match tokio::io::copy(&mut reader, &mut writer).await {
                Ok(bytes) => println!("echoed {bytes} bytes to {peer}"),
                Err(error) => println!("{peer} broke off: {error}"),
            }
        });
    }
}
