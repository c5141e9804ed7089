//! One stack with one interface of bare IP packets: time is told to it, and what it sends is kept with the time.

use std::collections::VecDeque;
use std::net::IpAddr;

use ustack::buf::frame::{InterfaceId, RxFrame};
use ustack::ip::route::{Prefix, Route};
use ustack::time::Instant;
use ustack::wire::ip::Packet;
use ustack::{Event, SocketId, Stack};
use ustack_tools::run::process::Settings;

/// Packets that wait to be fetched; what comes after them is lost, as in a device's queue.
const MAX_OUTBOX: usize = 65_536;

/// A packet that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) bytes: Vec<u8>,
}

/// What a script drives.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) stack: Stack,
    pub(crate) now: Instant,
    pub(crate) settings: Settings,
    /// Sockets of which the stack has said that they changed.
    pub(crate) changed: Vec<SocketId>,
    interface: InterfaceId,
    outbox: VecDeque<Sent>,
    ours: Vec<IpAddr>,
}

impl Host {
    /// `flags` are settings with commas or spaces between them.
    pub(crate) fn new(flags: &str) -> Result<Self, String> {
        let mut settings = Settings::default();
        for flag in flags.split([',', ' ']).filter(|flag| !flag.is_empty()) {
            let (key, value) = flag.trim_start_matches('-').split_once('=').unwrap_or((flag, ""));
            settings.set(key, value)?;
        }
        let (stack, interface) = settings.stack().map_err(|error| error.to_string())?;
        let ours = vec![settings.local()];
        let mut other = settings.clone();
        other.set("ip_version", if ours[0].is_ipv4() { "ipv6" } else { "ipv4" })?;
        let (outbox, changed) = (VecDeque::new(), Vec::new());
        let mut host = Self { stack, now: Instant::ZERO, settings, changed, interface, outbox, ours };
        host.learn(other.local());
        let everywhere = [IpAddr::from([0; 4]), IpAddr::from([0; 16])];
        for prefix in everywhere.into_iter().filter_map(|any| Prefix::new(any, 0)) {
            let added = host.stack.add_route(Route::on_link(prefix, interface));
            added.map_err(|error| error.to_string())?;
        }
        Ok(host)
    }

    /// When the stack is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.stack.poll_timeout()
    }

    /// A packet of the script arrives. Nobody tells us our addresses: where it goes to is one of them.
    pub(crate) fn handle_packet(&mut self, bytes: &[u8]) {
        if let Ok(packet) = Packet::parse(bytes) {
            self.learn(packet.dst);
        }
        self.stack.handle_frame(self.now, self.interface, RxFrame::plain(bytes));
    }

    /// Time has come to `now`, and what is due is done.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.stack.handle_timeout(self.now);
    }

    /// Takes an address as one of ours.
    pub(crate) fn learn(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let is_host = match ip {
            IpAddr::V4(v4) => !v4.is_broadcast(),
            IpAddr::V6(_) => true,
        };
        if !is_host || ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() || self.ours.contains(&ip)
        {
            return;
        }
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        // An address that cannot be ours stays another's, and the next call says so.
        if self.stack.add_address(self.now, self.interface, ip, whole).is_ok() {
            self.ours.push(ip);
        }
    }

    /// Lets the stack send what it has to send now.
    pub(crate) fn drain(&mut self) {
        while let Some(frame) = self.stack.poll_transmit(self.now, self.interface) {
            let bytes = frame.to_vec();
            if self.outbox.len() < MAX_OUTBOX {
                self.outbox.push_back(Sent { at: self.now, bytes });
            }
        }
        while let Some(event) = self.stack.poll_event() {
            if let Event::Socket(id) = event {
                self.changed.push(id);
            }
        }
    }

    /// The packet that was sent first.
    pub(crate) fn poll_sent(&mut self) -> Option<Sent> {
        self.outbox.pop_front()
    }
}
