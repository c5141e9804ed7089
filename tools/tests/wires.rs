//! Each kind of wire of `ustack host`, and what is said of addresses and routes, from end to end in a private network.

use std::process::{Command, Output, Stdio};

/// What all scripts begin with: `host ...` runs a host in the background until `stop`, once it says that it serves;
/// `fails` inverts.
const BEGIN: &str = r#"
set -eu
PATH="$PATH:/usr/sbin:/sbin"
folder=$(mktemp -d); trap 'rm -rf $folder' EXIT
ustack=$0; cd "$folder"
host() {
    : >said
    env --default-signal=INT "$ustack" host --echo "$@" 2>said & host=$!
    until grep -q 'echo on port' said; do kill -0 $host || { cat said >&2; exit 1; }; done
}
stop() { kill -INT $host; wait $host; }
fails() { if "$@"; then echo "$* did not fail" >&2; exit 1; fi; }
pinged() { ping -c 1 -W 5 "$@" >/dev/null || { echo "no echo: $*" >&2; cat said >&2; exit 1; }; }
echoed() { test "$(printf 'over TCP' | nc -N -w 5 "$1" 7)" = 'over TCP'; }
# A virtual wire: the kernel has `left`, and says nothing on `right`.
wire() {
    ip link add left type veth peer name right
    echo 1 >/proc/sys/net/ipv6/conf/right/addr_gen_mode
    ip address add 10.9.0.1/24 dev left; ip address add fd09::1/64 dev left nodad
    ip link set lo up; ip link set left up; ip link set right up
}
"#;

/// Runs a script in a network of its own; skipped where that is not allowed, unless `CI` is set.
fn in_a_private_network(script: &str) {
    let inside = |words: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["50", "unshare", "--user", "--map-root-user", "--net"]).args(words);
        command.stdin(Stdio::null()).output()
    };
    let needed =
        "PATH=$PATH:/usr/sbin:/sbin; for tool in ping nc ip python3; do command -v $tool || exit 1; done";
    if !inside(&["sh", "-c", needed]).is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "with CI set nothing is skipped");
        eprintln!("skipped: no private network, or no ping, nc, ip and python3");
        return;
    }
    let whole = format!("{BEGIN}{script}\necho all is well");
    let output = inside(&["sh", "-c", &whole, env!("CARGO_BIN_EXE_ustack")]);
    let Output { status, stdout, stderr } = output.expect("it runs");
    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(status.success() && stdout.ends_with("all is well\n"), "{status}: {stdout}{stderr}");
}

#[test]
fn a_tun() {
    in_a_private_network(
        "ip link set lo up; host --tun tun7
        for at in 10.9.0.2 fd09::2; do pinged $at; echoed $at; done
        ip link show dev tun7 | grep -q POINTOPOINT
        stop; fails ip link show dev tun7 2>/dev/null",
    );
}

#[test]
fn pnet() {
    in_a_private_network(
        "wire; host --pnet right --address 10.9.0.2/24 --address fd09::2/64
        for at in 10.9.0.2 fd09::2; do pinged $at; echoed $at; done; stop",
    );
}

/// A client without an address waits until a router says which network this is.
#[test]
fn a_router_s_prefix() {
    in_a_private_network(
        "wire; until ip -6 address show dev left -tentative | grep -q 'inet6 fe80'; do :; done
        $ustack ping --raw right --accept-router-advertisements -c 1 fd0a::1 2>said >/dev/null & client=$!
        until grep -q 'asking for a router' said; do kill -0 $client; done
        ip address add fd0a::1/64 dev left nodad
        python3 -c '
import socket
message = \"86000000 40000708 00000000 00000000 030440c0 00000e10 00000e10 00000000 fd0a\" + 14 * \"00\"
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex(\"left\"))
router.sendto(bytes.fromhex(message), (\"ff02::1\", 0))'
        wait $client",
    );
}

#[test]
fn a_gateway() {
    in_a_private_network(
        "wire; ip address add 192.0.2.1/32 dev lo; ip address add fd0b::1/128 dev lo
        own='--address 10.9.0.2/24 --address fd09::2/64'
        host --raw right $own
        fails ping -c 1 -W 1 -I 192.0.2.1 10.9.0.2 >/dev/null; pinged -I 10.9.0.1 10.9.0.2; stop
        host --raw right $own --gateway 10.9.0.1 --gateway fd09::1
        pinged -I 192.0.2.1 10.9.0.2; pinged -I fd0b::1 fd09::2; stop
        for far in 192.0.2.1 fd0b::1; do
            fails $ustack ping --raw right $own -c 1 $far >/dev/null 2>&1
            $ustack ping --raw right $own --gateway 10.9.0.1 --gateway fd09::1 -c 1 $far >/dev/null
        done",
    );
}

#[test]
fn duplicates_are_detected() {
    in_a_private_network(
        "wire; ip address add fd09::2/64 dev left nodad
        host --raw right --address fd09::2/64 --address fd09::3/64 --detect-duplicates
        until ping -c 1 -W 1 fd09::3 >/dev/null; do :; done
        # The kernel's own address was left to it: its packets never come to the wire.
        ip address del fd09::2/64 dev left
        fails ping -c 1 -W 2 fd09::2 >/dev/null; stop
        # When nobody has it, it is taken.
        host --raw right --address fd09::2/64 --detect-duplicates
        until ping -c 1 -W 1 fd09::2 >/dev/null; do :; done; stop",
    );
}
