//! Writing IP headers, and choosing the numbers in them that nobody else may guess: identifications (RFC 6864,
//! RFC 7739) and flow labels (RFC 6437).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::rng::{KeyedHash, Rng};
use crate::wire::checksum::Sum;
use crate::wire::ip::Protocol;
use crate::wire::{Error, Layer, ext, ipv4, ipv6, put_u16};

/// The most bytes that [`Meta::write`] writes: an IPv6 header with a router alert.
pub const MAX_HEADER: usize = ipv6::HEADER_LEN + ext::ROUTER_ALERT_LEN;

/// What was counted, in the words of `/proc/net/snmp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OutputStats {
    /// OutRequests: packets that our own transports asked to send.
    pub out_requests: u64,
    /// OutDiscards: packets dropped though nothing was wrong with them (queues full).
    pub out_discards: u64,
    /// OutNoRoutes: packets without a way to go.
    pub out_no_routes: u64,
    /// OutOctets: bytes of all packets sent.
    pub out_octets: u64,
}

/// What the IP header of a packet says, beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Our address. Of the same family as `destination`.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// What the payload is.
    pub protocol: Protocol,
    /// How many hops it may take.
    pub hop_limit: u8,
    /// Differentiated services code point, 0..=63.
    pub dscp: u8,
    /// ECN field, 0..=3.
    pub ecn: u8,
    /// IPv6 flow label, 20 bits; see [`Ids::flow_label`].
    pub flow_label: u32,
    /// IPv4: routers must not fragment it.
    pub dont_fragment: bool,
    /// Each router on the way has to look into it (RFC 2113, RFC 2711): reports of group membership.
    pub router_alert: bool,
}

impl Meta {
    /// A header with the usual values: 64 hops, no marks, not to be fragmented.
    pub const fn new(source: IpAddr, destination: IpAddr, protocol: Protocol) -> Self {
        Self {
            source,
            destination,
            protocol,
            hop_limit: 64,
            dscp: 0,
            ecn: 0,
            flow_label: 0,
            dont_fragment: true,
            router_alert: false,
        }
    }

    /// Bytes of the header.
    pub const fn header_len(&self) -> usize {
        match (self.source, self.router_alert) {
            (IpAddr::V4(_), false) => ipv4::MIN_HEADER_LEN,
            (IpAddr::V4(_), true) => ipv4::MIN_HEADER_LEN + 4,
            (IpAddr::V6(_), false) => ipv6::HEADER_LEN,
            (IpAddr::V6(_), true) => MAX_HEADER,
        }
    }

    /// Writes the header of a packet with `payload_len` bytes of payload at the start of `out`; answers its length.
    ///
    /// # Errors
    /// `out` is too short, the packet too long, or the addresses are not of one family.
    pub fn write(&self, ids: &mut Ids, payload_len: usize, out: &mut [u8]) -> Result<usize, Error> {
        let too_long = Error::Length {
            layer: Layer::Ip,
            offset: 0,
            needed: payload_len + self.header_len(),
            had: usize::from(u16::MAX),
        };
        match (self.source, self.destination) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let len = u16::try_from(payload_len).map_err(|_| too_long)?;
                // RFC 6864 section 4.1: what is never fragmented needs no identification.
                let id = if self.dont_fragment { 0 } else { ids.next_v4(src, dst, self.protocol) };
                let (dont_fragment, router_alert) = (self.dont_fragment, self.router_alert);
                let options = if router_alert { ipv4::Options::ROUTER_ALERT } else { ipv4::Options::EMPTY };
                let header = ipv4::Header::new(src, dst, self.protocol, self.hop_limit, len);
                let (dscp, ecn) = (self.dscp, self.ecn);
                ipv4::Header { dscp, ecn, id, dont_fragment, options, ..header }.write(out)
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let extension = if self.router_alert { ext::ROUTER_ALERT_LEN } else { 0 };
                let len = u16::try_from(payload_len + extension).map_err(|_| too_long)?;
                let next = if self.router_alert { Protocol::HOP_BY_HOP } else { self.protocol };
                let header = ipv6::Header::new(src, dst, next, self.hop_limit, len);
                let (dscp, ecn, flow_label) = (self.dscp, self.ecn, self.flow_label);
                let at = ipv6::Header { dscp, ecn, flow_label, ..header }.write(out)?;
                let Some(room) = out.get_mut(at..at + extension) else { return Err(too_long) };
                if self.router_alert {
                    room.copy_from_slice(&ext::router_alert(self.protocol));
                }
                Ok(at + extension)
            }
            _ => Err(too_long),
        }
    }
}

/// A header that was written once, for packets that differ in length and identification alone.
#[derive(Clone, Copy, Debug)]
pub enum Template {
    /// IPv4.
    V4 {
        /// Over the header, in which what differs is zero.
        sum: Sum,
        /// Those of the packets, unless they are never fragmented.
        numbers: Option<Numbers>,
    },
    /// IPv6, in which the length alone differs.
    V6,
}

impl Template {
    /// Makes a template of a header that `meta` has written; `None` if it has options or extensions.
    pub fn new(meta: &Meta, ids: &Ids, header: &mut [u8]) -> Option<Self> {
        if meta.router_alert || header.len() != meta.header_len() {
            return None;
        }
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (meta.source, meta.destination) else {
            return Some(Self::V6);
        };
        for field in [ipv4::field::TOTAL_LEN, ipv4::field::ID, ipv4::field::CHECKSUM] {
            put_u16(header, field, 0);
        }
        let numbers = || ids.numbers(&(source, destination, meta.protocol.0));
        Some(Self::V4 { sum: Sum::ZERO.with(header), numbers: (!meta.dont_fragment).then(numbers) })
    }

    /// Makes `header`, which it was made of, that of the next packet, with `payload_len` bytes of payload: a packet
    /// that [`Meta::write`] would take.
    #[inline]
    pub fn complete(&self, ids: &mut Ids, header: &mut [u8], payload_len: usize) {
        let Self::V4 { sum, numbers } = self else {
            return put_u16(header, ipv6::field::PAYLOAD_LEN, payload_len as u16);
        };
        let (mut sum, len) = (*sum, (ipv4::MIN_HEADER_LEN + payload_len) as u16);
        let id = numbers.map_or(0, |numbers| ids.take(&numbers) as u16);
        sum.add_u16(len);
        sum.add_u16(id);
        put_u16(header, ipv4::field::TOTAL_LEN, len);
        put_u16(header, ipv4::field::ID, id);
        put_u16(header, ipv4::field::CHECKSUM, sum.checksum());
    }
}

/// How many counters the destinations share.
const COUNTERS: usize = 1024;

/// Identifications and flow labels.
///
/// RFC 7739 section 5.3: a number is the hash of both addresses under a secret, plus a counter that the addresses
/// select by another hash. It repeats as late as can be, and one destination learns nothing about the numbers, or the
/// amount of traffic, of another.
#[derive(Clone, Debug)]
pub struct Ids {
    offset: KeyedHash,
    select: KeyedHash,
    flow: KeyedHash,
    counters: Box<[u32; COUNTERS]>,
}

impl Ids {
    /// Keys and counters from `rng`.
    pub fn new(rng: &mut Rng) -> Self {
        let (offset, select, flow) = (KeyedHash::new(rng), KeyedHash::new(rng), KeyedHash::new(rng));
        let mut counters = Box::new([0; COUNTERS]);
        counters.fill_with(|| rng.next_u32());
        Self { offset, select, flow, counters }
    }

    /// A label that all packets of one flow share; never zero, which would mean "none" (RFC 6437 section 3).
    pub fn flow_label(&self, source: (IpAddr, u16), destination: (IpAddr, u16), protocol: Protocol) -> u32 {
        let hash = self.flow.of(&(source, destination, protocol.0));
        ((hash & 0xf_ffff) as u32).max(1)
    }

    /// The identification of a packet that may be fragmented (RFC 6864 section 4.3).
    pub fn next_v4(&mut self, source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol) -> u16 {
        self.next(&(source, destination, protocol.0)) as u16
    }

    /// The identification of a packet that is about to be fragmented (RFC 8200 section 4.5).
    pub fn next_v6(&mut self, source: Ipv6Addr, destination: Ipv6Addr) -> u32 {
        self.next(&(source, destination))
    }

    /// Leaves out the identifications that a device gives to the other `packets` that it cuts from what `meta` heads:
    /// it counts on from the first one's.
    pub fn pass_over(&mut self, meta: &Meta, packets: usize) {
        if let (IpAddr::V4(source), IpAddr::V4(destination), false) =
            (meta.source, meta.destination, meta.dont_fragment)
        {
            let counter = self.counter(&(source, destination, meta.protocol.0));
            *counter = counter.wrapping_add(packets as u32);
        }
    }

    fn counter(&mut self, flow: &impl core::hash::Hash) -> &mut u32 {
        &mut self.counters[self.select.of(flow) as usize % COUNTERS]
    }

    fn numbers(&self, flow: &impl core::hash::Hash) -> Numbers {
        Numbers { counter: self.select.of(flow) as usize % COUNTERS, offset: self.offset.of(flow) as u32 }
    }

    #[inline]
    fn take(&mut self, numbers: &Numbers) -> u32 {
        let counter = &mut self.counters[numbers.counter % COUNTERS];
        *counter = counter.wrapping_add(1);
        numbers.offset.wrapping_add(*counter)
    }

    fn next(&mut self, flow: &impl core::hash::Hash) -> u32 {
        self.take(&self.numbers(flow))
    }
}

/// Where the identifications of one flow come from.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    counter: usize,
    offset: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::Packet;

    const HERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const HERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const THERE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    fn ids() -> Ids {
        Ids::new(&mut Rng::new(1, 1))
    }

    #[test]
    fn numbers_count_up_for_one_destination() {
        let mut ids = ids();
        let first = ids.next_v6(HERE6, THERE6);
        assert_eq!(ids.next_v6(HERE6, THERE6), first.wrapping_add(1));
        let first = ids.next_v4(HERE, THERE, Protocol::UDP);
        assert_eq!(ids.next_v4(HERE, THERE, Protocol::UDP), first.wrapping_add(1));
    }

    #[test]
    fn numbers_of_one_destination_say_nothing_about_another() {
        // RFC 7739 section 4: neither the value nor the rate.
        let mut ids = ids();
        let others: Vec<u32> = (0..50).map(|n| ids.next_v6(HERE6, Ipv6Addr::from_bits(n))).collect();
        let close = others.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 1000).count();
        assert_eq!(close, 0);
        let before = ids.next_v6(HERE6, THERE6);
        let moved = (0..50).filter(|&n| {
            let other = ids.next_v6(HERE6, Ipv6Addr::from_bits(n));
            other != others[n as usize].wrapping_add(1)
        });
        assert!(moved.count() < 5);
        assert_eq!(ids.next_v6(HERE6, THERE6), before.wrapping_add(1));
    }

    #[test]
    fn a_flow_keeps_its_label() {
        let ids = ids();
        let label = |port| ids.flow_label((HERE6.into(), port), (THERE6.into(), 80), Protocol::TCP);
        assert_eq!(label(1024), label(1024));
        assert_ne!(label(1024), label(1025));
        assert!((1..2000).all(|port| (1..=0xf_ffff).contains(&label(port))));
    }

    #[test]
    fn a_template_writes_what_the_header_itself_does() {
        let v4 = Meta { hop_limit: 9, dscp: 5, ..Meta::new(HERE.into(), THERE.into(), Protocol::UDP) };
        let v6 = Meta { flow_label: 77, ..Meta::new(HERE6.into(), THERE6.into(), Protocol::UDP) };
        for meta in [v4, Meta { dont_fragment: false, ..v4 }, v6] {
            let (mut ids, mut same) = (ids(), ids());
            let (mut out, mut header) = ([0; MAX_HEADER], [0; MAX_HEADER]);
            for ids in [&mut ids, &mut same] {
                let len = meta.write(ids, 1, &mut header).unwrap();
                assert_eq!(len, meta.header_len());
            }
            let header = &mut header[..meta.header_len()];
            let template = Template::new(&meta, &same, header).unwrap();
            for payload in [0, 8, 1_472, 65_000, 65_535 - meta.header_len()] {
                let len = meta.write(&mut ids, payload, &mut out).unwrap();
                template.complete(&mut same, header, payload);
                assert_eq!(header, &out[..len]);
            }
        }
        let alert = Meta { router_alert: true, ..v6 };
        assert!(Template::new(&alert, &ids(), &mut [0; MAX_HEADER]).is_none());
    }

    #[test]
    fn an_atomic_packet_has_no_identification() {
        let mut out = [0; MAX_HEADER];
        let meta = Meta::new(HERE.into(), THERE.into(), Protocol::TCP);
        assert_eq!(meta.write(&mut ids(), 100, &mut out), Ok(20));
        assert_eq!((&out[4..6], out[6]), (&[0, 0][..], 0x40));
        let mut ids = ids();
        let meta = Meta { dont_fragment: false, ..meta };
        meta.write(&mut ids, 100, &mut out).unwrap();
        let first = u16::from_be_bytes([out[4], out[5]]);
        meta.write(&mut ids, 100, &mut out).unwrap();
        assert_eq!(u16::from_be_bytes([out[4], out[5]]), first.wrapping_add(1));
    }

    #[test]
    fn what_is_written_reads_back() {
        for (source, destination) in [(HERE.into(), THERE.into()), (HERE6.into(), THERE6.into())] {
            for router_alert in [false, true] {
                let meta =
                    Meta { router_alert, dscp: 46, ecn: 2, ..Meta::new(source, destination, Protocol::UDP) };
                let mut packet = vec![0; meta.header_len() + 9];
                assert_eq!(meta.write(&mut ids(), 9, &mut packet), Ok(meta.header_len()));
                let read = Packet::parse(&packet).unwrap();
                assert_eq!((read.src, read.dst, read.protocol), (source, destination, Protocol::UDP));
                assert_eq!((read.hop_limit, read.dscp, read.ecn, read.payload.len()), (64, 46, 2, 9));
            }
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let mut out = [0; MAX_HEADER];
        let v4 = Meta::new(HERE.into(), THERE.into(), Protocol::UDP);
        let v6 = Meta::new(HERE6.into(), THERE6.into(), Protocol::UDP);
        assert!(v4.write(&mut ids(), 65_516, &mut out).is_err());
        assert!(v4.write(&mut ids(), 65_515, &mut out).is_ok());
        assert!(v6.write(&mut ids(), 65_536, &mut out).is_err());
        assert!(v6.write(&mut ids(), 9, &mut out[..39]).is_err());
        assert!(Meta { router_alert: true, ..v6 }.write(&mut ids(), 9, &mut out[..47]).is_err());
        assert!(Meta { destination: THERE6.into(), ..v4 }.write(&mut ids(), 9, &mut out).is_err());
    }
}
