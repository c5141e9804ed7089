//! What a script sets at its top, and the command line for all of them: `--ip_version=ipv6 --mtu=1280`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ustack::buf::frame::{Capabilities, InterfaceId, Medium};
use ustack::ip::route::{Prefix, Route};
use ustack::link::InterfaceConfig;
use ustack::tcp::congestion::Algorithm;
use ustack::tcp::{self, EcnPolicy, MtuProbing, SynCookiePolicy};
use ustack::time::{Duration, Instant};
use ustack::wire::ethernet::MacAddr;
use ustack::{Config, Error, Stack};

use super::expr::Value;

/// The settings of one run.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) version: IpVersion,
    pub(super) local: Option<IpAddr>,
    pub(super) remote: Option<IpAddr>,
    pub(super) mtu: usize,
    /// Largest IP packet that the device takes as a merged frame; `mtu` if that is not less.
    pub(super) max_merged: usize,
    /// Where `bind(3, ..., ...)` binds.
    pub(super) bind_port: u16,
    /// Where `connect(3, ..., ...)` connects to.
    pub(super) connect_port: u16,
    /// By how much a packet may be early or late.
    pub(super) tolerance: Duration,
    /// Microseconds of one tick of our timestamps: outgoing ones are then compared with the time that passed.
    pub(super) ts_tick: Option<u64>,
    pub(super) seed: u64,
    /// What stands for 0 in the sequence numbers of the other side.
    pub(super) remote_isn: u32,
    pub(super) tcp: tcp::Settings,
    /// The key of Fast Open cookies, instead of the seed's.
    pub(super) fast_open_key: Option<[u8; 16]>,
    /// What `SO_KEEPALIVE` starts with.
    pub(super) keepalive: tcp::Keepalive,
    /// `--define=NAME=VALUE`
    pub(super) defined: Vec<(String, Value)>,
    /// What was set, as it was said.
    pub(super) said: Vec<(String, String)>,
}

/// What runs below: `--ip_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IpVersion {
    V4,
    V6,
    /// IPv6 sockets that talk IPv4.
    Mapped,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: IpVersion::V4,
            local: None,
            remote: None,
            mtu: 1500,
            max_merged: 0,
            bind_port: 8080,
            connect_port: 8080,
            tolerance: Duration::ZERO,
            ts_tick: None,
            seed: 1,
            remote_isn: 0,
            tcp: tcp::Settings::default(),
            fast_open_key: None,
            keepalive: tcp::Keepalive::default(),
            defined: Vec::new(),
            said: Vec::new(),
        }
    }
}

/// Takes the value of one key.
type Set = fn(&mut Settings, &str) -> Option<()>;

/// Every key, what it takes, and what it does.
const KEYS: &[(&str, &str, Set)] = &[
    ("ip_version", "ipv4, ipv6 or ipv4-mapped-ipv6", |s, v| put(&mut s.version, IpVersion::named(v))),
    ("local_ip", "an address", |s, v| put(&mut s.local, v.parse().ok().map(Some))),
    ("remote_ip", "an address", |s, v| put(&mut s.remote, v.parse().ok().map(Some))),
    ("mtu", "bytes", |s, v| put(&mut s.mtu, v.parse().ok())),
    ("max_merged", "bytes", |s, v| put(&mut s.max_merged, v.parse().ok())),
    ("bind_port", "a port", |s, v| put(&mut s.bind_port, v.parse().ok())),
    ("connect_port", "a port", |s, v| put(&mut s.connect_port, v.parse().ok())),
    ("tolerance_usecs", "microseconds", |s, v| {
        put(&mut s.tolerance, v.parse().ok().map(Duration::from_micros))
    }),
    ("tcp_ts_tick_usecs", "microseconds", |s, v| {
        put(&mut s.ts_tick, v.parse().ok().map(|us: u64| (us > 0).then_some(us)))
    }),
    ("seed", "a number", |s, v| put(&mut s.seed, v.parse().ok())),
    ("remote_isn", "a number", |s, v| put(&mut s.remote_isn, v.parse().ok())),
    ("define", "NAME=VALUE", |s, v| {
        let (name, value) = v.split_once('=')?;
        let value = value.parse().map(Value::Int).unwrap_or_else(|_| Value::Text(value.to_owned()));
        s.defined.push((name.to_owned(), value));
        Some(())
    }),
    ("congestion", "the name of a congestion control", |s, v| {
        put(&mut s.tcp.congestion, Algorithm::named(v))
    }),
    ("send_buffer", "bytes", |s, v| put(&mut s.tcp.send_buffer, v.parse().ok())),
    ("recv_buffer", "bytes", |s, v| put(&mut s.tcp.recv_buffer, v.parse().ok())),
    ("send_tuning", "0 or 1", |s, v| put(&mut s.tcp.send_tuning, truth(v))),
    ("recv_tuning", "0 or 1", |s, v| put(&mut s.tcp.recv_tuning, truth(v))),
    ("max_mss", "bytes", |s, v| put(&mut s.tcp.max_mss, v.parse().ok().map(Some))),
    ("mtu_probing", "0 (off), 1 (after a black hole) or 2 (always)", |s, v| {
        put(&mut s.tcp.mtu_probing, MtuProbing::named(v))
    }),
    ("timestamps", "0 or 1", |s, v| put(&mut s.tcp.timestamps, truth(v))),
    ("sack", "0 or 1", |s, v| put(&mut s.tcp.sack, truth(v))),
    ("window_scaling", "0 or 1", |s, v| put(&mut s.tcp.window_scaling, truth(v))),
    ("ecn", "off, answer, classic, accurate or a number of tcp_ecn", |s, v| {
        put(&mut s.tcp.ecn, EcnPolicy::named(v))
    }),
    ("pacing", "0 or 1", |s, v| put(&mut s.tcp.pacing, truth(v))),
    ("nodelay", "0 or 1", |s, v| put(&mut s.tcp.nodelay, truth(v))),
    ("delayed_ack_usecs", "microseconds", |s, v| {
        put(&mut s.tcp.delayed_ack, v.parse().ok().map(Duration::from_micros))
    }),
    ("syn_retries", "a count", |s, v| put(&mut s.tcp.syn_retries, v.parse().ok())),
    ("syn_ack_retries", "a count", |s, v| put(&mut s.tcp.syn_ack_retries, v.parse().ok())),
    ("syn_cookies", "0 (off), 1 (when full) or 2 (always)", |s, v| {
        let policy = match v {
            "0" => SynCookiePolicy::Off,
            "1" => SynCookiePolicy::WhenFull,
            "2" => SynCookiePolicy::Always,
            _ => return None,
        };
        put(&mut s.tcp.syn_cookies, Some(policy))
    }),
    ("user_timeout_option_secs", "seconds", |s, v| {
        put(&mut s.tcp.advertised_user_timeout, seconds(v).map(Some))
    }),
    ("fastopen_key", "32 hexadecimal digits, as net.ipv4.tcp_fastopen_key", |s, v| {
        put(&mut s.fast_open_key, fast_open_key(v).map(Some))
    }),
    ("fastopen_queue", "a count", |s, v| put(&mut s.tcp.fast_open_queue, v.parse().ok())),
    ("retries", "a count", |s, v| put(&mut s.tcp.retries, v.parse().ok())),
    ("fin_wait_2_secs", "seconds", |s, v| put(&mut s.tcp.fin_wait_2_timeout, seconds(v))),
    ("time_wait_secs", "seconds", |s, v| put(&mut s.tcp.time_wait, seconds(v))),
    ("keepalive_time_secs", "seconds", |s, v| put(&mut s.keepalive.time, seconds(v))),
    ("keepalive_interval_secs", "seconds", |s, v| put(&mut s.keepalive.interval, seconds(v))),
    ("keepalive_count", "a count", |s, v| put(&mut s.keepalive.count, v.parse().ok())),
    // What packetdrill's own runs need, and ours do not.
    ("non_fatal", "anything", |_, _| Some(())),
    ("verbose", "anything", |_, _| Some(())),
    ("dry_run", "anything", |_, _| Some(())),
];

impl Settings {
    /// Sets `key`, as `--key=value` does.
    ///
    /// # Errors
    /// What is wrong with key or value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Some((_, what, set)) = KEYS.iter().find(|(name, ..)| *name == key) else {
            let known: Vec<&str> = KEYS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("expected one of the settings {}, found `{key}`", known.join(" ")));
        };
        set(self, value).ok_or_else(|| format!("expected --{key}= with {what}, found `{value}`"))?;
        self.said.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Our address.
    pub fn local(&self) -> IpAddr {
        self.local.unwrap_or(match self.version {
            IpVersion::V4 | IpVersion::Mapped => Ipv4Addr::new(192, 168, 0, 1).into(),
            IpVersion::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
        })
    }

    /// The address of the other side.
    pub fn remote(&self) -> IpAddr {
        self.remote.unwrap_or(match self.version {
            IpVersion::V4 | IpVersion::Mapped => Ipv4Addr::new(192, 0, 2, 1).into(),
            IpVersion::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        })
    }

    /// A stack with one interface of bare IP packets, and a route to the other side.
    ///
    /// # Errors
    /// Addresses that nobody can have.
    pub fn stack(&self) -> Result<(Stack, InterfaceId), Error> {
        let mut stack = Stack::new(Config { tcp: self.tcp.clone(), ..Config::seeded(self.seed) });
        if let Some(key) = self.fast_open_key {
            stack.tcp_set_fast_open_key(key);
        }
        let local = self.local();
        let whole = if local.is_ipv4() { 32 } else { 128 };
        let interface = InterfaceConfig {
            dad: false,
            link_local: false,
            report_groups: false,
            ..InterfaceConfig::new(MacAddr::UNSPECIFIED).address(local, whole)
        };
        let capabilities = Capabilities {
            max_merged: self.max_merged.max(self.mtu),
            ..Capabilities::plain(Medium::Ip, self.mtu)
        };
        let interface = stack.add_interface(Instant::ZERO, interface, capabilities)?;
        stack.add_route(Route::on_link(Prefix::host(self.remote()), interface))?;
        Ok((stack, interface))
    }
}

impl IpVersion {
    fn named(name: &str) -> Option<Self> {
        match name {
            "ipv4" => Some(Self::V4),
            "ipv6" => Some(Self::V6),
            "ipv4-mapped-ipv6" => Some(Self::Mapped),
            _ => None,
        }
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> Option<()> {
    *place = value?;
    Some(())
}

fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Linux writes four little-endian words with dashes between them.
fn fast_open_key(text: &str) -> Option<[u8; 16]> {
    let mut key = [0; 16];
    let mut words = text.split('-');
    for place in key.chunks_mut(4) {
        place.copy_from_slice(&u32::from_str_radix(words.next()?, 16).ok()?.to_le_bytes());
    }
    words.next().is_none().then_some(key)
}

fn seconds(word: &str) -> Option<Duration> {
    word.parse().ok().map(Duration::from_secs)
}
