//! Two hosts on a bad link, in virtual time: what they say to each other, drawn as a ladder.
//!
//! `cargo run --example two_hosts -- "delay 10ms loss 10%" 3` takes the link in netem's words, and a seed.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use ustack::capture::{Capture, Ladder, Text};
use ustack::sim::{LinkConfig, Network, Traced};
use ustack::tcp::Settings;
use ustack::time::{Units as _, at};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let link = words.next().unwrap_or_else(|| "delay 10ms loss 15% rate 1mbit".to_owned()).parse()?;
    let seed = words.next().map_or(Ok(6), |seed| seed.parse())?;

    let (alice, bob): (IpAddr, IpAddr) = ("10.9.0.1".parse()?, "10.9.0.2".parse()?);
    let mut net = Network::new(seed);
    let a = net.add_host("alice", &[(alice, 24)])?;
    let b = net.add_host("bob", &[(bob, 24)])?;
    let wire = net.connect(a, b, LinkConfig::both(link));
    let path = std::env::temp_dir().join("two_hosts.pcapng");
    let capture = Capture::create(&path, 0)?;
    net.capture_link(wire, &capture)?;
    net.record_trace(200);

    // Bob listens; Alice connects, says something long, and ends her stream.
    let port = SocketAddr::new(bob, 7);
    let listener = net.node_mut(b).tcp_listen(port, 1, Settings::default())?;
    let now = net.now();
    let client = net.node_mut(a).tcp_connect(now, port, None, Settings::default())?;
    net.run_until_done(at(60.secs()), |net| net.node(a).readiness(client).connected);
    let now = net.now();
    let sent = net.node_mut(a).tcp_send(now, client, &[b'.'; 12_000])?;
    net.node_mut(a).close(now, client);

    let (mut server, mut heard, mut buffer) = (None, 0, [0; 4096]);
    net.run_until_done(at(60.secs()), |net| {
        let now = net.now();
        let bob = net.node_mut(b);
        server = server.or_else(|| bob.tcp_accept(now, listener).ok().map(|(socket, _)| socket));
        let Some(server) = server else { return false };
        while let Ok(len) = bob.tcp_recv(now, server, &mut buffer) {
            heard += len;
            if len == 0 {
                bob.close(now, server);
                return true;
            }
        }
        false
    });
    let end = net.now();
    net.run_until(end + 1.secs());
    capture.finish()?;

    let mut text = Text::relative();
    let draw = |frame: &Traced| {
        let line = frame.line(&mut text);
        // The addresses stand at the ladder's sides already.
        let words = line.split_once(" TCP ")?.1.split(" win ").next()?;
        Some(frame.arrow(format!("{words} {}", frame.why.reason())))
    };
    let arrows: Vec<_> =
        net.trace().map(|trace| trace.frames.iter().filter_map(draw).collect()).unwrap_or_default();
    print!("{}", Ladder { gap: 60, ..Ladder::new(&["alice", "bob"], &arrows) });
    net.counts().for_each(|(direction, counts)| println!("{direction}: {counts}"));
    println!("{heard} of {sent} bytes arrived; {} has the frames, with why each was sent", path.display());
    Ok(())
}
