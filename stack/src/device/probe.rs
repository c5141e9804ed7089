//! What this machine lets us do, and what to type to get the rest.

use std::fs::{self, OpenOptions};
use std::io;

use super::sys;
use super::tap::PRIVILEGE;

/// One thing that this machine lets us do, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was looked at: `TUN/TAP`, `user namespaces`.
    pub what: &'static str,
    /// Whether we may.
    pub ok: bool,
    /// What was found, for people.
    pub found: String,
    /// What mends it; `None` if nothing needs mending, or nothing is known.
    pub remedy: Option<String>,
}

/// Looks at everything that devices need. Changes nothing.
pub fn probe() -> Vec<Fact> {
    vec![
        tun(),
        capability("CAP_NET_ADMIN", 12),
        capability("CAP_NET_RAW", 13),
        packet_sockets(),
        #[cfg(feature = "xdp")]
        xdp_sockets(),
        user_namespaces(),
    ]
}

fn fact(what: &'static str, answer: io::Result<String>, remedy: impl FnOnce(&io::Error) -> String) -> Fact {
    match answer {
        Ok(found) => Fact { what, ok: true, found, remedy: None },
        Err(error) => Fact { what, ok: false, remedy: Some(remedy(&error)), found: error.to_string() },
    }
}

fn tun() -> Fact {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    fact("TUN/TAP", opened.map(|_| "/dev/net/tun can be opened".into()), |error| match error.kind() {
        io::ErrorKind::PermissionDenied => PRIVILEGE.into(),
        _ => "`sudo modprobe tun`; in a container also `mkdir -p /dev/net && mknod /dev/net/tun c 10 200`"
            .into(),
    })
}

fn capability(what: &'static str, bit: u32) -> Fact {
    let read =
        fs::read_to_string("/proc/self/status").and_then(|status| match effective_capabilities(&status) {
            Some(set) if set >> bit & 1 == 1 => Ok("we have it".into()),
            Some(_) => Err(io::Error::other("we do not have it")),
            None => Err(io::ErrorKind::InvalidData.into()),
        });
    fact(what, read, |_| PRIVILEGE.into())
}

fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn packet_sockets() -> Fact {
    let opened = sys::packet_socket().map(|_| "a packet socket can be opened".into());
    fact("packet sockets", opened, |_| PRIVILEGE.into())
}

#[cfg(feature = "xdp")]
fn xdp_sockets() -> Fact {
    let made = sys::xdp_map(1).map(|_| "a map of XDP sockets can be made".into());
    fact("XDP sockets", made, |error| match error.kind() {
        io::ErrorKind::PermissionDenied => super::xdp::PRIVILEGE.into(),
        _ => super::xdp::NOT_HERE.into(),
    })
}

fn user_namespaces() -> Fact {
    let tried = sys::try_user_namespace().map(|()| "private networks need no privilege".into());
    fact("user namespaces", tried, |_| user_namespace_remedy())
}

/// What keeps an ordinary user from making a user namespace on this machine, and how to change it.
pub(super) fn user_namespace_remedy() -> String {
    const SWITCHES: [(&str, &str, &str); 3] = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "15000"),
    ];
    let closed = SWITCHES.iter().find(|(name, closed, _)| {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(file).is_ok_and(|value| value.trim() == *closed)
    });
    match closed {
        Some((name, _, open)) => format!("run as root, or `sudo sysctl -w {name}={open}`"),
        None => "run as root; a container may need more rights (`docker run --privileged`)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_says_what_was_found_or_what_mends_it() {
        for fact in probe() {
            assert!(!fact.found.is_empty(), "{fact:?}");
            assert_eq!(fact.ok, fact.remedy.is_none(), "{fact:?}");
        }
    }

    #[test]
    fn capabilities_are_read_from_the_status() {
        assert_eq!(effective_capabilities("Name:\tx\nCapEff:\t0000000000003000\n"), Some(0x3000));
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
    }
}
