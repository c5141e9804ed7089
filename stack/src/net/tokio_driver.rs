//! tokio: its traits on our streams, and a driver that is a task of its runtime.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::busy::BusyPoll;
use super::port::Asking;
use super::shared::Shared;
use super::wheel::Descriptors;
use super::{Driver, DriverBuilder, Net, TcpStream};

/// Moves `net` for as long as it is polled: spawn it, or select on it. Sockets of the same runtime then need no thread.
///
/// The shards of a host that has several are moved by turns; to let them work side by side, spawn one for each of
/// [`Net::shards`].
///
/// # Errors
/// A device is gone.
pub async fn drive(net: Net) -> io::Result<()> {
    Driver::builder(&net).drive().await
}

impl DriverBuilder {
    /// As [`drive`], which moves the net for as long as it is polled. Before it sleeps, other tasks of the runtime get
    /// their turn as often as the devices are asked.
    ///
    /// # Errors
    /// A device is gone.
    pub async fn drive(self) -> io::Result<()> {
        let one = |shared: &Arc<Shared>| Box::pin(drive_one(shared.clone(), BusyPoll::new(self.busy_poll)));
        let mut shards: Vec<_> = self.net.all_shared().iter().map(one).collect();
        core::future::poll_fn(|cx| {
            let mut ended = shards.iter_mut().map(|shard| shard.as_mut().poll(cx));
            ended.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }
}

async fn drive_one(shared: Arc<Shared>, mut busy: BusyPoll) -> io::Result<()> {
    let notify = Arc::new(Notify::new());
    let kick = notify.clone();
    shared.set_kick(move || kick.notify_one());
    let mut descriptors = Descriptors::default();
    let mut devices: Vec<AsyncFd<OwnedFd>> = Vec::new();
    loop {
        let turn = shared.drive(Asking::ToTheEnd)?;
        if turn.frames {
            busy.handle_frame(turn.now);
        }
        if turn.more || busy.asks(turn.now) {
            tokio::task::yield_now().await;
            continue;
        }
        busy.sleep();
        descriptors.refresh(&shared)?;
        for fd in descriptors.take() {
            #[allow(deprecated, reason = "its successor is unsafe; an `OwnedFd` is what it asks for")]
            devices.push(AsyncFd::new(fd)?);
        }
        let asleep = async {
            match shared.fall_asleep(descriptors.devices) {
                Some(span) => tokio::time::sleep(span.into()).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            result = readable(&devices) => result?,
            () = notify.notified() => {}
            () = asleep => {}
        }
    }
}

/// Waits until one of the devices may have something. What was there is taken by the next turn, which reads until
/// nothing is left, so the readiness is cleared here.
async fn readable(devices: &[AsyncFd<OwnedFd>]) -> io::Result<()> {
    core::future::poll_fn(|cx| {
        let mut ready = Poll::Pending;
        for device in devices {
            if let Poll::Ready(guard) = device.poll_read_ready(cx) {
                guard?.clear_ready();
                ready = Poll::Ready(Ok(()));
            }
        }
        ready
    })
    .await
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll_recv(cx, buf.initialize_unfilled());
        polled.map_ok(|n| buf.advance(n))
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end()
    }
}

#[cfg(test)]
mod tests;
