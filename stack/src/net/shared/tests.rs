//! A driver that is needed, and devices that fail.

use super::*;
use crate::device::{Capabilities, Memory};
use crate::net::Net;
use crate::net::port::ALONE;
use crate::rng::Rng;
use crate::tcp::Settings;
use crate::time::Units as _;
use crate::wire::ethernet::MacAddr;
use crate::{Config, InterfaceConfig};

/// A driver may be over without a word, as in a `select!`: whoever came after it is to be woken.
#[test]
fn the_newest_kick_counts() {
    let shared = Shared::new(Stack::new(Config::default()), Clock::manual(), None);
    let kicked = Arc::new(Mutex::new(Vec::new()));
    for driver in ["first", "second"] {
        let kicked = kicked.clone();
        shared.set_kick(move || kicked.lock().unwrap().push(driver));
    }
    let cx = Context::from_waker(Waker::noop());
    let wait = || shared.with_times(|times| times.register(shared.clock().now(), &mut None, &cx));
    wait();
    assert!(kicked.lock().unwrap().is_empty(), "nobody sleeps");
    shared.drive(Asking::Waits).unwrap();
    // The driver sleeps for ever; a deadline of now is earlier.
    assert_eq!(shared.fall_asleep(0), None);
    wait();
    assert_eq!(*kicked.lock().unwrap(), ["second"]);
}

/// A device of which some calls fail: its queue is full, the kernel has no buffer, or it takes a part of a frame.
struct Faulty {
    device: Memory,
    rng: Rng,
}

impl Device for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.device.recv(now)
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        match self.rng.below(30) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            1 => Err(io::Error::from_raw_os_error(libc::ENOBUFS)),
            2 => {
                let part = TxFrame { head: &frame.head[..frame.head.len() / 2], body: [&[]; 2], ..*frame };
                self.device.send(now, &part)?;
                Err(io::ErrorKind::WriteZero.into())
            }
            _ => self.device.send(now, frame),
        }
    }
}

#[test]
fn a_device_that_fails_loses_nothing_that_is_not_repaired() {
    const BYTES: usize = 300_000;
    const TURNS: usize = 100_000;
    let (a, b) = Memory::pair(Medium::Ethernet, 1500);
    let [client, server] = [(a, 1), (b, 2)].map(|(device, last)| {
        let net = Net::in_virtual_time(Stack::new(Config::seeded(u64::from(last))));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        let device = Faulty { device, rng: Rng::new(7, u64::from(last)) };
        let interface = net.attach(config.address([10, 0, 0, last].into(), 24), device).unwrap();
        (net, interface)
    });
    let nets = [&client.0, &server.0];
    let here = std::net::SocketAddr::from(([10, 0, 0, 2], 7));
    let listener = nets[1].with_stack(|stack, _| stack.tcp_listen(here, 1, Settings::default())).unwrap();
    let stream =
        nets[0].with_stack(|stack, now| stack.tcp_connect(now, here, None, Settings::default())).unwrap();
    let sent: Vec<u8> = (0..BYTES).map(|at| (at / 7) as u8).collect();
    let (mut given, mut received, mut accepted) = (0, Vec::new(), None);
    let mut turns = 0;
    while received.len() < BYTES {
        turns += 1;
        assert!(turns < TURNS, "{} of {BYTES} bytes have arrived", received.len());
        let moved = nets.map(|net| net.shared().drive(Asking::ToTheEnd).unwrap().frames).contains(&true);
        let taken = nets[0].with_stack(|stack, now| stack.tcp_send(now, stream, &sent[given..])).unwrap_or(0);
        given += taken;
        nets[1].with_stack(|stack, now| {
            accepted = accepted.or_else(|| Some(stack.tcp_accept(now, listener).ok()?.0));
            let mut buffer = [0; 4096];
            while let Some(id) = accepted
                && let Ok(len @ 1..) = stack.tcp_recv(now, id, &mut buffer)
            {
                received.extend_from_slice(&buffer[..len]);
            }
        });
        if !moved && taken == 0 {
            let due = nets.iter().filter_map(|net| net.poll_timeout()).min();
            let now = due.unwrap_or_default().max(nets[0].now() + 1.ms());
            nets.iter().for_each(|net| net.advance(now));
        }
    }
    assert_eq!(received, sent);
    for (net, interface) in [client, server] {
        let errors = net.device_errors(interface);
        assert!(errors.full > 1 && errors.refused > 3 && errors.failed_reads == 0, "{errors:?}");
        assert!(errors.last.is_some());
    }
}

/// A host with a datagram socket, on a wire that holds few frames.
struct Narrow {
    net: Net,
    interface: InterfaceId,
    wire: Memory,
    id: SocketId,
    /// Who is at the other end.
    to: Option<std::net::SocketAddr>,
}

impl Narrow {
    fn new(frames: usize) -> Self {
        let plain = Capabilities::plain(Medium::Ip, 1500);
        let (device, wire) = Memory::builder(plain).limit(frames).pair().unwrap();
        let net = Net::in_virtual_time(Stack::new(Config::seeded(1)));
        let config = InterfaceConfig::new(MacAddr::UNSPECIFIED).address([10, 0, 0, 1].into(), 24);
        let interface = net.attach(config, device).unwrap();
        let id = net.with_stack(|stack, _| stack.udp_bind(([10, 0, 0, 1], 7).into())).unwrap();
        Self { net, interface, wire, id, to: Some(([10, 0, 0, 2], 7).into()) }
    }
}

#[test]
fn what_finds_a_device_full_waits_and_leaves_in_order() {
    const DATAGRAMS: u32 = 2000;
    let Narrow { net, interface, mut wire, id, to } = Narrow::new(4);
    let (mut given, mut arrived, mut refused) = (0, Vec::new(), 0);
    while arrived.len() < DATAGRAMS as usize {
        while given < DATAGRAMS
            && net.with_stack(|stack, now| stack.udp_send_to(now, id, &given.to_be_bytes(), to)).is_ok()
        {
            given += 1;
        }
        refused += u32::from(given < DATAGRAMS);
        // It reads now and then; nobody tells the driver when.
        if arrived.len() % 3 == 0 {
            let at = net.poll_timeout().expect("it is tried again");
            assert!(at > net.now() && at - net.now() <= 5.ms(), "{at}");
            assert_eq!(net.shared().fall_asleep(1), Some(at - net.now()));
            net.advance(at);
            net.shared().drive(Asking::Waits).unwrap();
        }
        let frame = wire.recv(net.now()).unwrap().expect("it is full, or all have left");
        arrived.push(u32::from_be_bytes(*frame.bytes.last_chunk().unwrap()));
    }
    assert!(arrived.into_iter().eq(0..DATAGRAMS), "each once, and in order");
    let errors = net.device_errors(interface);
    assert!(errors.full > 100 && errors.refused == 0, "{errors:?}");
    assert!(refused > 0, "the socket's queue was full, too, and said so");
}

#[test]
fn a_device_that_stays_full_is_tried_ever_more_seldom() {
    let Narrow { net, mut wire, id, to, .. } = Narrow::new(1);
    let send = || net.with_stack(|stack, now| stack.udp_send_to(now, id, b"x", to)).unwrap();
    let pauses = || {
        let pause = || {
            let at = net.poll_timeout()?;
            let pause = at - net.now();
            net.advance(at);
            net.shared().drive(Asking::Waits).unwrap();
            Some(pause.as_micros())
        };
        (0..9).map_while(|_| pause()).collect::<Vec<_>>()
    };
    assert_eq!([send(), send()], [1, 1]);
    assert_eq!(pauses(), [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    let mut read = || wire.recv(net.now()).unwrap().is_some();
    assert!(read());
    let after = pauses();
    assert!(
        after[0] == 5000 && after[1..].iter().all(|&pause| pause > 1_000_000),
        "it is not full: {after:?}"
    );
    send();
    assert_eq!(pauses()[..2], [50, 100], "and patience begins anew");
}

/// A device that puts frames by and never gets rid of them.
struct Stuck(Memory);

impl Device for Stuck {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn recv(&mut self, now: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.0.recv(now)
    }

    fn send(&mut self, now: Instant, frame: &TxFrame<'_>) -> io::Result<()> {
        self.0.send(now, frame)
    }

    fn flush(&mut self, _: Instant) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[test]
fn what_a_device_has_put_by_is_tried_ever_more_seldom_too() {
    let (device, _wire) = Memory::pair(Medium::Ip, 1500);
    let net = Net::in_virtual_time(Stack::new(Config::seeded(1)));
    let config = InterfaceConfig::new(MacAddr::UNSPECIFIED).address([10, 0, 0, 1].into(), 24);
    net.attach(config, Stuck(device)).unwrap();
    net.with_stack(|_, _| ());
    let pauses: Vec<_> = (0..8)
        .map(|_| {
            let at = net.poll_timeout().unwrap();
            let pause = at - net.now();
            net.advance(at);
            net.shared().drive(Asking::Waits).unwrap();
            pause.as_micros()
        })
        .collect();
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000]);
}

/// A device that counts how often it is asked, which is dear.
struct Dear {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    asked: Arc<AtomicUsize>,
    lent: Vec<u8>,
}

impl Device for Dear {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, 1500)
    }

    fn recv(&mut self, _: Instant) -> io::Result<Option<RxFrame<'_>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let Some(frame) = self.frames.lock().unwrap().pop() else { return Ok(None) };
        self.lent = frame;
        Ok(Some(RxFrame::plain(&self.lent)))
    }

    fn send(&mut self, _: Instant, _: &TxFrame<'_>) -> io::Result<()> {
        Ok(())
    }

    fn recv_is_dear(&self) -> bool {
        true
    }
}

#[test]
fn small_frames_that_come_alone_are_not_asked_for_twice() {
    let (frames, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let device = Dear { frames: frames.clone(), asked: asked.clone(), lent: Vec::new() };
    let net = Net::in_virtual_time(Stack::new(Config::default()));
    net.attach(InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, 1])), device).unwrap();
    let turn = |sizes: &[usize], asking| {
        frames.lock().unwrap().extend(sizes.iter().map(|&size| vec![0; size]));
        let before = asked.load(Ordering::Relaxed);
        assert!(net.shared().drive(asking).unwrap().frames);
        asked.load(Ordering::Relaxed) - before
    };
    // At first it is not known.
    assert!((0..ALONE).all(|_| turn(&[60], Asking::Waits) == 2));
    assert_eq!(turn(&[60], Asking::Waits), 1);
    // Who does not wait on the descriptor has to know.
    assert_eq!(turn(&[60], Asking::ToTheEnd), 2);
    assert_eq!(turn(&[60], Asking::Busy), 1);
    // A large frame is one of many.
    assert_eq!(turn(&[1500], Asking::Waits), 2);
    assert_eq!(turn(&[60, 60], Asking::Waits), 3);
    // Two that come together are found out sooner or later, and none is left behind.
    assert!((0..ALONE).all(|_| turn(&[60], Asking::Waits) == 2));
    frames.lock().unwrap().extend((0..50).map(|_| vec![0; 60]));
    let turns = (0..50).take_while(|_| net.shared().drive(Asking::Waits).unwrap().frames).count();
    assert!(turns < 10 && frames.lock().unwrap().is_empty(), "{turns} turns");
}

#[test]
fn a_turn_without_frames_does_what_is_due_and_nothing_else() {
    let net = Net::in_virtual_time(Stack::new(Config::default()));
    let shared = net.shared();
    assert_eq!(shared.fall_asleep(0), None, "nothing is due");
    let mut sleep = core::pin::pin!(net.sleep(10.ms()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(core::future::Future::poll(sleep.as_mut(), &mut cx).is_pending());
    assert_eq!(shared.fall_asleep(0), Some(10.ms()), "what is new is heard of");
    shared.clock().set(Instant::ZERO + 10.ms());
    assert_eq!(shared.drive(Asking::Busy).unwrap().waiting, 0, "its time has come");
    assert_eq!(shared.fall_asleep(0), None);
}

#[test]
fn an_answer_takes_the_acknowledgment_along() {
    let (a, b) = Memory::pair(Medium::Ethernet, 1500);
    let [client, server] = [(a, 1), (b, 2)].map(|(device, last)| {
        let net = Net::in_virtual_time(Stack::new(Config::seeded(u64::from(last))));
        let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, last])) };
        net.attach(config.address([10, 0, 0, last].into(), 24), device).unwrap();
        net
    });
    let here = std::net::SocketAddr::from(([10, 0, 0, 2], 7));
    let listener = crate::net::TcpListener::bind(&server, here).unwrap();
    let asking =
        client.with_stack(|stack, now| stack.tcp_connect(now, here, None, Settings::default())).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    let accepted = (0..10).find_map(|_| {
        for net in [&client, &server] {
            net.shared().drive(Asking::ToTheEnd).unwrap();
        }
        match core::future::Future::poll(core::pin::pin!(listener.accept()), &mut cx) {
            Poll::Ready(accepted) => Some(accepted.unwrap().0),
            Poll::Pending => None,
        }
    });
    let stream = accepted.expect("a handshake takes some turns");
    let shared = server.shared();
    let sent = || shared.inner.lock().unwrap().stack.stats().ip.out_requests;
    for answers in [false, true] {
        // Nagle: what was sent before is acknowledged.
        client.shared().drive(Asking::ToTheEnd).unwrap();
        client.with_stack(|stack, now| stack.tcp_send(now, asking, &[1])).unwrap();
        let before = sent();
        assert!(shared.drive_and_hold(Asking::ToTheEnd).unwrap().held);
        let read = core::future::Future::poll(core::pin::pin!(stream.read(&mut [0])), &mut cx);
        assert!(matches!(read, Poll::Ready(Ok(1))), "{read:?}");
        assert_eq!(sent(), before, "it waits for what the application says");
        if answers {
            let written = core::future::Future::poll(core::pin::pin!(stream.write(&[2])), &mut cx);
            assert!(matches!(written, Poll::Ready(Ok(1))), "{written:?}");
            assert_eq!(sent(), before + 1, "both in one");
        }
        shared.let_go();
        assert_eq!(sent(), before + 1);
    }
}
