//! A driver that is needed, and devices that fail.

use super::*;
use crate::device::{Capabilities, Memory};
use crate::net::Net;
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
    let wait = || shared.with_times(|times, now| times.register(now, &mut None, &cx));
    wait();
    assert!(kicked.lock().unwrap().is_empty(), "nobody sleeps");
    shared.drive().unwrap();
    // The driver sleeps for ever; a deadline of now is earlier.
    assert_eq!(shared.fall_asleep(), None);
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
        let moved = nets.map(|net| net.shared().drive().unwrap().frames).contains(&true);
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
        assert!(errors.refused > 3 && errors.failed_reads == 0, "{errors:?}");
        assert!(errors.last.is_some());
    }
}
