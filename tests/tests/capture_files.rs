//! Captures that others read, and captures that others wrote.

use std::path::Path;

use ustack::capture::{Capture, Direction, LinkType, Reader, Record, Text};
use ustack::time::{Units as _, at};
use ustack::why::{Reason, Why};
use ustack_tests::kernel::{Need, ready};
use ustack_tests::process::{run, tool};
use ustack_tests::scratch::Scratch;
use ustack_tests::wait::SOON;

#[test]
fn tshark_reads_what_we_write() {
    if !ready(&[Need::Tool("tshark")]) {
        return;
    }
    let folder = Scratch::new();
    let path = folder.file("ours.pcapng");
    let capture = Capture::create(&path, 1_700_000_000_000_000_000).unwrap();
    let tap = capture.add_interface("tap0", LinkType::Ethernet).unwrap();
    let tun = capture.add_interface("tun0", LinkType::Raw).unwrap();
    // An ARP request, and an IPv4 packet of a protocol for experiments.
    let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[0; 20]].concat();
    let ip = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0x66, 0xd8, 10, 9, 0, 1, 10, 9, 0, 2];
    let why = Why::new(Reason::Rto).with("rto_us", 400_000).with("cwnd", 14_480);
    let out =
        Record { interface: tap, time: at(1.us()), direction: Some(Direction::Out), comment: Some(&why) };
    capture.write(&out, &[&arp[..14], &arp[14..], b""]);
    let received =
        Record { interface: tun, time: at(2.secs()), direction: Some(Direction::In), comment: None };
    capture.write(&received, &[&ip]);
    capture.finish().unwrap();
    let fields =
        ["frame.time_epoch", "frame.interface_name", "frame.comment", "frame.packet_flags_direction"];
    let mut command = tool("tshark");
    command.arg("-r").arg(&path).args(["-T", "fields", "-E", "separator=;"]);
    fields.iter().chain(&["frame.protocols"]).for_each(|field| {
        command.args(["-e", field]);
    });
    let text = run(&mut command, SOON * 3).success().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].contains("tap0;why=rto rto_us=400000 cwnd=14480;") && lines[0].contains("eth:ethertype:arp"),
        "{text}"
    );
    assert!(lines[0].contains("00.000001000") || lines[0].contains("1700000000.000001000"), "{text}");
    assert!(lines[1].contains("tun0;;") && lines[1].contains("raw:ip"), "{text}");
    assert!(lines.iter().zip(["2", "1"]).all(|(line, flag)| line.contains(flag)), "{text}");
}

#[test]
fn we_read_and_show_every_capture_of_the_project() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pcaps");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        files += 1;
        let mut reader = Reader::open(&path).unwrap();
        let mut text = Text::relative();
        let mut last = None;
        while let Some(packet) = reader.next_packet().unwrap() {
            let line = text.line(packet.link_type, packet.bytes);
            assert!(!line.contains("broken"), "{}: packet {}: {line}", path.display(), packet.number);
            assert!(!packet.is_cut() && Some(packet.time) >= last, "{}", path.display());
            last = Some(packet.time);
        }
        assert!(last.is_some(), "{} is empty", path.display());
    }
    assert!(files >= 8, "{files} captures");
}
