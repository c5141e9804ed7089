//! A host of several shards beside one that has none, in virtual time. Each frame comes by another queue than the one
//! before, so that nearly all has to be handed over.

use std::net::Shutdown;

use super::*;
use crate::buf::frame::RxFrame;
use crate::device::{Capabilities, Medium, Memory};
use crate::net::{RawSocket, Simulation, TcpListener, TcpStream, UdpSocket};
use crate::raw::Family;
use crate::sim::{Impairment, LinkConfig};
use crate::time::{Instant, Units};
use crate::udp::Options;
use crate::why::Reason;
use crate::wire::arp;
use crate::wire::ethernet::MacAddr;

const PLAIN: [u8; 4] = [10, 0, 0, 1];
const SHARDED: [u8; 4] = [10, 0, 0, 2];
const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

struct Pair {
    simulation: Simulation,
    plain: Net,
    sharded: Net,
}

/// A host without shards and one with `shards`.
fn pair(seed: u64, link: &str, shards: usize) -> Pair {
    let mut simulation = Simulation::new(seed);
    let mut host = |name, last: u8, shards| {
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) }
            .address([10, 0, 0, last].into(), 24)
            .address(format!("fd00::{last}").parse().unwrap(), 64);
        simulation.add_sharded_host(name, Config::seeded(u64::from(last)), config, shards).unwrap()
    };
    let ((a, plain), (b, sharded)) = (host("plain", 1, 1), host("sharded", 2, shards));
    let impairment: Impairment = link.parse().unwrap();
    simulation.connect(a.port(0), b.port(0), LinkConfig::both(impairment));
    simulation.network_mut().record_trace(10_000);
    Pair { simulation, plain, sharded }
}

async fn echo(stream: TcpStream) {
    let mut buf = vec![0; 4096];
    while let n @ 1.. = stream.read(&mut buf).await.unwrap() {
        stream.write_all(&buf[..n]).await.unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Sends that many bytes, made from `salt`, and gets them back.
async fn ask(stream: TcpStream, salt: usize, len: usize) {
    let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + salt * 31) as u8).collect();
    stream.write_all(&bytes).await.unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (mut answer, mut buf) = (Vec::new(), vec![0; 4096]);
    while let n @ 1.. = stream.read(&mut buf).await.unwrap() {
        answer.extend_from_slice(&buf[..n]);
    }
    assert!(answer == bytes, "{} of {len} bytes came back, or others", answer.len());
}

/// Has `count` clients on one host ask a server on the other.
fn exchange(simulation: &mut Simulation, client: &Net, server: &Net, to: SocketAddr, count: usize) {
    let listener = TcpListener::bind(server, SocketAddr::new(to.ip(), to.port())).unwrap();
    let spawner = simulation.spawner();
    simulation.spawn(async move {
        for _ in 0..count {
            spawner.spawn(echo(listener.accept().await.unwrap().0));
        }
    });
    let spawner = simulation.spawner();
    let client = client.clone();
    let (done, finished) = std::sync::mpsc::channel();
    let all = async move {
        for salt in 0..count {
            let (client, done) = (client.clone(), done.clone());
            spawner.spawn(async move {
                let stream = TcpStream::connect(&client, to).await.unwrap();
                ask(stream, salt, 3_000 + 100 * salt).await;
                done.send(()).unwrap();
            });
        }
        client.sleep(100.secs()).await;
    };
    simulation.block_on(101.secs(), all).unwrap();
    assert_eq!(finished.try_iter().count(), count);
}

/// How many connections each shard took, and began.
fn opens(net: &Net) -> Vec<(u64, u64)> {
    let tcp = |net: Net| net.with_stack(|stack, _| stack.stats().tcp);
    net.shards().map(tcp).map(|tcp| (tcp.passive_opens, tcp.active_opens)).collect()
}

#[test]
fn one_listener_accepts_from_all_shards() {
    const BAD: &str = "delay 5ms loss 3% reorder 5% duplicate 2%";
    for (to, link) in [("10.0.0.2:7", "delay 5ms"), ("[fd00::2]:7", "delay 5ms"), ("10.0.0.2:7", BAD)] {
        let Pair { mut simulation, plain, sharded } = pair(3, link, 3);
        exchange(&mut simulation, &plain, &sharded, to.parse().unwrap(), 60);
        let opens = opens(&sharded);
        assert_eq!(opens.iter().map(|(passive, _)| passive).sum::<u64>(), 60);
        assert!(opens.iter().all(|&(passive, active)| passive >= 10 && active == 0), "{opens:?}");
        let hand_overs = sharded.hand_overs();
        assert!(hand_overs.iter().all(|it| it.given > 0 && it.refused == 0), "{hand_overs:?}");
        let resets = sharded.shards().map(|net| net.with_stack(|stack, _| stack.stats().tcp.out_rsts));
        // On a bad link some come late.
        assert!(resets.sum::<u64>() == 0 || link == BAD, "a segment came to a shard that did not know it");
    }
}

#[test]
fn active_opens_are_spread_and_answered_where_they_began() {
    let Pair { mut simulation, plain, sharded } = pair(4, "delay 5ms loss 3% reorder 5%", 3);
    exchange(&mut simulation, &sharded, &plain, "10.0.0.1:7".parse().unwrap(), 60);
    assert_eq!(opens(&sharded), [(0, 20); 3]);
}

#[test]
fn a_named_port_says_in_which_shard_a_connection_lives() {
    let Pair { mut simulation, plain, sharded } = pair(5, "delay 1ms", 2);
    let remote = SocketAddr::from((PLAIN, 7));
    let listener = TcpListener::bind(&plain, remote).unwrap();
    let begun = sharded.clone();
    let locals = simulation.block_on(10.secs(), async move {
        let mut streams = Vec::new();
        for port in 5000..5008 {
            let local = SocketAddr::from(([0; 4], port));
            streams.push(TcpStream::connect_with(&begun, remote, Some(local), |_| ()).await.unwrap());
            listener.accept().await.unwrap();
        }
        streams.iter().map(|stream| stream.local_addr().unwrap()).collect::<Vec<_>>()
    });
    let shard = Shard::all(2).next().unwrap();
    let mut expected = [(0, 0); 2];
    for local in locals.unwrap() {
        expected[shard.owner((local.ip(), local.port()), (remote.ip(), remote.port()))].1 += 1;
    }
    assert!(opens(&sharded) == expected && expected[0].1 * expected[1].1 > 0, "{expected:?}");
    // In a single shard there is no such choice.
    let wrong = sharded.shards().find_map(|net| {
        let connect = |stack: &mut Stack, now| {
            stack.tcp_connect(now, remote, Some(([0; 4], 5100).into()), <_>::default())
        };
        net.with_stack(connect).err()
    });
    assert_eq!(wrong.unwrap().to_string(), "these endpoints belong to another shard");
}

#[test]
fn datagrams_come_once_and_are_answered_from_the_same_port() {
    let Pair { mut simulation, plain, sharded } = pair(6, "delay 1ms", 4);
    let server = UdpSocket::bind(&sharded, "[::]:53".parse().unwrap()).unwrap();
    simulation.spawn(async move {
        let mut buf = vec![0; 20_000];
        loop {
            let (n, from) = server.recv_from(&mut buf).await.unwrap();
            server.send_to(&buf[..n], from).await.unwrap();
        }
    });
    // The longest come in fragments, which only one shard puts together.
    let lens = [0, 1, 1400, 1500, 9000, 15_000];
    let asking = plain.clone();
    let answers = simulation.block_on(60.secs(), async move {
        let mut answers = 0;
        for to in ["10.0.0.2:53", "[fd00::2]:53"] {
            let to: SocketAddr = to.parse().unwrap();
            for (client, len) in (0..24).flat_map(|client| lens.map(|len| (client, len))) {
                let local = SocketAddr::new(
                    if to.is_ipv4() { PLAIN.into() } else { "fd00::1".parse().unwrap() },
                    4000 + client,
                );
                let socket = UdpSocket::bind(&asking, local).unwrap();
                let bytes: Vec<u8> = (0..len).map(|at| (at + usize::from(client)) as u8).collect();
                socket.send_to(&bytes, to).await.unwrap();
                let mut buf = vec![0; 20_000];
                let (n, from) = socket.recv_from(&mut buf).await.unwrap();
                assert!(buf[..n] == bytes && from == to, "{len} bytes of {client}: {n} from {from}");
                answers += 1;
            }
        }
        answers
    });
    assert_eq!(answers, Some(2 * 24 * lens.len()));
    let stats: Vec<_> = sharded.shards().map(|net| net.with_stack(|stack, _| stack.stats())).collect();
    assert!(
        stats.iter().all(|stats| stats.udp.in_datagrams > 20 && stats.udp.no_ports == 0),
        "all shards serve"
    );
    let whole = |stats: &crate::stats::Stats| stats.reassembly_v4.reasm_oks + stats.reassembly_v6.reasm_oks;
    assert!(whole(&stats[0]) > 0 && stats[1..].iter().all(|stats| whole(stats) == 0));
    assert!(sharded.hand_overs()[0].news > 0);
}

#[test]
fn a_connected_datagram_socket_hears_its_peer_alone() {
    let Pair { mut simulation, plain, sharded } = pair(7, "delay 1ms", 4);
    let got = simulation.block_on(10.secs(), async move {
        let mut got = Vec::new();
        for port in 6000..6016 {
            let (theirs, stranger) = (SocketAddr::from((PLAIN, port)), SocketAddr::from((PLAIN, 99)));
            let (peer, other) =
                (UdpSocket::bind(&plain, theirs).unwrap(), UdpSocket::bind(&plain, stranger).unwrap());
            let socket = UdpSocket::bind(&sharded, ([0; 4], port).into()).unwrap();
            socket.connect(theirs).unwrap();
            socket.send(b"ask").await.unwrap();
            let (_, from) = peer.recv_from(&mut [0; 9]).await.unwrap();
            other.send_to(b"wrong", from).await.unwrap();
            peer.send_to(b"right", from).await.unwrap();
            let mut buf = [0; 9];
            let n = socket.recv(&mut buf).await.unwrap();
            got.push(buf[..n].to_vec());
        }
        got
    });
    assert_eq!(got.unwrap(), vec![b"right".to_vec(); 16]);
}

#[test]
fn the_first_shard_speaks_for_the_host() {
    let Pair { mut simulation, plain, sharded } = pair(8, "delay 1ms", 3);
    let asking = plain.clone();
    simulation.block_on(10.secs(), async move {
        let socket = RawSocket::open(&asking, Family::V4, 1).unwrap();
        for _ in 0..4 {
            let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
            socket.send_to(&request, SHARDED.into(), None).await.unwrap();
            asking.sleep(1.secs()).await;
        }
    });
    let trace = simulation.network().trace().unwrap();
    let sent = |reason| trace.frames.iter().filter(|frame| frame.why.reason() == reason).count();
    assert_eq!((sent(Reason::EchoReply), sent(Reason::NeighborAdvert)), (4, 1));
    // All heard the question, and know who asked.
    let hand_overs = sharded.hand_overs();
    assert!(hand_overs[0].muted == 0 && hand_overs[1..].iter().all(|it| it.muted > 0), "{hand_overs:?}");
}

/// A host of three shards whose queues are fed by hand.
struct ByHand(Net);

impl ByHand {
    fn new() -> Self {
        let net = Net::with_shards(&Config::seeded(1), 3, &Clock::manual());
        let interface = InterfaceConfig { dad: false, ..InterfaceConfig::new(OURS) };
        let queues = (0..3).map(|_| Memory::pair(Medium::Ethernet, 1500).0).collect();
        net.attach_queues(interface.address(SHARDED.into(), 24), queues).unwrap();
        Self(net)
    }

    /// A frame comes by a queue, and the shards settle it among themselves.
    fn arrive(&self, queue: usize, bytes: &[u8]) {
        let all = self.0.all_shared();
        all[queue].with(|inner, now| inner.handle_frame(now, InterfaceId(1), RxFrame::plain(bytes)));
        while all.iter().map(|shared| shared.with(|inner, now| inner.exchange(now))).sum::<usize>() > 0 {}
    }

    fn on_each<R>(&self, f: impl Fn(&mut Stack, Instant) -> R) -> Vec<R> {
        self.0.shards().map(|net| net.with_stack(&f)).collect()
    }
}

#[test]
fn all_shards_learn_who_the_neighbours_are() {
    let host = ByHand::new();
    let theirs: SocketAddr = (PLAIN, 9).into();
    host.on_each(|stack, now| {
        let id = stack.udp_bind((SHARDED, 5000).into()).unwrap();
        stack.udp_send_to(now, id, b"who are you?", Some(theirs)).unwrap();
    });
    let (sender_mac, target_mac) = (THEIRS, OURS);
    let (sender_ip, target_ip) = (PLAIN.into(), SHARDED.into());
    let answer =
        arp::Packet { operation: arp::Operation::Reply, sender_mac, sender_ip, target_mac, target_ip };
    host.arrive(2, &[&OURS.0[..], &THEIRS.0, &[8, 6], &answer.to_bytes()].concat());
    let known = host.on_each(|stack, now| {
        let (_, interface) = stack.interfaces().nth(1).unwrap();
        interface.neighbor(now, PLAIN.into()).unwrap().mac
    });
    assert_eq!(known, [Some(THEIRS); 3]);
}

#[test]
fn all_shards_learn_what_a_path_takes() {
    let host = ByHand::new();
    let theirs: SocketAddr = (PLAIN, 9).into();
    // Of a datagram that was never sent nobody would believe it.
    let socket = UdpSocket::bind(&host.0, (SHARDED, 53).into()).unwrap();
    socket.connect(theirs).unwrap();
    let mut sent = Vec::new();
    let datagram = etherparse::PacketBuilder::ipv4(SHARDED, PLAIN, 64).udp(53, 9);
    datagram.write(&mut sent, &[0; 1472]).unwrap();
    let too_big = etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1000 };
    let mut frame = Vec::new();
    let error = etherparse::PacketBuilder::ethernet2(THEIRS.0, OURS.0).ipv4([10, 0, 0, 9], SHARDED, 64);
    let error = error.icmpv4(etherparse::Icmpv4Type::DestinationUnreachable(too_big));
    error.write(&mut frame, &sent[..28]).unwrap();
    host.arrive(1, &frame);
    let limits = host.on_each(|stack, now| {
        let id = stack.udp_bind((SHARDED, 5001).into()).unwrap();
        stack.udp_set_options(id, Options { dont_fragment: true, ..Options::default() }).unwrap();
        stack.udp_send_to(now, id, &[0; 1472], Some(theirs)).unwrap_err().to_string()
    });
    assert!(limits.iter().all(|limit| limit.contains("972")), "{limits:?}");
    // Only the shard whose flow it is was asked whether it can be.
    let lowered = host.on_each(|stack, _| stack.stats().path_mtu.lowered);
    assert_eq!(lowered.iter().sum::<u64>(), 1, "{lowered:?}");
}

#[test]
fn all_shards_learn_the_fast_open_cookie_of_a_server() {
    let Pair { mut simulation, plain, sharded } = pair(5, "delay 5ms", 3);
    let listener = TcpListener::bind_with(&plain, ([10, 0, 0, 1], 7).into(), 128, |settings| {
        settings.fast_open_queue = 16;
    })
    .unwrap();
    let spawner = simulation.spawner();
    simulation.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawner.spawn(echo(stream));
        }
    });
    let server: SocketAddr = ([10, 0, 0, 1], 7).into();
    let client = sharded.clone();
    // The first shard asks for the cookie, and the others show it.
    let all = async move {
        for salt in 0..3 {
            ask(TcpStream::connect_with_data(&client, server, &[]).await.unwrap(), salt, 100).await;
        }
    };
    simulation.block_on(10.secs(), all).unwrap();
    let known =
        sharded.shards().map(|net| net.with_stack(|stack, now| stack.tcp_fast_open_cookie(now, server)));
    let known: Vec<_> = known.collect();
    assert!(known[0].is_some() && known.iter().all(|cookie| *cookie == known[0]), "{known:?}");
    let asked: u64 = plain.with_stack(|stack, _| stack.stats().tcp.fast_open_cookie_reqd);
    assert_eq!((opens(&sharded), asked), (vec![(0, 1); 3], 1));
}

#[test]
fn a_full_mailbox_refuses_and_counts() {
    let host = ByHand::new();
    let mut frame = Vec::new();
    let strange = etherparse::PacketBuilder::ethernet2(THEIRS.0, OURS.0).ipv4(PLAIN, SHARDED, 64);
    strange.icmpv4_echo_request(1, 1).write(&mut frame, b"ping").unwrap();
    let all = host.0.all_shared();
    for _ in 0..600 {
        all[1].with(|inner, now| inner.handle_frame(now, InterfaceId(1), RxFrame::plain(&frame)));
    }
    let given = host.0.hand_overs()[1];
    assert_eq!((given.given, given.refused), (600, 600 - 512));
    while all[0].with(|inner, now| inner.exchange(now)) > 0 {}
    assert_eq!(host.0.hand_overs()[0].taken, 512);
    host.arrive(1, &frame);
    assert_eq!((host.0.hand_overs()[0].taken, host.0.hand_overs()[1].refused), (513, 88));
}

#[test]
fn a_driver_for_each_shard_serves_the_application() {
    let wires = (0..2)
        .map(|_| Memory::builder(Capabilities::plain(Medium::Ethernet, 1500)).pollable().pair().unwrap());
    let (ours, theirs): (Vec<_>, Vec<_>) = wires.unzip();
    let nets = [(OURS, SHARDED, ours), (THEIRS, PLAIN, theirs)].map(|(mac, address, queues)| {
        let net = Net::sharded(Config::seeded(1), 2);
        let interface = InterfaceConfig { dad: false, ..InterfaceConfig::new(mac) };
        net.attach_queues(interface.address(address.into(), 24), queues).unwrap();
        net
    });
    let [server, client] = nets;
    let driver = crate::net::Driver::spawn(&server).unwrap();
    let listener = TcpListener::bind(&server, (SHARDED, 7).into()).unwrap();
    std::thread::spawn(move || {
        loop {
            let (stream, _) = futures_lite::future::block_on(listener.accept()).unwrap();
            futures_lite::future::block_on(echo(stream));
        }
    });
    let asked = crate::net::Driver::builder(&client).block_on(async {
        for salt in 0..16 {
            ask(TcpStream::connect(&client, (SHARDED, 7).into()).await.unwrap(), salt, 20_000).await;
        }
    });
    asked.unwrap();
    assert_eq!(opens(&client), [(0, 8); 2]);
    assert!(!driver.is_finished());
    driver.stop().unwrap();
}

#[test]
fn queues_and_shards_must_be_as_many() {
    let net = Net::sharded(Config::seeded(1), 2);
    let error = net.attach(InterfaceConfig::new(OURS), Memory::pair(Medium::Ethernet, 1500).0).unwrap_err();
    assert_eq!(error.to_string(), "1 queues for 2 shards");
}
