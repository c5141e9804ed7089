//! Feedback by counters (RFC 9768): the receiver counts marked packets and bytes, each segment carries the last three
//! bits of the one (the ACE field), and an option the last 24 bits of the others; the sender counts after it.

use super::codepoint::{CE, ECT_0, ECT_1};
use super::handshake::{is_zeroed, reflect, reflected};
use super::{Agreed, Arrival, EcnBytes, EcnFailures, EcnInfo, EcnMode, Marks, Report, bits_of, flags_of};
use crate::wire::acc_ecn::{AccEcn, AccEcnOrder};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

/// Both halves of a connection.
#[derive(Clone, Debug)]
pub(super) struct Accurate {
    receiver: Receiver,
    sender: Sender,
}

/// What was received under which mark.
#[derive(Clone, Debug)]
struct Receiver {
    counts: Counters,
    /// Marked packets since the last segment that left.
    unsaid: u32,
    /// The last packet was marked.
    last_was_marked: bool,
    /// Byte counters that have changed since the last option, and at any time.
    changed: Fields,
    used: Fields,
    options: Options,
    /// The number of the peer's SYN-ACK, if it was the peer who answered.
    syn_ack: Option<SeqNum>,
    /// The ECN field of the SYN-ACK that is to be acknowledged alone.
    handshake: Option<u8>,
}

/// Whether the option is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Options {
    /// With the next segment whatever it says, and with the first new data.
    First,
    /// With the first new data, and when there is something to say.
    FirstData,
    /// When there is something to say.
    Needed,
    /// It may be what segments were dropped for.
    Never,
}

/// What the peer says that it has received.
#[derive(Clone, Debug)]
struct Sender {
    counts: Counters,
    /// No segment was heard yet that acknowledges our SYN-ACK.
    awaits_handshake: bool,
    /// No counter was heard yet.
    awaits_first: bool,
    option: Heard,
    /// Bytes acknowledged before the option was first heard.
    unheard: u64,
    /// What shows the latest report: its sequence number and TSval.
    latest: Option<(SeqNum, Option<u32>)>,
    /// Something on the way changes the ECN field or what is said about it.
    mangled: bool,
    /// What is said cannot be believed.
    deaf: bool,
}

/// Whether the peer's option is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    NotYet,
    Yes,
    /// It was zeroed, or it would come too late.
    Ignored,
}

/// RFC 9768 section 3.2: `cep`, `ceb`, `e0b` and `e1b`; how far they are beyond their first values is shown outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    cep: u32,
    ceb: u64,
    e0b: u64,
    e1b: u64,
}

bitflags::bitflags! {
    /// Byte counters.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Fields: u8 {
        const E0B = 1;
        const CEB = 2;
        const E1B = 4;
    }
}

/// How often the ACE field counts before it begins anew.
const ACE_CYCLE: u32 = 8;
/// The same of a field of the option.
const FIELD_MASK: u64 = (1 << 24) - 1;
/// Bytes after which an option that was not heard yet could have wrapped.
const TOO_LATE: u64 = 1 << 23;

impl Counters {
    /// RFC 9768 section 3.2.1.
    const INITIAL: Self = Self { cep: 5, ceb: 0, e0b: 1, e1b: 1 };

    fn bytes(&self) -> EcnBytes {
        EcnBytes { ce: self.ceb, ect0: self.e0b - Self::INITIAL.e0b, ect1: self.e1b - Self::INITIAL.e1b }
    }

    fn packets(&self) -> u32 {
        self.cep.wrapping_sub(Self::INITIAL.cep)
    }
}

impl Accurate {
    pub(super) fn new(agreed: &Agreed, irs: SeqNum) -> Self {
        Self { receiver: Receiver::new(agreed, irs), sender: Sender::new(agreed) }
    }

    pub(super) fn wants_handshake_ack(&self) -> bool {
        self.receiver.handshake.is_some()
    }

    /// Whether nothing that we send may be ECN-capable any more.
    pub(super) fn is_mangled(&self) -> bool {
        self.sender.mangled
    }

    /// The ACE field of a segment that leaves now.
    pub(super) fn flags(&self) -> Flags {
        flags_of(self.receiver.counts.cep as u8)
    }

    pub(super) fn option(&self, room: usize) -> Option<AccEcn> {
        self.receiver.option(room)
    }

    pub(super) fn handle_arrival(&mut self, arrival: &Arrival) -> bool {
        self.receiver.handle_arrival(arrival)
    }

    pub(super) fn handle_report(&mut self, report: &Report) -> Marks {
        self.sender.handle_report(report)
    }

    pub(super) fn handle_syn_ack_again(&mut self, seq: SeqNum, ecn: u8) {
        if self.receiver.syn_ack == Some(seq) {
            self.receiver.handshake = Some(ecn);
        }
    }

    pub(super) fn leave_options(&mut self) {
        self.receiver.options = Options::Never;
    }

    pub(super) fn take_flags(&mut self, pure: bool, new: bool, option: bool) -> Flags {
        let handshake = self.receiver.handshake.take_if(|_| pure);
        self.receiver.handle_sent(new, option);
        handshake.map_or(self.flags(), |ecn| flags_of(reflect(ecn)))
    }

    pub(super) fn info(&self, base: EcnInfo) -> EcnInfo {
        EcnInfo {
            mode: EcnMode::Accurate,
            failures: EcnFailures {
                ace_sent: !base.sends_ect && !self.sender.mangled,
                ace_received: self.sender.mangled,
                option_sent: self.receiver.options == Options::Never,
                option_received: self.sender.option == Heard::Ignored,
            },
            options_seen: self.sender.option == Heard::Yes,
            received_ce: self.receiver.counts.packets(),
            received: self.receiver.counts.bytes(),
            delivered: self.sender.counts.bytes(),
            ..base
        }
    }
}

impl Receiver {
    fn new(agreed: &Agreed, irs: SeqNum) -> Self {
        let marked = agreed.asked && agreed.heard() == CE;
        let first = if agreed.asked { Options::First } else { Options::Needed };
        Self {
            // RFC 9768 section 3.2.2.2: a marked SYN-ACK counts once, a SYN never.
            counts: Counters { cep: Counters::INITIAL.cep + u32::from(marked), ..Counters::INITIAL },
            unsaid: 0,
            last_was_marked: marked,
            changed: Fields::empty(),
            used: Fields::empty(),
            options: if agreed.option_lost { Options::Never } else { first },
            syn_ack: agreed.asked.then_some(irs),
            handshake: agreed.asked.then_some(agreed.heard()),
        }
    }

    /// RFC 9768 section 3.2: each acceptable packet counts, whatever it carries.
    fn handle_arrival(&mut self, arrival: &Arrival) -> bool {
        let marked = arrival.ecn == CE;
        let begins = marked && !self.last_was_marked && arrival.bytes > 0;
        self.last_was_marked = marked;
        if marked {
            self.counts.cep = self.counts.cep.wrapping_add(arrival.segments);
            self.unsaid = self.unsaid.saturating_add(arrival.segments);
        }
        let counts = &mut self.counts;
        let (field, counter) = match arrival.ecn {
            CE => (Fields::CEB, &mut counts.ceb),
            ECT_0 => (Fields::E0B, &mut counts.e0b),
            ECT_1 => (Fields::E1B, &mut counts.e1b),
            _ => return false,
        };
        if arrival.bytes > 0 {
            *counter += u64::from(arrival.bytes);
            self.changed |= field;
            self.used |= field;
        }
        // RFC 9768 section 3.2.2.5.1: at the beginning of a row of marks, and for each second of them, or third if it
        // is acknowledgments that are marked.
        let many = if arrival.owed || arrival.bytes > 0 { 2 } else { 3 };
        begins || (marked && self.unsaid >= many)
    }

    /// RFC 9768 section 3.2.3.3: on every segment if a counter has changed since the last, with all that ever changed;
    /// with fewer if there is no room, but never without one that has changed.
    fn option(&self, room: usize) -> Option<AccEcn> {
        let (wanted, needed) = match self.options {
            Options::Never => return None,
            Options::First | Options::FirstData => (Fields::all(), self.changed),
            Options::Needed if self.changed.is_empty() => return None,
            Options::Needed => (self.used, self.changed),
        };
        let (order, most) = layout(wanted);
        let fits = |option: &AccEcn| option.padded_len() <= room;
        let whole = self.write(order, most);
        if fits(&whole) {
            return Some(whole);
        }
        let (order, least) = layout(needed);
        (least > 0).then(|| self.write(order, least)).filter(fits)
    }

    fn write(&self, order: AccEcnOrder, fields: usize) -> AccEcn {
        let low = |counter: u64| (counter & FIELD_MASK) as u32;
        AccEcn::new(order, fields, low(self.counts.e0b), low(self.counts.ceb), low(self.counts.e1b))
    }

    /// A segment has left, with the option if `option`.
    fn handle_sent(&mut self, new: bool, option: bool) {
        self.unsaid = 0;
        if !option {
            return;
        }
        self.changed = Fields::empty();
        self.options = match self.options {
            Options::First if !new => Options::FirstData,
            // RFC 9768 section 3.2.3.2.1: until then, for the first ACK may be lost.
            Options::FirstData if !new => Options::FirstData,
            Options::First | Options::FirstData => Options::Needed,
            same => same,
        };
    }
}

/// The shortest option that has these fields: its order, and how many there are.
fn layout(fields: Fields) -> (AccEcnOrder, usize) {
    let (e0b, ceb, e1b) =
        (fields.contains(Fields::E0B), fields.contains(Fields::CEB), fields.contains(Fields::E1B));
    match (e0b, ceb, e1b) {
        (true, _, true) => (AccEcnOrder::Ect1First, 3),
        (_, true, false) => (AccEcnOrder::Ect0First, 2),
        (false, true, true) => (AccEcnOrder::Ect1First, 2),
        (true, false, false) => (AccEcnOrder::Ect0First, 1),
        (false, false, true) => (AccEcnOrder::Ect1First, 1),
        (false, false, false) => (AccEcnOrder::Ect0First, 0),
    }
}

impl Sender {
    fn new(agreed: &Agreed) -> Self {
        let mut sender = Self {
            counts: Counters::INITIAL,
            awaits_handshake: !agreed.asked,
            awaits_first: true,
            option: Heard::NotYet,
            unheard: 0,
            latest: None,
            // The SYN-ACK has told it.
            mangled: agreed.asked && agreed.is_plain(),
            deaf: false,
        };
        if let Some(option) = &agreed.option {
            sender.hear_option(option);
        }
        sender
    }

    fn handle_report(&mut self, report: &Report) -> Marks {
        if !self.is_newer(report) {
            return Marks::default();
        }
        let bits = bits_of(report.flags);
        if core::mem::take(&mut self.awaits_handshake) && report.pure {
            if let Some(option) = &report.option {
                self.hear_option(option);
            }
            return self.hear_handshake(bits);
        }
        let packets = report.packets();
        // RFC 9768 section 3.2.2.4: it begins at 5. Three marks at once could be the reason too.
        if core::mem::take(&mut self.awaits_first) && bits == 0 && packets < 3 {
            (self.mangled, self.deaf) = (true, true);
        }
        let ce_bytes = self.hear_counters(report);
        let marked = self.new_marks(bits, packets, ce_bytes, report.smss);
        self.counts.cep = self.counts.cep.wrapping_add(marked);
        // RFC 9768 section 3.2.3.2.5: bytes that came in no packet.
        self.mangled |= self.counts.ceb > 0 && self.counts.packets() == 0;
        if self.deaf {
            return Marks::default();
        }
        // RFC 9768 appendix A.3: without the option, full segments.
        let guess = marked.saturating_mul(report.smss).min(report.newly);
        Marks { any: marked > 0, packets: marked, bytes: ce_bytes.map_or(guess, |bytes| bytes as u32) }
    }

    /// Whether no report before it was sent later (RFC 9768 section 3.2.2.2).
    fn is_newer(&mut self, report: &Report) -> bool {
        let newer = match self.latest {
            None => true,
            Some((seq, stamp)) => {
                let ticked =
                    stamp.zip(report.stamp).is_some_and(|(old, new)| (new.wrapping_sub(old) as i32) > 0);
                report.progress || report.seq.after(seq) || ticked
            }
        };
        if newer {
            self.latest = Some((report.seq, report.stamp));
        }
        newer
    }

    /// The ACK of our SYN-ACK (RFC 9768 section 3.2.2.1, table 4).
    fn hear_handshake(&mut self, bits: u8) -> Marks {
        let echoed = reflected(bits);
        if bits == 0 {
            (self.mangled, self.deaf) = (true, true);
        }
        // RFC 9768 section 3.2.2.3: the SYN-ACK's ECN field was empty when it left.
        self.mangled |= echoed.is_some_and(|ecn| ecn != super::codepoint::NOT_ECT);
        let marked = u32::from(echoed == Some(CE));
        self.counts.cep += marked;
        Marks { any: marked > 0, packets: marked, bytes: 0 }
    }

    /// The first option: it must not be zeroed.
    fn hear_option(&mut self, option: &AccEcn) {
        if self.option == Heard::NotYet {
            self.option = if is_zeroed(option) { Heard::Ignored } else { Heard::Yes };
        }
    }

    /// The option's byte counters (RFC 9768 section 3.2.3.1): by how much that for CE has grown, if it is known.
    fn hear_counters(&mut self, report: &Report) -> Option<u64> {
        let Some(option) = &report.option else {
            if self.option == Heard::NotYet {
                self.unheard += u64::from(report.newly);
                // What comes first after so much could have wrapped.
                self.option = if self.unheard >= TOO_LATE { Heard::Ignored } else { Heard::NotYet };
            }
            return None;
        };
        self.hear_option(option);
        if self.option != Heard::Yes {
            return None;
        }
        let take = |counter: &mut u64, field: Option<u32>| {
            let grown = field.map(|field| u64::from(field).wrapping_sub(*counter) & FIELD_MASK);
            *counter += grown.unwrap_or(0);
            grown
        };
        take(&mut self.counts.e0b, option.e0b());
        take(&mut self.counts.e1b, option.e1b());
        take(&mut self.counts.ceb, option.ceb())
    }

    /// How many more packets are marked than before (RFC 9768 section 3.2.2.5.2, appendix A.2).
    ///
    /// Note: packets are counted as full segments. If the field may have begun anew, as many are taken for marked as
    /// can be, unless the bytes say that it cannot be so many.
    fn new_marks(&self, bits: u8, packets: u32, ce_bytes: Option<u64>, smss: u32) -> u32 {
        let least = u32::from(bits).wrapping_sub(self.counts.cep) % ACE_CYCLE;
        if packets < ACE_CYCLE {
            return least;
        }
        let most = packets - (packets - least) % ACE_CYCLE;
        match ce_bytes {
            Some(0) => least,
            Some(bytes) if bytes <= u64::from(least) * u64::from(smss) => least,
            Some(bytes) => {
                let cycles = bytes.div_ceil(u64::from(smss.max(1))).saturating_sub(u64::from(least));
                most.min(least + (cycles.div_ceil(ACE_CYCLE.into()) as u32).saturating_mul(ACE_CYCLE))
            }
            None => most,
        }
    }
}
