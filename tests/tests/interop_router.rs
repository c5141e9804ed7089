//! What a router on the link says, and what the stack answers: advertisements, and who listens to which group.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket as KernelSocket};
use std::time::Duration;

use ustack::blocking::UdpSocket;
use ustack::device::{Packet, PacketBuilder};
use ustack::wire::ethernet::{self, EtherType, MacAddr};
use ustack::wire::ip::Protocol;
use ustack::wire::list::List;
use ustack::wire::ndp::{self, PrefixInfo, RouterAdvertisement};
use ustack::wire::{ext, icmpv6, igmp, ipv4, ipv6, mld};
use ustack_tests::device::send;
use ustack_tests::host::{Host, KERNEL, KERNEL_INTERFACE, MAC, Setup, at, ip};
use ustack_tests::matrix::{ethernet, few, on_each};
use ustack_tests::process::tool;
use ustack_tests::wait::{SOON, until};

const NO_ECHO: &str = "No response seen to ICMP";
/// What is advertised, and an address of the kernel's that is only behind it.
const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd0a, 0, 0, 0, 0, 0, 0, 0);
const BEYOND: &str = "fd0b::1";
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 255, 1, 2);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x1234);
const PORT: u16 = 5000;

/// The kernel's end of the link, in the role of a router whose packets we write.
struct Router {
    device: Packet,
    mac: MacAddr,
    address: Ipv6Addr,
    index: u32,
}

impl Router {
    fn on(host: &Host) -> Self {
        let shown = host.kernel.run(tool("ip").args(["-o", "link", "show", "dev", KERNEL_INTERFACE])).text();
        let index = shown.split(':').next().and_then(|it| it.parse().ok()).expect("it has a number");
        let mac = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
        let mac = mac.and_then(|mac| mac.parse().ok()).expect("it has a link address");
        let mut ask = tool("ip");
        let shown =
            host.kernel.run(ask.args(["-6", "-o", "address", "show", "dev", KERNEL_INTERFACE])).text();
        let mut addresses =
            shown.split_whitespace().filter_map(|word| word.strip_suffix("/64")?.parse().ok());
        let address = addresses.find(Ipv6Addr::is_unicast_link_local).expect("it has a link-local address");
        let device = host.kernel.enter(|| PacketBuilder::new(KERNEL_INTERFACE).build()).expect("we may");
        Self { device, mac, address, index }
    }

    /// Sends a packet to a group.
    fn say(&mut self, group: IpAddr, packet: &[u8]) {
        let ether_type = if group.is_ipv4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let dst = MacAddr::for_multicast(group).expect("a group");
        let header = ethernet::Header { dst, src: self.mac, ether_type };
        send(&mut self.device, &[&header.to_bytes()[..], packet].concat());
    }

    /// Sends an ICMPv6 message to all nodes; those of MLD say to all routers that they concern them.
    fn say_v6(&mut self, hop_limit: u8, message: &icmpv6::Message<'_>) {
        let alert = ext::router_alert(Protocol::ICMPV6);
        let (next, alert) = match message {
            icmpv6::Message::Mld(_) => (Protocol::HOP_BY_HOP, &alert[..]),
            _ => (Protocol::ICMPV6, &[][..]),
        };
        let mut body = vec![0; message.wire_len()];
        message.write(&mut body, self.address, ipv6::ALL_NODES).expect("there is room");
        let len = u16::try_from(alert.len() + body.len()).expect("it is short");
        let mut header = [0; ipv6::HEADER_LEN];
        let packet = ipv6::Header::new(self.address, ipv6::ALL_NODES, next, hop_limit, len);
        packet.write(&mut header).expect("there is room");
        self.say(ipv6::ALL_NODES.into(), &[&header[..], alert, &body].concat());
    }

    fn advertise(&mut self, lifetime: u16) {
        let prefixes = [PrefixInfo {
            prefix: PREFIX,
            prefix_len: 64,
            on_link: true,
            autonomous: true,
            valid_lifetime: 7200,
            preferred_lifetime: 7200,
        }];
        let advertisement = RouterAdvertisement {
            hop_limit: 64,
            managed: false,
            other: false,
            lifetime,
            reachable_time: 0,
            retrans_timer: 0,
            source_link: Some(self.mac),
            mtu: None,
            prefixes: List::new(&prefixes),
        };
        let message = ndp::Message::RouterAdvertisement(advertisement);
        self.say_v6(ndp::HOP_LIMIT, &icmpv6::Message::Ndp(message));
    }

    fn ask_v4(&mut self, version: igmp::Version) {
        let query = igmp::Query {
            version,
            group: Ipv4Addr::UNSPECIFIED,
            max_response: Duration::from_millis(500).into(),
            suppress: false,
            robustness: 2,
            interval: Duration::from_secs(125).into(),
            sources: List::EMPTY,
        };
        let message = igmp::Message::Query(query);
        let mut body = vec![0; message.wire_len()];
        message.write(&mut body).expect("there is room");
        let IpAddr::V4(from) = ip(KERNEL[0]) else { panic!("it is IPv4") };
        let len = u16::try_from(body.len()).expect("it is short");
        let mut header = ipv4::Header::new(from, igmp::ALL_SYSTEMS, Protocol::IGMP, 1, len);
        header.options = ipv4::Options::ROUTER_ALERT;
        let mut bytes = vec![0; header.header_len()];
        header.write(&mut bytes).expect("there is room");
        self.say(igmp::ALL_SYSTEMS.into(), &[bytes, body].concat());
    }

    fn ask_v6(&mut self) {
        let query = mld::Query {
            version: mld::Version::V2,
            group: Ipv6Addr::UNSPECIFIED,
            max_response: Duration::from_millis(500).into(),
            suppress: false,
            robustness: 2,
            interval: Duration::from_secs(125).into(),
            sources: List::EMPTY,
        };
        self.say_v6(1, &icmpv6::Message::Mld(mld::Message::Query(query)));
    }
}

fn ping(host: &Host, from: &str, to: IpAddr) -> bool {
    let mut ping = tool("ping");
    ping.args(["-c", "1", "-W", "1", "-I", from, &to.to_string()]);
    host.kernel.run(&mut ping).status.success()
}

#[test]
fn an_advertised_prefix_makes_an_address_and_a_router_a_route() {
    let believing = |setup| Setup { advertisements: true, ..setup };
    let setups: Vec<Setup> = ethernet(few()).into_iter().map(believing).collect();
    on_each(&setups, &["ping"], &[NO_ECHO], |host| {
        let mut router = Router::on(host);
        host.kernel.address(KERNEL_INTERFACE, ip("fd0a::1"), 64);
        host.kernel.address("lo", ip(BEYOND), 128);
        let [.., a, b, c, d, e, f, g, h] = MAC.link_local().octets();
        let mut octets = PREFIX.octets();
        octets[8..].copy_from_slice(&[a, b, c, d, e, f, g, h]);
        let made = IpAddr::from(octets);
        assert!(!ping(host, "fd0a::1", made), "nothing was advertised");
        router.advertise(1800);
        until("the new address to answer", SOON, || ping(host, "fd0a::1", made));
        // The answer to an address of no network of the link goes to the router.
        assert!(ping(host, BEYOND, made), "the router is the way out");
        router.advertise(0);
        until("the route to be gone", SOON, || !ping(host, BEYOND, made));
        assert!(ping(host, "fd0a::1", made), "the address stays");
    });
}

/// tcpdump's words for a report about the group of these last bytes: in answer to a query, or of a change.
fn report_v4(kind: u8) -> String {
    format!("igmp[0] = 0x22 and igmp[8] = {kind} and igmp[12:4] = {}", GROUP_V4.to_bits())
}

fn report_v6(kind: u8) -> String {
    // A report may tell of other groups before.
    let places = (56..=136).step_by(20);
    let one = places.map(|at| format!("(ip6[{at}] = {kind} and ip6[{}:4] = 0x1234)", at + 16));
    format!("ip6[6] = 0 and ip6[48] = 143 and ({})", one.collect::<Vec<_>>().join(" or "))
}

#[test]
fn a_router_hears_who_listens_to_a_group() {
    const LISTENS: u8 = 2;
    const LEAVES: u8 = 3;
    const JOINS: u8 = 4;
    on_each(&ethernet(few()), &[], &[], |host| {
        let mut router = Router::on(host);
        host.kernel.ip(&format!("route add {GROUP_V4}/32 dev {KERNEL_INTERFACE}"));
        let listen = |any: &str, port, group: IpAddr| {
            let socket = UdpSocket::bind(&host.net, at(any, port)).expect("the port is free");
            socket.set_read_timeout(Some(SOON)).expect("it is not zero");
            socket.join(group, host.interface).expect("it is a group");
            socket
        };
        let (v4, v6) = (listen("0.0.0.0", PORT, GROUP_V4.into()), listen("::", PORT + 1, GROUP_V6.into()));
        host.capture().wait_frame(&report_v4(JOINS), SOON);
        host.capture().wait_frame(&report_v6(JOINS), SOON);
        // The kernel's datagrams to the groups arrive.
        let to_v6 = SocketAddr::V6(SocketAddrV6::new(GROUP_V6, PORT + 1, 0, router.index));
        for (from, to, socket) in [(0, SocketAddr::from((GROUP_V4, PORT)), &v4), (1, to_v6, &v6)] {
            let kernel = host.kernel.enter(|| KernelSocket::bind(at(KERNEL[from], 0))).expect("it is free");
            let _ = kernel.send_to(b"to the group", to).expect("there is a route");
            let mut buffer = [0; 100];
            let (len, sender) = socket.recv_from(&mut buffer).expect("it arrives");
            assert_eq!((&buffer[..len], sender.ip()), (&b"to the group"[..], ip(KERNEL[from])));
        }
        router.ask_v4(igmp::Version::V3);
        router.ask_v6();
        host.capture().wait_frame(&report_v4(LISTENS), SOON);
        host.capture().wait_frame(&report_v6(LISTENS), SOON);
        v6.leave(GROUP_V6.into(), host.interface).expect("it listens");
        host.capture().wait_frame(&report_v6(LEAVES), SOON);
        // An older router is answered in its own words.
        router.ask_v4(igmp::Version::V2);
        host.capture().wait_frame(&format!("igmp[0] = 0x16 and igmp[4:4] = {}", GROUP_V4.to_bits()), SOON);
        v4.leave(GROUP_V4.into(), host.interface).expect("it listens");
        host.capture().wait_frame(&format!("igmp[0] = 0x17 and igmp[4:4] = {}", GROUP_V4.to_bits()), SOON);
    });
}
