//! Where a run happens: namespaces of our own, and what lies between the contender and its peer.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use ustack::device::{
    Cidr, Device, Packet, PacketBuilder, Tap, TapBuilder, add_veth, bring_up, switch_off_offloads,
};

use crate::namespace::Inside;

/// The peer's address.
pub const PEER: [u8; 4] = [10, 9, 0, 1];
/// The contender's address.
pub const CONTENDER: [u8; 4] = [10, 9, 0, 2];
/// The contender's link address, where it has no kernel that has one.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The peer's end of a TAP.
pub const TAP: &str = "tap0";

/// The contender's end of a bare veth.
pub const RAW: &str = "veth1";

/// What a contender that has ended may still take to clear up.
const GRACE: Duration = Duration::from_secs(10);

/// A namespace for the peer and one for the contender, or one for both: a TAP's two ends are in one.
#[derive(Debug)]
pub struct Bed {
    peer: Inside,
    contender: Inside,
}

/// A contender at work.
#[derive(Debug)]
pub struct Working<T>(Receiver<T>);

impl Bed {
    /// Two kernels, joined by a veth, with its offloads or without.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn veth(offload: bool) -> io::Result<Self> {
        Self::joined(offload, move || ready(RAW, CONTENDER, offload))
    }

    /// A kernel, joined by a veth to an interface that is the contender's alone: no kernel has an address there.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn bare_veth(offload: bool) -> io::Result<Self> {
        Self::joined(offload, move || {
            if !offload {
                switch_off_offloads(RAW)?;
            }
            Ok(bring_up(RAW, &[])?)
        })
    }

    /// A kernel, and at the other end of a veth what `far` makes of it.
    fn joined(offload: bool, far: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let bed = Self { peer: inside()?, contender: inside()? };
        let there = bed.contender.id;
        bed.on_peers_side(move || {
            add_veth("veth0", RAW, there)?;
            ready("veth0", PEER, offload)
        })??;
        bed.on_contenders_side(far)??;
        // The first end is up with the second.
        bed.on_peers_side(|| bring_up("veth0", &[]))??;
        Ok(bed)
    }

    /// A kernel; the contender, on a thread in the same namespace, opens a TAP to it.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn tap() -> io::Result<Self> {
        let peer = inside()?;
        let contender = Inside::beside(&peer).map_err(io::Error::other)?;
        Ok(Self { peer, contender })
    }

    /// Does something in the peer's namespace: what it opens stays there.
    ///
    /// # Errors
    /// It panics.
    pub fn on_peers_side<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.peer.run(job).map_err(io::Error::other)
    }

    /// Begins the peer's work, on a thread of its own in the peer's namespace.
    ///
    /// # Errors
    /// There is no thread.
    pub fn begin_peer<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        self.on_peers_side(move || std::thread::Builder::new().name(name.into()).spawn(job))?
    }

    /// Does something in the contender's namespace, and waits for it.
    ///
    /// # Errors
    /// It panics.
    pub fn on_contenders_side<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.contender.run(job).map_err(io::Error::other)
    }

    /// Begins the contender's work in its namespace.
    ///
    /// # Errors
    /// The work before has panicked.
    pub fn begin<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<Working<T>> {
        let (tell, told) = mpsc::channel();
        self.contender.begin(move || drop(tell.send(job()))).map_err(io::Error::other)?;
        Ok(Working(told))
    }
}

impl<T> Working<T> {
    /// What came of it. To be asked when the run is over.
    ///
    /// # Errors
    /// It does not end, or it panicked.
    pub fn end(self) -> io::Result<T> {
        self.end_after(Duration::ZERO)
    }

    /// What came of it; it may go on for so long.
    ///
    /// # Errors
    /// It does not end, or it panicked.
    pub fn end_after(self, span: Duration) -> io::Result<T> {
        self.0.recv_timeout(span + GRACE).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                io::Error::new(io::ErrorKind::TimedOut, "the contender does not end")
            }
            RecvTimeoutError::Disconnected => io::Error::other("the contender panicked"),
        })
    }
}

/// A namespace in which IPv6 is silent: what is not measured would only be in the way.
fn inside() -> io::Result<Inside> {
    let inside = Inside::new().map_err(io::Error::other)?;
    let quiet = || {
        for kind in ["all", "default"] {
            // A kernel without IPv6 is silent as it is.
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{kind}/disable_ipv6"), "1");
        }
    };
    inside.run(quiet).map_err(io::Error::other)?;
    Ok(inside)
}

fn ready(name: &str, address: [u8; 4], offload: bool) -> io::Result<()> {
    if !offload {
        switch_off_offloads(name)?;
    }
    bring_up(name, &[cidr(address)?])?;
    Ok(())
}

/// An address of the beds' network.
///
/// # Errors
/// Never: a prefix of 24 bits is good.
pub fn cidr(address: [u8; 4]) -> io::Result<Cidr> {
    Cidr::new(address.into(), 24).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// The contender's end of a TAP; to be called on its side.
///
/// # Errors
/// The kernel refuses.
pub fn open_tap(offload: bool) -> io::Result<Tap> {
    let builder = TapBuilder::new(TAP).address(cidr(PEER)?).up();
    let builder = if offload { builder.offload() } else { builder };
    Ok(builder.build()?)
}

/// The contender's packet socket; to be called on its side of a bare veth.
///
/// # Errors
/// The kernel refuses.
pub fn open_raw(offload: bool) -> io::Result<Packet> {
    let builder = PacketBuilder::new(RAW).mac(MAC).batch();
    let builder = if offload { builder.offload() } else { builder };
    Ok(builder.build()?)
}

/// The contender's XDP socket; to be called on its side of a bare veth. With `offload`, the kernel's end leaves
/// checksums open.
///
/// # Errors
/// The kernel refuses.
#[cfg(feature = "xdp")]
pub fn open_xdp(offload: bool) -> io::Result<ustack::device::Xdp> {
    let builder = ustack::device::XdpBuilder::new(RAW).mac(MAC).batch();
    let builder = if offload { builder.open_sums() } else { builder };
    Ok(builder.build()?)
}

/// Sleeps until a frame comes, but not for long: a run may be over.
///
/// # Errors
/// The descriptor is bad.
pub fn idle(device: &impl Device, timeout: Option<Duration>) -> io::Result<()> {
    const LONGEST: Duration = Duration::from_millis(50);
    let timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
    ustack::device::wait(device.as_fd().as_slice(), Some(timeout)).map(drop)
}
