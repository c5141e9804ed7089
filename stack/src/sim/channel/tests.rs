use proptest::prelude::*;

use super::*;
use crate::time::{Units as _, at};

fn channel(config: &str) -> Channel {
    Channel::new("a->b", config.parse().unwrap(), 1, 0)
}

fn tx(bytes: &[u8], offload: Offload) -> TxFrame<'_> {
    TxFrame { head: bytes, body: [&[], &[]], offload, why: &Why::FOREIGN }
}

fn push(channel: &mut Channel, now: Instant, bytes: &[u8]) -> Passage {
    channel.push(now, &tx(bytes, Offload::NONE))
}

/// What has arrived, each as its time in milliseconds and its bytes.
fn arrived(channel: &mut Channel, now: Instant) -> Vec<(u64, String)> {
    let mut all = Vec::new();
    while let Some(delivery) = channel.pop(now) {
        all.push((delivery.time.as_millis(), String::from_utf8_lossy(delivery.bytes).into_owned()));
    }
    all
}

fn brief(arrived: &[(u64, String)]) -> Vec<(u64, &str)> {
    arrived.iter().map(|(time, bytes)| (*time, bytes.as_str())).collect()
}

#[test]
fn nothing_passes_at_once_and_in_order() {
    let mut wire = channel("");
    for bytes in ["1", "2", "3"] {
        assert_eq!(push(&mut wire, at(1.ms()), bytes.as_bytes()).arrival, Some(at(1.ms())));
    }
    assert_eq!(wire.poll_timeout(), Some(at(1.ms())));
    assert_eq!(brief(&arrived(&mut wire, at(1.ms()))), [(1, "1"), (1, "2"), (1, "3")]);
    assert_eq!(wire.poll_timeout(), None);
}

#[test]
fn a_delay_delays() {
    let mut wire = channel("delay 50ms");
    push(&mut wire, at(1.ms()), b"1");
    assert_eq!(brief(&arrived(&mut wire, at(50.ms()))), []);
    assert_eq!(wire.poll_timeout(), Some(at(51.ms())));
    assert_eq!(brief(&arrived(&mut wire, at(51.ms()))), [(51, "1")]);
}

#[test]
fn a_rate_sends_one_after_the_other_while_the_wire_is_long() {
    // Ten bytes take 10 ms to send and 5 ms to travel.
    let mut wire = channel("rate 8kbit delay 5ms");
    for bytes in ["1234567890", "2234567890", "3"] {
        push(&mut wire, at(0.ms()), bytes.as_bytes());
    }
    assert_eq!(brief(&arrived(&mut wire, at(1.secs()))), [(15, "1234567890"), (25, "2234567890"), (26, "3")]);
}

#[test]
fn a_full_queue_drops_and_a_frame_on_its_way_takes_no_room_in_it() {
    let mut wire = channel("rate 8kbit delay 1s queue 2");
    let ten = b"1234567890";
    let arrivals: Vec<_> = (0..3).map(|_| push(&mut wire, at(0.ms()), ten).arrival).collect();
    assert_eq!(arrivals, [Some(at(1010.ms())), Some(at(1020.ms())), None]);
    assert_eq!(push(&mut wire, at(10.ms()), ten).arrival, Some(at(1030.ms())));
    assert_eq!((wire.counts().overflowed, wire.held()), (1, 3));
}

#[test]
fn a_limit_bounds_all_that_is_held() {
    let mut wire = channel("delay 1s limit 3");
    for _ in 0..10 {
        push(&mut wire, at(0.ms()), b"x");
    }
    assert_eq!((wire.held(), wire.counts().overflowed, wire.slots.len()), (3, 7, 3));
    assert_eq!(arrived(&mut wire, at(1.secs())).len(), 3);
    push(&mut wire, at(2.secs()), b"y");
    assert_eq!(wire.slots.len(), 3, "buffers are used again");
    assert_eq!(wire.counts().to_string(), "11 frames, 7 overflowed, 3 delivered");
}

#[test]
fn fates_are_played_back() {
    let mut wire = channel("delay 10ms");
    let list = "frame 1 of a->b: drop\nframe 2 of b->a: drop\nframe 3 of a->b: reorder\n\
                frame 4 of a->b: corrupt byte 0 bit 0; delay 20ms; duplicate 5ms";
    wire.play_back(&list.parse().unwrap());
    wire.record_fates(None);
    for bytes in ["1", "2", "3", "4"] {
        push(&mut wire, at(0.ms()), bytes.as_bytes());
    }
    assert_eq!(brief(&arrived(&mut wire, at(1.secs()))), [(0, "3"), (5, "4"), (10, "2"), (20, "5")]);
    let fates: Vec<String> = wire.fates().iter().map(ToString::to_string).collect();
    assert_eq!(
        fates,
        [
            "frame 1 of a->b: drop",
            "frame 3 of a->b: reorder",
            "frame 4 of a->b: corrupt byte 0 bit 0; delay 20ms; duplicate 5ms"
        ]
    );
}

#[test]
fn the_list_is_bounded() {
    let mut wire = channel("loss 100%");
    wire.record_fates(Some(2));
    for _ in 0..5 {
        push(&mut wire, at(0.ms()), b"x");
    }
    assert_eq!((wire.fates().len(), wire.fates_omitted()), (2, 3));
}

#[test]
fn what_is_corrupt_can_be_found_out() {
    let mut wire = channel("");
    wire.play_back(&"frame 1 of a->b: corrupt byte 1 bit 0".parse().unwrap());
    // A "header" of two bytes, the field that holds the pseudo header's sum, and data.
    let bytes = [0xff, 0xff, 0x00, 0x10, 0x12, 0x34, 0x56];
    let offload = Offload { checksum: Checksum::Partial { start: 2, offset: 0 }, gso: None };
    wire.push(at(0.ms()), &tx(&bytes, offload));
    let delivery = wire.pop(at(0.ms())).unwrap();
    assert_eq!(delivery.offload.checksum, Checksum::Full);
    let sum = !(0x0010u16 + 0x1234 + 0x5600);
    assert_eq!(delivery.bytes, [&[0xff, 0xfe], &sum.to_be_bytes()[..], &[0x12, 0x34, 0x56]].concat());
}

/// Sends `frames` under `config` and answers what arrives, in order, and the fates.
fn run(config: &str, play: Option<&FateList>, frames: &[(u64, u16)]) -> (Vec<(Instant, Vec<u8>)>, FateList) {
    let mut wire = channel(config);
    wire.record_fates(None);
    if let Some(list) = play {
        wire.play_back(list);
    }
    let (mut now, mut seen) = (Instant::ZERO, Vec::new());
    for (number, (wait, len)) in frames.iter().enumerate() {
        now += wait.ms();
        while let Some(delivery) = wire.pop(now) {
            seen.push((delivery.time, delivery.bytes.to_vec()));
        }
        let bytes: Vec<u8> = (0..*len).map(|i| (i as usize + number) as u8).collect();
        push(&mut wire, now, &bytes);
    }
    while let Some(delivery) = wire.pop(Instant::MAX) {
        seen.push((delivery.time, delivery.bytes.to_vec()));
    }
    (seen, FateList { entries: wire.fates().to_vec(), omitted: 0 })
}

proptest! {
    #[test]
    fn a_run_can_be_repeated_from_its_seed_and_from_its_fates(
        frames in proptest::collection::vec((0u64..20, 0u16..100), 1..200), seed: u64
    ) {
        let config = format!(
            "delay 20ms 15ms 10% distribution normal loss 5% duplicate 5% corrupt 5% reorder 10% gap 2 \
             rate 100kbit queue 8 limit 30 seed {seed}"
        );
        let (seen, fates) = run(&config, None, &frames);
        prop_assert_eq!(&run(&config, None, &frames), &(seen.clone(), fates.clone()));
        // Without the dice: the same words, but not the same luck.
        let text = fates.to_string();
        let (again, _) = run(&format!("delay 20ms rate 100kbit queue 8 limit 30 seed {}", !seed), Some(&text.parse().unwrap()), &frames);
        prop_assert_eq!(again, seen);
    }
}

/// An IPv4 packet of 100 bytes with this ECN field.
fn packet(ecn: u8) -> Vec<u8> {
    let mut bytes = vec![0; 100];
    let header = crate::wire::ipv4::Header {
        ecn,
        ..crate::wire::ipv4::Header::new(
            [10, 0, 0, 1].into(),
            [10, 0, 0, 2].into(),
            crate::wire::ip::Protocol::UDP,
            64,
            80,
        )
    };
    header.write(&mut bytes).unwrap();
    bytes
}

/// The ECN fields of what has arrived, all of it with a checksum that is right.
fn fields(wire: &mut Channel) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(delivery) = wire.pop(at(100.secs())) {
        all.push(crate::wire::ip::Packet::parse(delivery.bytes).unwrap().ecn);
    }
    all
}

#[test]
fn a_long_queue_marks_what_can_be_marked() {
    for threshold in ["2", "200b"] {
        let mut wire = channel(&format!("rate 8kbit mark {threshold}")).on(Medium::Ip);
        wire.record_fates(None);
        for ecn in [2, 2, 0, 1, 3] {
            push(&mut wire, at(0.ms()), &packet(ecn));
        }
        assert_eq!(fields(&mut wire), [2, 2, 0, 3, 3]);
        assert_eq!(wire.counts().to_string(), "5 frames, 2 marked, 5 delivered");
        // The same decisions again, without looking at the queue.
        let list = FateList { entries: wire.fates().to_vec(), omitted: 0 };
        assert_eq!(list.to_string(), "frame 4 of a->b: mark\nframe 5 of a->b: mark\n");
        let mut again = channel("").on(Medium::Ip);
        again.play_back(&list.to_string().parse().unwrap());
        for ecn in [2, 2, 0, 1, 3] {
            push(&mut again, at(0.ms()), &packet(ecn));
        }
        assert_eq!(fields(&mut again), [2, 2, 0, 3, 3]);
    }
}

#[test]
fn codel_marks_or_drops_what_has_waited_for_an_interval() {
    // A frame takes 1 ms, and one comes each 0.9 ms: the queue grows by a tenth of the time.
    for (ecn, expected) in [(2, "marked"), (0, "dropped early")] {
        let mut wire = channel("rate 800kbit codel 5ms 100ms").on(Medium::Ip);
        let mut first = None;
        for n in 0..1000 {
            let passage = push(&mut wire, at((n * 900).us()), &packet(ecn));
            if passage.fate.mark || passage.fate.is_drop() {
                first = first.or(Some(n));
            }
        }
        // A frame of an Ethernet takes 15 ms here: that is the target. It is reached by the frame that leaves after 151
        // ms; the one that leaves 100 ms later is the first that CoDel takes.
        let waited = first.unwrap() * 900 / 1000;
        assert!((220..235).contains(&waited), "{waited}");
        let counts = wire.counts().to_string();
        assert!(counts.contains(expected), "{counts}");
    }
}

#[test]
fn what_is_no_ip_packet_is_not_marked() {
    let mut wire = channel("rate 8kbit mark 0");
    let mut frame = vec![2; 60];
    frame[12..14].copy_from_slice(&[8, 6]);
    push(&mut wire, at(0.ms()), &frame);
    assert_eq!(wire.counts().marked, 0);
    frame[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0x20]);
    push(&mut wire, at(0.ms()), &frame);
    assert_eq!(wire.counts().marked, 1);
}
