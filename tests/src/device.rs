//! Driving a device by hand, frame by frame.

use std::net::{SocketAddr, UdpSocket};

use ustack::buf::frame::{Offload, RxFrame, TxFrame};
use ustack::device::{Device, wait};
use ustack::time::Instant;
use ustack::why::Why;

use crate::wait::SOON;

/// Waits for a frame that `wanted` likes, and drops others.
///
/// # Panics
/// The device fails, or none comes in time.
#[track_caller]
pub fn expect<T>(
    device: &mut (impl Device + ?Sized),
    mut wanted: impl FnMut(&RxFrame<'_>) -> Option<T>,
) -> T {
    loop {
        match device.recv(Instant::ZERO).expect("the device works") {
            Some(frame) => {
                if let Some(found) = wanted(&frame) {
                    return found;
                }
            }
            None => {
                let fd = device.as_fd().expect("it has one");
                assert_ne!(wait(&[fd], Some(SOON)).expect("it can be waited for"), 0, "no such frame came");
            }
        }
    }
}

/// Sends a frame in three parts.
///
/// # Panics
/// The device refuses it.
#[track_caller]
pub fn send(device: &mut (impl Device + ?Sized), frame: &[u8]) {
    let (head, body) = frame.split_at(20);
    let (one, two) = body.split_at(body.len() / 2);
    send_offloaded(device, &TxFrame { head, body: [one, two], ..transmit(&[]) });
}

/// Sends a frame as it is.
///
/// # Panics
/// The device refuses it.
#[track_caller]
pub fn send_offloaded(device: &mut (impl Device + ?Sized), frame: &TxFrame<'_>) {
    device.send(Instant::ZERO, frame).expect("the device takes it");
}

/// A frame in one part.
pub fn transmit(frame: &[u8]) -> TxFrame<'_> {
    TxFrame { head: frame, body: [&[], &[]], offload: Offload::NONE, why: &Why::FOREIGN }
}

/// An address and a port.
///
/// # Panics
/// It is none.
pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A UDP socket of the kernel that waits for a while.
///
/// # Panics
/// The address is not there.
#[track_caller]
pub fn udp_socket(at: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at).expect("the address is there at once");
    socket.set_read_timeout(Some(SOON)).expect("it takes a timeout");
    socket
}
