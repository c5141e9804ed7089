use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;

use super::*;
use crate::buf::frame::{Capabilities, Medium};
use crate::config::Config;
use crate::event::Event;
use crate::link::InterfaceConfig;
use crate::tcp::Settings;
use crate::time::Duration;
use crate::wire::ethernet::MacAddr;

const ETH: InterfaceId = InterfaceId(1);

/// A sender, and two receivers that hear the same: one takes every way, the other only the long one.
struct World {
    sender: Stack,
    receivers: [Stack; 2],
    from: SocketId,
    to: SocketId,
    now: Instant,
    /// Frames that took the short way.
    short: usize,
}

fn address(v6: bool, host: u8) -> IpAddr {
    if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host)].into() } else { [10, 0, 0, host].into() }
}

fn host(v6: bool, medium: Medium, host: u8) -> Stack {
    let mut stack = Stack::new(Config::seeded(host.into()));
    let config = InterfaceConfig { dad: false, ..InterfaceConfig::new(MacAddr([2, 0, 0, 0, 0, host])) };
    let len = if v6 { 64 } else { 24 };
    let added = stack.add_interface(
        Instant::ZERO,
        config.address(address(v6, host), len),
        Capabilities::plain(medium, 1500),
    );
    assert_eq!(added.unwrap(), ETH);
    stack
}

fn frames(stack: &mut Stack, now: Instant) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| stack.poll_transmit(now, ETH).map(|frame| frame.to_vec())).collect()
}

fn events(stack: &mut Stack) -> Vec<Event> {
    core::iter::from_fn(|| stack.poll_event()).collect()
}

impl World {
    fn new(v6: bool, medium: Medium, settings: &Settings) -> Self {
        let mut sender = host(v6, medium, 1);
        let mut receivers = [0; 2].map(|_| host(v6, medium, 2));
        let now = Instant::ZERO + Duration::from_secs(1);
        let at = SocketAddr::new(address(v6, 2), 7);
        let listeners = receivers.each_mut().map(|stack| stack.tcp_listen(at, 1, settings.clone()).unwrap());
        let from = sender.tcp_connect(now, at, None, settings.clone()).unwrap();
        let mut world = Self { sender, receivers, from, to: from, now, short: 0 };
        while let frames @ [_, ..] = &frames(&mut world.sender, now)[..] {
            frames.iter().for_each(|frame| world.deliver(frame));
            world.answer();
        }
        let accepted = [0, 1].map(|n| world.receivers[n].tcp_accept(now, listeners[n]).unwrap().0);
        assert_eq!(accepted[0], accepted[1]);
        world.to = accepted[0];
        world
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let frame = RxFrame::plain(bytes);
        self.receivers[1].lane = None;
        self.receivers[1].handle_frame(self.now, ETH, frame);
        let heard = self.receivers[0].stats.tcp.in_segs;
        if self.receivers[0].receive_next(self.now, ETH, &frame) {
            self.short += 1;
            assert_eq!(self.receivers[0].stats.tcp.in_segs, heard + 1);
        } else {
            self.receivers[0].handle_frame(self.now, ETH, frame);
        }
    }

    /// What the receivers say is the same, and reaches the sender.
    fn answer(&mut self) {
        let [one, other] = self.receivers.each_mut().map(|stack| frames(stack, self.now));
        assert_eq!(one, other);
        for frame in one {
            self.sender.handle_frame(self.now, ETH, RxFrame::plain(&frame));
        }
    }

    fn both<R: PartialEq + core::fmt::Debug>(&mut self, f: impl Fn(&mut Stack, SocketId, Instant) -> R) -> R {
        let (to, now) = (self.to, self.now);
        let [one, other] = self.receivers.each_mut().map(|stack| f(stack, to, now));
        assert_eq!(one, other);
        one
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.sender.handle_timeout(self.now);
        self.both(|stack, _, now| stack.handle_timeout(now));
    }

    /// All that can be seen of the receivers is the same.
    fn compare(&mut self) {
        self.both(|stack, _, _| stack.stats());
        self.both(|stack, _, _| events(stack));
        self.both(|stack, _, _| stack.poll_timeout());
        self.both(|stack, id, _| stack.tcp_info(id).ok());
        self.both(|stack, id, _| stack.readiness(id));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Read(usize),
    /// The receiver says something.
    Back(usize),
    /// Frames of the sender, with what becomes of some of them.
    Carry(Vec<(usize, Fate)>),
    Pass(u64),
    ShutDown,
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Lose,
    Repeat,
    Swap,
    Corrupt(usize, u8),
    Pad,
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        Just(Fate::Lose),
        Just(Fate::Repeat),
        Just(Fate::Swap),
        (0..1600usize, 1..=255u8).prop_map(|(at, bits)| Fate::Corrupt(at, bits)),
        Just(Fate::Pad),
    ];
    prop_oneof![
        6 => (1..60_000usize).prop_map(Step::Write),
        5 => (1..60_000usize).prop_map(Step::Read),
        1 => (1..3000usize).prop_map(Step::Back),
        4 => Just(Step::Carry(Vec::new())),
        3 => prop::collection::vec((0..40usize, fate), 1..4).prop_map(Step::Carry),
        3 => (0..400u64).prop_map(Step::Pass),
        1 => Just(Step::ShutDown),
        1 => Just(Step::Close),
    ]
}

impl World {
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Write(len) => {
                let bytes: Vec<u8> = (0..len).map(|n| (n * 7 + n / 256) as u8).collect();
                let _ = self.sender.tcp_send(self.now, self.from, &bytes);
            }
            Step::Read(len) => {
                self.both(|stack, id, now| {
                    let mut bytes = vec![0; len];
                    stack.tcp_recv(now, id, &mut bytes).ok().map(|n| bytes[..n].to_vec())
                });
            }
            Step::Back(len) => {
                self.both(|stack, id, now| stack.tcp_send(now, id, &vec![1; len]).ok());
            }
            Step::Carry(ref fates) => {
                let mut frames = frames(&mut self.sender, self.now);
                for &(at, fate) in fates {
                    let Some(frame) = frames.get_mut(at) else { continue };
                    match fate {
                        Fate::Lose => drop(frames.remove(at)),
                        Fate::Repeat => {
                            let again = frame.clone();
                            frames.push(again);
                        }
                        Fate::Swap => frames.swap(at, 0),
                        Fate::Corrupt(place, bits) => {
                            let place = place % frame.len();
                            frame[place] ^= bits;
                        }
                        Fate::Pad => frame.push(0),
                    }
                }
                for frame in frames {
                    self.deliver(&frame);
                }
                self.answer();
            }
            Step::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Step::ShutDown => {
                let _ = self.sender.tcp_shutdown(self.now, self.from, std::net::Shutdown::Write);
            }
            Step::Close => self.both(|stack, id, now| stack.close(now, id)),
        }
        self.answer();
        self.compare();
    }
}

proptest! {
    /// Whoever takes the short way comes to the same state, says the same and counts the same.
    #[test]
    fn the_short_way_leads_to_the_same_place(
        v6: bool, ethernet: bool, timestamps: bool, steps in prop::collection::vec(step(), 1..40),
    ) {
        let medium = if ethernet { Medium::Ethernet } else { Medium::Ip };
        let settings = Settings { timestamps, recv_buffer: 100_000, ..Settings::default() };
        let mut world = World::new(v6, medium, &settings);
        for step in &steps {
            world.take(step);
        }
    }
}

#[test]
fn a_stream_takes_the_short_way() {
    for (v6, medium) in [(false, Medium::Ethernet), (true, Medium::Ethernet), (false, Medium::Ip)] {
        let mut world = World::new(v6, medium, &Settings::default());
        for _ in 0..20 {
            for step in [Step::Write(14_000), Step::Carry(Vec::new()), Step::Read(60_000), Step::Pass(1)] {
                world.take(&step);
            }
        }
        let heard = world.receivers[0].stats.tcp.in_segs as usize;
        assert!(world.short * 2 > heard, "{} of {heard}", world.short);
    }
}

#[test]
fn another_identification_with_its_checksum_is_the_same_header() {
    let mut world = World::new(false, Medium::Ip, &Settings::default());
    for _ in 0..3 {
        world.take(&Step::Write(1448 * 4));
        world.take(&Step::Carry(Vec::new()));
    }
    let before = world.short;
    world.take(&Step::Write(1448));
    let mut frame = frames(&mut world.sender, world.now).remove(0);
    let id = 0x1234;
    frame[ipv4::field::ID..][..2].copy_from_slice(&u16::to_be_bytes(id));
    world.deliver(&frame);
    assert_eq!(world.short, before, "the header's checksum is wrong");
    frame[ipv4::field::CHECKSUM..][..2].fill(0);
    let sum = crate::wire::checksum::checksum(&frame[..ipv4::MIN_HEADER_LEN]);
    frame[ipv4::field::CHECKSUM..][..2].copy_from_slice(&sum.to_be_bytes());
    world.deliver(&frame);
    assert_eq!(world.short, before + 1);
    world.compare();
}
