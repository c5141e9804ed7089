//! The kernel's side: network namespaces, wires between them, and what a test does where it may not make them.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use ustack::device::probe;

use nix::sched::{CloneFlags, setns, unshare};

use crate::process::{Finished, Running, find_tool, run, tool};
use crate::wait::SOON;

/// What a test needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Network namespaces of our own, with all rights inside.
    Namespaces,
    /// `/dev/net/tun`, for TAP and TUN devices.
    Tun,
    /// XDP sockets, which a user namespace's root may not open: there the tests of them are skipped in any case.
    Xdp,
    /// A program.
    Tool(&'static str),
}

impl Need {
    /// Why it is not met; `None` if it is.
    fn missing(self) -> Option<String> {
        match self {
            Self::Namespaces => namespaces_missing(),
            Self::Tun => File::options()
                .read(true)
                .write(true)
                .open("/dev/net/tun")
                .err()
                .map(|error| format!("/dev/net/tun: {error}")),
            Self::Xdp => probe()
                .into_iter()
                .find(|fact| fact.what == "XDP sockets" && !fact.ok)
                .map(|fact| format!("XDP sockets: {}", fact.found)),
            Self::Tool(name) => find_tool(name).err(),
        }
    }
}

/// Whether our root is not the machine's.
fn in_a_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

/// True if everything that the test needs is here. If not, says why on standard error, and the test returns.
///
/// # Panics
/// Something is missing and `CI` is `true`: there, nothing is skipped but what nobody could do there.
#[track_caller]
pub fn ready(needs: &[Need]) -> bool {
    let missing: Vec<(&Need, String)> =
        needs.iter().filter_map(|need| Some((need, need.missing()?))).collect();
    if missing.is_empty() {
        return true;
    }
    let excused = missing.iter().all(|(need, _)| matches!(need, Need::Xdp)) && in_a_user_namespace();
    let reasons = missing.into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join("; ");
    assert!(
        excused || !skips_forbidden(std::env::var("CI").ok().as_deref()),
        "with CI=true nothing is skipped: {reasons}"
    );
    eprintln!("skipped: {reasons}");
    false
}

fn skips_forbidden(ci: Option<&str>) -> bool {
    ci == Some("true")
}

fn namespaces_missing() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let try_one = || {
        find_tool("ip").and_then(|_| Namespace::try_new()).err().map(|reason| {
            format!("{reason}; as root the tests make network namespaces, or: unshare --map-current-user --keep-caps --net cargo test")
        })
    };
    MISSING.get_or_init(try_one).clone()
}

/// A network namespace of the test's own.
///
/// It has no name: it lives as long as this value or a process in it, and takes its interfaces with it, also when the
/// test fails or is killed.
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// Makes a namespace whose loopback is up and whose IPv6 asks no router and probes no address.
    ///
    /// # Panics
    /// The kernel refuses: ask [`ready`] first.
    #[track_caller]
    pub fn new() -> Self {
        Self::try_new().unwrap_or_else(|reason| panic!("{reason}"))
    }

    fn try_new() -> Result<Self, String> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))?;
            File::open("/proc/thread-self/ns/net")
                .map_err(|error| format!("/proc/thread-self/ns/net: {error}"))
        };
        let handle = std::thread::scope(|scope| scope.spawn(make).join().expect("it does not panic"))?;
        let namespace = Self { handle };
        namespace.ip("link set lo up");
        for kind in ["all", "default"] {
            namespace.sysctl(&format!("ipv6/conf/{kind}/accept_ra"), "0");
            namespace.sysctl(&format!("ipv6/conf/{kind}/router_solicitations"), "0");
            namespace.sysctl(&format!("ipv6/conf/{kind}/accept_dad"), "0");
        }
        Ok(namespace)
    }

    /// Its name for `ip link set ... netns`.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd()).into()
    }

    /// Runs a closure on a thread inside the namespace. Sockets and devices that it opens stay there.
    ///
    /// # Panics
    /// The closure panics.
    pub fn enter<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let enter_and_run = || {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("a namespace of our own can be entered");
            inside()
        };
        let joined = std::thread::scope(|scope| scope.spawn(enter_and_run).join());
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts a command inside.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Running {
        self.enter(|| Running::spawn(command))
    }

    /// Runs a command inside, for at most 20 seconds.
    ///
    /// # Panics
    /// It cannot be started or does not end.
    pub fn run(&self, command: &mut Command) -> Finished {
        self.enter(|| run(command, SOON))
    }

    /// Runs `ip` with these words.
    ///
    /// # Panics
    /// It fails.
    pub fn ip(&self, words: &str) {
        let _ = self.run(tool("ip").args(words.split_whitespace())).success();
    }

    /// Sets a value below `/proc/sys/net`.
    ///
    /// # Panics
    /// The kernel does not take it.
    pub fn sysctl(&self, name: &str, value: &str) {
        let file = format!("/proc/sys/net/{name}");
        self.enter(|| std::fs::write(&file, value))
            .unwrap_or_else(|error| panic!("{file} = {value}: {error}"));
    }

    /// Gives an interface an address and takes it up.
    ///
    /// # Panics
    /// `ip` fails.
    pub fn address(&self, interface: &str, address: IpAddr, prefix: u8) {
        let nodad = if address.is_ipv6() { "nodad" } else { "" };
        self.ip(&format!("address add {address}/{prefix} dev {interface} {nodad}"));
        self.ip(&format!("link set {interface} up"));
    }

    /// Switches off all offloads of an interface: frames are segments, with their checksums.
    ///
    /// # Panics
    /// `ethtool` fails.
    pub fn no_offloads(&self, interface: &str) {
        self.switch_offloads(interface, "off");
    }

    /// Lets an interface merge frames and leave checksums open again.
    ///
    /// # Panics
    /// As `no_offloads`.
    #[track_caller]
    pub fn all_offloads(&self, interface: &str) {
        self.switch_offloads(interface, "on");
    }

    #[track_caller]
    fn switch_offloads(&self, interface: &str, state: &str) {
        let features = ["tx", "rx", "sg", "tso", "gso", "gro"].map(|feature| [feature, state]);
        let _ = self.run(tool("ethtool").args(["-K", interface]).args(features.as_flattened())).success();
    }

    /// Frames that an interface was to send and dropped, for want of room at its other end, since it is there.
    ///
    /// # Panics
    /// The kernel does not tell.
    #[track_caller]
    pub fn unsent(&self, interface: &str) -> u64 {
        let file = "/proc/thread-self/net/dev";
        let text =
            self.enter(|| std::fs::read_to_string(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        unsent(&text, interface).unwrap_or_else(|| panic!("{file} does not tell of {interface}: {text}"))
    }

    /// Waits until the interface carries frames.
    ///
    /// # Panics
    /// It does not within 20 seconds.
    #[track_caller]
    pub fn wait_up(&self, interface: &str) {
        crate::wait::until(&format!("{interface} to come up"), SOON, || {
            let shown = self.run(tool("ip").args(["-o", "link", "show", "dev", interface])).text();
            shown.contains("LOWER_UP")
        });
    }
}

/// The fourth column for sending of an interface's line: eight for receiving are before.
fn unsent(text: &str, interface: &str) -> Option<u64> {
    let name = |line: &'_ str| line.split_once(':').is_some_and(|(name, _)| name.trim() == interface);
    let (_, numbers) = text.lines().find(|line| name(line))?.split_once(':')?;
    numbers.split_whitespace().nth(8 + 3)?.parse().ok()
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

/// Two namespaces joined by a wire: `eth0` in each, up, without offloads.
pub struct Wire {
    /// 10.9.0.1/24 and `fd09::1/64`.
    pub left: Namespace,
    /// 10.9.0.2/24 and `fd09::2/64`, if it was asked for; else without addresses, for a stack of ours.
    pub right: Namespace,
}

impl Wire {
    /// Kernel to kernel: both ends have addresses.
    ///
    /// # Panics
    /// As [`Namespace::new`].
    pub fn between_kernels() -> Self {
        let wire = Self::to_bare_end();
        wire.right.address("eth0", "10.9.0.2".parse().expect("an address"), 24);
        wire.right.address("eth0", "fd09::2".parse().expect("an address"), 64);
        wire
    }

    /// The right end has no address, and its kernel does not speak: a packet socket of ours does.
    ///
    /// # Panics
    /// As [`Namespace::new`].
    pub fn to_bare_end() -> Self {
        let wire = Self { left: Namespace::new(), right: Namespace::new() };
        veth(&wire.left, "eth0", &wire.right, "eth0");
        wire.right.sysctl("ipv6/conf/eth0/addr_gen_mode", "1");
        wire.right.ip("link set eth0 up");
        wire.left.address("eth0", "10.9.0.1".parse().expect("an address"), 24);
        wire.left.address("eth0", "fd09::1".parse().expect("an address"), 64);
        wire.left.wait_up("eth0");
        wire
    }
}

/// Joins two namespaces by a veth pair, down and without addresses, with all offloads off.
///
/// # Panics
/// `ip` or `ethtool` fails.
pub fn veth(left: &Namespace, left_name: &str, right: &Namespace, right_name: &str) {
    let other = right.path();
    left.ip(&format!("link add {left_name} type veth peer name {right_name} netns {}", other.display()));
    left.no_offloads(left_name);
    right.no_offloads(right_name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    const NEEDS: [Need; 3] = [Need::Namespaces, Need::Tool("ethtool"), Need::Tool("ping")];

    #[test]
    fn what_an_interface_did_not_send_is_found_in_its_line() {
        let text = "head | of | it\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13\neth0: 1 2 3 4 5 6 7 8 9 10 11 9 13 14 15 16\n";
        assert_eq!(
            (unsent(text, "lo"), unsent(text, "eth0"), unsent(text, "eth1")),
            (Some(12), Some(9), None)
        );
    }

    #[test]
    fn two_kernels_reach_each_other_over_both_families() {
        if !ready(&NEEDS) {
            return;
        }
        let wire = Wire::between_kernels();
        for address in ["10.9.0.2", "fd09::2"] {
            let _ = wire.left.run(tool("ping").args(["-c", "1", "-W", "5", address])).success();
        }
    }

    #[test]
    fn sockets_stay_in_the_namespace_that_made_them() {
        if !ready(&NEEDS) {
            return;
        }
        let wire = Wire::between_kernels();
        let listener = wire.right.enter(|| TcpListener::bind("10.9.0.2:80")).expect("the address is there");
        let client = wire.left.enter(|| TcpStream::connect("10.9.0.2:80")).expect("somebody listens");
        let (_, peer) = listener.accept().expect("somebody connected");
        assert_eq!(client.local_addr().expect("it is connected"), peer);
        let outside = wire.left.enter(|| TcpListener::bind("10.9.0.2:80"));
        assert!(outside.is_err(), "it is no address of the left end");
    }

    #[test]
    fn a_namespace_takes_its_interfaces_with_it() {
        if !ready(&NEEDS) {
            return;
        }
        let left = Namespace::new();
        let right = Namespace::new();
        veth(&left, "a0", &right, "b0");
        drop(right);
        crate::wait::until("a0 to vanish with its peer", SOON, || {
            !left.run(tool("ip").args(["link", "show", "dev", "a0"])).status.success()
        });
    }

    #[test]
    fn what_is_missing_is_named() {
        let reason = Need::Tool("no-such-tool").missing().expect("it does not exist");
        assert!(reason.contains("no-such-tool"), "{reason}");
        assert!(skips_forbidden(Some("true")));
        assert!(!skips_forbidden(None));
        assert!(!skips_forbidden(Some("false")));
    }
}
