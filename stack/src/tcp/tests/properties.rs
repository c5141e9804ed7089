//! What holds whatever happens: every byte arrives once and in order, and nothing panics.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use crate::time::{Duration, Units, at};
use crate::wire::acc_ecn::{AccEcn, AccEcnOrder};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Header, Options, SackBlock, SackBlocks, Timestamps, UserTimeout};

#[test]
fn connects_exchanges_and_closes() {
    let mut net = Net::plain();
    net.transfer(100_000, 50_000);
    assert_eq!(net.client.state(), State::TimeWait, "{}", net.trace());
    assert!(net.now < at(1.secs()), "{}", net.now);
}

#[test]
fn a_lost_segment_costs_a_round_trip_and_no_timeout() {
    let mut net = Net::plain();
    net.drop = Box::new(|from, count, _| from == End::Client && count == 30);
    net.transfer(200_000, 0);
    let counters = net.client.info().counters;
    assert_eq!((counters.segs_retrans, counters.timeouts, counters.recoveries), (1, 0, 1), "{}", net.trace());
}

#[test]
fn a_bottleneck_is_filled_and_not_overrun_for_long() {
    // 10 Mbit/s, 40 ms round trip, a queue of 40 segments: 50 kB of bandwidth times delay.
    for congestion in [congestion::Algorithm::NewReno, congestion::Algorithm::Cubic] {
        let pipe = Pipe { delay: 20.ms(), ns_per_byte: 800, queue: 40, ..Pipe::good() };
        let settings = Settings { congestion, ..Settings::default() };
        let mut net = Net::new(settings.clone(), settings, pipe, 1);
        net.transfer(5_000_000, 0);
        let seconds = net.now.as_millis() as f64 / 1000.0;
        assert!(seconds < 5.5, "5 MB at 1.25 MB/s took {seconds}\n{:?}", net.client.info());
        assert!(net.client.info().counters.timeouts <= 5, "{:?}", net.client.info().counters);
    }
}

#[test]
fn an_idle_connection_costs_nothing() {
    let mut net = Net::established(Settings::default(), Settings::default(), Pipe::good());
    let before = net.log.len();
    net.run_for(600.secs());
    assert_eq!(net.log.len(), before);
    assert_eq!(net.client.poll_timeout(), None);
    assert_eq!(net.server().poll_timeout(), None);
}

fn settings() -> impl Strategy<Value = Settings> {
    let own = any::<[bool; 3]>();
    let buffer = 2000usize..200_000;
    (any::<[bool; 5]>(), own, 0u8..6, buffer.clone(), buffer, any::<bool>(), 300u16..1460).prop_map(
        |(
            [timestamps, sack, window_scaling, nodelay, pacing],
            own,
            ecn,
            send_buffer,
            recv_buffer,
            reno,
            mss,
        )| {
            let [cork, quickack, advertise] = own;
            Settings {
                cork,
                quickack,
                advertised_user_timeout: advertise.then_some(36_000.secs()),
                timestamps,
                sack,
                window_scaling,
                nodelay,
                pacing,
                ecn: EcnPolicy::from_sysctl(ecn).expect("it exists"),
                send_buffer,
                recv_buffer,
                max_mss: Some(mss),
                congestion: if reno { congestion::Algorithm::NewReno } else { congestion::Algorithm::Cubic },
                // A test is no place to give up.
                syn_retries: 30,
                syn_ack_retries: 30,
                retries: 100,
                // Longer than any timeout: when it is over nobody here says so, as a host would with a RST.
                time_wait: 3600.secs(),
                ..Settings::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever a pipe loses, doubles and reorders: every byte arrives once and in order, and both ends close.
    #[test]
    fn every_byte_arrives_once_and_in_order(
        client in settings(),
        server in settings(),
        (loss, duplicate, mark, jitter_ms) in (0.0..0.15f64, 0.0..0.2f64, 0.0..0.3f64, 0u64..40),
        (up, down) in (0usize..60_000, 0usize..60_000),
        merged in 0usize..3,
        seed in any::<u64>(),
    ) {
        let pipe = Pipe { loss, duplicate, mark, jitter: jitter_ms.ms(), ..Pipe::good() };
        let mut net = Net::new(client, server, pipe, seed);
        if merged > 0 {
            net.limits.max_merged = [3000, 65_000][merged - 1];
            net.limits.merges = true;
        }
        net.transfer(up, down);
    }
}

/// A segment near enough to a connection's numbers to get far.
fn segment() -> impl Strategy<Value = (Header, Vec<u8>)> {
    let number = prop_oneof![4 => 0u32..4000, 1 => any::<u32>(), 1 => 4_294_960_000u32..=u32::MAX];
    let blocks = prop::collection::vec((number.clone(), number.clone()), 0..4);
    let options = (any::<[bool; 4]>(), any::<u16>(), any::<u8>(), any::<(u32, u32)>(), blocks);
    (number.clone(), number, 0u16..512, any::<u16>(), options, 0usize..3000).prop_map(
        |(seq, ack, flags, window, (which, mss, scale, (value, echo), blocks), len)| {
            // Mostly plain ACKs, so that something gets through.
            let flags = if flags < 256 { Flags::ACK } else { Flags::from_bits_truncate(flags) };
            let mut sack = SackBlocks::EMPTY;
            for (from, to) in blocks {
                sack.push(SackBlock { start: SeqNum::new(ISS + 1) + from, end: SeqNum::new(ISS + 1) + to });
            }
            let header = Header {
                src_port: CLIENT.remote,
                dst_port: CLIENT.local,
                seq: SeqNum::new(IRS) + seq,
                ack: SeqNum::new(ISS) + ack,
                flags,
                window,
                urgent: mss,
                options: Options {
                    mss: which[0].then_some(mss),
                    acc_ecn: which[2].then(|| AccEcn::new(AccEcnOrder::Ect0First, 3, value, echo, seq)),
                    window_scale: which[1].then_some(scale),
                    sack_permitted: which[2],
                    timestamps: which[3].then_some(Timestamps { value, echo }),
                    user_timeout: which[1].then_some(UserTimeout { minutes: which[0], value: mss & 0x7fff }),
                    signature: None,
                    fast_open: None,
                    sack,
                },
            };
            (header, vec![0; len])
        },
    )
}

const STATES: [State; 10] = [
    State::SynSent,
    State::SynReceived,
    State::Established,
    State::FinWait1,
    State::FinWait2,
    State::CloseWait,
    State::Closing,
    State::LastAck,
    State::TimeWait,
    State::Closed,
];

/// A connection in `state`.
fn in_state(state: State) -> One {
    if matches!(state, State::SynSent | State::SynReceived) {
        let mut one = One::connect(bare());
        one.hear("> S seq=0");
        if state == State::SynReceived {
            one.hear("< S seq=0 mss=1000 \n > SA seq=0");
        }
        return one;
    }
    let mut one = One::established(bare());
    match state {
        State::FinWait1 | State::FinWait2 | State::Closing | State::TimeWait => {
            one.c.shutdown_write(one.now).unwrap();
            one.hear("> FA seq=1");
        }
        State::CloseWait | State::LastAck => one.hear("< FA seq=1 ack=1 \n > A ack=2"),
        _ => {}
    }
    match state {
        State::FinWait2 => one.hear("< A seq=1 ack=2"),
        State::Closing => one.hear("< FA seq=1 ack=1 \n > A ack=2"),
        State::TimeWait => one.hear("< FA seq=1 ack=2 \n > A ack=2"),
        State::LastAck => {
            one.c.shutdown_write(one.now).unwrap();
            one.hear("> FA seq=1");
        }
        State::Closed => one.hear("< R seq=1"),
        _ => {}
    }
    assert_eq!(one.c.state(), state);
    one
}

/// Agrees on ECN after the fact: 0 none, 1 classic, 2 accurate.
fn agree_on_ecn(one: &mut One, mode: u8) {
    let bits = [Flags::empty(), Flags::ECE | Flags::CWR, Flags::ECE | Flags::CWR | Flags::AE];
    let syn = Header { flags: Flags::SYN | bits[usize::from(mode)], ..Header::default() };
    let agreed = ecn::Agreed::answer(EcnMode::Accurate, &Segment::new(syn, &[]));
    if let state::Block::Open(open) = &mut one.c.block {
        open.ecn = ecn::Ecn::new(&agreed, SeqNum::new(IRS));
    }
}

#[derive(Clone, Debug)]
enum Act {
    Segment(Header, Vec<u8>, u8),
    Send(usize),
    Recv(usize),
    Wait(Duration),
    Timeout,
    Shutdown,
    Close,
    Mtu(usize),
    Poll(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (segment(), 0u8..4).prop_map(|((header, payload), ecn)| Act::Segment(header, payload, ecn)),
        4 => (1usize..5000).prop_map(Act::Send),
        3 => (1usize..5000).prop_map(Act::Recv),
        3 => (0u64..3000).prop_map(|ms| Act::Wait(ms.ms())),
        3 => Just(Act::Timeout),
        1 => Just(Act::Shutdown),
        1 => Just(Act::Close),
        1 => (0usize..2000).prop_map(Act::Mtu),
        6 => (1usize..20).prop_map(Act::Poll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// No segment panics in any state, no deadline stays due, and no output goes on for ever.
    #[test]
    fn nothing_from_the_network_panics(
        state in 0..STATES.len(),
        mode in 0u8..3,
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut one = in_state(STATES[state]);
        agree_on_ecn(&mut one, mode);
        for act in acts {
            let now = one.now;
            match act {
                Act::Segment(header, payload, ecn) => {
                    one.c.handle_segment(now, &Segment { ecn, ..Segment::new(header, &payload) });
                }
                Act::Send(len) => drop(one.c.send(now, &pattern(len, 0))),
                Act::Recv(len) => drop(one.c.recv(now, &mut vec![0; len])),
                Act::Wait(span) => one.now += span,
                Act::Timeout => {
                    if let Some(at) = one.c.poll_timeout() {
                        one.now = one.now.max(at);
                        one.c.handle_timeout(one.now);
                        prop_assert!(one.c.poll_timeout().is_none_or(|next| next > one.now));
                    }
                }
                Act::Shutdown => drop(one.c.shutdown_write(now)),
                Act::Close => one.c.close(now),
                Act::Mtu(bytes) => {
                    one.c.handle_path_mtu(now, bytes);
                    one.limits = Limits::plain(bytes);
                }
                Act::Poll(most) => {
                    for _ in 0..most {
                        let Some(packet) = transmit(&mut one.c, one.now, &one.limits) else { break };
                        prop_assert!(packet.header.flags.bits() != 0);
                    }
                }
            }
            one.c.info();
            while one.c.poll_event().is_some() {}
        }
        let left = core::iter::from_fn(|| transmit(&mut one.c, one.now, &one.limits)).take(10_000).count();
        prop_assert!(left < 10_000, "goes on sending");
    }
}
