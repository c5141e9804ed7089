//! An echo server on a TAP with two queues: a stack and a thread for each, which share nothing.
//!
//! `sudo cargo run --example shards`, and then `nc 10.9.0.2 7` and `nc 10.9.0.2 8`. The kernel's end of the TAP is
//! 10.9.0.1.

use std::error::Error;
use std::io;
use std::thread;

use futures_lite::future;
use ustack::device::TapBuilder;
use ustack::net::{Driver, Net, TcpListener, TcpStream};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, InterfaceConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let taps = TapBuilder::new("ustack%d").address("10.9.0.1/24").offload().up().build_queues(2)?;
    println!("echo on ports 7 and 8 of 10.9.0.2; the kernel's end is {}", taps[0].name());

    // One host of as many shards as there are queues.
    let net = Net::sharded(Config::default(), taps.len());
    let interface = InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 2])).address([10, 9, 0, 2].into(), 24);
    net.attach_queues(InterfaceConfig { dad: false, ..interface }, taps)?;

    // Sockets of the whole host: one listener, a thread of ours, and whatever shard a client belongs to.
    let listener = TcpListener::bind(&net, "0.0.0.0:7".parse()?)?;
    thread::spawn(move || {
        while let Ok((stream, from)) = future::block_on(listener.accept()) {
            println!("{from} has come");
            thread::spawn(move || future::block_on(echo(stream)));
        }
    });

    // Or the application is cut as the host is: each part serves its clients on the thread that drives its shard.
    let parts = net.shards().enumerate().map(|(index, shard)| {
        thread::spawn(move || -> io::Result<()> {
            let listener = TcpListener::bind(&shard, ([0, 0, 0, 0], 8).into())?;
            Driver::builder(&shard).block_on(async {
                loop {
                    let (stream, from) = listener.accept().await?;
                    println!("{from} belongs to shard {index}");
                    // One after the other, for the sake of brevity; an executor of this thread would take them all.
                    echo(stream).await?;
                }
            })?
        })
    });
    for part in parts.collect::<Vec<_>>() {
        part.join().map_err(|_| "a part panicked")??;
    }
    Ok(())
}

/// Sends back what comes, until the other side has ended its stream.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    while let len @ 1.. = stream.read(&mut buffer).await? {
        stream.write_all(&buffer[..len]).await?;
    }
    Ok(())
}
