//! Negotiation, flags and counters, each as a table.

use super::codepoint::{CE, ECT_0, ECT_1, NOT_ECT};
use super::*;
use crate::tcp::segment::Segment;
use crate::why::Reason;
use crate::wire::acc_ecn::AccEcnOrder;
use crate::wire::tcp::Header;
use EcnMode::{Accurate, Classic, Off};

const SEQ: SeqNum = SeqNum::new(100);

/// A segment with AE, CWR and ECE as these bits and the ECN field.
fn segment(bits: u8, ecn: u8) -> Segment<'static> {
    Segment { ecn, ..Segment::new(Header { flags: flags_of(bits), ..Header::default() }, &[]) }
}

fn arrival(ecn: u8, bytes: u32) -> Arrival {
    Arrival { ecn, flags: Flags::ACK, bytes, segments: 1, owed: false }
}

/// An acknowledgment of `newly` bytes in segments of 1000.
fn report(bits: u8, newly: u32) -> Report {
    let flags = flags_of(bits) | Flags::ACK;
    Report { flags, option: None, pure: true, progress: newly > 0, seq: SEQ, stamp: None, newly, smss: 1000 }
}

fn option(e0b: u32, ceb: u32) -> Option<AccEcn> {
    Some(AccEcn::new(AccEcnOrder::Ect0First, 2, e0b, ceb, 0))
}

/// The ECN of a server whose handshake is complete: 5 was counted on both sides.
fn accurate() -> Box<Ecn> {
    let mut ecn =
        Ecn::new(&Agreed::answer(Accurate, &segment(0b111, NOT_ECT)), SEQ).expect("it was agreed on");
    assert_eq!(ecn.handle_report(&report(0b010, 0)), Marks::default());
    ecn
}

/// RFC 9768 section 3.2.2: packets are counted, and a merged frame is several.
#[test]
fn a_merged_frame_counts_as_its_packets() {
    let mut ecn = accurate();
    assert!(ecn.handle_arrival(&Arrival { segments: 2, ..arrival(CE, 2000) }));
    assert_eq!(bits_of(ecn.take_flags(false, false, false)), 0b111);
    assert!(ecn.handle_arrival(&Arrival { segments: 3, ..arrival(CE, 3000) }));
    assert_eq!(bits_of(ecn.take_flags(false, false, false)), 0b010);
}

#[test]
fn a_server_agrees_to_what_both_know() {
    for (most, bits, ecn, mode) in [
        (Off, 0b111, NOT_ECT, Off),
        (Classic, 0b000, NOT_ECT, Off),
        (Classic, 0b011, NOT_ECT, Classic),
        (Classic, 0b111, NOT_ECT, Classic),
        (Classic, 0b011, ECT_0, Off),
        (Accurate, 0b000, NOT_ECT, Off),
        (Accurate, 0b011, NOT_ECT, Classic),
        (Accurate, 0b011, CE, Off),
        (Accurate, 0b111, CE, Accurate),
        // RFC 9768 section 3.1.3: what a later version asks for.
        (Accurate, 0b101, NOT_ECT, Accurate),
        (Accurate, 0b001, NOT_ECT, Accurate),
    ] {
        assert_eq!(Agreed::answer(most, &segment(bits, ecn)).mode(), mode, "{most:?} {bits:03b} {ecn}");
    }
}

#[test]
fn a_client_reads_the_answer() {
    for (ask, retries, bits, mode, plain) in [
        (Off, 0, 0b001, Off, false),
        (Classic, 0, 0b001, Classic, false),
        (Classic, 0, 0b101, Classic, false),
        (Classic, 0, 0b011, Off, false),
        (Classic, 0, 0b000, Off, false),
        (Classic, 1, 0b001, Off, false),
        (Accurate, 0, 0b010, Accurate, false),
        (Accurate, 0, 0b011, Accurate, true),
        (Accurate, 0, 0b100, Accurate, true),
        (Accurate, 0, 0b110, Accurate, true),
        (Accurate, 0, 0b101, Accurate, false),
        (Accurate, 0, 0b001, Classic, false),
        (Accurate, 0, 0b000, Off, false),
        (Accurate, 0, 0b111, Off, false),
        (Accurate, 2, 0b010, Accurate, false),
        (Accurate, 2, 0b001, Off, false),
    ] {
        let agreed = Agreed::confirm(ask, retries, &segment(bits, NOT_ECT));
        assert_eq!((agreed.mode(), agreed.is_plain()), (mode, plain), "{ask:?} {retries} {bits:03b}");
    }
}

#[test]
fn a_syn_falls_back_as_it_is_repeated() {
    let bits = |ask, retries| bits_of(syn_flags(ask, retries));
    assert_eq!([bits(Classic, 0), bits(Classic, 1)], [0b011, 0]);
    assert_eq!([bits(Accurate, 0), bits(Accurate, 1), bits(Accurate, 2)], [0b111, 0b111, 0]);
    assert_eq!(bits(Off, 0), 0);
    let mut agreed = Agreed::answer(Accurate, &segment(0b111, ECT_1));
    let (flags, option) = agreed.take_syn_ack(Reason::SynAck, 0);
    assert_eq!((bits_of(flags), option.is_some()), (0b011, true));
    let (flags, option) = agreed.take_syn_ack(Reason::SynAckRetransmit, 1);
    assert_eq!((bits_of(flags), option, agreed.is_plain()), (0b011, None, false));
    let (flags, option) = agreed.take_syn_ack(Reason::SynAckRetransmit, 2);
    assert_eq!((bits_of(flags), option, agreed.is_plain()), (0, None, true));
}

#[test]
fn a_cookie_is_remembered_by_the_first_flags() {
    let remember = |most, classic, bits| Agreed::remember(most, classic, &segment(bits, 0)).mode();
    assert_eq!(remember(Accurate, true, 0b010), Classic);
    assert_eq!(remember(Accurate, false, 0b010), Accurate);
    assert_eq!(remember(Accurate, false, 0b001), Off);
    assert_eq!(remember(Classic, false, 0b010), Off);
    assert_eq!(remember(Off, true, 0b010), Off);
}

#[test]
fn the_counter_wraps_where_it_must_have() {
    let marks = |bits, newly, option| {
        let mut ecn = accurate();
        ecn.handle_report(&Report { option, ..report(bits, newly) }).packets
    };
    // Up to seven segments: what the field says.
    assert_eq!([marks(6, 1000, None), marks(5, 7000, None), marks(4, 7000, None)], [1, 0, 7]);
    // More: as many as there can be, unless the bytes say otherwise.
    assert_eq!([marks(5, 8000, None), marks(6, 8000, None), marks(6, 17_000, None)], [8, 1, 17]);
    assert_eq!([marks(6, 17_000, option(17_001, 0)), marks(6, 17_000, option(16_001, 1000))], [1, 1]);
    assert_eq!(marks(6, 17_000, option(8001, 9000)), 9);
    // More marks than segments: packets without data count, too.
    assert_eq!(marks(7, 1000, None), 2);
}

#[test]
fn bytes_without_a_packet_are_mangled() {
    let mut ecn = accurate();
    assert_eq!(ecn.field_of_data(), ECT_0);
    ecn.handle_report(&Report { option: option(1, 1000), ..report(5, 2000) });
    assert_eq!(ecn.field_of_data(), NOT_ECT);
}

#[test]
fn a_zeroed_option_is_ignored() {
    let mut ecn = accurate();
    ecn.handle_report(&Report { option: option(0, 0), ..report(5, 1000) });
    ecn.handle_report(&Report { option: option(5000, 3000), ..report(6, 1000) });
    assert!(!ecn.info().options_seen);
    assert_eq!(ecn.info().delivered, EcnBytes::default());
}

#[test]
fn a_counter_says_which_acknowledgment_is_newer() {
    let mut ecn = accurate();
    let at =
        |bits, newly, seq: u32, stamp| Report { seq: SEQ + seq, stamp: Some(stamp), ..report(bits, newly) };
    assert_eq!(ecn.handle_report(&at(6, 1000, 0, 10)).packets, 1);
    // The same numbers, not later: nothing. Later by sequence number or time: it counts.
    assert_eq!(ecn.handle_report(&at(7, 0, 0, 10)).packets, 0);
    assert_eq!(ecn.handle_report(&at(7, 0, 0, 11)).packets, 1);
    assert_eq!(ecn.handle_report(&at(0, 0, 1, 11)).packets, 1);
}

#[test]
fn the_option_is_as_short_as_what_has_changed() {
    let mut ecn = accurate();
    let lens = |ecn: &Ecn| ecn.option(40).map(|option| option.padded_len());
    assert_eq!(lens(&ecn), None);
    ecn.handle_arrival(&arrival(ECT_0, 1000));
    assert_eq!((lens(&ecn), ecn.option(7)), (Some(8), None));
    ecn.handle_arrival(&arrival(CE, 1000));
    ecn.handle_arrival(&arrival(ECT_1, 1000));
    assert_eq!(lens(&ecn), Some(12));
    // Without room for all that has changed there is none.
    assert_eq!(ecn.option(11), None);
    assert_eq!(ecn.take_flags(true, false, true), flags_of(6) & !Flags::ACK);
    ecn.handle_arrival(&arrival(CE, 10));
    let short = ecn.option(8).expect("two fields fit");
    assert_eq!((short.ceb(), short.e1b()), (Some(1010), None));
    assert_eq!(lens(&ecn), Some(12));
}

#[test]
fn marks_are_told_at_once_and_in_pairs() {
    let mut ecn = accurate();
    let mut at_once = |ecn_field, bytes| ecn.handle_arrival(&arrival(ecn_field, bytes));
    assert!(!at_once(ECT_0, 1000));
    assert!(at_once(CE, 1000) && at_once(CE, 1000));
    ecn.take_flags(true, false, false);
    let mut at_once = |ecn_field, bytes| ecn.handle_arrival(&arrival(ecn_field, bytes));
    // Acknowledgments: each third.
    assert_eq!([at_once(CE, 0), at_once(CE, 0), at_once(CE, 0)], [false, false, true]);
}

#[test]
fn an_echo_lasts_until_it_is_confirmed() {
    let mut ecn =
        Ecn::new(&Agreed::answer(Classic, &segment(0b011, NOT_ECT)), SEQ).expect("it was agreed on");
    assert!(ecn.handle_arrival(&arrival(CE, 1000)));
    assert!(!ecn.handle_arrival(&arrival(CE, 1000)));
    assert_eq!(ecn.take_flags(true, false, false), Flags::ECE);
    assert!(ecn.handle_arrival(&Arrival { flags: Flags::CWR, ..arrival(ECT_0, 1000) }));
    assert!(ecn.take_flags(true, false, false).is_empty());
    // As a sender: once for each window, until CWR is sent.
    assert!(!ecn.is_answered(SEQ));
    ecn.handle_reduction(SEQ + 10, true);
    assert!(ecn.covers_losses(SEQ + 9) && !ecn.covers_losses(SEQ + 10));
    assert!(ecn.is_answered(SEQ + 20));
    assert_eq!(ecn.take_flags(false, true, false), Flags::CWR);
    assert!(ecn.is_answered(SEQ + 10) && !ecn.is_answered(SEQ + 11));
}
